//! `node simulate --chart`: a run drawn as a picture and as a text, and nothing else changed by that.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn simulate(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_node"));
    program.arg("simulate").args(arguments).output().unwrap()
}

/// Draws seed 7 of three nodes into `name`: what was drawn, and what was said beside it.
fn drawn(directory: &Path, name: &str, more: &[&str]) -> (String, String) {
    let path = directory.join(name);
    let path = path.to_str().unwrap();
    let done = simulate(&[&["--seed", "7", "--nodes", "3", "--chart", path], more].concat());
    assert!(done.status.success(), "{done:?}");
    (fs::read_to_string(path).unwrap(), String::from_utf8(done.stdout).unwrap())
}

#[test]
fn a_picture_needs_nothing_from_outside_and_shows_every_lane() {
    let directory = tempfile::tempdir().unwrap();
    let (picture, said) = drawn(directory.path(), "run.svg", &["--last", "40"]);
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    assert_eq!(picture.matches("http").count(), 1, "the name of the format, and no address");
    assert!(!picture.contains("href") && !picture.contains("<script") && !picture.contains("url("));
    for tag in ["svg", "style", "text", "title", "g"] {
        let opened = picture.matches(&format!("<{tag} ")).count()
            + picture.matches(&format!("<{tag}>")).count();
        assert_eq!(opened, picture.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    for lane in ["n1", "n2", "n3"] {
        assert!(picture.contains(&format!(">{lane}</text>")), "{lane}");
    }
    assert!(picture.contains("COMMITS") && picture.contains("seed 7: all invariants held"));
    assert!(picture.matches("<circle").count() <= 40 && picture.contains("left out"));

    let (again, _) = drawn(directory.path(), "again.svg", &["--last", "40"]);
    assert_eq!(picture, again, "one seed, one picture");
    let undrawn = simulate(&["--seed", "7", "--nodes", "3"]);
    let undrawn = String::from_utf8(undrawn.stdout).unwrap();
    assert!(said.starts_with(&undrawn), "{said}");
}

#[test]
fn a_window_and_heartbeats_are_what_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let draw = |more: &[&str]| drawn(directory.path(), "run.mmd", more).0;
    let quiet = draw(&["--window", "..60"]);
    assert!(quiet.starts_with("---\ntitle: seed 7") && quiet.contains("\nsequenceDiagram\n"));
    assert!(!quiet.contains(" beat") && quiet.contains("participant n3"));
    let loud = draw(&["--window", "..60", "--heartbeats"]);
    assert!(loud.contains("n1->>n2") && loud.contains(" beat"));
    for line in loud.lines().filter(|line| line.contains("ms ")) {
        let words = line.split_whitespace().find_map(|word| word.strip_suffix("ms"));
        let millis: f64 = words.expect("a moment").parse().unwrap();
        assert!(millis <= 60.0, "{line}");
    }
}

#[test]
fn what_cannot_be_drawn_is_told_before_anything_runs() {
    let refused = |arguments: &[&str], told: &str| {
        let done = simulate(arguments);
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(78), "{said}");
        assert!(said.contains(told) && done.stdout.is_empty(), "{said}");
    };
    refused(&["--chart", "run.png"], ".svg (a picture) or .mmd");
    refused(&["--chart", "run.svg", "--seeds", "2"], "--seeds");
    refused(&["--chart", "run.svg", "--window", "9..1"], "ends before it begins");
    refused(&["--last", "5"], "--chart");
    let help = String::from_utf8(simulate(&["--help"]).stdout).unwrap();
    assert!(help.contains("node simulate --seed 7 --chart run.svg --window 300..450"), "{help}");
}
