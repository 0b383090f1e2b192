//! What clients have asked and not been answered yet.

use std::collections::BTreeMap;

use crate::consensus::Proposal;
use crate::types::ProposalId;

/// All requests of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    pub(super) asks: Vec<Ask>,
    pub(super) proposals: BTreeMap<ProposalId, usize>,
    pub(super) open: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) what: What,
    /// How many answers are lost on the way back.
    pub(super) answers_lost: u32,
    pub(super) tries: u32,
    pub(super) is_open: bool,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Propose(Proposal),
    Read,
}
