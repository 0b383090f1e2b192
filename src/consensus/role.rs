//! What a member does in the round under way. Volatile: a restart ends it (R2).

use std::collections::{BTreeMap, BTreeSet};

use crate::consensus::{Content, Entry, Promise};
use crate::mutant::{self, Mutant};
use crate::types::{NodeId, Position, ProposalId, Round, Slot, Time};

/// Follower, candidate or proposer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// Votes for what others propose.
    Follower,
    /// Round 0 is recorded and leads as soon as that is synced (R2).
    Opening,
    /// Wants to lead a round (R2, R3).
    Candidate(Candidate),
    /// Leads a round (R4).
    Leading(Leading),
}

/// R2, R3.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Candidate {
    pub(super) round: Round,
    /// Who does not lead by then gives up.
    pub(super) until: Time,
    pub(super) prepared: bool,
    pub(super) promises: BTreeMap<NodeId, Promise>,
    /// Promises whose tail does not start at the commit or does not end where it was said to.
    pub(super) passed_over: BTreeSet<NodeId>,
    /// Promises whose tail could not be had in time.
    pub(super) left_out: BTreeSet<NodeId>,
    pub(super) pull: Option<Pull>,
}

/// A tail on its way here (R3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pull {
    pub(super) from: NodeId,
    /// Where it starts: the commit when it was asked for.
    pub(super) after: Position,
    /// Where it must end.
    pub(super) end: Position,
    pub(super) got: Vec<Entry>,
    pub(super) asked: Time,
    /// An answer is on its way.
    pub(super) waiting: bool,
    /// The answer did not start where it had to.
    pub(super) conflict: bool,
}

/// Whether a tail is the one that was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// From the commit to where it was said to end.
    Whole,
    /// Not what was promised: it does not start at the commit or ends in another hash.
    Conflict,
    /// More is to come.
    Open,
}

impl Pull {
    pub(super) fn new(now: Time, from: NodeId, after: Position, end: Position) -> Self {
        Self { from, after, end, got: Vec::new(), asked: now, waiting: false, conflict: false }
    }

    /// Entries of the promiser, behind `after` in its log.
    pub(super) fn take(&mut self, after: Position, entries: &[Entry], more: bool) {
        let tip = self.got.last().map_or(self.after, Entry::position);
        if after.slot == tip.slot {
            self.waiting = more;
            self.conflict |= after != tip;
            self.got.extend(entries.iter().filter(|e| e.slot() <= self.end.slot).cloned());
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        let tip = self.got.last().map_or(self.after, Entry::position);
        if self.conflict || (tip.slot == self.end.slot && tip != self.end) {
            Verdict::Conflict
        } else if tip == self.end {
            Verdict::Whole
        } else {
            Verdict::Open
        }
    }
}

/// R4.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leading {
    pub(super) round: Round,
    pub(super) progress: BTreeMap<NodeId, Progress>,
    /// Ids in the own log that are not delivered yet.
    pub(super) placed: BTreeSet<ProposalId>,
}

/// What was sent to a member in this round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Progress {
    /// It announced `accepted = round`.
    pub(super) adopted: bool,
    /// Up to here entries were sent since it adopted.
    pub(super) sent: Slot,
    /// The adoption that was sent last.
    pub(super) offered: Option<Offer>,
    /// How far that adoption reached.
    pub(super) offered_to: Slot,
    /// At its last heartbeat: how far it had come, what had been sent.
    pub(super) at_beat: Option<(Slot, Slot)>,
    /// Heartbeats since anything moved though something was sent.
    pub(super) stalls: u32,
}

/// An adoption that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Offer {
    /// Behind which position.
    pub(super) after: Position,
    pub(super) at: Time,
}

/// Which log a candidate must adopt (R3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Too few promises.
    Wait,
    /// A promiser committed more than is known here: learn that first.
    Learn(NodeId, Position),
    /// The own log, as it is.
    Own,
    /// The log of this promiser, up to its tip; its tail starts at the own commit.
    Tail(NodeId, Position),
    /// Nothing follows the commit.
    Commit,
}

impl Candidate {
    /// R3: of the promises whose tip lies beyond the commit, the one highest by (accepted, length),
    /// the own report included; on a tie the own, which needs no fetching.
    pub(super) fn choose(
        &self,
        quorum: usize,
        committed: Position,
        own: (Option<Round>, Position),
    ) -> Choice {
        let counted = || self.promises.iter().filter(|(from, _)| !self.left_out.contains(from));
        if counted().count() + 1 < quorum {
            return Choice::Wait;
        }
        if let Some((from, promise)) = counted().max_by_key(|(_, p)| p.committed.slot)
            && promise.committed.slot > committed.slot
        {
            return Choice::Learn(*from, promise.committed);
        }
        let best = counted()
            .filter(|(from, promise)| {
                promise.last.slot > committed.slot && !self.passed_over.contains(from)
            })
            .max_by_key(|(_, promise)| merit(promise.accepted, promise.last.slot));
        if mutant::is(Mutant::TailNotCarried) {
            return Choice::Commit;
        }
        match best {
            Some((from, promise))
                if own.1.slot <= committed.slot
                    || merit(promise.accepted, promise.last.slot) > merit(own.0, own.1.slot) =>
            {
                Choice::Tail(*from, promise.last)
            }
            Some(_) => Choice::Own,
            None if own.1.slot > committed.slot => Choice::Own,
            None => Choice::Commit,
        }
    }
}

/// R3: the log of the highest round counts most, then the longest.
fn merit(accepted: Option<Round>, last: Slot) -> (Option<Round>, Slot) {
    if mutant::is(Mutant::LowestTailCarried) {
        let below = accepted.map_or(0, |round| round.0 + 1);
        return (Some(Round(u64::MAX - below)), last);
    }
    if mutant::is(Mutant::LongestTailCarried) {
        return (None, last);
    }
    (accepted, last)
}

/// The contents of `entries`, in order.
pub(super) fn contents<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Content> {
    entries.map(|entry| entry.content().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::Kind;
    use crate::types::{Digest, Epoch};

    const OWN_COMMIT: u64 = 5;

    fn at(slot: u64) -> Position {
        Position { slot: Slot(slot), hash: Digest::new([7; 32]) }
    }

    fn node(n: usize) -> NodeId {
        NodeId::from_u128(n as u128)
    }

    /// Promises of nodes 1, 2 and so on: accepted, the tip's slot, the commit's.
    fn candidate(promises: &[(Option<u64>, u64, u64)]) -> Candidate {
        let promise = |(at_index, (accepted, last, committed)): (usize, &(_, u64, u64))| {
            let accepted = Option::<u64>::map(*accepted, Round);
            let (last, committed) = (at(*last), at(*committed));
            (node(at_index + 1), Promise { round: Round(9), accepted, last, committed })
        };
        Candidate {
            round: Round(9),
            until: Time::ZERO,
            prepared: true,
            promises: promises.iter().enumerate().map(promise).collect(),
            passed_over: BTreeSet::new(),
            left_out: BTreeSet::new(),
            pull: None,
        }
    }

    fn choice(candidate: &Candidate, own: (Option<u64>, u64)) -> Choice {
        candidate.choose(3, at(OWN_COMMIT), (own.0.map(Round), at(own.1)))
    }

    #[test]
    fn a_new_proposer_carries_the_tail_of_the_highest_round_then_the_longest() {
        type Line = (Option<u64>, u64, u64);
        type Case<'c> = (&'c [Line], (Option<u64>, u64), Choice);
        let table: [Case<'_>; 12] = [
            (&[(Some(0), 5, 5)], (Some(0), 5), Choice::Wait),
            (&[(Some(0), 5, 5), (Some(0), 5, 5)], (Some(0), 5), Choice::Commit),
            (&[(None, 5, 4), (None, 4, 3)], (None, 5), Choice::Commit),
            (&[(None, 5, 5), (None, 5, 5)], (None, 6), Choice::Own),
            // Who knows a later commit is asked for it before anything else.
            (&[(Some(8), 9, 5), (Some(0), 6, 6)], (Some(0), 9), Choice::Learn(node(2), at(6))),
            // Without an own tail any tail is one to carry.
            (&[(None, 6, 5), (None, 5, 5)], (Some(3), 5), Choice::Tail(node(1), at(6))),
            // The round counts before the length.
            (&[(Some(3), 6, 5), (Some(2), 9, 5)], (Some(1), 9), Choice::Tail(node(1), at(6))),
            (&[(Some(3), 6, 5), (Some(2), 9, 5)], (Some(4), 6), Choice::Own),
            (&[(None, 9, 5), (Some(0), 6, 5)], (None, 8), Choice::Tail(node(2), at(6))),
            // Of one round the longer one.
            (&[(Some(3), 7, 5), (Some(3), 8, 5)], (Some(3), 6), Choice::Tail(node(2), at(8))),
            // On a tie the own, which needs no fetching.
            (&[(Some(3), 7, 5), (Some(3), 6, 5)], (Some(3), 7), Choice::Own),
            // A tip at the commit is no tail, whatever its round.
            (&[(Some(8), 5, 5), (Some(0), 6, 5)], (Some(0), 5), Choice::Tail(node(2), at(6))),
        ];
        for (promises, own, expected) in table {
            assert_eq!(choice(&candidate(promises), own), expected, "{promises:?} own {own:?}");
        }
    }

    #[test]
    fn a_tail_that_was_not_what_it_should_be_is_passed_over_and_a_lost_one_left_out() {
        let mut candidate = candidate(&[(Some(3), 8, 5), (Some(2), 7, 5), (Some(1), 6, 5)]);
        assert_eq!(choice(&candidate, (None, 5)), Choice::Tail(node(1), at(8)));
        candidate.passed_over.insert(node(1));
        assert_eq!(choice(&candidate, (None, 5)), Choice::Tail(node(2), at(7)));
        candidate.left_out.insert(node(2));
        assert_eq!(choice(&candidate, (None, 5)), Choice::Tail(node(3), at(6)));
        // Who is passed over has promised nevertheless; who is left out has not.
        candidate.left_out.insert(node(3));
        assert_eq!(choice(&candidate, (None, 5)), Choice::Wait);
    }

    #[test]
    fn a_pulled_tail_is_whole_when_it_ends_where_it_was_said_to() {
        let content = Content { epoch: Epoch(1), kind: Kind::Noop };
        let log = Entry::chain(Position::GENESIS, vec![content; 4]);
        let (start, end) = (log[0].position(), log[2].position());
        let new = || Pull { waiting: true, ..Pull::new(Time::ZERO, node(1), start, end) };

        let mut pull = new();
        pull.take(start, &log[1..2], true);
        assert_eq!((pull.verdict(), pull.waiting), (Verdict::Open, true), "more follows unasked");
        let mut pull = new();
        pull.take(start, &log[1..2], false);
        assert_eq!((pull.verdict(), pull.waiting), (Verdict::Open, false));
        // Entries that do not start where the last ones ended are of another answer.
        pull.waiting = true;
        pull.take(start, &log[1..], false);
        assert_eq!((pull.got.len(), pull.waiting), (1, true));
        // What stands behind the end was not promised.
        pull.take(log[1].position(), &log[2..], false);
        assert_eq!((pull.verdict(), pull.got.len()), (Verdict::Whole, 2));

        let mut elsewhere = new();
        elsewhere.take(at(1), &log[1..2], false);
        assert_eq!(elsewhere.verdict(), Verdict::Conflict);
        let mut other_end = Pull { end: at(3), ..new() };
        other_end.take(start, &log[1..3], false);
        assert_eq!(other_end.verdict(), Verdict::Conflict);
    }
}
