//! What a node wants done. The order of the fields is the order of the deeds.

use std::sync::Arc;

use crate::consensus::{self, Record, Serve};
use crate::peers::NodeInfo;
use crate::types::{MessageId, NodeId};
use crate::wire::Payload;

/// The answer to one input.
///
/// `persist` is one batch: appended as a whole, synced (one sync may serve many batches), then told
/// as [`super::Input::Synced`]. `send` may leave at once: see [`consensus::Effects`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The number of the batch in `persist`; unchanged where `persist` is empty. It grows, and may skip:
    /// consensus counts its steps, and one input may make several.
    pub batch: u64,
    /// Records to append, in order.
    pub persist: Vec<Record>,
    /// Messages to send.
    pub send: Vec<Outgoing>,
    /// Committed entries to read from the log and send.
    pub serve: Vec<Serve>,
    /// What clients, the application and the operator are told.
    pub publish: Vec<Event>,
}

/// A message without what only the host knows: its own id and the wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its name.
    pub id: MessageId,
    /// Whom it is for.
    pub to: Recipients,
    /// What it says.
    pub payload: Payload,
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Everyone that a link leads to; the envelope's `to` is null.
    Everyone,
    /// One node; the envelope names it.
    One(NodeId),
}

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// About the log.
    Log(consensus::Event),
    /// A peer is seen in another state than before, or for the first time.
    Peer(NodeInfo),
    /// The quorum is heard again, or no longer.
    Quorum {
        /// Members heard, this one included.
        heard: usize,
        /// Members needed.
        needed: usize,
    },
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
    /// A text for the application, once per id.
    Received {
        /// Its name.
        id: MessageId,
        /// Who sent it.
        from: NodeId,
        /// What it says.
        text: Arc<str>,
    },
    /// A receiving end has this node's message.
    Acknowledged {
        /// The message.
        id: MessageId,
        /// Who has it.
        by: NodeId,
    },
    /// A message of this node is done: everyone in `by` has it, the rest did not say so in time.
    Sent {
        /// The message.
        id: MessageId,
        /// Who has it.
        by: Vec<NodeId>,
        /// Who did not say so in time.
        missing: Vec<NodeId>,
    },
    /// A message could not be taken: too many wait for acknowledgement, or it is too long.
    SendRefused {
        /// The message.
        id: MessageId,
    },
    /// A peer sent what no honest peer sends; it was dropped.
    Misbehaved {
        /// Who.
        peer: NodeId,
        /// What it did.
        what: &'static str,
    },
}
