//! What the peers machine is told.

use crate::peers::Beat;
use crate::types::NodeId;

/// One thing that happened. The moment is told beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The moment asked for by [`super::Machine::wake`] has come, or any other.
    Tick,
    /// Who answered at a line of the list of peers; this node itself at its own address.
    Met {
        /// Which line, from 0.
        listed: usize,
        /// Who answered.
        node: NodeId,
    },
    /// The one link to this peer is up. Proof of life, too.
    LinkUp {
        /// Who.
        peer: NodeId,
        /// Its name, for people.
        name: String,
        /// Host and port.
        address: String,
    },
    /// The link to this peer broke or was closed.
    LinkDown {
        /// Who.
        peer: NodeId,
    },
    /// Nobody listens where this peer is expected.
    DialRefused {
        /// Who.
        peer: NodeId,
    },
    /// Any frame but a heartbeat. Proof of life.
    Heard(NodeId),
    /// The part of a heartbeat that speaks of peers. Proof of life, too.
    Beat {
        /// Whose heartbeat it is.
        from: NodeId,
        /// What it says.
        beat: Beat,
    },
    /// The cluster is formed, or has other members than before.
    Formed {
        /// Everyone who belongs, in ascending order.
        members: Vec<NodeId>,
        /// Whether these are the founders: epoch 1, which a founder may join that missed its start.
        is_first: bool,
    },
    /// Nobody could be heard up to now.
    Deaf,
    /// This node is asked to stop.
    Leave,
}
