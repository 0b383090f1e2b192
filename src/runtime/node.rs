//! A node: opened from its directory, then made to listen.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::NodeConfig;
use crate::consensus;
use crate::engine::{Engine, Settings};
use crate::limits;
use crate::runtime::alarm::Alarm;
use crate::runtime::disk::Disk;
use crate::runtime::driver::{Driver, Sources};
use crate::runtime::executor::{Executor, hangs_after};
use crate::runtime::failure::{RunError, StartError};
use crate::runtime::handle::{COMMANDS, DISK_READS, Facts, Handle, QUESTIONS};
use crate::runtime::metrics::Metrics;
use crate::runtime::narrate::Narrator;
use crate::runtime::notice::NOTICES;
use crate::runtime::publish::Publisher;
use crate::runtime::round_trips::RoundTrips;
use crate::storage::{self, DurableLog, Log, RealDisk, Recovered};
use crate::transport::{Identity, Transport, TransportConfig};
use crate::types::Time;

/// Arrivals from all links that wait for the driver. When it is full, links stop reading, and their
/// peers see full sockets.
const INBOX: usize = 256;

/// A running node. When it is dropped it ends as well, only unobserved: [`Node::stop`] says when its
/// directory and its port are free again.
#[derive(Debug)]
pub struct Node {
    handle: Handle,
    stop: CancellationToken,
    driver: JoinHandle<Result<(), RunError>>,
}

impl Node {
    /// Opens the node's directory, builds the node that its log makes, and listens at the configured address.
    /// Must be called within a tokio runtime with time and I/O enabled; the node's tasks run there.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        Opened::open(&config).await?.run(config, None)
    }

    /// Like [`Node::start`], on a socket that listens already: so the peers' lists can be written
    /// before any of them starts, with ports that the system chose.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_on(config: NodeConfig, listener: TcpListener) -> Result<Self, StartError> {
        Opened::open(&config).await?.run(config, Some(listener))
    }

    /// A way to talk to the node.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Says to all peers that this node leaves, makes all it wrote durable, and ends.
    ///
    /// # Errors
    /// [`RunError`] if it had to stop before, or its last writes failed.
    pub async fn stop(mut self) -> Result<(), RunError> {
        self.stop.cancel();
        self.wait().await
    }

    /// Waits until the node ends, which it does by itself only for a [`RunError`].
    ///
    /// # Errors
    /// Why it ended.
    ///
    /// # Panics
    /// If the node did, or if this was called again after it ended.
    pub async fn wait(&mut self) -> Result<(), RunError> {
        match (&mut self.driver).await {
            Ok(ended) => ended,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a node is made of before it hears anything.
struct Opened<L> {
    identity: Identity,
    log: L,
    recovered: Recovered,
}

impl<D: storage::Disk> Opened<DurableLog<D>> {
    /// Reads who lives on `disk` and what it remembers; then, with nothing missing, counts the start.
    fn on(disk: &D) -> Result<Self, StartError> {
        let identity = Identity::open(disk)?;
        let settings = storage::Settings::new(identity.node());
        let (log, recovered) = DurableLog::open(disk, settings)?;
        let identity = identity.in_life(storage::count_start(disk, log.generation())?);
        Ok(Self { identity, log, recovered })
    }
}

impl Opened<DurableLog<RealDisk>> {
    /// Locks the directory, and opens what lies there.
    async fn open(config: &NodeConfig) -> Result<Self, StartError> {
        let path = config.data_dir.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let disk = RealDisk::open(&path)?;
            Self::on(&disk)
        });
        match opening.await {
            Ok(opened) => opened,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl<L: Log<Reader: Send + 'static> + Send + 'static> Opened<L> {
    /// Starts the disk, the sockets and the driver.
    fn run(self, config: NodeConfig, listener: Option<TcpListener>) -> Result<Node, StartError> {
        let Self { identity, log, recovered: Recovered { state, proposals, torn } } = self;
        let (me, life) = (identity.node(), identity.boot());
        let seed = random_seed()?;
        let (last, committed) = (state.last(), state.committed);

        let started = Instant::now();
        let settings = Settings {
            heartbeat_interval: config.heartbeat_interval,
            listed: config.peers.len(),
            consensus: consensus::Settings {
                suspect_after: config.suspect_after,
                ..consensus::Settings::default()
            },
        };
        let engine = Engine::new(me, life, settings, seed, state, proposals, Time::ZERO);

        let narrator = Narrator::new(me, &config.name);
        narrator.recovered(last, committed, torn);
        let (notices, _) = broadcast::channel(NOTICES);
        let (told_committed, committed) = watch::channel(committed);
        let (commands, waiting_commands) = mpsc::channel(COMMANDS);
        let (questions, waiting_questions) = mpsc::channel(QUESTIONS);
        let metrics = Arc::new(Metrics::new());
        let (disk, reports) = Disk::start(log, Arc::clone(&metrics)).map_err(StartError::Thread)?;

        let (inbox, incoming) = mpsc::channel(INBOX);
        let links = links(&config, seed);
        let transport = match listener {
            Some(listener) => Transport::start_on(listener, identity, links, inbox)?,
            None => Transport::start(identity, links, inbox)?,
        };
        let address = transport.local_addr();
        narrator.listening(address);

        let listed = config.peers.iter().map(ToString::to_string).collect();
        let facts = Arc::new(Facts {
            id: me,
            name: config.name,
            cluster: config.cluster,
            address,
            listed,
            data_dir: config.data_dir,
        });
        let handle = Handle {
            facts: Arc::clone(&facts),
            commands,
            questions,
            notices: notices.downgrade(),
            committed,
            metrics: Arc::clone(&metrics),
            disk_reads: Arc::new(Semaphore::new(DISK_READS)),
        };
        let publisher = Publisher::new(narrator, metrics, notices, told_committed);
        let hangs_after = hangs_after(config.suspect_after);
        let executor = Executor::new(transport, disk, publisher, hangs_after);
        if let Some(config) = engine.epoch() {
            executor.expect_members(config);
        }
        let alarm = Alarm::new().map_err(StartError::Timer)?;
        let stop = CancellationToken::new();
        let driver = Driver {
            facts,
            start: life,
            engine,
            executor,
            sources: Sources {
                inbox: incoming,
                commands: waiting_commands,
                questions: waiting_questions,
                reports,
                stop: stop.clone(),
            },
            started,
            alarm,
            tokens: 0,
            round_trips: RoundTrips::default(),
        };
        Ok(Node { handle, stop, driver: tokio::spawn(driver.run()) })
    }
}

/// How the node reaches its peers and is reached.
fn links(config: &NodeConfig, seed: u64) -> TransportConfig {
    let beats = config.heartbeat_interval.saturating_mul(limits::LINK_SILENCE_BEATS_MIN);
    TransportConfig {
        bind: config.bind,
        advertise: config.advertise.clone(),
        listed: config.peers.clone(),
        redial_min: config.redial_min,
        redial_max: config.redial_max,
        link_silence_max: limits::LINK_SILENCE_MAX.max(beats),
        seed,
        ..TransportConfig::new(&config.cluster, &config.name, config.port)
    }
}

/// Tells lives and nodes apart: it feeds jitter, nonces and the names of messages.
fn random_seed() -> Result<u64, StartError> {
    getrandom::u64().map_err(StartError::Randomness)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Address;
    use crate::runtime::{FailureClass, Outcome};
    use crate::storage::MemoryDisk;
    use crate::transport::Incoming;
    use crate::types::Value;
    use crate::wire::{Message, MessageType};

    /// How long what must happen may take before a test fails.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A node that lives in memory.
    fn start(disk: &MemoryDisk) -> Result<Node, StartError> {
        start_with(disk, NodeConfig::new("nowhere"))
    }

    fn start_with(disk: &MemoryDisk, config: NodeConfig) -> Result<Node, StartError> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback");
        Opened::on(disk)?.run(config, Some(listener))
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
    }

    fn value(text: &str) -> Value {
        Value::new(text).expect("a value within the limits")
    }

    #[test]
    fn no_link_is_closed_for_heartbeats_that_are_rare() {
        let mut config = NodeConfig::new("nowhere");
        assert_eq!(links(&config, 0).link_silence_max, Duration::from_secs(5));
        config.heartbeat_interval = Duration::from_secs(10);
        assert_eq!(links(&config, 0).link_silence_max, Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_disk_that_fails_stops_the_node_and_nothing_is_acknowledged() {
        let disk = MemoryDisk::default();
        let mut node = start(&disk).unwrap();
        let handle = node.handle().clone();
        within(handle.wait_ready()).await.unwrap();
        assert!(matches!(within(handle.propose(value("kept"))).await, Outcome::Committed(_)));

        disk.fail_after(0);
        assert_eq!(within(handle.propose(value("lost"))).await, Outcome::Unknown);
        let error = within(node.wait()).await.unwrap_err();
        assert!(matches!(error, RunError::Storage(_)), "{error}");
        assert_eq!(error.class().exit_code(), 8);
        assert!(handle.status().await.is_err());
    }

    #[tokio::test]
    async fn a_full_disk_stops_the_node() {
        let disk = MemoryDisk::default();
        let mut node = start(&disk).unwrap();
        let handle = node.handle().clone();
        within(handle.wait_ready()).await.unwrap();
        disk.full_at(0);
        let filling = async {
            let large = value(&"x".repeat(limits::VALUE_BYTES_MAX));
            while let Outcome::Committed(_) = handle.propose(large.clone()).await {}
        };
        within(filling).await;
        let error = within(node.wait()).await.unwrap_err();
        assert_eq!(error.class(), FailureClass::Storage, "{error}");
    }

    #[tokio::test]
    async fn a_stranger_that_speaks_of_a_newer_process_is_not_believed() {
        let disk = MemoryDisk::default();
        let node = start(&disk).unwrap();
        within(node.handle().wait_ready()).await.unwrap();
        within(node.stop()).await.unwrap();

        let mut config = NodeConfig::new("nowhere");
        config.bind = Some([127, 0, 0, 1].into());
        let (inbox, _told) = mpsc::channel(INBOX);
        let local =
            TransportConfig { bind: config.bind, ..TransportConfig::new(&config.cluster, "s", 0) };
        let identity = Identity::open(&MemoryDisk::default()).unwrap().in_life(1);
        let stranger = Transport::start(identity, local.clone(), inbox.clone()).unwrap();
        let port = stranger.local_addr().port();
        config.peers = vec![Address { host: "127.0.0.1".to_owned(), port }];
        let node = start_with(&disk, config.clone()).unwrap();
        let newer = Identity::open(&disk).unwrap().in_life(storage::count_start(&disk, 0).unwrap());
        let listing = TransportConfig { listed: config.peers, ..local };
        let _newer = Transport::start(newer, listing, inbox).unwrap();
        let told_twice = async {
            while stranger.status().refused < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        within(told_twice).await;
        let outcome = within(node.handle().propose(value("goes on"))).await;
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
        within(node.stop()).await.unwrap();
    }

    #[tokio::test]
    async fn a_stranger_is_not_asked_how_long_its_answer_takes() {
        let node = start(&MemoryDisk::default()).unwrap();
        within(node.handle().wait_ready()).await.unwrap();
        let address = node.handle().address();
        let mut config = TransportConfig::new(NodeConfig::new("nowhere").cluster, "s", 0);
        config.bind = Some([127, 0, 0, 1].into());
        config.listed = vec![Address { host: address.ip().to_string(), port: address.port() }];
        let (inbox, mut told) = mpsc::channel(INBOX);
        let identity = Identity::open(&MemoryDisk::default()).unwrap().in_life(1);
        let _stranger = Transport::start(identity, config, inbox).unwrap();
        let mut beats = 0;
        while beats < 3 {
            let Some(Incoming::Frames(messages)) = within(told.recv()).await else { continue };
            for Message { payload, .. } in messages {
                assert_ne!(payload.message_type(), MessageType::Ping);
                beats += u64::from(payload.message_type() == MessageType::HeartBeat);
            }
        }
        within(node.stop()).await.unwrap();
    }

    #[tokio::test]
    async fn an_acknowledged_value_survives_a_power_cut() {
        let disk = MemoryDisk::default();
        let node = start(&disk).unwrap();
        within(node.handle().wait_ready()).await.unwrap();
        let Outcome::Committed(committed) = within(node.handle().propose(value("kept"))).await
        else {
            panic!("not committed");
        };
        let found = disk.durable_image();
        drop(node);

        let node = start(&found).unwrap();
        within(node.handle().wait_committed(committed.slot)).await.unwrap();
        let entries = within(node.handle().committed(committed.slot, 1)).await.unwrap();
        assert_eq!(entries[0].position().hash, committed.hash);
        assert_eq!(entries[0].proposal().unwrap().value, value("kept"));
        within(node.stop()).await.unwrap();
    }
}
