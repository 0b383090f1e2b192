//! The load, the same for every product: clients on one thread, spread evenly over the nodes, each with one write
//! in flight, for ever the next one. What is acknowledged between two moments is counted.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

use crate::cpu::{Sample, Used};
use crate::doors::{Door, Protocol, Trouble};
use crate::products::{Cluster, NODES};

/// How long a client waits after a refusal.
const PAUSE: Duration = Duration::from_millis(1);

/// What is asked of one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) protocol: Protocol,
    pub(crate) clients: usize,
    pub(crate) value_bytes: usize,
    /// How far from the leader the first client is; the next one is one node further, and so on around.
    pub(crate) from_leader: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What one round came to.
#[derive(Debug)]
pub(crate) struct Round {
    /// How long each acknowledged write took, sorted.
    pub(crate) took: Vec<Duration>,
    pub(crate) used: Used,
    /// Clients at each node.
    pub(crate) clients_at: [usize; NODES],
    pub(crate) leader: usize,
    /// Whether it led at the end, too.
    pub(crate) led_throughout: bool,
    /// Acknowledgements, the warm-up's too, and how many more writes the product counts than before.
    pub(crate) acknowledged: u64,
    pub(crate) written: Option<u64>,
    /// Answers that were no acknowledgements, and what one of them said.
    pub(crate) refused: u64,
    pub(crate) said: Option<String>,
    /// Clients that had no answer to one write in all of the measured time, or lost their connection.
    pub(crate) lost: usize,
}

/// What the clients saw, as they go.
struct Seen {
    took: Vec<Duration>,
    acknowledged: u64,
    refused: u64,
    said: Option<String>,
    /// When each client's write in flight was sent; none where a connection is lost.
    sent: Vec<Option<Instant>>,
}

impl Seen {
    fn of(clients: usize) -> Self {
        Self {
            took: Vec::new(),
            acknowledged: 0,
            refused: 0,
            said: None,
            sent: vec![None; clients],
        }
    }

    fn refused(&mut self, said: String) {
        self.refused += 1;
        self.said = Some(said);
    }

    fn lost(&mut self, client: usize, error: &io::Error) {
        self.sent[client] = None;
        self.said = Some(error.to_string());
    }
}

/// A value that no other is like.
pub(crate) fn value(bytes: usize) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{}{:016x}", "0".repeat(bytes - 16), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What runs all of this thread's tasks, one at a time.
///
/// # Errors
/// When the system has none to give.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Runs one round.
///
/// # Errors
/// Says why it could not be.
pub(crate) fn round(cluster: &mut Cluster, load: Load) -> Result<Round, String> {
    let leader = cluster.settled()?;
    let node_of = |client: usize| (leader + load.from_leader + client) % NODES;
    let mut clients_at = [0; NODES];
    for client in 0..load.clients {
        clients_at[node_of(client)] += 1;
    }
    let addresses: [_; NODES] = std::array::from_fn(|at| cluster.place.client(at));
    let nodes: Vec<_> = (0..load.clients).map(node_of).collect();
    let servers = cluster.ids();
    let written_before = cluster.written(leader);
    let (tell, told) = sync_channel(1);
    let (seen, used) = std::thread::scope(|scope| {
        let generator = scope.spawn(move || generate(load, addresses, &nodes, &tell));
        let joined = |generator: std::thread::ScopedJoinHandle<'_, io::Result<Seen>>| {
            let seen = generator.join().map_err(|_| "the load generator panicked".to_owned())?;
            seen.map_err(|error| format!("the clients cannot connect: {error}"))
        };
        let Ok(begin) = told.recv() else {
            return Err(joined(generator).err().unwrap_or_default());
        };
        std::thread::sleep(begin.saturating_duration_since(Instant::now()));
        let before = Sample::take(&servers);
        std::thread::sleep((begin + load.measured).saturating_duration_since(Instant::now()));
        let used = Sample::take(&servers).since(&before);
        Ok((joined(generator)?, used))
    })?;
    let begun = Instant::now() - load.measured;
    let lost = seen.sent.iter().filter(|sent| sent.is_none_or(|sent| sent < begun)).count();
    let Seen { mut took, acknowledged, refused, said, .. } = seen;
    took.sort_unstable();
    let led_throughout = cluster.settled().is_ok_and(|now| now == leader);
    let written =
        cluster.written(leader).zip(written_before).map(|(now, then)| now.saturating_sub(then));
    Ok(Round {
        took,
        used,
        clients_at,
        leader,
        led_throughout,
        acknowledged,
        written,
        refused,
        said,
        lost,
    })
}

/// Connects, tells when the measured time begins, and runs the clients to its end.
fn generate(
    load: Load,
    addresses: [SocketAddr; NODES],
    nodes: &[usize],
    tell: &SyncSender<Instant>,
) -> io::Result<Seen> {
    let local = LocalSet::new();
    local.block_on(&runtime()?, async {
        let mut doors: [Option<Rc<Door>>; NODES] = Default::default();
        for &node in nodes {
            if doors[node].is_none() {
                doors[node] = Some(Rc::new(Door::open(load.protocol, addresses[node]).await?));
            }
        }
        let begin = Instant::now() + load.warm_up;
        let end = begin + load.measured;
        let seen = Rc::new(RefCell::new(Seen::of(load.clients)));
        let clients: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(client, &node)| {
                let door = doors[node].clone().expect("opened above");
                tokio::task::spawn_local(write_on(
                    door,
                    client,
                    load.value_bytes,
                    begin..end,
                    seen.clone(),
                ))
            })
            .collect();
        let _ = tell.send(begin);
        tokio::time::sleep_until(end.into()).await;
        for client in &clients {
            client.abort();
        }
        Ok(seen.replace(Seen::of(0)))
    })
}

/// One client.
async fn write_on(
    door: Rc<Door>,
    client: usize,
    value_bytes: usize,
    measured: Range<Instant>,
    seen: Rc<RefCell<Seen>>,
) {
    loop {
        let value = value(value_bytes);
        let sent = Instant::now();
        seen.borrow_mut().sent[client] = Some(sent);
        let outcome = door.write(client, &value).await;
        let now = Instant::now();
        match outcome {
            Ok(()) => {
                let mut seen = seen.borrow_mut();
                seen.acknowledged += 1;
                if measured.contains(&now) {
                    seen.took.push(now - sent);
                }
            }
            Err(Trouble::Refused(said)) => {
                seen.borrow_mut().refused(said);
                tokio::time::sleep(PAUSE).await;
            }
            Err(Trouble::Broken(error)) => {
                seen.borrow_mut().lost(client, &error);
                return;
            }
        }
    }
}

/// Whether a node speaks a protocol.
///
/// # Errors
/// What it said instead.
pub(crate) fn is_spoken(protocol: Protocol, address: SocketAddr) -> io::Result<()> {
    LocalSet::new().block_on(&runtime()?, async { Door::open(protocol, address).await.map(|_| ()) })
}
