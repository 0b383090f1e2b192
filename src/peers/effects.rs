//! What the peers machine wants done.

use crate::peers::NodeInfo;
use crate::types::NodeId;

/// The answer to one input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// A heartbeat to everyone is due, or says something new.
    pub beat: bool,
    /// A heartbeat for these only.
    pub beat_to: Vec<NodeId>,
    /// Silent peers, to be asked directly whether they live.
    pub ping: Vec<NodeId>,
    /// Peers that are gone for certain: they said so, or their link broke and redialling was refused.
    pub lost: Vec<NodeId>,
    /// The founders agree: epoch 1 is these members', in ascending order.
    pub found: Option<Vec<NodeId>>,
    /// What the host is told.
    pub publish: Vec<Event>,
}

/// Something the host is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer is seen in another state than before.
    Status(NodeInfo),
    /// Lists of founders that do not agree: the cluster cannot form.
    ListsDiffer {
        /// Who announces another list.
        peer: NodeId,
        /// What it announces, or holds as its founders.
        theirs: Vec<NodeId>,
        /// What this node met, or holds as its founders.
        ours: Vec<NodeId>,
    },
    /// A node does not belong to the cluster that it wants to form: its directory was lost, or its list
    /// is another cluster's.
    NotAMember {
        /// Who does not belong; this node itself if a formed cluster says so of it.
        node: NodeId,
        /// Who belongs.
        members: Vec<NodeId>,
    },
    /// A peer sent what no honest peer sends; it was ignored.
    Misbehaved {
        /// Who.
        peer: NodeId,
        /// What it did.
        what: &'static str,
    },
}
