//! What stands in the log: entries, each chained to its parent by hash.

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::consensus::{EpochConfig, Mode};
use crate::types::{Digest, Epoch, Position, ProposalId, Slot, Value};

/// A value offered under an id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proposal {
    /// At most one slot takes effect per id (R13).
    pub id: ProposalId,
    /// The client's string.
    pub value: Value,
    /// The last slot in which it may take effect; beyond it the proposal is void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Slot>,
}

impl Proposal {
    /// Bytes it takes in a message, as JSON, rounded up.
    pub fn weight(&self) -> usize {
        128 + self.value.json_bytes()
    }
}

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A client's value.
    Value(Proposal),
    /// The configuration that replaces the epoch of this entry (R14).
    Config(EpochConfig),
    /// Nothing.
    Noop,
}

/// An entry without its place: what messages and records carry behind a position.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Content {
    /// The epoch in which it was proposed first.
    pub epoch: Epoch,
    /// What it holds.
    pub kind: Kind,
}

/// An entry in its place. Built only by [`Entry::after`], so its hash is always its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    position: Position,
    parent: Digest,
    weight: u32,
    content: Content,
}

impl Entry {
    /// The entry with this content that follows `parent`.
    pub fn after(parent: Position, content: Content) -> Self {
        let slot = parent.slot.next();
        let weight = match &content.kind {
            Kind::Value(proposal) => proposal.weight(),
            Kind::Config(config) => 128 + 40 * (config.members.len() + config.learners.len()),
            Kind::Noop => 32,
        };
        Self {
            position: Position { slot, hash: hash(parent, slot, &content) },
            parent: parent.hash,
            weight: u32::try_from(weight).expect("a value is far below 4 GiB"),
            content,
        }
    }

    /// `contents`, one after the other behind `parent`.
    pub fn chain(parent: Position, contents: impl IntoIterator<Item = Content>) -> Vec<Self> {
        let mut parent = parent;
        contents
            .into_iter()
            .map(|content| {
                let entry = Self::after(parent, content);
                parent = entry.position;
                entry
            })
            .collect()
    }

    /// Whether it was chained to `parent`.
    pub fn follows(&self, parent: Position) -> bool {
        self.slot() == parent.slot.next() && self.parent == parent.hash
    }

    /// The position before it.
    pub fn parent(&self) -> Position {
        Position { slot: self.slot().previous(), hash: self.parent }
    }

    /// Its slot and hash.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Its slot.
    pub fn slot(&self) -> Slot {
        self.position.slot
    }

    /// The epoch in which it was proposed first.
    pub fn epoch(&self) -> Epoch {
        self.content.epoch
    }

    /// What it holds.
    pub fn kind(&self) -> &Kind {
        &self.content.kind
    }

    /// What messages and records carry of it.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The proposal, if it holds a client's value.
    pub fn proposal(&self) -> Option<&Proposal> {
        match &self.content.kind {
            Kind::Value(proposal) => Some(proposal),
            Kind::Config(_) | Kind::Noop => None,
        }
    }

    /// Bytes it takes in a message, as JSON, rounded up.
    pub fn weight(&self) -> usize {
        self.weight as usize
    }
}

/// SHA-256 over a fixed binary layout, integers big-endian, never over JSON text:
/// tag, parent hash (32), epoch (8), slot (8), kind (1), then for
/// a value: id (16), until + 1 or 0 (8), length (8), bytes;
/// a config: epoch (8), mode (1), members (8 and 16 each), learners (8 and 16 each);
/// a noop: nothing.
fn hash(parent: Position, slot: Slot, content: &Content) -> Digest {
    let mut hasher = Context::new(&SHA256);
    // One block of SHA-256, which is cheaper than as much in parts.
    let mut head = [0; 64];
    head[..16].copy_from_slice(b"quorate entry 1\0");
    head[16..48].copy_from_slice(parent.hash.as_bytes());
    head[48..56].copy_from_slice(&content.epoch.0.to_be_bytes());
    head[56..].copy_from_slice(&slot.0.to_be_bytes());
    hasher.update(&head);
    match &content.kind {
        Kind::Value(proposal) => {
            let text = proposal.value.as_str();
            let until = proposal.until.map_or(0, |slot| slot.0 + 1);
            let mut head = [1; 33];
            head[1..17].copy_from_slice(proposal.id.as_bytes());
            head[17..25].copy_from_slice(&until.to_be_bytes());
            head[25..].copy_from_slice(&(text.len() as u64).to_be_bytes());
            hasher.update(&head);
            hasher.update(text.as_bytes());
        }
        Kind::Config(config) => {
            hasher.update(&[2]);
            hasher.update(&config.epoch.0.to_be_bytes());
            hasher.update(&[match config.mode {
                Mode::Crash => 0,
            }]);
            for nodes in [&config.members, &config.learners] {
                hasher.update(&(nodes.len() as u64).to_be_bytes());
                for node in nodes {
                    hasher.update(node.as_bytes());
                }
            }
        }
        Kind::Noop => hasher.update(&[3]),
    }
    Digest::new(hasher.finish().as_ref().try_into().expect("a SHA-256 has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    fn value(id: u128, text: &str) -> Content {
        Content {
            epoch: Epoch(1),
            kind: Kind::Value(Proposal {
                id: ProposalId::from_u128(id),
                value: Value::new(text).unwrap(),
                until: None,
            }),
        }
    }

    #[test]
    fn a_position_names_the_whole_prefix() {
        let one = Entry::chain(Position::GENESIS, [value(1, "a"), value(2, "b")]);
        let other = Entry::chain(Position::GENESIS, [value(1, "A"), value(2, "b")]);
        assert_eq!(one[1].slot(), other[1].slot());
        assert_ne!(one[1].position(), other[1].position());
    }

    #[test]
    fn every_field_counts_in_the_hash() {
        let plain = value(1, "a");
        let mut until = plain.clone();
        let Kind::Value(proposal) = &mut until.kind else { unreachable!() };
        proposal.until = Some(Slot(0));
        let variants = [
            plain.clone(),
            value(2, "a"),
            value(1, "b"),
            until,
            Content { epoch: Epoch(2), ..plain },
            Content { epoch: Epoch(1), kind: Kind::Noop },
        ];
        let hashes: std::collections::BTreeSet<_> = variants
            .into_iter()
            .map(|content| Entry::after(Position::GENESIS, content).position().hash)
            .collect();
        assert_eq!(hashes.len(), 6);
    }

    #[test]
    fn the_weight_covers_the_json_of_the_worst_value() {
        for text in ["plain", "\"quotes\\", "\u{0}\u{1f}\n\t\u{8}\u{c}\r", "häß ∅"] {
            let proposal = Proposal {
                id: ProposalId::from_u128(u128::MAX),
                value: Value::new(text).unwrap(),
                until: None,
            };
            let entry = Entry::after(
                Position::GENESIS,
                Content { epoch: Epoch(u64::MAX >> 11), kind: Kind::Value(proposal) },
            );
            let json = serde_json::to_vec(entry.content()).unwrap();
            assert!(json.len() <= entry.weight(), "{} > {}", json.len(), entry.weight());
        }
    }

    #[test]
    fn the_weight_follows_the_json_byte_for_byte() {
        let proposal = |text: &str| Proposal {
            id: ProposalId::from_u128(1),
            value: Value::new(text).unwrap(),
            until: None,
        };
        let spare = |text: &str| {
            let json = serde_json::to_vec(&proposal(text)).unwrap();
            proposal(text).weight() - json.len()
        };
        for byte in 0..0x80_u8 {
            let text = char::from(byte).to_string();
            assert_eq!(spare(&text.repeat(1_000)), spare("a"), "{text:?}");
        }
        assert_eq!(spare(&"∅ß".repeat(1_000)), spare("a"));
    }

    #[test]
    fn the_weight_covers_the_json_of_the_largest_configuration() {
        let nodes = |from: u128| (from..from + 64).map(|n| NodeId::from_u128(u128::MAX - n));
        let mut config = EpochConfig::new(Epoch(u64::MAX >> 11), nodes(0));
        config.learners = nodes(64).collect();
        let content = Content { epoch: Epoch(u64::MAX >> 11), kind: Kind::Config(config) };
        let entry = Entry::after(Position::GENESIS, content);
        let json = serde_json::to_vec(entry.content()).unwrap().len();
        assert!((json..2 * json).contains(&entry.weight()), "{json}, {}", entry.weight());
    }

    #[test]
    fn an_entry_follows_one_position_only() {
        let log = Entry::chain(Position::GENESIS, [value(1, "a"), value(2, "b")]);
        let (first, second) = (&log[0], &log[1]);
        assert_eq!((first.parent(), second.parent()), (Position::GENESIS, first.position()));
        assert_eq!(second.epoch(), Epoch(1));
        assert!(second.follows(first.position()));
        let hash = first.position().hash;
        assert!(!second.follows(Position { slot: Slot(0), hash }), "another slot");
        assert!(!second.follows(Position { hash: Digest::ZERO, ..first.position() }));
    }
}
