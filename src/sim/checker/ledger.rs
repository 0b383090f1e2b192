//! What records amount to, read a second time: the checker's own understanding of a disk.
//!
//! [`crate::consensus::State::apply`] gives records their meaning for the node. This reading shares nothing
//! with it, keeps the whole log as bare positions, and is compared with it after every step.

use crate::consensus::{Entry, Record, State};
use crate::sim::checker::invariant::Invariant;
use crate::types::{Epoch, Position, Round, Slot};

/// The invariant that a record breaks, and the rule behind it.
pub(super) type Broken = (Invariant, &'static str);

/// A member's durable state, with the positions of the whole log.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    head: Head,
    log: Vec<Position>,
}

/// A ledger without its log: what a member may claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::sim) struct Head {
    pub(in crate::sim) epoch: Option<Epoch>,
    pub(in crate::sim) promised: Option<Round>,
    pub(in crate::sim) accepted: Option<Round>,
    pub(in crate::sim) voted: Position,
    pub(in crate::sim) last: Position,
    pub(in crate::sim) committed: Position,
}

impl Head {
    pub(super) fn of(state: &State) -> Self {
        Self {
            epoch: state.config.as_ref().map(|config| config.epoch),
            promised: state.promised,
            accepted: state.accepted,
            voted: state.voted,
            last: state.last(),
            committed: state.committed,
        }
    }
}

impl Ledger {
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Where the log stands at `slot`; slot 0 stands before every log.
    pub(super) fn at(&self, slot: Slot) -> Option<Position> {
        match slot.previous() {
            _ if slot == Slot(0) => Some(Position::GENESIS),
            Slot(index) => self.log.get(usize::try_from(index).ok()?).copied(),
        }
    }

    pub(super) fn contains(&self, position: Position) -> bool {
        self.at(position.slot) == Some(position)
    }

    /// The log, from slot 1.
    pub(super) fn log(&self) -> &[Position] {
        &self.log
    }

    /// Whether `state` is this ledger, as far as it is in memory.
    pub(super) fn agrees_with(&self, state: &State) -> bool {
        self.head == Head::of(state)
            && state.tail.behind(Slot(0)).all(|entry| self.contains(entry.position()))
    }

    /// Takes in one more record.
    ///
    /// # Errors
    /// The rule that the record breaks.
    pub(super) fn take(&mut self, record: &Record) -> Result<(), Broken> {
        let head = &mut self.head;
        match record {
            Record::Epoch { config, base } => {
                if head.epoch >= Some(config.epoch) || *base != head.committed {
                    return Err((
                        Invariant::OneConfigPerEpoch,
                        "an epoch starts once, at a commit (R14)",
                    ));
                }
                *head = Head {
                    epoch: Some(config.epoch),
                    promised: None,
                    accepted: None,
                    voted: *base,
                    ..*head
                };
                self.cut(*base)?;
            }
            Record::Promise { round } => {
                if head.promised >= Some(*round) {
                    return Err((Invariant::PromiseMonotone, "promises only grow (R1)"));
                }
                head.promised = Some(*round);
            }
            Record::Adopt { round, after, entries } => {
                if head.promised > Some(*round) || head.accepted >= Some(*round) {
                    return Err((
                        Invariant::NoVoteBelowPromise,
                        "a round is adopted once, and never below the promise (R5)",
                    ));
                }
                self.cut(*after)?;
                self.extend(entries)?;
                if !self.contains(self.head.committed) {
                    return Err((
                        Invariant::Stability,
                        "an adoption never cuts below the commit (R5)",
                    ));
                }
                self.head.promised = Some(*round);
                self.head.accepted = Some(*round);
                self.head.voted = self.head.last;
            }
            Record::Append { entries, voted } => {
                if head.accepted.is_none() || head.accepted != head.promised {
                    return Err((
                        Invariant::NoVoteBelowPromise,
                        "a log is extended only in the round promised (R6)",
                    ));
                }
                if voted.slot < head.voted.slot {
                    return Err((Invariant::VoteRemembered, "a vote once cast stays (R6)"));
                }
                self.extend(entries)?;
                if *voted != self.head.voted {
                    if self.at(voted.slot) != Some(*voted) {
                        return Err((
                            Invariant::VoteRemembered,
                            "a vote is for what the log holds",
                        ));
                    }
                    self.head.voted = *voted;
                }
            }
            Record::Learn { after, entries, committed } => {
                if after.slot < head.committed.slot {
                    return Err((Invariant::Stability, "a commit is never cut (R9)"));
                }
                self.cut(*after)?;
                self.extend(entries)?;
                self.commit(*committed)?;
            }
            Record::Commit { committed } => self.commit(*committed)?,
        }
        Ok(())
    }

    fn cut(&mut self, after: Position) -> Result<(), Broken> {
        if !self.contains(after) {
            return Err((Invariant::Integrity, "entries follow what the log holds"));
        }
        self.log.truncate(usize::try_from(after.slot.0).expect("a simulated log is short"));
        self.head.last = after;
        Ok(())
    }

    fn extend(&mut self, entries: &[Entry]) -> Result<(), Broken> {
        for entry in entries {
            if !Entry::follows(entry, self.head.last) {
                return Err((Invariant::Integrity, "entries are chained"));
            }
            self.log.push(entry.position());
            self.head.last = entry.position();
        }
        Ok(())
    }

    fn commit(&mut self, committed: Position) -> Result<(), Broken> {
        if committed.slot < self.head.committed.slot || !self.contains(committed) {
            return Err((
                Invariant::Stability,
                "a commit only grows, and is of what the log holds (R8, R9)",
            ));
        }
        self.head.committed = committed;
        Ok(())
    }
}
