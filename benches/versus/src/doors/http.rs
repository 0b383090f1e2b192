//! The HTTP interface of this program: a connection per client, kept from one proposal to the next.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Trouble, field, garbled, head_of};

/// Connections to one node that nobody uses right now; as many are opened as there are clients.
pub(crate) struct Pool {
    address: SocketAddr,
    idle: RefCell<Vec<TcpStream>>,
}

impl Pool {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let first = connect(address).await?;
        Ok(Self { address, idle: RefCell::new(vec![first]) })
    }

    pub(crate) async fn write(&self, value: &str) -> Result<(), Trouble> {
        let idle = self.idle.borrow_mut().pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => connect(self.address).await?,
        };
        let proposal = format!("{{\"value\":\"{value}\"}}");
        let request = format!(
            "POST /v1/proposals HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{proposal}",
            self.address,
            proposal.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut input = BytesMut::with_capacity(1024);
        let verdict = loop {
            if stream.read_buf(&mut input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if let Some(body) = body(&input)? {
                break verdict(body);
            }
        };
        self.idle.borrow_mut().push(stream);
        verdict
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The body of the answer, once all of it is there.
fn body(input: &[u8]) -> io::Result<Option<&[u8]>> {
    let Some((head, start)) = head_of(input) else { return Ok(None) };
    let length = field(head, "content-length").and_then(|length| length.parse::<usize>().ok());
    let length = length.ok_or_else(|| garbled("an answer without a length"))?;
    Ok(input[start..].get(..length))
}

#[derive(Deserialize)]
struct Answer<'a> {
    outcome: Option<&'a str>,
}

fn verdict(body: &[u8]) -> Result<(), Trouble> {
    match serde_json::from_slice(body) {
        Ok(Answer { outcome: Some("committed" | "duplicate") }) => Ok(()),
        _ => Err(Trouble::Refused(String::from_utf8_lossy(body).into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_taken_when_it_is_whole() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
        for end in 0..answer.len() {
            assert_eq!(body(&answer[..end]).unwrap(), None);
        }
        assert_eq!(body(answer).unwrap(), Some(&b"body"[..]));
        assert!(body(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn only_a_commit_is_an_acknowledgement() {
        assert!(verdict(br#"{"schema":1,"outcome":"committed","slot":9}"#).is_ok());
        for other in [&br#"{"outcome":"unknown"}"#[..], br#"{"error":{"code":"busy"}}"#, b""] {
            assert!(verdict(other).is_err());
        }
    }
}
