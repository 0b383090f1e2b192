//! What the tasks of one transport share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits;
use crate::transport::connection::Connection;
use crate::transport::handshake::Local;
use crate::transport::incoming::Incoming;
use crate::transport::known::Known;
use crate::transport::link::Link;
use crate::transport::notices::Notices;
use crate::transport::obstacles::Obstacles;
use crate::types::NodeId;
use crate::wire::{Hello, Side};

/// Shared by all tasks.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) local: Local,
    pub(crate) handshake_deadline: Duration,
    pub(crate) link_silence_max: Duration,
    /// How long to wait between dials; may change while dialers run.
    pub(crate) redial: watch::Sender<Redial>,
    pub(crate) seed: u64,
    /// The links that are up. Only the keeper writes; whoever sends looks a link up and lets go.
    pub(crate) links: Mutex<BTreeMap<NodeId, Arc<Link>>>,
    /// Whom links lead to, for dialers that wait for the end of one.
    pub(crate) linked: watch::Sender<BTreeSet<NodeId>>,
    /// Who is believed; members always find a place, see [`limits::LINKS_TO_STRANGERS_MAX`].
    pub(crate) known: Arc<Known>,
    /// What the owner is told. Bounded by the owner; a full one stops the reading of sockets.
    pub(crate) inbox: mpsc::Sender<Incoming>,
    /// What the keeper is asked. As many wait as there are handshakes and links.
    pub(crate) keeper: mpsc::Sender<Request>,
    /// Dials ever made.
    pub(crate) dials: AtomicU64,
    /// Connections that were refused here or by the other side, or spoke no protocol of ours.
    pub(crate) refused: AtomicU64,
    /// Silent strangers that made room for newer ones.
    pub(crate) evicted: AtomicU64,
    pub(crate) notices: Arc<Notices>,
    pub(crate) obstacles: Obstacles,
    /// No new links, no more incoming messages.
    pub(crate) closing: CancellationToken,
    /// Everything ends now.
    pub(crate) abort: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Shared {
    /// Tells the owner. Nobody listens any more when all ends.
    pub(crate) async fn tell(&self, incoming: Incoming) {
        tokio::select! {
            () = self.abort.cancelled() => {}
            _ = self.inbox.send(incoming) => {}
        }
    }
}

/// The waits between two dials of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Redial {
    /// The shortest.
    pub(crate) min: Duration,
    /// The longest.
    pub(crate) max: Duration,
}

/// What the keeper is asked.
#[derive(Debug)]
pub(crate) enum Request {
    /// A connection whose other side has proven who it is.
    Offer(Box<Offer>),
    /// Both tasks of this link have ended.
    Ended(Arc<Link>),
}

/// A connection that could become the link to its peer.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) hello: Hello,
    /// Which end of it this node is.
    pub(crate) side: Side,
    pub(crate) dial: u64,
    pub(crate) connection: Connection,
    /// The frame that must leave first, if any.
    pub(crate) first: Option<bytes::Bytes>,
    pub(crate) verdict: tokio::sync::oneshot::Sender<Verdict>,
}

/// What becomes of an offer.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is the link.
    Kept,
    /// There is a better one, or this node is closing.
    Unneeded(Connection),
    /// Another process runs under the peer's identity; that one keeps its link.
    Duplicate(Connection, u64),
    /// There are as many links as can be.
    Full(Connection),
}

/// What a peer is told that finds no place.
pub(crate) fn no_place() -> String {
    format!(
        "{} nodes that are no members are linked, the most that can be; a member finds a place: see what \
         these nodes are, and which cluster this one belongs to",
        limits::LINKS_TO_STRANGERS_MAX
    )
}
