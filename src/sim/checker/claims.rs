//! `persist_before_send`: whether what a member says follows from what its disk is known to hold.

use std::collections::BTreeMap;

use crate::consensus::{Beat, Body, Message, Promise, Propose, Refuse, Vote};
use crate::sim::checker::invariant::{Finding, Invariant};
use crate::sim::checker::ledger::{Head, Ledger};
use crate::sim::checker::oracle::{Attempt, Oracle};
use crate::types::{Epoch, Position, Round};

/// A member's standing: what it was told to be durable, and what it has written beyond that.
pub(super) struct Claimant<'a> {
    /// The last synced state that the node was told of.
    pub(super) told: &'a Head,
    /// The highest vote of every round, as far as the node was told that they are synced.
    pub(super) votes: &'a BTreeMap<Attempt, Position>,
    /// All that was written, synced or not.
    pub(super) live: &'a Ledger,
    pub(super) oracle: &'a Oracle,
    /// Who proposes in a round.
    pub(super) proposes: &'a dyn Fn(Round) -> bool,
}

impl Claimant<'_> {
    pub(super) fn says(&self, message: &Message) -> Result<(), Finding> {
        must(Some(message.epoch) <= self.told.epoch, || {
            format!("speaks in epoch {} before holding it", message.epoch)
        })?;
        match &message.body {
            Body::Vote(vote) => self.votes(message.epoch, vote),
            Body::Promise(promise) => self.promises(promise),
            Body::Prepare(prepare) => must(
                self.told.promised == Some(prepare.round) && (self.proposes)(prepare.round),
                || {
                    format!(
                        "prepares round {} while {:?} is promised",
                        prepare.round, self.told.promised
                    )
                },
            ),
            Body::Propose(propose) => self.proposes(message.epoch, propose),
            Body::Refuse(Refuse { promised, committed }) => {
                must(*promised <= self.told.promised, || {
                    format!(
                        "refuses in the name of round {promised:?}, promised is {:?}",
                        self.told.promised
                    )
                })?;
                self.commits(*committed)
            }
            Body::Entries(entries) => {
                self.commits(entries.committed)?;
                let mut parent = entries.after;
                let chained = self.live.contains(parent)
                    && entries.entries.iter().all(|content| {
                        parent = crate::consensus::Entry::after(parent, content.clone()).position();
                        self.live.contains(parent)
                    });
                must(chained, || {
                    format!("gives out entries after {} that it does not hold", entries.after)
                })
            }
            Body::ReadReply(reply) => {
                must(reply.last.slot >= self.told.voted.slot.min(self.told.last.slot), || {
                    format!("answers a read with {}, voted is {}", reply.last, self.told.voted)
                })
            }
            Body::Fetch(_) | Body::Submit(_) | Body::Read(_) | Body::Remember(_) => Ok(()),
        }
    }

    pub(super) fn beats(&self, beat: &Beat) -> Result<(), Finding> {
        let told = self.told;
        must(Some(beat.epoch) <= told.epoch, || {
            format!("beats in epoch {} before holding it", beat.epoch)
        })?;
        if Some(beat.epoch) < told.epoch {
            return Ok(());
        }
        must(beat.promised <= told.promised, || {
            format!("announces promise {:?}, durable is {:?}", beat.promised, told.promised)
        })?;
        must((beat.accepted, beat.voted.slot) <= (told.accepted, told.voted.slot), || {
            format!(
                "announces round {:?} voted {}, durable is {:?} voted {}",
                beat.accepted, beat.voted, told.accepted, told.voted
            )
        })?;
        if let Some(round) = beat.accepted {
            self.voted(beat.epoch, round, beat.voted)?;
        }
        must(self.live.contains(beat.last) || beat.last == told.last, || {
            format!("announces the tip {}, which it does not hold", beat.last)
        })?;
        must(beat.last.slot <= told.last.slot, || {
            format!("announces the tip {}, durable is {}", beat.last, told.last)
        })?;
        self.commits(beat.committed)?;
        for round in [beat.candidate, beat.leads].into_iter().flatten() {
            must(told.promised == Some(round) && (self.proposes)(round), || {
                format!("stands for round {round} while {:?} is promised", told.promised)
            })?;
        }
        Ok(())
    }

    fn votes(&self, epoch: Epoch, vote: &Vote) -> Result<(), Finding> {
        self.voted(epoch, vote.round, vote.voted)?;
        self.commits(vote.committed)
    }

    fn voted(&self, epoch: Epoch, round: Round, voted: Position) -> Result<(), Finding> {
        let durable = self.votes.get(&(epoch, round));
        must(durable.is_some_and(|durable| voted.slot <= durable.slot), || {
            format!("votes {voted} in round {round}, durable is {durable:?}")
        })?;
        if self.oracle.passes((epoch, round), voted) {
            return Ok(());
        }
        Err((
            Invariant::OneLogPerRound,
            format!("votes {voted}, which is not in the log of round {round}"),
        ))
    }

    /// A promise is what a candidate chooses by: it must be the durable state exactly (R3).
    fn promises(&self, promise: &Promise) -> Result<(), Finding> {
        let told = self.told;
        must(Some(promise.round) == told.promised, || {
            format!("promises round {}, durable is {:?}", promise.round, told.promised)
        })?;
        must((promise.accepted, promise.last) == (told.accepted, told.last), || {
            format!(
                "promises with {:?} {}, durable is {:?} {}",
                promise.accepted, promise.last, told.accepted, told.last
            )
        })?;
        self.commits(promise.committed)
    }

    fn proposes(&self, epoch: Epoch, propose: &Propose) -> Result<(), Finding> {
        let round = propose.round;
        must((self.proposes)(round), || format!("proposes in round {round} of another"))?;
        must(self.told.promised == Some(round), || {
            format!("proposes in round {round} while {:?} is promised", self.told.promised)
        })?;
        must(round > Round(0) || self.told.accepted == Some(round), || {
            "proposes in round 0 before its record is synced (R2)".into()
        })?;
        let mut parent = propose.after;
        let chained = self.oracle.passes((epoch, round), parent)
            && propose.entries.iter().all(|content| {
                parent = crate::consensus::Entry::after(parent, content.clone()).position();
                self.oracle.passes((epoch, round), parent)
            });
        if !chained {
            return Err((
                Invariant::OneLogPerRound,
                format!("proposes after {} what is not in the log of round {round}", propose.after),
            ));
        }
        self.commits(propose.committed)
    }

    fn commits(&self, committed: Position) -> Result<(), Finding> {
        if self.oracle.is_chosen(committed) {
            return Ok(());
        }
        Err((
            Invariant::QuorumOfConfigured,
            format!("says that {committed} is committed, no quorum holds it synced"),
        ))
    }
}

fn must(holds: bool, what: impl FnOnce() -> String) -> Result<(), Finding> {
    if holds { Ok(()) } else { Err((Invariant::PersistBeforeSend, what())) }
}
