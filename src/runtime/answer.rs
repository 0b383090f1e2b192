//! What clients are told: what became of a proposal, a read, a message, and where the node stands.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::consensus::{self, Commit};
use crate::engine::{self, Situation, Verdict};
use crate::limits;
use crate::transport::TransportStatus;
use crate::types::{Digest, NodeId, Round, Slot, Time};

/// What became of a proposal (R13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stands in the log for ever.
    Committed(Committed),
    /// It had been committed under the same id before.
    Duplicate {
        /// Where it took effect.
        slot: Slot,
    },
    /// It is surely not committed by this request.
    Rejected(Rejection),
    /// It may still commit: asking again under the same id is safe.
    Unknown,
}

/// Where and how a proposal was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its place in the log.
    pub slot: Slot,
    /// The hash of its entry, which names the whole log up to it.
    pub hash: Digest,
    /// Votes counted when this node found the commit, and members of the epoch; none if it was learned.
    pub votes: Option<(usize, usize)>,
    /// The round whose votes made it.
    pub round: Option<Round>,
    /// Who proposed in that round.
    pub proposer: Option<NodeId>,
    /// From the moment this node first saw it.
    pub took: Option<Duration>,
}

impl From<&Commit> for Committed {
    fn from(commit: &Commit) -> Self {
        let position = commit.entry.position();
        Self {
            slot: position.slot,
            hash: position.hash,
            votes: commit.votes,
            round: commit.round,
            proposer: commit.proposer,
            took: commit.took,
        }
    }
}

/// Why a proposal is surely not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The slot given as its last is passed.
    #[error("the log has passed the last slot allowed for it: propose it anew with a later one")]
    Expired,
    /// Too many proposals wait at this node.
    #[error("too many proposals wait at this node: try again in a moment, or at another node")]
    Busy,
    /// This node belongs to no cluster yet.
    #[error("the cluster is not formed yet: wait until every listed node has been met")]
    NotFormed,
    /// The node is stopping or has stopped.
    #[error("the node is stopping: ask another one")]
    Stopped,
}

impl From<consensus::Rejection> for Rejection {
    fn from(why: consensus::Rejection) -> Self {
        match why {
            consensus::Rejection::Expired => Self::Expired,
            consensus::Rejection::Busy => Self::Busy,
            consensus::Rejection::NotFormed => Self::NotFormed,
        }
    }
}

/// Why a read cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No quorum answered in time.
    #[error(
        "no quorum answered in time, so what is newest cannot be known: see `node status`, or read locally"
    )]
    TimedOut,
    /// Too many reads wait at this node.
    #[error("too many reads wait at this node: try again in a moment, or at another node")]
    Busy,
    /// This node belongs to no cluster yet.
    #[error("the cluster is not formed yet: wait until every listed node has been met")]
    NotFormed,
    /// The node is stopping or has stopped.
    #[error("the node is stopping: ask another one")]
    Stopped,
}

/// Why a message is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Longer than the limit.
    #[error(
        "the text has {bytes} bytes, the limit is {}: send it in parts",
        limits::DATA_BYTES_MAX
    )]
    TooLong {
        /// Bytes of the text.
        bytes: usize,
    },
    /// Too many messages wait for acknowledgement.
    #[error("too many messages wait for acknowledgement: try again in a moment")]
    Busy,
    /// The node is stopping or has stopped.
    #[error("the node is stopping: ask another one")]
    Stopped,
}

/// The node has stopped, so it cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct Stopped;

/// Who has a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Who acknowledged it.
    pub by: Vec<NodeId>,
    /// Who should have it and did not say so in time; it may have it nevertheless.
    pub missing: Vec<NodeId>,
}

/// What waits inside of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Arrivals from links, each up to a read of a socket.
    pub inbox: usize,
    /// Requests of clients.
    pub commands: usize,
    /// Turns whose records the disk has not synced.
    pub disk: usize,
}

/// Where a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who it is.
    pub id: NodeId,
    /// Its name, for people.
    pub name: String,
    /// The cluster it belongs to.
    pub cluster: String,
    /// Where it listens for peers.
    pub address: SocketAddr,
    /// The moment of this answer, on the clock of [`crate::peers::NodeInfo::last_seen`].
    pub now: Time,
    /// Where it stands.
    pub engine: engine::Status,
    /// The list of peers as written.
    pub listed: Vec<String>,
    /// What went over the network.
    pub transport: TransportStatus,
    /// What waits inside.
    pub queues: Queues,
    /// How long a question to each linked peer takes, where that is known.
    pub round_trips: BTreeMap<NodeId, Duration>,
}

impl Status {
    /// Why nothing commits here, or that all is well, in words.
    pub fn verdict(&self) -> Verdict {
        let obstacles = self.transport.obstacles.iter();
        let obstacles: Vec<_> =
            obstacles.map(|obstacle| (obstacle.whom.clone(), obstacle.why.clone())).collect();
        let situation = Situation {
            me: self.id,
            name: &self.name,
            now: self.now,
            listed: &self.listed,
            obstacles: &obstacles,
        };
        Verdict::of(&self.engine, &situation)
    }

    /// Whether a proposal made here can commit, as far as this node can tell: the cluster is formed
    /// and a quorum is heard.
    pub fn ready(&self) -> bool {
        self.engine.quorum.is_some_and(|quorum| quorum.is_heard)
    }
}

/// Why other addresses are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelistError {
    /// Until all founders have met, the list says who they are.
    #[error(
        "the cluster is not formed yet, and until then the list says who belongs: start the node again with the new one"
    )]
    NotFormed,
    /// Another number of addresses is another set of members.
    #[error(
        "the list names {new} nodes where it named {old}: members do not change by it, only their addresses"
    )]
    OtherCount {
        /// How many were listed so far.
        old: usize,
        /// How many are listed now.
        new: usize,
    },
    /// The node is stopping or has stopped.
    #[error("the node is stopping")]
    Stopped,
}
