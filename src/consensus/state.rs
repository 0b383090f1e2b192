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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{Content, Kind};
    use crate::types::{Epoch, NodeId};

    fn epoch(epoch: u64) -> EpochConfig {
        EpochConfig::new(Epoch(epoch), [NodeId::from_u128(1)])
    }

    fn log(of: u64, count: usize) -> Vec<Entry> {
        Entry::chain(Position::GENESIS, vec![Content { epoch: Epoch(of), kind: Kind::Noop }; count])
    }

    /// Epoch 2, round 3 promised and adopted with four entries, two of them committed.
    fn state() -> State {
        let mut state = State::default();
        let (after, entries) = (Position::GENESIS, log(1, 4));
        let committed = entries[1].position();
        for record in [
            Record::Epoch { config: epoch(2), base: Position::GENESIS },
            Record::Promise { round: Round(2) },
            Record::Adopt { round: Round(3), after, entries },
            Record::Commit { committed },
        ] {
            state.apply(&record).expect("it fits");
        }
        state
    }

    /// Epoch 2, round 3 adopted with one entry and voted; four learnt since, forgotten but for the place of the last,
    /// and one that is not committed.
    fn trimmed() -> State {
        let (ours, mut state) = (log(1, 6), State::default());
        for record in [
            Record::Epoch { config: epoch(2), base: Position::GENESIS },
            adopt(3, Position::GENESIS, &ours[..1]),
            learn(ours[0].position(), &ours[1..], ours[4].position()),
        ] {
            state.apply(&record).expect("it fits");
        }
        state.trim(Slot(9), 0, 0);
        assert_eq!((state.tail.before(), state.tail.len()), (ours[4].position(), 1));
        state
    }

    fn adopt(round: u64, after: Position, entries: &[Entry]) -> Record {
        Record::Adopt { round: Round(round), after, entries: entries.to_vec() }
    }

    fn append(entries: &[Entry], voted: Position) -> Record {
        Record::Append { entries: entries.to_vec(), voted }
    }

    fn learn(after: Position, entries: &[Entry], committed: Position) -> Record {
        Record::Learn { after, entries: entries.to_vec(), committed }
    }

    #[test]
    fn a_record_that_does_not_fit_changes_nothing() {
        let (ours, other) = (log(1, 6), log(7, 6));
        let at = |slot: usize| ours[slot - 1].position();
        let fork = Entry::chain(at(1), [other[1].content().clone(), other[2].content().clone()]);
        let mut promised = state();
        promised.apply(&Record::Promise { round: Round(5) }).expect("it fits");
        let mut unled = State::default();
        unled.apply(&Record::Epoch { config: epoch(2), base: Position::GENESIS }).expect("it fits");
        for (what, before, record) in [
            ("no epoch", State::default(), Record::Promise { round: Round(0) }),
            ("no epoch", State::default(), adopt(0, Position::GENESIS, &ours[..1])),
            ("the same epoch", state(), Record::Epoch { config: epoch(2), base: at(2) }),
            ("an older epoch", state(), Record::Epoch { config: epoch(1), base: at(2) }),
            ("behind the commit", state(), Record::Epoch { config: epoch(3), base: at(3) }),
            ("the same promise", state(), Record::Promise { round: Round(3) }),
            ("a lower promise", state(), Record::Promise { round: Round(2) }),
            ("below the promise", promised.clone(), adopt(4, at(2), &ours[2..])),
            ("below the promise", promised, append(&ours[4..5], at(5))),
            ("in no round", unled, append(&ours[..1], at(1))),
            ("a lower vote", state(), append(&ours[4..5], at(3))),
            ("a vote for what is not held", state(), append(&ours[4..5], at(6))),
            ("another vote in its place", state(), append(&ours[4..5], other[3].position())),
            ("another vote in its place", trimmed(), append(&[], other[0].position())),
            ("a vote for what is not held", trimmed(), append(&[], other[4].position())),
            ("not behind the tip", state(), append(&ours[5..], at(6))),
            ("adopted before", state(), adopt(3, at(2), &ours[2..])),
            ("over the commit", state(), adopt(4, at(1), &fork)),
            ("without the commit", state(), adopt(4, at(1), &[])),
            ("behind nothing", state(), adopt(4, at(5), &ours[5..])),
            ("behind another log", state(), adopt(4, other[2].position(), &other[3..])),
            ("not chained", state(), adopt(4, at(2), &other[2..])),
            ("with a hole", state(), adopt(4, at(2), &ours[3..])),
            ("over the commit", state(), learn(at(1), &ours[1..3], at(3))),
            ("over the commit", state(), learn(at(1), &fork, fork[1].position())),
            ("without its commit", state(), learn(at(2), &ours[2..3], at(4))),
            ("a lower commit", state(), Record::Commit { committed: at(1) }),
            ("an unknown commit", state(), Record::Commit { committed: at(5) }),
            ("another's commit", state(), Record::Commit { committed: other[2].position() }),
        ] {
            let mut after = before.clone();
            assert!(after.apply(&record).is_err(), "{what}: {record:?}");
            assert_eq!(after, before, "{what}: {record:?}");
        }
    }

    #[test]
    fn a_vote_for_what_memory_has_forgotten_stands() {
        let (ours, mut state) = (log(1, 6), trimmed());
        for voted in [2, 5, 6].map(|slot: usize| ours[slot - 1].position()) {
            state.apply(&append(&[], voted)).expect("it fits");
            assert_eq!((state.voted, state.last()), (voted, ours[5].position()));
        }
    }

    #[test]
    fn what_fits_changes_what_it_says_and_no_more() {
        let ours = log(1, 6);
        let at = |slot: usize| ours[slot - 1].position();
        let mut state = state();
        for record in [
            // Again the commit that is known, and a log that begins before it and holds it.
            Record::Commit { committed: at(2) },
            Record::Promise { round: Round(4) },
            adopt(4, at(1), &ours[1..3]),
        ] {
            state.apply(&record).expect("it fits");
        }
        assert_eq!((state.promised, state.accepted), (Some(Round(4)), Some(Round(4))));
        assert_eq!((state.last(), state.voted, state.committed), (at(3), at(3), at(2)));
        // A vote follows its entries, or comes with them.
        for (entries, voted, last) in [(&ours[3..4], 3, 4), (&[], 4, 4), (&ours[4..5], 5, 5)] {
            state.apply(&append(entries, at(voted))).expect("it fits");
            assert_eq!((state.last(), state.voted, state.committed), (at(last), at(voted), at(2)));
        }
        state.apply(&learn(at(2), &ours[2..6], at(4))).expect("it fits");
        assert_eq!((state.last(), state.voted, state.committed), (at(6), at(5), at(4)));
        state.apply(&Record::Epoch { config: epoch(3), base: at(4) }).expect("it fits");
        assert_eq!((state.last(), state.voted, state.base), (at(4), at(4), at(4)));
        assert_eq!((state.promised, state.accepted), (None, None));
    }
}
