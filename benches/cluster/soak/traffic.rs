//! An open loop of mixed requests: each has the moment at which it is due, whatever became of those before it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorate::admin::api::{LogResponse, MessageResponse, ProposeOutcome};
use quorate::types::ProposalId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::http::Connection;
use crate::nodes::{NODES, VALUE_BYTES};

/// Bytes of a larger value, and one of how many proposals is one.
pub(super) const LARGE_BYTES: usize = 16 * 1024;
pub(super) const LARGE_EVERY: u64 = 100;

/// Kept connections for each node, and how many requests each is used for.
const KEPT_MAX: usize = 8;
const REQUESTS_EACH: u32 = 200;

/// How long a client waits for one node before it turns to the next one.
const NODE_PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// A proposal that takes longer is lost: no fault here lasts half as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests under way at once; what is due beyond it is counted and left out.
const IN_FLIGHT_MAX: usize = 4_096;

/// How long one stream of new entries is read before it is cut off.
const FOLLOWED: Duration = Duration::from_secs(10);

/// What was seen; the counts go up for ever, `took` is taken away by each window.
#[derive(Default)]
pub(super) struct Seen {
    /// From the moment a proposal was due to its acknowledgement.
    pub(super) took: Vec<Duration>,
    pub(super) committed: u64,
    /// Tries that were no commit: the next node was asked, under the same id.
    pub(super) retried: u64,
    pub(super) lost: u64,
    pub(super) left_out: u64,
    pub(super) linearizable: u64,
    pub(super) local: u64,
    pub(super) unanswered: u64,
    pub(super) broadcasts: u64,
    pub(super) short_connections: u64,
    /// Answers that no history of the log allows.
    pub(super) impossible: Vec<String>,
    /// The slot in which each number was acknowledged.
    pub(super) slots: Vec<u64>,
}

/// What the requests share.
pub(super) struct Traffic {
    addresses: [SocketAddr; NODES],
    kept: [Mutex<Vec<(Connection, u32)>>; NODES],
    seen: Mutex<Seen>,
    /// The highest slot that was acknowledged.
    acknowledged: AtomicU64,
    in_flight: AtomicUsize,
    /// The last number that was proposed.
    number: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name under which a number is proposed: as far from its neighbours as a random one is.
fn id(number: u64) -> ProposalId {
    let mixed = |salt: u64| {
        let mut word = (number ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word ^ (word >> 27)
    };
    ProposalId::from_u128(u128::from(mixed(0)) << 64 | u128::from(mixed(1 << 63)))
}

fn value(number: u64) -> String {
    let bytes = if number.is_multiple_of(LARGE_EVERY) { LARGE_BYTES } else { VALUE_BYTES };
    format!("{number:0bytes$x}")
}

/// The number that a value was made from.
pub(super) fn number(value: &str) -> Option<u64> {
    u64::from_str_radix(value, 16).ok()
}

impl Traffic {
    pub(super) fn new(addresses: [SocketAddr; NODES]) -> Arc<Self> {
        Arc::new(Self {
            addresses,
            kept: Default::default(),
            seen: Mutex::default(),
            acknowledged: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            number: AtomicU64::new(0),
        })
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        locked(&self.seen)
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Closes what is kept.
    pub(super) fn close(&self) {
        self.kept.iter().for_each(|kept| locked(kept).clear());
    }

    /// Sends `rate` proposals a second and what goes with them until it is told to stop.
    pub(super) async fn run(self: Arc<Self>, rate: u32, stop: CancellationToken) {
        let start = Instant::now();
        for at in 0_u64.. {
            let due = start + Duration::from_secs(at) / rate;
            tokio::select! {
                () = sleep_until(due) => {}
                () = stop.cancelled() => return,
            }
            let node = usize::try_from(at % NODES as u64).expect("a small number");
            let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
            self.spawn(move |traffic| traffic.propose(number, due));
            if at % 20 == 7 {
                self.spawn(move |traffic| traffic.read_newest(node));
            }
            if at % 20 == 13 {
                self.spawn(move |traffic| traffic.read_old(node, at));
            }
            if at % 50 == 29 {
                self.spawn(move |traffic| traffic.connect_and_leave(node));
            }
            let rate = u64::from(rate);
            if at % rate == rate / 2 {
                self.spawn(move |traffic| traffic.broadcast(at / rate));
            }
            if at % (rate * FOLLOWED.as_secs()) == 0 {
                for node in 0..NODES {
                    tokio::spawn(self.clone().follow(node, stop.clone()));
                }
            }
        }
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        request: impl FnOnce(Arc<Self>) -> F,
    ) {
        if self.in_flight() >= IN_FLIGHT_MAX {
            self.seen().left_out += 1;
            return;
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let (traffic, request) = (self.clone(), request(self.clone()));
        tokio::spawn(async move {
            request.await;
            traffic.in_flight.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn connection(&self, node: usize) -> std::io::Result<(Connection, u32)> {
        let kept = locked(&self.kept[node]).pop();
        match kept {
            Some(kept) => Ok(kept),
            None => Ok((Connection::open(self.addresses[node]).await?, 0)),
        }
    }

    fn keep(&self, node: usize, connection: Connection, used: u32) {
        let mut kept = locked(&self.kept[node]);
        if kept.len() < KEPT_MAX && used + 1 < REQUESTS_EACH {
            kept.push((connection, used + 1));
        }
    }

    async fn try_propose(&self, node: usize, number: u64) -> std::io::Result<Option<u64>> {
        let (mut connection, used) = self.connection(node).await?;
        let outcome = connection.propose(id(number), value(number)).await?;
        self.keep(node, connection, used);
        Ok(match outcome {
            ProposeOutcome::Committed { slot, .. } | ProposeOutcome::Duplicate { slot } => {
                Some(slot.0)
            }
            _ => None,
        })
    }

    async fn propose(self: Arc<Self>, number: u64, due: Instant) {
        let mut node = usize::try_from(number % NODES as u64).expect("a small number");
        while due.elapsed() < PATIENCE {
            let outcome = timeout(NODE_PATIENCE, self.try_propose(node, number)).await;
            if let Ok(Ok(Some(slot))) = outcome {
                self.acknowledged.fetch_max(slot, Ordering::Relaxed);
                let mut seen = self.seen();
                let at = usize::try_from(number).expect("a number of this run");
                if seen.slots.len() <= at {
                    seen.slots.resize(at + 1, 0);
                }
                seen.slots[at] = slot;
                seen.committed += 1;
                seen.took.push(due.elapsed());
                return;
            }
            self.seen().retried += 1;
            node = (node + 1) % NODES;
            sleep(PAUSE).await;
        }
        self.seen().lost += 1;
    }

    async fn get_log(&self, node: usize, query: &str) -> Option<LogResponse> {
        let exchange = async {
            let (mut connection, used) = self.connection(node).await.ok()?;
            let answer = connection.get(&format!("/v1/log?{query}")).await.ok()?;
            self.keep(node, connection, used);
            Some(answer)
        };
        let answer = timeout(NODE_PATIENCE, exchange).await.ok().flatten();
        if answer.is_none() {
            self.seen().unanswered += 1;
        }
        answer
    }

    /// A linearizable read shows at least what was acknowledged before it.
    async fn read_newest(self: Arc<Self>, node: usize) {
        let goal = self.acknowledged().max(1);
        let query = format!("from={goal}&limit=1&read=linearizable");
        let Some(answer) = self.get_log(node, &query).await else { return };
        let mut seen = self.seen();
        seen.linearizable += 1;
        if answer.committed.slot.0 < goal || answer.entries.len() != 1 {
            let what = format!("a linearizable read ends at {}, not {goal}", answer.committed.slot);
            seen.impossible.push(what);
        }
    }

    /// A local read of old entries: mostly from the disk.
    async fn read_old(self: Arc<Self>, node: usize, at: u64) {
        let from = 1 + at.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.acknowledged().max(1);
        let Some(answer) = self.get_log(node, &format!("from={from}&limit=20")).await else {
            return;
        };
        let mut seen = self.seen();
        seen.local += 1;
        let in_order = answer.entries.iter().zip(from..).all(|(entry, slot)| entry.slot.0 == slot);
        if !in_order {
            seen.impossible.push(format!("a local read from {from} has a hole"));
        }
    }

    /// A connection for one request, or for none.
    async fn connect_and_leave(self: Arc<Self>, node: usize) {
        let exchange = async {
            let mut stream = TcpStream::connect(self.addresses[node]).await?;
            let asks = self.seen().short_connections.is_multiple_of(2);
            if asks {
                stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
                stream.read_u8().await?;
            }
            std::io::Result::Ok(())
        };
        let _ = timeout(NODE_PATIENCE, exchange).await;
        self.seen().short_connections += 1;
    }

    async fn broadcast(self: Arc<Self>, second: u64) {
        let node = usize::try_from(second % NODES as u64).expect("a small number");
        let exchange = async {
            let (mut connection, used) = self.connection(node).await.ok()?;
            let body = format!(r#"{{"text":"{}"}}"#, value(second));
            let _: MessageResponse = connection.post("/v1/messages", &body).await.ok()?;
            self.keep(node, connection, used);
            Some(())
        };
        if timeout(NODE_PATIENCE, exchange).await.ok().flatten().is_some() {
            self.seen().broadcasts += 1;
        }
    }

    /// Reads a stream of new entries for a while and cuts it off.
    async fn follow(self: Arc<Self>, node: usize, stop: CancellationToken) {
        let from = self.acknowledged() + 1;
        let address = self.addresses[node];
        let stream = async {
            let mut stream = TcpStream::connect(address).await?;
            let head =
                format!("GET /v1/log?follow=true&from={from} HTTP/1.1\r\nhost: {address}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            let mut bytes = vec![0; 64 * 1024];
            while stream.read(&mut bytes).await? > 0 {}
            std::io::Result::Ok(())
        };
        tokio::select! {
            _ = timeout(FOLLOWED, stream) => {}
            () = stop.cancelled() => {}
        }
    }
}
