//! Messages to frames and back.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use quorate::admin::frames::{Letter, Submit};
use quorate::consensus::{self, Body, Content, Kind, Propose, Vote};
use quorate::peers;
use quorate::types::{Digest, Epoch, MessageId, NodeId, Position, Round, Slot};
use quorate::wire::{self, HEAD_BYTES, HeartBeat, Message, MessageType, Payload};

use crate::{group, proposals};

/// Shows what one message costs its sender (once, whoever gets it) and each of its receivers, in time and by the byte.
/// Most of it is the values: compare a `propose` of 100 with one of 1.
pub(crate) fn encode_and_decode(criterion: &mut Criterion) {
    let mut group = group(criterion, "codec");
    let messages = [
        ("propose of 1", statement(propose(1))),
        ("propose of 100", statement(propose(100))),
        ("submit of 100, passed on", statement(submit(100))),
        ("vote", statement(vote())),
        ("heartbeat", Payload::HeartBeat(beat())),
    ];
    for (name, payload) in messages {
        let message =
            Message { id: id(), from: node(1), to: None, timestamp: 1_700_000_000, payload };
        let frame = wire::encode(&message).expect("it fits in a frame");
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            bencher.iter(|| wire::encode(black_box(&message)).expect("it fits in a frame"));
        });
        let json = &frame[HEAD_BYTES..];
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| wire::decode(black_box(json)).expect("it was encoded"));
        });
    }

    // As a client says it, and as the node at which it says it reads it.
    let letter = Letter {
        id: id(),
        from: node(9),
        to: Some(node(1)),
        message_type: MessageType::Consensus,
        payload: Submit { submit: proposals(100) },
        timestamp: 1_700_000_000,
    };
    let json = serde_json::to_vec(&letter).expect("it has no map with keys other than text");
    group.throughput(Throughput::Bytes(json.len() as u64));
    group.bench_function(BenchmarkId::new("encode", "submit of 100, a client's"), |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&letter)).expect("as above"));
    });
    group.bench_function(BenchmarkId::new("decode", "submit of 100, a client's"), |bencher| {
        let read = |json| serde_json::from_slice::<Letter<Submit>>(json).expect("it was encoded");
        bencher.iter(|| read(black_box(&json)));
    });
    group.finish();
}

fn statement(body: Body) -> Payload {
    Payload::Consensus(consensus::Message { epoch: Epoch(1), body })
}

fn propose(count: usize) -> Body {
    let contents = proposals(count).into_iter().map(Kind::Value);
    let entries = contents.map(|kind| Content { epoch: Epoch(1), kind }).collect();
    let (after, committed) = (position(100_000), position(99_900));
    Body::Propose(Propose { round: Round(7), after, entries, committed, adopt: false })
}

fn submit(count: usize) -> Body {
    Body::Submit(consensus::Submit { proposals: proposals(count) })
}

fn vote() -> Body {
    Body::Vote(Vote::new(Round(7), position(100_000), position(99_900)))
}

fn beat() -> HeartBeat {
    let log = consensus::Beat {
        epoch: Epoch(1),
        life: 3,
        promised: Some(Round(7)),
        accepted: Some(Round(7)),
        voted: position(100_000),
        last: position(100_000),
        committed: position(99_900),
        first_slot: Slot(1),
        suspects: None,
        candidate: None,
        leads: Some(Round(7)),
        healthy: true,
    };
    let peers = peers::Beat { hears: vec![node(2), node(3)], ..peers::Beat::default() };
    HeartBeat { peers, log: Some(log) }
}

fn position(slot: u64) -> Position {
    Position { slot: Slot(slot), hash: Digest::new([0xa7; 32]) }
}

fn node(n: u128) -> NodeId {
    NodeId::from_u128(n << 64 | 0x5eed)
}

fn id() -> MessageId {
    MessageId::from_u128(0x5eed_5eed_5eed_5eed)
}
