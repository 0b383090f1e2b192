//! A member that lies: its key is in the attacker's hands.
//!
//! Members are trusted not to lie (`crash` mode). What is promised nevertheless: memory stays bounded, what is
//! malformed is refused, one statement ends nothing, and a contradiction stops a node only where R8 says so.

use std::net::Shutdown;

use quorate::consensus::{
    Beat, Body, Content, Entries, Fetch, Kind, Prepare, Promise, Propose, Refuse, Vote,
};
use quorate::limits;
use quorate::types::{Digest, Epoch, Position, Round, Slot};
use quorate::wire::{HeartBeat, Payload};
use serde_json::Value as Json;

use crate::attacker::{Attacker, number};
use crate::is_long;
use crate::process::{Machines, eventually};
use crate::siege::{KIB, MIB, Siege, commit, commit_value, count_lines};

/// What one link may cost: the longest frame in its read buffer, which grows by doubling, the message
/// that is made of it, and a batch of frames on its way out.
const LINK: u64 = 3 * limits::FRAME_BYTES_MAX as u64 + MIB;

/// What the ids of `Data` may cost: two generations, 32 bytes an id, in a tree whose nodes are half full.
const SEEN: u64 = 2 * limits::SEEN_ENTRIES_MAX as u64 * 96;

/// What a peer may cost that asks and does not read: its outbox, and as many batches on their way from the
/// disk as may be under way at once (256).
const UNREAD: u64 = limits::OUTBOX_BYTES_MAX as u64 + 256 * limits::BATCH_BYTES as u64;

/// What may wait for the driver: 256 arrivals, each what one read of 64 KiB brought. In memory a short message
/// takes a few times what it takes on the wire.
const INBOX: u64 = 256 * 64 * KIB * 3;

fn forged(slot: u64) -> Position {
    Position { slot: Slot(slot), hash: Digest::new([6; 32]) }
}

/// The line that says what the liar did.
fn misdeed(machines: &mut Machines, what: &str) -> Json {
    machines.processes[0].line("peer.misbehaved", |line| {
        line["what"].as_str().is_some_and(|said| said.contains(what))
    })
}

#[test]
fn a_member_that_lies_stops_nobody() {
    let mut siege = Siege::start("A member that lies", 3);
    let port = siege.port();
    let liar = siege.turn_coat();

    siege.case("unknown types and kinds of statements, 10,000 frames", LINK + INBOX, |machines| {
        let mut wire = liar.link(port).up();
        let json = |kind: &str, payload: &str| {
            let from = liar.id();
            format!(
                r#"{{"id":"00000000-0000-0000-0000-000000000001","from":"{from}","to":null,"message_type":"{kind}","timestamp":0,"payload":{payload}}}"#
            )
        };
        for _ in 0..5_000 {
            wire.json(json("Song", "[1]").as_bytes());
            wire.json(json("Consensus", r#"{"epoch":1,"sing":{}}"#).as_bytes());
        }
        wire.settled(&liar);
        let line = machines.processes[0]
            .line("message.unknown", |line| line["suppressed"].as_u64() > Some(8_000));
        let lines = count_lines(machines, 0, "message.unknown", |_| true);
        assert!(lines <= 5, "{lines} lines");
        format!("message.unknown, {lines} lines, suppressed={}", line["suppressed"])
    });

    siege.case("frames replayed 10,000 times", LINK + INBOX, |machines| {
        let mut wire = liar.link(port).up();
        let text = format!("once {}", number());
        let data = liar.message(Payload::Data(text.as_str().into()));
        let vote = liar.says(Body::Vote(Vote::new(Round(0), Position::GENESIS, Position::GENESIS)));
        let _drained = wire.drain();
        for _ in 0..5_000 {
            wire.send(&data);
            wire.send(&vote);
        }
        wire.stream.shutdown(Shutdown::Write).expect("it is up");
        machines.processes[0].line("message.received", |line| line["text"] == text.as_str());
        let lines =
            count_lines(machines, 0, "message.received", |line| line["text"] == text.as_str());
        assert_eq!(lines, 1);
        "message.received, once".to_owned()
    });

    let fresh = if is_long() { 1_000_000 } else { 150_000 };
    siege.case(&format!("{fresh} fresh ids"), SEEN + LINK + INBOX, |machines| {
        let wire = liar.link(port).up();
        let drained = wire.drain();
        let mut batch = Vec::new();
        let mut wire = wire;
        for n in 0..fresh {
            let data = liar.message(Payload::Data("x".into()));
            batch.extend(quorate::wire::encode(&data).expect("it is short"));
            if n % 200 == 199 {
                wire.bytes(&batch);
                batch.clear();
            }
        }
        wire.stream.shutdown(Shutdown::Write).expect("it is up");
        let answered = drained.join().expect("the node closes");
        assert!(answered > 0, "nothing was acknowledged");
        let lines = count_lines(machines, 0, "message.received", |line| line["text"] == "x");
        assert!(lines <= 60, "{lines} lines of {fresh}");
        format!("message.received, {lines} lines, then counted")
    });

    siege.case("votes for rounds 2^53 ahead, and all else that names one", LINK, |machines| {
        let far = Round(limits::INTEGER_MAX);
        let at = Position::GENESIS;
        let statements = [
            Body::Vote(Vote::new(far, at, at)),
            Body::Prepare(Prepare { round: far }),
            Body::Promise(Promise { round: far, accepted: Some(far), last: at, committed: at }),
            Body::Refuse(Refuse { promised: Some(far), committed: at }),
            Body::Propose(Propose {
                round: far,
                after: at,
                entries: Vec::new(),
                committed: at,
                adopt: true,
            }),
        ];
        for at in 0..2 {
            let mut wire = liar.link(machines.ports[at]).up();
            for statement in &statements {
                wire.send(&liar.says(statement.clone()));
            }
            for one in 0..5 {
                wire.send(&beat(&liar, one, far));
            }
            wire.settled(&liar);
        }
        let line = misdeed(machines, "far beyond");
        for at in 0..2 {
            let far = count_lines(machines, at, "round.changed", |line| {
                line["round"].as_u64() > Some(1_000)
            });
            assert_eq!(far, 0);
        }
        let mut wire = liar.link(port).up();
        let vote = format!(
            r#"{{"id":"00000000-0000-0000-0000-000000000001","from":"{}","to":null,"message_type":"Consensus","timestamp":0,"payload":{{"epoch":1,"vote":{{"round":9007199254740992}}}}}}"#,
            liar.id()
        );
        wire.json(vote.as_bytes());
        wire.closed();
        machines.processes[0].line("link.down", |line| {
            line["reason"].as_str().is_some_and(|reason| reason.contains("a number beyond"))
        });
        format!("peer.misbehaved what=\"{}\"; link.down", line["what"].as_str().unwrap())
    });

    siege.case("entries that do not chain, rounds of others", LINK, |machines| {
        let mut wire = liar.link(port).up();
        let noop = Content { epoch: Epoch(1), kind: Kind::Noop };
        let entries = Entries {
            after: Position::GENESIS,
            entries: vec![noop.clone(); 3],
            committed: forged(3),
            more: false,
        };
        wire.send(&liar.says(Body::Entries(entries)));
        // Whose rounds are these? One in three is the liar's own, and that one is too low to lead.
        for after in [Position::GENESIS, forged(7)] {
            for round in 0..3 {
                wire.send(&liar.says(Body::Propose(Propose {
                    round: Round(round),
                    after,
                    entries: vec![noop.clone(); 3],
                    committed: Position::GENESIS,
                    adopt: round % 2 == 0,
                })));
            }
        }
        wire.settled(&liar);
        let chain = misdeed(machines, "do not chain");
        let round = misdeed(machines, "not its own");
        let what = |line: &Json| line["what"].as_str().expect("a text").to_owned();
        format!("peer.misbehaved what=\"{}\", \"{}\"", what(&chain), what(&round))
    });

    siege.case("proposals over the limit, empty, with control characters", LINK, |machines| {
        let submit = |value: &str| {
            format!(
                r#"{{"id":"00000000-0000-0000-0000-000000000001","from":"{}","to":null,"message_type":"Consensus","timestamp":0,"payload":{{"epoch":1,"submit":{{"proposals":[{{"id":"00000000-0000-4000-8000-{:012x}","value":"{value}"}}]}}}}}}"#,
                liar.id(),
                number()
            )
        };
        for value in [String::new(), "x".repeat(limits::VALUE_BYTES_MAX + 1)] {
            let mut wire = liar.link(port).up();
            wire.json(submit(&value).as_bytes());
            wire.closed();
        }
        // Whoever leads places it, and perhaps nobody does just now.
        let submitted = submit(r"a\u0000\u001b[31m\r\nvalue.committed slot=1");
        let mut wires: Vec<_> = (0..2).map(|at| liar.link(machines.ports[at]).up()).collect();
        eventually("it is placed", || {
            for wire in &mut wires {
                wire.json(submitted.as_bytes());
                wire.settled(&liar);
            }
            let is_it = |line: &Json| line["value"] == "a\0\u{1b}[31m\r\nvalue.committed slot=1";
            (count_lines(machines, 0, "value.committed", is_it) > 0).then_some(())
        });
        let process = &mut machines.processes[0];
        assert!(process.raw.iter().all(|raw| !raw.chars().any(char::is_control)));
        drop(wires);
        process.line("link.down", |line| {
            line["reason"].as_str().is_some_and(|reason| reason.contains("not the payload"))
        });
        "link.down reason=\"not the payload of its type: …\"; value.committed, escaped".to_owned()
    });

    siege.case("asking for everything and reading nothing", UNREAD + LINK, |machines| {
        let long = "x".repeat(limits::VALUE_BYTES_MAX);
        let slots: Vec<_> = (0..8).map(|_| commit_value(&machines.admins[0], &long)).collect();
        let mut wire = liar.link(port).up();
        for n in 0..2_000 {
            let slot = slots[n % slots.len()];
            wire.send(&liar.says(Body::Fetch(Fetch { from: slot, to: slot })));
        }
        let line = machines.processes[0].line("link.down", |line| {
            line["reason"].as_str().is_some_and(|reason| reason.contains("reads too slowly"))
        });
        drop(wire);
        format!("link.down reason=\"{}\"", line["reason"].as_str().unwrap())
    });
    siege.end();
}

/// A heartbeat that names a far round in one of its five places.
fn beat(liar: &Attacker, one: usize, far: Round) -> quorate::wire::Message {
    let place = |nth: usize| (one == nth).then_some(far);
    let log = Beat {
        epoch: Epoch(1),
        life: liar.hello.boot,
        promised: place(0),
        accepted: place(1),
        voted: Position::GENESIS,
        last: Position::GENESIS,
        committed: Position::GENESIS,
        first_slot: Slot(1),
        suspects: place(2),
        candidate: place(3),
        leads: place(4),
        healthy: true,
    };
    liar.message(Payload::HeartBeat(HeartBeat { peers: Default::default(), log: Some(log) }))
}

/// Two votes of one round and slot for different hashes: that round's proposer ran twice, or a disk lies. R8: a
/// node that sees it stops. It says so, others are not stopped by that, and nothing acknowledged is lost.
#[test]
fn conflicting_votes_stop_the_node_that_sees_them_and_lose_nothing() {
    let mut siege = Siege::start("Conflicting votes", 3);
    let liar = siege.turn_coat();
    let machines = &mut siege.machines;
    let slot = commit_value(&machines.admins[0], "kept");
    let mut wire = liar.link(machines.ports[0]).up();
    // What the attacked node voted, as it tells in every heartbeat.
    let (round, voted) = wire.until(|message| match message.payload {
        Payload::HeartBeat(HeartBeat { log: Some(beat), .. }) if beat.voted.slot >= slot => {
            Some((beat.accepted.expect("it voted"), beat.voted))
        }
        _ => None,
    });
    let other = Position { slot: voted.slot, ..forged(0) };
    wire.send(&liar.says(Body::Vote(Vote::new(round, other, Position::GENESIS))));
    let line = machines.processes[0].line("node.halted", |_| true);
    let why = line["why"].as_str().expect("a text").to_owned();
    assert!(why.contains(&liar.id().to_string()) && why.contains("node log"), "{why}");
    assert_eq!(machines.processes[0].exit_code(), 7);
    assert!(
        machines.processes[1].child.try_wait().expect("a child").is_none(),
        "the other one lives"
    );

    // The liar is taken away, the node is started again.
    drop(wire);
    machines.restart(0);
    commit(&machines.admins[0], "after").expect("a commit of the two that are honest");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = quorate::admin::Client::new(machines.admins[1].parse().expect("an address"));
    let log = runtime.block_on(client.log(slot, 1, false)).expect("it runs");
    let kept = serde_json::to_string(&log.entries[0]).expect("JSON");
    assert!(kept.contains("kept"), "{kept}");
    println!("node.halted why={why}");
    siege.end();
}
