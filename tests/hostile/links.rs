//! Strangers that speak the protocol: hellos that do not fit, replays, JSON that no honest peer writes, and
//! those that prove a key of their own and then lie.

use quorate::consensus::{Body, Propose, Submit, Vote};
use quorate::limits;
use quorate::types::{Position, Round, Slot};
use quorate::wire::{Hello, Payload, ProtocolRange};

use crate::attacker::{Attacker, Wire};
use crate::siege::{KIB, MIB, Siege, count_lines};

/// What one link may cost: a stranger's longest frame in its read buffer, which grows by doubling, the message
/// that is made of it, and a batch of frames on its way out.
const LINK: u64 = 3 * limits::STRANGER_FRAME_BYTES_MAX as u64 + MIB;

/// What a link may cost whose peer sends short frames: its buffers, its task, its outbox's heartbeat.
const IDLE_LINK: u64 = 4 * 64 * KIB;

#[test]
fn strangers_with_a_key_harm_nobody() {
    let mut siege = Siege::start("Strangers that speak the protocol", 3);
    let port = siege.port();

    siege.case("a hello of another cluster, version, id, name", LINK, |machines| {
        let other = theirs(machines.ports[1]);
        let mine = theirs(port);
        let mut cases = Vec::new();
        let mut case = |code: &'static str, change: &dyn Fn(&mut Attacker)| {
            let mut stranger = Attacker::stranger(1);
            change(&mut stranger);
            cases.push((code, stranger));
        };
        case("wrong_cluster", &|s| s.hello.cluster = "other".to_owned());
        case("wrong_protocol", &|s| s.hello.protocol = ProtocolRange { min: 2, max: 9 });
        case("bad_id", &|s| s.hello.node = other.node);
        case("bad_id", &|s| s.hello.node = mine.node);
        case("bad_hello", &|s| s.hello.name = "two\nlines".to_owned());
        for (code, stranger) in &cases {
            assert_eq!(stranger.greet(port).err().as_deref(), Some(*code));
        }
        for code in ["wrong_cluster", "wrong_protocol", "bad_id", "bad_hello"] {
            machines.processes[0].line("connection.refused", |line| line["code"] == code);
        }
        "connection.refused code=wrong_cluster, wrong_protocol, bad_id, bad_hello".to_owned()
    });

    siege.case("the key of another node, the own key, without its signature", LINK, |machines| {
        for theirs in [theirs(machines.ports[1]), theirs(port)] {
            let mut liar = Attacker::stranger(2);
            (liar.hello.node, liar.hello.key) = (theirs.node, theirs.key);
            assert_eq!(refusal(liar.link(port)), "bad_proof");
        }
        machines.processes[0].line("connection.refused", |line| line["code"] == "bad_proof");
        "connection.refused code=bad_proof".to_owned()
    });

    siege.case("a replayed handshake, a hundred times", LINK, |machines| {
        let honest = Attacker::stranger(3);
        let (_first, ours, theirs) = honest.greet(port).expect("an honest hello");
        let recorded = honest.proof(&ours, &theirs);
        for _ in 0..100 {
            let (mut replay, _, _) = honest.greet(port).expect("a hello is no proof");
            replay.send(&recorded);
            assert_eq!(refusal(replay), "bad_proof");
        }
        let line = machines.processes[0].line("connection.refused", |line| {
            line["code"] == "bad_proof" && line["suppressed"].as_u64() > Some(80)
        });
        format!("connection.refused code=bad_proof, suppressed={}", line["suppressed"])
    });

    siege.case(
        "bad UTF-8, duplicate keys, 2^53, −1, NaN, nested 10,000 deep …",
        2 * LINK,
        |machines| {
            let mut names = Vec::new();
            for (seed, (reason, json)) in (100..).zip(bad_json()) {
                let peer = Attacker::stranger(seed);
                let mut wire = peer.link(port).up();
                let text = json.replace("FROM", &peer.id().to_string());
                match reason {
                    "UTF-8" => wire.json(&[text.as_bytes(), &[0xff]].concat()),
                    _ => wire.json(text.as_bytes()),
                }
                wire.closed();
                let id = peer.id().to_string();
                machines.processes[0].line("link.down", |line| {
                    line["peer"] == id
                        && line["reason"].as_str().unwrap_or_default().contains(reason)
                });
                names.push(reason);
            }
            format!("link.down reason=\"… {} …\"", names.join(" · "))
        },
    );

    siege.case("lengths 0, 4 GiB, one over on a link; the longest frames", LINK, |machines| {
        for (seed, length) in (200..).zip([0, u32::MAX, limits::STRANGER_FRAME_BYTES_MAX as u32 + 1]) {
            let peer = Attacker::stranger(seed);
            let mut wire = peer.link(port).up();
            wire.bytes(&length.to_be_bytes());
            wire.closed();
            let id = peer.id().to_string();
            machines.processes[0].line("link.down", |line| line["peer"] == id);
        }
        let peer = Attacker::stranger(210);
        let mut wire = peer.link(port).up();
        let head = format!(
            r#"{{"id":"00000000-0000-0000-0000-000000000001","from":"{}","to":null,"message_type":"Song","timestamp":0,"payload":""#,
            peer.id()
        );
        let long = "x".repeat(limits::STRANGER_FRAME_BYTES_MAX - head.len() - 2);
        for _ in 0..24 {
            wire.json(format!("{head}{long}\"}}").as_bytes());
        }
        let id = peer.id().to_string();
        let line = machines.processes[0].line("message.unknown", |line| {
            line["peer"] == id && line["suppressed"] == 8
        });
        assert_eq!(line["message_type"], "Song");
        "link.down reason=\"a frame of …\"; message.unknown message_type=Song suppressed=8".to_owned()
    });

    siege.case("a message in another's name", LINK, |machines| {
        let peer = Attacker::stranger(300);
        let mut wire = peer.link(port).up();
        let mut spoofed = peer.message(Payload::Data("mine".into()));
        spoofed.from = theirs(machines.ports[1]).node;
        wire.send(&spoofed);
        wire.closed();
        let id = peer.id().to_string();
        let line = machines.processes[0].line("link.down", |line| line["peer"] == id);
        format!("link.down reason=\"{}\"", line["reason"].as_str().unwrap())
    });

    siege.case("votes and proposals of one that is no member", 2 * LINK, |machines| {
        let peer = Attacker::stranger(301);
        let mut wire = peer.link(port).up();
        let forged = Position { slot: Slot(9_999), hash: quorate::types::Digest::new([6; 32]) };
        // A node whose disk is slow for a moment changes the round by itself, but not as far.
        for round in 10_000..10_200 {
            let round = Round(round);
            let vote = Vote::new(round, forged, forged);
            wire.send(&peer.says(Body::Vote(vote)));
            let propose = Propose {
                round,
                after: Position::GENESIS,
                entries: Vec::new(),
                committed: forged,
                adopt: true,
            };
            wire.send(&peer.says(Body::Propose(propose)));
            wire.send(&peer.says(Body::Submit(Submit { proposals: Vec::new() })));
            wire.send(&peer.message(Payload::Data("unheard".into())));
        }
        let id = peer.id().to_string();
        machines.processes[0].line("node.unknown", |line| line["id"] == id);
        let heard = count_lines(machines, 0, "message.received", |_| true);
        let rounds =
            count_lines(machines, 0, "round.changed", |line| line["round"].as_u64() > Some(1_000));
        assert_eq!((heard, rounds), (0, 0));
        let lines = count_lines(machines, 0, "node.unknown", |line| line["id"] == id);
        assert_eq!(lines, 1);
        "node.unknown, 1 line of 800 frames".to_owned()
    });

    let idle = limits::LINKS_TO_STRANGERS_MAX as u64 * IDLE_LINK;
    siege.case("300 strangers linked while a member comes back", idle, |machines| {
        let crowd: Vec<_> = (1_000..1_300)
            .map(|seed| {
                let peer = Attacker::stranger(seed);
                let mut wire = peer.link(port);
                wire.send(&peer.founding(vec![peer.id()]));
                (peer, wire)
            })
            .collect();
        // The tenth is told, then the hundredth; and where this takes long, those that came first are let go.
        let line = machines.processes[0].line("connection.refused", |line| {
            line["code"] == "full" && line["suppressed"].as_u64() >= Some(8)
        });
        let lines = count_lines(machines, 0, "node.unknown", |_| true);
        assert!(lines <= 140, "{lines} lines of 300 strangers");
        machines.processes[2].kill();
        machines.processes[0].line("peer.offline", |line| line["peer"] == "n3");
        machines.restart(2);
        machines.processes[0].line("peer.online", |line| line["peer"] == "n3");
        drop(crowd);
        format!(
            "connection.refused code=full suppressed={}; node.unknown, {lines} lines",
            line["suppressed"]
        )
    });
    siege.end();
}

/// What the node at this port says of itself.
fn theirs(port: u16) -> Hello {
    Attacker::stranger(0).greet(port).expect("an honest hello is answered").2
}

/// The code of the refusal that must come.
fn refusal(mut wire: Wire) -> String {
    wire.until(|message| match message.payload {
        Payload::Pong(pong) => pong.refused.map(|refusal| refusal.code),
        _ => None,
    })
}

/// JSON that no honest peer writes, in the name of `FROM`, and a part of what is said of it.
fn bad_json() -> Vec<(&'static str, String)> {
    let message = |kind: &str, timestamp: &str, payload: &str| {
        format!(
            r#"{{"id":"00000000-0000-0000-0000-000000000001","from":"FROM","to":null,"message_type":"{kind}","timestamp":{timestamp},"payload":{payload}}}"#
        )
    };
    let data = |timestamp: &str| message("Data", timestamp, r#""text""#);
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let said = |body: &str| message("Consensus", "0", &format!(r#"{{"epoch":1,{body}}}"#));
    vec![
        ("UTF-8", data("0")),
        ("stands twice", data(r#"0,"timestamp":0"#)),
        ("number beyond", data("9007199254740992")),
        ("number beyond", data("9007199254740993")),
        ("number beyond", data("1e400")),
        ("not a message", data("-1")),
        ("not JSON", data("NaN")),
        ("nested deeper", message("Data", "0", &nested)),
        ("nested deeper", message("Song", "0", &nested)),
        ("not the payload", message("Data", "0", "5")),
        ("not the payload", said(r#""vote":{"round":-1}"#)),
        ("not the payload", said(r#""fetch":{"from":1,"to":2},"read":{"nonce":1}"#)),
        ("not a message", "[]".to_owned()),
    ]
}
