//! Clusters that should not be: other lists, other names, copied and lost directories.

use serde_json::Value as Json;

use crate::process::{Machines, Process};
use crate::said::{all_words, ask, fails, json};

#[test]
fn different_lists_are_told_by_both_sides() {
    let mut machines = Machines::start_by(3, &[], |machines, at| {
        let (name, port) = (format!("n{}", at + 1), machines.ports[at].to_string());
        let list = machines.list_of([2, 3, 3][at]);
        let arguments = ["--name", &name, "--port", &port, "--peers", &list];
        Process::start(&machines.data(at), &arguments)
    });
    let [short, _, long] = &mut machines.processes[..] else { panic!("there are three") };
    let told = short.line("lists.differ", |line| line["peer"] == "n3");
    assert!(told["hint"].as_str().unwrap().contains("the same --peers"), "{told}");
    long.line("lists.differ", |line| line["peer"] == "n1");
    assert!(short.raw.iter().all(|line| !line.contains("epoch.formed")));
}

#[test]
fn another_cluster_is_refused_by_name() {
    let mut machines = Machines::start_by(2, &[], |machines, at| {
        let (cluster, port) = (["red", "blue"][at], machines.ports[at].to_string());
        let arguments = ["--cluster", cluster, "--port", &port, "--peers", &machines.list()];
        Process::start(&machines.data(at), &arguments)
    });
    let refused = |line: &Json| {
        ["dial.failed", "connection.refused"].contains(&line["event"].as_str().unwrap_or(""))
    };
    let both = |line: &Json| {
        let reason = line["reason"].as_str().unwrap_or("");
        refused(line) && reason.contains("\"red\"") && reason.contains("\"blue\"")
    };
    let told = machines.processes[0].any_line(both);
    assert!(told["reason"].as_str().unwrap().contains("--cluster"), "{told}");
}

#[test]
fn a_copied_directory_beside_its_original_stops_one_of_the_two() {
    // What it says while it is copied, the copy would be older than: it has no cause to say anything.
    let mut machines = Machines::patient(3);
    assert_eq!(ask(&machines, 0, &["propose", "before"]).code, 0);
    machines.processes[1].line("value.committed", |line| line["value"] == "before");

    let copy = machines.directory.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(machines.data(1)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let arguments = ["--port", "0", "--peers", &machines.list(), "--name", "copy"];
    let mut copy = Process::start(&copy, &arguments);
    let original = &mut machines.processes[1];
    assert_eq!(original.exit_code(), 7);
    let told = all_words(original);
    for part in [
        "node.failed",
        "a newer process runs as node ",
        "start 1",
        "n2",
        "stop one",
        "copied",
        "empty",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(ask(&machines, 2, &["propose", "after"]).code, 0);
    machines.admins[1] = copy.admin().expect("no port was asked for");
    assert_eq!(ask(&machines, 1, &["propose", "through the copy"]).code, 0);
    copy.line("value.committed", |line| line["value"] == "through the copy");
    assert_eq!(copy.leave(), 0);
    for at in [0, 2] {
        assert_eq!(machines.processes[at].leave(), 0);
    }
}

#[test]
fn a_killed_member_that_returns_at_once_is_never_taken_for_a_second_one() {
    let mut machines = Machines::start(3);
    for _ in 0..5 {
        machines.processes[1].kill();
        machines.restart(1);
    }
    assert_eq!(ask(&machines, 1, &["propose", "back"]).code, 0);
    for mut process in machines.processes {
        assert_eq!(process.leave(), 0);
        let told = all_words(&mut process);
        assert!(!told.contains("duplicate_identity") && !told.contains("newer process"), "{told}");
    }
}

#[test]
fn a_member_that_lost_its_directory_is_a_stranger_and_founds_no_cluster() {
    let mut machines = Machines::start(3);
    machines.processes[2].kill();
    std::fs::remove_dir_all(machines.data(2)).unwrap();
    machines.restart(2);
    for at in [2, 0, 1] {
        let told = machines.processes[at].line("node.unknown", |line| line["node"] == "n3");
        let hint = told["hint"].as_str().unwrap();
        assert!(hint.contains("data directory was lost") && hint.contains("--peers"), "{told}");
    }
    assert_eq!(ask(&machines, 0, &["propose", "without it"]).code, 0);
    let said = ask(&machines, 2, &["propose", "alone", "--timeout", "500ms"]);
    fails(&said, 3, "the cluster is not formed yet\n");
    assert!(said.err.contains("hint: wait until every listed node has been met"), "{said:?}");
    let said = ask(&machines, 2, &["log"]);
    fails(&said, 6, "the cluster is not formed yet");
    assert!(said.err.contains("hint: start every node of the list; see `node status`"), "{said:?}");
    assert_eq!(json(&ask(&machines, 2, &["status", "--json"]))["ready"], false);
    let wiped = &mut machines.processes[2];
    assert_eq!(wiped.leave(), 0);
    let told = all_words(wiped);
    for never in ["epoch.formed", "quorum.formed", "value.committed"] {
        assert!(!told.contains(never), "{told}");
    }
}

#[test]
fn a_member_that_lost_its_log_and_kept_its_key_does_not_start() {
    let mut machines = Machines::start(3);
    assert_eq!(ask(&machines, 0, &["propose", "before"]).code, 0);
    machines.processes[0].kill();
    let is_log =
        |name: &str| ["format", "journal-", "chain-"].iter().any(|it| name.starts_with(it));
    let remove = |is_lost: &dyn Fn(&str) -> bool| {
        for entry in std::fs::read_dir(machines.data(0)).unwrap() {
            let path = entry.unwrap().path();
            if is_lost(path.file_name().unwrap().to_str().unwrap()) {
                std::fs::remove_file(path).unwrap();
            }
        }
    };
    let refused = |says: &str| {
        let arguments = ["--port", "0", "--peers", &machines.list()];
        let mut process = Process::start(&machines.data(0), &arguments);
        assert_eq!(process.exit_code(), 7);
        let told = all_words(&mut process);
        assert!(told.contains("node.failed") && told.contains(says), "{told}");
        assert!(!told.contains("node.listening"), "{told}");
    };
    remove(&is_log);
    refused("its log is missing");
    remove(&|name| name == "boot");
    refused("nothing beside it tells whether a node was ever started");
    assert_eq!(ask(&machines, 1, &["propose", "without it"]).code, 0);
}
