//! A small client of the HTTP interface, for the command line and for tests.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Parts;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::admin::api::{
    ErrorBody, ErrorResponse, HealthResponse, LogEntry, LogResponse, MessageRequest,
    MessageResponse, PeersResponse, ProposeRequest, ProposeResponse, StatusResponse,
};
use crate::admin::frames::{FrameClient, PROTOCOL};
use crate::admin::token::Token;
use crate::limits;
use crate::types::Slot;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a short answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest answer, and the longest line of a stream, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a request brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("no node answers at {address}: {why}; is it running, and is this its admin address?")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What happened instead.
        why: String,
    },
    /// The node says why not.
    #[error("{}; {}", error.message, error.hint)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        error: ErrorBody,
    },
    /// What answers is not a node of this version.
    #[error("{address} answered {what}: it is no node, or one of another version")]
    Strange {
        /// Where.
        address: SocketAddr,
        /// What came.
        what: String,
    },
}

/// A client of one node. Each request has a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    token: Option<Token>,
}

impl Client {
    /// A client of the node whose HTTP interface listens there.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, token: None }
    }

    /// The same, showing a token.
    #[must_use]
    pub fn with_token(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The same for another node, whose HTTP interface listens there.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// Where the node listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `POST /v1/proposals`; waits for the answer as long as the request lets the node wait.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn propose(
        &self,
        request: &ProposeRequest,
        timeout: Duration,
    ) -> Result<ProposeResponse, ClientError> {
        let response = self.post("/v1/proposals", request, timeout + ANSWER_TIMEOUT).await?;
        // A proposal that was rejected is an answer, whatever the status says to machines.
        let (status, bytes) = self.collect(response).await?;
        serde_json::from_slice(&bytes).map_err(|_| self.refusal(status, &bytes))
    }

    /// `GET /v1/status`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<StatusResponse, ClientError> {
        self.answer(self.get("/v1/status").await?).await
    }

    /// `GET /livez`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn live(&self) -> Result<HealthResponse, ClientError> {
        self.answer(self.get("/livez").await?).await
    }

    /// `GET /v1/peers`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn peers(&self) -> Result<PeersResponse, ClientError> {
        self.answer(self.get("/v1/peers").await?).await
    }

    /// `GET /v1/log`; with `linearizable`, at least all that was committed anywhere before this request.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn log(
        &self,
        from: Slot,
        limit: usize,
        linearizable: bool,
    ) -> Result<LogResponse, ClientError> {
        let read = if linearizable { "linearizable" } else { "local" };
        let path = format!("/v1/log?from={from}&limit={limit}&read={read}");
        self.answer(self.get(&path).await?).await
    }

    /// `GET /v1/log?follow=true`: entries from `from`, and as they are committed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn follow(&self, from: Slot) -> Result<Following, ClientError> {
        let response = self.get(&format!("/v1/log?from={from}&follow=true")).await?;
        if response.status() != StatusCode::OK {
            let (status, bytes) = self.collect(response).await?;
            return Err(self.refusal(status, &bytes));
        }
        Ok(Following(Lines::new(self, response.into_body())))
    }

    /// `GET /v1/events`: what happens from now on, and commits from slot `from` on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(&self, from: Option<Slot>) -> Result<Happenings, ClientError> {
        let from = from.map_or_else(String::new, |from| format!("?from={from}"));
        let response = self.get(&format!("/v1/events{from}")).await?;
        if response.status() != StatusCode::OK {
            let (status, bytes) = self.collect(response).await?;
            return Err(self.refusal(status, &bytes));
        }
        Ok(Happenings(Lines::new(self, response.into_body())))
    }

    /// `POST /v1/messages`; waits for the answer as long as the node waits for those who should have it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send(&self, request: &MessageRequest) -> Result<MessageResponse, ClientError> {
        let timeout = limits::UNACKNOWLEDGED_AGE_MAX + ANSWER_TIMEOUT;
        self.answer(self.post("/v1/messages", request, timeout).await?).await
    }

    /// `GET /metrics`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let (status, bytes) = self.collect(self.get("/metrics").await?).await?;
        if !status.is_success() {
            return Err(self.refusal(status, &bytes));
        }
        String::from_utf8(bytes.into()).map_err(|error| self.strange(error))
    }

    /// `GET /v1/frames`: a connection that speaks frames.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn frames(&self) -> Result<FrameClient, ClientError> {
        let mut sender = self.connect().await?;
        let request = self
            .ask(Method::GET, "/v1/frames")
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, PROTOCOL)
            .body(Full::default())
            .expect("the path is written here");
        let response = self.in_time(ANSWER_TIMEOUT, sender.send_request(request)).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (status, bytes) = self.collect(response).await?;
            return Err(self.refusal(status, &bytes));
        }
        let upgraded = hyper::upgrade::on(response).await;
        let upgraded = upgraded.map_err(|error| self.unreachable(error))?;
        let Parts { io, read_buf, .. } =
            upgraded.downcast::<TokioIo<TcpStream>>().expect("what was connected here");
        FrameClient::over(io.into_inner(), &read_buf).map_err(|error| self.unreachable(error))
    }

    /// A connection that is kept for many proposals, one after the other.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn kept(&self) -> Result<Kept, ClientError> {
        let sender = self.connect().await?;
        Ok(Kept { client: self.clone(), sender })
    }

    /// Connects; the connection ends when the sender and all answers are dropped.
    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>, ClientError> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address))
            .await
            .map_err(|_| self.unreachable("it does not accept the connection"))?
            .map_err(|error| self.unreachable(error))?;
        stream.set_nodelay(true).map_err(|error| self.unreachable(error))?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| self.unreachable(error))?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    /// A request, but for what is said of the connection.
    fn ask(&self, method: Method, path: &str) -> axum::http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json");
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, token.header()),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Result<Response<Incoming>, ClientError> {
        self.request(Method::GET, path, Bytes::new(), ANSWER_TIMEOUT).await
    }

    async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
        timeout: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        let body = serde_json::to_vec(body).expect("requests are plain structs");
        self.request(Method::POST, path, body.into(), timeout).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut sender = self.connect().await?;
        let request = self
            .ask(method, path)
            .header(header::CONNECTION, "close")
            .body(Full::new(body))
            .expect("paths are written here, numbers included");
        self.in_time(timeout, sender.send_request(request)).await
    }

    async fn in_time<T>(
        &self,
        timeout: Duration,
        answer: impl Future<Output = hyper::Result<T>>,
    ) -> Result<T, ClientError> {
        tokio::time::timeout(timeout, answer)
            .await
            .map_err(|_| self.unreachable("it does not answer"))?
            .map_err(|error| self.unreachable(error))
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
    ) -> Result<T, ClientError> {
        let (status, bytes) = self.collect(response).await?;
        if !status.is_success() {
            return Err(self.refusal(status, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|error| self.strange(error))
    }

    async fn collect(
        &self,
        response: Response<Incoming>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        let body = tokio::time::timeout(ANSWER_TIMEOUT, body)
            .await
            .map_err(|_| self.unreachable("it stopped in the middle of its answer"))?
            .map_err(|error| match error.is::<LengthLimitError>() {
                true => self.strange("an endless answer"),
                false => self.unreachable(error),
            })?;
        Ok((status, body.to_bytes()))
    }

    fn unreachable(&self, why: impl ToString) -> ClientError {
        ClientError::Unreachable { address: self.address, why: why.to_string() }
    }

    fn strange(&self, what: impl ToString) -> ClientError {
        ClientError::Strange { address: self.address, what: what.to_string() }
    }

    fn refusal(&self, status: StatusCode, bytes: &[u8]) -> ClientError {
        match serde_json::from_slice(bytes) {
            Ok(ErrorResponse { error }) => ClientError::Refused { status: status.as_u16(), error },
            Err(_) => self.strange(format!("{status} without a reason")),
        }
    }
}

/// A kept connection. One proposal at a time.
#[derive(Debug)]
pub struct Kept {
    client: Client,
    sender: http1::SendRequest<Full<Bytes>>,
}

impl Kept {
    /// `POST /v1/proposals`; waits as long as the request lets the node wait.
    ///
    /// # Errors
    /// [`ClientError`]; the connection is of no use any more.
    pub async fn propose(
        &mut self,
        request: &ProposeRequest,
    ) -> Result<ProposeResponse, ClientError> {
        let Self { client, sender } = self;
        let body = serde_json::to_vec(request).expect("requests are plain structs");
        let request = client
            .ask(Method::POST, "/v1/proposals")
            .body(Full::new(body.into()))
            .expect("the path is written here");
        sender.ready().await.map_err(|error| client.unreachable(error))?;
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| client.unreachable(error))?;
        let (status, bytes) = client.collect(response).await?;
        serde_json::from_slice(&bytes).map_err(|_| client.refusal(status, &bytes))
    }
}

/// Entries as they come.
#[derive(Debug)]
pub struct Following(Lines);

impl Following {
    /// The next entry; none when the node ended the stream.
    ///
    /// # Errors
    /// [`ClientError`] if the stream broke.
    pub async fn next(&mut self) -> Result<Option<LogEntry>, ClientError> {
        let Self(lines) = self;
        let Some(line) = lines.next().await? else { return Ok(None) };
        serde_json::from_str(&line).map(Some).map_err(|error| lines.client.strange(error))
    }
}

/// Something that happened at the node.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// What kind of event it is.
    pub name: String,
    /// What it says.
    pub data: serde_json::Value,
}

/// Events as they come.
#[derive(Debug)]
pub struct Happenings(Lines);

impl Happenings {
    /// The next event; none when the node ended the stream.
    ///
    /// # Errors
    /// [`ClientError`] if the stream broke.
    pub async fn next(&mut self) -> Result<Option<Happening>, ClientError> {
        let Self(lines) = self;
        let (mut name, mut data) = (String::new(), String::new());
        while let Some(line) = lines.next().await? {
            // One `name: value` a line, a blank line behind each event; comments have no name.
            match line.split_once(':').map(|(name, value)| (name, value.trim_start())) {
                Some(("event", value)) => value.clone_into(&mut name),
                Some(("data", value)) => data.push_str(value),
                None if line.is_empty() && !data.is_empty() => {
                    let data = serde_json::from_str(&data);
                    let data = data.map_err(|error| lines.client.strange(error))?;
                    return Ok(Some(Happening { name, data }));
                }
                Some(_) | None => {}
            }
        }
        Ok(None)
    }
}

/// The lines of an answer that does not end.
#[derive(Debug)]
struct Lines {
    client: Client,
    body: Incoming,
    /// Bytes that came.
    received: Vec<u8>,
    /// How many of them are read.
    read: usize,
}

impl Lines {
    fn new(client: &Client, body: Incoming) -> Self {
        Self { client: client.clone(), body, received: Vec::new(), read: 0 }
    }

    async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            let unread = &self.received[self.read..];
            if let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8(unread[..end].to_vec());
                self.read += end + 1;
                return line.map(Some).map_err(|error| self.client.strange(error));
            }
            self.received.drain(..std::mem::take(&mut self.read));
            if self.received.len() > ANSWER_BYTES_MAX {
                return Err(self.client.strange("an endless line"));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.client.unreachable(error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.received.extend_from_slice(&bytes);
                    }
                }
            }
        }
    }
}
