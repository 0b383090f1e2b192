//! What must be durable: records, in the order in which they were made.

use crate::consensus::{Entry, EpochConfig};
use crate::types::{Position, Round};

/// One atomic change of the durable state. [`crate::consensus::State::apply`] says what each means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// R14: this epoch starts at `base`: nothing promised, nothing accepted, voted = base.
    Epoch {
        /// Who belongs.
        config: EpochConfig,
        /// The commit that started it.
        base: Position,
    },
    /// R1, R2: take part in nothing lower than `round`.
    Promise {
        /// The round promised.
        round: Round,
    },
    /// R2, R3, R5: the log becomes what it was up to `after`, then `entries`;
    /// promised = accepted = `round`, voted = the new tip.
    Adopt {
        /// The round adopted.
        round: Round,
        /// What stays.
        after: Position,
        /// What follows.
        entries: Vec<Entry>,
    },
    /// R6: `entries` behind the tip, and the vote moves.
    Append {
        /// What follows the tip; may be empty where only the vote moves.
        entries: Vec<Entry>,
        /// The highest position voted in the accepted round from now on. All of it, not the slot alone:
        /// whoever reads the record may have forgotten the entry.
        voted: Position,
    },
    /// R9: a commit learnt: the log is cut behind `after`, `entries` follow, all of it is
    /// committed up to `committed`. Promised, accepted and voted stay.
    Learn {
        /// What stays.
        after: Position,
        /// What follows.
        entries: Vec<Entry>,
        /// Where the commit stands from now on.
        committed: Position,
    },
    /// R8, R9: a commit of what the log already holds. Only a hint: it needs no sync of its own,
    /// for the quorum that made it is durable.
    Commit {
        /// Where the commit stands from now on.
        committed: Position,
    },
}

impl Record {
    /// Whether something may be said about it only after a sync.
    pub fn needs_sync(&self) -> bool {
        !matches!(self, Self::Commit { .. })
    }
}
