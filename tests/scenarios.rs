//! Scenarios: what a person wrote down, and the whole exchange that it led to when it was recorded.
//!
//! `UPDATE=1 cargo test --test scenarios` records them anew; read the difference before it is committed.

use std::path::{Path, PathBuf};

use quorate::sim::play;

fn scenarios() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> =
        directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_scenario_goes_as_recorded() {
    let files = scenarios();
    assert!(files.len() >= 9, "found only {files:?}");
    let is_recording = std::env::var_os("UPDATE").is_some();
    let mut faults = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let recorded = std::fs::read_to_string(&file).unwrap();
        match play(&recorded) {
            Err(error) => faults.push(format!("{name}, {error}")),
            Ok(played) if played == recorded => {}
            Ok(played) if is_recording => std::fs::write(&file, played).unwrap(),
            Ok(played) => faults.push(difference(&name, &recorded, &played)),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_disappointed_scenario_says_so() {
    let error = play("> nodes 3\n> settle\n> expect commit 1 blue\n").unwrap_err();
    assert_eq!(error.to_string(), "line 3: n1 has delivered None in slot 1");
    let error = play("> nodes 3\n> dance\n").unwrap_err();
    assert!(error.to_string().starts_with("line 2: `dance` is no command"), "{error}");
}

fn difference(name: &str, recorded: &str, played: &str) -> String {
    let lines = recorded.lines().zip(played.lines()).enumerate();
    match lines.into_iter().find(|(_, (was, is))| was != is) {
        Some((line, (was, is))) => {
            format!("{name}, line {}: recorded\n  {was}\nplayed\n  {is}", line + 1)
        }
        None => format!("{name}: one is longer than the other"),
    }
}
