//! Reads in one pass what holds nothing odd. Whatever is odd makes it fail, and `codec` finds out slowly what it is.
//!
//! Nothing is odd where every field is one that is known here, each stands once, the type stands before the payload,
//! and no number is beyond what every reader holds. Such a text keeps the rules of `strict`: fields that are known
//! may not stand twice, and are nested no deeper than their types.

use std::fmt;
use std::sync::Arc;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use crate::consensus;
use crate::limits;
use crate::wire::{Message, MessageType, Payload};

/// What the error says, which nobody reads.
const ODD: &str = "something odd";

/// The message that `text` is, if nothing in it is odd.
pub(super) fn read(text: &str) -> Option<Message> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let message = Plain(&mut reader).deserialize_map(Envelope).ok()?;
    reader.end().ok()?;
    Some(message)
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Id,
    From,
    To,
    MessageType,
    Payload,
    Timestamp,
}

struct Envelope;

impl<'de> Visitor<'de> for Envelope {
    type Value = Message;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message, A::Error> {
        let (mut id, mut from, mut to, mut timestamp) = (None, None, None, None);
        let (mut message_type, mut payload) = (None, None);
        while let Some(field) = map.next_key()? {
            match field {
                Field::Id if id.is_none() => id = Some(map.next_value()?),
                Field::From if from.is_none() => from = Some(map.next_value()?),
                Field::To if to.is_none() => to = Some(map.next_value()?),
                Field::Timestamp if timestamp.is_none() => timestamp = Some(map.next_value()?),
                Field::MessageType if message_type.is_none() => {
                    message_type = Some(map.next_value()?);
                }
                Field::Payload if payload.is_none() => {
                    let message_type = message_type.ok_or_else(|| A::Error::custom(ODD))?;
                    payload = Some(of_type(message_type, &mut map)?);
                }
                _ => return Err(A::Error::custom(ODD)),
            }
        }
        match (id, from, timestamp, payload) {
            (Some(id), Some(from), Some(timestamp), Some(payload)) => {
                Ok(Message { id, from, to: to.flatten(), timestamp, payload })
            }
            _ => Err(A::Error::custom(ODD)),
        }
    }
}

fn of_type<'de, A: MapAccess<'de>>(
    message_type: MessageType,
    map: &mut A,
) -> Result<Payload, A::Error> {
    Ok(match message_type {
        MessageType::Ping => Payload::Ping(map.next_value()?),
        MessageType::Pong => Payload::Pong(map.next_value()?),
        MessageType::HeartBeat => Payload::HeartBeat(map.next_value()?),
        MessageType::Data => match map.next_value::<Arc<str>>()? {
            text if text.len() <= limits::DATA_BYTES_MAX => Payload::Data(text),
            _ => return Err(A::Error::custom(ODD)),
        },
        MessageType::Consensus => match map.next_value::<consensus::Received>()?.0 {
            Some(message) => Payload::Consensus(message),
            None => return Err(A::Error::custom(ODD)),
        },
    })
}

/// A part of a reader that takes nothing odd, and neither do the parts it hands on.
struct Plain<T>(T);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Plain<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Plain(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(Plain(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Plain(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, Plain(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier
    }

    /// Who skips something does not know it.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, D::Error> {
        Err(D::Error::custom(ODD))
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Plain<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<V::Value, E> {
        self.0.visit_bool(truth)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<V::Value, E> {
        if number > limits::INTEGER_MAX {
            return Err(E::custom(ODD));
        }
        self.0.visit_u64(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.0.visit_str(text)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        self.0.visit_borrowed_str(text)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Plain(inner))
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Plain(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Plain(seq))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Plain(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Plain(data))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Plain<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Plain(reader))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Plain<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Plain(seed))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Plain<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Plain(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Plain(seed))
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Plain<A> {
    type Error = A::Error;
    type Variant = Plain<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        self.0.variant_seed(Plain(seed)).map(|(value, variant)| (value, Plain(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Plain<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Plain(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Plain(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Plain(visitor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = r#""00000000-0000-0000-0000-000000000001""#;

    fn envelope(rest: &str) -> Option<Message> {
        read(&format!(r#"{{"id":{ID},"from":{ID},{rest}}}"#))
    }

    #[test]
    fn what_this_version_writes_is_plain() {
        for payload in [
            r#""message_type":"Ping","payload":{}"#,
            r#""message_type":"Pong","payload":{"re":"00000000-0000-0000-0000-000000000001"}"#,
            r#""message_type":"Data","payload":"text\n""#,
            r#""message_type":"HeartBeat","payload":{"peers":{}}"#,
            r#""message_type":"Consensus","payload":{"epoch":1,"read":{"nonce":9007199254740991}}"#,
            r#""message_type":"Consensus","payload":{"epoch":1,"submit":{"proposals":[{"id":"00000000-0000-0000-0000-000000000001","value":"v"}]}}"#,
        ] {
            assert!(
                envelope(&format!(r#""to":null,{payload},"timestamp":1"#)).is_some(),
                "{payload}"
            );
            assert!(envelope(&format!(r#"{payload},"timestamp":1"#)).is_some(), "{payload}");
        }
    }

    #[test]
    fn what_is_odd_is_left_to_those_who_look_closely() {
        for odd in [
            r#""payload":{},"message_type":"Ping","timestamp":1"#,
            r#""message_type":"Ping","payload":{},"timestamp":1,"later":1"#,
            r#""message_type":"Ping","payload":{"later":1},"timestamp":1"#,
            r#""message_type":"Ping","payload":{},"timestamp":1,"timestamp":1"#,
            r#""message_type":"Ping","payload":{},"timestamp":9007199254740992"#,
            r#""message_type":"Later","payload":{},"timestamp":1"#,
            r#""message_type":"Ping","payload":{}"#,
            r#""message_type":"Ping","timestamp":1"#,
            r#""message_type":"Consensus","payload":{"epoch":1,"later":{}},"timestamp":1"#,
            r#""message_type":"Consensus","payload":{"epoch":1,"read":{"nonce":9007199254740992}},"timestamp":1"#,
            r#""message_type":"Consensus","payload":{"epoch":1,"read":{"nonce":1,"nonce":1}},"timestamp":1"#,
        ] {
            assert_eq!(envelope(odd), None, "{odd}");
        }
        let plain = format!(
            r#"{{"id":{ID},"from":{ID},"message_type":"Ping","payload":{{}},"timestamp":1}}"#
        );
        assert!(read(&plain).is_some());
        assert_eq!(read(&format!("{plain} {{}}")), None);
        let long = "x".repeat(limits::DATA_BYTES_MAX + 1);
        assert_eq!(
            envelope(&format!(r#""message_type":"Data","payload":"{long}","timestamp":1"#)),
            None
        );
    }
}
