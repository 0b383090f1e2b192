//! One configuration of the cluster: who votes, how many must agree, who proposes.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::mutant::{self, Mutant};
use crate::types::{Epoch, NodeId, Round};

/// Which faults the members may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Members stop and come back, and never lie: a majority agrees.
    Crash,
}

/// The members of an epoch. Formed by the founders (epoch 1) or by a committed `config` entry (R14).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EpochConfig {
    /// Its number; the first is 1.
    pub epoch: Epoch,
    /// Which faults it bears.
    pub mode: Mode,
    /// Who votes, in ascending order, each once.
    pub members: Vec<NodeId>,
    /// Who receives the log without a vote, in ascending order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learners: Vec<NodeId>,
}

impl EpochConfig {
    /// A crash-mode epoch of these voters; order and repetition do not matter.
    ///
    /// # Panics
    /// Without a member.
    pub fn new(epoch: Epoch, members: impl IntoIterator<Item = NodeId>) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        assert!(!members.is_empty(), "an epoch has at least one member");
        Self { epoch, mode: Mode::Crash, members, learners: Vec::new() }
    }

    /// How many members must agree: `n/2 + 1` of the configured ones, never of the live ones.
    pub fn quorum(&self) -> usize {
        if mutant::is(Mutant::HalfIsQuorum) {
            return self.members.len().div_ceil(2);
        }
        self.members.len() / 2 + 1
    }

    /// Whether `node` votes in this epoch.
    pub fn is_member(&self, node: NodeId) -> bool {
        self.members.binary_search(&node).is_ok()
    }

    /// The only member that may offer entries in `round`.
    pub fn proposer(&self, round: Round) -> NodeId {
        let n = self.members.len() as u64;
        self.members[usize::try_from(round.0 % n).expect("below the number of members")]
    }

    /// The lowest round above `floor` that `member` proposes in; any round if `floor` is none. There is none
    /// beyond [`limits::INTEGER_MAX`], which no message could name.
    pub fn next_round_of(&self, member: NodeId, floor: Option<Round>) -> Option<Round> {
        let index = self.members.binary_search(&member).ok()? as u64;
        let n = self.members.len() as u64;
        let from = floor.map_or(0, |round| round.0 + 1);
        let round = from + (index + n - from % n) % n;
        (round <= limits::INTEGER_MAX || mutant::is(Mutant::RoundOverflow)).then_some(Round(round))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_proposes_in_the_lowest_round_of_its_own_above_the_floor() {
        for n in 1..=5_u128 {
            let config = EpochConfig::new(Epoch(1), (1..=n).map(NodeId::from_u128));
            for member in (1..=n).map(NodeId::from_u128) {
                for floor in [None].into_iter().chain((0..12).map(|round| Some(Round(round)))) {
                    let above = floor.map_or(0, |round| round.0 + 1);
                    let lowest =
                        (above..).map(Round).find(|round| config.proposer(*round) == member);
                    assert_eq!(config.next_round_of(member, floor), lowest, "{member} {floor:?}");
                }
            }
            assert_eq!(config.next_round_of(NodeId::from_u128(9), None), None);
        }
    }

    #[test]
    fn only_who_is_named_belongs() {
        let config = EpochConfig::new(Epoch(1), [2, 4].map(NodeId::from_u128));
        let members = (1..=5).filter(|node| config.is_member(NodeId::from_u128(*node)));
        assert_eq!(members.collect::<Vec<_>>(), [2, 4]);
    }
}
