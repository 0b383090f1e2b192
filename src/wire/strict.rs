//! What no honest peer writes, though a JSON reader may let it pass: duplicate keys, numbers that
//! not every reader holds exactly, deep nesting.
//!
//! One pass over the whole text before anything is made of it, so that fields which are
//! ignored are held to the same rules as those which are read.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::limits;
use crate::wire::DecodeError;

/// Checks that `text` is one JSON value and keeps the rules above.
pub(super) fn check(text: &str) -> Result<(), DecodeError> {
    let mut checker = Checker { keys: Vec::new(), fault: None };
    let mut reader = serde_json::Deserializer::from_str(text);
    let outcome = Strict { checker: &mut checker, depth: 0 }
        .deserialize(&mut reader)
        .and_then(|()| reader.end());
    outcome.map_err(|error| checker.fault.unwrap_or_else(|| syntax(&error)))
}

fn syntax(error: &serde_json::Error) -> DecodeError {
    let text = error.to_string();
    if text.starts_with("number out of range") {
        DecodeError::NumberOutOfRange
    } else {
        DecodeError::BadJson(text)
    }
}

struct Checker<'de> {
    /// The keys of all objects that are open, the innermost last.
    keys: Vec<Cow<'de, str>>,
    /// What is wrong, beside the error that only carries text.
    fault: Option<DecodeError>,
}

impl Checker<'_> {
    fn fail<T, E: de::Error>(&mut self, fault: DecodeError) -> Result<T, E> {
        let error = E::custom(&fault);
        self.fault = Some(fault);
        Err(error)
    }
}

struct Strict<'c, 'de> {
    checker: &'c mut Checker<'de>,
    /// Arrays and objects around this value.
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        if number > limits::INTEGER_MAX {
            return self.checker.fail(DecodeError::NumberOutOfRange);
        }
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.visit_u64(number.unsigned_abs())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        if number.abs() > limits::INTEGER_MAX as f64 {
            return self.checker.fail(DecodeError::NumberOutOfRange);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let depth = self.depth + 1;
        if depth > limits::JSON_DEPTH_MAX {
            return self.checker.fail(DecodeError::TooDeep);
        }
        while seq.next_element_seed(Strict { checker: &mut *self.checker, depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let depth = self.depth + 1;
        if depth > limits::JSON_DEPTH_MAX {
            return self.checker.fail(DecodeError::TooDeep);
        }
        let first = self.checker.keys.len();
        let mut many = BTreeSet::new();
        while let Some(key) = map.next_key_seed(Key)? {
            let own = &self.checker.keys[first..];
            // Few keys are compared one by one; a hostile crowd of them must not cost its square.
            let is_new = if own.len() < 32 {
                !own.contains(&key)
            } else {
                if many.is_empty() {
                    many.extend(own.iter().cloned());
                }
                many.insert(key.clone())
            };
            if !is_new {
                let key = key.chars().take(64).collect();
                return self.checker.fail(DecodeError::DuplicateKey(key));
            }
            if many.is_empty() {
                self.checker.keys.push(key);
            }
            map.next_value_seed(Strict { checker: &mut *self.checker, depth })?;
        }
        self.checker.keys.truncate(first);
        Ok(())
    }
}

/// A key, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_given_twice_is_found_wherever_it_stands() {
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"b":[{"a":1,"\u0061":2}]}"#, r#"{"a":{"a":1,"b":1},"a":2}"#]
        {
            assert_eq!(check(text), Err(DecodeError::DuplicateKey("a".into())), "{text}");
        }
        assert_eq!(check(r#"{"a":{"a":1},"b":{"a":1}}"#), Ok(()));
    }

    #[test]
    fn a_key_given_twice_is_found_among_many() {
        let keys = |last: usize| {
            let keys: Vec<_> =
                (0..5_000).chain([last]).map(|key| format!("\"k{key}\":0")).collect();
            format!("{{{}}}", keys.join(","))
        };
        assert_eq!(check(&keys(5_000)), Ok(()));
        for again in [0, 31, 32, 33, 4_999] {
            assert_eq!(check(&keys(again)), Err(DecodeError::DuplicateKey(format!("k{again}"))));
        }
    }

    #[test]
    fn numbers_stay_within_what_every_reader_holds() {
        let largest = ["9007199254740991", "-9007199254740991", "9007199254740991e0"];
        for fine in largest.into_iter().chain(["-1", "0.5", "1e3"]) {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for wrong in
            ["9007199254740992", "-9007199254740992", "18446744073709551616", "1e17", "1e999"]
        {
            assert_eq!(check(wrong), Err(DecodeError::NumberOutOfRange), "{wrong}");
        }
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(&nested(limits::JSON_DEPTH_MAX)), Ok(()));
        assert_eq!(check(&nested(limits::JSON_DEPTH_MAX + 1)), Err(DecodeError::TooDeep));
        let objects = |depth: usize| format!("{}0{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(check(&objects(limits::JSON_DEPTH_MAX)), Ok(()));
        assert_eq!(check(&objects(limits::JSON_DEPTH_MAX + 1)), Err(DecodeError::TooDeep));
        assert_eq!(check(&objects(limits::JSON_DEPTH_MAX + 2)), Err(DecodeError::TooDeep));
        assert_eq!(check(&"[{\"a\":".repeat(10_000)), Err(DecodeError::TooDeep));
    }

    #[test]
    fn what_is_not_one_json_value_is_refused() {
        for text in ["", "{", "NaN", "{} {}", "{\"a\"}", "\"\\ud800\"", "\"\n\"", "01"] {
            assert!(matches!(check(text), Err(DecodeError::BadJson(_))), "{text:?}");
        }
    }
}
