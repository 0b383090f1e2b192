//! Which `Data` messages were delivered: two generations of ids, by age.
//!
//! Only `Data` comes here. Every other kind says something monotone: a repeated one is harmless,
//! and a re-send of it must not be swallowed, for it repairs what was lost.
//!
//! Ids go into the young generation. When that is [`limits::SEEN_AGE_MIN`] old it becomes the
//! old one, and what was old is forgotten: an id is remembered for at least that age. Forgetting goes by age, never by use: a peer that repeats one id for ever must
//! not push out others. A young generation that is full before its time becomes old early: memory stays
//! bounded, and [`Seen::remembers`] says how long an id lives then. All senders share the table: one that floods
//! it shortens the memory for the texts of all.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::limits;
use crate::mutant::{self, Mutant};
use crate::types::{MessageId, NodeId, Time};

/// Ids with the peer that sent them: an id of one says nothing of the texts of another.
type Ids = BTreeSet<(NodeId, MessageId)>;

#[derive(Clone, Debug)]
pub(super) struct Seen {
    age_min: Duration,
    entries_max: usize,
    young: Ids,
    young_since: Time,
    old: Ids,
    old_since: Time,
}

impl Seen {
    pub(super) fn new(now: Time) -> Self {
        Self::bounded(now, limits::SEEN_AGE_MIN, limits::SEEN_ENTRIES_MAX)
    }

    fn bounded(now: Time, age_min: Duration, entries_max: usize) -> Self {
        let (young, old) = (Ids::new(), Ids::new());
        Self { age_min, entries_max, young, young_since: now, old, old_since: now }
    }

    /// Whether this message is seen for the first time, as far as is remembered.
    pub(super) fn is_fresh(&mut self, now: Time, from: NodeId, id: MessageId) -> bool {
        let from = match mutant::is(Mutant::DedupIgnoresSender) {
            true => NodeId::from_u128(0),
            false => from,
        };
        self.age(now);
        if self.old.contains(&(from, id)) || self.young.contains(&(from, id)) {
            return false;
        }
        if self.young.len() >= self.entries_max {
            self.turn(now);
        }
        self.young.insert((from, id))
    }

    /// Every id that came within this time is remembered.
    pub(super) fn remembers(&self, now: Time) -> Duration {
        now.since(self.old_since)
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether it is within its bounds.
    pub(super) fn is_bounded(&self) -> bool {
        self.young.len() <= self.entries_max && self.old.len() <= self.entries_max
    }

    fn age(&mut self, now: Time) {
        if now.since(self.young_since) >= self.age_min {
            self.turn(now);
        }
    }

    fn turn(&mut self, now: Time) {
        if mutant::is(Mutant::DedupUnbounded) {
            return;
        }
        self.old = std::mem::take(&mut self.young);
        self.old_since = self.young_since;
        self.young_since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId::from_u128(1);

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    fn id(bits: u128) -> MessageId {
        MessageId::from_u128(bits)
    }

    fn seen(entries_max: usize) -> Seen {
        Seen::bounded(at(0), Duration::from_secs(10), entries_max)
    }

    #[test]
    fn an_id_is_fresh_once() {
        let mut seen = seen(8);
        assert!(seen.is_fresh(at(0), ME, id(1)));
        assert!(!seen.is_fresh(at(0), ME, id(1)));
        assert!(seen.is_fresh(at(0), ME, id(2)));
    }

    #[test]
    fn an_id_of_one_peer_says_nothing_of_another() {
        let mut seen = seen(8);
        assert!(seen.is_fresh(at(0), ME, id(1)));
        assert!(seen.is_fresh(at(0), NodeId::from_u128(2), id(1)));
    }

    #[test]
    fn an_id_is_remembered_for_its_age_and_then_forgotten() {
        for born in 0..10 {
            let mut seen = seen(8);
            assert!(seen.is_fresh(at(born), ME, id(1)));
            for later in born..=born + 10 {
                assert!(!seen.is_fresh(at(later), ME, id(1)), "born {born}, forgotten at {later}");
            }
            assert!(seen.is_fresh(at(born + 20), ME, id(1)), "born {born}");
        }
    }

    #[test]
    fn repeating_an_id_does_not_lengthen_its_life() {
        let mut seen = seen(8);
        assert!(seen.is_fresh(at(0), ME, id(1)));
        let fresh_again = (1..=30).find(|second| seen.is_fresh(at(*second), ME, id(1)));
        assert_eq!(fresh_again, Some(20));
    }

    #[test]
    fn a_flood_is_bounded_and_the_shorter_memory_is_said() {
        let mut seen = seen(4);
        assert!(seen.is_fresh(at(0), ME, id(0)));
        for bits in 1..1_000 {
            assert!(seen.is_fresh(at(1), ME, id(bits)));
            assert!(seen.len() <= 8);
            assert!(seen.is_bounded());
            assert!(!seen.is_fresh(at(1), ME, id(bits)));
        }
        assert_eq!(seen.remembers(at(2)), Duration::from_secs(1));
    }

    #[test]
    fn an_unfilled_table_remembers_at_least_its_age() {
        let mut seen = seen(16);
        for second in 10..100 {
            seen.is_fresh(at(second), ME, id(second.into()));
            assert!(seen.remembers(at(second)) >= Duration::from_secs(10), "at {second}");
        }
    }
}
