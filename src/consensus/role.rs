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
    pub(super) fn take(&mut self, after: Position, entries: &[Entry]) {
        let tip = self.got.last().map_or(self.after, Entry::position);
        if after.slot == tip.slot {
            self.waiting = false;
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
    /// Behind which position the adoption was sent last.
    pub(super) offered: Option<Position>,
    /// At its last heartbeat: how far it had come, what had been sent.
    pub(super) at_beat: Option<(Slot, Slot)>,
    /// Heartbeats since anything moved though something was sent.
    pub(super) stalls: u32,
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
