//! The part of the log in memory: from a little behind the commit to the tip.

use std::collections::VecDeque;

use crate::consensus::Entry;
use crate::types::{Position, Slot};

/// A gapless run of entries that ends in the tip of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tail {
    /// The position before the first entry held.
    before: Position,
    /// The sum of the entries' weights.
    weight: usize,
    entries: VecDeque<Entry>,
}

impl Tail {
    /// No entries in memory; the log ends in `before`.
    pub fn new(before: Position) -> Self {
        Self { before, weight: 0, entries: VecDeque::new() }
    }

    /// The position before the first entry held.
    pub fn before(&self) -> Position {
        self.before
    }

    /// The tip of the log.
    pub fn last(&self) -> Position {
        self.entries.back().map_or(self.before, Entry::position)
    }

    /// The position of `slot`, if it is held (or just before what is held).
    pub fn position(&self, slot: Slot) -> Option<Position> {
        if slot == self.before.slot {
            return Some(self.before);
        }
        self.get(slot).map(Entry::position)
    }

    /// The entry at `slot`, if it is held.
    pub fn get(&self, slot: Slot) -> Option<&Entry> {
        let index = slot.0.checked_sub(self.before.slot.0 + 1)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// Whether the log is known to pass through `position`.
    pub fn contains(&self, position: Position) -> bool {
        self.position(position.slot) == Some(position)
    }

    /// What is held behind `slot`, in order.
    pub fn behind(
        &self,
        slot: Slot,
    ) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        let skip = slot.0.saturating_sub(self.before.slot.0);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(self.entries.len());
        self.entries.range(skip..)
    }

    /// Drops what stands behind `slot`.
    pub(super) fn cut(&mut self, slot: Slot) {
        while self.entries.back().is_some_and(|entry| entry.slot() > slot) {
            let cut = self.entries.pop_back().expect("looked at above");
            self.weight -= cut.weight();
        }
    }

    /// Adds the entry that follows the tip.
    pub(super) fn push(&mut self, entry: Entry) {
        debug_assert_eq!(entry.slot(), self.last().slot.next(), "an entry follows the tip");
        self.weight += entry.weight();
        self.entries.push_back(entry);
    }

    /// Forgets the oldest entries at or below `committed` while more than `slots_max` entries
    /// or `weight_max` bytes are held. The disk still has them.
    pub(super) fn trim(&mut self, committed: Slot, slots_max: usize, weight_max: usize) {
        while let Some(oldest) = self.entries.front()
            && oldest.slot() <= committed
            && (self.entries.len() > slots_max || self.weight > weight_max)
        {
            self.before = oldest.position();
            self.weight -= oldest.weight();
            self.entries.pop_front();
        }
    }

    /// How many entries are held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
