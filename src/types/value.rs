//! What clients agree on: a non-empty UTF-8 string within the limit.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::limits;

/// A client's string: 1 to [`limits::VALUE_BYTES_MAX`] bytes of UTF-8. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Value(Arc<str>);

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
            _ => Ok(Self(text)),
        }
    }

    /// The string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Arc::<str>::deserialize(deserializer)?;
        Self::new(text).map_err(de::Error::custom)
    }
}
