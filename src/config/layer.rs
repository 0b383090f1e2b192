//! One place where settings are written, each with its origin.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::config::{Fault, Key, Kind, Origin};

/// A setting as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The text; several only for [`Kind::List`].
    pub texts: Vec<String>,
    /// Where it was written.
    pub origin: Origin,
}

/// What the environment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Its settings.
    pub layer: Layer,
    /// Variables that look like a misspelled setting.
    pub faults: Vec<Fault>,
    /// Variables that bear a setting's name by accident, and why they are not used.
    pub ignored: Vec<Fault>,
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

    /// The settings among these environment variables. Empty ones count as not written. Names that are
    /// nothing like a setting are passed over: orchestrators make such variables up for services.
    pub fn environment(variables: impl IntoIterator<Item = (String, String)>) -> Environment {
        let mut environment = Environment::default();
        for (variable, text) in variables {
            let Some(name) = variable.strip_prefix("QUORATE_") else { continue };
            if text.is_empty() || name == "CONFIG" {
                continue;
            }
            let origin = Origin::Environment(variable.clone());
            match Key::ALL.into_iter().find(|key| key.variable() == variable) {
                Some(key) if key.kind() == Kind::Number && is_service_link(&text) => {
                    environment.ignored.push(Fault {
                        what: format!("{variable}=\"{text}\" is no setting: Kubernetes makes it up for a service of this name"),
                        origin,
                        hint: format!(
                            "set enableServiceLinks: false for the pod, or rename the service; to set {}, give it in \
                             the container's own env, a flag or a file",
                            key.name()
                        ),
                    });
                }
                Some(key) => environment.layer.set(key, &text, origin),
                None => {
                    if let Some(near) = Key::nearest(name) {
                        environment.faults.push(Fault {
                            what: format!("{variable} is not a setting"),
                            origin,
                            hint: format!("did you mean {}?", near.variable()),
                        });
                    }
                }
            }
        }
        environment
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

/// Whether a variable looks like what Kubernetes makes up: a service called `quorate` puts
/// `QUORATE_PORT=tcp://10.0.0.1:8001` into every pod beside it.
fn is_service_link(text: &str) -> bool {
    let schemes = ["tcp://", "udp://", "sctp://"];
    let address = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    address.is_some_and(|address| address.parse::<SocketAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Layer::environment(variables.iter().map(|&(n, t)| (n.to_owned(), t.to_owned())))
    }

    #[test]
    fn the_environment_is_read_by_name() {
        let Environment { layer, faults, ignored } = environment(&[
            ("QUORATE_PORT", "8005"),
            ("QUORATE_PEERS", "a:1, b:2"),
            ("QUORATE_NAME", ""),
            ("QUORATE_CONFIG", "node.toml"),
            ("QUORATE_SERVICE_HOST", "10.0.0.1"),
            ("PORT", "1"),
        ]);
        assert_eq!((faults, ignored), (vec![], vec![]));
        assert_eq!(layer.get(Key::Port).unwrap().texts, ["8005"]);
        assert_eq!(layer.get(Key::Peers).unwrap().texts, ["a:1", "b:2"]);
        assert_eq!(layer.get(Key::Name), None);
    }

    #[test]
    fn a_misspelled_variable_is_named() {
        let Environment { faults, .. } = environment(&[("QUORATE_PEER", "a:1")]);
        assert_eq!(faults[0].what, "QUORATE_PEER is not a setting");
        assert_eq!(faults[0].hint, "did you mean QUORATE_PEERS?");
    }

    #[test]
    fn what_an_orchestrator_makes_up_is_explained_and_not_used() {
        let found = environment(&[
            ("QUORATE_PORT", "tcp://10.0.0.1:8001"),
            ("QUORATE_ADMIN_PORT", "tcp://[fd00::1]:9001"),
            ("QUORATE_PORT_8001_TCP", "tcp://10.0.0.1:8001"),
            ("QUORATE_PORT_8001_TCP_PROTO", "tcp"),
            ("QUORATE_SERVICE_PORT", "8001"),
        ]);
        assert_eq!((found.layer, found.faults), (Layer::default(), vec![]));
        assert_eq!(found.ignored.len(), 2);
        assert!(found.ignored[0].what.contains("Kubernetes"), "{:?}", found.ignored);
        assert!(found.ignored[0].hint.contains("enableServiceLinks"), "{:?}", found.ignored);

        // What only looks a little like it is a fault of whoever wrote it.
        let found =
            environment(&[("QUORATE_PORT", "tcp://8001"), ("QUORATE_NAME", "tcp://1.2.3.4:5")]);
        assert_eq!(found.ignored, []);
        assert!(found.layer.get(Key::Port).is_some() && found.layer.get(Key::Name).is_some());
    }
}
