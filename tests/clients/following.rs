//! Streams that outlive the node which they came from.

use serde_json::json;

use crate::fake::{Fake, json as json_answer, stream};
use crate::language::Language;
use crate::nobody::Nobody;
use crate::process::Machines;

#[test]
fn a_reader_goes_on_at_another_node_when_its_node_is_killed() {
    for language in Language::all() {
        let mut machines = Machines::start(3);
        let admins = machines.admins.clone();
        let nodes: Vec<_> = admins.iter().map(String::as_str).collect();
        let propose = |nodes: &[&str], value: &str| {
            let outcome = language.answer(nodes, &["propose", value, "--timeout", "60"]);
            // A duplicate of its own first attempt, where no answer to that came in time.
            let told = [&json!("committed"), &json!("duplicate")];
            assert!(told.contains(&&outcome["outcome"]), "{}: {outcome}", language.name);
            outcome["slot"].as_u64().expect("a slot")
        };
        let before = propose(&nodes, "before");
        let mut follower = language.start(&nodes, &["log", "--follow", "--verify"]);
        let mut watcher = language.start(&nodes, &["watch", "--from", "1"]);
        assert_eq!(follower.next().expect("an entry")["slot"], 1);
        let mut told = 0;
        let mut watched_to = |last: u64| {
            while told < last {
                let commit = watcher.until(|event| event["name"] == "commit");
                assert_eq!(commit["id"], told + 1, "{}: no hole, no repetition", language.name);
                assert_eq!(commit["data"]["slot"], told + 1);
                told += 1;
            }
        };
        watched_to(before);
        machines.processes[0].kill();
        propose(&nodes[1..], "after");
        // The first of the list is dead: the second one takes it.
        let last = propose(&nodes, "again");
        for slot in 2..=last {
            assert_eq!(follower.next().expect("an entry")["slot"], slot, "{}", language.name);
        }
        watched_to(last);
    }
}

#[test]
fn a_stream_that_breaks_off_is_taken_up_behind_the_last_commit_that_was_whole() {
    let start = "event: start\ndata: {\"schema\":1,\"node\":\"n\",\"committed\":6,\"from\":7}\n\n";
    let peer = ": keep-alive\n\nevent: peer\ndata: {\"name\":\ndata: \"n2\"}\n\n";
    let missed = "event: missed\ndata: {\"notices\":3}\n\n";
    let commit = |slot: u64| format!("event: commit\nid: {slot}\ndata: {{\"slot\":{slot}}}\n\n");
    for language in Language::all() {
        let half = &commit(8)[..20];
        let node = Fake::start(
            [
                format!("{start}{peer}"),
                format!("{start}{}{missed}{half}", commit(7)),
                format!("{start}{}", commit(8)),
            ]
            .map(|body| stream("text/event-stream", &body))
            .into(),
        );
        let ended = language.run(&[&node.address], &["watch", "--limit", "7"]);
        assert_eq!(ended.code, Some(0), "{}: {}", language.name, ended.errors);
        let told: Vec<_> =
            ended.lines.iter().map(|event| (event["name"].clone(), event["id"].clone())).collect();
        let names = ["start", "peer", "start", "commit", "missed", "start", "commit"];
        let ids = [None, None, None, Some(7), None, None, Some(8)];
        let wanted: Vec<_> =
            names.iter().zip(ids).map(|(name, id)| (json!(name), json!(id))).collect();
        assert_eq!(told, wanted, "{}", language.name);
        assert_eq!(ended.lines[1]["data"], json!({ "name": "n2" }), "{}", language.name);
        assert_eq!(ended.lines[4]["data"], json!({ "notices": 3 }), "{}", language.name);

        let [first, second, third] = [0, 1, 2].map(|_| node.request().to_ascii_lowercase());
        assert!(first.starts_with("get /v1/events http") && !first.contains("last-event-id"));
        assert!(second.starts_with("get /v1/events?from=7 "), "no commit was seen yet: {second}");
        assert!(third.contains("last-event-id: 7\r\n"), "{third}");
    }
}

#[test]
fn half_a_line_of_the_log_is_no_entry() {
    let line =
        |slot: u64| format!("{{\"slot\":{slot},\"hash\":\"\",\"epoch\":1,\"kind\":\"noop\"}}\n");
    for language in Language::all() {
        let half = &line(2)[..30];
        let bodies = [format!("{}{half}", line(1)), line(2)];
        let node = Fake::start(bodies.map(|body| stream("application/x-ndjson", &body)).into());
        let ended = language.run(&[&node.address], &["log", "--follow", "--limit", "2"]);
        let slots: Vec<_> = ended.lines.iter().map(|entry| entry["slot"].as_u64()).collect();
        assert_eq!(slots, [Some(1), Some(2)], "{}: {}", language.name, ended.errors);
        assert!(node.request().starts_with("GET /v1/log?follow=true&from=1 "));
        assert!(node.request().starts_with("GET /v1/log?follow=true&from=2 "));
    }
}

#[test]
fn entries_that_do_not_follow_each_other_are_named() {
    let line =
        |slot: u64| format!("{{\"slot\":{slot},\"hash\":\"\",\"epoch\":1,\"kind\":\"noop\"}}\n");
    for language in Language::all() {
        let node = Fake::start(vec![stream("application/x-ndjson", &line(1))]);
        let ended = language.run(&[&node.address], &["log", "--follow", "--verify"]);
        assert_eq!((ended.code, ended.lines.len()), (Some(10), 0), "{}", language.name);
        assert!(ended.errors.contains("(broken_chain)"), "{}", ended.errors);
    }
}

#[test]
fn a_stream_is_asked_for_until_a_node_has_room_for_it() {
    let full = r#"{"error":{"code":"too_many_streams","message":"64 streams","hint":"wait"}}"#;
    let line = "{\"slot\":1,\"hash\":\"\",\"epoch\":1,\"kind\":\"noop\"}\n";
    for language in Language::all() {
        let nobody = Nobody::new();
        let node = Fake::start(vec![
            json_answer("503 Service Unavailable", full),
            stream("application/x-ndjson", line),
        ]);
        let ended =
            language.run(&[&nobody.address, &node.address], &["log", "--follow", "--limit", "1"]);
        assert_eq!((ended.code, ended.lines.len()), (Some(0), 1), "{}", ended.errors);
    }
}
