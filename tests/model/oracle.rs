//! What must hold, told from the disks alone: it shares no code with the core's own counting.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use quorate::consensus::State;
use quorate::types::{Position, Round, Slot};

/// A rule that was broken. The names are those of `docs/TESTING.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Broken {
    Agreement,
    OneLogPerRound,
    CarryOver,
    QuorumOfConfigured,
    PromiseMonotone,
    NoVoteBelowPromise,
    VoteRemembered,
    /// A record that does not fit the state it meets.
    Misfit,
    /// The node stops itself for a conflict.
    Halt,
}

/// What was voted, and what is final by that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Oracle {
    /// The log up to the highest position that each member ever voted durably in each round, as it was then.
    votes: BTreeMap<(Round, usize), Vec<Position>>,
    /// What a quorum voted in each round.
    chosen: BTreeMap<Round, Vec<Position>>,
    /// What is final, slot by slot.
    chain: Vec<Position>,
    broken: Option<Broken>,
    digest: u64,
}

impl Oracle {
    pub(super) fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// How many slots are final.
    pub(super) fn slots(&self) -> u64 {
        self.chain.len() as u64
    }

    /// Whether something was chosen in this round.
    pub(super) fn chose(&self, round: Round) -> bool {
        self.chosen.get(&round).is_some_and(|log| !log.is_empty())
    }

    /// Whether a log that is not empty was adopted in a round above the first.
    pub(super) fn carried(&self) -> bool {
        self.votes.iter().any(|((round, _), log)| round.0 > 0 && !log.is_empty())
    }

    /// Digests of equal oracles are equal.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn report(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
        self.renew();
    }

    /// What `member` has voted durably by now.
    pub(super) fn look(&mut self, member: usize, disk: &State, quorum: usize) {
        let Some(round) = disk.accepted else { return };
        let voted = prefix(disk, disk.voted);
        let key = (round, member);
        if self.votes.get(&key).is_some_and(|before| voted.len() <= before.len()) {
            return;
        }
        self.votes.insert(key, voted.clone());
        let mut agreeing = 0;
        for (_, log) in self.votes.range((round, 0)..=(round, usize::MAX)) {
            agreeing += usize::from(extends(log, &voted));
            if !extends(log, &voted) && !extends(&voted, log) {
                self.broken.get_or_insert(Broken::OneLogPerRound);
            }
        }
        if agreeing >= quorum {
            let chosen = self.chosen.entry(round).or_default();
            if chosen.len() < voted.len() {
                chosen.clone_from(&voted);
            }
            self.finally(&voted);
        }
        // A log of a round holds what was chosen in every lower one, whichever is known first.
        for (chosen_in, chosen) in &self.chosen {
            let mut later = self.votes.iter().filter(|((other, _), _)| other > chosen_in);
            if later.any(|(_, log)| !extends(log, chosen)) {
                self.broken.get_or_insert(Broken::CarryOver);
            }
        }
        self.renew();
    }

    /// What a node calls committed is what a quorum voted.
    pub(super) fn committed(&mut self, state: &State) {
        let prefix = prefix(state, state.committed);
        if self.chain.starts_with(&prefix) || self.broken.is_some() {
            return;
        }
        let is_other = !prefix.starts_with(&self.chain);
        self.report(if is_other { Broken::Agreement } else { Broken::QuorumOfConfigured });
    }

    fn finally(&mut self, prefix: &[Position]) {
        let common = self.chain.len().min(prefix.len());
        if self.chain[..common] != prefix[..common] {
            self.broken.get_or_insert(Broken::Agreement);
        }
        self.chain.extend_from_slice(&prefix[common..]);
    }

    fn renew(&mut self) {
        let mut hasher = DefaultHasher::new();
        (&self.votes, &self.chain, self.broken).hash(&mut hasher);
        self.digest = hasher.finish();
    }
}

fn extends(log: &[Position], prefix: &[Position]) -> bool {
    log.starts_with(prefix)
}

/// The positions of the log up to `end`; none if the entry was cut since: then it was counted before.
fn prefix(state: &State, end: Position) -> Vec<Position> {
    let entries = state.tail.behind(Slot(0)).map(quorate::consensus::Entry::position);
    let prefix: Vec<_> = entries.take_while(|position| position.slot <= end.slot).collect();
    if prefix.last().copied().unwrap_or_default() == end { prefix } else { Vec::new() }
}
