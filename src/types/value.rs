//! What clients agree on: a non-empty UTF-8 string within the limit.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use crate::limits;

/// How much room for a value in quotes is kept at most.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A client's string: 1 to [`limits::VALUE_BYTES_MAX`] bytes of UTF-8. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Value {
    /// Where JSON writes every byte as it is, the string in quotes: it goes into messages like that, and no one looks
    /// again for what to escape. Else the string alone.
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
    pub fn new(text: impl AsRef<str>) -> Result<Self, ValueError> {
        let text = text.as_ref();
        match text.len() {
            0 => return Err(ValueError::Empty),
            bytes if bytes > limits::VALUE_BYTES_MAX => return Err(ValueError::TooLong { bytes }),
            _ => {}
        }
        let json_bytes = json_bytes(text);
        let is_plain = json_bytes as usize == text.len();
        Ok(Self { text: if is_plain { quoted(text) } else { text.into() }, json_bytes })
    }

    /// The string.
    pub fn as_str(&self) -> &str {
        self.in_quotes().map_or(&self.text, |quoted| &quoted[1..quoted.len() - 1])
    }

    /// As JSON, if nothing in it is escaped. What is escaped is longer as JSON than as a string.
    fn in_quotes(&self) -> Option<&str> {
        (self.text.len() == self.json_bytes() + 2).then_some(&*self.text)
    }

    /// Bytes that it takes between the quotes of a JSON string, as this project writes it.
    pub fn json_bytes(&self) -> usize {
        self.json_bytes as usize
    }
}

/// In one allocation: the room for the quotes is kept by the thread.
fn quoted(text: &str) -> Arc<str> {
    thread_local! {
        static KEPT: RefCell<String> = const { RefCell::new(String::new()) };
    }
    KEPT.with_borrow_mut(|room| {
        room.clear();
        room.shrink_to(KEPT_BYTES_MAX);
        room.extend(["\"", text, "\""]);
        room.as_str().into()
    })
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
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.in_quotes() {
            Some(quoted) => {
                let json: &RawValue = serde_json::from_str(quoted).map_err(ser::Error::custom)?;
                json.serialize(serializer)
            }
            None => serializer.serialize_str(&self.text),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

/// Takes a string as it stands in what is read.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_is_the_string_that_it_was_made_of(
            text in prop_oneof!["[a-z\"\\\\\u{0}-\u{1f}äß€😀]{1,40}", "[ -~]{1,400}", ".{1,100}"],
        ) {
            let value = Value::new(&text).unwrap();
            prop_assert_eq!(value.as_str(), &text);
            prop_assert_eq!(value.to_string(), text.clone());
            let json = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(&json, &serde_json::to_string(&text).unwrap());
            prop_assert_eq!(value.json_bytes() + 2, json.len());
            prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value.clone());
            prop_assert_eq!(serde_json::to_value(&value).unwrap(), serde_json::Value::from(text));
            prop_assert_eq!(value.in_quotes().is_some(), !json.contains('\\'));
        }
    }

    #[test]
    fn what_is_quoted_itself_is_another_value() {
        let [plain, quoted] = ["a", "\"a\""].map(|text| Value::new(text).unwrap());
        assert_ne!(plain, quoted);
        assert_eq!((plain.as_str(), quoted.as_str()), ("a", "\"a\""));
    }

    #[test]
    fn bounds_are_those_of_the_string() {
        assert_eq!(Value::new(""), Err(ValueError::Empty));
        let longest = "x".repeat(limits::VALUE_BYTES_MAX);
        assert_eq!(Value::new(&longest).unwrap().as_str(), longest);
        let bytes = longest.len() + 1;
        assert_eq!(Value::new(longest + "x"), Err(ValueError::TooLong { bytes }));
    }
}
