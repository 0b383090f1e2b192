//! The message: who, to whom, what.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::{MessageId, NodeId};
use crate::wire::{Hello, Hex, Refusal};
use crate::{consensus, peers};

/// One message, as a frame carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its own name; a re-sent `Data` keeps it.
    pub id: MessageId,
    /// Who says it.
    pub from: NodeId,
    /// Whom it is for; everyone if none.
    pub to: Option<NodeId>,
    /// The sender's wall clock, seconds since 1970; for people, never for decisions.
    pub timestamp: u64,
    /// What it says.
    pub payload: Payload,
}

/// The five message types and what each carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Asks for a `Pong`.
    Ping(Ping),
    /// Answers a `Ping`, or acknowledges `Data`.
    Pong(Pong),
    /// The application's text.
    Data(Arc<str>),
    /// I live; here is what is new.
    HeartBeat(HeartBeat),
    /// A statement about the log.
    Consensus(consensus::Message),
}

/// The `message_type` of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageType {
    /// See [`Payload::Ping`].
    Ping,
    /// See [`Payload::Pong`].
    Pong,
    /// See [`Payload::Data`].
    Data,
    /// See [`Payload::HeartBeat`].
    HeartBeat,
    /// See [`Payload::Consensus`].
    Consensus,
}

impl Payload {
    /// Its `message_type`.
    pub fn message_type(&self) -> MessageType {
        match self {
            Self::Ping(_) => MessageType::Ping,
            Self::Pong(_) => MessageType::Pong,
            Self::Data(_) => MessageType::Data,
            Self::HeartBeat(_) => MessageType::HeartBeat,
            Self::Consensus(_) => MessageType::Consensus,
        }
    }
}

/// Asks whether the peer lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// In the first frame of the side that dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hello: Option<Box<Hello>>,
}

/// Says that this node lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The `Ping` answered, or the `Data` acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub re: Option<MessageId>,
    /// In the first frame of the side that was dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hello: Option<Box<Hello>>,
    /// In the first frame of the side that was dialled and the second of the side that dialled:
    /// its ed25519 signature over [`crate::wire::proof_bytes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Hex<64>>,
    /// Instead of all this: why the link is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

/// The periodic sign of life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartBeat {
    /// About peers.
    pub peers: peers::Beat,
    /// About the log; none before the cluster is formed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<consensus::Beat>,
}
