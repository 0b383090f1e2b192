//! What the transport tells its owner.

use crate::types::NodeId;
use crate::wire::Message;

/// One thing that happened on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A listed address has answered: who lives there is known, or is another one than before.
    Met {
        /// Which line of the list, from 0.
        listed: usize,
        /// Who answered; this node itself if it is its own address, which is not dialled again.
        node: NodeId,
    },
    /// The one link to this peer is up. Never twice without a [`Incoming::LinkDown`] between: a link that
    /// replaces another is told as down, then up.
    LinkUp {
        /// Who, as proven.
        peer: NodeId,
        /// Its name, for people.
        name: String,
        /// Where it can be dialled: host and port.
        address: String,
    },
    /// The link to this peer ended. Nothing that came over it follows.
    LinkDown {
        /// Who.
        peer: NodeId,
    },
    /// Dialling a listed address was refused: the machine is there, nobody listens.
    DialRefused {
        /// Who answered there last.
        peer: NodeId,
    },
    /// A newer process runs under this node's identity: started from a copy of its data directory.
    Doubled {
        /// Who says so, as proven: a member that gave the other process this node's place (or who was met at
        /// a listed address, until there are members), or this node itself where it met the other process.
        by: NodeId,
        /// The name of `by`, for people; of the other process where `by` is this node.
        name: String,
    },
    /// Messages from one link, in order; the `from` of each is the peer that the link's handshake proved.
    Frames(Vec<Message>),
}
