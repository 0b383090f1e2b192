//! A running node as a program uses it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use uuid::Uuid;

use crate::config::Address;
use crate::consensus::{Entry, Proposal};
use crate::limits;
use crate::runtime::answer::{
    Delivery, Outcome, ReadError, Rejection, RelistError, SendError, Status, Stopped,
};
use crate::runtime::command::{Command, Reply};
use crate::runtime::metrics::Metrics;
use crate::runtime::notice::{Notice, Subscription};
use crate::runtime::proposing::{Outcomes, Proposing, proposing};
use crate::types::{NodeId, Position, ProposalId, Slot, Value};

/// Commands that wait for the driver. Proposals beyond it are answered `busy`; whoever asks for
/// anything else waits.
pub(super) const COMMANDS: usize = 4_096;

/// How many may ask at once where the node stands; further ones wait their turn.
pub(super) const QUESTIONS: usize = 16;

/// How many reads of old entries may wait for the disk at once, whether anybody still waits for them or not; further
/// ones wait their turn.
pub(super) const DISK_READS: usize = 16;

/// The most that [`Handle::committed`] returns at once, as weighed by [`Entry::weight`], except for a single entry.
const ENTRIES_WEIGHT_MAX: usize = 1024 * 1024;

/// What never changes in the life of a node.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) id: NodeId,
    pub(super) name: String,
    pub(super) cluster: String,
    pub(super) address: SocketAddr,
    /// The list of peers as written.
    pub(super) listed: Vec<String>,
    pub(super) data_dir: PathBuf,
}

/// A way to talk to a running node. Cheap to clone; outlives the node, and says so when asked.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) facts: Arc<Facts>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) questions: mpsc::Sender<oneshot::Sender<Status>>,
    pub(super) notices: broadcast::WeakSender<Notice>,
    pub(super) committed: watch::Receiver<Position>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) disk_reads: Arc<Semaphore>,
}

impl Handle {
    /// How long [`Handle::propose`] waits.
    pub const PROPOSE_TIMEOUT: Duration = Duration::from_secs(10);

    /// Who this node is.
    pub fn id(&self) -> NodeId {
        self.facts.id
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// Where it listens for peers.
    pub fn address(&self) -> SocketAddr {
        self.facts.address
    }

    /// Proposes a value under a fresh id, and waits up to [`Handle::PROPOSE_TIMEOUT`] for what becomes of it.
    pub async fn propose(&self, value: Value) -> Outcome {
        let id = ProposalId::from(Uuid::new_v4());
        self.propose_as(id, value, None, Self::PROPOSE_TIMEOUT).await
    }

    /// Proposes a value under a given id, so that the same request can be repeated at any node and
    /// takes effect once. `until` is the last slot in which it may do so; a repetition must give the same.
    ///
    /// After `timeout` the outcome is [`Outcome::Unknown`].
    pub async fn propose_as(
        &self,
        id: ProposalId,
        value: Value,
        until: Option<Slot>,
        timeout: Duration,
    ) -> Outcome {
        self.offer(Proposal { id, value, until }, true, timeout).await
    }

    /// Hands a proposal in without waiting for the decision: [`Outcome::Unknown`] once the node has taken it.
    pub async fn submit(&self, id: ProposalId, value: Value, until: Option<Slot>) -> Outcome {
        self.offer(Proposal { id, value, until }, false, Self::PROPOSE_TIMEOUT).await
    }

    async fn offer(&self, proposal: Proposal, wait: bool, timeout: Duration) -> Outcome {
        let outcome = self.outcome(proposal, wait, timeout).await;
        // Who does not wait is told of nothing but a refusal.
        if wait || outcome != Outcome::Unknown {
            self.metrics.proposed(&outcome);
        }
        outcome
    }

    async fn outcome(&self, proposal: Proposal, wait: bool, timeout: Duration) -> Outcome {
        let (reply, answer) = oneshot::channel();
        let reply = Reply::Alone(reply);
        match self.commands.try_send(Command::Propose { proposal, wait, reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Outcome::Rejected(Rejection::Busy),
            Err(TrySendError::Closed(_)) => return Outcome::Rejected(Rejection::Stopped),
        }
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(outcome)) => outcome,
            // Late, or the node stopped meanwhile: others may have the proposal.
            Err(_) | Ok(Err(_)) => Outcome::Unknown,
        }
    }

    /// A way for one client to have many proposals under way, at most `in_flight_max` that are not decided and taken.
    /// No outcome is [`Outcome::Unknown`] for having taken long: what is not told when the node stops is unknown.
    ///
    /// # Panics
    /// If `in_flight_max` is 0.
    pub fn proposing(&self, in_flight_max: usize) -> (Proposing, Outcomes) {
        proposing(self.commands.clone(), Arc::clone(&self.metrics), in_flight_max)
    }

    /// Waits until everything that was committed anywhere before this call is committed and readable
    /// here (R12); says up to where that is.
    ///
    /// # Errors
    /// [`ReadError`], above all when no quorum answers within `timeout`.
    pub async fn read(&self, timeout: Duration) -> Result<Position, ReadError> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.commands.send(Command::Read { reply }).await.map_err(|_| ReadError::Stopped)?;
            answer.await.unwrap_or(Err(ReadError::Stopped))
        };
        let outcome =
            tokio::time::timeout(timeout, asked).await.unwrap_or(Err(ReadError::TimedOut));
        self.metrics.read(&outcome);
        outcome
    }

    /// Committed entries in order from slot `from`: at most `limit`, and fewer where they are large or
    /// not committed yet. What this node knows; for the newest of all, [`Handle::read`] first.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn committed(&self, from: Slot, limit: usize) -> Result<Vec<Entry>, Stopped> {
        let from = from.max(Slot(1));
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let through =
            Slot(from.0.saturating_add(limit).saturating_sub(1)).min(self.committed_through().slot);
        if limit == 0 || through < from {
            return Ok(Vec::new());
        }
        let disk_reads = Arc::clone(&self.disk_reads);
        let permit = disk_reads.acquire_owned().await.map_err(|_| Stopped)?;
        let (reply, answer) = oneshot::channel();
        let weight_max = ENTRIES_WEIGHT_MAX;
        self.commands
            .send(Command::Entries { from, through, weight_max, reply })
            .await
            .map_err(|_| Stopped)?;
        // Whoever asked may give up waiting; the disk has the read before it all the same, and only when
        // that is done may another one wait there.
        let reading = tokio::spawn(async move {
            let entries = answer.await;
            drop(permit);
            entries
        });
        let entries = reading.await.map_err(|_| Stopped)?;
        entries.map_err(|_| Stopped)
    }

    /// What is committed here.
    pub fn committed_through(&self) -> Position {
        *self.committed.borrow()
    }

    /// Waits until `slot` is committed here.
    ///
    /// # Errors
    /// [`Stopped`], when it will not be any more.
    pub async fn wait_committed(&self, slot: Slot) -> Result<Position, Stopped> {
        let mut committed = self.committed.clone();
        let position = committed.wait_for(|position| position.slot >= slot).await;
        position.map(|position| *position).map_err(|_| Stopped)
    }

    /// Waits until a proposal made here can commit: the cluster is formed and a quorum is heard.
    ///
    /// # Errors
    /// [`Stopped`], when it will not be any more.
    pub async fn wait_ready(&self) -> Result<Status, Stopped> {
        let mut notices = self.subscribe();
        loop {
            let status = self.status().await?;
            if status.ready() {
                return Ok(status);
            }
            notices.next().await.ok_or(Stopped)?;
        }
    }

    /// What happens at this node from now on. Nothing, if it has stopped.
    pub fn subscribe(&self) -> Subscription {
        let notices = match self.notices.upgrade() {
            Some(notices) => notices.subscribe(),
            None => broadcast::channel(1).1,
        };
        Subscription::new(notices, Arc::clone(&self.metrics))
    }

    /// What this node counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The size of the files in the node's directory, in bytes; 0 where the system does not say.
    pub async fn log_bytes(&self) -> u64 {
        let directory = self.facts.data_dir.clone();
        let sizes = move || {
            let files = std::fs::read_dir(directory).ok()?.filter_map(Result::ok);
            let sizes = files.filter_map(|file| file.metadata().ok());
            Some(sizes.filter(std::fs::Metadata::is_file).map(|file| file.len()).sum())
        };
        tokio::task::spawn_blocking(sizes).await.ok().flatten().unwrap_or(0)
    }

    /// Sends a text to everyone that is online, and waits until they have it or the time is up.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn broadcast(&self, text: &str) -> Result<Delivery, SendError> {
        self.tell(None, text).await
    }

    /// Sends a text to one node, and waits until it has it or the time is up.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, to: NodeId, text: &str) -> Result<Delivery, SendError> {
        self.tell(Some(to), text).await
    }

    async fn tell(&self, to: Option<NodeId>, text: &str) -> Result<Delivery, SendError> {
        if text.len() > limits::DATA_BYTES_MAX {
            return Err(SendError::TooLong { bytes: text.len() });
        }
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(Command::Send { to, text: text.into(), reply })
            .await
            .map_err(|_| SendError::Stopped)?;
        answer.await.unwrap_or(Err(SendError::Stopped))
    }

    /// From now on dials these addresses, with these waits between two dials of one. They are ways to the
    /// same members: who belongs does not change by them.
    ///
    /// # Errors
    /// [`RelistError`]; nothing has changed then.
    pub async fn relist(
        &self,
        listed: Vec<Address>,
        redial_min: Duration,
        redial_max: Duration,
    ) -> Result<(), RelistError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(Command::Relist { listed, redial_min, redial_max, reply })
            .await
            .map_err(|_| RelistError::Stopped)?;
        answer.await.unwrap_or(Err(RelistError::Stopped))
    }

    /// Where this node stands.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn status(&self) -> Result<Status, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.questions.send(reply).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Digest;

    /// How long what must happen may take before a test fails.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn readers_that_give_up_do_not_crowd_the_disk() {
        let facts = Facts {
            id: NodeId::from_u128(1),
            name: "n1".to_owned(),
            cluster: "demo".to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            listed: Vec::new(),
            data_dir: PathBuf::from("nowhere"),
        };
        let (commands, mut waiting) = mpsc::channel(COMMANDS);
        let (questions, _) = mpsc::channel(QUESTIONS);
        let (notices, _) = broadcast::channel(1);
        let last = Position { slot: Slot(9), hash: Digest::new([7; 32]) };
        let (_committed, committed) = watch::channel(last);
        let handle = Handle {
            facts: Arc::new(facts),
            commands,
            questions,
            notices: notices.downgrade(),
            committed,
            metrics: Arc::new(Metrics::new()),
            disk_reads: Arc::new(Semaphore::new(DISK_READS)),
        };
        for _ in 0..10 * DISK_READS {
            let asked = tokio::time::timeout(Duration::ZERO, handle.committed(Slot(1), 1)).await;
            assert!(asked.is_err(), "nobody answers");
        }
        assert_eq!(waiting.len(), DISK_READS);
        let answering = async {
            while let Some(command) = waiting.recv().await {
                let Command::Entries { reply, .. } = command else { panic!("a read is due") };
                let _ = reply.send(Vec::new());
            }
        };
        tokio::select! {
            () = answering => panic!("the handle lives"),
            read = tokio::time::timeout(PATIENCE, handle.committed(Slot(1), 1)) => {
                assert_eq!(read.expect("each answer makes room"), Ok(Vec::new()));
            }
        }
    }
}
