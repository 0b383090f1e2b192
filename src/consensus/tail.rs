//! The part of the log in memory: from a little behind the commit to the tip.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use crate::consensus::Entry;
use crate::limits;
use crate::types::{Position, Slot};

/// A gapless run of entries that ends in the tip of the log.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// The position before the first entry held.
    before: Position,
    entries: VecDeque<Entry>,
    /// Of each entry: the weights of all that ever stood here up to it and before it, summed up.
    sums: VecDeque<u64>,
    /// The same up to `before`.
    sum_before: u64,
}

/// The sums tell one way to the same entries from another, and nothing else.
impl PartialEq for Tail {
    fn eq(&self, other: &Self) -> bool {
        (self.before, &self.entries) == (other.before, &other.entries)
    }
}

impl Eq for Tail {}

impl Hash for Tail {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.before, &self.entries).hash(hasher);
    }
}

impl Tail {
    /// No entries in memory; the log ends in `before`.
    pub fn new(before: Position) -> Self {
        Self { before, ..Self::default() }
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

    /// What all that is held behind `slot` weighs, in bytes.
    pub(super) fn weight_behind(&self, slot: Slot) -> usize {
        let total = self.sums.back().copied().unwrap_or(self.sum_before);
        let index = slot.0.checked_sub(self.before.slot.0 + 1);
        let until = match index.and_then(|index| usize::try_from(index).ok()) {
            Some(index) => self.sums.get(index).copied().unwrap_or(total),
            None => self.sum_before,
        };
        usize::try_from(total - until).expect("it is all in memory")
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

    /// What is held behind `after`, as far as one message takes it and not beyond `through`; one entry alone always fits.
    pub(super) fn batch(&self, after: Slot, through: Slot) -> impl Iterator<Item = &Entry> {
        let mut weight = 0;
        self.behind(after).take_while(move |entry| {
            weight += entry.weight();
            entry.slot() <= through && (weight <= limits::BATCH_BYTES || weight == entry.weight())
        })
    }

    /// Drops what stands behind `slot`.
    pub(super) fn cut(&mut self, slot: Slot) {
        while self.entries.back().is_some_and(|entry| entry.slot() > slot) {
            self.entries.pop_back();
            self.sums.pop_back();
        }
    }

    /// Adds the entry that follows the tip.
    pub(super) fn push(&mut self, entry: Entry) {
        debug_assert_eq!(entry.slot(), self.last().slot.next(), "an entry follows the tip");
        let sum = self.sums.back().copied().unwrap_or(self.sum_before);
        self.sums.push_back(sum + entry.weight() as u64);
        self.entries.push_back(entry);
    }

    /// Forgets the oldest entries while, of those up to `committed`, more than `slots_max` or more than `weight_max`
    /// bytes are held; what stands behind is not counted. The disk still has them.
    pub(super) fn trim(&mut self, committed: Slot, slots_max: usize, weight_max: usize) {
        let open = self.weight_behind(committed);
        while let Some(oldest) = self.entries.front()
            && oldest.slot() <= committed
            && (committed.0 - self.before.slot.0 > slots_max as u64
                || self.weight_behind(self.before.slot) - open > weight_max)
        {
            self.before = oldest.position();
            self.entries.pop_front();
            self.sum_before = self.sums.pop_front().expect("of each entry one");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{Content, Kind};
    use crate::types::Epoch;

    fn entries(count: usize) -> Vec<Entry> {
        let content = Content { epoch: Epoch(1), kind: Kind::Noop };
        Entry::chain(Position::GENESIS, vec![content; count])
    }

    fn tail(count: usize) -> Tail {
        let mut tail = Tail::new(Position::GENESIS);
        entries(count).into_iter().for_each(|entry| tail.push(entry));
        tail
    }

    fn held(tail: &Tail) -> Vec<u64> {
        tail.behind(Slot(0)).map(|entry| entry.slot().0).collect()
    }

    #[test]
    fn a_cut_leaves_what_stands_up_to_it() {
        for (slot, left) in [(0, 0), (2, 2), (4, 4), (9, 4)] {
            let mut tail = tail(4);
            tail.cut(Slot(slot));
            assert_eq!((tail.len(), tail.is_empty()), (left, left == 0), "cut behind {slot}");
            assert_eq!(tail.last().slot, Slot(left as u64));
        }
    }

    #[test]
    fn only_what_is_committed_is_forgotten_the_oldest_first() {
        for (committed, slots_max, left) in [
            (4, 4, vec![1, 2, 3, 4]),
            (4, 3, vec![2, 3, 4]),
            (2, 0, vec![3, 4]),
            (4, 0, vec![]),
            // What is not committed takes nothing of its place.
            (2, 2, vec![1, 2, 3, 4]),
            (2, 1, vec![2, 3, 4]),
        ] {
            let mut tail = tail(4);
            tail.trim(Slot(committed), slots_max, usize::MAX);
            assert_eq!(held(&tail), left, "{committed} committed, at most {slots_max}");
            assert_eq!(tail.before().slot.0 as usize, 4 - left.len());
        }
    }

    #[test]
    fn what_is_held_is_weighed_whatever_came_and_went() {
        let each = entries(1)[0].weight();
        for (weight_max, left) in [(2 * each, 2), (2 * each - 1, 1), (0, 0)] {
            let mut tail = tail(6);
            tail.cut(Slot(4));
            tail.trim(Slot(1), 0, usize::MAX);
            tail.push(Entry::after(tail.last(), entries(1)[0].content().clone()));
            tail.trim(Slot(4), usize::MAX, weight_max);
            assert_eq!(
                tail.len(),
                left + 1,
                "at most {weight_max} bytes, and what is not committed"
            );
        }
    }

    #[test]
    fn what_stands_behind_a_slot_is_weighed_without_being_looked_at() {
        let mut tail = tail(9);
        tail.trim(Slot(2), 0, usize::MAX);
        tail.cut(Slot(7));
        for slot in 0..10 {
            let weights = tail.behind(Slot(slot)).map(Entry::weight);
            assert_eq!(tail.weight_behind(Slot(slot)), weights.sum::<usize>(), "behind {slot}");
        }
        let mut anew = Tail::new(tail.before());
        tail.behind(Slot(0)).for_each(|entry| anew.push(entry.clone()));
        assert_eq!(tail, anew, "though it came about otherwise");
        assert_eq!(Tail::new(Position::GENESIS).weight_behind(Slot(0)), 0);
    }
}
