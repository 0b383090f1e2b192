//! Settings in force: each as one would write it, and where it was written.

use std::fmt;
use std::net::Ipv6Addr;

use serde::Serialize;

use crate::config::{Key, Kind, Layer, LogFormat, Origin, Settings};

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Which.
    pub key: Key,
    /// Its value; none if there is none, as of a port of an interface that is not served.
    pub value: Option<ShownValue>,
    /// Where it was written; [`Origin::Default`] also where it follows from other settings.
    pub origin: Origin,
}

/// A value as a file would hold it. Its text is TOML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ShownValue {
    /// A string.
    Text(String),
    /// A whole number.
    Number(u16),
    /// `true` or `false`.
    Switch(bool),
    /// An array of strings.
    List(Vec<String>),
}

impl fmt::Display for ShownValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &String| toml::Value::String(text.clone());
        match self {
            Self::Text(value) => text(value).fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Switch(value) => value.fmt(f),
            Self::List(values) => {
                let values: Vec<_> = values.iter().map(|value| text(value).to_string()).collect();
                write!(f, "[{}]", values.join(", "))
            }
        }
    }
}

/// Every setting in force, in the order of [`Key::ALL`]. `layers` are those that `settings` were resolved from.
pub fn shown(settings: &Settings, layers: &[Layer]) -> Vec<Shown> {
    let shown = |key: Key| Shown {
        key,
        value: value(settings, key),
        origin: layers
            .iter()
            .find_map(|layer| layer.get(key))
            .map_or(Origin::Default, |written| written.origin.clone()),
    };
    Key::ALL.into_iter().map(shown).collect()
}

/// The settings whose values differ.
pub fn changed(before: &Settings, after: &Settings) -> Vec<Key> {
    Key::ALL.into_iter().filter(|key| value(before, *key) != value(after, *key)).collect()
}

fn value(settings: &Settings, key: Key) -> Option<ShownValue> {
    use ShownValue::{List, Number, Switch, Text};
    let node = &settings.node;
    let span = |span: std::time::Duration| {
        let milliseconds = span.as_millis();
        Text(match milliseconds.is_multiple_of(1_000) {
            true => format!("{}s", milliseconds / 1_000),
            false => format!("{milliseconds}ms"),
        })
    };
    let value = match key {
        Key::Cluster => Text(node.cluster.clone()),
        Key::Name => Text(node.name.clone()),
        Key::Bind => Text(node.bind.unwrap_or(Ipv6Addr::UNSPECIFIED.into()).to_string()),
        Key::Port => Number(node.port),
        Key::Advertise => Text(node.advertise.as_ref()?.to_string()),
        Key::Peers => List(node.peers.iter().map(ToString::to_string).collect()),
        Key::DataDir => Text(node.data_dir.to_string_lossy().into_owned()),
        Key::Admin => Switch(node.admin.is_some()),
        Key::AdminPort => Number(node.admin.as_ref()?.port),
        Key::AdminBind => Text(node.admin.as_ref()?.bind.to_string()),
        Key::AdminTokenFile => {
            Text(node.admin.as_ref()?.token_file.as_ref()?.to_string_lossy().into_owned())
        }
        Key::HeartbeatInterval => span(node.heartbeat_interval),
        Key::SuspectAfter => span(node.suspect_after),
        Key::RedialMin => span(node.redial_min),
        Key::RedialMax => span(node.redial_max),
        Key::LogLevel => Text(settings.log_level.clone()),
        Key::LogFormat => Text(match settings.log_format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        }),
    };
    debug_assert_eq!(key.kind(), value.kind());
    Some(value)
}

impl ShownValue {
    fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Number(_) => Kind::Number,
            Self::Switch(_) => Kind::Switch,
            Self::List(_) => Kind::List,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve;

    fn layer(settings: &[(Key, &str)]) -> Layer {
        let mut layer = Layer::default();
        for &(key, text) in settings {
            layer.set(key, text, Origin::Flag("--test"));
        }
        layer
    }

    #[test]
    fn what_is_shown_resolves_to_the_same_settings() {
        for written in [
            &[][..],
            &[(Key::Port, "0"), (Key::Peers, "a:1,[::1]:2"), (Key::Admin, "false")],
            &[
                (Key::Name, "n1"),
                (Key::DataDir, "a \"b\""),
                (Key::SuspectAfter, "1500ms"),
                (Key::Bind, "::1"),
            ],
            &[(Key::Advertise, "a:1"), (Key::RedialMax, "2m"), (Key::LogFormat, "json")],
        ] {
            let layers = [layer(written)];
            let settings = resolve(&layers, Some("venus")).unwrap();
            let mut again = Layer::default();
            for Shown { key, value, .. } in shown(&settings, &layers) {
                match value {
                    Some(ShownValue::List(texts)) => {
                        again.put(key, crate::config::Written { texts, origin: Origin::Default })
                    }
                    Some(ShownValue::Text(text)) => again.set(key, &text, Origin::Default),
                    Some(value) => again.set(key, &value.to_string(), Origin::Default),
                    None => {}
                }
            }
            assert_eq!(resolve(&[again], None), Ok(settings));
        }
    }

    #[test]
    fn an_origin_is_where_the_winner_is_written() {
        let layers = [layer(&[(Key::Port, "1")]), layer(&[(Key::Port, "2"), (Key::Name, "n")])];
        let settings = resolve(&layers, None).unwrap();
        let found: Vec<_> = shown(&settings, &layers)
            .into_iter()
            .filter(|it| it.origin != Origin::Default)
            .collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].value, Some(ShownValue::Number(1)));
    }

    #[test]
    fn two_ways_to_write_one_value_are_no_change() {
        let of = |settings: &[(Key, &str)]| resolve(&[layer(settings)], None).unwrap();
        let (before, same) = (of(&[(Key::RedialMax, "120s")]), of(&[(Key::RedialMax, "2m")]));
        assert_eq!(changed(&before, &same), []);
        let other = of(&[(Key::RedialMax, "1m"), (Key::Port, "8002")]);
        assert_eq!(
            changed(&before, &other),
            [Key::Name, Key::Port, Key::DataDir, Key::AdminPort, Key::RedialMax]
        );
    }
}
