//! What a node is told.

use std::sync::Arc;
use std::time::Duration;

use crate::consensus::Proposal;
use crate::types::{MessageId, NodeId};
use crate::wire::Message;

/// One thing that happened to the node. The moment is told beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "most inputs are frames: a box for each would cost more"
)]
pub enum Input {
    /// The moment asked for by [`super::Engine::wake`] has come, or any other.
    Tick,
    /// This node's own entry in the list of peers is recognised, or a listed peer has answered.
    Met {
        /// Which line of the list, from 0.
        listed: usize,
        /// Who answered there; this node itself if it is its own address.
        node: NodeId,
    },
    /// The one link to this peer is up.
    LinkUp {
        /// Who, as proven by the handshake.
        peer: NodeId,
        /// Its name, for people.
        name: String,
        /// Where it can be dialled: host and port.
        address: String,
    },
    /// The link to this peer broke or was closed.
    LinkDown {
        /// Who.
        peer: NodeId,
    },
    /// Dialling this peer was refused: nobody listens there.
    DialRefused {
        /// Who is expected there.
        peer: NodeId,
    },
    /// A message from a link; `message.from` is the peer that the link's handshake proved.
    Frame(Message),
    /// All batches up to this number are synced.
    Synced {
        /// The number of the last batch that is durable.
        through: u64,
        /// How long the sync took; zero if none was needed.
        took: Duration,
    },
    /// A client's proposal (R13).
    Submit(Proposal),
    /// A client wants to read all that was committed before now (R12).
    Read {
        /// Given back with the answer.
        token: u64,
    },
    /// The application sends a text.
    Send {
        /// Given by the caller.
        id: MessageId,
        /// One peer; all that are online if none.
        to: Option<NodeId>,
        /// At most [`crate::limits::DATA_BYTES_MAX`] bytes.
        text: Arc<str>,
    },
    /// The host took in nothing that peers say, up to now: their silence is no sign of anything.
    Deaf,
    /// The node is asked to stop: say so to everyone.
    Leave,
}
