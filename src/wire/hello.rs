//! The first words of a link: who each side is, what it signs, and why it may be refused.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::mutant::{self, Mutant};
use crate::types::NodeId;
use crate::wire::Hex;

/// The version of the protocol that this program speaks.
pub const PROTOCOL: u32 = 1;

/// Who a node is. The first frame each way carries one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The versions of the protocol that it speaks.
    pub protocol: ProtocolRange,
    /// The cluster it belongs to, 1 to [`limits::NAME_BYTES_MAX`] bytes.
    pub cluster: String,
    /// Its id, [`NodeId::from_key_hash`] of the SHA-256 of `key`.
    pub node: NodeId,
    /// Its ed25519 public key.
    pub key: Hex<32>,
    /// Fresh for every connection, so that no proof can be used twice.
    pub nonce: Hex<32>,
    /// How often it has been started; grows with every start.
    pub boot: u64,
    /// Drawn at every start: tells a copied data directory from the node itself.
    pub instance: Hex<16>,
    /// Of the side that dialled: the number of this dial, greater than of every earlier one of its life.
    #[serde(default)]
    pub dial: u64,
    /// Its name, for people, 1 to [`limits::NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// The host at which it can be dialled; where it was seen if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port at which it can be dialled.
    pub port: u16,
    /// What it can do beyond the protocol's version; unknown ones are ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
}

/// A range of protocol versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolRange {
    /// The oldest.
    pub min: u32,
    /// The newest.
    pub max: u32,
}

impl ProtocolRange {
    /// What this program speaks.
    pub const OURS: Self = Self { min: PROTOCOL, max: PROTOCOL };

    /// Whether two sides have a version in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

impl fmt::Display for ProtocolRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{} to {}", self.min, self.max)
        }
    }
}

impl Hello {
    /// Whether the names can be shown to people and the host can be dialled.
    pub fn is_presentable(&self) -> bool {
        is_presentable(&self.cluster)
            && is_presentable(&self.name)
            && self.host.as_deref().is_none_or(|host| {
                (1..=255).contains(&host.len())
                    && !host.chars().any(|c| c.is_control() || c.is_whitespace())
            })
    }
}

/// Whether a cluster's or node's name may be announced.
pub fn is_presentable(name: &str) -> bool {
    (1..=limits::NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Which end of a connection a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It opened the connection.
    Dialer,
    /// It accepted the connection.
    Listener,
}

/// What `signer` signs with its key to prove that it is who its hello says, here and now: a tag,
/// its side, the cluster, then of the dialer and of the listener: id, nonce, boot, instance.
/// Integers are big-endian.
pub fn proof_bytes(signer: Side, dialer: &Hello, listener: &Hello) -> Vec<u8> {
    let mut bytes = b"quorate hello 1\0".to_vec();
    bytes.push(match signer {
        Side::Dialer => 1,
        Side::Listener => 2,
    });
    bytes.extend((dialer.cluster.len() as u64).to_be_bytes());
    bytes.extend(dialer.cluster.as_bytes());
    for hello in [dialer, listener] {
        bytes.extend(hello.node.as_bytes());
        if !mutant::is(Mutant::ProofReplayed) {
            bytes.extend(hello.nonce.0);
        }
        bytes.extend(hello.boot.to_be_bytes());
        bytes.extend(hello.instance.0);
    }
    bytes
}

/// Why a link is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// A stable word: one of [`RefusalCode`], or one of a later version.
    pub code: String,
    /// For people: both sides' values and the next step.
    pub reason: String,
}

/// The stable words of [`Refusal::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalCode {
    /// The names of the clusters differ.
    WrongCluster,
    /// No version of the protocol in common.
    WrongProtocol,
    /// The id does not belong to the key.
    BadId,
    /// The signature does not belong to the key and this handshake.
    BadProof,
    /// Where a hello or a proof is due, something else came.
    BadHello,
    /// Another process runs under the same identity.
    DuplicateIdentity,
    /// The two nodes have a better link already.
    DuplicateLink,
    /// No room for a further link.
    Full,
}

impl RefusalCode {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrongCluster => "wrong_cluster",
            Self::WrongProtocol => "wrong_protocol",
            Self::BadId => "bad_id",
            Self::BadProof => "bad_proof",
            Self::BadHello => "bad_hello",
            Self::DuplicateIdentity => "duplicate_identity",
            Self::DuplicateLink => "duplicate_link",
            Self::Full => "full",
        }
    }
}
