//! The frames of this program for clients: an HTTP connection that is upgraded, then a length and a JSON object
//! each way. All proposals that wait leave in one frame.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, BytesMut};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::pipeline::{Codec, Verdict};
use super::{drawn, garbled, head_of};

/// A frame is not longer than this, either way.
const FRAME_BYTES_MAX: usize = 8 << 20;

/// What is put into one frame, beyond a first proposal.
const IN_A_FRAME_MAX: usize = 1 << 20;

/// The proposals of one connection.
pub(crate) struct Frames {
    /// Half of every id here: the other half is counted.
    drawn: u64,
    frames: u64,
    /// Proposals that wait for the next frame, with commas between them.
    waiting: String,
    in_frame: usize,
}

impl Frames {
    fn new(drawn: u64) -> Self {
        Self { drawn, frames: 0, waiting: String::new(), in_frame: 0 }
    }
}

/// An id of version 8: bits of one's own choice.
fn id(high: u64, low: u64) -> String {
    let high = high & !0xf000 | 0x8000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
}

/// Ids of frames and of proposals never meet: this bit is set in the former.
const OF_A_FRAME: u64 = 1 << 61;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    payload: Payload<'a>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow, default)]
    outcome: Vec<Outcome<'a>>,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    id: &'a str,
    outcome: &'a str,
    #[serde(default)]
    why: Option<std::borrow::Cow<'a, str>>,
}

impl Codec for Frames {
    async fn greet(stream: &mut TcpStream, address: SocketAddr) -> io::Result<Self> {
        let request = format!(
            "GET /v1/frames HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: quorate/1\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut input = BytesMut::new();
        loop {
            if let Some((head, end)) = head_of(&input) {
                let line = head.lines().next().unwrap_or_default();
                // The server speaks when it is spoken to.
                let alone = input.len() == end;
                return if line.starts_with("HTTP/1.1 101 ") && alone {
                    Ok(Self::new(drawn()))
                } else {
                    Err(io::Error::new(io::ErrorKind::Unsupported, line))
                };
            }
            if stream.read_buf(&mut input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn request(&mut self, ticket: u32, _client: usize, value: &str, out: &mut BytesMut) {
        if self.in_frame > 0 && self.waiting.len() + value.len() > IN_A_FRAME_MAX {
            self.seal(out);
        }
        let comma = if self.in_frame == 0 { "" } else { "," };
        let id = id(self.drawn, ticket.into());
        write!(self.waiting, "{comma}{{\"id\":\"{id}\",\"value\":\"{value}\"}}").expect("it grows");
        self.in_frame += 1;
    }

    fn seal(&mut self, out: &mut BytesMut) {
        if self.in_frame == 0 {
            return;
        }
        self.frames += 1;
        let frame = id(self.drawn, OF_A_FRAME | self.frames);
        let from = id(self.drawn, OF_A_FRAME);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let start = out.len();
        out.put_u32(0);
        write!(
            out,
            "{{\"id\":\"{frame}\",\"from\":\"{from}\",\"to\":null,\"message_type\":\"Consensus\",\
             \"payload\":{{\"submit\":[{}]}},\"timestamp\":{now}}}",
            self.waiting
        )
        .expect("it grows");
        let length = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        self.waiting.clear();
        self.in_frame = 0;
    }

    fn answers(
        &mut self,
        input: &mut BytesMut,
        _out: &mut BytesMut,
        each: &mut dyn FnMut(u32, Verdict),
    ) -> io::Result<()> {
        while let Some(length) = input.first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if length > FRAME_BYTES_MAX {
                return Err(garbled(format!("a frame of {length} bytes")));
            }
            if input.len() < 4 + length {
                break;
            }
            input.advance(4);
            let frame = input.split_to(length);
            let message: Message<'_> = serde_json::from_slice(&frame)?;
            for Outcome { id, outcome, why } in message.payload.outcome {
                let ticket = id.get(id.len().saturating_sub(8)..);
                let ticket = ticket.and_then(|ticket| u32::from_str_radix(ticket, 16).ok());
                let ticket = ticket.ok_or_else(|| garbled(format!("an outcome of {id:?}")))?;
                match outcome {
                    "committed" | "duplicate" => each(ticket, Ok(())),
                    other => each(ticket, Err(format!("{other}: {}", why.unwrap_or_default()))),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_waits_leaves_in_one_frame() {
        let (mut frames, mut out) = (Frames::new(0x0123_4567_89ab_cdef), BytesMut::new());
        frames.seal(&mut out);
        assert!(out.is_empty(), "nothing waits");
        frames.request(1, 0, "blue", &mut out);
        frames.request(0xab, 1, "green", &mut out);
        assert!(out.is_empty());
        frames.seal(&mut out);
        assert_eq!(out.get_u32() as usize, out.len());
        let message: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let submit = &message["payload"]["submit"];
        assert_eq!(submit[0]["id"], "01234567-89ab-8def-8000-000000000001");
        assert_eq!(submit[1]["id"], "01234567-89ab-8def-8000-0000000000ab");
        assert_eq!(submit[1]["value"], "green");
        assert_eq!(message["message_type"], "Consensus");
        assert!(message["to"].is_null());
        assert_ne!(message["id"], message["from"]);
    }

    #[test]
    fn outcomes_are_taken_when_their_frame_is_whole() {
        let json = br#"{"id":"i","from":"f","to":"t","message_type":"Consensus","payload":{"outcome":[
            {"id":"01234567-89ab-8def-8000-0000000000ab","outcome":"committed","slot":2,"hash":"00"},
            {"id":"01234567-89ab-8def-8000-000000000001","outcome":"unknown"}]},"timestamp":1}"#;
        let mut wire = BytesMut::new();
        wire.put_u32(json.len() as u32);
        wire.put_slice(json);
        let (mut frames, mut input, mut seen) = (Frames::new(1), BytesMut::new(), Vec::new());
        for byte in wire {
            input.put_u8(byte);
            let mut each = |ticket, verdict: Verdict| seen.push((ticket, verdict.is_ok()));
            frames.answers(&mut input, &mut BytesMut::new(), &mut each).unwrap();
        }
        assert_eq!(seen, [(0xab, true), (1, false)]);
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        let mut input = BytesMut::from(&b"HTTP/1.1 400"[..]);
        let mut each = |_, _: Verdict| {};
        assert!(Frames::new(1).answers(&mut input, &mut BytesMut::new(), &mut each).is_err());
    }
}
