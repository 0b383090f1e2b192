//! What can be wrong with the JSON of a frame, each fault under its name.

use crate::limits;

/// JSON that no honest peer sends. The link is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not UTF-8.
    #[error("bytes that are not UTF-8")]
    BadUtf8,
    /// The text is not one JSON value.
    #[error("not JSON: {0}")]
    BadJson(String),
    /// An object has a key twice.
    #[error("the key {0:?} stands twice in one object")]
    DuplicateKey(String),
    /// A number is beyond 2^53 − 1 or below its negative.
    #[error("a number beyond {}: not every reader holds it exactly", limits::INTEGER_MAX)]
    NumberOutOfRange,
    /// Objects and arrays stand too deep in each other.
    #[error("nested deeper than {}", limits::JSON_DEPTH_MAX)]
    TooDeep,
    /// The envelope lacks a field, or one of them is of another kind.
    #[error("not a message: {0}")]
    BadEnvelope(String),
    /// The payload is not what its `message_type` carries.
    #[error("not the payload of its type: {0}")]
    BadPayload(String),
}

impl DecodeError {
    /// Its stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BadUtf8 => "bad_utf8",
            Self::BadJson(_) => "bad_json",
            Self::DuplicateKey(_) => "duplicate_key",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::TooDeep => "too_deep",
            Self::BadEnvelope(_) => "bad_envelope",
            Self::BadPayload(_) => "bad_payload",
        }
    }
}
