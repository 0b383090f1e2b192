//! A node whose disk never returns: it ends all the same, and says why.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::{broadcast, watch};

use super::*;
use crate::consensus::{self, Record, State};
use crate::engine::{Effects, Settings};
use crate::runtime::disk::Disk;
use crate::runtime::metrics::Metrics;
use crate::runtime::narrate::Narrator;
use crate::runtime::publish::Publisher;
use crate::storage::{Log, LogError, LogReader, MemoryDisk};
use crate::transport::{Identity, Transport, TransportConfig};
use crate::types::{Position, Round, Slot};

/// How long what must happen may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A log whose syncs end when the test does.
struct Hanging(Receiver<()>);

impl Log for Hanging {
    type Reader = Empty;

    fn append(&mut self, _: &[Record]) -> Result<(), LogError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        let _ = self.0.recv();
        Ok(())
    }

    fn tidy(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn show(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn reader(&self) -> Empty {
        Empty
    }
}

/// What can be read of it.
struct Empty;

impl LogReader for Empty {
    fn read(&self, _: Slot, _: Slot, _: usize) -> Result<Vec<Entry>, LogError> {
        Ok(Vec::new())
    }
}

/// A node alone, what holds its disk, and what its clients hold.
fn node() -> (Driver, SyncSender<()>, mpsc::Sender<Command>) {
    let (held, gate) = sync_channel(1);
    let metrics = Arc::new(Metrics::new());
    let (disk, reports) = Disk::start(Hanging(gate), Arc::clone(&metrics)).unwrap();
    let (told, inbox) = mpsc::channel(1);
    let (asked, commands) = mpsc::channel(1);
    let (_, questions) = mpsc::channel(1);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback");
    let identity = Identity::open(&MemoryDisk::default()).unwrap().in_life(1);
    let me = identity.node();
    let config = TransportConfig::new("demo", "n1", 0);
    let transport = Transport::start_on(listener, identity, config, told).unwrap();
    let address = transport.local_addr();
    let suspect_after = Duration::from_millis(20);
    let settings = Settings {
        heartbeat_interval: suspect_after / 4,
        listed: 0,
        consensus: consensus::Settings { suspect_after, ..consensus::Settings::default() },
    };
    let engine = Engine::new(me, 1, settings, 5, State::default(), Vec::new(), Time::ZERO);
    let publisher = Publisher::new(
        Narrator::new(me, "n1"),
        metrics,
        broadcast::channel(1).0,
        watch::channel(Position::GENESIS).0,
    );
    let driver = Driver {
        facts: Arc::new(Facts {
            id: me,
            name: "n1".to_owned(),
            cluster: "demo".to_owned(),
            address,
            listed: Vec::new(),
            data_dir: PathBuf::from("nowhere"),
        }),
        start: 1,
        engine,
        executor: Executor::new(transport, disk, publisher, 10 * suspect_after),
        sources: Sources { inbox, commands, questions, reports, stop: CancellationToken::new() },
        started: Instant::now(),
        alarm: Alarm::new().unwrap(),
        tokens: 0,
        round_trips: RoundTrips::default(),
    };
    (driver, held, asked)
}

async fn ends_stalled(driver: Driver, asked: &mpsc::Sender<Command>) {
    let ended = tokio::time::timeout(PATIENCE, driver.run()).await.expect("it ends in time");
    assert!(matches!(ended, Err(RunError::DiskStalled { waiting: 1.. })), "{ended:?}");
    assert!(asked.is_closed());
}

#[tokio::test]
async fn a_disk_that_hangs_stops_the_node() {
    let (driver, _held, asked) = node();
    ends_stalled(driver, &asked).await;
}

#[tokio::test]
async fn a_node_that_is_asked_to_stop_does_not_wait_for_a_disk_that_hangs() {
    let (mut driver, _held, asked) = node();
    let persist = vec![Record::Promise { round: Round(1) }];
    driver.executor.run(Time::ZERO, Effects { batch: 1, persist, ..Effects::default() }).unwrap();
    driver.sources.stop.cancel();
    ends_stalled(driver, &asked).await;
}
