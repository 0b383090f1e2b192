//! Proposals, reads, and what a client makes of failures between it and the nodes.

use serde_json::{Value as Json, json};

use crate::fake::{Deed, Fake, json as answer};
use crate::language::Language;
use crate::nobody::Nobody;
use crate::process::{Machines, Process, free_ports};

const ID: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
const REJECTED: &str = r#"{"schema":1,"request_id":"6f9619ff-8b86-4d01-b42d-00cf4fc964ff","outcome":"rejected","why":"too many proposals wait"}"#;
const UNKNOWN: &str =
    r#"{"schema":1,"request_id":"6f9619ff-8b86-4d01-b42d-00cf4fc964ff","outcome":"unknown"}"#;

fn fakes(deeds: Vec<Vec<Deed>>) -> Vec<Fake> {
    deeds.into_iter().map(Fake::start).collect()
}

fn addresses(fakes: &[Fake]) -> Vec<&str> {
    fakes.iter().map(|fake| fake.address.as_str()).collect()
}

#[test]
fn a_value_is_proposed_and_read_back_at_another_node() {
    let machines = Machines::start(3);
    let [first, second, third] = [0, 1, 2].map(|at| machines.admins[at].as_str());
    for language in Language::all() {
        let value = format!("häß ∅ 😀 \"{}\"\n", language.name);
        let outcome = language.answer(&[first], &["propose", &value]);
        assert_eq!(outcome["outcome"], "committed", "{outcome}");
        let slot = outcome["slot"].to_string();

        let log = language.run(&[second], &["log", "--linearizable", "--verify"]);
        assert_eq!(log.code, Some(0), "{}", log.errors);
        let last = log.lines.last().expect("an entry");
        for (found, wanted) in [
            (&last["value"], &json!(value)),
            (&last["slot"], &outcome["slot"]),
            (&last["hash"], &outcome["hash"]),
            (&last["request_id"], &outcome["request_id"]),
        ] {
            assert_eq!(found, wanted, "{}", language.name);
        }
        let behind = language.run(&[second], &["log", "--from", &slot, "--verify", "--limit", "9"]);
        assert_eq!(
            behind.lines.iter().collect::<Vec<_>>(),
            [last],
            "{}: {}",
            language.name,
            behind.errors
        );
        let one = language.answer(&[third], &["entry", &slot, "--linearizable"]);
        assert_eq!(&one, last, "{}", language.name);

        let status = language.answer(&[second], &["status"]);
        assert_eq!(status["name"], "n2", "{status}");
        let peers = language.run(&[first], &["peers"]);
        let mut names: Vec<_> = peers.lines.iter().map(|peer| peer["name"].to_string()).collect();
        names.sort();
        assert_eq!(names, ["\"n2\"", "\"n3\""], "{}", peers.errors);
        let delivery = language.answer(&[first], &["send", "hello", "--to", "n2"]);
        assert_eq!(delivery["by"], json!([status["id"]]), "{delivery}");

        let nothing = language.run(&[first], &["entry", "4096"]);
        assert_eq!(nothing.code, Some(1));
        assert!(nothing.errors.contains("no_such_slot"), "{}", nothing.errors);
    }
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again_under_one_id() {
    let machines = Machines::start(3);
    for (language, id) in Language::all().iter().zip([ID, "6f9619ff-8b86-4d01-b42d-00cf4fc964fe"]) {
        let lossy = Fake::start(vec![Deed::PassOnAndLose(machines.admins[0].clone())]);
        let nodes = [lossy.address.as_str(), &machines.admins[1]];
        let propose = ["propose", "once", "--request-id", id, "--timeout", "60"];
        let outcome = language.answer(&nodes, &propose);
        // A node that has not applied it yet takes it as new, and then sees that very one committed.
        let told = [&json!("duplicate"), &json!("committed")];
        assert!(told.contains(&&outcome["outcome"]), "{}: {outcome}", language.name);

        let again = language.answer(&[&machines.admins[2]], &propose);
        for what in ["slot", "request_id"] {
            assert_eq!(again[what], outcome[what], "{}", language.name);
        }
        let log = language.run(&[&machines.admins[2]], &["log", "--linearizable"]);
        let slots: Vec<&Json> = log
            .lines
            .iter()
            .filter(|entry| entry["request_id"] == *id)
            .map(|entry| &entry["slot"])
            .collect();
        assert_eq!(slots, [&outcome["slot"]], "{}", language.name);
    }
}

#[test]
fn a_rejection_behind_a_lost_answer_proves_nothing() {
    let rejected = || vec![answer("503 Service Unavailable", REJECTED)];
    for language in Language::all() {
        let propose = |nodes: &[Fake], seconds: &str| {
            let words = ["propose", "blue", "--request-id", ID, "--timeout", seconds];
            language.run(&addresses(nodes), &words)
        };
        // Nothing was asked before: it is what it says.
        let ended = propose(&fakes(vec![rejected(), rejected()]), "60");
        assert_eq!(ended.code, Some(3), "{}: {}", language.name, ended.errors);
        assert_eq!(ended.lines[0]["why"], "too many proposals wait");

        for open in [Deed::Say(String::new()), answer("202 Accepted", UNKNOWN)] {
            let two = fakes(vec![vec![open], rejected()]);
            let ended = propose(&two, "4");
            assert_eq!(ended.code, Some(4), "{}: {}", language.name, ended.errors);
            assert_eq!(ended.lines, [json!({ "request_id": ID, "outcome": "unknown" })]);
            assert!(two[1].request().contains(ID), "the second node is asked under the same id");
        }

        // Behind its last slot, it is dead whoever asked before.
        let expired = vec![answer("409 Conflict", REJECTED)];
        let ended = propose(&fakes(vec![vec![Deed::Say(String::new())], expired]), "60");
        assert_eq!(ended.code, Some(3), "{}: {}", language.name, ended.errors);
    }
}

#[test]
fn who_cannot_be_reached_is_passed_over_and_named_at_the_end() {
    let nobody = Nobody::new();
    let nobody = nobody.address.as_str();
    for language in Language::all() {
        let status = answer("200 OK", r#"{"schema":1,"name":"n2"}"#);
        let node = Fake::start(vec![status]);
        let found = language.answer(&[nobody, &node.address], &["status"]);
        assert_eq!(found["name"], "n2", "{}", language.name);

        for arguments in [&["status"][..], &["propose", "blue", "--timeout", "0.2"]] {
            let ended = language.run(&[nobody], arguments);
            assert_eq!(ended.code, Some(5), "{}: {}", language.name, ended.errors);
            assert!(ended.errors.contains(nobody), "{}", ended.errors);
        }
        let strange = Fake::start(vec![Deed::Say(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello".to_owned(),
        )]);
        let ended = language.run(&[&strange.address], &["status"]);
        assert_eq!(ended.code, Some(1), "{}", language.name);
        assert!(ended.errors.contains("(strange)"), "{}", ended.errors);
    }
}

#[test]
fn a_token_opens_what_is_closed_without_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    std::fs::write(&token, "5f1d7a84c3b2496e9d08\n").expect("a file");
    let token = token.to_str().expect("a path in UTF-8");
    let (mut node, admin) = loop {
        let port = free_ports(1)[0].to_string();
        let arguments = ["--port", &port, "--admin-token-file", token];
        let mut node = Process::start(&directory.path().join("data"), &arguments);
        if let Some(admin) = node.admin() {
            break (node, admin);
        }
    };
    node.line("epoch.formed", |_| true);
    for language in Language::all() {
        let ended = language.run(&[&admin], &["propose", "blue"]);
        assert_eq!(ended.code, Some(1), "{}", language.name);
        assert!(ended.errors.contains("(no_token)"), "{}", ended.errors);
        let propose = ["--token-file", token, "propose", "blue"];
        assert_eq!(language.answer(&[&admin], &propose)["outcome"], "committed");
        let follow = ["--token-file", token, "log", "--follow", "--limit", "1"];
        assert_eq!(language.answer(&[&admin], &follow)["slot"], 1);
    }
    assert_eq!(node.leave(), 0);
}
