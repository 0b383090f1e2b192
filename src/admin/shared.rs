//! What the handlers share, and what stands before all of them: the right host, the right token.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::problem::Problem;
use crate::admin::requests::Requests;
use crate::admin::token::Token;
use crate::limits;
use crate::runtime::Handle;

/// How long what asks the disk or a quorum may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest wait for a decision that a client may ask for.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(300);

/// Streams served at once; what is left of the connections answers everything else.
const STREAMS_MAX: usize = 64;

/// What is answered without a token: whether the process lives and serves, for whoever restarts it.
/// The page itself says nothing before it shows the token.
const OPEN_PATHS: [&str; 3] = ["/", "/livez", "/readyz"];

/// A whole number that every JSON reader holds exactly: all that is asked for is within it.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Whole(pub(super) u64);

impl TryFrom<u64> for Whole {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if number <= limits::INTEGER_MAX {
            Ok(Self(number))
        } else {
            Err("a number beyond 2^53 − 1")
        }
    }
}

/// What the handlers share: cloned several times for each request.
#[derive(Clone)]
pub(super) struct Shared(Arc<Parts>);

pub(super) struct Parts {
    pub(super) handle: Handle,
    /// Ends open streams.
    pub(super) stop: CancellationToken,
    /// Ends at once what is served still.
    pub(super) cut: CancellationToken,
    /// Connections that no longer speak HTTP.
    pub(super) upgraded: TaskTracker,
    pub(super) requests: Requests,
    /// Where the server listens.
    address: SocketAddr,
    token: Option<Token>,
    streams: Arc<Semaphore>,
}

impl Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Shared {
    pub(super) fn new(
        handle: Handle,
        address: SocketAddr,
        token: Option<Token>,
        requests: Requests,
        stop: CancellationToken,
    ) -> Self {
        let (cut, upgraded) = (CancellationToken::new(), TaskTracker::new());
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        Self(Arc::new(Parts { handle, stop, cut, upgraded, requests, address, token, streams }))
    }

    /// The right to serve one more stream, for as long as it is held.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.streams.clone().try_acquire_owned().map_err(|_| {
            Problem::unavailable(
                "too_many_streams",
                format!("{STREAMS_MAX} streams are open, the most that can be"),
                "close one of them, or ask another node",
            )
        })
    }

    /// What `answer` brings, unless it takes too long.
    pub(super) async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, Problem> {
        tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(|_| {
            Problem::unavailable(
                "timeout",
                format!("the node did not answer within {ANSWER_TIMEOUT:?}"),
                "its disk or its processor is overloaded: see /readyz?verbose, and try again later",
            )
        })
    }
}

/// Every answer is counted, refusals included.
pub(super) async fn count(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    shared.requests.answered(&method, uri.path(), response.status().as_u16());
    response
}

/// A web page that a browser on this machine shows may send requests here under its own host's name;
/// on a loopback address only local names are answered.
pub(super) async fn check_host(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok());
    if shared.address.ip().is_loopback()
        && !authority.is_some_and(|authority| is_local(authority.host()))
    {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "wrong_host",
            format!("the host {:?} is not this machine", host.unwrap_or_default()),
            "ask localhost or 127.0.0.1; a proxy before the node must send it host: localhost",
        ));
    }
    Ok(next.run(request).await)
}

/// `localhost`, or a loopback address, IPv6 ones in brackets.
fn is_local(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Who asks at a path that is open to all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// It showed the token, or none is wanted.
    Known,
    /// It did not.
    Unknown,
}

impl FromRequestParts<Shared> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut request::Parts,
        shared: &Shared,
    ) -> Result<Self, Infallible> {
        let shown = parts.headers.get(header::AUTHORIZATION);
        let is_known = shared
            .token
            .as_ref()
            .is_none_or(|token| shown.is_some_and(|shown| token.is_shown_by(shown.as_bytes())));
        Ok(if is_known { Self::Known } else { Self::Unknown })
    }
}

/// Where a token is wanted it is shown with every request, but for [`OPEN_PATHS`].
pub(super) async fn check_token(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION);
    let is_open = OPEN_PATHS.contains(&request.uri().path());
    let message = match (&shared.token, shown) {
        (None, _) => return next.run(request).await,
        (Some(_), _) if is_open => return next.run(request).await,
        (Some(token), Some(shown)) if token.is_shown_by(shown.as_bytes()) => {
            return next.run(request).await;
        }
        (Some(_), Some(_)) => "the token shown is not this node's",
        (Some(_), None) => "this node wants a token",
    };
    let problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "no_token",
        message,
        "send the header authorization: Bearer TOKEN; the token stands in the file that admin_token_file names",
    );
    let mut response = problem.into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}
