//! Short questions to one node, asked by whoever has time to wait for the answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use serde_json::Value;

use crate::doors::{field, head_of, nats::Talk};

/// How long a node may take to answer.
const WITHIN: Duration = Duration::from_secs(2);

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks over HTTP; with a body it is a `POST`. None unless the answer is JSON.
pub(super) fn http(address: SocketAddr, path: &str, body: Option<&str>) -> Option<Value> {
    let mut stream = connect(address).ok()?;
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let (head, start) = head_of(&answer)?;
    let length = field(head, "content-length").and_then(|length| length.parse::<usize>().ok());
    let end = start + length?;
    serde_json::from_slice(answer.get(start..end)?).ok()
}

/// Sends a few bytes and reads until the node closes the connection.
pub(super) fn words(address: SocketAddr, words: &str) -> Option<String> {
    let mut stream = connect(address).ok()?;
    stream.write_all(words.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Sends packets, and reads until `enough` of the answer has come.
pub(super) fn packets(
    address: SocketAddr,
    packets: &[BytesMut],
    mut enough: impl FnMut(&mut BytesMut) -> io::Result<bool>,
) -> io::Result<()> {
    let mut stream = connect(address)?;
    let mut input = BytesMut::new();
    for packet in packets {
        stream.write_all(packet)?;
        while !enough(&mut input)? {
            more(&mut stream, &mut input)?;
        }
    }
    Ok(())
}

/// A request over NATS, and the JSON that it is answered.
pub(super) fn nats(address: SocketAddr, subject: &str, payload: &str) -> Option<Value> {
    let mut stream = connect(address).ok()?;
    let (talk, mut input, mut out) = (Talk::new(), BytesMut::new(), BytesMut::new());
    out.extend_from_slice(talk.hello().as_bytes());
    talk.publish(1, subject, payload, &mut out);
    stream.write_all(&out).ok()?;
    out.clear();
    loop {
        if let Some((_, answer)) = talk.next(&mut input, &mut out).ok()? {
            return serde_json::from_slice(&answer).ok();
        }
        stream.write_all(&out).ok()?;
        out.clear();
        more(&mut stream, &mut input).ok()?;
    }
}

/// The first line that a node says by itself.
pub(super) fn greeting(address: SocketAddr) -> Option<String> {
    let mut stream = connect(address).ok()?;
    let mut input = BytesMut::new();
    while !input.contains(&b'\n') {
        more(&mut stream, &mut input).ok()?;
    }
    Some(String::from_utf8_lossy(&input).lines().next()?.to_owned())
}

fn more(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<()> {
    let mut part = [0; 4096];
    match stream.read(&mut part)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => {
            input.extend_from_slice(&part[..length]);
            Ok(())
        }
    }
}
