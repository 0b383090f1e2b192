//! One place where settings are written, each with its origin.

use std::collections::BTreeMap;

use crate::config::{Fault, Key, Kind, Origin};

/// A setting as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The text; several only for [`Kind::List`].
    pub texts: Vec<String>,
    /// Where it was written.
    pub origin: Origin,
}

/// The settings of one place. Higher places win key by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    written: BTreeMap<Key, Written>,
}

impl Layer {
    /// What is built in.
    pub fn defaults() -> Self {
        let mut layer = Self::default();
        for key in Key::ALL {
            if let Some(text) = key.default() {
                layer.set(key, text, Origin::Default);
            }
        }
        layer
    }

    /// The settings among these environment variables. Empty ones count as not written.
    ///
    /// # Errors
    /// Variables that look like a misspelled setting. Others that begin alike are ignored:
    /// orchestrators make such variables up for services.
    pub fn environment(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> (Self, Vec<Fault>) {
        let mut layer = Self::default();
        let mut faults = Vec::new();
        for (variable, text) in variables {
            let Some(name) = variable.strip_prefix("QUORATE_") else { continue };
            if text.is_empty() || name == "CONFIG" {
                continue;
            }
            let origin = Origin::Environment(variable.clone());
            if let Some(key) = Key::ALL.into_iter().find(|key| key.variable() == variable) {
                layer.set(key, &text, origin);
            } else if let Some(near) = Key::nearest(name) {
                faults.push(Fault {
                    what: format!("{variable} is not a setting"),
                    origin,
                    hint: format!("did you mean {}?", near.variable()),
                });
            }
        }
        (layer, faults)
    }

    /// Writes a setting as one text; a list is split at its commas.
    pub fn set(&mut self, key: Key, text: &str, origin: Origin) {
        let texts = match key.kind() {
            Kind::List => text.split(',').map(|item| item.trim().to_owned()).collect(),
            Kind::Text | Kind::Number | Kind::Switch => vec![text.to_owned()],
        };
        self.put(key, Written { texts, origin });
    }

    /// Writes a setting.
    pub fn put(&mut self, key: Key, written: Written) {
        self.written.insert(key, written);
    }

    /// The setting as written here.
    pub fn get(&self, key: Key) -> Option<&Written> {
        self.written.get(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> (Layer, Vec<Fault>) {
        Layer::environment(variables.iter().map(|&(n, t)| (n.to_owned(), t.to_owned())))
    }

    #[test]
    fn the_environment_is_read_by_name() {
        let (layer, faults) = environment(&[
            ("QUORATE_PORT", "8005"),
            ("QUORATE_PEERS", "a:1, b:2"),
            ("QUORATE_NAME", ""),
            ("QUORATE_CONFIG", "node.toml"),
            ("QUORATE_SERVICE_HOST", "10.0.0.1"),
            ("PORT", "1"),
        ]);
        assert_eq!(faults, []);
        assert_eq!(layer.get(Key::Port).unwrap().texts, ["8005"]);
        assert_eq!(layer.get(Key::Peers).unwrap().texts, ["a:1", "b:2"]);
        assert_eq!(layer.get(Key::Name), None);
    }

    #[test]
    fn a_misspelled_variable_is_named() {
        let (_, faults) = environment(&[("QUORATE_PEER", "a:1")]);
        assert_eq!(faults[0].what, "QUORATE_PEER is not a setting");
        assert_eq!(faults[0].hint, "did you mean QUORATE_PEERS?");
    }
}
