//! The transport as its owner sees it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::config::Address;
use crate::limits;
use crate::transport::config::{StartError, TransportConfig};
use crate::transport::dialer;
use crate::transport::handshake::Local;
use crate::transport::identity::Identity;
use crate::transport::incoming::Incoming;
use crate::transport::keeper;
use crate::transport::link::{Link, LinkEnd};
use crate::transport::listener;
use crate::transport::obstacles::{Obstacle, Obstacles};
use crate::transport::outbox::NoRoom;
use crate::transport::shared::{Redial, Shared};
use crate::types::{MessageId, NodeId};
use crate::wire::{FrameError, Message, Payload, encode, is_presentable};

/// The links of one node. Dropping it ends everything at once; [`Transport::close`] is kinder.
#[derive(Debug)]
pub struct Transport {
    shared: Arc<Shared>,
    local_addr: SocketAddr,
    /// Ends the dialer of each listed address.
    dialers: Vec<(Address, CancellationToken)>,
    _abort: DropGuard,
}

/// A message that does not wait for everyone it was meant for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No link leads to the receiver.
    #[error("no link leads to {0}: it is off, or not yet found")]
    NotLinked(NodeId),
    /// These read too slowly; all others get it.
    #[error("no room in the queue of {} peer(s): send less, or later", .0.len())]
    Full(Vec<NodeId>),
    /// It fits in no frame.
    #[error(transparent)]
    TooLong(#[from] FrameError),
}

/// What went over the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportStatus {
    /// The links that are up, by peer.
    pub links: Vec<LinkStatus>,
    /// Connections that were refused, here or by the other side, or spoke another protocol.
    pub refused: u64,
    /// Silent strangers that made room for newer ones.
    pub evicted: u64,
    /// Addresses with which no link comes about.
    pub obstacles: Vec<Obstacle>,
}

/// What went over one link since it is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// Where it leads.
    pub peer: NodeId,
    /// The peer's name, for people.
    pub name: String,
    /// Where the peer can be dialled.
    pub address: String,
    /// Frames received.
    pub frames_in: u64,
    /// Bytes received, lengths included.
    pub bytes_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Bytes sent, lengths included.
    pub bytes_out: u64,
    /// Frames that found no room.
    pub dropped: u64,
    /// Messages of a kind that this version does not know.
    pub unknown: u64,
    /// Frames that wait for the peer to read.
    pub waiting_frames: usize,
    /// Bytes that wait for the peer to read.
    pub waiting_bytes: usize,
}

impl Transport {
    /// Listens, dials what is listed, and tells `inbox` what happens. The inbox's capacity bounds what
    /// is read ahead: each item holds at most what one frame, or one read of 64 KiB, brought.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(
        identity: Identity,
        config: TransportConfig,
        inbox: mpsc::Sender<Incoming>,
    ) -> Result<Self, StartError> {
        let listener = listener::listen(config.bind, config.port)?;
        Self::run_on(listener, identity, config, inbox)
    }

    /// Like [`Transport::start`], on a socket that listens already; the configured address is ignored.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start_on(
        listener: std::net::TcpListener,
        identity: Identity,
        config: TransportConfig,
        inbox: mpsc::Sender<Incoming>,
    ) -> Result<Self, StartError> {
        let address = SocketAddr::from(([0, 0, 0, 0], config.port));
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| TcpListener::from_std(listener))
            .map_err(|source| StartError::Listen { address, source })?;
        Self::run_on(listener, identity, config, inbox)
    }

    fn run_on(
        listener: TcpListener,
        identity: Identity,
        config: TransportConfig,
        inbox: mpsc::Sender<Incoming>,
    ) -> Result<Self, StartError> {
        for (what, value) in [("cluster", &config.cluster), ("name", &config.name)] {
            if !is_presentable(value) {
                return Err(StartError::BadName { what, value: value.clone() });
            }
        }
        let local_addr = listener.local_addr().map_err(|source| StartError::Listen {
            address: SocketAddr::from(([0, 0, 0, 0], config.port)),
            source,
        })?;
        let (keeper, requests) = mpsc::channel(limits::LINKS_MAX);
        let abort = CancellationToken::new();
        let shared = Arc::new(Shared {
            local: Local::new(identity, &config, local_addr.port()),
            handshake_deadline: config.handshake_deadline,
            link_silence_max: config.link_silence_max,
            redial: watch::Sender::new(Redial { min: config.redial_min, max: config.redial_max }),
            seed: config.seed,
            links: Mutex::default(),
            known: Arc::default(),
            linked: watch::Sender::new(BTreeSet::new()),
            inbox,
            keeper,
            dials: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            notices: Arc::default(),
            obstacles: Obstacles::default(),
            closing: abort.child_token(),
            abort: abort.clone(),
            tasks: TaskTracker::new(),
        });
        tokio::spawn(keeper::run(shared.clone(), requests));
        shared.tasks.spawn(listener::run(shared.clone(), listener));
        let mut transport =
            Self { shared, local_addr, dialers: Vec::new(), _abort: abort.drop_guard() };
        for (line, address) in config.listed.into_iter().enumerate() {
            transport.dial(line, address);
        }
        Ok(transport)
    }

    /// From now on dials these addresses with these waits; what is dialled already goes on, and links stay.
    pub fn relist(&mut self, listed: Vec<Address>, redial_min: Duration, redial_max: Duration) {
        let redial = Redial { min: redial_min, max: redial_max };
        self.shared.redial.send_if_modified(|before| std::mem::replace(before, redial) != redial);
        self.dialers.retain(|(address, stop)| {
            let stays = listed.contains(address);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for (line, address) in listed.into_iter().enumerate() {
            if !self.is_dialled(&address) {
                self.dial(line, address);
            }
        }
    }

    /// How many addresses are dialled.
    pub fn listed(&self) -> usize {
        self.dialers.len()
    }

    /// Whether these are the addresses that are dialled, in whatever order.
    pub fn is_listed(&self, listed: &[Address]) -> bool {
        listed.len() == self.dialers.len() && listed.iter().all(|address| self.is_dialled(address))
    }

    fn is_dialled(&self, address: &Address) -> bool {
        self.dialers.iter().any(|(dialled, _)| dialled == address)
    }

    fn dial(&mut self, line: usize, address: Address) {
        let stop = CancellationToken::new();
        let dialer = dialer::run(self.shared.clone(), line, address.clone(), stop.clone());
        self.shared.tasks.spawn(dialer);
        self.dialers.push((address, stop));
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// This node's id.
    pub fn node(&self) -> NodeId {
        self.shared.local.node()
    }

    /// Queues a message for one peer, or for everyone that a link leads to, and returns at once. It is
    /// encoded once for all. The queues' policies: heartbeats keep only the newest, a peer with
    /// no room for consensus loses its link, one with no room for anything else is named in the answer.
    ///
    /// # Errors
    /// [`SendError`]; whoever is not named in it gets the message.
    pub fn send(
        &self,
        id: MessageId,
        to: Option<NodeId>,
        payload: Payload,
        timestamp: u64,
    ) -> Result<(), SendError> {
        let receivers: Vec<Arc<Link>> = {
            let links = self.shared.links.lock().expect("no holder of this lock panics");
            match to {
                None => links.values().cloned().collect(),
                Some(peer) => vec![links.get(&peer).cloned().ok_or(SendError::NotLinked(peer))?],
            }
        };
        if receivers.is_empty() {
            return Ok(());
        }
        let kind = payload.message_type();
        let frame = encode(&Message { id, from: self.node(), to, timestamp, payload })?;
        let mut full = Vec::new();
        for link in receivers {
            match link.push(kind, frame.clone()) {
                Ok(()) => {}
                Err(NoRoom::Full) => full.push(link.peer),
                Err(NoRoom::Closed) if to.is_some() => {
                    return Err(SendError::NotLinked(link.peer));
                }
                Err(NoRoom::Closed) => {}
            }
        }
        if full.is_empty() { Ok(()) } else { Err(SendError::Full(full)) }
    }

    /// From now on these are the members: each finds a place, however many strangers are linked, and may
    /// say more at once than those.
    pub fn expect_members(&self, members: impl IntoIterator<Item = NodeId>) {
        self.shared.known.expect(members.into_iter().collect());
    }

    /// Closes the link to a peer, if there is one. Listed addresses are dialled again.
    pub fn kick(&self, peer: NodeId) {
        if let Some(link) =
            self.shared.links.lock().expect("no holder of this lock panics").get(&peer)
        {
            link.close(LinkEnd::Kicked);
        }
    }

    /// What went over the network so far.
    pub fn status(&self) -> TransportStatus {
        let links = self.shared.links.lock().expect("no holder of this lock panics");
        TransportStatus {
            links: links.values().map(|link| status_of(link)).collect(),
            refused: self.shared.refused.load(Ordering::Relaxed),
            evicted: self.shared.evicted.load(Ordering::Relaxed),
            obstacles: self.shared.obstacles.standing(Instant::now()),
        }
    }

    /// Stops dialling and listening, sends what waits, and ends. After `deadline` it ends anyway.
    pub async fn close(self, deadline: Duration) {
        self.shared.closing.cancel();
        for link in self.shared.links.lock().expect("no holder of this lock panics").values() {
            link.finish();
        }
        self.shared.tasks.close();
        let _ = tokio::time::timeout(deadline, self.shared.tasks.wait()).await;
        self.shared.abort.cancel();
        self.shared.tasks.wait().await;
    }
}

fn status_of(link: &Link) -> LinkStatus {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (waiting_frames, waiting_bytes) = link.waiting();
    LinkStatus {
        peer: link.peer,
        name: link.name.clone(),
        address: link.address.clone(),
        frames_in: read(&link.counters.frames_in),
        bytes_in: read(&link.counters.bytes_in),
        frames_out: read(&link.counters.frames_out),
        bytes_out: read(&link.counters.bytes_out),
        dropped: read(&link.counters.dropped),
        unknown: read(&link.counters.unknown),
        waiting_frames,
        waiting_bytes,
    }
}
