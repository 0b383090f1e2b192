//! ZooKeeper's binary protocol: every packet is a length and big-endian fields; answers come in the order of
//! the requests.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::garbled;
use super::pipeline::{Codec, Verdict};

const CREATE: i32 = 1;
const SET_DATA: i32 = 5;
/// To a znode of any version.
const ANY_VERSION: i32 = -1;
/// What a request is answered that is done, and one that asks for a znode that is there already.
const OK: i32 = 0;
const NODE_EXISTS: i32 = -110;
const SESSION_TIMEOUT_MILLIS: i32 = 10_000;
const PASSWORD_BYTES: usize = 16;
/// A packet of a write's answer has some hundred bytes.
const PACKET_BYTES_MAX: usize = 1 << 20;
/// Whom a packet without a ticket answers: pings and watches, of which there are none.
const TICKETS: std::ops::RangeInclusive<i32> = 1..=i32::MAX;

/// The znode of a client.
pub(crate) fn znode(client: usize) -> String {
    format!("/versus-{client}")
}

/// What opens a session.
pub(crate) fn hello() -> BytesMut {
    let mut packet = BytesMut::new();
    packet.put_i32(0); // protocol
    packet.put_i64(0); // last transaction seen
    packet.put_i32(SESSION_TIMEOUT_MILLIS);
    packet.put_i64(0); // session, a new one
    packet.put_i32(PASSWORD_BYTES as i32);
    packet.put_bytes(0, PASSWORD_BYTES);
    framed(&packet)
}

/// Makes a znode that anyone may write.
pub(crate) fn create(ticket: u32, client: usize) -> BytesMut {
    let mut packet = BytesMut::new();
    packet.put_i32(ticket as i32);
    packet.put_i32(CREATE);
    put_bytes(&mut packet, znode(client).as_bytes());
    put_bytes(&mut packet, b"");
    packet.put_i32(1); // permissions, one: all, to the world
    packet.put_i32(31);
    put_bytes(&mut packet, b"world");
    put_bytes(&mut packet, b"anyone");
    packet.put_i32(0); // it stays
    framed(&packet)
}

fn framed(packet: &[u8]) -> BytesMut {
    let mut out = BytesMut::with_capacity(4 + packet.len());
    put_bytes(&mut out, packet);
    out
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

/// The next packet, once all of it is there.
///
/// # Errors
/// When its length cannot be.
pub(crate) fn packet(input: &mut BytesMut) -> io::Result<Option<BytesMut>> {
    let Some(length) = input.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > PACKET_BYTES_MAX {
        return Err(garbled(format!("a packet of {length} bytes")));
    }
    if input.len() < 4 + length {
        return Ok(None);
    }
    input.advance(4);
    Ok(Some(input.split_to(length)))
}

/// Whom a packet answers, and what.
///
/// # Errors
/// When it is too short.
pub(crate) fn answer(mut packet: &[u8]) -> io::Result<(i32, Verdict)> {
    let short = |_| garbled("a packet that is too short");
    let ticket = packet.try_get_i32().map_err(short)?;
    packet.try_get_i64().map_err(short)?;
    let verdict = match packet.try_get_i32().map_err(short)? {
        OK | NODE_EXISTS => Ok(()),
        code => Err(format!("error {code}")),
    };
    Ok((ticket, verdict))
}

/// A session.
pub(crate) struct Session;

impl Codec for Session {
    async fn greet(stream: &mut TcpStream, _address: SocketAddr) -> io::Result<Self> {
        stream.write_all(&hello()).await?;
        let mut input = BytesMut::new();
        loop {
            if let Some(mut packet) = packet(&mut input)? {
                // Protocol, the timeout that was agreed, the session: no timeout, no session.
                let agreed = packet.try_get_i64().map(|both| both as i32);
                let welcome = agreed.is_ok_and(|timeout| timeout > 0);
                return if welcome { Ok(Self) } else { Err(garbled("no session")) };
            }
            if stream.read_buf(&mut input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn request(&mut self, ticket: u32, client: usize, value: &str, out: &mut BytesMut) {
        let znode = znode(client);
        out.put_i32((8 + 4 + znode.len() + 4 + value.len() + 4) as i32);
        out.put_i32(ticket as i32);
        out.put_i32(SET_DATA);
        put_bytes(out, znode.as_bytes());
        put_bytes(out, value.as_bytes());
        out.put_i32(ANY_VERSION);
    }

    fn answers(
        &mut self,
        input: &mut BytesMut,
        _out: &mut BytesMut,
        each: &mut dyn FnMut(u32, Verdict),
    ) -> io::Result<()> {
        while let Some(packet) = packet(input)? {
            let (ticket, verdict) = answer(&packet)?;
            if TICKETS.contains(&ticket) {
                each(ticket as u32, verdict);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_has_the_length_that_it_says() {
        let mut out = BytesMut::new();
        Session.request(7, 12, "blue", &mut out);
        let packet = packet(&mut out).unwrap().unwrap();
        assert!(out.is_empty());
        assert_eq!(packet[..8], [0, 0, 0, 7, 0, 0, 0, 5]);
        assert_eq!(packet[8..12], 10_i32.to_be_bytes());
        assert_eq!(&packet[12..22], b"/versus-12");
        assert_eq!(&packet[26..30], b"blue");
        assert_eq!(packet[30..], (-1_i32).to_be_bytes());
    }

    #[test]
    fn answers_are_taken_when_they_are_whole() {
        let mut wire = BytesMut::new();
        for (ticket, code) in [(1, 0), (2, -101), (-2, 0)] {
            wire.put_i32(16);
            wire.put_i32(ticket);
            wire.put_i64(99);
            wire.put_i32(code);
        }
        let (mut input, mut seen) = (BytesMut::new(), Vec::new());
        for byte in wire {
            input.put_u8(byte);
            let mut each = |ticket, verdict: Verdict| seen.push((ticket, verdict.is_ok()));
            Session.answers(&mut input, &mut BytesMut::new(), &mut each).unwrap();
        }
        assert_eq!(seen, [(1, true), (2, false)]);
    }

    #[test]
    fn what_is_no_packet_is_an_error() {
        assert!(packet(&mut BytesMut::from(&b"HTTP/1.1"[..])).is_err());
        assert!(answer(&[0, 0, 0, 1]).is_err());
    }
}
