//! Who lost its directory, or runs on an old copy of it: named, stopped, and counted nowhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::consensus::Halt;
use crate::sim::checker::invariant::{Finding, Invariant, Verdict};
use crate::sim::checker::judge::{Book, Checker};
use crate::sim::checker::ledger::Head;
use crate::types::NodeId;
use crate::wire::Payload;

/// Places whose member is gone for good, or should be.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcasts {
    /// Another node stands in these places.
    strangers: BTreeMap<usize, BTreeSet<usize>>,
    /// The member in these places has less than its peers had heard of it.
    forgetful: BTreeMap<usize, Forgetful>,
    /// What the member in these places had announced before it was given a copy to start on.
    on_trial: BTreeMap<usize, Head>,
}

#[derive(Clone, Copy, Debug)]
struct Forgetful {
    /// What it had announced.
    before: Head,
    has_stopped: bool,
}

/// What a checker knows of a copy of a directory.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Copied(Book);

impl Copied {
    /// Whether it holds the epoch.
    pub(in crate::sim) fn is_formed(&self) -> bool {
        self.0.durable.head().epoch.is_some()
    }
}

impl Checker {
    /// The directory of `node` is lost, `successor` comes into its place.
    pub(in crate::sim) fn wiped(&mut self, node: usize, successor: NodeId) {
        self.ids[node] = successor;
        self.books[node] = Book::default();
        self.outcasts.strangers.insert(node, BTreeSet::new());
    }

    /// `node` has its key and not its log, and did not start.
    pub(in crate::sim) fn lost(&mut self, node: usize) {
        let before = self.books[node].told;
        self.outcasts.forgetful.insert(node, Forgetful { before, has_stopped: true });
        self.texts.life_over(node);
    }

    /// What stands on the disk of `node` is copied.
    pub(in crate::sim) fn copied(&self, node: usize) -> Copied {
        let Book { live, durable, unsynced, votes, .. } = self.books[node].clone();
        Copied(Book { live, durable, unsynced, votes, ..Book::default() })
    }

    /// The copy takes the place of the directory.
    pub(in crate::sim) fn restored(&mut self, node: usize, Copied(book): Copied) {
        self.outcasts.on_trial.insert(node, self.books[node].told);
        self.books[node] = book;
    }

    /// A member has read what is on its disk. One that was given a copy, and holds less than its peers were told,
    /// must find that out and stop.
    pub(super) fn tried(&mut self, node: usize) {
        let Some(before) = self.outcasts.on_trial.remove(&node) else { return };
        if is_less(&self.books[node].told, &before) {
            self.outcasts.forgetful.insert(node, Forgetful { before, has_stopped: false });
        }
    }

    /// A member that had forgotten may be brought in by the proposer before it is told: once it holds as much as
    /// it had announced, it is a member like any other, and its vote counts.
    pub(super) fn forgive(&mut self, node: usize) -> Verdict {
        let told = self.books[node].told;
        let is_made_good = |it: &Forgetful| !it.has_stopped && !is_less(&told, &it.before);
        if !self.outcasts.forgetful.get(&node).is_some_and(is_made_good) {
            return Ok(());
        }
        self.outcasts.forgetful.remove(&node);
        self.count_vote(node, &told)
    }

    /// How many members are out for good.
    pub(in crate::sim) fn out(&self) -> usize {
        (0..self.ids.len()).filter(|node| self.is_out(*node)).count()
    }

    /// Whether the member in this place is out for good.
    pub(in crate::sim) fn is_out(&self, node: usize) -> bool {
        self.is_stranger(node) || self.outcasts.forgetful.contains_key(&node)
    }

    /// Whether another node stands in this place.
    pub(in crate::sim) fn is_stranger(&self, node: usize) -> bool {
        self.outcasts.strangers.contains_key(&node)
    }

    /// Whether the member in this place has forgotten and knows it.
    pub(in crate::sim) fn has_stopped(&self, node: usize) -> bool {
        self.outcasts.forgetful.get(&node).is_some_and(|it| it.has_stopped)
    }

    pub(super) fn is_intact(&self, id: NodeId) -> bool {
        self.ids.iter().position(|other| *other == id).is_some_and(|node| !self.is_out(node))
    }

    /// `node` says that `named` does not belong.
    pub(super) fn named(&mut self, node: usize, named: NodeId) -> Verdict {
        let place = self.ids.iter().position(|id| *id == named);
        let stranger = place.and_then(|place| self.outcasts.strangers.get_mut(&place));
        let Some(namers) = stranger else {
            let what = format!("says that {named} does not belong, which does");
            return Err((Invariant::NoFalseAlarm, what));
        };
        namers.insert(node);
        Ok(())
    }

    /// `node` accuses `peer` of something that no honest member does.
    pub(super) fn accused(&self, node: usize, peer: NodeId, what: &str) -> Verdict {
        let place = self.ids.iter().position(|id| *id == peer);
        // Strangers may differ on who was where when each of them came.
        let between_strangers =
            self.is_stranger(node) || place.is_none_or(|at| self.is_stranger(at));
        if between_strangers || place.is_some_and(|at| self.outcasts.forgetful.contains_key(&at)) {
            return Ok(());
        }
        Err((Invariant::NoFalseAlarm, format!("accuses {peer}, which is honest: {what}")))
    }

    /// `node` stops.
    pub(super) fn halted(&mut self, node: usize, halt: &Halt) -> Verdict {
        match (self.outcasts.forgetful.get_mut(&node), halt) {
            // It may as well see that its round was led before, or its slots filled.
            (Some(forgetful), Halt::Forgot { .. } | Halt::Conflict { .. }) => {
                forgetful.has_stopped = true;
                Ok(())
            }
            (None, _) => Err((Invariant::NoFalseAlarm, halt.to_string())),
        }
    }

    /// A stranger says nothing of the log; what a forgetful member says of it is its peers' to refuse.
    pub(super) fn said_by_outcast(&self, node: usize, payload: &Payload) -> Verdict {
        let is_about_the_log = match payload {
            Payload::Consensus(_) => true,
            Payload::HeartBeat(beat) => beat.log.is_some(),
            Payload::Ping(_) | Payload::Pong(_) | Payload::Data(_) => false,
        };
        if self.is_stranger(node) && is_about_the_log {
            return Err((Invariant::Excluded, "speaks of the log, and is a stranger".to_owned()));
        }
        Ok(())
    }

    /// Every stranger knows that it is one, and so does every member; whoever forgot has stopped.
    pub(super) fn outcasts_known(&self) -> Result<(), Finding> {
        let unknown = |what: String| (Invariant::Excluded, what);
        for (stranger, namers) in &self.outcasts.strangers {
            let all = (0..self.ids.len()).filter(|node| node == stranger || !self.is_out(*node));
            if let Some(silent) = all.into_iter().find(|node| !namers.contains(node)) {
                let what =
                    format!("node {} never says that {} is a stranger", silent + 1, stranger + 1);
                return Err(unknown(what));
            }
        }
        let goes_on = self.outcasts.forgetful.iter().find(|(_, it)| !it.has_stopped);
        goes_on.map_or(Ok(()), |(node, _)| {
            Err(unknown(format!("node {} has forgotten and goes on", node + 1)))
        })
    }
}

/// Whether a member that announces `found` announces less than `before` (R15).
fn is_less(found: &Head, before: &Head) -> bool {
    found.epoch < before.epoch
        || found.promised < before.promised
        || (found.accepted, found.voted.slot) < (before.accepted, before.voted.slot)
}
