//! `node watch`, and clients that show a token.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value as Json;

use crate::nobody::Nobody;
use crate::process::{Machines, eventually, program};
use crate::said::{fails, file, json, lone, node};

/// A watcher, from the moment it is told where it begins.
fn watch(arguments: &[&str]) -> (Child, std::io::Lines<BufReader<ChildStdout>>) {
    let mut command = program();
    command.arg("watch").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut told = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut told).unwrap();
    assert!(told.starts_with("watching "), "{told}");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[test]
fn what_happens_is_shown_as_it_happens_in_both_forms() {
    let mut machines = Machines::patient(3);
    let admin = machines.admins[0].clone();
    let (mut plain, mut lines) = watch(&["--admin", &admin]);
    let (mut in_json, mut json_lines) = watch(&["--json", "--admin", &admin]);
    assert_eq!(node(&["propose", "bl\"ue", "--admin", &admin]).code, 0);
    assert_eq!(node(&["send", "hel\nlo", "--to", "n1", "--admin", &machines.admins[1]]).code, 0);
    machines.processes[2].kill();
    let mut line_with = |what: &str| {
        let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("{what} did not come"))
    };
    // The votes follow where they were counted in time; a commit may be heard of before.
    let commit = line_with("committed slot=1 ");
    assert!(commit.starts_with(r#"committed slot=1 value="bl\"ue""#), "{commit}");
    assert_eq!(line_with("message from "), r#"message from n2: "hel\nlo""#);
    line_with("peer \"n3\" is ");
    let mut event = |name: &str| {
        let events =
            json_lines.by_ref().map(|line| serde_json::from_str::<Json>(&line.unwrap()).unwrap());
        let mut found = events.filter(|event| event["event"] == name);
        let event = found.next().unwrap();
        assert_eq!(event["schema"], 1);
        event
    };
    assert_eq!(event("commit")["value"], "bl\"ue");
    assert_eq!(event("message")["text"], "hel\nlo");
    assert_eq!(event("peer")["name"], "n3");
    for child in [&mut plain, &mut in_json] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_watcher_takes_up_where_it_was_and_is_told_when_the_node_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let (mut process, admin) = lone(directory.path(), &[]);
    for value in ["a", "b", "c"] {
        assert_eq!(node(&["propose", value, "--admin", &admin]).code, 0);
    }
    let watched = ["watch", "--from", "2", "--only", "commits", "--admin", &admin];
    let said = node(&[&watched[..], &["--limit", "2"]].concat());
    let slots: Vec<_> = said.out.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!((said.code, slots), (0, vec!["slot=2", "slot=3"]));
    let (mut live, mut lines) = watch(&["--only", "commits", "--limit", "1", "--admin", &admin]);
    assert_eq!(node(&["propose", "d", "--admin", &admin]).code, 0);
    let commit = lines.next().unwrap().unwrap();
    assert_eq!(commit, r#"committed slot=4 value="d" votes=1/1 round=0"#);
    assert!(live.wait().unwrap().success());
    let (child, mut lines) = watch(&watched[1..]);
    assert_eq!(lines.by_ref().take(3).count(), 3);
    assert_eq!(process.leave(), 0);
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(5), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("--from 5"), "{done:?}");
    let said = node(&["watch", "--only", "comits"]);
    fails(&said, 78, "'comits'");
}

#[test]
fn a_token_is_shown_where_one_is_wanted_by_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let token = file(directory.path(), "token", b"0123456789abcdef\n");
    let other = file(directory.path(), "other", b"fedcba9876543210\n");
    let data = directory.path().join("data");
    let (_process, admin) = lone(&data, &["--admin-token-file", &token]);
    let with = |arguments: &[&str], token: &str| {
        node(&[arguments, &["--admin", &admin, "--token-file", token]].concat())
    };
    assert_eq!(with(&["propose", "blue"], &token).code, 0);
    for command in [&["status"][..], &["status", "--all"], &["peers"], &["log"], &["ping"]] {
        assert_eq!(with(command, &token).code, 0, "{command:?}");
    }
    fails(&with(&["status"], &other), 3, "token");
    let nobody = Nobody::new();
    let both = format!("{},{admin}", nobody.address);
    let said = node(&["status", "--admin", &both, "--token-file", &other]);
    fails(&said, 3, "the token shown is not this node's");
    assert!(said.err.contains(&format!("where: {admin}")), "{said:?}");
    fails(&with(&["status", "--all"], &other), 3, "the token shown is not this node's");
    fails(&with(&["status"], "no/such"), 78, "where: --token-file on the command line");
    let (admin_port, data) = (admin.rsplit(':').next().unwrap(), data.display().to_string());
    let doctor = ["doctor", "--json", "--port", "0", "--wait", "0s", "--admin-token-file", &token];
    let said = node(&[&doctor[..], &["--admin-port", admin_port, "--data-dir", &data]].concat());
    assert!(said.out.contains("is in use by the node itself"), "{said:?}");
    eventually("its environment serves as well", || {
        let mut command = program();
        command
            .args(["status", "--json", "--admin", &admin])
            .env("QUORATE_ADMIN_TOKEN_FILE", &token);
        command.output().unwrap().status.success().then_some(())
    });
    assert_eq!(json(&with(&["status", "--json"], &token))["ready"], true);
}
