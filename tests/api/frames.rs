//! Frames for clients: many proposals on one connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quorate::admin::frames::{Answer, Answers, Submitter};
use quorate::admin::{Client, ClientError, Server, Token};
use quorate::config::AdminConfig;
use quorate::consensus::{Entry, Proposal};
use quorate::limits;
use quorate::types::{ProposalId, Slot, Value};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{PATIENCE, until, within};
use super::{LOOPBACK, Served, code, get};

async fn connect(address: SocketAddr) -> (Submitter, Answers) {
    within(Client::new(address).frames()).await.expect("frames").into_split()
}

fn proposal(number: u128, value: &str) -> Proposal {
    let value = Value::new(value).expect("a value within the limits");
    Proposal { id: ProposalId::from_u128(number), value, until: None }
}

/// The next so many answers, by id.
async fn answers(from: &mut Answers, count: usize) -> BTreeMap<ProposalId, Answer> {
    let mut all = BTreeMap::new();
    while all.len() < count {
        let some = within(from.next()).await.expect("frames").expect("more answers");
        all.extend(some.into_iter().map(|answer| (answer.id(), answer)));
    }
    all
}

/// What asks for an upgrade.
const UPGRADE: &str = "GET /v1/frames HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: quorate/1\r\n\r\n";

/// Sends bytes behind an upgrade, and reads to the end of the connection.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(UPGRADE.as_bytes()).await.expect("it takes the request");
    stream.write_all(bytes).await.expect("it takes frames");
    let mut said = Vec::new();
    within(stream.read_to_end(&mut said)).await.expect("an end");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn many_proposals_of_one_connection_are_each_answered_once() {
    let served = Served::start(3).await;
    let (mut submitter, mut answered) = connect(served.server.address()).await;
    let count = 3_000;
    let sending = async {
        for start in (1..=count).step_by(500) {
            let some = (start..start + 500).map(|number| proposal(number, &format!("v{number}")));
            submitter.submit(some.collect()).await.expect("it is sent");
        }
        submitter.finish().await.expect("it is told");
    };
    let (_, all) = tokio::join!(sending, answers(&mut answered, count as usize));
    assert!(within(answered.next()).await.expect("a good end").is_none(), "nothing is said twice");

    let entries = within(served.client.log(Slot(1), 1000, true)).await.expect("a log");
    let mut slots = BTreeMap::new();
    for (id, answer) in &all {
        let Answer::Committed { slot, hash, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(slots.insert(*slot, (*id, *hash)), None, "{slot} is told of two proposals");
    }
    for entry in entries.entries {
        if let Some((_, hash)) = slots.get(&entry.slot) {
            assert_eq!(*hash, entry.hash);
        }
    }
    served.end().await;
}

#[tokio::test]
async fn an_id_takes_effect_once_whichever_way_it_comes() {
    let served = Served::start(1).await;
    let (mut submitter, mut answered) = connect(served.server.address()).await;
    submitter.submit(vec![proposal(1, "once")]).await.expect("it is sent");
    let first = answers(&mut answered, 1).await;
    let Some(Answer::Committed { slot, .. }) = first.values().next() else { panic!("{first:?}") };
    let mut expired = proposal(2, "late");
    expired.until = Some(Slot(0));
    submitter.submit(vec![proposal(1, "once"), expired]).await.expect("it is sent");
    let again = answers(&mut answered, 2).await;
    let id = ProposalId::from_u128(1);
    assert_eq!(again[&id], Answer::Duplicate { id, slot: *slot });
    let late = &again[&ProposalId::from_u128(2)];
    assert!(matches!(late, Answer::Rejected { why, .. } if why.contains("last slot")), "{late:?}");
    served.end().await;
}

#[tokio::test]
async fn what_is_no_frame_of_a_client_is_refused_with_the_reason() {
    let served = Served::start(1).await;
    let address = served.server.address();
    let frame = |text: &str| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
    let letter = |kind: &str, payload: &str| {
        frame(&format!(
            r#"{{"id":"00000000-0000-4000-8000-000000000001","from":"00000000-0000-4000-8000-000000000002","to":null,"message_type":"{kind}","payload":{payload},"timestamp":1}}"#
        ))
    };
    let id = "00000000-0000-4000-8000-000000000003";
    let empty = letter("Consensus", &format!(r#"{{"submit":[{{"id":"{id}","value":""}}]}}"#));
    let beyond = letter(
        "Consensus",
        &format!(r#"{{"submit":[{{"id":"{id}","value":"x","until":9007199254740992}}]}}"#),
    );
    let quotes = letter("Consensus", &format!("\"{}\"", "\\\"".repeat(4_190_000)));
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (bytes, reason) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "at most"),
        (vec![0; 4], "length 0"),
        (frame("{"), "EOF"),
        (frame(&deep), "invalid type"),
        (quotes, "invalid type: string"),
        (letter("Data", r#"{"submit":[]}"#), "a client says Consensus"),
        (letter("Consensus", r#"{"submit":[],"submit":[]}"#), "duplicate field"),
        (letter("Consensus", r#"{"vote":{}}"#), "missing field"),
        (empty, "empty"),
        (beyond, "2^53"),
    ] {
        let said = raw(address, &bytes).await;
        assert!(said.contains("101") && said.contains("bad_frame"), "{said}");
        assert!(said.contains(reason) && said.len() < 2_000, "{reason}: {said:.2000}");
    }
    let (mut submitter, mut answered) = connect(address).await;
    submitter.submit(vec![proposal(1, "others are not hurt")]).await.expect("it is sent");
    assert!(matches!(
        answers(&mut answered, 1).await.into_values().next(),
        Some(Answer::Committed { .. })
    ));
    served.end().await;
}

#[tokio::test]
async fn clients_that_are_gone_give_their_places_back_though_nothing_is_decided() {
    let mut served = Served::start(3).await;
    served.cluster.stop(1).await;
    served.cluster.stop(2).await;
    until(served.cluster.handle(0), |status| !status.ready()).await;
    let letter = r#"{"id":"00000000-0000-4000-8000-000000000001","from":"00000000-0000-4000-8000-000000000002","to":null,"message_type":"Consensus","payload":{"submit":[{"id":"00000000-0000-4000-8000-000000000003","value":"x"}]},"timestamp":1}"#;
    let frame = [&(letter.len() as u32).to_be_bytes(), letter.as_bytes()].concat();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(served.server.address()).await.expect("a connection");
        stream.write_all(&[UPGRADE.as_bytes(), &frame].concat()).await.expect("it is taken");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert!(within(stream.read_buf(&mut head)).await.expect("bytes") > 0);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "it is upgraded");
        // The other side is told that the connection is broken, not that nothing follows.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    }
    let again = async {
        while served.client.frames().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within(again).await;
    served.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_read_no_further_and_holds_nobody_up() {
    let served = Served::start(1).await;
    let (mut submitter, _unread) = connect(served.server.address()).await;
    let flood = async {
        for start in (1..).step_by(1_000) {
            let some = (start..start + 1_000).map(|number| proposal(number, &"x".repeat(200)));
            if submitter.submit(some.collect()).await.is_err() {
                // Who takes in nothing for long is let go.
                return std::future::pending().await;
            }
        }
    };
    let slot = tokio::select! {
        () = flood => unreachable!("the node reads no further"),
        slot = async {
            let mut last = Slot(0);
            for number in 0..50 {
                last = super::commit(&served.client, &format!("between {number}")).await;
            }
            last
        } => slot,
    };
    assert!(slot.0 > 50);
    served.end().await;
}

#[tokio::test]
async fn frames_want_the_token_and_end_with_the_server() {
    let served = Served::start(1).await;
    assert_eq!(
        code(get(served.server.address(), "/v1/frames").await),
        (426, "upgrade_required".to_owned())
    );
    let directory = tempfile::tempdir().expect("a directory");
    let token_file = directory.path().join("token");
    std::fs::write(&token_file, "0123456789abcdef").expect("a file");
    let config = AdminConfig { token_file: Some(token_file), ..LOOPBACK };
    let handle = served.cluster.handle(0).clone();
    let guarded = Server::start(handle, &config).await.expect("a start");
    let client = Client::new(guarded.address());
    match within(client.frames()).await {
        Err(ClientError::Refused { status: 401, error }) => assert_eq!(error.code, "no_token"),
        other => panic!("{other:?}"),
    }
    let token = Token::new("0123456789abcdef").expect("a token");
    let frames = within(client.with_token(token).frames()).await.expect("frames");
    let (mut submitter, mut answered) = frames.into_split();
    submitter.submit(vec![proposal(1, "known")]).await.expect("it is sent");
    answers(&mut answered, 1).await;
    within(guarded.stop()).await;
    assert!(!matches!(within(answered.next()).await, Ok(Some(_))), "it has ended");

    let mut open = Vec::new();
    loop {
        match within(served.client.frames()).await {
            Ok(client) => open.push(client),
            Err(ClientError::Refused { status: 503, error }) => {
                assert_eq!(error.code, "too_many_streams");
                break;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(open.len() <= limits::HANDSHAKES_MAX, "their number is bounded");
    }
    assert!(within(served.client.status()).await.is_ok(), "others are served");
    served.end().await;
}

#[tokio::test]
async fn what_was_taken_before_a_stop_is_answered() {
    let Served { mut cluster, server, .. } = Served::start(3).await;
    let (before, count) = (cluster.handle(0).committed_through(), 900);
    let (mut submitter, mut answered) = connect(server.address()).await;
    let all = (1..=count).map(|number| proposal(number.into(), &format!("v{number}"))).collect();
    submitter.submit(all).await.expect("it is sent");
    let answering = tokio::spawn(async move {
        let mut told = BTreeSet::new();
        while let Ok(Some(some)) = answered.next().await {
            for answer in some {
                assert!(matches!(answer, Answer::Committed { .. }), "{answer:?}");
                assert!(told.insert(answer.id()), "{answer:?} is said twice");
            }
        }
        // Whoever sees the end ends its side as well.
        drop(submitter);
        told
    });
    let under_way = async {
        loop {
            let log = cluster.handle(0).status().await.expect("it runs").engine.log;
            // A fast machine may have decided all of it before it is asked.
            if log.pending > 0 || log.committed.slot.0 >= before.slot.0 + count {
                return log.pending;
            }
        }
    };
    let pending = within(under_way).await;

    let asked = Instant::now();
    within(server.stop()).await;
    // A machine may be too slow for what the server grants.
    let in_time = asked.elapsed() < Duration::from_secs(1);
    let told = within(answering).await.expect("only commits are told");
    cluster.stop(0).await;
    within(cluster.handle(1).read(PATIENCE)).await.expect("a quorum");
    let log = within(cluster.handle(1).committed(Slot(1), usize::MAX)).await.expect("it runs");
    let committed: BTreeSet<_> =
        log.iter().filter_map(Entry::proposal).map(|proposal| proposal.id).collect();
    assert!(told.is_subset(&committed), "what is told stands in the log");
    if in_time {
        assert!(told.len() >= pending, "told of {}, and {pending} were under way", told.len());
        assert_eq!(told, committed, "what is not told was not taken");
    }
    cluster.end().await;
}
