//! What clients asked and were answered, and whether one log in real time explains it.

use std::collections::BTreeMap;

use crate::consensus::{Outcome, Proposal};
use crate::sim::checker::invariant::{Finding, Invariant};
use crate::sim::checker::oracle::Oracle;
use crate::types::{Position, ProposalId, Slot, Value};

#[derive(Clone, Debug, Default)]
pub(super) struct History {
    offered: BTreeMap<ProposalId, Offered>,
    /// By token: what a read must at least see.
    reads: BTreeMap<u64, Slot>,
    /// The highest slot that anyone outside was told of.
    told: Slot,
}

#[derive(Clone, Debug)]
struct Offered {
    value: Value,
    /// What had been acknowledged when it was offered first.
    behind: Slot,
    /// How often it was offered, and how often surely rejected.
    offers: u32,
    rejections: u32,
    effective: Option<Slot>,
}

impl History {
    pub(super) fn offer(&mut self, proposal: &Proposal) {
        let offered = self.offered.entry(proposal.id).or_insert_with(|| Offered {
            value: proposal.value.clone(),
            behind: self.told,
            offers: 0,
            rejections: 0,
            effective: None,
        });
        offered.offers += 1;
    }

    pub(super) fn read(&mut self, token: u64) {
        self.reads.insert(token, self.told);
    }

    pub(super) fn value(&self, id: ProposalId) -> Option<Value> {
        Some(self.offered.get(&id)?.value.clone())
    }

    /// The slot in which this proposal takes effect, once that is chosen.
    pub(super) fn effective(&self, id: ProposalId) -> Option<Slot> {
        self.offered.get(&id)?.effective
    }

    /// An entry is seen for the first time: it must hold what a client offered.
    pub(super) fn entered(&self, proposal: &Proposal) -> Result<(), Finding> {
        if self.offered.get(&proposal.id).is_some_and(|offered| offered.value == proposal.value) {
            return Ok(());
        }
        Err((
            Invariant::Validity,
            format!("nobody offered {:?} as {}", proposal.value, proposal.id),
        ))
    }

    /// `position` is chosen; it holds this proposal.
    pub(super) fn chosen(
        &mut self,
        position: Position,
        id: ProposalId,
        until: Option<Slot>,
    ) -> Result<(), Finding> {
        let Some(offered) = self.offered.get_mut(&id) else {
            return Err((
                Invariant::Validity,
                format!("nobody offered {id}, chosen in {position}"),
            ));
        };
        if offered.effective.is_some() {
            return Ok(());
        }
        offered.effective = Some(position.slot);
        if position.slot <= offered.behind {
            let what = format!(
                "{id} takes effect in slot {}, but {} had been acknowledged before it was offered",
                position.slot, offered.behind
            );
            return Err((Invariant::RealTime, what));
        }
        if until.is_some_and(|until| position.slot > until) {
            return Err((
                Invariant::Validity,
                format!("{id} takes effect in slot {}, it was void by then", position.slot),
            ));
        }
        if offered.rejections >= offered.offers {
            return Err((
                Invariant::ExactlyOnce,
                format!("{id} was surely rejected and takes effect in slot {}", position.slot),
            ));
        }
        Ok(())
    }

    pub(super) fn answered(
        &mut self,
        id: ProposalId,
        outcome: Outcome,
        oracle: &Oracle,
    ) -> Result<(), Finding> {
        let Some(offered) = self.offered.get_mut(&id) else {
            return Err((Invariant::Validity, format!("an answer to {id}, which nobody offered")));
        };
        let slot = match outcome {
            Outcome::Committed(position) if !oracle.is_chosen(position) => {
                return Err((
                    Invariant::Durability,
                    format!("{id} is acknowledged in {position}, which no quorum holds synced"),
                ));
            }
            Outcome::Committed(Position { slot, .. }) | Outcome::Duplicate(slot) => slot,
            Outcome::Rejected(_) => {
                offered.rejections += 1;
                return match offered.effective {
                    Some(slot) if offered.rejections >= offered.offers => Err((
                        Invariant::ExactlyOnce,
                        format!("{id} took effect in slot {slot} and is surely rejected"),
                    )),
                    Some(_) | None => Ok(()),
                };
            }
        };
        if offered.effective != Some(slot) {
            let what = format!(
                "{id} is acknowledged in slot {slot}, it takes effect in {:?}",
                offered.effective
            );
            return Err((Invariant::ExactlyOnce, what));
        }
        self.told = self.told.max(slot);
        Ok(())
    }

    pub(super) fn read_ready(
        &mut self,
        token: u64,
        at: Position,
        oracle: &Oracle,
    ) -> Result<(), Finding> {
        let Some(floor) = self.reads.remove(&token) else {
            return Err((
                Invariant::RealTime,
                format!("read {token} is answered twice, or was never asked"),
            ));
        };
        if !oracle.is_chosen(at) {
            return Err((
                Invariant::Durability,
                format!("read {token} sees {at}, which no quorum holds synced"),
            ));
        }
        if at.slot < floor {
            let what = format!(
                "read {token} sees slot {}, but {floor} had been acknowledged before it began",
                at.slot
            );
            return Err((Invariant::RealTime, what));
        }
        self.told = self.told.max(at.slot);
        Ok(())
    }
}
