//! Doors against a node that this test plays.

use std::net::SocketAddr;

use bytes::{Buf, BufMut, BytesMut};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::*;
use crate::load::runtime;

/// What a test does at its end of one connection.
async fn played<F: Future<Output = ()> + 'static>(
    node: impl FnOnce(TcpStream) -> F + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let (stream, _) = listener.accept().await.unwrap();
        node(stream).await;
    });
    address
}

fn on_this_thread(test: impl Future<Output = ()>) {
    let deadline = Duration::from_secs(30);
    let run = async { tokio::time::timeout(deadline, test).await.expect("in time") };
    LocalSet::new().block_on(&runtime().unwrap(), run);
}

/// Reads until there is enough, and takes it.
async fn take<T>(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    mut enough: impl FnMut(&mut BytesMut) -> Option<T>,
) -> T {
    loop {
        if let Some(found) = enough(input) {
            return found;
        }
        assert_ne!(stream.read_buf(input).await.unwrap(), 0, "it goes on");
    }
}

fn head(input: &mut BytesMut) -> Option<String> {
    let (head, end) = head_of(input)?;
    let head = head.to_owned();
    input.advance(end);
    Some(head)
}

fn frame(input: &mut BytesMut) -> Option<Value> {
    let length = u32::from_be_bytes(*input.first_chunk()?) as usize;
    let json = input.get(4..4 + length)?;
    let value = serde_json::from_slice(json).unwrap();
    input.advance(4 + length);
    Some(value)
}

fn framed(value: &Value) -> BytesMut {
    let json = value.to_string();
    let mut out = BytesMut::new();
    out.put_u32(json.len() as u32);
    out.put_slice(json.as_bytes());
    out
}

const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: quorate/1\r\n\r\n";

#[test]
fn each_answer_finds_its_client_whatever_the_order() {
    on_this_thread(async {
        let address = played(|mut stream| async move {
            let mut input = BytesMut::new();
            let head = take(&mut stream, &mut input, head).await;
            assert!(head.starts_with("GET /v1/frames HTTP/1.1"), "{head}");
            assert_eq!(field(&head, "upgrade"), Some("quorate/1"));
            stream.write_all(SWITCHED).await.unwrap();
            let asked = take(&mut stream, &mut input, frame).await;
            let submit = asked["payload"]["submit"].as_array().unwrap();
            assert_eq!(submit.len(), 3, "what waits at one moment leaves in one frame");
            let outcome = |at: usize, outcome| json!({"id": submit[at]["id"], "outcome": outcome});
            for some in [
                json!([outcome(2, "committed")]),
                json!([outcome(1, "rejected"), outcome(0, "duplicate")]),
            ] {
                let answer = framed(&json!({"payload": {"outcome": some}}));
                stream.write_all(&answer).await.unwrap();
            }
            let _ = stream.read_buf(&mut input).await;
        })
        .await;
        let door = Door::open(Protocol::Frames, address).await.unwrap();
        let (first, second, third) =
            tokio::join!(door.write(0, "blue"), door.write(1, "green"), door.write(2, "red"));
        assert!(first.is_ok() && third.is_ok());
        assert!(matches!(second, Err(Trouble::Refused(_))), "{second:?}");
    });
}

#[test]
fn a_lost_connection_answers_whoever_waits() {
    on_this_thread(async {
        let address = played(|mut stream| async move {
            let mut input = BytesMut::new();
            take(&mut stream, &mut input, head).await;
            stream.write_all(SWITCHED).await.unwrap();
            take(&mut stream, &mut input, frame).await;
        })
        .await;
        let door = Door::open(Protocol::Frames, address).await.unwrap();
        for _ in 0..2 {
            let outcome = door.write(0, "blue").await;
            assert!(matches!(outcome, Err(Trouble::Broken(_))), "{outcome:?}");
        }
    });
}

#[test]
fn a_node_without_frames_says_so() {
    on_this_thread(async {
        let address = played(|mut stream| async move {
            take(&mut stream, &mut BytesMut::new(), head).await;
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        })
        .await;
        let error = Door::open(Protocol::Frames, address).await.err().unwrap();
        assert!(error.to_string().contains("404"), "{error}");
    });
}

#[test]
fn http_keeps_its_connection() {
    on_this_thread(async {
        let address = played(|mut stream| async move {
            let mut input = BytesMut::new();
            for outcome in ["committed", "unknown"] {
                let head = take(&mut stream, &mut input, head).await;
                let length: usize = field(&head, "content-length").unwrap().parse().unwrap();
                let body = take(&mut stream, &mut input, |input| {
                    (input.len() >= length).then(|| input.split_to(length))
                })
                .await;
                assert_eq!(body, r#"{"value":"blue"}"#);
                let body = json!({"outcome": outcome}).to_string();
                let length = body.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        let door = Door::open(Protocol::Http, address).await.unwrap();
        assert!(door.write(0, "blue").await.is_ok());
        assert!(matches!(door.write(0, "blue").await, Err(Trouble::Refused(_))));
    });
}
