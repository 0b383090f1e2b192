//! What the other members announced, and when they were heard.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::consensus::{Beat, Remember};
use crate::mutant::{self, Mutant};
use crate::types::{NodeId, Position, Round, Slot, Time};

/// One line per other member of the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Others {
    lines: BTreeMap<NodeId, Other>,
}

/// What is known of another member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Other {
    /// When anything of it was heard last; the start of this process before.
    pub(super) heard: Time,
    /// It said good-bye, or its link broke and nobody listens there.
    pub(super) lost: bool,
    /// Its newest heartbeat.
    pub(super) beat: Option<Beat>,
    /// Its commit, from whatever message told most.
    pub(super) committed: Position,
}

/// What a heartbeat says beside the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// As much as before or more.
    News,
    /// Of an earlier life, or overtaken by a later heartbeat.
    Old,
    /// R15: a later life that holds less than an earlier one had announced.
    Forgot(Remember),
}

impl Others {
    /// Nobody has said anything yet; the clock of suspicion starts now.
    pub(super) fn new(now: Time, members: impl Iterator<Item = NodeId>) -> Self {
        let silent = Other { heard: now, lost: false, beat: None, committed: Position::GENESIS };
        Self { lines: members.map(|member| (member, silent.clone())).collect() }
    }

    pub(super) fn get(&self, member: NodeId) -> Option<&Other> {
        self.lines.get(&member)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Other)> {
        self.lines.iter().map(|(member, other)| (*member, other))
    }

    /// Proof of life.
    pub(super) fn heard(&mut self, now: Time, member: NodeId) {
        if let Some(other) = self.lines.get_mut(&member) {
            other.heard = now;
            other.lost = false;
        }
    }

    /// Gone for certain.
    pub(super) fn lost(&mut self, member: NodeId) {
        if let Some(other) = self.lines.get_mut(&member) {
            other.lost = true;
        }
    }

    /// This node itself was late: nobody can be blamed for a silence that it slept through.
    pub(super) fn forgive(&mut self, now: Time) {
        for other in self.lines.values_mut() {
            other.heard = now;
        }
    }

    /// A commit that this member told of.
    pub(super) fn committed(&mut self, member: NodeId, committed: Position) {
        if let Some(other) = self.lines.get_mut(&member)
            && other.committed.slot < committed.slot
        {
            other.committed = committed;
        }
    }

    /// A heartbeat.
    pub(super) fn told(&mut self, member: NodeId, beat: Beat) -> Told {
        let Some(other) = self.lines.get_mut(&member) else { return Told::Old };
        if let Some(before) = other.beat {
            let less = (beat.epoch, beat.promised) < (before.epoch, before.promised)
                || (beat.epoch, beat.accepted, beat.voted.slot)
                    < (before.epoch, before.accepted, before.voted.slot);
            if beat.life < before.life || (less && beat.life == before.life) {
                return Told::Old;
            }
            if less && !mutant::is(Mutant::ForgetfulBelieved) {
                let Beat { promised, accepted, voted, .. } = before;
                return Told::Forgot(Remember { promised, accepted, voted });
            }
        }
        other.beat = Some(beat);
        Told::News
    }

    /// How many were heard within `span`.
    pub(super) fn fresh(&self, now: Time, span: Duration) -> usize {
        self.lines.values().filter(|other| other.is_fresh(now, span)).count()
    }
}

impl Other {
    /// Whether it was heard within `span` and is not known to be gone.
    pub(super) fn is_fresh(&self, now: Time, span: Duration) -> bool {
        !self.lost && now.since(self.heard) < span
    }

    /// Whether its newest heartbeat suspects the proposer of `round`.
    pub(super) fn suspects(&self, round: Round) -> bool {
        self.beat.is_some_and(|beat| beat.suspects.is_some_and(|suspect| suspect >= round))
    }

    /// How complete its log is, as far as it told.
    pub(super) fn completeness(&self) -> (Option<Round>, Slot) {
        self.beat.map_or((None, Slot(0)), |beat| (beat.accepted, beat.last.slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Epoch;

    const PEER: NodeId = NodeId::from_u128(2);

    fn beat(life: u64, promised: u64) -> Beat {
        Beat {
            epoch: Epoch(1),
            life,
            promised: Some(Round(promised)),
            accepted: None,
            voted: Position::GENESIS,
            last: Position::GENESIS,
            committed: Position::GENESIS,
            first_slot: Slot(1),
            suspects: None,
            candidate: None,
            leads: None,
            healthy: true,
        }
    }

    #[test]
    fn an_overtaken_heartbeat_is_old_and_a_forgetful_life_is_named() {
        let mut others = Others::new(Time::ZERO, [PEER].into_iter());
        assert_eq!(others.told(PEER, beat(1, 5)), Told::News);
        assert_eq!(others.told(PEER, beat(1, 4)), Told::Old);
        assert!(matches!(others.told(PEER, beat(2, 4)), Told::Forgot(_)));
        assert_eq!(others.told(PEER, beat(2, 5)), Told::News);
        assert_eq!(others.told(PEER, beat(1, 9)), Told::Old);
    }
}
