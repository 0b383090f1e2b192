//! What members say to each other about the log.
//!
//! Each message states something monotone: a lost one is repaired by the next heartbeat,
//! a repeated one is harmless.

use std::borrow::Cow;
use std::fmt;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::consensus::{Content, Proposal};
use crate::types::{Epoch, Position, Round, Slot};

/// A statement made in an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The highest epoch whose start the sender holds.
    pub epoch: Epoch,
    /// What is said.
    pub body: Body,
}

/// The kinds of statements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// R7: in this round I voted, durably, up to `voted`.
    Vote(Vote),
    /// R1, R2: I want to lead `round`.
    Prepare(Prepare),
    /// R1: I will take part in nothing lower; here is what I hold.
    Promise(Promise),
    /// R4, R5, R6: entries that follow `after` in my log.
    Propose(Propose),
    /// R1, R5, R6: I promised a higher round, or committed what you do not hold.
    Refuse(Refuse),
    /// R3, R9: send me these entries.
    Fetch(Fetch),
    /// The answer to `fetch`.
    Entries(Entries),
    /// R13: proposals passed on to the proposer.
    Submit(Submit),
    /// R12: a read barrier.
    Read(Read),
    /// R12: the answer to `read`.
    ReadReply(ReadReply),
    /// R15: you announced this in an earlier life.
    Remember(Remember),
}

impl Body {
    /// The highest round that is named.
    pub(super) fn round(&self) -> Option<Round> {
        match self {
            Self::Vote(vote) => Some(vote.round),
            Self::Prepare(prepare) => Some(prepare.round),
            Self::Promise(promise) => Some(promise.round).max(promise.accepted),
            Self::Propose(propose) => Some(propose.round),
            Self::Refuse(refuse) => refuse.promised,
            Self::Remember(remember) => remember.promised.max(remember.accepted),
            Self::Fetch(_)
            | Self::Entries(_)
            | Self::Submit(_)
            | Self::Read(_)
            | Self::ReadReply(_) => None,
        }
    }
}

/// See [`Body::Vote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vote {
    /// The round in which the sender's log was adopted.
    pub round: Round,
    /// Its durable log is the proposer's log up to here.
    pub voted: Position,
    /// What the sender knows to be committed.
    pub committed: Position,
    /// How many members' votes of this round committed that, where the sender counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<usize>,
}

impl Vote {
    /// A vote of a member that did not count.
    pub fn new(round: Round, voted: Position, committed: Position) -> Self {
        Self { round, voted, committed, counted: None }
    }
}

/// See [`Body::Prepare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prepare {
    /// The round that the sender wants to lead.
    pub round: Round,
}

/// See [`Body::Promise`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Promise {
    /// The round promised.
    pub round: Round,
    /// The round in which the log was last adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Round>,
    /// The tip of the log.
    pub last: Position,
    /// What the sender knows to be committed.
    pub committed: Position,
}

/// See [`Body::Propose`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Propose {
    /// The round that the sender leads.
    pub round: Round,
    /// Where the entries start.
    pub after: Position,
    /// The entries behind `after`, in order.
    pub entries: Vec<Content>,
    /// What the sender knows to be committed.
    pub committed: Position,
    /// Whether `entries` are all that follows, so that the receiver may adopt the round (R5).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,
}

/// See [`Body::Refuse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refuse {
    /// The highest round that the sender promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promised: Option<Round>,
    /// What the sender knows to be committed.
    pub committed: Position,
}

/// See [`Body::Fetch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fetch {
    /// The first slot wanted.
    pub from: Slot,
    /// The last slot wanted.
    pub to: Slot,
}

/// See [`Body::Entries`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entries {
    /// Where the entries start.
    pub after: Position,
    /// The entries behind `after`, in order; fewer than asked for where a batch was full.
    pub entries: Vec<Content>,
    /// What the sender knows to be committed.
    pub committed: Position,
    /// Whether another message follows that goes on with the same answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// See [`Body::Submit`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Submit {
    /// In the order in which the sender took them.
    pub proposals: Vec<Proposal>,
}

/// See [`Body::Read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Read {
    /// Fresh for every barrier.
    pub nonce: u64,
}

/// See [`Body::ReadReply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReadReply {
    /// The nonce of the barrier answered.
    pub nonce: u64,
    /// The tip of the sender's log.
    pub last: Position,
}

/// See [`Body::Remember`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Remember {
    /// The highest round promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promised: Option<Round>,
    /// The round in which the log was last adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Round>,
    /// The highest position voted in `accepted`.
    pub voted: Position,
}

/// The part of a heartbeat that speaks of the log: all that is durable, and all that is suspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Beat {
    /// The highest epoch whose start the sender holds.
    pub epoch: Epoch,
    /// Which life of the sender says so: grows with every start of its process (R15).
    pub life: u64,
    /// The highest round promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promised: Option<Round>,
    /// The round in which the log was last adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Round>,
    /// The highest position voted in `accepted`.
    pub voted: Position,
    /// The tip of the log.
    pub last: Position,
    /// What the sender knows to be committed.
    pub committed: Position,
    /// The first slot that the sender can serve.
    pub first_slot: Slot,
    /// The round whose proposer the sender suspects; counts for every round up to it (R10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspects: Option<Round>,
    /// Counts as `prepare` of this round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Round>,
    /// The round that the sender leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leads: Option<Round>,
    /// R10: hears a quorum, syncs in time, is not late itself.
    pub healthy: bool,
}

impl Beat {
    /// The highest round that is named.
    pub(super) fn round(&self) -> Option<Round> {
        [self.promised, self.accepted, self.suspects, self.candidate, self.leads]
            .into_iter()
            .max()
            .flatten()
    }
}

/// A [`Message`] as it arrives: none if its kind is of a later version, to be ignored and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received(pub Option<Message>);

/// JSON: `{"epoch": 1, "vote": {…}}`, the statement under the name of its kind.
macro_rules! statements {
    ($($name:literal => $kind:ident($body:ty),)*) => {
        impl Body {
            /// The name of the kind on the wire.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $name,)*
                }
            }
        }

        impl Serialize for Message {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("epoch", &self.epoch)?;
                match &self.body {
                    $(Body::$kind(body) => map.serialize_entry($name, body)?,)*
                }
                map.end()
            }
        }

        impl<'de> de::Visitor<'de> for ReceivedVisitor {
            type Value = Received;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `epoch` and one statement")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Received, A::Error> {
                let mut epoch = None;
                let mut body = None;
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    match &*key {
                        "epoch" if epoch.is_some() => {
                            return Err(de::Error::duplicate_field("epoch"));
                        }
                        "epoch" => epoch = Some(map.next_value()?),
                        $($name if body.is_some() => {
                            return Err(de::Error::custom("more than one statement"));
                        }
                        $name => body = Some(Body::$kind(map.next_value::<$body>()?)),)*
                        _ => {
                            map.next_value::<de::IgnoredAny>()?;
                        }
                    }
                }
                let epoch = epoch.ok_or_else(|| de::Error::missing_field("epoch"))?;
                Ok(Received(body.map(|body| Message { epoch, body })))
            }
        }
    };
}

struct ReceivedVisitor;

impl<'de> Deserialize<'de> for Received {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReceivedVisitor)
    }
}

statements! {
    "vote" => Vote(Vote),
    "prepare" => Prepare(Prepare),
    "promise" => Promise(Promise),
    "propose" => Propose(Propose),
    "refuse" => Refuse(Refuse),
    "fetch" => Fetch(Fetch),
    "entries" => Entries(Entries),
    "submit" => Submit(Submit),
    "read" => Read(Read),
    "read_reply" => ReadReply(ReadReply),
    "remember" => Remember(Remember),
}
