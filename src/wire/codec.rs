//! Messages to frames and back.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::consensus;
use crate::limits;
use crate::types::{MessageId, NodeId};
use crate::wire::{DecodeError, FrameError, Message, MessageType, Payload, direct, frame, strict};

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
        serde_json::to_writer(buffer, &envelope)
            .expect("a message has string keys and memory does not fail to be written");
    })
}

/// The message that a frame's JSON carries.
///
/// # Errors
/// [`DecodeError`]; the link that it came from is closed.
pub fn decode(json: &[u8]) -> Result<Decoded, DecodeError> {
    let text = std::str::from_utf8(json).map_err(|_| DecodeError::BadUtf8)?;
    match direct::read(text) {
        Some(message) => Ok(Decoded::Message(message)),
        None => look_closely(text),
    }
}

/// In three passes: whether it keeps the rules, what the envelope says, what the payload says.
fn look_closely(text: &str) -> Result<Decoded, DecodeError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages that `docs/PROTOCOL.md` shows, valid and not.
    fn texts() -> Vec<String> {
        let valid: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../tests/vectors/messages.json")).unwrap();
        let invalid: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../tests/vectors/invalid.json")).unwrap();
        let texts = invalid.iter().filter_map(|vector| vector["text"].as_str());
        let as_written = valid.iter().map(|vector| vector["message"].to_string());
        let as_sent = valid.iter().filter_map(|vector| {
            match decode(vector["message"].to_string().as_bytes()).unwrap() {
                Decoded::Message(message) => {
                    let frame = encode(&message).unwrap();
                    Some(String::from_utf8(frame[frame::HEAD_BYTES..].to_vec()).unwrap())
                }
                Decoded::UnknownKind { .. } => None,
            }
        });
        let all = as_written.chain(as_sent).chain(texts.map(str::to_owned));
        all.filter(|text| !text.is_empty()).collect()
    }

    #[test]
    fn what_is_read_in_one_pass_is_what_three_passes_read() {
        let mut dice = 1_u64;
        let mut roll = |sides: usize| {
            dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (dice >> 33) as usize % sides
        };
        let pieces =
            ["1", "9007199254740992", "-", ".", "e", "null", "{}", "[]", ",", "\"", "\\u0061"];
        let (mut in_one, mut changed) = (0, 0);
        for text in texts() {
            for change in 0..500 {
                let mut text = text.clone().into_bytes();
                if change > 0 {
                    let at = roll(text.len());
                    let until = (at + roll(24)).min(text.len());
                    match roll(4) {
                        0 => drop(text.drain(at..until)),
                        1 => drop(text.splice(at..at, text[at..until].to_vec())),
                        2 => drop(text.splice(at..at, pieces[roll(pieces.len())].bytes())),
                        _ => text[at] = 0x20 + roll(0x5f) as u8,
                    }
                }
                let Ok(text) = std::str::from_utf8(&text) else { continue };
                if let Some(message) = direct::read(text) {
                    assert_eq!(look_closely(text), Ok(Decoded::Message(message)), "{text}");
                    in_one += 1;
                    changed += usize::from(change > 0);
                }
            }
        }
        assert!(in_one > 1_000 && changed > 1_000, "{in_one} read in one pass, {changed} changed");
    }

    #[test]
    fn what_this_node_writes_is_read_in_one_pass() {
        for text in texts() {
            if let Ok(Decoded::Message(message)) = decode(text.as_bytes()) {
                let frame = encode(&message).unwrap();
                let text = std::str::from_utf8(&frame[frame::HEAD_BYTES..]).unwrap();
                assert_eq!(direct::read(text), Some(message), "{text}");
            }
        }
    }
}
