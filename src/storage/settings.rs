//! What can be tuned of a log.

use crate::limits;
use crate::types::NodeId;

/// What can be tuned of a log. Any value may change between two openings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whose log it is; a log of another node is refused.
    pub node: NodeId,
    /// How long each of the two journal files may grow, unless a single state or batch needs more.
    pub journal_bytes: u64,
    /// How long a segment of the chain may grow, unless a single entry needs more.
    pub segment_bytes: u64,
    /// Committed entries that the machine keeps in memory.
    pub retained_slots: usize,
    /// Weight of committed entries that the machine keeps in memory.
    pub retained_bytes: usize,
    /// How many slots a proposal id is remembered after its own (R13).
    pub proposal_ids_slots: u64,
}

impl Settings {
    /// The defaults, for the log of `node`.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            journal_bytes: 16 << 20,
            segment_bytes: 64 << 20,
            retained_slots: limits::RETAINED_SLOTS,
            retained_bytes: limits::RETAINED_BYTES,
            proposal_ids_slots: limits::PROPOSAL_IDS_SLOTS,
        }
    }
}
