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
    /// All before this one were submitted in `round`, none from it on.
    submitted: u64,
    round: Option<Round>,
    held: Load,
    /// Of those that were submitted in `round`.
    underway: Load,
}

/// How many proposals, and what they weigh together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Load {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl Load {
    /// What a queue holds at most.
    pub(super) fn max(settings: &Settings) -> Self {
        Self { count: settings.pending_max, bytes: settings.pending_bytes_max }
    }

    /// Whether so much more fits into `max`; one alone always does.
    fn has_room(self, max: Self, weight: usize) -> bool {
        self.count == 0 || (self.count < max.count && self.bytes + weight <= max.bytes)
    }

    fn add(&mut self, weight: usize) {
        self.count += 1;
        self.bytes += weight;
    }

    fn remove(&mut self, weight: usize) {
        self.count -= 1;
        self.bytes -= weight;
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    proposal: Proposal,
    since: Time,
    submitted: Option<Time>,
}

impl Pending {
    /// Whether this one waits.
    pub(super) fn holds(&self, id: ProposalId) -> bool {
        self.order.contains_key(&id)
    }

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
        if self.holds(proposal.id) {
            return Ok(());
        }
        let weight = proposal.weight();
        let has_room = self.held.has_room(Load::max(settings), weight);
        if !has_room && !mutant::is(Mutant::PendingUnbounded) {
            return Err(Rejection::Busy);
        }
        self.held.add(weight);
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
        let weight = waiting.proposal.weight();
        self.held.remove(weight);
        if order < self.submitted {
            self.underway.remove(weight);
        }
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

    /// Those to be submitted now, in order: those whose submission is as old as `patience`, and as many that are not
    /// submitted in this round as there is room for beside the others. The rest is held back.
    pub(super) fn due(
        &mut self,
        now: Time,
        round: Round,
        patience: Duration,
        room: Load,
    ) -> Vec<Proposal> {
        if self.round != Some(round) {
            self.round = Some(round);
            self.submitted = 0;
            self.underway = Load::default();
        }
        let is_resubmitted =
            |waiting: &&mut Waiting| waiting.submitted.is_none() || !mutant::is(Mutant::NoResubmit);
        let submit = |waiting: &mut Waiting| {
            waiting.submitted = Some(now);
            waiting.proposal.clone()
        };
        let mut due = Vec::new();
        if self.oldest_submission().is_some_and(|at| now.since(at) >= patience) {
            let underway = self.by_order.range_mut(..self.submitted).map(|(_, waiting)| waiting);
            let overdue = underway
                .filter(|waiting| waiting.submitted.is_none_or(|at| now.since(at) >= patience));
            due.extend(overdue.filter(is_resubmitted).map(submit));
        }
        for (order, waiting) in self.by_order.range_mut(self.submitted..) {
            let weight = waiting.proposal.weight();
            if !self.underway.has_room(room, weight) {
                break;
            }
            self.underway.add(weight);
            self.submitted = order + 1;
            due.extend(Some(waiting).filter(is_resubmitted).map(submit));
        }
        due
    }

    /// Whether some wait for room among those that were submitted.
    pub(super) fn is_held_back(&self) -> bool {
        self.by_order.range(self.submitted..).next().is_some()
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
    held: Load,
}

impl Queue {
    /// Adds a proposal. A full queue drops it: who submitted it submits again.
    pub(super) fn push(&mut self, settings: &Settings, proposal: Proposal) {
        let weight = proposal.weight();
        let has_room = self.held.has_room(Load::max(settings), weight);
        if has_room && self.ids.insert(proposal.id) {
            self.held.add(weight);
            self.proposals.push_back(proposal);
        }
    }

    /// The next one to place.
    pub(super) fn pop(&mut self) -> Option<Proposal> {
        let proposal = self.proposals.pop_front()?;
        self.ids.remove(&proposal.id);
        self.held.remove(proposal.weight());
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
            assert_eq!(pending.held.bytes, left);
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
                assert_eq!(queue.held.bytes, left);
            }
            queue.push(&settings, proposal(2));
            assert_eq!(queue.front(), Some(&proposal(2)), "what left may come again");
        }
        let settings = Settings { pending_bytes_max: each - 1, ..Settings::default() };
        let mut queue = Queue::default();
        queue.push(&settings, proposal(1));
        queue.push(&settings, proposal(2));
        assert_eq!((queue.proposals.len(), queue.held.bytes), (1, each), "one alone always fits");
    }

    #[test]
    fn what_finds_no_room_is_held_back_until_something_is_done() {
        let each = proposal(1).weight();
        let unbounded = Load::max(&Settings::default());
        for room in [Load { count: 2, ..unbounded }, Load { bytes: 3 * each - 1, ..unbounded }] {
            let mut pending = Pending::default();
            for id in 1..=5 {
                pending.take(Time::ZERO, &Settings::default(), proposal(id)).unwrap();
            }
            let due = |pending: &mut Pending, now, round| -> Vec<u128> {
                let due = pending.due(now, Round(round), Duration::from_secs(1), room);
                let id = |id: ProposalId| u128::from_be_bytes(*id.as_bytes());
                due.into_iter().map(|proposal| id(proposal.id)).collect()
            };
            assert_eq!(due(&mut pending, Time::ZERO, 0), [1, 2]);
            assert_eq!(due(&mut pending, Time::ZERO, 0), []);
            assert!(pending.is_held_back());
            // One that was not submitted makes no room.
            pending.done(ProposalId::from_u128(4)).unwrap();
            assert_eq!(due(&mut pending, Time::ZERO, 0), []);
            pending.done(ProposalId::from_u128(1)).unwrap();
            assert_eq!(due(&mut pending, Time::ZERO, 0), [3]);
            let later = Time::ZERO + Duration::from_secs(1);
            assert_eq!(due(&mut pending, later, 0), [2, 3], "no answer came for too long");
            assert_eq!(due(&mut pending, later, 1), [2, 3], "another proposer");
            for (id, next) in [(2, vec![5]), (3, vec![]), (5, vec![])] {
                pending.done(ProposalId::from_u128(id)).unwrap();
                assert_eq!(due(&mut pending, later, 1), next);
            }
            assert_eq!((pending.held, pending.underway), Default::default());
            assert!(!pending.is_held_back());
        }
    }

    #[test]
    fn one_proposal_alone_is_due_however_large() {
        let mut pending = Pending::default();
        for id in [1, 2] {
            pending.take(Time::ZERO, &Settings::default(), proposal(id)).unwrap();
        }
        let mut due = || {
            let room = Load { count: 0, bytes: 0 };
            pending.due(Time::ZERO, Round(0), Duration::from_secs(1), room).len()
        };
        assert_eq!([due(), due()], [1, 0]);
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
            let due = pending.due(now, round, patience, Load::max(&settings));
            due.into_iter().map(|proposal| proposal.id).collect()
        };
        let all = [5, 1, 3].map(ProposalId::from_u128);
        assert_eq!(due(Time::ZERO, Round(0)), all);
        assert_eq!(due(Time::ZERO, Round(0)), []);
        assert_eq!(due(Time::ZERO, Round(1)), all);
        assert_eq!(due(Time::ZERO + patience, Round(1)), all, "no answer came for too long");
    }
}
