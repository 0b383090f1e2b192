//! The cheapest client of the HTTP interface: one kept connection, one request at a time. It shares the
//! machine with what it measures, so it does no more than it must.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use quorate::admin::api::{ProposeOutcome, ProposeRequest, ProposeResponse};
use quorate::types::ProposalId;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a node may wait for a decision, and how long the client waits for the node.
const NODE_WAITS: &str = "5s";
const CLIENT_WAITS: Duration = Duration::from_secs(10);

/// A connection to one node.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { address, stream, buffer: Vec::with_capacity(4096) })
    }

    /// Proposes `value` and waits for what becomes of it.
    pub(crate) async fn propose(
        &mut self,
        id: ProposalId,
        value: String,
    ) -> io::Result<ProposeOutcome> {
        let request = ProposeRequest {
            value,
            request_id: Some(id),
            wait: true,
            timeout: Some(NODE_WAITS.to_owned()),
            until: None,
        };
        let body = serde_json::to_string(&request)?;
        let answer: ProposeResponse = self.post("/v1/proposals", &body).await?;
        Ok(answer.outcome)
    }

    /// Posts a JSON body and reads the answer.
    pub(crate) async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &str,
    ) -> io::Result<T> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.exchange(&request).await
    }

    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> io::Result<T> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        self.exchange(&request).await
    }

    async fn exchange<T: DeserializeOwned>(&mut self, request: &str) -> io::Result<T> {
        let exchange = async {
            self.stream.write_all(request.as_bytes()).await?;
            let body = self.answer().await?;
            Ok(serde_json::from_slice(body)?)
        };
        tokio::time::timeout(CLIENT_WAITS, exchange).await?
    }

    /// The body of the next answer.
    async fn answer(&mut self) -> io::Result<&[u8]> {
        self.buffer.clear();
        loop {
            if let Some((start, length)) = body_of(&self.buffer)?
                && self.buffer.len() >= start + length
            {
                return Ok(&self.buffer[start..start + length]);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Where the body starts and how long it is, once the head is there.
fn body_of(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok());
    length.map(|length| Some((end + 4, length))).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
