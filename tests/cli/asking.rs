//! Commands that ask a running node.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use serde_json::Value as Json;

use crate::process::{Machines, eventually, program};
use crate::said::{ask, fails, file, in_time, json, lone, node, signal};

#[test]
fn a_lone_node_takes_values_and_shows_them_in_every_form() {
    let directory = tempfile::tempdir().unwrap();
    let (mut process, admin) = lone(&directory.path().join("data"), &["--name", "n1"]);
    let ask = |arguments: &[&str]| node(&[arguments, &["--admin", &admin]].concat());

    let said = ask(&["propose", "blue\n\"sea\"", "--json"]);
    let answer = json(&said);
    assert_eq!(
        (&answer["schema"], &answer["outcome"], &answer["slot"]),
        (&1.into(), &"committed".into(), &1.into())
    );
    process.line("value.committed", |line| line["slot"] == 1);
    let id = answer["request_id"].as_str().unwrap();
    let again = ask(&["propose", "blue\n\"sea\"", "--request-id", id]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.starts_with("committed slot=1 "), "{again:?}");
    let path = file(directory.path(), "value", "grün\n".as_bytes());
    assert!(ask(&["propose", &format!("@{path}")]).out.starts_with("committed slot=2 "));

    assert_eq!(ask(&["log", "--format", "raw"]).out, "blue\n\"sea\"\ngrün\n");
    assert_eq!(ask(&["log", "--format", "raw", "--from", "2", "--limit", "1"]).out, "grün\n");
    assert_eq!(ask(&["log", "--format", "raw", "--follow", "--limit", "2"]).out.lines().count(), 3);
    let text = ask(&["log", "--local"]).out;
    assert!(text.lines().next().unwrap().ends_with("\"blue\\n\\\"sea\\\"\""), "{text}");
    for line in ask(&["log", "--json"]).out.lines() {
        let entry: Json = serde_json::from_str(line).unwrap();
        assert_eq!((&entry["schema"], &entry["kind"]), (&1.into(), &"value".into()));
    }

    let status = json(&ask(&["status", "--json"]));
    assert_eq!((&status["schema"], &status["name"]), (&1.into(), &"n1".into()));
    assert_eq!((&status["ready"], &status["committed"]["slot"]), (&true.into(), &2.into()));
    let text = ask(&["status"]).out;
    assert!(
        text.contains("n1") && text.contains("committed to 2") && text.contains("1 of 1"),
        "{text}"
    );
    assert_eq!(json(&ask(&["peers", "--json"]))["peers"], Json::Array(Vec::new()));
    assert_eq!(ask(&["peers"]).out, "no peers are known\n");
    assert_eq!(process.leave(), 0);
    fails(&ask(&["status"]), 5, "no node answers there");
}

#[test]
fn values_that_cannot_be_are_refused_with_the_bound() {
    let directory = tempfile::tempdir().unwrap();
    let (_process, admin) = lone(&directory.path().join("data"), &[]);
    let ask = |arguments: &[&str]| node(&[arguments, &["--admin", &admin]].concat());
    let refused = |arguments: &[&str], what: &str, hint: &str| {
        let said = ask(arguments);
        fails(&said, 78, what);
        assert!(said.err.contains(&format!("hint: {hint}")), "{said:?}");
    };
    refused(&["propose", ""], "the value is empty", "propose 1 byte to 1 MiB");
    let over = file(directory.path(), "over", &vec![b'x'; 1024 * 1024 + 1]);
    refused(&["propose", &format!("@{over}")], "the limit is 1048576", "propose 1 byte to 1 MiB");
    let most = file(directory.path(), "most", &vec![b'x'; 1024 * 1024]);
    assert_eq!(ask(&["propose", &format!("@{most}")]).code, 0);
    for command in ["propose", "send"] {
        refused(&[command, "@no/such/file"], "no/such/file cannot be read", "@FILE stands for ");
    }
    let said = node(&["--propose", "@no/such/file", "--port", "0"]);
    fails(&said, 78, "no/such/file cannot be read");
    assert!(said.err.contains("hint: @FILE stands for "), "{said:?}");
    fails(&ask(&["send", "x", "--to", "nobody"]), 3, "nobody");
}

#[test]
fn three_processes_agree_send_and_say_when_they_cannot() {
    let mut machines = Machines::patient(3);
    let answer = json(&ask(&machines, 0, &["propose", "blue", "--json"]));
    assert_eq!(answer["slot"], 1);
    for process in &mut machines.processes {
        let line = process.line("value.committed", |line| line["slot"] == 1);
        assert_eq!(line["value"], "blue");
    }
    let peers = json(&ask(&machines, 0, &["peers", "--json"]));
    let statuses: Vec<_> =
        peers["peers"].as_array().unwrap().iter().map(|peer| &peer["status"]).collect();
    assert_eq!(statuses, ["Online", "Online"]);
    assert!(ask(&machines, 0, &["peers"]).out.contains("n2"));

    let said = ask(&machines, 0, &["send", "hello", "--to", "n2"]);
    assert_eq!((said.code, said.out.as_str()), (0, "delivered to n2\n"), "{said:?}");
    machines.processes[1].line("message.received", |line| line["text"] == "hello");
    assert_eq!(
        json(&ask(&machines, 0, &["send", "all", "--json"]))["by"].as_array().unwrap().len(),
        2
    );

    machines.processes[1].kill();
    machines.processes[2].kill();
    eventually("the quorum is missed", || {
        (json(&ask(&machines, 0, &["status", "--json"]))["ready"] == false).then_some(())
    });
    fails(&ask(&machines, 0, &["propose", "red", "--timeout", "200ms"]), 6, "no quorum: 1 of 2");
    fails(&ask(&machines, 0, &["log"]), 6, "no quorum");
    assert_eq!(ask(&machines, 0, &["log", "--local", "--format", "raw"]).out, "blue\n");
}

#[test]
fn several_nodes_are_compared_and_a_foreign_one_is_found_out() {
    let machines = Machines::start(3);
    assert_eq!(ask(&machines, 0, &["propose", "blue"]).code, 0);
    let all = machines.admins.join(",");
    let same = || json(&node(&["status", "--json", "--admin", &all]));
    eventually("all have it", || (same()["agree_through"]["slot"] == 1).then_some(()));
    let told = same();
    assert_eq!((&told["schema"], &told["disagreements"]), (&1.into(), &Json::Array(Vec::new())));
    assert_eq!(told["nodes"].as_array().unwrap().len(), 3);
    let text = node(&["status", "--admin", &all]).out;
    assert!(text.contains("they hold the same log through slot 1 ("), "{text}");

    // Of the others nobody knows where they serve HTTP: it is said, and is no failure.
    let text = ask(&machines, 0, &["status", "--all"]).out;
    assert!(text.contains("no answer of n2: ") && text.contains("name it by --admin"), "{text}");

    let directory = tempfile::tempdir().unwrap();
    let (_process, foreign) = lone(directory.path(), &["--cluster", "other", "--name", "x"]);
    assert_eq!(node(&["propose", "red", "--admin", &foreign]).code, 0);
    let both = format!("{},{foreign}", machines.admins[0]);
    let said = node(&["status", "--admin", &both]);
    fails(&said, 10, "x to \"other\"");
    assert!(said.err.contains("slot 1 is ") && said.err.contains("their logs differ"), "{said:?}");
    drop(_process);
    let said = node(&["status", "--admin", &both]);
    fails(&said, 5, "1 of 2 nodes do not answer");
    assert!(said.out.contains("n1"), "{said:?}");
}

#[cfg(unix)]
#[test]
fn a_watched_status_comes_again_until_it_is_ended_or_nobody_reads() {
    let directory = tempfile::tempdir().unwrap();
    let (_process, admin) = lone(directory.path(), &[]);
    let watch = || {
        let mut command = program();
        command.args(["status", "--watch", "--json", "--admin", &admin]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut watching = watch();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line: Json = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&line["schema"], &line["ready"]), (&1.into(), &true.into()));
    }
    signal(&watching, "-INT");
    assert_eq!(eventually("it ends", || watching.try_wait().unwrap()).code(), Some(0));

    let mut watching = watch();
    drop(watching.stdout.take());
    assert_eq!(eventually("it ends", || watching.try_wait().unwrap()).code(), Some(0));
}

#[test]
fn a_log_is_verified_entry_by_entry() {
    let directory = tempfile::tempdir().unwrap();
    let (_process, admin) = lone(directory.path(), &[]);
    let ask = |arguments: &[&str]| node(&[arguments, &["--admin", &admin]].concat());
    assert_eq!(ask(&["log", "--verify"]).err, "verified: no entries\n");
    for value in ["blue", "gr\u{fc}n", "red"] {
        assert_eq!(ask(&["propose", value]).code, 0);
    }
    let tip = json(&ask(&["status", "--json"]))["committed"]["hash"].as_str().unwrap().to_owned();
    let said = ask(&["log", "--verify", "--format", "raw"]);
    assert_eq!((said.code, said.out.as_str()), (0, "blue\ngr\u{fc}n\nred\n"), "{said:?}");
    assert_eq!(said.err, format!("verified: 3 entries from the first on, tip {tip}\n"));
    let said = ask(&["log", "--verify", "--from", "3", "--follow", "--limit", "1"]);
    assert!(
        said.err.starts_with("verified: 1 entries behind slot 2, taking its hash "),
        "{said:?}"
    );
    fails(&ask(&["log", "--verify", "--from", "5"]), 3, "slot 4 is not committed");

    // Somebody who answers as the node does, but for one value.
    let lines = ask(&["log", "--json"]).out;
    let lie = |what: &dyn Fn(&mut Vec<Json>)| {
        let mut entries: Vec<Json> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        what(&mut entries);
        let committed = serde_json::json!({ "slot": 3, "hash": tip });
        let page = serde_json::json!({ "schema": 1, "committed": committed, "entries": entries, "next": 4 });
        let liar = liar(page.to_string());
        node(&["log", "--verify", "--admin", &liar])
    };
    assert_eq!(lie(&|_| {}).code, 0, "the test's own server tells the truth");
    let said = lie(&|entries| entries[1]["value"] = "white".into());
    fails(&said, 10, "the entry makes the hash ");
    assert!(said.err.contains("where: slot 2 at ") && !said.out.contains("white"), "{said:?}");
    fails(&lie(&|entries| drop(entries.remove(1))), 10, "slot 3 comes where 2 is due");
    fails(&lie(&|entries| entries[2]["epoch"] = 2.into()), 10, "the entry makes the hash ");
    fails(&lie(&|entries| entries[0]["value"] = "".into()), 10, "the value is empty");
}

/// Answers every request with this JSON, from now on; says where.
fn liar(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        }
    });
    address
}

#[test]
fn a_stream_that_the_node_ends_says_where_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let (mut process, admin) = lone(directory.path(), &[]);
    assert_eq!(node(&["propose", "blue", "--admin", &admin]).code, 0);
    let mut following = program();
    following.args(["log", "--follow", "--format", "raw", "--admin", &admin]);
    let mut following = following.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 5];
    following.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"blue\n");
    assert_eq!(process.leave(), 0);
    let done = following.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&done.stderr).contains("--from 2"), "{done:?}");
}

#[test]
fn a_stream_that_breaks_says_where_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let (mut process, admin) = lone(directory.path(), &[]);
    let watch = || {
        let mut watching = program();
        watching.args(["watch", "--only", "messages", "--admin", &admin]);
        let mut watching = watching.stderr(Stdio::piped()).spawn().unwrap();
        let mut told = String::new();
        let mut lines = BufReader::new(watching.stderr.take().unwrap());
        lines.read_line(&mut told).unwrap();
        assert!(told.starts_with("watching "), "{told}");
        (watching, lines)
    };
    let before = watch();
    assert_eq!(node(&["propose", "blue", "--admin", &admin]).code, 0);
    let behind = watch();
    let mut following = program();
    following.args(["log", "--follow", "--format", "raw", "--admin", &admin]);
    let mut following = following.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    following.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    process.kill();
    let done = following.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(5));
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(told.contains("the stream has broken") && told.contains("--from 2"), "{told}");
    for (mut watching, mut lines) in [before, behind] {
        let mut told = String::new();
        lines.read_to_string(&mut told).unwrap();
        assert_eq!(watching.wait().unwrap().code(), Some(5));
        assert!(told.contains("--from 2"), "{told}");
    }
}

#[test]
fn members_that_were_not_met_since_the_start_are_shown_by_their_ids() {
    let mut machines = Machines::start(3);
    let status = json(&ask(&machines, 0, &["status", "--json"]));
    let own = status["id"].as_str().unwrap().to_owned();
    let ids: Vec<_> = status["config"]["members"].as_array().unwrap().iter().collect();
    let others: Vec<_> =
        ids.iter().map(|id| id.as_str().unwrap()).filter(|id| *id != own).collect();
    machines.processes.iter_mut().for_each(|process| process.kill());
    machines.restart(0);
    let peers = ask(&machines, 0, &["peers"]).out;
    let status = ask(&machines, 0, &["status"]).out;
    let all = ask(&machines, 0, &["status", "--all"]).out;
    let mut metrics = String::new();
    let mut stream = TcpStream::connect(&machines.admins[0]).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
    stream.read_to_string(&mut metrics).unwrap();
    for id in others {
        let short = &id[..8];
        assert!(
            peers.lines().any(|line| line.starts_with(&format!("{short}  Offline  - "))),
            "{peers}"
        );
        assert!(status.contains(short), "{status}");
        assert!(all.contains(&format!("the member {short} was not met")), "{all}");
        assert!(metrics.contains(&format!("quorate_link_up{{peer=\"{short}\"")), "{metrics}");
    }
    assert!(!all.contains(":0"), "{all}");
}

#[test]
fn pings_go_through_the_node_to_each_peer() {
    let machines = Machines::patient(3);
    let told = json(&in_time(|| ask(&machines, 0, &["ping", "--json"])));
    assert_eq!((&told["schema"], &told["through"]), (&1.into(), &"n1".into()));
    assert!(told["to_node_ms"]["median"].as_f64().unwrap() > 0.0, "{told}");
    assert_eq!(told["peers"].as_array().unwrap().len(), 2, "{told}");
    for (peer, name) in told["peers"].as_array().unwrap().iter().zip(["n2", "n3"]) {
        assert_eq!((&peer["sent"], &peer["answered"]), (&4.into(), &4.into()), "{told}");
        assert!(peer["ms"]["min"].as_f64().unwrap() <= peer["ms"]["max"].as_f64().unwrap());
        assert!(told.to_string().contains(name), "{told}");
    }
    let said = in_time(|| ask(&machines, 0, &["ping", "n3", "--count", "1"]));
    assert!(
        said.out.contains("through it to n3 and back: ") && said.out.contains("1 of 1"),
        "{said:?}"
    );
    let text = ask(&machines, 0, &["status"]).out;
    assert!(text.contains("3 of 3, 2 needed (quorum)"), "{text}");
    fails(&ask(&machines, 0, &["ping", "n9"]), 3, "no peer is called \"n9\"");
    fails(&ask(&machines, 0, &["ping", "--count", "0"]), 78, "'0'");
}

#[test]
fn who_does_not_answer_is_no_trouble_of_the_node_that_was_asked() {
    let mut machines = Machines::start(3);
    machines.processes[2].kill();
    let said = ask(&machines, 0, &["ping", "n3", "--count", "2", "--timeout", "100ms"]);
    fails(&said, 4, "2 pings were not answered in time");
    assert!(said.out.contains("to n3 and back: no answer (0 of 2 answered)"), "{said:?}");
    // The node waits for it for half a minute, and so does the command.
    let said = ask(&machines, 0, &["send", "hello", "--to", "n3"]);
    fails(&said, 4, "1 did not say in time that they have it");
    assert_eq!(said.out, "not confirmed by n3\n");
}

#[test]
fn the_environment_of_a_node_serves_those_who_ask_it() {
    let directory = tempfile::tempdir().unwrap();
    let (_process, admin) = lone(directory.path(), &["--name", "found"]);
    let status = |variables: &[(&str, &str)]| {
        let done = program().arg("status").envs(variables.iter().copied()).output().unwrap();
        (
            done.status.code().unwrap(),
            String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap(),
        )
    };
    let port: u16 = admin.rsplit(':').next().unwrap().parse().unwrap();
    let (code, text) = status(&[("QUORATE_ADMIN_PORT", &port.to_string()), ("QUORATE_PORT", "1")]);
    assert!(code == 0 && text.contains("found"), "{text}");
    let peers = (port - 1000).to_string();
    let link = ("QUORATE_ADMIN_PORT", "tcp://10.0.0.1:8001");
    let (code, text) = status(&[("QUORATE_PORT", &peers), link]);
    assert!(code == 0 && text.contains("found"), "{text}");
    let (code, text) = status(&[("QUORATE_PORT", "http")]);
    assert!(code == 78 && text.contains("where: QUORATE_PORT in the environment"), "{text}");
}
