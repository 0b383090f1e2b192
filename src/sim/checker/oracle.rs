//! What is chosen, found from the disks alone: a second count of the votes, by other code.
//!
//! A position is chosen in a round once a quorum of the epoch's members holds, synced, a vote
//! of that round for it or for what extends it.

use std::collections::BTreeMap;

use crate::consensus::{Entry, EpochConfig};
use crate::sim::checker::invariant::{Finding, Invariant};
use crate::types::{Digest, Epoch, Position, ProposalId, Round, Slot};

/// An epoch's round.
pub(super) type Attempt = (Epoch, Round);

/// What is known of an entry, wherever it was appended first.
#[derive(Clone, Debug)]
pub(super) struct Known {
    parent: Position,
    pub(super) proposal: Option<ProposalId>,
    pub(super) until: Option<Slot>,
}

/// The log of one round, as its proposer wrote it.
#[derive(Clone, Debug, Default)]
struct RoundLog {
    base: Slot,
    log: Vec<Digest>,
    /// By member: the highest position voted, on its synced disk.
    votes: BTreeMap<usize, Slot>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Oracle {
    known: BTreeMap<Digest, Known>,
    rounds: BTreeMap<Attempt, RoundLog>,
    epochs: BTreeMap<Epoch, (EpochConfig, Position)>,
    chosen: Vec<(Position, Attempt)>,
}

impl Oracle {
    /// What is chosen in `slot`.
    pub(super) fn chosen(&self, slot: Slot) -> Option<Position> {
        match slot.previous() {
            _ if slot == Slot(0) => Some(Position::GENESIS),
            Slot(index) => Some(self.chosen.get(usize::try_from(index).ok()?)?.0),
        }
    }

    /// Whether `position` is chosen.
    pub(super) fn is_chosen(&self, position: Position) -> bool {
        self.chosen(position.slot) == Some(position)
    }

    /// The end of what is chosen.
    pub(super) fn tip(&self) -> Position {
        self.chosen.last().map_or(Position::GENESIS, |(position, _)| *position)
    }

    pub(super) fn known(&self, hash: Digest) -> Option<&Known> {
        self.known.get(&hash)
    }

    pub(super) fn epoch_started(
        &mut self,
        config: &EpochConfig,
        base: Position,
    ) -> Result<(), Finding> {
        let held = self.epochs.entry(config.epoch).or_insert_with(|| (config.clone(), base));
        if *held == (config.clone(), base) {
            return Ok(());
        }
        let what = format!(
            "epoch {} is {:?} at {base}, elsewhere {:?} at {}",
            config.epoch, config.members, held.0.members, held.1
        );
        Err((Invariant::OneConfigPerEpoch, what))
    }

    pub(super) fn saw(&mut self, parent: Position, entry: &Entry) {
        self.known.entry(entry.position().hash).or_insert_with(|| Known {
            parent,
            proposal: entry.proposal().map(|proposal| proposal.id),
            until: entry.proposal().and_then(|proposal| proposal.until),
        });
    }

    /// The proposer of `attempt` has chosen `log` to start its round with (R3).
    pub(super) fn base(&mut self, attempt: Attempt, log: &[Position]) -> Result<(), Finding> {
        let lower = self.chosen.iter().rev().find(|(_, chosen_in)| *chosen_in < attempt);
        if let Some((chosen, chosen_in)) = lower
            && log.get(index(chosen.slot)) != Some(chosen)
        {
            let what = format!(
                "{chosen} was chosen in round {}, the base of round {} lacks it",
                chosen_in.1, attempt.1
            );
            return Err((Invariant::CarryOver, what));
        }
        let hashes: Vec<_> = log.iter().map(|position| position.hash).collect();
        let base = Slot(log.len() as u64);
        match self.rounds.get(&attempt) {
            None => {
                self.rounds.insert(attempt, RoundLog { base, log: hashes, votes: BTreeMap::new() });
                Ok(())
            }
            Some(old) if old.log == hashes => Ok(()),
            Some(_) => {
                Err((Invariant::OneLogPerRound, format!("round {} is started twice", attempt.1)))
            }
        }
    }

    /// The proposer of `attempt` has extended its log.
    pub(super) fn extended(&mut self, attempt: Attempt, entries: &[Entry]) -> Result<(), Finding> {
        let Some(round) = self.rounds.get_mut(&attempt) else {
            return Err((
                Invariant::OneLogPerRound,
                format!("round {} is extended before it is started", attempt.1),
            ));
        };
        for entry in entries {
            let at = index(entry.slot());
            match round.log.get(at) {
                Some(held) if *held == entry.position().hash => {}
                None if at == round.log.len() => round.log.push(entry.position().hash),
                Some(_) | None => {
                    let what = format!(
                        "the proposer of round {} puts {} where it had put another",
                        attempt.1,
                        entry.position()
                    );
                    return Err((Invariant::OneLogPerRound, what));
                }
            }
        }
        Ok(())
    }

    /// A member has adopted `attempt` with `log`.
    pub(super) fn adopted(&self, attempt: Attempt, log: &[Position]) -> Result<(), Finding> {
        let Some(round) = self.rounds.get(&attempt) else {
            return Err((
                Invariant::OneLogPerRound,
                format!("round {} is adopted before its proposer started it", attempt.1),
            ));
        };
        if (log.len() as u64) < round.base.0 {
            let what = format!(
                "adopted {} slots of round {}, its base has {}",
                log.len(),
                attempt.1,
                round.base
            );
            return Err((Invariant::AcceptedCoversBase, what));
        }
        self.follows(attempt, log)
    }

    /// Whether `log` is a prefix of the log of `attempt`.
    pub(super) fn follows(&self, attempt: Attempt, log: &[Position]) -> Result<(), Finding> {
        let held = self.rounds.get(&attempt).map_or(&[][..], |round| &round.log);
        let stray = log
            .iter()
            .enumerate()
            .rev()
            .find(|(at, position)| held.get(*at) != Some(&position.hash));
        match stray {
            None => Ok(()),
            Some((_, position)) => Err((
                Invariant::OneLogPerRound,
                format!("{position} is not in the log of round {}", attempt.1),
            )),
        }
    }

    /// Whether the log of `attempt` passes through `position`.
    pub(super) fn passes(&self, attempt: Attempt, position: Position) -> bool {
        position.slot == Slot(0)
            || self
                .rounds
                .get(&attempt)
                .is_some_and(|round| round.log.get(index(position.slot)) == Some(&position.hash))
    }

    /// `member` holds a synced vote of `attempt` up to `voted`. Gives the slots newly chosen by it.
    pub(super) fn voted(
        &mut self,
        member: usize,
        attempt: Attempt,
        voted: Position,
        quorum: usize,
    ) -> Result<Vec<Position>, Finding> {
        if !self.passes(attempt, voted) {
            return Err((
                Invariant::OneLogPerRound,
                format!("voted {voted}, which is not in the log of round {}", attempt.1),
            ));
        }
        let Some(round) = self.rounds.get_mut(&attempt) else { return Ok(Vec::new()) };
        let before = round.votes.entry(member).or_default();
        *before = voted.slot.max(*before);
        let mut votes: Vec<Slot> = round.votes.values().copied().collect();
        votes.sort_unstable_by(|a, b| b.cmp(a));
        match votes.get(quorum - 1) {
            Some(Slot(0)) | None => Ok(Vec::new()),
            Some(slot) => {
                let chosen = Position { slot: *slot, hash: round.log[index(*slot)] };
                self.choose(attempt, chosen)
            }
        }
    }

    fn choose(&mut self, attempt: Attempt, tip: Position) -> Result<Vec<Position>, Finding> {
        if let Some((held, held_in)) = self.chosen.get(index(tip.slot)) {
            if *held == tip {
                return Ok(Vec::new());
            }
            let what = format!(
                "{tip} is chosen in round {}, {held} was in round {}",
                attempt.1, held_in.1
            );
            return Err((Invariant::Agreement, what));
        }
        let mut fresh = vec![tip];
        let mut below = self.parent(tip);
        while below.slot > self.tip().slot {
            fresh.push(below);
            below = self.parent(below);
        }
        if below != self.tip() {
            let what = format!(
                "{tip} is chosen in round {} on top of {below}, chosen is {}",
                attempt.1,
                self.tip()
            );
            return Err((Invariant::Agreement, what));
        }
        let lacking = self.rounds.iter().find(|(other, round)| {
            **other > attempt && round.log.get(index(tip.slot)) != Some(&tip.hash)
        });
        if let Some((other, _)) = lacking {
            let what = format!(
                "{tip} is chosen in round {}, the base of round {} lacks it",
                attempt.1, other.1
            );
            return Err((Invariant::CarryOver, what));
        }
        fresh.reverse();
        self.chosen.extend(fresh.iter().map(|position| (*position, attempt)));
        Ok(fresh)
    }

    fn parent(&self, of: Position) -> Position {
        self.known.get(&of.hash).expect("a vote is checked to be for a known entry").parent
    }
}

/// Slots count from 1, vectors from 0. (Slot 0 has no place; callers handle it.)
fn index(slot: Slot) -> usize {
    usize::try_from(slot.0.wrapping_sub(1)).unwrap_or(usize::MAX)
}
