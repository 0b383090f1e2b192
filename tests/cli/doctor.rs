//! `node doctor`: what it finds before a node runs and beside it.

use serde_json::Value as Json;

use crate::nobody::Nobody;
use crate::process::{Machines, free_ports};
use crate::said::{Said, fails, lone, node};

/// The checks of this name, each with its state and what it says.
fn checks(said: &Said, name: &str) -> Vec<(String, String)> {
    let told: Json =
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    assert_eq!(told["schema"], 1);
    let checks = told["checks"].as_array().unwrap();
    for (check, number) in checks.iter().zip(1..) {
        assert_eq!(check["number"], number);
        let is_trouble = ["failed", "warning"].contains(&check["state"].as_str().unwrap());
        assert_eq!(
            check["hint"].is_string(),
            is_trouble,
            "trouble comes with the next step: {check}"
        );
    }
    let text = |check: &Json, field: &str| check[field].as_str().unwrap().to_owned();
    let named = checks.iter().filter(|check| check["name"] == name);
    named.map(|check| (text(check, "state"), text(check, "what"))).collect()
}

#[track_caller]
fn finds(said: &Said, name: &str, state: &str, what: &str) {
    let found = checks(said, name);
    assert!(
        found.iter().any(|(is, says)| is == state && says.contains(what)),
        "{name} is not {state} with {what:?}: {found:?} {said:?}"
    );
}

fn doctor(arguments: &[&str]) -> Said {
    node(&[&["doctor", "--json", "--bind", "127.0.0.1", "--admin-port", "0"], arguments].concat())
}

#[test]
fn a_machine_that_has_nothing_yet_is_fit_and_stays_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("deep/data").display().to_string();
    let port = free_ports(1)[0].to_string();
    let said = doctor(&["--port", &port, "--data-dir", &data]);
    assert_eq!(said.code, 0, "{said:?}");
    finds(&said, "data directory", "good", "is made at the first start");
    // How fast the disk is on this day is nobody's promise.
    assert!(checks(&said, "disk")[0].1.contains("its sync take"), "{said:?}");
    finds(&said, "port for peers", "good", "is free");
    finds(&said, "peers", "skipped", "a cluster of one");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "it leaves nothing behind");

    let text = node(&["doctor", "--port", "0", "--no-admin", "--data-dir", &data]).out;
    assert!(text.starts_with(" 1. ok       settings: node "), "{text}");
    assert!(text.contains(" checks, 0 failed, "), "{text}");
}

#[test]
fn faults_of_settings_directory_and_ports_are_failed_checks() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data").display().to_string();
    let said = node(&["doctor", "--json", "--port", "http", "--peers", "b"]);
    fails(&said, 10, "2 of 3 checks failed: 1, 2");
    finds(&said, "settings", "failed", "\"http\" is not a port");

    let (mut process, admin) = lone(&directory.path().join("other"), &[]);
    let listening = process.line("node.listening", |_| true);
    let port = listening["address"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let admin = admin.rsplit(':').next().unwrap();
    let said = doctor(&["--port", &port, "--data-dir", &data]);
    fails(&said, 10, "checks failed");
    finds(&said, "port for peers", "failed", "in use by another process");
    // A foreign node answers where this one would serve HTTP, and this one's directory is nobody's.
    let taken = directory.path().join("other").display().to_string();
    let said = doctor(&["--port", "0", "--data-dir", &taken]);
    assert_eq!(said.code, 0, "{said:?}");
    finds(&said, "data directory", "warning", "in use by a process that does not answer");
    let said =
        node(&["doctor", "--json", "--port", &port, "--admin-port", admin, "--data-dir", &taken]);
    assert_eq!(said.code, 0, "{said:?}");
    finds(&said, "data directory", "good", "in use by the node itself");
    finds(&said, "port for peers", "good", "is the running node's");
    // It runs, and these settings lead to another directory: one that is not there, or nobody's.
    for what in ["does not exist, and at 127.0.0.1:", "nobody uses "] {
        let said = node(&[
            "doctor",
            "--json",
            "--port",
            &port,
            "--admin-port",
            admin,
            "--data-dir",
            &data,
        ]);
        finds(&said, "data directory", "warning", what);
        assert!(said.out.contains("QUORATE_DATA_DIR"), "{said:?}");
        std::fs::create_dir_all(&data).unwrap();
    }
    assert_eq!(process.leave(), 0);

    let said = doctor(&["--port", "0", "--data-dir", &taken]);
    finds(&said, "data directory", "good", "its log is whole, 0 entries");
    let identity = directory.path().join("other/identity");
    std::fs::write(identity, "quorate identity 1\nzz\n").unwrap();
    let said = doctor(&["--port", "0", "--data-dir", &taken]);
    fails(&said, 10, "checks failed");
    finds(&said, "data directory", "failed", "does not hold the node's key");
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    let said = doctor(&["--port", "0", "--data-dir", &plain.join("data").display().to_string()]);
    fails(&said, 10, "checks failed");
}

#[test]
fn beside_a_running_node_every_peer_says_hello_and_nobody_is_disturbed() {
    let mut machines = Machines::patient(3);
    let (port, list) = (machines.ports[0].to_string(), machines.list());
    let admin = machines.admins[0].rsplit(':').next().unwrap();
    let data = machines.data(0).display().to_string();
    let run = ["--bind", "127.0.0.1", "--port", &port, "--admin-port", admin, "--data-dir", &data];
    let own = format!("127.0.0.1:{port}");
    let arguments = ["--peers", &list, "--advertise", &own];
    let said = node(&[&["doctor", "--json"], &run[..], &arguments].concat());
    assert_eq!(said.code, 0, "{said:?}");
    finds(&said, "advertised address", "good", "leads here");
    finds(&said, &format!("peer {own}"), "good", "own address");
    for (at, name) in [(1, "n2 ("), (2, "n3 (")] {
        let peer = format!("peer 127.0.0.1:{}", machines.ports[at]);
        let [(state, what)] = &checks(&said, &peer)[..] else { panic!("{said:?}") };
        // The clock of a peer seems to be off where its answer was long under way.
        assert!(what.starts_with(name) && ["good", "warning"].contains(&state.as_str()), "{what}");
    }
    finds(&said, "dialled by peers", "good", "a link to every peer");
    for process in &mut machines.processes {
        assert_eq!(process.count(|line| line["event"] == "connection.refused"), 0);
    }
    let foreign = node(&[&["doctor", "--json", "--cluster", "red"], &run[..], &arguments].concat());
    fails(&foreign, 10, "checks failed");
    let peer = format!("peer 127.0.0.1:{}", machines.ports[1]);
    finds(&foreign, &peer, "failed", "\"red\"");
    for process in &mut machines.processes {
        assert_eq!(process.leave(), 0);
    }
}

#[test]
fn before_a_node_runs_its_peers_are_seen_to_dial_it_and_a_copy_is_found_out() {
    let mut machines = Machines::start(3);
    let list = machines.list();
    machines.processes[2].kill();
    let port = machines.ports[2].to_string();
    let data = machines.data(2).display().to_string();
    let said = doctor(&["--port", &port, "--peers", &list, "--data-dir", &data, "--wait", "60s"]);
    assert_eq!(said.code, 0, "{said:?}");
    finds(&said, &format!("peer 127.0.0.1:{port}"), "good", "own address; it does not run");
    finds(&said, "dialled by peers", "good", "reached this machine");
    machines.restart(2);
    machines.processes[2].line("quorum.formed", |_| true);

    let copy = machines.directory.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(machines.data(1).join("identity"), copy.join("identity")).unwrap();
    let copy = copy.display().to_string();
    let said = doctor(&["--port", "0", "--peers", &list, "--data-dir", &copy, "--wait", "0s"]);
    fails(&said, 10, "checks failed");
    let peer = format!("peer 127.0.0.1:{}", machines.ports[1]);
    finds(&said, &peer, "failed", "n2 runs under this node's identity");

    let twice = format!("127.0.0.1:{0},localhost:{0}", machines.ports[1]);
    let said = doctor(&["--port", "0", "--peers", &twice, "--data-dir", "none", "--wait", "0s"]);
    finds(&said, &format!("peer localhost:{}", machines.ports[1]), "failed", "leads to n2, as ");
    let nobody = Nobody::new();
    let nobody = nobody.address.as_str();
    let said = doctor(&["--port", "0", "--peers", nobody, "--data-dir", "none"]);
    assert_eq!(said.code, 0, "{said:?}");
    finds(&said, &format!("peer {nobody}"), "warning", "nobody listens there");
    let said = doctor(&["--port", "0", "--peers", "no-such-host.invalid:1", "--data-dir", "none"]);
    fails(&said, 10, "checks failed");
}
