//! How long a question to a peer takes, through both programs and the network between them.
//!
//! It decides nothing: the engine is not told of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::types::{MessageId, NodeId, Time};

/// How often each linked peer is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// The round trips to the peers that links lead to.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    peers: BTreeMap<NodeId, Trip>,
    /// When the next questions are due.
    next_at: Time,
}

#[derive(Debug, Default)]
struct Trip {
    /// Asked, and not answered yet.
    asked: Option<(MessageId, Time)>,
    took: Option<Duration>,
}

impl RoundTrips {
    /// A link leads to this peer: it is asked with all others.
    pub(super) fn linked(&mut self, peer: NodeId) {
        self.peers.insert(peer, Trip::default());
    }

    /// The link is gone.
    pub(super) fn unlinked(&mut self, peer: NodeId) {
        self.peers.remove(&peer);
    }

    /// Whom to ask now. Who did not answer the last question has no round trip any more.
    pub(super) fn due(&mut self, now: Time) -> Vec<NodeId> {
        if now < self.next_at || self.peers.is_empty() {
            return Vec::new();
        }
        self.next_at = now + INTERVAL;
        self.peers.keys().copied().collect()
    }

    /// A peer is asked.
    pub(super) fn asked(&mut self, now: Time, peer: NodeId, id: MessageId) {
        if let Some(trip) = self.peers.get_mut(&peer)
            && trip.asked.replace((id, now)).is_some()
        {
            trip.took = None;
        }
    }

    /// A peer answered a question, perhaps one of these.
    pub(super) fn answered(&mut self, now: Time, peer: NodeId, re: MessageId) {
        if let Some(trip) = self.peers.get_mut(&peer)
            && let Some((_, asked)) = trip.asked.take_if(|(id, _)| *id == re)
        {
            trip.took = Some(now.since(asked));
        }
    }

    /// Each that is known.
    pub(super) fn known(&self) -> BTreeMap<NodeId, Duration> {
        self.peers.iter().filter_map(|(peer, trip)| Some((*peer, trip.took?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId::from_u128(2);

    fn at(millis: u64) -> Time {
        Time::from_start(Duration::from_millis(millis))
    }

    fn question(n: u128) -> MessageId {
        MessageId::from_u128(n)
    }

    #[test]
    fn a_round_trip_is_from_the_question_to_its_own_answer() {
        let mut trips = RoundTrips::default();
        assert_eq!(trips.due(at(0)), []);
        trips.linked(PEER);
        assert_eq!(trips.due(at(0)), [PEER]);
        trips.asked(at(0), PEER, question(1));
        assert_eq!(trips.due(at(999)), []);
        trips.answered(at(1), PEER, question(9));
        assert_eq!(trips.known(), BTreeMap::new());
        trips.answered(at(3), PEER, question(1));
        trips.answered(at(5), PEER, question(1));
        assert_eq!(trips.known(), BTreeMap::from([(PEER, Duration::from_millis(3))]));
    }

    #[test]
    fn a_further_link_asks_nobody_before_the_time() {
        let mut trips = RoundTrips::default();
        trips.linked(PEER);
        assert_eq!(trips.due(at(0)), [PEER]);
        let another = NodeId::from_u128(3);
        trips.linked(another);
        assert_eq!(trips.due(at(999)), []);
        assert_eq!(trips.due(at(1_000)), [PEER, another]);
    }

    #[test]
    fn who_does_not_answer_or_is_gone_has_none() {
        let mut trips = RoundTrips::default();
        trips.linked(PEER);
        trips.asked(at(0), PEER, question(1));
        trips.answered(at(3), PEER, question(1));
        trips.asked(at(1_000), PEER, question(2));
        assert_eq!(trips.known().len(), 1);
        trips.asked(at(2_000), PEER, question(3));
        assert_eq!(trips.known().len(), 0);
        trips.answered(at(2_001), PEER, question(3));
        trips.unlinked(PEER);
        assert_eq!(trips.known().len(), 0);
        assert_eq!(trips.due(at(9_000)), []);
    }
}
