//! The wire against its vectors: what `docs/PROTOCOL.md` shows is what the code reads and writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use proptest::prelude::*;
use quorate::admin::api::LogEntry;
use quorate::admin::frames::{Answer, Letter, Outcomes, Submit};
use quorate::types::{Digest, Epoch, MessageId, NodeId, Position, ProposalId, Round, Slot, Value};
use quorate::wire::{
    Decoded, FrameDecoder, HEAD_BYTES, HeartBeat, Hello, Hex, Message, Payload, Ping, Pong,
    ProtocolRange, Refusal, Side, decode, encode, proof_bytes,
};
use quorate::{consensus, limits, peers};
use serde_json::Value as Json;
use sha2::Digest as _;

fn vectors(file: &str) -> Vec<Json> {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The JSON inside of an encoded message.
fn reencoded(message: &Message) -> Json {
    serde_json::from_slice(&encode(message).unwrap()[HEAD_BYTES..]).unwrap()
}

#[test]
fn valid_messages_are_read_and_written_as_they_stand() {
    for vector in vectors("messages.json") {
        let name = &vector["name"];
        match decode(&serde_json::to_vec(&vector["message"]).unwrap()) {
            Ok(Decoded::Message(message)) => {
                assert_eq!(vector["unknown_kind"], Json::Null, "{name}");
                let means = vector.get("means").unwrap_or(&vector["message"]);
                assert_eq!(&reencoded(&message), means, "{name}");
            }
            Ok(Decoded::UnknownKind { message_type, .. }) => {
                assert_eq!(vector["unknown_kind"], message_type, "{name}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn invalid_messages_are_refused_by_name() {
    for vector in vectors("invalid.json") {
        let json = match vector["text"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => bytes_of(vector["hex"].as_str().unwrap()),
        };
        let error = decode(&json).expect_err(vector["name"].as_str().unwrap());
        assert_eq!(error.name(), vector["error"], "{}: {error}", vector["name"]);
    }
}

#[test]
fn frames_are_cut_or_refused_by_name() {
    for vector in vectors("frames.json") {
        let mut buffer = BytesMut::from(&bytes_of(vector["hex"].as_str().unwrap())[..]);
        let max = usize::try_from(vector["bytes_max"].as_u64().unwrap()).unwrap();
        let mut decoder = FrameDecoder::new(max);
        let mut frames = Vec::new();
        let error = loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(String::from_utf8(frame.to_vec()).unwrap()),
                Ok(None) => break None,
                Err(error) => break Some(error.name()),
            }
        };
        assert_eq!(Json::from(frames), vector["frames"], "{}", vector["name"]);
        assert_eq!(error, vector["error"].as_str(), "{}", vector["name"]);
    }
}

fn message_of(json: &Json) -> Message {
    match decode(&serde_json::to_vec(json).unwrap()).unwrap() {
        Decoded::Message(message) => message,
        unknown => panic!("{unknown:?}"),
    }
}

#[test]
fn a_recorded_handshake_is_proven_step_by_step() {
    let steps: BTreeMap<String, Json> = vectors("handshake.json")
        .into_iter()
        .map(|step| (step["name"].as_str().unwrap().to_owned(), step))
        .collect();
    let message = |name: &str| message_of(&steps[name]["message"]);
    let Payload::Ping(Ping { hello: Some(dialer) }) = message("hello_of_the_dialer").payload else {
        panic!("the first message is the dialer's hello")
    };
    let Payload::Pong(Pong { hello: Some(listener), proof: Some(listener_proof), .. }) =
        message("hello_and_proof_of_the_listener").payload
    else {
        panic!("the second message is the listener's hello and proof")
    };
    let Payload::Pong(Pong { proof: Some(dialer_proof), .. }) =
        message("proof_of_the_dialer").payload
    else {
        panic!("the third message is the dialer's proof")
    };
    for (signer, who, proof, step) in [
        (Side::Listener, &listener, listener_proof, "hello_and_proof_of_the_listener"),
        (Side::Dialer, &dialer, dialer_proof, "proof_of_the_dialer"),
    ] {
        let step = &steps[step];
        let signed = proof_bytes(signer, &dialer, &listener);
        assert_eq!(hex_of(&signed), step["signed"]);
        let secret: Hex<32> = serde_json::from_value(step["secret_key"].clone()).unwrap();
        let key = SigningKey::from_bytes(&secret.0);
        assert_eq!(who.key, Hex(key.verifying_key().to_bytes()));
        let hash = sha2::Sha256::digest(who.key.0);
        assert_eq!(who.node, NodeId::from_key_hash(&hash.into()));
        assert_eq!(proof, Hex(key.sign(&signed).to_bytes()));
    }
}

#[test]
fn a_proof_holds_in_one_form_under_a_strong_key_alone() {
    for vector in vectors("proofs.json") {
        let bytes = |field: &str| bytes_of(vector[field].as_str().unwrap());
        let key: [u8; 32] = bytes("key").try_into().unwrap();
        let holds = VerifyingKey::from_bytes(&key).is_ok_and(|key| {
            let proof = Signature::from_slice(&bytes("proof")).unwrap();
            key.verify_strict(&bytes("signed"), &proof).is_ok()
        });
        assert_eq!(vector["holds"], holds, "{}", vector["name"]);
    }
}

#[test]
fn an_entry_has_the_hash_that_its_vector_names() {
    for vector in vectors("entries.json") {
        let name = &vector["name"];
        let after: Position = serde_json::from_value(vector["after"].clone()).unwrap();
        let content: consensus::Content =
            serde_json::from_value(vector["content"].clone()).unwrap();
        assert_eq!(serde_json::to_value(&content).unwrap(), vector["content"], "{name}");
        let entry = consensus::Entry::after(after, content);
        assert_eq!(entry.position().hash.to_string(), vector["hash"], "{name}");
        let shown = serde_json::to_value(LogEntry::from(&entry)).unwrap();
        assert_eq!(shown, vector["shown"], "{name}");
    }
}

#[test]
fn what_clients_and_nodes_say_to_each_other_is_read_and_written_as_in_its_vectors() {
    let [submit, outcome] = &vectors("client.json")[..] else { panic!("two vectors") };
    let (submit, outcome) = (&submit["message"], &outcome["message"]);
    let read: Letter<Submit> = serde_json::from_value(submit.clone()).unwrap();
    assert_eq!(&serde_json::to_value(&read).unwrap(), submit);
    let read: Letter<Outcomes> = serde_json::from_value(outcome.clone()).unwrap();
    assert_eq!(&serde_json::to_value(&read).unwrap(), outcome);
    assert!(matches!(
        &read.payload.outcome[..],
        [Answer::Committed { .. }, Answer::Rejected { .. }]
    ));
}

#[test]
fn the_examples_in_the_protocol_are_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PROTOCOL.md");
    let text = std::fs::read_to_string(path).unwrap();
    let known: BTreeMap<String, Json> = ["messages.json", "handshake.json", "client.json"]
        .into_iter()
        .flat_map(vectors)
        .map(|vector| (vector["name"].as_str().unwrap().to_owned(), vector["message"].clone()))
        .collect();
    let mut examples = 0;
    for part in text.split("<!-- vector: ").skip(1) {
        let (name, rest) = part.split_once(" -->\n```json\n").expect("an example follows its name");
        let (json, _) = rest.split_once("\n```").expect("an example ends");
        let shown: Json = serde_json::from_str(json).unwrap();
        assert_eq!(Some(&shown), known.get(name), "{name}");
        examples += 1;
    }
    assert_eq!(text.matches("```json").count(), examples, "every example names its vector");
    assert!(examples >= 10, "{examples} examples");
    for vector in vectors("invalid.json").into_iter().chain(vectors("frames.json")) {
        if let Some(error) = vector["error"].as_str() {
            assert!(text.contains(&format!("`{error}`")), "{error} is explained");
        }
    }
}

fn small() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, 0..=limits::INTEGER_MAX]
}

fn position() -> impl Strategy<Value = Position> {
    (small(), any::<[u8; 32]>())
        .prop_map(|(slot, hash)| Position { slot: Slot(slot), hash: Digest::new(hash) })
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<u128>().prop_map(NodeId::from_u128)
}

fn proposal() -> impl Strategy<Value = consensus::Proposal> {
    (any::<u128>(), "(?s).{1,40}", prop::option::of(small())).prop_map(|(id, text, until)| {
        consensus::Proposal {
            id: ProposalId::from_u128(id),
            value: Value::new(text).unwrap(),
            until: until.map(Slot),
        }
    })
}

fn content() -> impl Strategy<Value = consensus::Content> {
    let kind = prop_oneof![
        proposal().prop_map(consensus::Kind::Value),
        Just(consensus::Kind::Noop),
        (small(), prop::collection::vec(node(), 1..4)).prop_map(|(epoch, members)| {
            consensus::Kind::Config(consensus::EpochConfig::new(Epoch(epoch), members))
        }),
    ];
    (small(), kind).prop_map(|(epoch, kind)| consensus::Content { epoch: Epoch(epoch), kind })
}

fn body() -> impl Strategy<Value = consensus::Body> {
    use consensus::Body;
    let round = || small().prop_map(Round);
    let contents = || prop::collection::vec(content(), 0..4);
    prop_oneof![
        (round(), position(), position(), prop::option::of(1..64_usize)).prop_map(
            |(round, voted, committed, counted)| {
                Body::Vote(consensus::Vote { round, voted, committed, counted })
            }
        ),
        round().prop_map(|round| Body::Prepare(consensus::Prepare { round })),
        (round(), prop::option::of(round()), position(), position()).prop_map(
            |(round, accepted, last, committed)| {
                Body::Promise(consensus::Promise { round, accepted, last, committed })
            }
        ),
        (round(), position(), contents(), position(), any::<bool>()).prop_map(
            |(round, after, entries, committed, adopt)| {
                Body::Propose(consensus::Propose { round, after, entries, committed, adopt })
            }
        ),
        (prop::option::of(round()), position()).prop_map(|(promised, committed)| {
            Body::Refuse(consensus::Refuse { promised, committed })
        }),
        (small(), small()).prop_map(|(from, to)| {
            Body::Fetch(consensus::Fetch { from: Slot(from), to: Slot(to) })
        }),
        (position(), contents(), position(), any::<bool>()).prop_map(
            |(after, entries, committed, more)| {
                Body::Entries(consensus::Entries { after, entries, committed, more })
            }
        ),
        prop::collection::vec(proposal(), 0..4)
            .prop_map(|proposals| Body::Submit(consensus::Submit { proposals })),
        small().prop_map(|nonce| Body::Read(consensus::Read { nonce })),
        (small(), position())
            .prop_map(|(nonce, last)| Body::ReadReply(consensus::ReadReply { nonce, last })),
        (prop::option::of(round()), prop::option::of(round()), position()).prop_map(
            |(promised, accepted, voted)| {
                Body::Remember(consensus::Remember { promised, accepted, voted })
            }
        ),
    ]
}

fn hello() -> impl Strategy<Value = Hello> {
    (
        node(),
        any::<([u8; 32], [u8; 32], [u8; 16])>(),
        (small(), small()),
        "\\PC{1,20}",
        any::<u16>(),
    )
        .prop_map(|(node, (key, nonce, instance), (boot, dial), name, port)| Hello {
            protocol: ProtocolRange { min: 1, max: 3 },
            cluster: name.clone(),
            node,
            key: Hex(key),
            nonce: Hex(nonce),
            boot,
            instance: Hex(instance),
            dial,
            host: (port % 2 == 0).then(|| name.clone()),
            capabilities: vec![name.clone(); usize::from(port % 3)],
            name,
            port,
        })
}

fn beat() -> impl Strategy<Value = consensus::Beat> {
    let maybe = || prop::option::of(small().prop_map(Round));
    (
        (small(), small(), small()),
        [maybe(), maybe(), maybe(), maybe(), maybe()],
        [position(), position(), position()],
        any::<bool>(),
    )
        .prop_map(|((epoch, first, life), rounds, [voted, last, committed], healthy)| {
            let [promised, accepted, suspects, candidate, leads] = rounds;
            consensus::Beat {
                epoch: Epoch(epoch),
                promised,
                accepted,
                voted,
                last,
                committed,
                first_slot: Slot(first),
                suspects,
                candidate,
                leads,
                healthy,
                life,
            }
        })
}

fn payload() -> impl Strategy<Value = Payload> {
    let nodes = || prop::collection::vec(node(), 0..4);
    prop_oneof![
        prop::option::of(hello().prop_map(Box::new))
            .prop_map(|hello| Payload::Ping(Ping { hello })),
        (
            prop::option::of(any::<u128>()),
            prop::option::of(hello().prop_map(Box::new)),
            any::<[u8; 64]>(),
            "(?s).{0,20}"
        )
            .prop_map(|(re, hello, proof, text)| Payload::Pong(Pong {
                re: re.map(MessageId::from_u128),
                hello,
                proof: text.is_empty().then_some(Hex(proof)),
                refused: (text.len() > 10).then(|| Refusal { code: text.clone(), reason: text }),
            })),
        "(?s).{0,200}".prop_map(|text| Payload::Data(Arc::from(text))),
        (
            nodes(),
            prop::option::of(nodes()),
            prop::option::of(nodes()),
            any::<[bool; 2]>(),
            prop::option::of(beat())
        )
            .prop_map(|(hears, founders, founded, [forming, leaving], log)| {
                let peers = peers::Beat { hears, forming, founders, founded, leaving };
                Payload::HeartBeat(HeartBeat { peers, log })
            }),
        (small(), body()).prop_map(|(epoch, body)| {
            Payload::Consensus(consensus::Message { epoch: Epoch(epoch), body })
        }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (any::<u128>(), node(), prop::option::of(node()), small(), payload()).prop_map(
        |(id, from, to, timestamp, payload)| Message {
            id: MessageId::from_u128(id),
            from,
            to,
            timestamp,
            payload,
        },
    )
}

proptest! {
    #[test]
    fn a_message_survives_the_wire(message in message()) {
        let frame = encode(&message).unwrap();
        let mut buffer = BytesMut::from(&frame[..]);
        let json = FrameDecoder::new(limits::FRAME_BYTES_MAX).decode(&mut buffer).unwrap().unwrap();
        prop_assert_eq!(decode(&json).unwrap(), Decoded::Message(message));
    }

    #[test]
    fn a_stream_may_be_split_anywhere(messages in prop::collection::vec(message(), 1..3)) {
        let stream: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
        for at in 0..=stream.len() {
            let mut decoder = FrameDecoder::new(limits::FRAME_BYTES_MAX);
            let mut buffer = BytesMut::new();
            let mut frames = Vec::new();
            for part in [&stream[..at], &stream[at..]] {
                buffer.extend_from_slice(part);
                while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
                    frames.push(frame);
                }
            }
            prop_assert_eq!(frames.len(), messages.len());
            prop_assert_eq!(frames.concat().len() + HEAD_BYTES * frames.len(), stream.len());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        let mut buffer = BytesMut::from(&bytes[..]);
        let mut decoder = FrameDecoder::new(64);
        while let Ok(Some(frame)) = decoder.decode(&mut buffer) {
            prop_assert!(!frame.is_empty() && frame.len() <= 64);
        }
    }

    #[test]
    fn a_damaged_message_never_panics(
        message in message(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut json = encode(&message).unwrap()[HEAD_BYTES..].to_vec();
        let at = at.index(json.len());
        json[at] = byte;
        if let Ok(Decoded::Message(message)) = decode(&json) {
            prop_assert!(encode(&message).is_ok());
        }
    }
}

#[test]
fn a_frame_over_the_limit_is_not_written() {
    let data = |bytes: usize| Message {
        id: MessageId::from_u128(1),
        from: NodeId::from_u128(2),
        to: None,
        timestamp: 0,
        payload: Payload::Data("x".repeat(bytes).into()),
    };
    let around = encode(&data(0)).unwrap().len() - HEAD_BYTES;
    let max = limits::FRAME_BYTES_MAX - around;
    assert_eq!(encode(&data(max)).unwrap().len(), limits::FRAME_BYTES_MAX + HEAD_BYTES);
    assert_eq!(encode(&data(max + 1)).unwrap_err().name(), "oversized");
    let read = |bytes| decode(&encode(&data(bytes)).unwrap()[HEAD_BYTES..]);
    assert!(read(limits::DATA_BYTES_MAX).is_ok());
    assert_eq!(read(limits::DATA_BYTES_MAX + 1).unwrap_err().name(), "bad_payload");
}
