//! Fixed numbers of bytes, written as lower-case hex digits: keys, nonces, signatures.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::types::read_hex;

/// `N` bytes that messages carry as `2 N` lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// The text is not the expected number of lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{expected} lower-case hex digits are expected")]
pub struct HexError {
    expected: usize,
}

impl<const N: usize> FromStr for Hex<N> {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        let mut bytes = [0; N];
        if !read_hex(text, &mut bytes) {
            return Err(HexError { expected: 2 * N });
        }
        Ok(Self(bytes))
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits<const N: usize>;
        impl<const N: usize> de::Visitor<'_> for Digits<N> {
            type Value = Hex<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} lower-case hex digits", 2 * N)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Hex<N>, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_hex_is_refused_with_what_is_expected() {
        let expected = "6 lower-case hex digits are expected";
        for text in ["", "00000", "0000000", "00000g", "0000g0", "00000A", "é0000"] {
            let error = text.parse::<Hex<3>>().expect_err(text);
            assert_eq!(error.to_string(), expected, "{text:?}");
            let error = serde_json::from_str::<Hex<3>>(&format!("{text:?}")).expect_err(text);
            assert!(error.to_string().contains("expected 6 lower-case hex digits"), "{error}");
        }
    }

    #[test]
    fn every_byte_reads_as_it_is_written() {
        for byte in 0..=u8::MAX {
            let hex = Hex([byte, !byte]);
            assert_eq!(hex.to_string().parse(), Ok(hex));
            assert_eq!(format!("{hex:?}"), format!("{byte:02x}{:02x}", !byte));
        }
    }
}
