//! The threads at work on logs that are slow, untidy or broken.

use std::cell::Cell;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;
use crate::consensus::EpochConfig;
use crate::types::{Epoch, NodeId, Position, Round};

/// How long what must happen may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq, Eq)]
enum Deed {
    Append(usize),
    Sync,
    Show,
}

/// Finds nothing, and that only when it is allowed to; where nobody can allow it any more, it fails.
struct Found(Receiver<()>);

impl LogReader for Found {
    fn read(&self, _: Slot, _: Slot, _: usize) -> Result<Vec<Entry>, LogError> {
        let path = std::path::PathBuf::from("log");
        self.0.recv().map(|()| Vec::new()).map_err(|_| LogError::Locked { path })
    }
}

/// A log that tells what it is asked to do, and finishes a sync only when it is allowed to.
struct Slow {
    deeds: SyncSender<Deed>,
    allowed: Receiver<()>,
    reader: Cell<Option<Found>>,
    /// What is said of every append, or else of every sync.
    failure: Option<LogError>,
    fails_at_sync: bool,
}

impl Log for Slow {
    type Reader = Found;

    fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        let _ = self.deeds.send(Deed::Append(records.len()));
        self.failure.clone().filter(|_| !self.fails_at_sync).map_or(Ok(()), Err)
    }

    fn sync(&mut self) -> Result<(), LogError> {
        let _ = self.deeds.send(Deed::Sync);
        self.allowed.recv().expect("the test lives");
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn tidy(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn show(&mut self) -> Result<(), LogError> {
        let _ = self.deeds.send(Deed::Show);
        Ok(())
    }

    fn reader(&self) -> Found {
        self.reader.take().expect("one reader is enough")
    }
}

/// A disk, and the test's ends of it.
struct Bench {
    disk: Disk,
    reports: mpsc::Receiver<Report>,
    deeds: Receiver<Deed>,
    allow: SyncSender<()>,
    allow_read: SyncSender<()>,
}

impl Bench {
    fn start(failure: Option<LogError>) -> Self {
        Self::start_failing(failure, false)
    }

    fn start_failing(failure: Option<LogError>, fails_at_sync: bool) -> Self {
        let ((deeds_in, deeds), (allow, allowed)) = (sync_channel(16), sync_channel(16));
        let (allow_read, found) = sync_channel(16);
        let reader = Cell::new(Some(Found(found)));
        let log = Slow { deeds: deeds_in, allowed, reader, failure, fails_at_sync };
        let (disk, reports) = Disk::start(log, Arc::new(Metrics::new())).unwrap();
        Self { disk, reports, deeds, allow, allow_read }
    }

    fn persist(&self, batch: u64, record: Record) {
        assert!(self.disk.push(Job::Persist { batch, records: vec![record] }).is_ok());
    }

    fn read(&self) -> oneshot::Receiver<Vec<Entry>> {
        let (reply, answer) = oneshot::channel();
        let (from, through) = (Slot(1), Slot(1));
        let reading = Reading::ForClient { from, through, weight_max: 1, reply };
        assert!(self.disk.push(Job::Read(reading)).is_ok());
        answer
    }

    fn deed(&self) -> Deed {
        self.deeds.recv_timeout(PATIENCE).expect("it happens in time")
    }

    fn synced(&mut self) -> u64 {
        match self.reports.blocking_recv() {
            Some(Report::Synced { through, .. }) => through,
            other => panic!("{other:?}"),
        }
    }
}

fn promise(round: u64) -> Record {
    Record::Promise { round: Round(round) }
}

fn hint() -> Record {
    Record::Commit { committed: Position::GENESIS }
}

#[test]
fn one_sync_serves_all_that_waits() {
    let mut bench = Bench::start(None);
    bench.persist(1, promise(1));
    assert_eq!([bench.deed(), bench.deed()], [Deed::Append(1), Deed::Sync]);
    for batch in 2..=4 {
        bench.persist(batch, promise(batch));
    }
    bench.allow.send(()).unwrap();
    assert_eq!(bench.synced(), 1);
    for _ in 2..=4 {
        assert_eq!(bench.deed(), Deed::Append(1));
    }
    assert_eq!(bench.deed(), Deed::Sync);
    bench.allow.send(()).unwrap();
    assert_eq!(bench.synced(), 4);
}

#[test]
fn nothing_is_reported_before_its_sync() {
    let mut bench = Bench::start(None);
    let config = EpochConfig::new(Epoch(1), [NodeId::from_u128(1)]);
    bench.persist(1, Record::Epoch { config, base: Position::GENESIS });
    assert_eq!([bench.deed(), bench.deed()], [Deed::Append(1), Deed::Sync]);
    assert!(bench.reports.try_recv().is_err());
    bench.allow.send(()).unwrap();
    assert_eq!(bench.synced(), 1);
}

/// A log that takes its time where nobody waits.
struct Untidy(Receiver<()>);

impl Log for Untidy {
    type Reader = Found;

    fn append(&mut self, _: &[Record]) -> Result<(), LogError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn tidy(&mut self) -> Result<(), LogError> {
        self.0.recv_timeout(PATIENCE).expect("the report comes first");
        Ok(())
    }

    fn show(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn reader(&self) -> Found {
        Found(sync_channel(1).1)
    }
}

#[test]
fn what_is_durable_is_reported_before_the_log_is_tidied() {
    let (go_on, gate) = sync_channel(1);
    let (disk, mut reports) = Disk::start(Untidy(gate), Arc::new(Metrics::new())).unwrap();
    for batch in [1, 2] {
        let records = vec![promise(batch)];
        assert!(disk.push(Job::Persist { batch, records }).is_ok());
        let reported = reports.blocking_recv();
        assert!(matches!(reported, Some(Report::Synced { through, .. }) if through == batch));
        go_on.send(()).unwrap();
    }
}

#[test]
fn a_commit_needs_no_sync_but_gets_one_when_nothing_else_comes() {
    let mut bench = Bench::start(None);
    bench.persist(1, hint());
    assert_eq!(bench.synced(), 1);
    assert_eq!([bench.deed(), bench.deed()], [Deed::Append(1), Deed::Sync]);
    bench.allow.send(()).unwrap();
}

#[test]
fn what_waits_is_done_and_synced_at_the_end() {
    let mut bench = Bench::start(None);
    bench.persist(1, hint());
    assert_eq!((bench.synced(), bench.deed()), (1, Deed::Append(1)));
    let answer = bench.read();
    bench.allow.send(()).unwrap();
    bench.allow_read.send(()).unwrap();
    let Bench { disk, mut reports, deeds, allow: _allow, allow_read: _allow_read } = bench;
    for thread in disk.close() {
        thread.join().unwrap();
    }
    // The hint is not synced before the read, unless it has waited too long by then.
    let deeds: Vec<_> = deeds.into_iter().collect();
    assert!(deeds == [Deed::Show, Deed::Sync] || deeds == [Deed::Sync, Deed::Show], "{deeds:?}");
    assert_eq!(answer.blocking_recv(), Ok(Vec::new()));
    assert!(reports.blocking_recv().is_none());
}

#[test]
fn no_sync_waits_for_a_read() {
    let mut bench = Bench::start(None);
    let mut answer = bench.read();
    assert_eq!(bench.deed(), Deed::Show);
    bench.persist(1, promise(1));
    bench.allow.send(()).unwrap();
    assert_eq!(bench.synced(), 1);
    assert!(answer.try_recv().is_err(), "the disk has not found it yet");
    bench.allow_read.send(()).unwrap();
    assert_eq!(answer.blocking_recv(), Ok(Vec::new()));
}

#[test]
fn a_read_that_fails_is_reported() {
    let mut bench = Bench::start(None);
    drop(bench.allow_read);
    bench.allow_read = sync_channel(1).0;
    let answer = bench.read();
    assert!(matches!(bench.reports.blocking_recv(), Some(Report::Failed(_))));
    assert!(answer.blocking_recv().is_err());
}

#[test]
fn a_failure_is_the_last_report() {
    let path = std::path::PathBuf::from("log");
    let mut bench = Bench::start(Some(LogError::Locked { path }));
    bench.persist(1, promise(1));
    assert!(matches!(bench.reports.blocking_recv(), Some(Report::Failed(_))));
    assert!(bench.reports.blocking_recv().is_none());
}

#[test]
fn what_could_not_be_synced_is_never_reported_as_durable() {
    let path = std::path::PathBuf::from("log");
    let mut bench = Bench::start_failing(Some(LogError::Locked { path }), true);
    bench.persist(1, promise(1));
    bench.allow.send(()).unwrap();
    assert!(matches!(bench.reports.blocking_recv(), Some(Report::Failed(_))));
    assert!(bench.reports.blocking_recv().is_none());
}
