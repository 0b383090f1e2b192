//! Two threads for the disk, so that the driver never waits for it.
//!
//! One appends what waits and syncs once for all of it. Reads of what was committed long ago are queued among
//! that, so that each sees every commit that was told before it was asked for; what they find they find on the
//! other thread, so that no commit waits for them, however cold the entries are.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::consensus::{Entry, Record, Serve};
use crate::limits;
use crate::mutant::{self, Mutant};
use crate::runtime::metrics::Metrics;
use crate::storage::{Log, LogError, LogReader};
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

/// How many reads may wait: more than peers and clients are allowed at once (see `executor` and `handle`).
const READS: usize = 512;

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

/// The threads and the way to them.
pub(super) struct Disk {
    jobs: SyncSender<Job>,
    threads: [JoinHandle<()>; 2],
}

/// The queue is full.
pub(super) struct Overflow;

impl Disk {
    /// Starts the threads; what they do comes out of the receiver.
    ///
    /// # Errors
    /// What the system said when it refused a thread.
    pub(super) fn start<L>(
        mut log: L,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, mpsc::Receiver<Report>)>
    where
        L: Log<Reader: Send + 'static> + Send + 'static,
    {
        let (jobs, waiting) = sync_channel(QUEUE);
        let (readings, wanted) = sync_channel(READS);
        let (reports, reported) = mpsc::channel(REPORTS);
        let (reader, answers) = (log.reader(), reports.clone());
        let reading =
            thread("disk-reads", answers, move |answers| read(&reader, &wanted, answers))?;
        let writing = thread("disk", reports, move |reports| {
            write(&mut log, &waiting, &readings, reports, &metrics)
        })?;
        Ok((Self { jobs, threads: [writing, reading] }, reported))
    }

    /// Adds a job behind all others, without waiting. Where the threads have ended it is lost, and the
    /// last report says why.
    pub(super) fn push(&self, job: Job) -> Result<(), Overflow> {
        match self.jobs.try_send(job) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Overflow),
        }
    }

    /// No more jobs will come: the threads do what waits, sync, and their reports end.
    pub(super) fn close(self) -> [JoinHandle<()>; 2] {
        self.threads
    }
}

/// A thread that does `work`; what it fails with is its last report.
fn thread(
    name: &str,
    reports: mpsc::Sender<Report>,
    work: impl FnOnce(&mpsc::Sender<Report>) -> Result<(), LogError> + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(error) = work(&reports) {
            // Nobody listens any more once the node has ended.
            let _ = reports.blocking_send(Report::Failed(error));
        }
    })
}

/// Appends and syncs until no more jobs can come, and passes reads on.
fn write<L: Log>(
    log: &mut L,
    jobs: &Receiver<Job>,
    readings: &SyncSender<Reading>,
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
        if !reads.is_empty() {
            log.show()?;
        }
        for reading in reads {
            if readings.send(reading).is_err() {
                // Reading has failed, and says so.
                return Ok(());
            }
        }
    }
    if hint_since.is_some() { log.sync() } else { Ok(()) }
}

/// Reads until nothing more can be wanted. Whoever asked may be gone by now; nobody misses the answer then.
fn read(
    reader: &impl LogReader,
    wanted: &Receiver<Reading>,
    reports: &mpsc::Sender<Report>,
) -> Result<(), LogError> {
    for reading in wanted {
        match reading {
            Reading::ForPeer(serve) => {
                let entries = reader.read(serve.from, serve.through, limits::BATCH_BYTES)?;
                let _ = reports.blocking_send(Report::Served { serve, entries });
            }
            Reading::ForClient { from, through, weight_max, reply } => {
                let _ = reply.send(reader.read(from, through, weight_max)?);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        assert_eq!(deeds.into_iter().collect::<Vec<_>>(), [Deed::Show, Deed::Sync]);
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
}
