//! The files under `config/`: what they say is what the code does.

use std::path::{Path, PathBuf};

use quorate::config::{Key, Layer, read_file, resolve};

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

/// `node.toml` with every setting that starts with `sign` switched on.
fn switched_on(sign: &str) -> Layer {
    let text = std::fs::read_to_string(config("node.toml")).unwrap();
    let text: Vec<_> = text.lines().map(|line| line.strip_prefix(sign).unwrap_or("")).collect();
    let settings: Vec<_> = text.into_iter().filter(|line| line.contains(" = ")).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.toml");
    std::fs::write(&path, settings.join("\n")).unwrap();
    let (layer, faults) = read_file(&path);
    assert_eq!(faults, []);
    layer
}

#[test]
fn the_documented_defaults_are_those_of_the_code() {
    let documented = switched_on("# ");
    for key in Key::ALL {
        assert_eq!(
            documented.get(key).map(|written| written.texts[0].as_str()),
            key.default(),
            "{}",
            key.name()
        );
    }
}

#[test]
fn every_setting_without_a_fixed_default_is_documented_by_an_example_that_resolves() {
    let examples = switched_on("#? ");
    for key in Key::ALL {
        assert_eq!(examples.get(key).is_some(), key.default().is_none(), "{}", key.name());
    }
    resolve(&[examples], None).unwrap();
}

#[test]
fn what_can_change_while_the_node_runs_is_marked() {
    let text = std::fs::read_to_string(config("node.toml")).unwrap();
    let mut told = String::new();
    let mut keys = 0;
    for line in text.lines() {
        let setting = line.strip_prefix("# ").or_else(|| line.strip_prefix("#? "));
        let name = setting.and_then(|setting| setting.split_once(" = ")).map(|(name, _)| name);
        match name.and_then(Key::named) {
            Some(key) => {
                assert_eq!(told.contains("(SIGHUP)"), key.is_reloadable(), "{}", key.name());
                keys += 1;
                told.clear();
            }
            None if line.starts_with("##") => told += line,
            None => told.clear(),
        }
    }
    assert_eq!(keys, Key::ALL.len());
}

#[test]
fn the_file_as_it_stands_changes_nothing() {
    let (layer, faults) = read_file(&config("node.toml"));
    assert_eq!(faults, []);
    assert_eq!(layer, Layer::default());
}

#[test]
fn the_three_nodes_name_each_other() {
    let nodes: Vec<_> = (1..=3)
        .map(|number| {
            let (layer, faults) = read_file(&config(&format!("cluster-3/{number}.toml")));
            assert_eq!(faults, []);
            resolve(&[layer], None).unwrap().node
        })
        .collect();
    for node in &nodes {
        assert_eq!(node.peers, nodes[0].peers);
        assert_eq!(node.cluster, nodes[0].cluster);
        assert!(node.peers.iter().any(|peer| peer.port == node.port));
    }
}
