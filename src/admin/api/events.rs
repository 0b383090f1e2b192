//! What `GET /v1/events` tells: the JSON of each event, under the event's name.

use serde::{Deserialize, Serialize};

use crate::admin::api::{LogContent, LogEntry, Votes, is_void};
use crate::consensus::Commit;
use crate::peers::{NodeInfo, NodeStatus};
use crate::types::{MessageId, NodeId, Round, Slot};

/// `start`: the first event of every stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartEvent {
    /// See [`crate::admin::api::SCHEMA`].
    pub schema: u32,
    /// Who tells.
    pub node: NodeId,
    /// The last slot committed here.
    pub committed: Slot,
    /// The slot of the first commit that will be told.
    pub from: Slot,
}

/// `commit`: an entry is final and durable here. Its event id is its slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommitEvent {
    /// The entry.
    #[serde(flatten)]
    pub entry: LogEntry,
    /// Votes counted when the commit was found; none if it was learned, or is read from the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes: Option<Votes>,
    /// The round whose votes made it, where `votes` is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<Round>,
    /// Who proposed in that round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposer: Option<NodeId>,
    /// From the moment this node first saw it, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// The slot in which the same proposal took effect before; this entry has none. Not known where the log was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<Slot>,
    /// It came too late for its `until` and has no effect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub void: bool,
}

impl From<LogEntry> for CommitEvent {
    fn from(entry: LogEntry) -> Self {
        let void = match entry.content {
            LogContent::Value { until, .. } => is_void(entry.slot, until),
            LogContent::Config { .. } | LogContent::Noop => false,
        };
        Self {
            entry,
            votes: None,
            round: None,
            proposer: None,
            took_ms: None,
            duplicate_of: None,
            void,
        }
    }
}

impl From<&Commit> for CommitEvent {
    fn from(commit: &Commit) -> Self {
        Self {
            entry: LogEntry::from(&commit.entry),
            votes: commit.votes.map(|(counted, members)| Votes { counted, members }),
            round: commit.round,
            proposer: commit.proposer,
            took_ms: commit.took.map(|took| took.as_secs_f64() * 1e3),
            duplicate_of: commit.duplicate_of,
            void: commit.void,
        }
    }
}

/// `peer`: a peer is seen in another state than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerEvent {
    /// Who.
    pub id: NodeId,
    /// Its name, for people.
    pub name: String,
    /// The host at which it is dialled.
    pub address: String,
    /// The port at which it is dialled.
    pub port: u16,
    /// Whether it lives.
    pub status: NodeStatus,
}

impl From<NodeInfo> for PeerEvent {
    fn from(peer: NodeInfo) -> Self {
        let NodeInfo { id, name, address, port, status, .. } = peer;
        Self { id, name, address, port, status }
    }
}

/// `quorum`: the quorum is heard again, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumEvent {
    /// Members heard, this one included.
    pub heard: usize,
    /// Members needed.
    pub needed: usize,
    /// Whether that is enough.
    pub is_heard: bool,
}

/// `round`: another round is under way as seen from here, or it is led now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundEvent {
    /// The round.
    pub round: Round,
    /// Its proposer.
    pub proposer: NodeId,
    /// Whether the proposer is known to lead it.
    pub led: bool,
}

/// `message`: a text from another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageEvent {
    /// Its name.
    pub id: MessageId,
    /// Who sent it.
    pub from: NodeId,
    /// What it says.
    pub text: String,
}

/// `missed`: the reader was too slow. Commits among it follow from the log; the rest is lost to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedEvent {
    /// How many events, commits included.
    pub notices: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::api::LogContent;
    use crate::types::{Digest, Epoch, ProposalId};

    #[test]
    fn an_entry_that_is_read_from_the_log_says_that_it_came_too_late() {
        let at = |slot: u64| {
            let (request_id, value) = (ProposalId::from_u128(1), "blue".to_owned());
            let content = LogContent::Value { request_id, value, until: Some(Slot(7)) };
            LogEntry { slot: Slot(slot), hash: Digest::ZERO, epoch: Epoch(1), content }
        };
        assert!(!CommitEvent::from(at(7)).void);
        assert!(CommitEvent::from(at(8)).void);
    }
}
