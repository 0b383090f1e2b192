//! The clients against the vectors that the nodes are held to.

use std::fs;

use serde_json::{Value as Json, json};

use crate::language::{Language, Running};
use crate::root;

const FILES: [&str; 6] = [
    "frames.json",
    "messages.json",
    "invalid.json",
    "handshake.json",
    "proofs.json",
    "entries.json",
];

fn read(file: &str) -> Vec<Json> {
    let text = fs::read_to_string(root().join("tests/vectors").join(file)).expect("a file");
    serde_json::from_str(&text).expect("a list")
}

#[test]
fn every_vector_is_held() {
    let wanted: Vec<_> =
        FILES.map(|file| json!({ "vectors": file, "held": read(file).len() })).into();
    for language in Language::all() {
        let ended = language.run(&[], &["selftest", "tests/vectors"]);
        assert_eq!(ended.code, Some(0), "{}: {}", language.name, ended.errors);
        assert_eq!(ended.lines, wanted, "{}", language.name);
    }
}

/// The last vector of a file, after something in it was changed.
fn spoil(file: &str) -> (Vec<Json>, String) {
    let mut vectors = read(file);
    let last = vectors.last_mut().expect("one at least");
    match file {
        "frames.json" | "invalid.json" => last["error"] = json!("another"),
        "messages.json" => last["unknown_kind"] = json!("another"),
        "handshake.json" => last["signed"] = json!("00"),
        "proofs.json" => last["holds"] = json!(true),
        _ => last["hash"] = json!("00".repeat(32)),
    }
    let name = last["name"].as_str().expect("a name").to_owned();
    (vectors, name)
}

#[test]
fn a_vector_that_is_not_held_is_named() {
    for language in Language::all() {
        for spoilt in FILES {
            let directory = tempfile::tempdir().expect("a directory");
            let mut named = String::new();
            for file in FILES {
                let mut vectors = read(file);
                if file == spoilt {
                    (vectors, named) = spoil(file);
                }
                let text = serde_json::to_string(&vectors).expect("JSON");
                fs::write(directory.path().join(file), text).expect("a file");
            }
            let path = directory.path().to_str().expect("a path in UTF-8");
            let ended = language.run(&[], &["selftest", path]);
            assert_eq!(ended.code, Some(1), "{}: {spoilt}", language.name);
            assert!(ended.errors.contains(&named), "{}: {}", language.name, ended.errors);
        }
    }
}

#[test]
fn recorded_frames_are_read_from_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("frames");
    let path = file.to_str().expect("a path in UTF-8");
    let vectors: Vec<_> = read("messages.json")
        .into_iter()
        .filter(|vector| vector["unknown_kind"].is_null())
        .collect();
    let mut bytes = Vec::new();
    for vector in &vectors {
        let text = vector["message"].to_string();
        bytes.extend(u32::try_from(text.len()).expect("it is short").to_be_bytes());
        bytes.extend(text.into_bytes());
    }
    let wanted: Vec<_> =
        vectors.iter().map(|vector| vector.get("means").unwrap_or(&vector["message"])).collect();
    let decode = |language: &Language| {
        let mut command = language.command();
        Running::start(command.args(["decode", path])).end()
    };
    for language in Language::all() {
        fs::write(&file, &bytes).expect("a file");
        let ended = decode(&language);
        assert_eq!(ended.code, Some(0), "{}: {}", language.name, ended.errors);
        let shown: Vec<_> = ended.lines.iter().collect();
        assert_eq!(shown, wanted, "{}", language.name);

        fs::write(&file, &bytes[..bytes.len() - 1]).expect("a file");
        let ended = decode(&language);
        assert_eq!((ended.code, ended.lines.len()), (Some(1), wanted.len() - 1));
        assert!(ended.errors.contains("(unfinished)"), "{}", ended.errors);
    }
}
