//! The examples do what they say.

use std::path::PathBuf;
use std::process::Command;

/// The built example: cargo builds all of them before it runs a test.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("this test is a file");
    let profile: PathBuf = test.ancestors().nth(2).expect("below target/<profile>/deps").into();
    Command::new(profile.join("examples").join(name))
}

#[test]
fn embed_prints_one_log_three_times() {
    let output = example("embed").output().expect("it is built and runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let held = |node: &str| -> Vec<String> {
        let start = format!("{node} holds ");
        text.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
    };
    let first = held("n1");
    for (entry, color) in first.iter().zip(["red", "green", "blue"]) {
        assert!(entry.contains(color), "{text}");
    }
    assert_eq!(first.len(), 3, "{text}");
    assert_eq!((&held("n2"), &held("n3")), (&first, &first), "{text}");
}
