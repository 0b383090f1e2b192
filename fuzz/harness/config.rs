//! Settings as people write them: a file, the environment, flags, merged into a node's settings.

use std::path::Path;

use quorate::config::{Environment, Key, Layer, Origin, read_text, resolve};

/// The input is a file; behind a line of `%%`, one setting a line, `name=text`: half of them stand in the
/// environment, the other half are flags.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (file, rest) = text.split_once("\n%%\n").unwrap_or((text, ""));
    let (file, mut faults) = read_text(Path::new("node.toml"), file);
    let mut flags = Layer::default();
    let mut variables = Vec::new();
    for (index, line) in rest.lines().enumerate() {
        let Some((name, text)) = line.split_once('=') else { continue };
        match Key::ALL.into_iter().find(|key| key.name() == name) {
            Some(key) if index % 2 == 0 => flags.set(key, text, Origin::Flag("--flag")),
            _ => variables.push((format!("QUORATE_{}", name.to_uppercase()), text.to_owned())),
        }
    }
    let Environment { layer, faults: wrong, ignored } = Layer::environment(variables);
    faults.extend(wrong.into_iter().chain(ignored));
    match resolve(&[flags, layer, file], Some("host")) {
        Ok(settings) => {
            let node = settings.node;
            assert!(!node.name.is_empty() && !node.cluster.is_empty(), "names are never empty");
            assert!(node.heartbeat_interval * 3 <= node.suspect_after, "checked together");
            assert!(node.redial_min <= node.redial_max, "checked together");
            assert!(node.peers.iter().all(|peer| peer.port > 0), "a peer can be dialled");
        }
        Err(found) => {
            assert!(!found.is_empty(), "a refusal says why");
            faults.extend(found);
        }
    }
    for fault in faults {
        assert!(!fault.what.is_empty() && !fault.origin.to_string().is_empty());
    }
}
