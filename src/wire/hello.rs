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

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min: u32, max: u32) -> ProtocolRange {
        ProtocolRange { min, max }
    }

    #[test]
    fn two_ranges_overlap_if_one_version_is_in_both() {
        for (one, other, overlap) in [
            (range(1, 1), range(1, 1), true),
            (range(1, 1), range(2, 2), false),
            (range(1, 2), range(2, 3), true),
            (range(1, 4), range(2, 3), true),
            (range(1, 2), range(3, 4), false),
        ] {
            assert_eq!(one.overlaps(other), overlap, "{one} and {other}");
            assert_eq!(other.overlaps(one), overlap, "{other} and {one}");
        }
    }

    #[test]
    fn a_range_is_shown_as_people_would_say_it() {
        assert_eq!(range(1, 1).to_string(), "1");
        assert_eq!(range(1, 3).to_string(), "1 to 3");
    }

    #[test]
    fn a_name_is_short_and_printable() {
        for name in ["n", "östlich 1", &"n".repeat(limits::NAME_BYTES_MAX)] {
            assert!(is_presentable(name), "{name:?}");
        }
        for name in ["", "a\nb", "\u{1b}[2J", &"n".repeat(limits::NAME_BYTES_MAX + 1)] {
            assert!(!is_presentable(name), "{name:?}");
        }
    }

    #[test]
    fn a_hello_is_presentable_if_all_that_people_see_of_it_is() {
        let hello = |cluster: &str, name: &str, host: Option<&str>| {
            let hello = Hello {
                protocol: ProtocolRange::OURS,
                cluster: cluster.to_owned(),
                node: NodeId::from_u128(1),
                key: Hex([0; 32]),
                nonce: Hex([0; 32]),
                boot: 0,
                instance: Hex([0; 16]),
                dial: 0,
                name: name.to_owned(),
                host: host.map(str::to_owned),
                port: 1,
                capabilities: Vec::new(),
            };
            hello.is_presentable()
        };
        assert!(hello("c", "n", None));
        assert!(hello("c", "n", Some("host")) && hello("c", "n", Some(&"h".repeat(255))));
        assert!(!hello("", "n", None) && !hello("c", "\0", None));
        for host in ["", "a b", "a\tb", "a\u{7f}b", &"h".repeat(256)] {
            assert!(!hello("c", "n", Some(host)), "{host:?}");
        }
    }

    #[test]
    fn every_refusal_has_a_word_of_its_own() {
        use RefusalCode::*;
        let all = [
            (WrongCluster, "wrong_cluster"),
            (WrongProtocol, "wrong_protocol"),
            (BadId, "bad_id"),
            (BadProof, "bad_proof"),
            (BadHello, "bad_hello"),
            (DuplicateIdentity, "duplicate_identity"),
            (DuplicateLink, "duplicate_link"),
            (Full, "full"),
        ];
        for (code, word) in all {
            assert_eq!(code.as_str(), word);
        }
    }
}
