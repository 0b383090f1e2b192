//! Where a node stands, for people and for metrics.

use std::collections::BTreeMap;

use crate::consensus::Standing;
use crate::dispatch::Counts;
use crate::engine::Quorum;
use crate::peers::{self, NodeInfo, Progress};
use crate::types::NodeId;

/// Where a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where its log stands.
    pub log: Standing,
    /// The peers it knows, in the order of their ids.
    pub peers: Vec<NodeInfo>,
    /// Whom each peer that is online hears, by its last heartbeat.
    pub hears: BTreeMap<NodeId, Vec<NodeId>>,
    /// What stands against a common cluster: lists that differ, nodes that do not belong.
    pub objections: Vec<peers::Event>,
    /// How many members it hears; none before the cluster is formed.
    pub quorum: Option<Quorum>,
    /// How far the forming has come; none once the cluster is formed.
    pub forming: Option<Progress>,
    /// What was dropped, and what is remembered.
    pub dispatch: Counts,
    /// Frames of nodes that do not belong to the cluster, dropped.
    pub strangers: u64,
}
