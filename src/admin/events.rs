//! What happens at the node, as server-sent events.
//!
//! Commits come in slot order without a hole, whatever the pace of the reader: live while it keeps up, from
//! the log where it does not, and from the log behind `Last-Event-ID` when it comes back. Everything else is
//! news: who reads too slowly is told how much of it was lost.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use crate::admin::api::{
    CommitEvent, LogEntry, MessageEvent, MissedEvent, PeerEvent, QuorumEvent, RoundEvent, SCHEMA,
    StartEvent,
};
use crate::admin::problem::Problem;
use crate::admin::shared::{Shared, Whole};
use crate::runtime::{Notice, Stopped, Subscription};
use crate::types::Slot;

/// How long nothing may be said before a comment shows that the connection lives: shorter than the
/// patience of common proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Entries read from the log at once for a reader that is behind.
const PAGE: usize = 256;

/// Where the stream begins.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// The first slot whose commit is wanted; the next one if none.
    from: Option<Whole>,
}

pub(super) async fn events(
    State(shared): State<Shared>,
    query: Result<Query<EventsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|rejection| {
        Problem::query(&rejection, "from is a whole number; nothing else can be asked here")
    })?;
    let permit = shared.stream()?;
    // Before the log is looked at: what is committed in between is heard of.
    let news = shared.handle.subscribe();
    let committed = shared.handle.committed_through().slot;
    let from = match resumed(&headers)? {
        Some(last) => last.next(),
        None => query.from.map_or(committed.next(), |from| Slot(from.0.max(1))),
    };
    let start = StartEvent { schema: SCHEMA, node: shared.handle.id(), committed, from };
    let reader = Reader {
        news,
        next: from,
        is_behind: from <= committed,
        ready: VecDeque::from([event("start", &start)]),
        shared,
        _permit: permit,
    };
    let events = stream::unfold(reader, async |mut reader| {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

/// The slot of the last commit that a returning reader has seen.
fn resumed(headers: &HeaderMap) -> Result<Option<Slot>, Problem> {
    let Some(last) = headers.get("last-event-id") else { return Ok(None) };
    let slot = last.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    let slot = slot.and_then(|slot| Whole::try_from(slot).ok());
    slot.map(|slot| Some(Slot(slot.0))).ok_or_else(|| {
        Problem::bad_request(
            "the header last-event-id is not a slot",
            "send back the id of the last commit event, or leave the header away",
        )
    })
}

/// One reader of the stream.
struct Reader {
    shared: Shared,
    /// Bounded: the oldest news are dropped for a reader that is too slow.
    news: Subscription,
    /// The slot of the next commit to be told.
    next: Slot,
    /// Whether that commit is to be read from the log.
    is_behind: bool,
    /// To be sent before anything else: at most one page.
    ready: VecDeque<Event>,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// The next event; none when the server or the node stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let stop = self.shared.stop.clone();
            let more = async {
                if self.is_behind {
                    return self.read_on().await.ok();
                }
                let notice = self.news.next().await?;
                let event = self.told(notice);
                self.ready.extend(event);
                Some(())
            };
            tokio::select! {
                more = more => more?,
                () = stop.cancelled() => return None,
            }
        }
    }

    async fn read_on(&mut self) -> Result<(), Stopped> {
        let entries = self.shared.handle.committed(self.next, PAGE).await?;
        self.is_behind = !entries.is_empty();
        for entry in &entries {
            self.next = entry.slot().next();
            self.ready.push_back(commit(&CommitEvent::from(LogEntry::from(entry))));
        }
        Ok(())
    }

    /// How a notice is told, if it is news to this reader.
    fn told(&mut self, notice: Notice) -> Option<Event> {
        match notice {
            Notice::Committed(done) => {
                let slot = done.entry.slot();
                self.is_behind |= slot > self.next;
                if slot != self.next {
                    return None;
                }
                self.next = slot.next();
                Some(commit(&CommitEvent::from(&*done)))
            }
            Notice::Missed(notices) => {
                self.is_behind = true;
                Some(event("missed", &MissedEvent { notices }))
            }
            Notice::Peer(peer) => Some(event("peer", &PeerEvent::from(peer))),
            Notice::Quorum { heard, needed } => {
                Some(event("quorum", &QuorumEvent { heard, needed, is_heard: heard >= needed }))
            }
            Notice::Round { round, proposer, led } => {
                Some(event("round", &RoundEvent { round, proposer, led }))
            }
            Notice::Epoch(config) => Some(event("epoch", &config)),
            Notice::Received { id, from, text } => {
                Some(event("message", &MessageEvent { id, from, text: text.to_string() }))
            }
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).json_data(data).expect("events are plain structs")
}

/// Only commits carry an id: who comes back goes on behind the last one.
fn commit(commit: &CommitEvent) -> Event {
    event("commit", commit).id(commit.entry.slot.to_string())
}
