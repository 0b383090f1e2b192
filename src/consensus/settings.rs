//! What can be tuned. The defaults are those of `config/node.toml`.

use std::time::Duration;

use crate::limits;

/// Bounds and times of the consensus machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// T of R10: a proposer unheard for this long is suspected. Doubles after failed take-overs, up to 8 T.
    pub suspect_after: Duration,
    /// d of R11: what one rank of completeness waits longer than the next better one.
    pub takeover_step: Duration,
    /// How far a proposer runs ahead of the commit, in entries.
    pub window_slots: u64,
    /// How far a proposer runs ahead of the commit, in bytes.
    pub window_bytes: usize,
    /// How many slots a proposal id is remembered after its own (R13).
    pub proposal_ids_slots: u64,
    /// Committed entries kept in memory.
    pub retained_slots: usize,
    /// Bytes of committed entries kept in memory.
    pub retained_bytes: usize,
    /// Proposals held for clients before `busy`.
    pub pending_max: usize,
    /// Bytes of proposals held for clients before `busy`.
    pub pending_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            suspect_after: Duration::from_millis(600),
            takeover_step: Duration::from_millis(20),
            window_slots: limits::WINDOW_SLOTS,
            window_bytes: limits::WINDOW_BYTES,
            proposal_ids_slots: limits::PROPOSAL_IDS_SLOTS,
            retained_slots: limits::RETAINED_SLOTS,
            retained_bytes: limits::RETAINED_BYTES,
            pending_max: limits::PENDING_PROPOSALS_MAX,
            pending_bytes_max: limits::PENDING_BYTES_MAX,
        }
    }
}
