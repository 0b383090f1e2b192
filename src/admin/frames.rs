//! Frames for clients: one connection, many proposals under way, each answered when it is decided.
//!
//! `GET /v1/frames` with `upgrade: quorate/1` turns a connection of the HTTP interface into one that speaks the
//! frames of `docs/PROTOCOL.md`: behind the same door, with the same host and token shown. Both sides gather what
//! there is into one frame, so that under load a proposal costs no system call of its own.

mod client;
mod door;

pub use client::{Answers, FrameClient, FrameClientError, Submitter};
pub(super) use door::frames;

use serde::{Deserialize, Serialize};

use crate::consensus::Proposal;
use crate::limits;
use crate::runtime::Outcome;
use crate::transport::wall_clock;
use crate::types::{Digest, MessageId, NodeId, ProposalId, Slot};
use crate::wire::{HEAD_BYTES, MessageType};

/// What the connection is upgraded to.
pub const PROTOCOL: &str = "quorate/1";

/// A message between a client and a node; the client's id is of its own choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter<P> {
    /// Names the message.
    pub id: MessageId,
    /// Who says it.
    pub from: NodeId,
    /// To whom.
    pub to: Option<NodeId>,
    /// Always `Consensus`.
    pub message_type: MessageType,
    /// What it says.
    pub payload: P,
    /// Seconds since 1970, for people.
    pub timestamp: u64,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// To be committed, each under its id.
    pub submit: Vec<Proposal>,
}

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// What became of proposals of this connection.
    pub outcome: Vec<Answer>,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Answer {
    /// It stands in the log for ever.
    Committed {
        /// Of the proposal.
        id: ProposalId,
        /// Its place.
        slot: Slot,
        /// The hash of its entry, which names the whole log up to it.
        hash: Digest,
    },
    /// It had been committed under the same id before.
    Duplicate {
        /// Of the proposal.
        id: ProposalId,
        /// Where it took effect.
        slot: Slot,
    },
    /// It is surely not committed by this request.
    Rejected {
        /// Of the proposal.
        id: ProposalId,
        /// Why, in words.
        why: String,
    },
    /// It may still commit: asking again under the same id is safe.
    Unknown {
        /// Of the proposal.
        id: ProposalId,
    },
}

impl Answer {
    fn new(id: ProposalId, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Committed(committed) => {
                Self::Committed { id, slot: committed.slot, hash: committed.hash }
            }
            Outcome::Duplicate { slot } => Self::Duplicate { id, slot: *slot },
            Outcome::Rejected(why) => Self::Rejected { id, why: why.to_string() },
            Outcome::Unknown => Self::Unknown { id },
        }
    }

    /// Of which proposal.
    pub fn id(&self) -> ProposalId {
        match self {
            Self::Committed { id, .. }
            | Self::Duplicate { id, .. }
            | Self::Rejected { id, .. }
            | Self::Unknown { id } => *id,
        }
    }
}

/// Names for the letters of one side of one connection: drawn once, then counted, without asking the system again.
#[derive(Debug)]
struct Names(u128);

impl Names {
    fn new() -> Self {
        Self(uuid::Uuid::new_v4().as_u128())
    }

    fn next(&mut self) -> MessageId {
        self.0 = self.0.wrapping_add(1);
        MessageId::from_u128(self.0)
    }
}

/// Puts a frame around `payload` behind what `into` holds. False if it is longer than a frame may be; `into` is then
/// as it was.
fn put<P: Serialize>(
    into: &mut Vec<u8>,
    names: &mut Names,
    from: NodeId,
    to: Option<NodeId>,
    payload: &P,
) -> bool {
    let start = into.len();
    into.extend_from_slice(&[0; HEAD_BYTES]);
    let timestamp = wall_clock();
    let id = names.next();
    let message_type = MessageType::Consensus;
    let letter = Letter { id, from, to, message_type, payload, timestamp };
    serde_json::to_writer(&mut *into, &letter).expect("it has no map with keys other than text");
    let length = into.len() - start - HEAD_BYTES;
    match u32::try_from(length) {
        Ok(head) if length <= limits::FRAME_BYTES_MAX => {
            into[start..start + HEAD_BYTES].copy_from_slice(&head.to_be_bytes());
            true
        }
        _ => {
            into.truncate(start);
            false
        }
    }
}
