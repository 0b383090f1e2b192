//! What the consensus machine is told.

use std::time::Duration;

use crate::consensus::{Beat, EpochConfig, Message, Proposal};
use crate::types::{NodeId, Round};

/// One thing that happened. The moment is told beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The moment asked for by [`super::Machine::wake`] has come, or any other.
    Tick,
    /// The founders have met and agree: epoch 1 starts, or this node learns that it has.
    Found(EpochConfig),
    /// A member said something. Proof of life, too.
    Message {
        /// Who said it.
        from: NodeId,
        /// What was said.
        message: Message,
    },
    /// The part of a member's heartbeat that speaks of the log. Proof of life, too.
    Beat {
        /// Whose heartbeat it is.
        from: NodeId,
        /// What it says.
        beat: Beat,
    },
    /// A frame of any other kind came from this peer.
    Heard(NodeId),
    /// The peer is gone for certain: it said so, or its link broke and redialling was refused.
    Lost(NodeId),
    /// All batches of [`super::Effects::persist`] up to this number are synced.
    Synced {
        /// The number of the last batch that is durable.
        through: u64,
        /// How long the sync took; zero if none was needed.
        took: Duration,
    },
    /// Nobody could be heard up to now: no silence counts (R10).
    Deaf,
    /// A client's proposal (R13).
    Submit(Proposal),
    /// A client wants to read all that was committed before now (R12).
    Read {
        /// Given back in [`super::Event::ReadReady`].
        token: u64,
    },
    /// Attempt to lead, whoever is suspected: how tests and the model check force take-overs.
    Lead {
        /// The round to lead; must be one that this node proposes in, above every round promised.
        round: Round,
    },
}
