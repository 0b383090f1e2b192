//! The durable state of a member, and what each record does to it.
//!
//! One function, [`State::apply`], gives records their meaning: the machine uses it when it
//! makes them, the log when it reads them back, the checker when it asks what a disk holds.
//! Four positions must never be mixed up: `voted` (moves only in R3, R5 and R6), `last`
//! (the log's tip), `committed`, and what was merely learned, which moves last and committed.

use crate::consensus::{Entry, EpochConfig, Record, Tail};
use crate::mutant::{self, Mutant};
use crate::types::{Position, Round, Slot};

/// What a node is built from after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// Who belongs; none before the cluster is formed.
    pub config: Option<EpochConfig>,
    /// The commit on which the epoch stands.
    pub base: Position,
    /// The highest round promised.
    pub promised: Option<Round>,
    /// The round in which the log was last adopted.
    pub accepted: Option<Round>,
    /// The highest position voted in `accepted`; the base if that is none.
    /// It stays when a cut (R9) takes the entry away: a vote once cast stays true.
    pub voted: Position,
    /// The end of the log.
    pub tail: Tail,
    /// What is known to be committed.
    pub committed: Position,
}

/// A record that does not fit the state it meets: no correct machine made it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record does not fit the state before it: {0}")]
pub struct Misfit(pub &'static str);

impl State {
    /// The tip of the log.
    pub fn last(&self) -> Position {
        self.tail.last()
    }

    /// Makes the change that `record` stands for, whole or not at all.
    ///
    /// # Errors
    /// [`Misfit`] if no correct machine makes this record in this state; nothing changed then.
    pub fn apply(&mut self, record: &Record) -> Result<(), Misfit> {
        match record {
            Record::Epoch { config, base } => self.start_epoch(config, *base),
            Record::Promise { round } => self.promise(*round),
            Record::Adopt { round, after, entries } => self.adopt(*round, *after, entries),
            Record::Append { entries, voted } => self.append(entries, *voted),
            Record::Learn { after, entries, committed } => self.learn(*after, entries, *committed),
            Record::Commit { committed } => self.commit(*committed),
        }
    }

    /// Forgets the oldest entries up to `through`, which must be committed, beyond what memory is to hold.
    pub fn trim(&mut self, through: Slot, slots_max: usize, weight_max: usize) {
        self.tail.trim(through.min(self.committed.slot), slots_max, weight_max);
    }

    fn start_epoch(&mut self, config: &EpochConfig, base: Position) -> Result<(), Misfit> {
        fits(base == self.committed, "an epoch starts at a commit")?;
        fits(self.config.as_ref().is_none_or(|old| old.epoch < config.epoch), "epochs only grow")?;
        self.config = Some(config.clone());
        self.base = base;
        self.promised = None;
        self.accepted = None;
        self.voted = base;
        self.tail.cut(base.slot);
        Ok(())
    }

    fn promise(&mut self, round: Round) -> Result<(), Misfit> {
        fits(self.config.is_some(), "a promise belongs to an epoch")?;
        fits(self.promised < Some(round), "promises only grow")?;
        self.promised = Some(round);
        Ok(())
    }

    fn adopt(&mut self, round: Round, after: Position, entries: &[Entry]) -> Result<(), Misfit> {
        fits(self.config.is_some(), "a round belongs to an epoch")?;
        fits(self.promised <= Some(round), "nothing below the promise is adopted")?;
        fits(self.accepted < Some(round), "a round is adopted once")?;
        self.follows(after, entries)?;
        fits(
            self.committed.slot <= after.slot
                || entries.iter().any(|entry| entry.position() == self.committed)
                || mutant::is(Mutant::AdoptedBelowCommit),
            "an adoption keeps the commit",
        )?;
        self.replace_behind(after, entries);
        self.promised = Some(round);
        self.accepted = Some(round);
        self.voted = self.last();
        Ok(())
    }

    fn append(&mut self, entries: &[Entry], voted: Position) -> Result<(), Misfit> {
        fits(
            self.accepted.is_some()
                && (self.accepted == self.promised || mutant::is(Mutant::ExtendedBelowPromise)),
            "a log is extended in the round that it adopted",
        )?;
        self.follows(self.last(), entries)?;
        let stays = voted == self.voted;
        fits(stays || self.voted.slot < voted.slot, "a vote once cast stays")?;
        fits(
            stays
                || voted.slot < self.tail.before().slot
                || self.tail.contains(voted)
                || entries.iter().any(|entry| entry.position() == voted),
            "a vote is for what the log holds",
        )?;
        self.replace_behind(self.last(), entries);
        self.voted = voted;
        Ok(())
    }

    fn learn(
        &mut self,
        after: Position,
        entries: &[Entry],
        committed: Position,
    ) -> Result<(), Misfit> {
        self.follows(after, entries)?;
        fits(self.committed.slot <= after.slot, "a commit is never cut")?;
        fits(
            committed == after || entries.iter().any(|entry| entry.position() == committed),
            "what is learned holds the commit",
        )?;
        self.replace_behind(after, entries);
        self.committed = committed;
        Ok(())
    }

    fn commit(&mut self, committed: Position) -> Result<(), Misfit> {
        fits(self.committed.slot <= committed.slot, "the commit only grows")?;
        fits(self.tail.contains(committed), "a commit is of what the log holds")?;
        self.committed = committed;
        Ok(())
    }

    /// `after` is in the log and `entries` are chained to it.
    fn follows(&self, after: Position, entries: &[Entry]) -> Result<(), Misfit> {
        fits(self.tail.contains(after), "entries follow what the log holds")?;
        let mut parent = after;
        for entry in entries {
            fits(Entry::follows(entry, parent), "entries are chained by their hashes")?;
            parent = entry.position();
        }
        Ok(())
    }

    fn replace_behind(&mut self, after: Position, entries: &[Entry]) {
        self.tail.cut(after.slot);
        for entry in entries {
            self.tail.push(entry.clone());
        }
    }
}

fn fits(holds: bool, why: &'static str) -> Result<(), Misfit> {
    if holds { Ok(()) } else { Err(Misfit(why)) }
}
