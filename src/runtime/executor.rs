//! Walks effects from top to bottom: the disk, the sockets, old entries for peers, then everyone who waits.

use std::collections::VecDeque;
use std::time::Duration;

use crate::consensus::{self, Entry, EpochConfig, Record, Serve};
use crate::engine::{Effects, Event, Outgoing, Recipients};
use crate::runtime::disk::{Disk, Job, Reading};
use crate::runtime::failure::RunError;
use crate::runtime::publish::Publisher;
use crate::transport::{SendError, Transport, TransportStatus, wall_clock};
use crate::types::{MessageId, NodeId, Position, Time};
use crate::wire::{Payload, Ping};

/// How many batches may wait for the disk before the driver takes no more from peers and clients.
const HANDED_MAX: usize = 1_024;

/// How much may wait for the disk before the driver takes no more from peers and clients, as weighed
/// by [`Entry::weight`]. What one turn of the driver brings comes on top.
const HANDED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many reads for peers may wait for the disk. Beyond it a wish is dropped: who still lacks
/// something asks again.
const SERVING_MAX: usize = 256;

/// How long records that need no sync wait for one that does. What they save is asking the quorum again
/// after a restart; a job of their own costs each commit two changes of thread.
const HINTS_WAIT: Duration = Duration::from_millis(100);

/// How long the disk may finish nothing of what it was handed before it is said to hang, in multiples of
/// `suspect_after`, and the least that this may come to.
const HANGS_AFTER: u32 = 50;
const HANGS_AFTER_MIN: Duration = Duration::from_secs(30);

/// How many turns of the driver at least it takes to see that the disk hangs.
const LOOKS: u32 = 10;

/// How long the disk of a node with this `suspect_after` may finish nothing.
pub(super) fn hangs_after(suspect_after: Duration) -> Duration {
    (suspect_after * HANGS_AFTER).max(HANGS_AFTER_MIN)
}

/// The hands of one node.
pub(super) struct Executor {
    transport: Transport,
    disk: Disk,
    publisher: Publisher,
    /// The records for the disk that it was not handed yet.
    gathered: Vec<Record>,
    /// When the first of them was gathered.
    gathered_since: Time,
    /// Whether one of them must be synced.
    is_sync_due: bool,
    /// The last batch that is in `gathered`, or was.
    batch: u64,
    /// What the disk has not reported: the last batch of each turn, and its weight.
    handed: VecDeque<(u64, usize)>,
    /// The sum of these weights.
    handed_bytes: usize,
    /// Reads for peers that the disk has not answered.
    serving: usize,
    /// For how long the disk may finish nothing.
    hangs_after: Duration,
    standstill: Standstill,
}

impl Executor {
    /// Hands that have done nothing yet. A disk that finishes nothing for `hangs_after` stops the node.
    pub(super) fn new(
        transport: Transport,
        disk: Disk,
        publisher: Publisher,
        hangs_after: Duration,
    ) -> Self {
        Self {
            transport,
            disk,
            publisher,
            gathered: Vec::new(),
            gathered_since: Time::ZERO,
            is_sync_due: false,
            batch: 0,
            handed: VecDeque::new(),
            handed_bytes: 0,
            serving: 0,
            hangs_after,
            standstill: Standstill::default(),
        }
    }

    /// Does all that `effects` asks for, without waiting for any of it. What is to be persisted is
    /// gathered over a turn and handed to the disk by [`Executor::end_turn`]; nothing that is sent
    /// depends on it, for the engine says nothing before it is told of the sync.
    ///
    /// # Errors
    /// [`RunError`] if the node must stop.
    pub(super) fn run(&mut self, now: Time, effects: Effects) -> Result<(), RunError> {
        let Effects { batch, persist, send, serve, publish } = effects;
        if self.gathered.is_empty() {
            self.gathered_since = now;
        }
        self.is_sync_due |= persist.iter().any(Record::needs_sync);
        self.gathered.extend(persist);
        self.batch = batch;
        let timestamp = if send.is_empty() { 0 } else { wall_clock() };
        for outgoing in send {
            self.send(outgoing, timestamp);
        }
        for serve in serve.into_iter().take(SERVING_MAX - self.serving) {
            self.serve(serve)?;
        }
        if let Some(through) = publish.iter().rev().find_map(committed) {
            self.publisher.committed(through);
        }
        for event in publish {
            if let Event::Log(consensus::Event::EpochStarted(config)) = &event {
                self.expect_members(config);
            }
            self.publisher.publish(now, event).map_err(RunError::Identity)?;
        }
        Ok(())
    }

    /// These nodes always find a place among the links.
    pub(super) fn expect_members(&self, config: &EpochConfig) {
        self.transport.expect_members(config.members.iter().chain(&config.learners).copied());
    }

    /// Hands to the disk what was gathered, if it must be synced or has waited long enough; and looks whether
    /// the disk finishes what it was handed.
    ///
    /// # Errors
    /// [`RunError`] if the disk hangs.
    pub(super) fn end_turn(&mut self, now: Time) -> Result<(), RunError> {
        if self.is_sync_due || now.since(self.gathered_since) >= HINTS_WAIT {
            self.persist()?;
        }
        let oldest = self.handed.front().map(|(batch, _)| *batch);
        match self.standstill.look(now, oldest, self.hangs_after / LOOKS) {
            lasted if lasted < self.hangs_after => Ok(()),
            _ => Err(self.hangs()),
        }
    }

    /// Hands to the disk what was gathered.
    ///
    /// # Errors
    /// [`RunError`] if the disk takes nothing any more.
    pub(super) fn persist(&mut self) -> Result<(), RunError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.gathered);
        self.is_sync_due = false;
        let weight = records.iter().map(weight).sum();
        self.handed.push_back((self.batch, weight));
        self.handed_bytes += weight;
        self.push(Job::Persist { batch: self.batch, records })
    }

    /// The sockets.
    pub(super) fn sockets(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// The disk has all batches up to `through`.
    pub(super) fn synced(&mut self, through: u64) {
        while let Some((_, weight)) = self.handed.pop_front_if(|(batch, _)| *batch <= through) {
            self.handed_bytes -= weight;
        }
    }

    /// The disk answered a peer's wish; what it found follows, unless it is not there, and what is to be read next for it.
    ///
    /// # Errors
    /// [`RunError`] if the node must stop.
    pub(super) fn served(
        &mut self,
        found: Option<(Outgoing, Option<Serve>)>,
    ) -> Result<(), RunError> {
        self.serving -= 1;
        let Some((outgoing, next)) = found else { return Ok(()) };
        self.send(outgoing, wall_clock());
        next.map_or(Ok(()), |next| self.serve(next))
    }

    fn serve(&mut self, serve: Serve) -> Result<(), RunError> {
        self.serving += 1;
        self.read(Reading::ForPeer(serve))
    }

    /// Who has no link, or no room, does not get it. That is no loss: the engine repeats what matters,
    /// or by what peers announce it knows what they lack.
    fn send(&self, Outgoing { id, to, payload }: Outgoing, timestamp: u64) {
        let to = match to {
            Recipients::Everyone => None,
            Recipients::One(node) => Some(node),
        };
        if let Err(SendError::Full(peers)) = self.transport.send(id, to, payload, timestamp) {
            self.publisher.metrics().frames_dropped(peers.len());
        }
    }

    /// Asks a peer to answer; who has no link or no room is not asked.
    pub(super) fn ping(&self, id: MessageId, peer: NodeId) {
        let _ = self.transport.send(id, Some(peer), Payload::Ping(Ping::default()), wall_clock());
    }

    /// What went over the network.
    pub(super) fn transport(&self) -> TransportStatus {
        self.transport.status()
    }

    /// Reads old entries, behind all that was persisted before.
    ///
    /// # Errors
    /// [`RunError`] if the disk takes nothing any more.
    pub(super) fn read(&mut self, reading: Reading) -> Result<(), RunError> {
        self.persist()?;
        self.push(Job::Read(reading))
    }

    /// Turns whose records the disk has not synced.
    pub(super) fn handed(&self) -> usize {
        self.handed.len()
    }

    /// Whether so much waits for the disk that nothing more may come in.
    pub(super) fn is_full(&self) -> bool {
        self.handed.len() >= HANDED_MAX || self.handed_bytes >= HANDED_BYTES_MAX
    }

    /// Those who wait for answers.
    pub(super) fn publisher(&mut self) -> &mut Publisher {
        &mut self.publisher
    }

    /// For how long the disk may finish nothing before it is said to hang.
    pub(super) fn hangs_after(&self) -> Duration {
        self.hangs_after
    }

    /// What is said of a disk that hangs.
    pub(super) fn hangs(&self) -> RunError {
        RunError::DiskStalled { waiting: self.handed.len() }
    }

    /// The parts, for an orderly end. Whoever still waits for an answer is told that none comes.
    pub(super) fn into_parts(self) -> (Disk, Transport) {
        (self.disk, self.transport)
    }

    fn push(&mut self, job: Job) -> Result<(), RunError> {
        self.disk.push(job).map_err(|_| self.hangs())
    }
}

/// For how long the disk has finished nothing, though something waits for it.
#[derive(Debug, Default)]
struct Standstill {
    /// The oldest batch that waits.
    oldest: Option<u64>,
    /// For how long it has been the oldest.
    lasted: Duration,
    looked: Time,
}

impl Standstill {
    /// Looks again. What passed since the last look counts for `pause_max` at most: where this process was held,
    /// so was its disk thread.
    fn look(&mut self, now: Time, oldest: Option<u64>, pause_max: Duration) -> Duration {
        let passed = now.since(self.looked).min(pause_max);
        self.lasted = match oldest.is_some() && oldest == self.oldest {
            true => self.lasted + passed,
            false => Duration::ZERO,
        };
        (self.oldest, self.looked) = (oldest, now);
        self.lasted
    }
}

/// Where the log is committed through, if the event says so.
fn committed(event: &Event) -> Option<Position> {
    match event {
        Event::Log(consensus::Event::Committed(commit)) => Some(commit.entry.position()),
        _ => None,
    }
}

/// About how many bytes a record takes.
fn weight(record: &Record) -> usize {
    let entries = match record {
        Record::Adopt { entries, .. }
        | Record::Append { entries, .. }
        | Record::Learn { entries, .. } => entries.as_slice(),
        Record::Epoch { .. } | Record::Promise { .. } | Record::Commit { .. } => &[],
    };
    128 + entries.iter().map(Entry::weight).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Time {
        Time::from_start(SECOND * u32::try_from(seconds).expect("a short test"))
    }

    #[test]
    fn a_disk_that_finishes_nothing_stands_still_and_one_that_is_slow_does_not() {
        let mut disk = Standstill::default();
        for second in 1..100 {
            assert_eq!(disk.look(at(second), None, SECOND), Duration::ZERO, "nothing waits");
        }
        for second in 100..200 {
            let slow = Some(second / 10);
            assert!(disk.look(at(second), slow, SECOND) < 10 * SECOND, "at {second}");
        }
        for (second, lasted) in (200..300).zip(0..) {
            assert_eq!(disk.look(at(second), Some(99), SECOND), lasted * SECOND);
        }
        assert_eq!(disk.look(at(300), Some(100), SECOND), Duration::ZERO);
    }

    #[test]
    fn a_pause_of_the_whole_process_is_no_standstill_of_the_disk() {
        let mut disk = Standstill::default();
        disk.look(at(1), Some(1), SECOND);
        assert_eq!(disk.look(at(1_000), Some(1), SECOND), SECOND);
        assert_eq!(disk.look(at(1_001), Some(1), SECOND), 2 * SECOND);
    }

    #[test]
    fn a_disk_is_given_many_timeouts() {
        assert_eq!(hangs_after(Duration::from_millis(10)), 30 * SECOND);
        assert_eq!(hangs_after(2 * SECOND), 100 * SECOND);
    }
}
