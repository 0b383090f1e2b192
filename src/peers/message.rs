//! What peers say about life and acquaintance.

use serde::{Deserialize, Serialize};

use crate::types::NodeId;

/// The part of a heartbeat that speaks of peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The peers that the sender hears, in ascending order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hears: Vec<NodeId>,
    /// The sender belongs to no cluster yet, and wants to know of one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forming: bool,
    /// Before the cluster is formed: everyone in the sender's list, itself included, in ascending
    /// order, once it has met them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub founders: Option<Vec<NodeId>>,
    /// The sender holds epoch 1 of these founders (said while someone is `forming`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub founded: Option<Vec<NodeId>>,
    /// The sender goes away on purpose.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}
