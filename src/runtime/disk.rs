//! The disk thread: appends what waits, syncs once for all of it, and reads what was committed long ago.
//!
//! It is the only one that touches the log, so a read sees every commit that was told before it was
//! asked for, and the driver never waits for the disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::consensus::{Entry, Record, Serve};
use crate::limits;
use crate::mutant::{self, Mutant};
use crate::runtime::metrics::Metrics;
use crate::storage::{Log, LogError};
use crate::types::Slot;

/// How long a commit may wait for a sync that something else needs. It is only a hint: what it
/// saves is asking the quorum again after a restart.
const HINT_AGE_MAX: Duration = Duration::from_secs(1);

/// How many jobs one sync may serve: bounds how long the first of them waits for the last.
const JOBS_PER_SYNC_MAX: usize = 1_024;

/// How many jobs may wait. The driver takes no more from peers and clients at half of this (see
/// `executor`); what remains is for its own timers, and for reads, which are few at a time.
/// A full queue stops the node, as a disk does that finishes nothing for many timeouts.
const QUEUE: usize = 2_048;

/// Reports on their way to the driver, which always takes them: a full queue only delays the disk.
const REPORTS: usize = 256;

/// One thing to do.
pub(super) enum Job {
    /// Append these records.
    Persist {
        /// The batch they are.
        batch: u64,
        /// In order.
        records: Vec<Record>,
    },
    /// Read committed entries.
    Read(Reading),
}

/// Committed entries to read, and for whom.
pub(super) enum Reading {
    /// For a peer that is far behind.
    ForPeer(Serve),
    /// For a client.
    ForClient {
        /// The first slot wanted.
        from: Slot,
        /// The last slot wanted.
        through: Slot,
        /// The most the entries may weigh together, except for a single one.
        weight_max: usize,
        /// Who asked.
        reply: oneshot::Sender<Vec<Entry>>,
    },
}

/// What the disk did.
#[derive(Debug)]
pub(super) enum Report {
    /// All batches up to `through` will be found after a restart.
    Synced {
        /// The number of the last of them.
        through: u64,
        /// How long the sync took; zero if none was needed.
        took: Duration,
    },
    /// What a peer asked for.
    Served {
        /// What was asked for.
        serve: Serve,
        /// In order.
        entries: Vec<Entry>,
    },
    /// The log is unusable from now on.
    Failed(LogError),
}

/// The thread and the way to it.
pub(super) struct Disk {
    jobs: SyncSender<Job>,
    thread: JoinHandle<()>,
}

/// The queue is full.
pub(super) struct Overflow;

impl Disk {
    /// Starts the thread; what it does comes out of the receiver.
    ///
    /// # Errors
    /// What the system said when it refused a thread.
    pub(super) fn start<L>(
        mut log: L,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, mpsc::Receiver<Report>)>
    where
        L: Log + Send + 'static,
    {
        let (jobs, waiting) = sync_channel(QUEUE);
        let (reports, reported) = mpsc::channel(REPORTS);
        let thread = std::thread::Builder::new().name("disk".to_owned()).spawn(move || {
            if let Err(error) = run(&mut log, &waiting, &reports, &metrics) {
                // Nobody listens any more once the node has ended.
                let _ = reports.blocking_send(Report::Failed(error));
            }
        })?;
        Ok((Self { jobs, thread }, reported))
    }

    /// Adds a job behind all others, without waiting. Where the thread has ended it is lost, and the
    /// last report says why.
    pub(super) fn push(&self, job: Job) -> Result<(), Overflow> {
        match self.jobs.try_send(job) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Overflow),
        }
    }

    /// No more jobs will come: the thread does what waits, syncs, and its reports end.
    pub(super) fn close(self) -> JoinHandle<()> {
        self.thread
    }
}

/// Does jobs until no more can come.
fn run<L: Log>(
    log: &mut L,
    jobs: &Receiver<Job>,
    reports: &mpsc::Sender<Report>,
    metrics: &Metrics,
) -> Result<(), LogError> {
    let mut hint_since: Option<Instant> = None;
    loop {
        let next = match hint_since {
            None => jobs.recv().map_err(RecvTimeoutError::from),
            Some(since) => jobs.recv_timeout(HINT_AGE_MAX.saturating_sub(since.elapsed())),
        };
        let first = match next {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => {
                log.sync()?;
                hint_since = None;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };

        let (mut through, mut took) = (None, Duration::ZERO);
        let mut needs_sync = hint_since.is_some_and(|since| since.elapsed() >= HINT_AGE_MAX);
        let mut reads = Vec::new();
        for job in std::iter::once(first).chain(jobs.try_iter().take(JOBS_PER_SYNC_MAX - 1)) {
            match job {
                Job::Persist { batch, records } => {
                    log.append(&records)?;
                    needs_sync |= records.iter().any(Record::needs_sync);
                    through = Some(batch);
                }
                Job::Read(reading) => reads.push(reading),
            }
        }
        if needs_sync {
            let started = Instant::now();
            match log.sync() {
                Err(_) if mutant::is(Mutant::FailedSyncReported) => {}
                outcome => outcome?,
            }
            took = started.elapsed();
            metrics.synced(took);
            hint_since = None;
        } else if through.is_some() {
            hint_since.get_or_insert_with(Instant::now);
        }
        if let Some(through) = through {
            if reports.blocking_send(Report::Synced { through, took }).is_err() {
                break;
            }
            log.tidy()?;
        }
        for reading in reads {
            read(log, reading, reports)?;
        }
    }
    if hint_since.is_some() { log.sync() } else { Ok(()) }
}

/// Whoever asked may be gone by now; nobody misses the answer then.
fn read<L: Log>(
    log: &mut L,
    reading: Reading,
    reports: &mpsc::Sender<Report>,
) -> Result<(), LogError> {
    match reading {
        Reading::ForPeer(serve) => {
            let entries = log.read(serve.from, serve.through, limits::BATCH_BYTES)?;
            let _ = reports.blocking_send(Report::Served { serve, entries });
        }
        Reading::ForClient { from, through, weight_max, reply } => {
            let _ = reply.send(log.read(from, through, weight_max)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        Read,
    }

    /// A log that tells what it is asked to do, and finishes a sync only when it is allowed to.
    struct Slow {
        deeds: SyncSender<Deed>,
        allowed: Receiver<()>,
        /// What is said of every append, or else of every sync.
        failure: Option<LogError>,
        fails_at_sync: bool,
    }

    impl Log for Slow {
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

        fn read(&mut self, _: Slot, _: Slot, _: usize) -> Result<Vec<Entry>, LogError> {
            let _ = self.deeds.send(Deed::Read);
            Ok(Vec::new())
        }
    }

    /// A disk, and the test's ends of it.
    struct Bench {
        disk: Disk,
        reports: mpsc::Receiver<Report>,
        deeds: Receiver<Deed>,
        allow: SyncSender<()>,
    }

    impl Bench {
        fn start(failure: Option<LogError>) -> Self {
            Self::start_failing(failure, false)
        }

        fn start_failing(failure: Option<LogError>, fails_at_sync: bool) -> Self {
            let ((deeds_in, deeds), (allow, allowed)) = (sync_channel(16), sync_channel(16));
            let log = Slow { deeds: deeds_in, allowed, failure, fails_at_sync };
            let (disk, reports) = Disk::start(log, Arc::new(Metrics::new())).unwrap();
            Self { disk, reports, deeds, allow }
        }

        fn persist(&self, batch: u64, record: Record) {
            assert!(self.disk.push(Job::Persist { batch, records: vec![record] }).is_ok());
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

        fn read(&mut self, _: Slot, _: Slot, _: usize) -> Result<Vec<Entry>, LogError> {
            Ok(Vec::new())
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
        let (reply, _) = oneshot::channel();
        let reading = Reading::ForClient { from: Slot(1), through: Slot(1), weight_max: 1, reply };
        assert!(bench.disk.push(Job::Read(reading)).is_ok());
        bench.allow.send(()).unwrap();
        let Bench { disk, mut reports, deeds, allow: _allow } = bench;
        disk.close().join().unwrap();
        assert_eq!(deeds.into_iter().collect::<Vec<_>>(), [Deed::Read, Deed::Sync]);
        assert!(reports.blocking_recv().is_none());
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
}
