//! Linearizable reads at any node (R12): no leader, no clock, no lease.
//!
//! A barrier asks everybody for the tip of their log. A write acknowledged before the barrier was
//! voted by a quorum, so one of any quorum's replies covers it; when the own commit has passed
//! the tips that some quorum told, everything acknowledged before is here.

use std::collections::BTreeMap;

use crate::limits;
use crate::mutant::{self, Mutant};
use crate::types::{NodeId, Slot, Time};

/// Reads that wait, and the barrier under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    /// Came after the barrier was sent; the next one serves them all.
    waiting: Vec<u64>,
    barrier: Option<Barrier>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Barrier {
    nonce: u64,
    sent: Time,
    tokens: Vec<u64>,
    tips: BTreeMap<NodeId, Slot>,
}

impl Reads {
    /// Takes a read; false if too many wait.
    pub(super) fn take(&mut self, token: u64) -> bool {
        let asked = self.barrier.as_ref().map_or(0, |barrier| barrier.tokens.len());
        let room = self.waiting.len() + asked < limits::PENDING_READS_MAX;
        if room {
            self.waiting.push(token);
        }
        room
    }

    /// Whether a barrier is to be sent: reads wait and none is under way.
    pub(super) fn wants_barrier(&self) -> bool {
        self.barrier.is_none() && !self.waiting.is_empty()
    }

    /// Starts a barrier for all that wait. `own` is the own reply.
    pub(super) fn start(&mut self, now: Time, nonce: u64, own: (NodeId, Slot)) {
        let mut tokens = self.barrier.take().map(|barrier| barrier.tokens).unwrap_or_default();
        tokens.append(&mut self.waiting);
        self.barrier = Some(Barrier { nonce, sent: now, tokens, tips: BTreeMap::from([own]) });
    }

    /// Counts a reply, if it answers the barrier under way.
    pub(super) fn reply(&mut self, from: NodeId, nonce: u64, tip: Slot) {
        if let Some(barrier) = &mut self.barrier
            && (barrier.nonce == nonce || mutant::is(Mutant::StaleNonceCounted))
        {
            barrier.tips.insert(from, tip);
        }
    }

    /// The reads that may be answered, now that everything up to `delivered` is: a quorum told no more than that. Who
    /// tells of more, which may never be chosen, keeps no quorum of others from answering.
    pub(super) fn ready(&mut self, quorum: usize, delivered: Slot) -> Vec<u64> {
        let is_passed = |tip: &&Slot| **tip <= delivered || mutant::is(Mutant::ReadTooEarly);
        let passed =
            |barrier: &mut Barrier| barrier.tips.values().filter(is_passed).count() >= quorum;
        self.barrier.take_if(passed).map(|barrier| barrier.tokens).unwrap_or_default()
    }

    /// When the barrier under way was sent.
    pub(super) fn sent(&self) -> Option<Time> {
        self.barrier.as_ref().map(|barrier| barrier.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId::from_u128(1);
    const OTHER: NodeId = NodeId::from_u128(2);

    #[test]
    fn a_read_waits_for_a_quorum_and_for_the_highest_tip_it_told() {
        let mut reads = Reads::default();
        assert!(reads.take(7));
        reads.start(Time::ZERO, 1, (ME, Slot(3)));
        assert!(reads.ready(2, Slot(3)).is_empty(), "one reply is no quorum of three");
        reads.reply(OTHER, 1, Slot(5));
        assert!(reads.ready(2, Slot(4)).is_empty(), "slot 5 may be acknowledged");
        assert_eq!(reads.ready(2, Slot(5)), [7]);
    }

    #[test]
    fn one_member_with_a_tail_that_was_never_chosen_holds_no_read_up() {
        let mut reads = Reads::default();
        assert!(reads.take(7));
        reads.start(Time::ZERO, 1, (ME, Slot(3)));
        reads.reply(OTHER, 1, Slot(9));
        assert!(reads.ready(2, Slot(3)).is_empty());
        reads.reply(NodeId::from_u128(3), 1, Slot(3));
        assert_eq!(reads.ready(2, Slot(3)), [7]);
    }

    #[test]
    fn reads_that_wait_are_bounded_whatever_they_wait_for() {
        let mut reads = Reads::default();
        let max = limits::PENDING_READS_MAX as u64;
        for token in 0..max {
            assert!(reads.take(token));
            if token % 100 == 0 {
                reads.start(Time::ZERO, token, (ME, Slot(0)));
            }
        }
        assert!(!reads.take(max), "no quorum answers, and nothing is taken that would wait for it");
        reads.reply(OTHER, max - max % 100, Slot(0));
        assert!(!reads.ready(2, Slot(0)).is_empty());
        assert!(reads.take(max));
    }

    #[test]
    fn a_reply_to_an_older_barrier_does_not_count() {
        let mut reads = Reads::default();
        reads.take(7);
        reads.start(Time::ZERO, 1, (ME, Slot(0)));
        reads.start(Time::ZERO, 2, (ME, Slot(0)));
        reads.reply(OTHER, 1, Slot(0));
        assert!(reads.ready(2, Slot(0)).is_empty());
    }

    #[test]
    fn a_read_that_comes_after_the_barrier_waits_for_the_next() {
        let mut reads = Reads::default();
        reads.take(7);
        reads.start(Time::ZERO, 1, (ME, Slot(0)));
        reads.take(8);
        reads.reply(OTHER, 1, Slot(0));
        assert_eq!(reads.ready(2, Slot(0)), [7]);
        assert!(reads.wants_barrier());
    }
}
