//! What is wrong is told in one shape, with a code of its own.

use std::process::Command;

use serde_json::Value as Json;

use crate::nobody::Nobody;
use crate::process::{Machines, program};
use crate::said::{ask, fails, file, json, lone, node, signal};

#[test]
fn a_wrong_flag_is_told_with_the_right_one() {
    let said = node(&["--prot", "1"]);
    fails(&said, 78, "'--prot'");
    assert!(said.err.contains("hint: a similar argument exists: '--port'"), "{said:?}");
    fails(&node(&["status", "--admin", "nowhere"]), 78, "has no port");
    fails(&node(&["propose", "x", "--request-id", "7"]), 78, "\"7\" is not a request id");
    fails(&node(&["simulate", "--nodes", "65"]), 78, "65 nodes");
}

#[test]
fn all_faults_of_flags_environment_and_file_are_told_at_once_with_their_places() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), "node.toml", b"suspect_after = \"1ms\"\npers = []\n");
    let done = program()
        .args([
            "--config",
            &path,
            "--peers",
            "a:8001,b,a:8001",
            "--propose",
            "",
            "--request-id",
            "x",
        ])
        .env("QUORATE_PORT", "70000")
        .env("QUORATE_LOG_LEVE", "info")
        .output()
        .unwrap();
    let err = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(78));
    for (what, place) in [
        ("suspect_after: 1ms is not between", format!("{path}:1")),
        ("pers is not a setting", format!("{path}:2")),
        ("peers: \"b\" has no port", "--peers on the command line".to_owned()),
        ("peers: a:8001 stands twice", "--peers on the command line".to_owned()),
        ("port: \"70000\" is not a port", "QUORATE_PORT in the environment".to_owned()),
        ("QUORATE_LOG_LEVE is not a setting", "QUORATE_LOG_LEVE in the environment".to_owned()),
        ("the value is empty", "--propose on the command line".to_owned()),
        ("\"x\" is not a request id", "--request-id on the command line".to_owned()),
    ] {
        let told = err.lines().position(|line| line.contains(what));
        let told = told.unwrap_or_else(|| panic!("{what} is not in\n{err}"));
        let mut after = err.lines().skip(told + 1);
        assert_eq!(after.next(), Some(format!("  where: {place}").as_str()), "{err}");
        assert!(after.next().unwrap().starts_with("  hint: "), "{err}");
    }
    let lines = b"suspect_after = \"1ms\"\npers = []\nport = 70000\nadmn = true\n";
    let path = file(directory.path(), "lines.toml", lines);
    let err = node(&["config", "check", "--config", &path]).err;
    let places: Vec<_> = err.lines().filter_map(|line| line.strip_prefix("  where: ")).collect();
    let in_order: Vec<_> = (1..=4).map(|line| format!("{path}:{line}")).collect();
    assert_eq!(places, in_order, "{err}");
}

#[test]
fn what_is_missing_or_misread_is_told_with_the_help_of_that_command() {
    let said = node(&["config"]);
    fails(&said, 78, "`node config` wants a command behind it");
    assert!(said.err.contains("hint: `node config --help` lists them"), "{said:?}");
    let said = node(&["propose"]);
    fails(&said, 78, "<VALUE|@FILE|->");
    assert!(said.err.contains("hint: `node propose --help` shows"), "{said:?}");
    let said = node(&["config", "show", "--zzz"]);
    assert!(said.err.contains("hint: `node config show --help` shows"), "{said:?}");
    let said = node(&["log", "--from", "x"]);
    fails(&said, 78, "'x' for '--from <SLOT>': it is no whole number");
    assert!(said.err.contains("hint: `node log --help` shows"), "{said:?}");
    let said = node(&["config", "show", "--log-level"]);
    assert!(said.err.contains("hint: `node config show --help` shows"), "{said:?}");
}

#[test]
fn why_a_node_ends_is_one_more_line_to_whoever_reads_lines() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data").display().to_string();
    let (_process, _) = lone(directory.path().join("data").as_path(), &[]);
    let run = ["--port", "0", "--bind", "127.0.0.1", "--no-admin", "--data-dir", &data];
    let said = node(&[&run[..], &["--log-format", "json"]].concat());
    assert_eq!(said.code, 8, "{said:?}");
    let lines: Vec<Json> =
        said.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["level"]), (&"node.failed".into(), &"ERROR".into()));
    assert_eq!((&last["code"], &last["place"]), (&8.into(), &data.as_str().into()));
    assert!(last["what"].as_str().unwrap().contains("another process"), "{last}");
    // Where no line would come, the sentence does.
    let said = node(&[&run[..], &["--log-format", "json", "--log-level", "off"]].concat());
    fails(&said, 8, "another process");
}

#[test]
fn nodes_that_do_not_answer_are_all_named() {
    let nobodies = [Nobody::new(), Nobody::new()];
    let admins = nobodies.each_ref().map(|nobody| nobody.address.as_str());
    let said = node(&["status", "--admin", &admins.join(",")]);
    fails(&said, 5, "2 of 2 nodes do not answer");
    assert!(said.err.contains(&format!("where: {}", admins.join(", "))), "{said:?}");
    assert!(admins.iter().all(|admin| said.out.contains(admin)), "{said:?}");
    assert!(!said.out.contains("NAME"), "a table of nobody: {said:?}");
}

#[test]
fn a_misspelled_command_is_told_with_the_right_one() {
    for (typed, meant) in [
        (&["staus"][..], "'status'"),
        (&["propse", "x"], "'propose'"),
        (&["config", "chek"], "'check'"),
        (&["status", "--jsno"], "'--json'"),
        (&["doctor", "--data_dir", "x"], "'--data-dir'"),
    ] {
        let said = node(typed);
        fails(&said, 78, "un");
        assert!(said.err.contains(" similar ") && said.err.contains(meant), "{said:?}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_not_decided_in_time_is_unknown_and_may_be_asked_again() {
    // Who is stopped for a while must not be called away, or the answer would be another.
    let machines = Machines::patient(3);
    let ask = |arguments: &[&str]| ask(&machines, 0, arguments);
    assert_eq!(ask(&["propose", "before"]).code, 0);
    for process in &machines.processes[1..] {
        signal(&process.child, "-STOP");
    }
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let request = ["propose", "blue", "--request-id", id, "--timeout"];
    let said = ask(&[&request[..], &["200ms"]].concat());
    for process in &machines.processes[1..] {
        signal(&process.child, "-CONT");
    }
    fails(&said, 4, "not decided within 200ms");
    assert!(said.err.contains(&format!("--request-id {id}")), "{said:?}");
    let said = ask(&[&request[..], &["30s"]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(ask(&["log", "--format", "raw"]).out, "before\nblue\n");
}

#[test]
fn a_log_without_its_key_is_no_node() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data").display().to_string();
    let run = ["--port", "0", "--bind", "127.0.0.1", "--no-admin", "--propose", "x"];
    let run = [&run[..], &["--exit-after-commit", "--data-dir", &data]].concat();
    assert_eq!(node(&run).code, 0);
    std::fs::remove_file(directory.path().join("data/identity")).unwrap();
    let said = node(&run);
    fails(&said, 7, "identity is missing: this directory belongs to a node");
    assert!(said.err.contains(&format!("where: {data}")), "{said:?}");
}

#[test]
fn a_result_that_cannot_be_written_is_a_failed_check() {
    let full = std::path::Path::new("/dev/full");
    if !full.exists() {
        eprintln!("SKIPPED: there is no /dev/full");
        return;
    }
    let full = std::fs::OpenOptions::new().write(true).open(full).unwrap();
    let done =
        Command::new(env!("CARGO_BIN_EXE_node")).arg("version").stdout(full).output().unwrap();
    assert_eq!(done.status.code(), Some(10));
    assert!(String::from_utf8_lossy(&done.stderr).contains("where: standard output"), "{done:?}");
}

#[test]
fn what_a_node_refuses_is_told_with_the_node() {
    let machines = Machines::start(1);
    let said = ask(&machines, 0, &["send", "x", "--to", "nobody"]);
    fails(&said, 3, "no peer is called \"nobody\"");
    assert!(said.err.contains(&format!("where: {}", machines.admins[0])), "{said:?}");
    assert!(said.err.contains("hint: "), "{said:?}");
    assert_eq!(json(&ask(&machines, 0, &["send", "x", "--json"]))["schema"], 1);
}
