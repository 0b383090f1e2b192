//! Proposals on their way into the log (R13).
//!
//! What clients of this node wait for (`pending`), and what this node will place if it leads (`queue`); which ids
//! the log already holds: `known`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::consensus::{Proposal, Rejection, Settings};
use crate::mutant::{self, Mutant};
use crate::types::{ProposalId, Round, Slot, Time};

/// What clients of this node wait for, in the order in which it was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Pending {
    by_order: BTreeMap<u64, Waiting>,
    order: BTreeMap<ProposalId, u64>,
    /// Those that become void, by the slot that they must not stand behind.
    bounded: BTreeSet<(Slot, u64)>,
    next: u64,
    /// All before this one were submitted in `round`.
    submitted: u64,
    round: Option<Round>,
    weight: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    proposal: Proposal,
    since: Time,
    submitted: Option<Time>,
}

impl Pending {
    /// Takes a proposal, unless it waits already.
    ///
    /// # Errors
    /// [`Rejection::Busy`] if the queue is full: nothing is accepted then.
    pub(super) fn take(
        &mut self,
        now: Time,
        settings: &Settings,
        proposal: Proposal,
    ) -> Result<(), Rejection> {
        if self.order.contains_key(&proposal.id) {
            return Ok(());
        }
        let weight = proposal.weight();
        let full = self.order.len() >= settings.pending_max
            || self.weight + weight > settings.pending_bytes_max;
        if full && !self.order.is_empty() && !mutant::is(Mutant::PendingUnbounded) {
            return Err(Rejection::Busy);
        }
        self.weight += weight;
        self.order.insert(proposal.id, self.next);
        self.bounded.extend(proposal.until.map(|until| (until, self.next)));
        self.by_order.insert(self.next, Waiting { proposal, since: now, submitted: None });
        self.next += 1;
        Ok(())
    }

    /// Ends the wait for this proposal; tells since when it waited.
    pub(super) fn done(&mut self, id: ProposalId) -> Option<Time> {
        let order = self.order.remove(&id)?;
        let waiting = self.by_order.remove(&order).expect("both tables hold the same proposals");
        if let Some(until) = waiting.proposal.until {
            self.bounded.remove(&(until, order));
        }
        self.weight -= waiting.proposal.weight();
        Some(waiting.since)
    }

    /// Ends the wait for those that are void behind `committed`.
    pub(super) fn expire(&mut self, committed: Slot) -> Vec<ProposalId> {
        let expired: Vec<_> = if mutant::is(Mutant::AmbiguousRejected) {
            let ambiguous = self.by_order.values().filter(|waiting| waiting.submitted.is_some());
            ambiguous.map(|waiting| waiting.proposal.id).collect()
        } else {
            let void = self.bounded.range(..=(committed, u64::MAX));
            void.map(|(_, order)| self.by_order[order].proposal.id).collect()
        };
        for id in &expired {
            self.done(*id);
        }
        expired
    }

    /// Those to be submitted now: all in a new round, otherwise the new ones and those whose
    /// submission is as old as `patience`.
    pub(super) fn due(&mut self, now: Time, round: Round, patience: Duration) -> Vec<Proposal> {
        let overdue = self.oldest_submission().is_some_and(|at| now.since(at) >= patience);
        if self.round != Some(round) || overdue {
            self.submitted = 0;
        }
        let anew = self.round != Some(round);
        self.round = Some(round);
        let from = std::mem::replace(&mut self.submitted, self.next);
        self.by_order
            .range_mut(from..)
            .map(|(_, waiting)| waiting)
            .filter(|waiting| anew || waiting.submitted.is_none_or(|at| now.since(at) >= patience))
            .filter(|waiting| waiting.submitted.is_none() || !mutant::is(Mutant::NoResubmit))
            .map(|waiting| {
                waiting.submitted = Some(now);
                waiting.proposal.clone()
            })
            .collect()
    }

    /// When the oldest submission was made.
    pub(super) fn oldest_submission(&self) -> Option<Time> {
        let (_, waiting) = self.by_order.first_key_value()?;
        waiting.submitted
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

/// What a proposer will place, in order, each id once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Queue {
    proposals: VecDeque<Proposal>,
    ids: BTreeSet<ProposalId>,
    weight: usize,
}

impl Queue {
    /// Adds a proposal. A full queue drops it: who submitted it submits again.
    pub(super) fn push(&mut self, settings: &Settings, proposal: Proposal) {
        let weight = proposal.weight();
        let full = self.proposals.len() >= settings.pending_max
            || self.weight + weight > settings.pending_bytes_max;
        if (!full || self.proposals.is_empty()) && self.ids.insert(proposal.id) {
            self.weight += weight;
            self.proposals.push_back(proposal);
        }
    }

    /// The next one to place.
    pub(super) fn pop(&mut self) -> Option<Proposal> {
        let proposal = self.proposals.pop_front()?;
        self.ids.remove(&proposal.id);
        self.weight -= proposal.weight();
        Some(proposal)
    }

    /// The ids of all that wait, in order.
    pub(super) fn ids(&self) -> impl Iterator<Item = ProposalId> {
        self.proposals.iter().map(|proposal| proposal.id)
    }

    /// The next one to place.
    pub(super) fn front(&self) -> Option<&Proposal> {
        self.proposals.front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Value;

    fn proposal(id: u128) -> Proposal {
        Proposal { id: ProposalId::from_u128(id), value: Value::new("v").unwrap(), until: None }
    }

    #[test]
    fn a_full_table_says_busy_before_acceptance() {
        let settings = Settings { pending_max: 2, ..Settings::default() };
        let mut pending = Pending::default();
        assert_eq!(pending.take(Time::ZERO, &settings, proposal(1)), Ok(()));
        assert_eq!(pending.take(Time::ZERO, &settings, proposal(2)), Ok(()));
        assert_eq!(pending.take(Time::ZERO, &settings, proposal(2)), Ok(()), "it waits already");
        assert_eq!(pending.take(Time::ZERO, &settings, proposal(3)), Err(Rejection::Busy));
        assert!(pending.done(ProposalId::from_u128(1)).is_some());
        assert_eq!(pending.take(Time::ZERO, &settings, proposal(3)), Ok(()));
    }

    #[test]
    fn what_waits_is_weighed_and_one_alone_always_fits() {
        let settings =
            Settings { pending_bytes_max: 2 * proposal(1).weight(), ..Settings::default() };
        let mut pending = Pending::default();
        for id in [1, 2] {
            assert_eq!(pending.take(Time::ZERO, &settings, proposal(id)), Ok(()));
        }
        assert_eq!(pending.take(Time::ZERO, &settings, proposal(3)), Err(Rejection::Busy));
        assert_eq!(pending.len(), 2);
        for (id, left) in [(1, proposal(1).weight()), (2, 0)] {
            assert!(pending.done(ProposalId::from_u128(id)).is_some());
            assert_eq!(pending.weight, left);
        }
        let large = Value::new("x".repeat(1_000)).unwrap();
        let large = Proposal { value: large, ..proposal(4) };
        assert_eq!(pending.take(Time::ZERO, &settings, large), Ok(()));
        assert_eq!(pending.take(Time::ZERO, &settings, proposal(5)), Err(Rejection::Busy));
    }

    #[test]
    fn a_proposal_that_is_void_is_waited_for_no_longer() {
        let mut pending = Pending::default();
        for (id, until) in [(1, None), (2, Some(Slot(4))), (3, Some(Slot(5))), (4, Some(Slot(6)))] {
            let proposal = Proposal { until, ..proposal(id) };
            pending.take(Time::ZERO, &Settings::default(), proposal).unwrap();
        }
        assert_eq!(pending.expire(Slot(5)), [2, 3].map(ProposalId::from_u128));
        assert_eq!(pending.len(), 2);
    }

    #[test]
    fn a_proposer_queues_each_id_once_in_order_as_much_as_fits() {
        let each = proposal(1).weight();
        for settings in [
            Settings { pending_max: 2, ..Settings::default() },
            Settings { pending_bytes_max: 2 * each, ..Settings::default() },
        ] {
            let mut queue = Queue::default();
            for id in [2, 2, 1, 3, 4] {
                queue.push(&settings, proposal(id));
            }
            for (id, left) in [(Some(2), each), (Some(1), 0), (None, 0)] {
                let popped = queue.pop().map(|proposal| proposal.id);
                assert_eq!(popped, id.map(ProposalId::from_u128));
                assert_eq!(queue.weight, left);
            }
            queue.push(&settings, proposal(2));
            assert_eq!(queue.front(), Some(&proposal(2)), "what left may come again");
        }
        let settings = Settings { pending_bytes_max: each - 1, ..Settings::default() };
        let mut queue = Queue::default();
        queue.push(&settings, proposal(1));
        queue.push(&settings, proposal(2));
        assert_eq!((queue.proposals.len(), queue.weight), (1, each), "one alone always fits");
    }

    #[test]
    fn a_new_round_makes_every_waiting_proposal_due_in_order() {
        let settings = Settings::default();
        let mut pending = Pending::default();
        for id in [5, 1, 3] {
            pending.take(Time::ZERO, &settings, proposal(id)).unwrap();
        }
        let patience = Duration::from_secs(1);
        let mut due = |now, round| -> Vec<_> {
            pending.due(now, round, patience).into_iter().map(|proposal| proposal.id).collect()
        };
        let all = [5, 1, 3].map(ProposalId::from_u128);
        assert_eq!(due(Time::ZERO, Round(0)), all);
        assert_eq!(due(Time::ZERO, Round(0)), []);
        assert_eq!(due(Time::ZERO, Round(1)), all);
        assert_eq!(due(Time::ZERO + patience, Round(1)), all, "no answer came for too long");
    }
}
