//! Counting votes (R8): every node counts those that reach it, in votes and heartbeats.
//!
//! A vote is cumulative and stays true once cast, so per member only the highest is kept:
//! the table has one line per member, whatever arrives. A map by member, never a counter:
//! nobody counts twice. Votes of different rounds are never added up.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use crate::consensus::EpochConfig;
use crate::mutant::{self, Mutant};
use crate::types::{NodeId, Position, Round, Slot};

/// The highest vote of each member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Tally {
    ballots: BTreeMap<NodeId, Ballot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ballot {
    round: Round,
    voted: Position,
}

/// What a vote amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// No quorum for anything beyond the vote's base yet.
    Pending,
    /// A quorum voted in this round at least up to this position.
    Quorum {
        /// The position: slot and hash as voted, not as the own log has it.
        position: Position,
        /// How many members voted up to it.
        votes: usize,
    },
    /// An older vote than one already counted.
    Stale,
    /// Two votes of one round name different hashes for one slot: its proposer ran twice.
    Conflict {
        /// The one counted before.
        counted: Position,
    },
}

impl Tally {
    /// Counts a vote of `member`, who must be one of `config`.
    pub(super) fn add(
        &mut self,
        config: &EpochConfig,
        member: NodeId,
        round: Round,
        voted: Position,
    ) -> Counted {
        let is_let_in = mutant::is(Mutant::StrangersVoteCounted);
        debug_assert!(config.is_member(member) || is_let_in, "only members vote");
        if let Some(ballot) = self.ballots.get(&member)
            && (ballot.round, ballot.voted.slot) > (round, voted.slot)
        {
            return Counted::Stale;
        }
        if let Some(other) = self.in_round(round).find(|other| other.slot == voted.slot)
            && other.hash != voted.hash
        {
            return Counted::Conflict { counted: other };
        }
        if mutant::is(Mutant::TallyGrows)
            && let Some(old) = self.ballots.get(&member).copied()
            && old.round != round
        {
            let line = NodeId::from_u128(u128::MAX - self.ballots.len() as u128);
            self.ballots.insert(line, old);
        }
        let mut line = member;
        if mutant::is(Mutant::DuplicateVotesCounted) && self.ballots.contains_key(&member) {
            line = NodeId::from_u128(u128::MAX - self.ballots.len() as u128);
        }
        self.ballots.insert(line, Ballot { round, voted });

        let mut positions: Vec<_> = self.in_round(round).collect();
        positions.sort_unstable_by_key(|position| std::cmp::Reverse(position.slot));
        match positions.get(config.quorum() - 1) {
            Some(&position) => Counted::Quorum {
                position,
                votes: positions.iter().filter(|p| p.slot >= position.slot).count(),
            },
            None => Counted::Pending,
        }
    }

    /// See [`crate::consensus::Machine::fingerprint`]: votes below the commit decide nothing more.
    pub(super) fn fingerprint(&self, committed: Slot, hasher: &mut impl Hasher) {
        for (member, ballot) in &self.ballots {
            if ballot.voted.slot > committed {
                (member, ballot).hash(hasher);
            }
        }
    }

    fn in_round(&self, round: Round) -> impl Iterator<Item = Position> {
        let is_added_up = mutant::is(Mutant::RoundsAddedUp);
        let ballots = self.ballots.values();
        ballots.filter(move |ballot| ballot.round == round || is_added_up).map(|b| b.voted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Digest, Epoch};

    fn members(n: u128) -> (EpochConfig, Vec<NodeId>) {
        let ids: Vec<_> = (1..=n).map(NodeId::from_u128).collect();
        (EpochConfig::new(Epoch(1), ids.clone()), ids)
    }

    fn at(slot: u64, hash: u8) -> Position {
        Position { slot: Slot(slot), hash: Digest::new([hash; 32]) }
    }

    #[test]
    fn the_quorum_th_highest_position_is_committed() {
        let (config, ids) = members(5);
        let mut tally = Tally::default();
        assert_eq!(tally.add(&config, ids[0], Round(0), at(9, 9)), Counted::Pending);
        assert_eq!(tally.add(&config, ids[1], Round(0), at(3, 3)), Counted::Pending);
        let third = tally.add(&config, ids[2], Round(0), at(7, 7));
        assert_eq!(third, Counted::Quorum { position: at(3, 3), votes: 3 });
        let fourth = tally.add(&config, ids[3], Round(0), at(7, 7));
        assert_eq!(fourth, Counted::Quorum { position: at(7, 7), votes: 3 });
    }

    #[test]
    fn nobody_counts_twice() {
        let (config, ids) = members(3);
        let mut tally = Tally::default();
        for slot in 1..5 {
            let counted = tally.add(&config, ids[0], Round(0), at(slot, 1));
            assert_eq!(counted, Counted::Pending);
        }
    }

    #[test]
    fn votes_of_two_rounds_are_never_added_up() {
        let (config, ids) = members(3);
        let mut tally = Tally::default();
        tally.add(&config, ids[0], Round(1), at(1, 1));
        assert_eq!(tally.add(&config, ids[1], Round(2), at(1, 1)), Counted::Pending);
    }

    #[test]
    fn a_repeated_vote_amounts_to_what_it_did_before() {
        let (config, ids) = members(3);
        let mut tally = Tally::default();
        for amounts in [Counted::Pending, Counted::Quorum { position: at(1, 1), votes: 2 }] {
            let member = ids[tally.ballots.len()];
            for _ in 0..2 {
                assert_eq!(tally.add(&config, member, Round(0), at(1, 1)), amounts);
            }
        }
    }

    #[test]
    fn an_older_vote_changes_nothing() {
        let (config, ids) = members(3);
        let mut tally = Tally::default();
        tally.add(&config, ids[0], Round(2), at(4, 4));
        assert_eq!(tally.add(&config, ids[0], Round(1), at(9, 9)), Counted::Stale);
        assert_eq!(tally.add(&config, ids[0], Round(2), at(3, 3)), Counted::Stale);
    }

    #[test]
    fn a_member_has_one_line_however_many_rounds_it_votes_in() {
        let (config, ids) = members(3);
        let mut tally = Tally::default();
        for round in 0..1_000 {
            tally.add(&config, ids[0], Round(round), at(1, 1));
            tally.add(&config, ids[1], Round(1_000 - round), at(1, 1));
        }
        assert_eq!(tally.ballots.len(), 2);
    }

    #[test]
    fn two_hashes_for_one_slot_of_one_round_are_a_conflict() {
        let (config, ids) = members(3);
        let mut tally = Tally::default();
        tally.add(&config, ids[0], Round(0), at(1, 1));
        assert_eq!(
            tally.add(&config, ids[1], Round(0), at(1, 2)),
            Counted::Conflict { counted: at(1, 1) }
        );
        assert_eq!(tally.add(&config, ids[1], Round(1), at(1, 2)), Counted::Pending);
    }

    #[test]
    fn any_two_quorums_meet_and_a_minority_may_fail() {
        for n in 1..=100 {
            let quorum = members(n).0.quorum();
            assert!(2 * quorum > n as usize, "two quorums of {n} meet");
            let tolerated = (n as usize - 1) / 2;
            assert!(n as usize - tolerated >= quorum, "{tolerated} of {n} may fail");
        }
    }
}
