//! The HTTP interface, as clients and as strangers see it.

#[path = "api/access.rs"]
mod access;
#[path = "api/events.rs"]
mod events;
#[path = "api/examples.rs"]
mod examples;
#[path = "api/frames.rs"]
mod frames;
#[path = "api/guessed.rs"]
mod guessed;
#[path = "api/metrics.rs"]
mod metrics;
#[path = "api/openapi.rs"]
mod openapi;
#[path = "api/page.rs"]
mod page;
mod support;
#[path = "api/verdict.rs"]
mod verdict;

use std::net::SocketAddr;
use std::time::Duration;

use quorate::admin::api::{
    ErrorBody, ErrorResponse, LogContent, MessageRequest, ProposeOutcome, ProposeRequest,
};
use quorate::admin::{Client, ClientError, Server};
use quorate::config::AdminConfig;
use quorate::limits;
use quorate::runtime::FailureClass;
use quorate::types::{ProposalId, Slot};
use support::{Cluster, PATIENCE, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LOOPBACK: AdminConfig = AdminConfig::loopback(0);

/// A cluster whose first node has an HTTP interface.
struct Served {
    cluster: Cluster,
    server: Server,
    client: Client,
}

impl Served {
    async fn start(n: usize) -> Self {
        let cluster = Cluster::start(n).await;
        let server =
            Server::start(cluster.handle(0).clone(), &LOOPBACK).await.expect("a free port");
        let client = Client::new(server.address());
        Self { cluster, server, client }
    }

    async fn end(self) {
        within(self.server.stop()).await;
        self.cluster.end().await;
    }
}

fn request(value: &str) -> ProposeRequest {
    ProposeRequest {
        value: value.to_owned(),
        request_id: None,
        wait: true,
        timeout: Some("60s".to_owned()),
        until: None,
    }
}

async fn commit(client: &Client, value: &str) -> Slot {
    let response = within(client.propose(&request(value), PATIENCE)).await.expect("an answer");
    match response.outcome {
        ProposeOutcome::Committed { slot, .. } => slot,
        other => panic!("{value:?} was not committed: {other:?}"),
    }
}

/// An answer, taken apart.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, wanted: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, text)| text).next()
    }
}

/// Sends bytes and reads to the end of the connection.
async fn whole(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("it takes the request");
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.expect("a status line"), head: head.to_owned(), body: body.to_owned() }
}

/// The same: the status, and the body.
async fn raw(address: SocketAddr, bytes: &[u8]) -> (u16, String) {
    let answer = whole(address, bytes).await;
    (answer.status, answer.body)
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    raw(address, head.as_bytes()).await
}

async fn post(address: SocketAddr, path: &str, content_type: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    raw(address, request.as_bytes()).await
}

fn error((status, body): (u16, String)) -> (u16, ErrorBody) {
    let ErrorResponse { error } = serde_json::from_str(&body).unwrap_or_else(|why| {
        panic!("every error has one shape, this is {body:?}: {why}");
    });
    assert!(!error.message.is_empty() && !error.hint.is_empty(), "{error:?}");
    (status, error)
}

fn code(answer: (u16, String)) -> (u16, String) {
    let (status, error) = error(answer);
    (status, error.code)
}

#[tokio::test]
async fn a_value_is_proposed_and_found_in_the_log() {
    let served = Served::start(3).await;
    let client = &served.client;
    let first = commit(client, "blue").await;
    let second = commit(client, "\"quoted\" \u{1b}[31m and\nbroken").await;

    let log = within(client.log(Slot(1), 100, false)).await.expect("a log");
    let values: Vec<_> = log
        .entries
        .iter()
        .filter_map(|entry| match &entry.content {
            LogContent::Value { value, .. } => Some((entry.slot, value.as_str())),
            LogContent::Config { .. } | LogContent::Noop => None,
        })
        .collect();
    assert_eq!(values, [(first, "blue"), (second, "\"quoted\" \u{1b}[31m and\nbroken")]);
    assert_eq!(log.next, log.committed.slot.next());

    let rest = within(client.log(second, 1, true)).await.expect("a quorum answers");
    assert_eq!(rest.entries, log.entries[log.entries.len() - 1..]);

    let (status, body) = get(served.server.address(), &format!("/v1/log/{first}")).await;
    assert_eq!(status, 200);
    let one: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((one["slot"].as_u64(), one["value"].as_str()), (Some(first.0), Some("blue")));
    served.end().await;
}

#[tokio::test]
async fn a_request_id_makes_asking_again_safe() {
    let served = Served::start(1).await;
    let id: ProposalId = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff".parse().expect("a UUID");
    let request = ProposeRequest { request_id: Some(id), ..request("once") };
    let first = within(served.client.propose(&request, PATIENCE)).await.expect("an answer");
    assert_eq!(first.request_id, id);
    let ProposeOutcome::Committed { slot, .. } = first.outcome else {
        panic!("not committed: {first:?}");
    };
    let second = within(served.client.propose(&request, PATIENCE)).await.expect("an answer");
    assert_eq!(second.outcome, ProposeOutcome::Duplicate { slot });
    served.end().await;
}

#[tokio::test]
async fn who_does_not_wait_is_told_that_the_proposal_is_taken() {
    let served = Served::start(1).await;
    let request = ProposeRequest { wait: false, timeout: None, ..request("later") };
    let response = within(served.client.propose(&request, PATIENCE)).await.expect("an answer");
    assert_eq!(response.outcome, ProposeOutcome::Pending);
    let mut follow = within(served.client.follow(Slot(1))).await.expect("a stream");
    loop {
        let entry = within(follow.next()).await.expect("a line").expect("an entry");
        if let LogContent::Value { request_id, .. } = entry.content {
            assert_eq!(request_id, response.request_id);
            break;
        }
    }
    served.end().await;
}

#[tokio::test]
async fn a_follower_sees_every_entry_once_in_order() {
    let served = Served::start(1).await;
    commit(&served.client, "before").await;
    let mut follow = within(served.client.follow(Slot(1))).await.expect("a stream");
    let mut last = Slot(0);
    for number in 0..20 {
        last = commit(&served.client, &format!("after {number}")).await;
    }
    for slot in 1..=last.0 {
        let entry = within(follow.next()).await.expect("a line").expect("an entry");
        assert_eq!(entry.slot, Slot(slot));
    }
    served.end().await;
}

#[tokio::test]
async fn open_streams_do_not_hold_up_the_end() {
    let served = Served::start(1).await;
    let mut follow = within(served.client.follow(Slot(1_000))).await.expect("a stream");
    let idle = TcpStream::connect(served.server.address()).await.expect("a connection");
    within(served.server.stop()).await;
    assert_eq!(within(follow.next()).await.expect("a good end"), None);
    drop(idle);
    served.cluster.end().await;
}

#[tokio::test]
async fn status_and_peers_say_where_the_node_stands() {
    let mut served = Served::start(3).await;
    let slot = commit(&served.client, "blue").await;
    let status = within(served.client.status()).await.expect("a status");
    assert!(status.ready && status.committed.slot >= slot);
    assert_eq!((status.name.as_str(), status.quorum), ("n1", Some(2)));
    assert_eq!(status.config.expect("formed").members.len(), 3);
    assert!(status.address.ends_with(&format!(":{}", served.cluster.config(0).port)));
    let peers = within(served.client.peers()).await.expect("peers").peers;
    let mut names: Vec<_> = peers.iter().map(|peer| peer.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["n2", "n3"]);
    assert!(peers.iter().all(|peer| peer.member && peer.heard_ms_ago.is_some()));

    let address = served.server.address();
    assert_eq!(get(address, "/livez").await.0, 200);
    assert_eq!(get(address, "/readyz").await.0, 200);
    let failed = async || -> Vec<String> {
        let (_, body) = get(address, "/readyz?verbose").await;
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let checks = body["checks"].as_array().expect("a list");
        assert_eq!(checks.len(), 4);
        let failed = checks.iter().filter(|check| check["ok"] == false);
        failed.map(|check| check["name"].as_str().expect("a text").to_owned()).collect()
    };
    // A sync that took long is told for a while.
    let well = async {
        while !failed().await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(well).await;
    served.cluster.stop(1).await;
    served.cluster.stop(2).await;
    until(served.cluster.handle(0), |status| !status.ready()).await;
    assert_eq!(get(address, "/livez").await.0, 200);
    assert_eq!(code(get(address, "/readyz").await), (503, "no_quorum".to_owned()));
    assert!(failed().await.contains(&"quorum".to_owned()));
    served.cluster.restart(1).await;
    served.cluster.ready(0).await;
    assert_eq!(get(address, "/readyz").await.0, 200);
    served.end().await;
}

#[tokio::test]
async fn a_message_goes_to_one_by_name_or_to_all() {
    let served = Served::start(3).await;
    let to_all = MessageRequest { to: None, text: "hello".to_owned() };
    let delivery = within(served.client.send(&to_all)).await.expect("a delivery");
    assert_eq!((delivery.by.len(), delivery.missing.len()), (2, 0));
    let to_one = MessageRequest { to: Some("n3".to_owned()), text: "psst".to_owned() };
    let delivery = within(served.client.send(&to_one)).await.expect("a delivery");
    assert_eq!(delivery.by, [served.cluster.handle(2).id()]);
    let to_none = MessageRequest { to: Some("n9".to_owned()), text: "anyone?".to_owned() };
    match within(served.client.send(&to_none)).await {
        Err(ClientError::Refused { status: 404, error }) => assert_eq!(error.code, "no_such_peer"),
        other => panic!("{other:?}"),
    }
    let own = served.cluster.handle(0).id().to_string();
    let nobody = "00000000-0000-4000-8000-000000000009".to_owned();
    for (to, what) in [(own, "itself"), ("n1".to_owned(), "itself"), (nobody, "no peer is called")]
    {
        let message = MessageRequest { to: Some(to), text: "anyone?".to_owned() };
        match within(served.client.send(&message)).await {
            Err(ClientError::Refused { status: 404, error }) => {
                assert!(error.message.contains(what), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    served.end().await;
}

#[tokio::test]
async fn what_is_told_of_a_mistake_is_short_however_long_the_mistake_is() {
    let served = Served::start(1).await;
    let address = served.server.address();
    let long = "x".repeat(2 << 20);
    for (path, body) in [
        ("/v1/proposals", format!(r#"{{"{long}":1}}"#)),
        ("/v1/proposals", format!(r#"{{"value":"x","wait":"{long}"}}"#)),
        ("/v1/proposals", format!(r#"{{"value":"x","timeout":"{long}"}}"#)),
        ("/v1/messages", format!(r#"{{"text":"x","to":"{long}"}}"#)),
    ] {
        let (status, body) = post(address, path, "application/json", &body).await;
        assert!([400, 404].contains(&status) && body.len() < 1_000, "{status}: {body:.1000}");
    }
    let (_, error) = error(get(address, "/v1/log/1?form=1").await);
    assert!(error.hint.contains("read is") && !error.hint.contains("limit"), "{error:?}");
    served.end().await;
}

#[tokio::test]
async fn every_error_has_one_shape() {
    let served = Served::start(1).await;
    let address = served.server.address();
    let json = "application/json";
    let expected = |status: u16, code: &str| (status, code.to_owned());

    assert_eq!(code(get(address, "/v2").await), expected(404, "no_such_path"));
    assert_eq!(code(get(address, "/v1/log/999").await), expected(404, "no_such_slot"));
    assert_eq!(code(get(address, "/v1/log/blue").await), expected(400, "bad_request"));
    assert_eq!(code(get(address, "/v1/log?from=blue").await), expected(400, "bad_request"));
    assert_eq!(code(get(address, "/v1/log?form=1").await), expected(400, "bad_request"));
    assert_eq!(code(get(address, "/v1/log/1?follow=true").await), expected(400, "bad_request"));
    assert_eq!(code(get(address, "/v1/events?from=blue").await), expected(400, "bad_request"));
    assert_eq!(code(get(address, "/readyz?verbos").await), expected(400, "bad_request"));
    assert_eq!(code(get(address, "/v1/proposals").await), expected(405, "no_such_method"));

    let propose =
        async |kind: &str, body: &str| code(post(address, "/v1/proposals", kind, body).await);
    assert_eq!(propose("text/plain", r#"{"value":"x"}"#).await, expected(415, "not_json"));
    assert_eq!(propose(json, r#"{"value":"x""#).await, expected(400, "bad_request"));
    assert_eq!(propose(json, r#"{"valeu":"x"}"#).await, expected(400, "bad_request"));
    assert_eq!(propose(json, r#"{"value":""}"#).await, expected(400, "bad_request"));
    assert_eq!(
        propose(json, r#"{"value":"x","timeout":"soon"}"#).await,
        expected(400, "bad_request")
    );
    assert_eq!(
        propose(json, r#"{"value":"x","request_id":"7"}"#).await,
        expected(400, "bad_request")
    );
    let long = format!(r#"{{"value":"{}"}}"#, "x".repeat(limits::VALUE_BYTES_MAX + 1));
    assert_eq!(propose(json, &long).await, expected(413, "too_large"));
    served.end().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let served = Served::start(1).await;
    let head = "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                content-type: application/json\r\ncontent-length: 1000000000\r\n\r\n";
    let answer = raw(served.server.address(), head.as_bytes()).await;
    assert_eq!(code(answer), (413, "too_large".to_owned()));
    served.end().await;
}

#[tokio::test]
async fn only_local_names_are_answered_on_a_loopback_address() {
    let served = Served::start(1).await;
    let address = served.server.address();
    let ask = async |host: &str| {
        let head = format!("GET /livez HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        raw(address, head.as_bytes()).await
    };
    for host in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.8.9.10:9001", "[::1]:9001"] {
        assert_eq!(ask(&format!("host: {host}\r\n")).await.0, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "", "a b"] {
        let answer = ask(&format!("host: {host}\r\n")).await;
        assert_eq!(code(answer), (403, "wrong_host".to_owned()), "{host}");
    }
    assert_eq!(code(ask("").await), (403, "wrong_host".to_owned()));
    served.end().await;
}

#[tokio::test]
async fn garbage_harms_nobody() {
    let served = Served::start(1).await;
    let address = served.server.address();
    let mut garbage = TcpStream::connect(address).await.expect("a connection");
    garbage.write_all(&[0, 159, 146, 150, b'\n', b'\r']).await.expect("it takes bytes");
    commit(&served.client, "still here").await;
    let (status, _) = raw(address, b"\x16\x03\x01 HTTP/1.1\r\n\r\n").await;
    assert_eq!(status, 400);
    served.end().await;
}

#[tokio::test]
async fn a_client_says_when_nobody_is_there() {
    let served = Served::start(1).await;
    let client = served.client.clone();
    served.end().await;
    match within(client.status()).await {
        Err(ClientError::Unreachable { address, .. }) => assert_eq!(address, client.address()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let served = Served::start(1).await;
    let taken = AdminConfig { port: served.server.address().port(), ..LOOPBACK };
    let error = Server::start(served.cluster.handle(0).clone(), &taken).await.expect_err("taken");
    assert_eq!(error.class(), FailureClass::AddressInUse);
    assert!(error.to_string().contains(&taken.port.to_string()), "{error}");
    served.end().await;
}

#[tokio::test]
async fn a_wait_ends_when_the_client_wants() {
    let mut served = Served::start(3).await;
    served.cluster.stop(1).await;
    served.cluster.stop(2).await;
    until(served.cluster.handle(0), |status| !status.ready()).await;
    let request = ProposeRequest { timeout: Some("100ms".to_owned()), ..request("alone") };
    let response = served.client.propose(&request, Duration::from_millis(100));
    let response = within(response).await.expect("an answer");
    assert_eq!(response.outcome, ProposeOutcome::Unknown);
    served.end().await;
}
