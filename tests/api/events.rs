//! The stream of events, as a browser or a script reads it.

use std::net::SocketAddr;

use quorate::admin::Server;
use quorate::runtime::{Outcome, Rejection};
use quorate::types::{ProposalId, Slot, Value};
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpSocket, TcpStream};

use super::support::within;
use super::{LOOPBACK, Served, code, commit, get, raw};

/// An open stream.
pub(crate) struct Events(Lines<BufReader<TcpStream>>);

/// One event of it.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Json,
}

impl Events {
    pub(crate) async fn open(address: SocketAddr, query: &str, headers: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self::ask(stream, query, headers).await
    }

    /// In HTTP 1.0 the body comes as it is, up to the end of the connection.
    async fn ask(mut stream: TcpStream, query: &str, headers: &str) -> Self {
        let head = format!("GET /v1/events{query} HTTP/1.0\r\nhost: localhost\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.expect("it takes the request");
        let mut lines = BufReader::new(stream).lines();
        let status = within(lines.next_line()).await.expect("text").expect("a status");
        assert!(status.contains(" 200 "), "{status}");
        let mut head = Vec::new();
        while let Some(line) = within(lines.next_line()).await.expect("text")
            && !line.is_empty()
        {
            head.push(line.to_ascii_lowercase());
        }
        assert!(head.contains(&"content-type: text/event-stream".to_owned()), "{head:?}");
        assert!(head.contains(&"cache-control: no-cache".to_owned()), "{head:?}");
        Self(lines)
    }

    /// The next event; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let (mut name, mut id, mut data) = (String::new(), None, String::new());
        while let Some(line) = within(self.0.next_line()).await.expect("text") {
            match line.split_once(": ") {
                Some(("event", text)) => name = text.to_owned(),
                Some(("id", text)) => id = Some(text.parse().expect("a slot")),
                Some(("data", text)) => data += text,
                _ if line.is_empty() && !name.is_empty() => {
                    let data = serde_json::from_str(&data).expect("JSON");
                    return Some(Event { name, id, data });
                }
                _ => {}
            }
        }
        None
    }

    /// The next event of this name.
    pub(crate) async fn named(&mut self, name: &str) -> Event {
        loop {
            let event =
                self.next().await.unwrap_or_else(|| panic!("the stream ended before {name}"));
            if event.name == name {
                return event;
            }
        }
    }
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens() {
    let mut served = Served::start(3).await;
    let mut events = Events::open(served.server.address(), "", "").await;
    let start = events.next().await.expect("a first event");
    assert_eq!((start.name.as_str(), start.id), ("start", None));
    assert_eq!(start.data["node"], served.cluster.handle(0).id().to_string());

    loop {
        let slot = commit(&served.client, "blue").await;
        let commit = events.named("commit").await;
        assert_eq!(commit.id, Some(slot.0));
        assert_eq!(commit.data["slot"], slot.0);
        assert_eq!(commit.data["value"], "blue");
        // Where the votes came late, the commit was learned; that happens, but not for ever.
        if commit.data["votes"]["members"] == 3 {
            break;
        }
    }

    let to = served.cluster.handle(0).id();
    within(served.cluster.handle(1).send(to, "hello")).await.expect("it is delivered");
    let message = events.named("message").await;
    assert_eq!(message.data["text"], "hello");
    assert_eq!(message.data["from"], served.cluster.handle(1).id().to_string());

    served.cluster.stop(1).await;
    served.cluster.stop(2).await;
    let (mut offline, mut is_heard) = (0, true);
    while offline < 2 || is_heard {
        let event = events.next().await.expect("more to come");
        match event.name.as_str() {
            "peer" => offline += usize::from(event.data["status"] == "Offline"),
            "quorum" => is_heard = event.data["is_heard"].as_bool().expect("a switch"),
            _ => {}
        }
    }
    served.end().await;
}

#[tokio::test]
async fn who_comes_back_goes_on_behind_the_last_commit_it_saw() {
    let served = Served::start(1).await;
    let address = served.server.address();
    for number in 1..=5 {
        commit(&served.client, &number.to_string()).await;
    }
    let mut events = Events::open(address, "", "last-event-id: 2\r\n").await;
    assert_eq!(events.named("start").await.data["from"], 3);
    let last = commit(&served.client, "live").await;
    for slot in 3..=last.0 {
        let commit = events.named("commit").await;
        assert_eq!((commit.id, commit.data["slot"].as_u64()), (Some(slot), Some(slot)));
    }
    let mut all = Events::open(address, "?from=1", "").await;
    assert_eq!(all.named("commit").await.id, Some(1));
    let mut later = Events::open(address, &format!("?from={}", last.0 + 2), "").await;
    later.named("start").await;
    commit(&served.client, "not asked for").await;
    let wanted = commit(&served.client, "asked for").await;
    assert_eq!(later.named("commit").await.id, Some(wanted.0));

    for id in ["blue", "-1", "18446744073709551615"] {
        let head = format!(
            "GET /v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nlast-event-id: {id}\r\n\r\n"
        );
        assert_eq!(code(raw(address, head.as_bytes()).await), (400, "bad_request".to_owned()));
    }
    served.end().await;
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_what_it_missed_and_misses_no_commit() {
    let served = Served::start(1).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let stream = socket.connect(served.server.address()).await.expect("a connection");
    let mut events = Events::ask(stream, "?from=1", "").await;

    // More than all buffers on the way hold, then more notices than wait for one reader.
    let handle = served.cluster.handle(0);
    let values = (0..160).map(|_| "x".repeat(64 * 1024)).chain((0..1_500).map(|n| n.to_string()));
    let mut count = 0;
    for value in values {
        let (id, value) = (ProposalId::from_u128(count + 1), Value::new(value).expect("a value"));
        count += 1;
        let submit = || handle.submit(id, value.clone(), None);
        while submit().await == Outcome::Rejected(Rejection::Busy) {
            tokio::task::yield_now().await;
        }
    }
    let last = Slot(u64::try_from(count).expect("a small number"));
    for slot in (0..last.0).step_by(100).map(Slot).chain([last]) {
        within(handle.wait_committed(slot)).await.expect("it runs");
    }

    let (mut next, mut missed) = (1, 0);
    while next <= last.0 {
        let event = events.next().await.expect("more to come");
        match event.name.as_str() {
            "commit" => {
                assert_eq!(event.id, Some(next), "no hole, no repetition");
                next += 1;
            }
            "missed" => missed += event.data["notices"].as_u64().expect("a number"),
            _ => {}
        }
    }
    assert!(missed > 0, "nobody is told of every notice that slowly");
    served.end().await;
}

#[tokio::test]
async fn open_event_streams_do_not_hold_up_the_end() {
    let served = Served::start(1).await;
    let mut events = Events::open(served.server.address(), "", "").await;
    events.named("start").await;
    let Served { cluster, server, .. } = served;
    within(server.stop()).await;
    // In good order, behind what happened meanwhile.
    while events.next().await.is_some() {}

    let server = Server::start(cluster.handle(0).clone(), &LOOPBACK).await.expect("a free port");
    let mut events = Events::open(server.address(), "", "").await;
    events.named("start").await;
    cluster.end().await;
    while events.next().await.is_some() {}
    within(server.stop()).await;
}

#[tokio::test]
async fn streams_leave_room_for_everything_else() {
    let served = Served::start(1).await;
    let address = served.server.address();
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Events::open(address, "", "").await);
    }
    assert_eq!(code(get(address, "/v1/events").await), (503, "too_many_streams".to_owned()));
    let follow = get(address, "/v1/log?follow=true").await;
    assert_eq!(code(follow), (503, "too_many_streams".to_owned()));
    assert_eq!(get(address, "/v1/status").await.0, 200);
    open.clear();
    let again = async {
        while get(address, "/v1/log?follow=true&limit=0").await.0 != 200 {
            tokio::task::yield_now().await;
        }
    };
    within(again).await;
    served.end().await;
}
