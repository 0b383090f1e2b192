//! What this node knows of a peer.

use serde::{Deserialize, Serialize};

use crate::types::{NodeId, Time};

/// Whether a peer lives, as far as this node can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NodeStatus {
    /// Heard lately.
    Online,
    /// Silent for too long, or its link broke.
    Suspected,
    /// Gone: it said so, refuses to be dialled, or stayed silent.
    Offline,
}

/// A peer as seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Who it is.
    pub id: NodeId,
    /// Its name, for people.
    pub name: String,
    /// The host at which it can be dialled.
    pub address: String,
    /// The port at which it can be dialled.
    pub port: u16,
    /// Whether it lives.
    pub status: NodeStatus,
    /// When the last frame of it came; none if none did in this life of the process.
    pub last_seen: Option<Time>,
}
