//! Names for the messages of one life of one node.

use uuid::Uuid;

use crate::mutant::{self, Mutant};
use crate::types::{MessageId, NodeId};

/// A seed that no other life of any node has, and a counter: UUID v8, 60 bits of the one and 62 of
/// the other. Ids need not be secret, only distinct.
#[derive(Clone, Debug)]
pub(super) struct Names {
    life: u64,
    next: u64,
}

impl Names {
    pub(super) fn new(me: NodeId, seed: u64) -> Self {
        let bytes = *me.as_bytes();
        let (_, low) = bytes.split_at(8);
        let node = u64::from_be_bytes(low.try_into().expect("half of sixteen bytes"));
        let seed = if mutant::is(Mutant::NamesRepeat) { 0 } else { seed };
        Self { life: mix(seed ^ mix(node)), next: 0 }
    }

    pub(super) fn next(&mut self) -> MessageId {
        self.next += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.life.to_be_bytes());
        bytes[8..].copy_from_slice(&self.next.to_be_bytes());
        Uuid::new_v8(bytes).into()
    }
}

/// Spreads every bit over all others (the finalizer of SplitMix64), for the version of the UUID
/// takes four of them away.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Numbers that SplitMix64 is published with: the first of this seed.
    #[test]
    fn bits_are_spread_as_published() {
        assert_eq!(mix(1_234_567), 6_457_827_717_110_365_317);
    }

    #[test]
    fn names_differ_within_a_life_between_lives_and_between_nodes() {
        let mut all = BTreeSet::new();
        for node in 1..=4 {
            for seed in 0..64 {
                let mut names = Names::new(NodeId::from_u128(node), seed);
                for _ in 0..64 {
                    assert!(all.insert(names.next()));
                }
            }
        }
        let first = Names::new(NodeId::from_u128(1), 7).next();
        assert_eq!(first, Names::new(NodeId::from_u128(1), 7).next());
        assert_eq!(first.as_bytes()[6] >> 4, 8, "version 8");
    }
}
