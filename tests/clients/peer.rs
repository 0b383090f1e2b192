//! The clients as peers: on a link to a real node, and to one that tests them.

use quorate::types::NodeId;
use quorate::wire::{Message, Payload, Ping};
use serde_json::json;

use crate::host::{Host, Manner};
use crate::language::{Language, Running};
use crate::process::Machines;

fn listen(language: &Language, arguments: &[&str]) -> Running {
    language.start(&[], &[&["listen"], arguments].concat())
}

#[test]
fn a_listener_meets_a_node_and_hears_heartbeats_and_texts() {
    let machines = Machines::start(2);
    let node = format!("127.0.0.1:{}", machines.ports[0]);
    let directory = tempfile::tempdir().expect("a directory");
    for language in Language::all() {
        let record = directory.path().join(language.name);
        let record = record.to_str().expect("a path in UTF-8");
        let wanted = ["--type", "HeartBeat", "--type", "Data", "--name", "ear"];
        let mut ear = listen(&language, &[&[&node, "--record", record], &wanted[..]].concat());
        let linked = ear.next().expect("the link");
        assert_eq!(linked["name"], "n1", "{}: {linked}", language.name);
        let beat = ear.next().expect("a heartbeat");
        assert_eq!(beat["message_type"], "HeartBeat");
        assert_eq!(
            (&beat["from"], &beat["payload"]["log"]["epoch"]),
            (&linked["linked"], &json!(1))
        );

        let words = format!("hello from {}", language.name);
        language.answer(&[&machines.admins[0]], &["send", &words]);
        let text = ear.until(|message| message["message_type"] == "Data");
        assert_eq!((&text["payload"], &text["from"]), (&json!(words), &linked["linked"]));
        drop(ear);

        // What was recorded may end within a frame, for the listener was killed.
        let decoded = language.run(&[], &["decode", record]);
        assert_eq!(decoded.lines[0]["payload"]["hello"]["name"], "n1", "{}", decoded.errors);
        assert!(decoded.lines.contains(&text), "{}: {:?}", language.name, decoded.lines);
    }
}

#[test]
fn a_node_of_another_cluster_says_why_it_refuses() {
    let machines = Machines::start(1);
    let node = format!("127.0.0.1:{}", machines.ports[0]);
    for language in Language::all() {
        let ended = listen(&language, &[&node, "--cluster", "another"]).end();
        assert_eq!((ended.code, ended.lines.len()), (Some(1), 0), "{}", language.name);
        assert!(ended.errors.contains("(wrong_cluster)"), "{}", ended.errors);
    }
}

#[test]
fn a_listener_lives_answers_pings_and_acknowledges_texts_which_it_shows_once() {
    let host = Host::open();
    for language in Language::all() {
        let mut ear = listen(&language, &[&host.address(), "--limit", "3"]);
        let mut guest = host.greet(Manner::Honest).met();
        assert_eq!(ear.next().expect("the link")["name"], "host");
        let ping = guest.message(2, Payload::Ping(Ping::default()));
        let text = guest.message(3, Payload::Data("once".into()));
        let last = guest.message(4, Payload::Data("the last".into()));
        let beats = |message: Option<Message>| match message.expect("the link stays").payload {
            Payload::HeartBeat(beat) => beat.peers.hears.len() == 1 && beat.log.is_none(),
            other => panic!("a heartbeat is due, not {other:?}"),
        };
        assert!(beats(guest.next()) && beats(guest.next()), "{} lives", language.name);
        for message in [&ping, &text, &text] {
            guest.send(message);
            assert_eq!(guest.answered(), message.id, "{}", language.name);
        }
        guest.send(&last);
        let ended = ear.end();
        assert_eq!(ended.code, Some(0), "{}: {}", language.name, ended.errors);
        let said: Vec<_> = ended.lines.iter().map(|line| line["payload"].clone()).collect();
        assert_eq!(said, [json!({}), json!("once"), json!("the last")], "{}", language.name);
    }
}

#[test]
fn a_listener_believes_no_node_that_proves_nothing() {
    let host = Host::open();
    for language in Language::all() {
        for (manner, code) in [
            (Manner::SignsWithAnotherKey, "(bad_proof)"),
            (Manner::NamesAnotherId, "(bad_id)"),
            (Manner::SpeaksAsAnother, "(bad_id)"),
            (Manner::IsOfAnotherCluster, "(wrong_cluster)"),
            (Manner::SpeaksAnotherVersion, "(wrong_protocol)"),
        ] {
            let ear = listen(&language, &[&host.address()]);
            assert_eq!(host.greet(manner).next(), None, "{}: {manner:?}", language.name);
            let ended = ear.end();
            assert_eq!((ended.code, ended.lines.len()), (Some(1), 0), "{}", language.name);
            assert!(ended.errors.contains(code), "{}: {}", language.name, ended.errors);
        }
    }
}

#[test]
fn a_listener_closes_upon_what_no_honest_peer_sends() {
    let host = Host::open();
    for language in Language::all() {
        let foreign = |guest: &crate::host::Guest| Message {
            from: NodeId::from_u128(5),
            ..guest.message(2, Payload::Ping(Ping::default()))
        };
        for (case, code) in [(0, "(oversized)"), (1, "(duplicate_key)"), (2, "(bad_envelope)")] {
            let ear = listen(&language, &[&host.address()]);
            let mut guest = host.greet(Manner::Honest).met();
            match case {
                0 => guest.bytes(&[0xff; 4]),
                1 => guest.bytes(b"\0\0\0\x0d{\"a\":1,\"a\":1}"),
                _ => guest.send(&foreign(&guest)),
            }
            while guest.next().is_some() {}
            let ended = ear.end();
            assert_eq!(ended.code, Some(1), "{}: {code}", language.name);
            assert!(ended.errors.contains(code), "{}: {}", language.name, ended.errors);
        }
    }
}

#[test]
fn a_listener_leaves_a_node_that_falls_silent() {
    let host = Host::open();
    for language in Language::all() {
        let ear = listen(&language, &[&host.address()]);
        let mut guest = host.greet(Manner::Honest).met();
        let mut beats = 0;
        while guest.next().is_some() {
            beats += 1;
        }
        // More, where it is not held up.
        assert!(beats >= 2, "{}: it lives until then: {beats}", language.name);
        let ended = ear.end();
        assert_eq!(ended.code, Some(5), "{}: {}", language.name, ended.errors);
    }
}
