//! Messages to frames and back.

use std::borrow::Cow;

use bytes::{BufMut, Bytes};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::consensus;
use crate::limits;
use crate::types::{MessageId, NodeId};
use crate::wire::{DecodeError, FrameError, Message, MessageType, Payload, frame, strict};

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are messages, and none is kept")]
pub enum Decoded {
    /// A message.
    Message(Message),
    /// A message of a later version: to be ignored and counted.
    UnknownKind {
        /// Who says it.
        from: NodeId,
        /// Its `message_type`, cut to 64 characters.
        message_type: String,
    },
}

/// The frame that carries `message`, length and all; cheap to clone, so one serves every receiver.
///
/// # Errors
/// [`FrameError::Oversized`] if it does not fit in a frame.
pub fn encode(message: &Message) -> Result<Bytes, FrameError> {
    let envelope = Outgoing {
        id: message.id,
        from: message.from,
        to: message.to,
        message_type: message.payload.message_type(),
        payload: Inner(&message.payload),
        timestamp: message.timestamp,
    };
    frame::enclose(|buffer| {
        serde_json::to_writer(buffer.writer(), &envelope)
            .expect("a message has string keys and memory does not fail to be written");
    })
}

/// The message that a frame's JSON carries.
///
/// # Errors
/// [`DecodeError`]; the link that it came from is closed.
pub fn decode(json: &[u8]) -> Result<Decoded, DecodeError> {
    let text = std::str::from_utf8(json).map_err(|_| DecodeError::BadUtf8)?;
    strict::check(text)?;
    let envelope: Incoming<'_> =
        serde_json::from_str(text).map_err(|error| DecodeError::BadEnvelope(error.to_string()))?;
    let payload = match &*envelope.message_type {
        "Ping" => Payload::Ping(parse(envelope.payload)?),
        "Pong" => Payload::Pong(parse(envelope.payload)?),
        "Data" => Payload::Data(text_of(envelope.payload)?),
        "HeartBeat" => Payload::HeartBeat(parse(envelope.payload)?),
        "Consensus" => match parse::<consensus::Received>(envelope.payload)?.0 {
            Some(message) => Payload::Consensus(message),
            None => return Ok(unknown(&envelope)),
        },
        _ => return Ok(unknown(&envelope)),
    };
    Ok(Decoded::Message(Message {
        id: envelope.id,
        from: envelope.from,
        to: envelope.to,
        timestamp: envelope.timestamp,
        payload,
    }))
}

fn parse<'a, T: Deserialize<'a>>(payload: &'a RawValue) -> Result<T, DecodeError> {
    serde_json::from_str(payload.get()).map_err(|error| DecodeError::BadPayload(error.to_string()))
}

fn text_of(payload: &RawValue) -> Result<std::sync::Arc<str>, DecodeError> {
    let text: std::sync::Arc<str> = parse(payload)?;
    if text.len() > limits::DATA_BYTES_MAX {
        return Err(DecodeError::BadPayload(format!(
            "a text of {} bytes, at most {} are allowed",
            text.len(),
            limits::DATA_BYTES_MAX
        )));
    }
    Ok(text)
}

fn unknown(envelope: &Incoming<'_>) -> Decoded {
    Decoded::UnknownKind {
        from: envelope.from,
        message_type: envelope.message_type.chars().take(64).collect(),
    }
}

#[derive(Serialize)]
struct Outgoing<'a> {
    id: MessageId,
    from: NodeId,
    to: Option<NodeId>,
    message_type: MessageType,
    payload: Inner<'a>,
    timestamp: u64,
}

/// A payload without its type, which the envelope names.
struct Inner<'a>(&'a Payload);

impl Serialize for Inner<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Payload::Ping(ping) => ping.serialize(serializer),
            Payload::Pong(pong) => pong.serialize(serializer),
            Payload::Data(text) => text.serialize(serializer),
            Payload::HeartBeat(beat) => beat.serialize(serializer),
            Payload::Consensus(message) => message.serialize(serializer),
        }
    }
}

#[derive(Deserialize)]
struct Incoming<'a> {
    id: MessageId,
    from: NodeId,
    to: Option<NodeId>,
    #[serde(borrow)]
    message_type: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
    timestamp: u64,
}
