//! The JSON of the HTTP interface, one definition for the server and for clients.
//!
//! Every object that answers a request carries `schema`. Fields may be added under one number;
//! what would surprise an old reader raises it.

mod events;
mod member;
mod whole;

use serde::{Deserialize, Serialize};

use crate::consensus::{Entry, EpochConfig, Kind};
use crate::engine::Verdict;
use crate::peers::NodeStatus;
use crate::runtime::{Delivery, Outcome, Status};
use crate::types::{Digest, Epoch, NodeId, Position, ProposalId, Round, Slot};

pub use events::{
    CommitEvent, MessageEvent, MissedEvent, PeerEvent, QuorumEvent, RoundEvent, StartEvent,
};

pub use member::{Announced, Member};

/// The number of the shapes below.
pub const SCHEMA: u32 = 1;

/// `POST /v1/proposals`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposeRequest {
    /// What to agree on.
    pub value: String,
    /// Names the request, so that it can be repeated and takes effect once; made here if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<ProposalId>,
    /// Whether to answer only when it is decided.
    #[serde(default = "yes")]
    pub wait: bool,
    /// How long to wait, with a unit: `500ms`, `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// The last slot in which it may take effect.
    #[serde(default, deserialize_with = "whole::slot", skip_serializing_if = "Option::is_none")]
    pub until: Option<Slot>,
}

fn yes() -> bool {
    true
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProposeResponse {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// The name of the request: with it, asking again is safe.
    pub request_id: ProposalId,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: ProposeOutcome,
}

/// The `outcome` of a proposal and what belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ProposeOutcome {
    /// It stands in the log for ever.
    Committed {
        /// Its place.
        slot: Slot,
        /// The hash of its entry, which names the whole log up to it.
        hash: Digest,
        /// Votes counted when the commit was found; none if it was learned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        votes: Option<Votes>,
        /// The round whose votes made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        round: Option<Round>,
        /// Who proposed in that round.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proposer: Option<NodeId>,
        /// From the moment this node first saw it, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took_ms: Option<f64>,
    },
    /// It had been committed under the same id before.
    Duplicate {
        /// Where.
        slot: Slot,
    },
    /// It is surely not committed by this request.
    Rejected {
        /// Why, in words.
        why: String,
    },
    /// It may still commit: asking again under the same id is safe.
    Unknown,
    /// It is taken; nobody waited for more.
    Pending,
}

/// Votes counted, of so many members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Votes {
    /// Counted when the commit was found.
    pub counted: usize,
    /// Members of the epoch.
    pub members: usize,
}

impl From<&Outcome> for ProposeOutcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Committed(committed) => Self::Committed {
                slot: committed.slot,
                hash: committed.hash,
                votes: committed.votes.map(|(counted, members)| Votes { counted, members }),
                round: committed.round,
                proposer: committed.proposer,
                took_ms: committed.took.map(|took| took.as_secs_f64() * 1e3),
            },
            Outcome::Duplicate { slot } => Self::Duplicate { slot: *slot },
            Outcome::Rejected(why) => Self::Rejected { why: why.to_string() },
            Outcome::Unknown => Self::Unknown,
        }
    }
}

/// What `GET /v1/log` shows of one entry; alone behind `GET /v1/log/{slot}`, one per line when following.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its place.
    pub slot: Slot,
    /// Its hash, which names the whole log up to it.
    pub hash: Digest,
    /// The epoch in which it was proposed first.
    pub epoch: Epoch,
    /// What it holds.
    #[serde(flatten)]
    pub content: LogContent,
}

/// The `kind` of an entry and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LogContent {
    /// A client's value.
    Value {
        /// The id under which it was proposed.
        request_id: ProposalId,
        /// The client's string.
        value: String,
        /// The last slot in which it may take effect.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Slot>,
    },
    /// Who belongs from the next slot on.
    Config {
        /// The configuration.
        config: EpochConfig,
    },
    /// Nothing.
    Noop,
}

impl From<&Entry> for LogEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            slot: entry.slot(),
            hash: entry.position().hash,
            epoch: entry.epoch(),
            content: match entry.kind() {
                Kind::Value(proposal) => LogContent::Value {
                    request_id: proposal.id,
                    value: proposal.value.as_str().to_owned(),
                    until: proposal.until,
                },
                Kind::Config(config) => LogContent::Config { config: config.clone() },
                Kind::Noop => LogContent::Noop,
            },
        }
    }
}

/// Whether a value in `slot` comes too late for its `until`, and has no effect.
pub fn is_void(slot: Slot, until: Option<Slot>) -> bool {
    until.is_some_and(|until| until < slot)
}

/// `GET /v1/log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogResponse {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// What is committed here.
    pub committed: Position,
    /// Entries in order, as many as fit in one answer.
    pub entries: Vec<LogEntry>,
    /// The slot behind them: `from` of the next request.
    pub next: Slot,
}

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusResponse {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// Who answers.
    pub id: NodeId,
    /// Its name, for people.
    pub name: String,
    /// The cluster it belongs to.
    pub cluster: String,
    /// The version of its program.
    pub version: String,
    /// Where it listens for peers.
    pub address: String,
    /// Whether a proposal made here can commit: the cluster is formed and a quorum is heard.
    pub ready: bool,
    /// Why nothing commits here, or that all is well, in words.
    pub verdict: Verdict,
    /// Who belongs; none before the cluster is formed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<EpochConfig>,
    /// Members that must agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<usize>,
    /// Members heard lately, this one included; 0 before the cluster is formed.
    pub heard: usize,
    /// The round under way as seen from here.
    pub round: Round,
    /// Its proposer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposer: Option<NodeId>,
    /// Whether that proposer leads, as far as is known.
    pub led: bool,
    /// The tip of the log, committed or not.
    pub last: Position,
    /// What is committed and delivered here.
    pub committed: Position,
    /// Proposals taken here that are not decided yet.
    pub pending: usize,
    /// Each member as this node sees it; nobody before the cluster is formed.
    pub members: Vec<Member>,
}

impl From<&Status> for StatusResponse {
    fn from(status: &Status) -> Self {
        let log = &status.engine.log;
        Self {
            schema: SCHEMA,
            id: status.id,
            name: status.name.clone(),
            cluster: status.cluster.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: status.address.to_string(),
            ready: status.ready(),
            verdict: status.verdict(),
            config: log.config.clone(),
            quorum: status.engine.quorum.map(|quorum| quorum.needed),
            heard: status.engine.quorum.map_or(0, |quorum| quorum.heard),
            round: log.round,
            proposer: log.proposer,
            led: log.led,
            last: log.last,
            committed: log.committed,
            pending: log.pending,
            members: member::members(status),
        }
    }
}

/// `GET /v1/peers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeersResponse {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// The peers that the node knows.
    pub peers: Vec<Peer>,
}

/// A peer as the node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Who it is.
    pub id: NodeId,
    /// Its name, for people.
    pub name: String,
    /// The host at which it is dialled.
    pub address: String,
    /// The port at which it is dialled.
    pub port: u16,
    /// Whether it lives.
    pub status: NodeStatus,
    /// How long ago it was heard last, in milliseconds; none if never in this life of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ms_ago: Option<u64>,
    /// How long a question to it takes, in milliseconds; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// Whether it votes.
    pub member: bool,
}

impl From<&Status> for PeersResponse {
    fn from(status: &Status) -> Self {
        let config = status.engine.log.config.as_ref();
        let peers = status.engine.peers.iter().map(|peer| Peer {
            id: peer.id,
            name: peer.name.clone(),
            address: peer.address.clone(),
            port: peer.port,
            status: peer.status,
            heard_ms_ago: peer
                .last_seen
                .map(|seen| u64::try_from(status.now.since(seen).as_millis()).unwrap_or(u64::MAX)),
            round_trip_ms: status.round_trips.get(&peer.id).map(|took| took.as_secs_f64() * 1e3),
            member: config.is_some_and(|config| config.is_member(peer.id)),
        });
        Self { schema: SCHEMA, peers: peers.collect() }
    }
}

/// `POST /v1/messages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    /// The id or the name of one peer; everyone that is online if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What to say.
    pub text: String,
}

/// Who has a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageResponse {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// Who acknowledged it.
    pub by: Vec<NodeId>,
    /// Who should have it and did not say so in time; it may have it nevertheless.
    pub missing: Vec<NodeId>,
}

impl From<Delivery> for MessageResponse {
    fn from(delivery: Delivery) -> Self {
        Self { schema: SCHEMA, by: delivery.by, missing: delivery.missing }
    }
}

/// `GET /livez`, `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthResponse {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// A word for people; the status code says it to machines.
    pub status: String,
    /// What was looked at, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// `GET /readyz` of a node that is not ready: an error, and what was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadyResponse {
    /// What is wrong.
    pub error: ErrorBody,
    /// What was looked at, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// A stable word.
    pub name: String,
    /// Whether the node is ready only if this is as it should be.
    pub required: bool,
    /// Whether it is.
    pub ok: bool,
    /// What was seen, for people.
    pub message: String,
}

/// Any answer that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// What is wrong.
    pub error: ErrorBody,
}

/// What is wrong and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A stable word.
    pub code: String,
    /// What is wrong, for people.
    pub message: String,
    /// The next step.
    pub hint: String,
}
