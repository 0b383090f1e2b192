//! docs/OPERATIONS.md: what it tells people to type is what the program takes, what it says of exit codes and log
//! lines is what they are.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{exit_codes, said, text};
use crate::unit::unit;

fn handbook() -> String {
    text("docs/OPERATIONS.md")
}

/// The lines of the blocks of code that are commands.
fn commands() -> Vec<String> {
    let handbook = handbook();
    let blocks = handbook.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(|block| block.lines().skip(1));
    // What a command prints stands in a block as well; a comment goes on behind two spaces and a sign.
    let lines = lines.map(|line| line.split("  #").next().expect("one part").trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// What stands behind `node`, wherever it is called in these lines.
fn calls() -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    for line in commands() {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        for (index, word) in words.iter().enumerate() {
            let is_called = index == 0 || words[index - 1] == "until";
            if word == "node" && is_called && words.len() > index + 1 {
                let rest = words[index + 1..].iter();
                calls.push(
                    rest.take_while(|word| !["|", ">"].contains(&word.as_str())).cloned().collect(),
                );
            }
        }
    }
    calls
}

#[test]
fn every_command_and_flag_is_one_that_the_program_takes() {
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let calls = calls();
    assert!(calls.len() > 10, "{calls:?}");
    for call in &calls {
        // What `node id (version …)` prints is no call.
        if call[0].contains("-800") {
            continue;
        }
        let words = call.iter().take_while(|word| !word.starts_with('-')).map(String::as_str);
        let depth = if call[0] == "config" { 2 } else { 1 };
        let command: Vec<_> = words.take(depth).collect();
        let help = helps
            .entry(command.join(" "))
            .or_insert_with(|| said(&[&command[..], &["--help"]].concat()));
        for flag in call.iter().filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().expect("one part");
            assert!(
                help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                "{call:?}"
            );
        }
    }
}

#[test]
fn every_exit_code_is_explained_and_no_other() {
    let handbook = handbook();
    let (_, table) = handbook.split_once("| code | means |").expect("a table of exit codes");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    let mut explained = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [code, means, does] = cells[..] else { panic!("{row}") };
        assert!(!does.is_empty(), "{row}");
        explained.insert(code.parse::<u8>().expect("a number"), means.to_owned());
    }
    let told: BTreeMap<u8, String> = exit_codes()
        .into_iter()
        .map(|(code, meaning)| {
            (code, meaning.split([':', ';', '(']).next().unwrap().trim().to_owned())
        })
        .collect();
    assert_eq!(explained, told);
}

#[test]
fn every_log_line_that_is_explained_is_one_that_is_written() {
    let handbook = handbook();
    let (_, table) = handbook.split_once("| line | means |").expect("a table of log lines");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    let listed = text("docs/LOGS.md");
    let mut explained = BTreeSet::new();
    for row in rows {
        let name = row.split('`').nth(1).unwrap_or_else(|| panic!("{row} names no line"));
        let event = name.split(' ').next().unwrap();
        assert!(listed.contains(&format!("| `{event}` |")), "{event} is not in docs/LOGS.md");
        explained.insert(event.to_owned());
    }
    // Whatever is an error or a warning that an operator must act on.
    for event in ["node.halted", "node.unknown", "lists.differ", "quorum.lost", "config.refused"] {
        assert!(explained.contains(event), "{event} is not explained");
    }
}

#[test]
fn the_places_of_the_handbook_are_those_of_the_unit() {
    let (handbook, unit) = (handbook(), unit());
    let start = &unit["Service.ExecStart"][0];
    let state = format!("/var/lib/{}", unit["Service.StateDirectory"][0]);
    for place in start.split(' ').filter(|word| word.starts_with('/')).chain([state.as_str()]) {
        assert!(handbook.contains(place), "{place} is not in the handbook");
    }
    let (_, hopeless) = handbook.split_once("not started again").expect("which codes");
    for code in unit["Service.RestartPreventExitStatus"][0].split(' ') {
        assert!(hopeless.contains(code), "{code}");
    }
}
