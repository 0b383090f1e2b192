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
    /// R15: its last heartbeat told less than one before; nothing that it says is counted until one does not.
    pub(super) has_forgotten: bool,
    /// Its heartbeat that told most.
    pub(super) beat: Option<Beat>,
    /// Its commit, from whatever message told most.
    pub(super) committed: Position,
}

/// What a heartbeat says beside the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// As much as before or more.
    News,
    /// R15: less than before. In one life a heartbeat may have been overtaken by a later one, but not twice
    /// in a row for long; another life runs on an old copy.
    Less {
        /// What it announced before.
        remember: Remember,
        /// Whether it is another life that says so.
        in_another_life: bool,
        /// Whether its heartbeat before this one told less, too.
        again: bool,
    },
    /// Of no member.
    Strange,
}

impl Others {
    /// Nobody has said anything yet; the clock of suspicion starts now.
    pub(super) fn new(now: Time, members: impl Iterator<Item = NodeId>) -> Self {
        let silent = Other {
            heard: now,
            lost: false,
            has_forgotten: false,
            beat: None,
            committed: Position::GENESIS,
        };
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
        let Some(other) = self.lines.get_mut(&member) else { return Told::Strange };
        if let Some(before) = other.beat {
            let less = (beat.epoch, beat.promised) < (before.epoch, before.promised)
                || (beat.epoch, beat.accepted, beat.voted.slot)
                    < (before.epoch, before.accepted, before.voted.slot);
            let less = less && !mutant::is(Mutant::ForgetfulBelieved);
            let again = std::mem::replace(&mut other.has_forgotten, less);
            if less {
                let Beat { promised, accepted, voted, .. } = before;
                let remember = Remember { promised, accepted, voted };
                let in_another_life = beat.life != before.life;
                return Told::Less { remember, in_another_life, again };
            }
        }
        other.beat = Some(beat);
        Told::News
    }

    /// R15: whether what this member says counts for nothing.
    pub(super) fn has_forgotten(&self, member: NodeId) -> bool {
        self.lines.get(&member).is_some_and(|other| other.has_forgotten)
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
    fn who_was_silent_for_the_whole_span_is_not_fresh_nor_is_who_is_lost() {
        let span = Duration::from_secs(1);
        let mut others = Others::new(Time::ZERO, [PEER].into_iter());
        for (after, fresh) in [(span - Duration::from_nanos(1), 1), (span, 0)] {
            assert_eq!(others.fresh(Time::from_start(after), span), fresh);
        }
        let now = Time::from_start(span);
        others.heard(now, PEER);
        assert_eq!(others.fresh(now, span), 1);
        others.lost(PEER);
        assert_eq!(others.fresh(now, span), 0);
    }

    #[test]
    fn who_tells_less_than_before_counts_for_nothing_until_it_tells_as_much() {
        let mut others = Others::new(Time::ZERO, [PEER].into_iter());
        assert_eq!(others.told(PEER, beat(2, 5)), Told::News);
        // Overtaken; a restart after its end was lost; a copy of the whole directory, with its count of starts.
        for (life, in_another_life) in [(2, false), (3, true), (1, true)] {
            let remember =
                Remember { promised: Some(Round(5)), accepted: None, voted: Position::GENESIS };
            for again in [false, true] {
                let less = Told::Less { remember, in_another_life, again };
                assert_eq!(others.told(PEER, beat(life, 4)), less);
            }
            assert!(others.has_forgotten(PEER));
            assert_eq!(others.told(PEER, beat(life, 5)), Told::News);
            assert!(!others.has_forgotten(PEER));
            others.told(PEER, beat(2, 5));
        }
        assert_eq!(others.told(NodeId::from_u128(9), beat(1, 1)), Told::Strange);
    }
}
