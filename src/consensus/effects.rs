//! What the consensus machine wants done. The order of the fields is the order of the deeds.

use std::time::Duration;

use crate::consensus::{Body, Entry, EpochConfig, Message, Record};
use crate::types::{Epoch, NodeId, Position, ProposalId, Round, Slot};

/// The answer to one input.
///
/// `persist` is appended and synced; `send` may leave at once: whatever it says of durable state
/// is drawn from what earlier batches made durable, for the machine moves its durable view
/// only when it is told [`super::Input::Synced`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Records to append, in order.
    pub persist: Vec<Record>,
    /// Messages to send.
    pub send: Vec<Send>,
    /// Committed entries to read from the log and send, for peers that are far behind.
    pub serve: Vec<Serve>,
    /// What the host is told.
    pub publish: Vec<Event>,
    /// The heartbeat says something new: send one now.
    pub beat_now: bool,
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum To {
    /// Every other member and learner.
    Everyone,
    /// This one.
    One(NodeId),
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// Whom it is for.
    pub to: To,
    /// What it says.
    pub message: Message,
}

/// Committed entries that are no longer in memory: to be read from the log and sent as [`Body::Entries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serve {
    /// Whom they are for.
    pub to: NodeId,
    /// The first slot wanted.
    pub from: Slot,
    /// The last slot wanted; at most what is committed here.
    pub through: Slot,
    /// What is committed here.
    pub committed: Position,
    /// In how many messages at most, this one included.
    pub messages: usize,
}

impl Serve {
    /// What goes on with the same answer, once this much of it was read: up to `last`.
    pub(crate) fn next(self, last: Slot) -> Option<Self> {
        let more = self.messages > 1 && last < self.through;
        more.then(|| Self { from: last.next(), messages: self.messages - 1, ..self })
    }
}

/// Something the host is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An entry is final and durable here. In slot order, once per life of the process.
    Committed(Commit),
    /// What became of a proposal submitted here (R13).
    Outcome {
        /// The proposal.
        id: ProposalId,
        /// What became of it.
        outcome: Outcome,
    },
    /// A read barrier is passed: everything committed before the read is delivered (R12).
    ReadReady {
        /// Of the read.
        token: u64,
        /// What is committed and delivered here.
        at: Position,
    },
    /// A read that cannot wait: the queue is full.
    ReadRefused {
        /// Of the read.
        token: u64,
    },
    /// An epoch starts, durably.
    EpochStarted(EpochConfig),
    /// Another round is under way as seen from here.
    RoundChanged {
        /// The round.
        round: Round,
        /// Its proposer.
        proposer: NodeId,
        /// Whether the proposer is known to lead it by now.
        leads: bool,
    },
    /// This node suspects the proposer of a round, or no longer does.
    Suspects {
        /// The round; none when the suspicion ended.
        round: Option<Round>,
        /// Its proposer.
        proposer: NodeId,
    },
    /// A peer broke a rule that no honest member breaks; it was ignored.
    Misbehaved {
        /// Who.
        peer: NodeId,
        /// What it did.
        what: &'static str,
    },
    /// This node must stop: going on could break a promise.
    Halt(Halt),
}

/// A commit as it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The entry.
    pub entry: Entry,
    /// Votes counted when the commit was found, and members of the epoch; none if it was learned.
    pub votes: Option<(usize, usize)>,
    /// The round whose votes made it.
    pub round: Option<Round>,
    /// Who proposed in that round.
    pub proposer: Option<NodeId>,
    /// From the moment this node first saw the entry or its proposal.
    pub took: Option<Duration>,
    /// The slot in which the same proposal took effect before this one (R13).
    pub duplicate_of: Option<Slot>,
    /// The entry stands beyond its proposal's `until` and has no effect (R13).
    pub void: bool,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stands in this slot for ever.
    Committed(Position),
    /// It had been committed under the same id before.
    Duplicate(Slot),
    /// It is surely not committed under this acceptance.
    Rejected(Rejection),
}

/// Why a proposal was surely not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// Its `until` slot is passed: wherever it may still appear, it is void.
    Expired,
    /// Too many proposals wait here; said before acceptance.
    Busy,
    /// The cluster is not formed, so nothing can be accepted.
    NotFormed,
}

/// Why a node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// Two different entries were voted or committed in one place (R6, R8, R9).
    #[error(
        "two different histories are called final: this log has {ours}, {peer} says {theirs}; \
         a data directory was copied, edited or lost: keep it, and compare `node log` of all members"
    )]
    Conflict {
        /// Who said otherwise.
        peer: NodeId,
        /// What stands here.
        ours: Position,
        /// What it said.
        theirs: Position,
    },
    /// R15: a peer that remembers more of this node than the node itself.
    #[error(
        "this data directory is older than what its node said before (reported by {peer}): it was \
         restored from a copy or lost its end; a majority must go on without this member, \
         for its old votes may be missing"
    )]
    Forgot {
        /// Who remembers.
        peer: NodeId,
    },
}

impl Effects {
    pub(super) fn say(&mut self, to: To, epoch: Epoch, body: Body) {
        self.send.push(Send { to, message: Message { epoch, body } });
    }
}
