//! A configuration file as written: TOML, every key optional, unknown keys refused by line.

use std::fs;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{Fault, Key, Kind, Layer, Origin, Written};

/// Reads a file. What can be read of a faulty one is returned beside its faults, so that
/// one run of the program shows all that is to be mended.
pub fn read_file(path: &Path) -> (Layer, Vec<Fault>) {
    match fs::read_to_string(path) {
        Ok(text) => read_text(path, &text),
        Err(error) => {
            let fault = Fault {
                what: format!("the configuration file {} cannot be read: {error}", path.display()),
                origin: Origin::Flag("--config"),
                hint: "name a readable TOML file; config/node.toml shows every setting".to_owned(),
            };
            (Layer::default(), vec![fault])
        }
    }
}

/// Reads the text of a file; `path` is told in its faults, of which see [`read_file`].
pub fn read_text(path: &Path, text: &str) -> (Layer, Vec<Fault>) {
    let mut layer = Layer::default();
    let mut faults = Vec::new();
    let at = |offset: usize| Origin::File {
        path: path.to_owned(),
        line: text[..offset.min(text.len())].matches('\n').count() + 1,
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        faults.push(Fault {
            what: format!("this is not TOML: {}", error.message().trim()),
            origin: at(error.span().map_or(0, |span| span.start)),
            hint: "write one `key = value` a line; config/node.toml shows every setting".to_owned(),
        });
    }
    for (name, value) in table.get_ref() {
        let origin = at(name.span().start);
        let name = name.get_ref().as_ref();
        let Some(key) = Key::named(name) else {
            faults.push(unknown(name, origin));
            continue;
        };
        match texts(key, value) {
            Ok(texts) => layer.put(key, Written { texts, origin }),
            Err(hint) => {
                let found = value.get_ref().type_str();
                let what = format!("{name} is written as {found}");
                faults.push(Fault { what, origin, hint });
            }
        }
    }
    (layer, faults)
}

fn unknown(name: &str, origin: Origin) -> Fault {
    let hint = match Key::nearest(name) {
        Some(near) => format!("did you mean {}?", near.name()),
        None => "remove it; config/node.toml shows every setting".to_owned(),
    };
    Fault { what: format!("{name} is not a setting"), origin, hint }
}

fn texts(key: Key, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, String> {
    let name = key.name();
    match (key.kind(), value.get_ref()) {
        (Kind::Text, DeValue::String(text)) => Ok(vec![text.to_string()]),
        (Kind::Number, DeValue::Integer(number)) => Ok(vec![number.to_string()]),
        (Kind::Switch, DeValue::Boolean(switch)) => Ok(vec![switch.to_string()]),
        (Kind::List, DeValue::Array(items)) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                _ => Err(format!("write every one of {name} in quotes")),
            })
            .collect(),
        (Kind::Text, _) => Err(format!("write {name} = \"…\", in quotes")),
        (Kind::Number, _) => Err(format!("write {name} = 8001, a number without quotes")),
        (Kind::Switch, _) => Err(format!("write {name} = true or {name} = false")),
        (Kind::List, _) => Err(format!("write {name} = [\"host:port\", …]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<(usize, String)> {
        let (_, faults) = read_text(Path::new("n.toml"), text);
        faults
            .into_iter()
            .map(|fault| match fault.origin {
                Origin::File { line, .. } => (line, format!("{}; {}", fault.what, fault.hint)),
                origin => panic!("a fault of a file names its line, not {origin}"),
            })
            .collect()
    }

    #[test]
    fn every_kind_is_read() {
        let text = "port = 8_002\npeers = [\"a:1\", \"b:2\"]\nadmin = false\ncluster = \"blue\"\n";
        let (layer, faults) = read_text(Path::new("n.toml"), text);
        assert_eq!(faults, []);
        assert_eq!(layer.get(Key::Port).unwrap().texts, ["8002"]);
        assert_eq!(layer.get(Key::Peers).unwrap().texts, ["a:1", "b:2"]);
        assert_eq!(layer.get(Key::Admin).unwrap().texts, ["false"]);
        let cluster = layer.get(Key::Cluster).unwrap();
        assert_eq!(cluster.origin.to_string(), "n.toml:4");
    }

    #[test]
    fn all_faults_of_a_file_are_told_with_their_lines() {
        let found =
            faults("\nprot = 1\nport = \"8001\"\npeers = [1]\nelection_timeout = 3\n[admin]\n");
        let mut expected = vec![
            (2, "prot is not a setting; did you mean port?"),
            (3, "port is written as string; write port = 8001, a number without quotes"),
            (4, "peers is written as array; write every one of peers in quotes"),
            (
                5,
                "election_timeout is not a setting; remove it; config/node.toml shows every setting",
            ),
            (6, "admin is written as table; write admin = true or admin = false"),
        ];
        let mut found: Vec<_> = found.iter().map(|(line, text)| (*line, text.as_str())).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line_and_hides_nothing_else() {
        let found = faults("port = 8001\ncluster = blue\nprot = 1\n");
        assert!(
            found.iter().any(|(line, what)| *line == 2 && what.contains("not TOML")),
            "{found:?}"
        );
        assert!(found.iter().any(|(line, what)| *line == 3 && what.contains("port?")), "{found:?}");
        let found = faults("port = 1\nport = 2\n");
        assert_eq!(found.first().map(|(line, _)| *line), Some(2), "a key given twice: {found:?}");
    }

    #[test]
    fn a_missing_file_is_a_fault() {
        let (_, faults) = read_file(Path::new("no/such/node.toml"));
        assert!(faults[0].what.contains("no/such/node.toml"));
    }
}
