//! The text protocol of NATS: a publish names a subject for its answer, and JetStream answers there once the
//! stream has the message.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::pipeline::{Codec, Verdict};
use super::{drawn, garbled};

/// The stream that all clients write to, and where.
pub(crate) const STREAM: &str = "versus";

/// The first words of a client. Headers are how a server says that nobody listens to a subject.
const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";

/// A line, or a payload, that is longer than this is none of ours.
const BYTES_MAX: usize = 1 << 20;

/// A connection whose answers come to a subject of its own.
pub(crate) struct Talk {
    inbox: String,
}

impl Talk {
    pub(crate) fn new() -> Self {
        Self { inbox: format!("_INBOX.{:016x}.", drawn()) }
    }

    /// What opens the connection; the server's `INFO` has come or will.
    pub(crate) fn hello(&self) -> String {
        format!("{CONNECT}SUB {}* 1\r\nPING\r\n", self.inbox)
    }

    /// A message to any subject, with a ticket for its answer.
    pub(crate) fn publish(
        &self,
        ticket: u32,
        subject: impl std::fmt::Display,
        payload: &str,
        out: &mut BytesMut,
    ) {
        let inbox = &self.inbox;
        let length = payload.len();
        write!(out, "PUB {subject} {inbox}{ticket} {length}\r\n{payload}\r\n").expect("it grows");
    }

    /// The next message, once all of it is there; takes what else the server says on the way, and answers its
    /// `PING`.
    ///
    /// # Errors
    /// When this is not the protocol, or the server complains.
    pub(crate) fn next(
        &self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> io::Result<Option<(u32, BytesMut)>> {
        loop {
            let Some(end) = input.windows(2).position(|window| window == b"\r\n") else {
                return if input.len() > BYTES_MAX { Err(garbled("no line")) } else { Ok(None) };
            };
            let line = String::from_utf8_lossy(&input[..end]).into_owned();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("MSG" | "HMSG") => {}
                Some("PING") => out.put_slice(b"PONG\r\n"),
                Some("-ERR") => return Err(garbled(line)),
                Some("INFO" | "PONG" | "+OK") => {}
                _ => return Err(garbled(line)),
            }
            let is_message = line.starts_with("MSG") || line.starts_with("HMSG");
            if !is_message {
                input.advance(end + 2);
                continue;
            }
            let subject = words.next().unwrap_or_default();
            let length = words.next_back().and_then(|word| word.parse::<usize>().ok());
            let length = length.filter(|length| *length <= BYTES_MAX);
            let length = length.ok_or_else(|| garbled(line.clone()))?;
            if input.len() < end + 2 + length + 2 {
                return Ok(None);
            }
            let ticket = subject.strip_prefix(&self.inbox).and_then(|ticket| ticket.parse().ok());
            let ticket = ticket.ok_or_else(|| garbled(line.clone()))?;
            input.advance(end + 2);
            let payload = input.split_to(length);
            input.advance(2);
            return Ok(Some((ticket, payload)));
        }
    }
}

/// What JetStream says about a message: it has a place in the stream, or there is an error.
fn verdict(payload: &[u8]) -> Verdict {
    let said = || String::from_utf8_lossy(payload).trim().to_owned();
    match serde_json::from_slice::<Acknowledgement>(payload) {
        Ok(Acknowledgement { seq: Some(_), error: None }) => Ok(()),
        _ => Err(said()),
    }
}

#[derive(serde::Deserialize)]
struct Acknowledgement {
    seq: Option<u64>,
    error: Option<serde_json::Value>,
}

impl Codec for Talk {
    async fn greet(stream: &mut TcpStream, _address: SocketAddr) -> io::Result<Self> {
        let talk = Self::new();
        stream.write_all(talk.hello().as_bytes()).await?;
        let mut input = BytesMut::new();
        while !input.windows(6).any(|window| window == b"PONG\r\n") {
            if stream.read_buf(&mut input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(talk)
    }

    fn request(&mut self, ticket: u32, client: usize, value: &str, out: &mut BytesMut) {
        self.publish(ticket, format_args!("{STREAM}.{client}"), value, out);
    }

    fn answers(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
        each: &mut dyn FnMut(u32, Verdict),
    ) -> io::Result<()> {
        while let Some((ticket, payload)) = self.next(input, out)? {
            each(ticket, verdict(&payload));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_when_they_are_whole() {
        let mut talk = Talk { inbox: "_INBOX.x.".to_owned() };
        let ack = r#"{"stream":"versus","seq":9}"#;
        let error = r#"{"error":{"code":503}}"#;
        let nobody = "NATS/1.0 503\r\n\r\n";
        let wire = format!(
            "INFO {{}}\r\nMSG _INBOX.x.1 1 {}\r\n{ack}\r\nPING\r\nMSG _INBOX.x.2 1 {}\r\n{error}\r\n\
             HMSG _INBOX.x.3 1 {} {}\r\n{nobody}\r\n",
            ack.len(),
            error.len(),
            nobody.len(),
            nobody.len()
        );
        let (mut input, mut out, mut seen) = (BytesMut::new(), BytesMut::new(), Vec::new());
        for byte in wire.bytes() {
            input.put_u8(byte);
            let mut each = |ticket, verdict: Verdict| seen.push((ticket, verdict.is_ok()));
            talk.answers(&mut input, &mut out, &mut each).unwrap();
        }
        assert_eq!(seen, [(1, true), (2, false), (3, false)]);
        assert_eq!(out, "PONG\r\n");
        assert!(input.is_empty());
    }

    #[test]
    fn a_publish_says_where_the_answer_goes() {
        let mut out = BytesMut::new();
        Talk { inbox: "_INBOX.x.".to_owned() }.request(4, 2, "blue", &mut out);
        assert_eq!(out, "PUB versus.2 _INBOX.x.4 4\r\nblue\r\n");
    }

    #[test]
    fn what_is_not_the_protocol_is_an_error() {
        let talk = Talk::new();
        for wire in ["-ERR 'no'\r\n", "HTTP/1.1 400\r\n", "MSG other 1 0\r\n\r\n", "MSG\r\n"] {
            let mut input = BytesMut::from(wire);
            assert!(talk.next(&mut input, &mut BytesMut::new()).is_err(), "{wire}");
        }
    }
}
