//! What each path of the HTTP interface does.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::admin::api::{
    LogEntry, LogResponse, MessageRequest, MessageResponse, PeersResponse, ProposeOutcome,
    ProposeRequest, ProposeResponse, SCHEMA, StatusResponse,
};
use crate::admin::events::events;
use crate::admin::frames::frames;
use crate::admin::health::{live, ready};
use crate::admin::metrics::metrics;
use crate::admin::page::page;
use crate::admin::problem::Problem;
use crate::admin::requests::Requests;
use crate::admin::shared::{
    ANSWER_TIMEOUT, Shared, WAIT_MAX, Whole, check_host, check_token, count,
};
use crate::config::parse_duration;
use crate::consensus::Entry;
use crate::limits;
use crate::runtime::{Handle, Outcome, Rejection};
use crate::types::{NodeId, ProposalId, Slot, Value};

/// The longest body, in bytes: JSON may write one byte of a value as six.
const BODY_BYTES_MAX: usize = 6 * limits::VALUE_BYTES_MAX + 4 * 1024;

/// How long a client may take for the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Entries in one answer, unless fewer are asked for.
const LOG_LIMIT: usize = 1_000;

/// One thing that can be asked.
struct Route {
    method: Method,
    /// With the parameters in braces.
    path: &'static str,
    /// What answers.
    answer: fn() -> MethodRouter<Shared>,
}

/// All that can be asked.
const ROUTES: [Route; 12] = [
    Route { method: Method::GET, path: "/", answer: || get(page) },
    Route { method: Method::POST, path: "/v1/proposals", answer: || post(propose) },
    Route { method: Method::GET, path: "/v1/log", answer: || get(log) },
    Route { method: Method::GET, path: "/v1/log/{slot}", answer: || get(log_entry) },
    Route { method: Method::GET, path: "/v1/status", answer: || get(status) },
    Route { method: Method::GET, path: "/v1/peers", answer: || get(peers) },
    Route { method: Method::POST, path: "/v1/messages", answer: || post(send) },
    Route { method: Method::GET, path: "/v1/events", answer: || get(events) },
    Route { method: Method::GET, path: "/v1/frames", answer: || get(frames) },
    Route { method: Method::GET, path: "/metrics", answer: || get(metrics) },
    Route { method: Method::GET, path: "/livez", answer: || get(live) },
    Route { method: Method::GET, path: "/readyz", answer: || get(ready) },
];

/// Every method and path that the interface answers, parameters in braces.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().map(|route| (route.method.as_str(), route.path))
}

/// The counters of all of them.
pub(super) fn requests() -> Requests {
    Requests::new(ROUTES.iter().map(|route| (route.method.clone(), route.path)))
}

/// What serves all of them.
pub(super) fn router(shared: Shared) -> Router {
    ROUTES
        .iter()
        .fold(Router::new(), |router, route| router.route(route.path, (route.answer)()))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(shared.clone(), check_token))
        .layer(middleware::from_fn_with_state(shared.clone(), check_host))
        .layer(middleware::from_fn_with_state(shared.clone(), count))
        .with_state(shared)
}

async fn propose(
    State(shared): State<Shared>,
    Sent(request): Sent<ProposeRequest>,
) -> Result<Response, Problem> {
    let timeout = match &request.timeout {
        Some(text) => timeout(text)?,
        None => Handle::PROPOSE_TIMEOUT,
    };
    let value = Value::new(request.value)?;
    if request.until.is_some_and(|until| until.0 > limits::INTEGER_MAX) {
        return Err(Problem::bad_request(
            "until is beyond 2^53 − 1, and no slot is",
            "leave it away to set no bound",
        ));
    }
    let id = request.request_id.unwrap_or_else(|| ProposalId::from(Uuid::new_v4()));
    let outcome = if request.wait {
        shared.handle.propose_as(id, value, request.until, timeout).await
    } else {
        shared.handle.submit(id, value, request.until).await
    };
    let status = match &outcome {
        Outcome::Committed(_) | Outcome::Duplicate { .. } => StatusCode::OK,
        Outcome::Rejected(Rejection::Expired) => StatusCode::CONFLICT,
        Outcome::Rejected(Rejection::Busy | Rejection::NotFormed | Rejection::Stopped) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Outcome::Unknown => StatusCode::ACCEPTED,
    };
    let outcome = match (&outcome, request.wait) {
        (Outcome::Unknown, false) => ProposeOutcome::Pending,
        _ => ProposeOutcome::from(&outcome),
    };
    let response = ProposeResponse { schema: SCHEMA, request_id: id, outcome };
    Ok((status, Json(response)).into_response())
}

/// What to show of the log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogQuery {
    /// The first slot.
    #[serde(default = "first")]
    from: Whole,
    /// How many entries at most; without end when following, if none.
    limit: Option<Whole>,
    /// Whether to go on as entries are committed, one JSON object per line.
    #[serde(default)]
    follow: bool,
    /// Whether to ask a quorum what is newest.
    #[serde(default)]
    read: ReadMode,
}

fn first() -> Whole {
    Whole(1)
}

/// How new an answer must be.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReadMode {
    /// What this node knows.
    #[default]
    Local,
    /// At least all that was committed anywhere before the request.
    Linearizable,
}

impl ReadMode {
    async fn pass(self, handle: &Handle) -> Result<(), Problem> {
        if matches!(self, Self::Linearizable) {
            handle.read(ANSWER_TIMEOUT).await?;
        }
        Ok(())
    }
}

async fn log(
    State(shared): State<Shared>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|rejection| {
        let hint = "from and limit are whole numbers, follow is true or false, read is local or linearizable; \
                    nothing else can be asked here";
        Problem::query(&rejection, hint)
    })?;
    query.read.pass(&shared.handle).await?;
    let from = Slot(query.from.0.max(1));
    let limit = query.limit.map(|limit| usize::try_from(limit.0).unwrap_or(usize::MAX));
    if query.follow {
        let permit = shared.stream()?;
        return Ok(follow(shared, from, limit, permit));
    }
    let limit = limit.unwrap_or(LOG_LIMIT).min(LOG_LIMIT);
    let entries = shared.in_time(shared.handle.committed(from, limit)).await??;
    let response = LogResponse {
        schema: SCHEMA,
        committed: shared.handle.committed_through(),
        next: entries.last().map_or(from, |entry| entry.slot().next()),
        entries: entries.iter().map(LogEntry::from).collect(),
    };
    Ok(Json(response).into_response())
}

/// Entries from the log, and as they are committed, until the client, the server or the node ends it.
/// It reads no faster than the client does.
fn follow(
    shared: Shared,
    from: Slot,
    limit: Option<usize>,
    permit: OwnedSemaphorePermit,
) -> Response {
    let lines =
        stream::unfold((shared, from, limit, permit), async |(shared, from, left, permit)| {
            if left == Some(0) {
                return None;
            }
            let more = async {
                shared.handle.wait_committed(from).await?;
                shared.handle.committed(from, left.unwrap_or(LOG_LIMIT).min(LOG_LIMIT)).await
            };
            let entries = tokio::select! {
                entries = more => entries.ok()?,
                () = shared.stop.cancelled() => return None,
            };
            let next = entries.last()?.slot().next();
            let left = left.map(|left| left.saturating_sub(entries.len()));
            Some((lines(&entries), (shared, next, left, permit)))
        });
    let body = Body::from_stream(lines);
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

fn lines(entries: &[Entry]) -> Result<Bytes, serde_json::Error> {
    let mut bytes = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut bytes, &LogEntry::from(entry))?;
        bytes.push(b'\n');
    }
    Ok(bytes.into())
}

/// How new an answer about one slot must be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryQuery {
    #[serde(default)]
    read: ReadMode,
}

async fn log_entry(
    State(shared): State<Shared>,
    slot: Result<Path<Whole>, PathRejection>,
    query: Result<Query<EntryQuery>, QueryRejection>,
) -> Result<Json<LogEntry>, Problem> {
    let slot = Slot(slot?.0.0);
    let Query(query) = query.map_err(|rejection| {
        let hint = "read is local or linearizable; nothing else can be asked here";
        Problem::query(&rejection, hint)
    })?;
    query.read.pass(&shared.handle).await?;
    let entries = shared.in_time(shared.handle.committed(slot, 1)).await??;
    match entries.first() {
        Some(entry) if entry.slot() == slot => Ok(Json(LogEntry::from(entry))),
        _ => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_slot",
            format!(
                "slot {slot} is not committed here; the log goes from 1 to {}",
                shared.handle.committed_through().slot
            ),
            "wait for it with /v1/log?follow=true, or ask with read=linearizable",
        )),
    }
}

async fn status(State(shared): State<Shared>) -> Result<Json<StatusResponse>, Problem> {
    Ok(Json(StatusResponse::from(&shared.in_time(shared.handle.status()).await??)))
}

async fn peers(State(shared): State<Shared>) -> Result<Json<PeersResponse>, Problem> {
    Ok(Json(PeersResponse::from(&shared.in_time(shared.handle.status()).await??)))
}

async fn send(
    State(shared): State<Shared>,
    Sent(request): Sent<MessageRequest>,
) -> Result<Json<MessageResponse>, Problem> {
    let delivery = match &request.to {
        None => shared.handle.broadcast(&request.text).await?,
        Some(to) => {
            let to = named(&shared, to).await?;
            shared.handle.send(to, &request.text).await?
        }
    };
    Ok(Json(MessageResponse::from(delivery)))
}

/// The peer with this id or, if it is the only one, this name.
async fn named(shared: &Shared, who: &str) -> Result<NodeId, Problem> {
    let status = shared.in_time(shared.handle.status()).await??;
    let id: Option<NodeId> = who.parse().ok();
    let is_called =
        |known: NodeId, name: &str| id.map_or(name == who && !name.is_empty(), |id| known == id);
    let peers = status.engine.peers.iter();
    let mut called = peers.filter(|peer| is_called(peer.id, &peer.name));
    match (called.next(), called.next()) {
        (Some(peer), None) => Ok(peer.id),
        (None, _) => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_peer",
            if is_called(status.id, &status.name) {
                format!("{who} is this node itself, and a message goes to another one")
            } else {
                format!("no peer is called {who:?}")
            },
            "see /v1/peers for ids and names",
        )),
        (Some(_), Some(_)) => Err(Problem::new(
            StatusCode::CONFLICT,
            "ambiguous_peer",
            format!("more than one peer is called {who:?}"),
            "give its id instead; see /v1/peers",
        )),
    }
}

async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_path",
        format!("there is nothing at {}", uri.path()),
        "the paths are / and /v1/status, /v1/peers, /v1/log, /v1/proposals, /v1/messages, /v1/events, \
         /v1/frames, /metrics, /livez, /readyz",
    )
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "no_such_method",
        format!("{method} is not for {}", uri.path()),
        "proposals and messages are posted, everything else is got",
    )
}

/// How long a client wants to wait.
fn timeout(text: &str) -> Result<Duration, Problem> {
    let hint = "write a whole number and a unit: 500ms, 10s, 2m";
    let timeout = parse_duration(text).map_err(|what| Problem::bad_request(what, hint))?;
    if timeout > WAIT_MAX {
        return Err(Problem::bad_request(
            format!("the timeout {text} is longer than {}s", WAIT_MAX.as_secs()),
            "wait less, and ask again under the same request_id",
        ));
    }
    Ok(timeout)
}

/// A JSON body, received in time.
struct Sent<T>(T);

impl<T: DeserializeOwned> FromRequest<Shared> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, Problem> {
        // One that says beforehand that it is too long is not waited for.
        if request.body().size_hint().lower() > BODY_BYTES_MAX as u64 {
            return Err(Problem::too_large(format!("the body has over {BODY_BYTES_MAX} bytes")));
        }
        let body = Json::<T>::from_request(request, shared);
        let body: Result<_, JsonRejection> =
            tokio::time::timeout(BODY_TIMEOUT, body).await.map_err(|_| {
                Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "too_slow",
                    "the body did not come in time",
                    "send the whole request at once",
                )
            })?;
        let Json(sent) = body?;
        Ok(Self(sent))
    }
}
