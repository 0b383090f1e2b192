//! What clients agree on: a non-empty UTF-8 string within the limit.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits;

/// A client's string: 1 to [`limits::VALUE_BYTES_MAX`] bytes of UTF-8. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    text: Arc<str>,
    /// See [`Value::json_bytes`]: asked for often, counted once.
    json_bytes: u32,
}

/// Why a string cannot be a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Zero bytes.
    #[error("the value is empty: give at least one byte")]
    Empty,
    /// More bytes than the limit.
    #[error(
        "the value has {bytes} bytes, the limit is {}: store it elsewhere and propose its digest",
        limits::VALUE_BYTES_MAX
    )]
    TooLong {
        /// Bytes of the refused string.
        bytes: usize,
    },
}

impl Value {
    /// Checks and wraps a string.
    ///
    /// # Errors
    /// [`ValueError`] if it is empty or over the limit.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, ValueError> {
        let text = text.into();
        match text.len() {
            0 => Err(ValueError::Empty),
            bytes if bytes > limits::VALUE_BYTES_MAX => Err(ValueError::TooLong { bytes }),
            _ => Ok(Self { json_bytes: json_bytes(&text), text }),
        }
    }

    /// The string.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Bytes that it takes between the quotes of a JSON string, as this project writes it.
    pub fn json_bytes(&self) -> usize {
        self.json_bytes as usize
    }
}

/// Of a text that may be a value.
fn json_bytes(text: &str) -> u32 {
    let is_escaped = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let plain = u32::try_from(text.len()).expect("a value is far below 4 GiB");
    // Nearly every value: one pass without a branch.
    if !text.bytes().fold(false, |found, byte| found | is_escaped(byte)) {
        return plain;
    }
    let more = text.bytes().filter(|byte| is_escaped(*byte)).map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        _ => 5,
    });
    plain + more.sum::<u32>()
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

/// Takes a string as it stands in what is read: it is copied once.
struct Text;

impl de::Visitor<'_> for Text {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Value::new(text).map_err(E::custom)
    }
}
