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
mod tests;
