//! `--on-commit`: every value, in order, at least once, and never in the way of the node.

use std::path::{Path, PathBuf};

use crate::process::{Process, eventually};
use crate::said::{fails, json, node};

/// Where the command writes, and the command: one line a value, in one write.
fn command(directory: &Path) -> (PathBuf, String) {
    let out = directory.join("out");
    let line = format!(
        "v=$(cat); echo \"$QUORATE_COMMIT_SLOT $QUORATE_COMMIT_ID $QUORATE_COMMIT_HASH $v\" >> {}",
        out.display()
    );
    (out, line)
}

fn start(directory: &Path, command: &str) -> (Process, String) {
    let arguments = ["--port", "0", "--on-commit", command];
    let mut process = Process::start(&directory.join("data"), &arguments);
    let admin = process.admin().expect("no port was asked for");
    process.line("quorum.formed", |_| true);
    (process, admin)
}

/// What the command has written, each line in its words.
fn written(out: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(out).unwrap_or_default();
    text.lines().map(|line| line.splitn(4, ' ').map(str::to_owned).collect()).collect()
}

#[test]
fn every_value_comes_in_order_with_its_slot_id_and_hash_and_once_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let (out, command) = command(directory.path());
    let (mut process, admin) = start(directory.path(), &command);
    let values = ["blue", "two words", "\"quoted\" $HOME"];
    let answers: Vec<_> = values
        .iter()
        .map(|value| json(&node(&["propose", value, "--json", "--admin", &admin])))
        .collect();
    eventually("all are told", || (written(&out).len() == 3).then_some(()));
    for ((line, value), answer) in written(&out).iter().zip(values).zip(&answers) {
        assert_eq!(line[0], answer["slot"].to_string());
        assert_eq!(Some(line[1].as_str()), answer["request_id"].as_str());
        assert_eq!(Some(line[2].as_str()), answer["hash"].as_str());
        assert_eq!(line[3], value);
    }
    assert_eq!(process.leave(), 0);
    let (mut process, admin) = start(directory.path(), &command);
    assert_eq!(node(&["propose", "last", "--admin", &admin]).code, 0);
    eventually("it goes on where it stood", || {
        (written(&out).last().unwrap()[3] == "last").then_some(())
    });
    assert_eq!(written(&out).len(), 4, "a good end repeats nothing");
    assert_eq!(process.leave(), 0);
}

#[test]
fn a_command_that_fails_holds_up_what_follows_and_no_commit() {
    let directory = tempfile::tempdir().unwrap();
    let (out, command) = command(directory.path());
    let mended = directory.path().join("mended");
    let (mut process, admin) =
        start(directory.path(), &format!("test -e {} && {{ {command}; }}", mended.display()));
    let large = directory.path().join("large");
    std::fs::write(&large, "x".repeat(256 * 1024)).unwrap();
    for value in ["blue", &format!("@{}", large.display()), "red"] {
        assert_eq!(node(&["propose", value, "--admin", &admin]).code, 0, "nothing waits for it");
    }
    for attempt in 1..=2 {
        let told = process.line("hook.failed", |line| line["attempt"] == attempt);
        assert_eq!((&told["slot"], &told["level"]), (&1.into(), &"WARN".into()));
    }
    assert!(!out.exists());
    std::fs::write(&mended, "").unwrap();
    process.line("hook.recovered", |line| line["slot"] == 1);
    eventually("the rest follows", || (written(&out).len() == 3).then_some(()));
    let lengths: Vec<_> = written(&out).iter().map(|line| line[3].len()).collect();
    assert_eq!(lengths, [4, 256 * 1024, 3]);
    assert_eq!(process.leave(), 0);
}

#[test]
fn nothing_is_left_out_when_the_node_is_killed_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let (out, command) = command(directory.path());
    let mut sent = 0;
    for life in 0..5 {
        let (mut process, admin) = start(directory.path(), &command);
        for _ in 0..4 {
            sent += 1;
            let value = format!("value {sent}");
            assert_eq!(node(&["propose", &value, "--admin", &admin]).code, 0);
        }
        if life < 4 {
            process.kill();
            continue;
        }
        eventually("all are told", || {
            (written(&out).last()?[3] == format!("value {sent}")).then_some(())
        });
        assert_eq!(process.leave(), 0);
    }
    let mut firsts = Vec::new();
    for line in written(&out) {
        if !firsts.contains(&line[3]) {
            firsts.push(line[3].clone());
        }
    }
    let all: Vec<_> = (1..=sent).map(|number| format!("value {number}")).collect();
    assert_eq!(firsts, all);
}

#[test]
fn a_position_of_another_log_stops_the_command_and_not_the_node() {
    let directory = tempfile::tempdir().unwrap();
    let (out, command) = command(directory.path());
    let (mut process, admin) = start(directory.path(), &command);
    assert_eq!(node(&["propose", "blue", "--admin", &admin]).code, 0);
    eventually("it is told", || (written(&out).len() == 1).then_some(()));
    assert_eq!(process.leave(), 0);
    let position = directory.path().join("data/on-commit");
    let other = format!("quorate on-commit 1\n1 {}\n", "0".repeat(64));
    std::fs::write(&position, other).unwrap();
    let (mut process, admin) = start(directory.path(), &command);
    assert_eq!(node(&["propose", "red", "--admin", &admin]).code, 0);
    let told = process.line("hook.halted", |_| true);
    assert!(told["why"].as_str().unwrap().contains("of another log"), "{told}");
    assert_eq!(node(&["propose", "green", "--admin", &admin]).code, 0);
    assert_eq!(process.leave(), 0);

    std::fs::write(&position, "nonsense").unwrap();
    let data = directory.path().join("data").display().to_string();
    let run = ["--port", "0", "--bind", "127.0.0.1", "--no-admin", "--data-dir", &data];
    let said = node(&[&run[..], &["--on-commit", "true"]].concat());
    fails(&said, 8, "it names no position");
    assert_eq!(written(&out).len(), 1);
}
