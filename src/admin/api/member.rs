//! Each member in `GET /v1/status`: who hears whom, who voted up to where, how far it is away.

use serde::{Deserialize, Serialize};

use crate::consensus::Announcement;
use crate::peers::NodeStatus;
use crate::runtime::Status;
use crate::types::{NodeId, Round, Slot};

/// A member of the epoch, this node included, as this node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub id: NodeId,
    /// Its name, for people; empty if it was not met in this life of the node.
    pub name: String,
    /// Whether it lives; this node always does.
    pub status: NodeStatus,
    /// Whom it hears, by its last heartbeat; nobody where it is not heard itself.
    pub hears: Vec<NodeId>,
    /// How long a question to it takes, in milliseconds; none for this node, and where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// What it announced last; none if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announces: Option<Announced>,
}

/// What a member announced of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The round in which its log was last adopted: its votes are of this round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Round>,
    /// The last slot that it voted for.
    pub voted: Slot,
    /// The last slot that is committed there.
    pub committed: Slot,
    /// The round whose proposer it suspects, and those of all before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspects: Option<Round>,
    /// The round that it wants to lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Round>,
    /// The round that it leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leads: Option<Round>,
    /// Whether it hears a quorum and its disk keeps up.
    pub healthy: bool,
}

impl From<Announcement> for Announced {
    fn from(announcement: Announcement) -> Self {
        let Announcement { accepted, voted, committed, suspects, candidate, leads, is_healthy } =
            announcement;
        Self {
            accepted,
            voted: voted.slot,
            committed: committed.slot,
            suspects,
            candidate,
            leads,
            healthy: is_healthy,
        }
    }
}

/// The members of the epoch in the order of their ids; nobody before the cluster is formed.
pub(super) fn members(status: &Status) -> Vec<Member> {
    let log = &status.engine.log;
    let members = log.config.iter().flat_map(|config| &config.members);
    members.map(|id| if *id == status.id { own(status) } else { other(status, *id) }).collect()
}

fn own(status: &Status) -> Member {
    let online = status.engine.peers.iter().filter(|peer| peer.status == NodeStatus::Online);
    Member {
        id: status.id,
        name: status.name.clone(),
        status: NodeStatus::Online,
        hears: online.map(|peer| peer.id).collect(),
        round_trip_ms: None,
        announces: status.engine.log.announces.map(Announced::from),
    }
}

fn other(status: &Status, id: NodeId) -> Member {
    let engine = &status.engine;
    let peer = engine.peers.iter().find(|peer| peer.id == id);
    let seen = engine.log.others.iter().find(|seen| seen.id == id);
    Member {
        id,
        name: peer.map(|peer| peer.name.clone()).unwrap_or_default(),
        status: peer.map_or(NodeStatus::Offline, |peer| peer.status),
        hears: engine.hears.get(&id).cloned().unwrap_or_default(),
        round_trip_ms: status.round_trips.get(&id).map(|took| took.as_secs_f64() * 1e3),
        announces: seen.and_then(|seen| seen.announces).map(Announced::from),
    }
}
