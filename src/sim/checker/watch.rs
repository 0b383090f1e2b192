//! Whom every node hears, judged beside it: nobody is suspected without a reason, and no silence is overlooked.
//!
//! The reasons are those of `peers`: silence longer than T by the node's own clock, a link that broke, a
//! refused dial, a good-bye. The bound is that of `peers`, too: whoever falls silent is no longer online at the
//! first beat of the watching node that comes later than T after the last frame. So a dead peer is suspected
//! within T + the heartbeat interval after its last frame arrived, unless the watching node was late itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::peers::NodeStatus;
use crate::sim::checker::invariant::{Invariant, Verdict};
use crate::types::{NodeId, Time};

/// What one process knows of its peers.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    peers: BTreeMap<NodeId, Seen>,
    /// Up to when the watching node did not listen: what it could not hear before is no silence.
    late_until: Time,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    heard: Time,
    is_online: bool,
    /// Its link broke, nobody listened there, or it said good-bye: anything may be said of it.
    is_excused: bool,
}

impl Watch {
    /// Any frame of this peer, or a link to it.
    pub(super) fn heard(&mut self, peer: NodeId, now: Time, is_new_link: bool) {
        let silent = Seen { heard: now, is_online: false, is_excused: false };
        let seen = self.peers.entry(peer).or_insert(silent);
        seen.heard = now;
        seen.is_excused &= !is_new_link;
    }

    /// Something happened that is reason enough to take this peer for lost.
    pub(super) fn excuse(&mut self, peer: NodeId) {
        if let Some(seen) = self.peers.get_mut(&peer) {
            seen.is_excused = true;
        }
    }

    /// The watching node did not listen before `now`.
    pub(super) fn was_late(&mut self, now: Time) {
        self.late_until = now;
    }

    /// The node says how it sees a peer.
    pub(super) fn judged(
        &mut self,
        peer: NodeId,
        status: NodeStatus,
        now: Time,
        suspect_after: Duration,
    ) -> Verdict {
        let silent = Seen { heard: now, is_online: false, is_excused: true };
        let seen = self.peers.entry(peer).or_insert(silent);
        seen.is_online = status == NodeStatus::Online;
        let silence = now.since(seen.heard);
        if !seen.is_online && !seen.is_excused && silence <= suspect_after {
            let what = format!("takes {peer} for {status:?}, heard {silence:?} ago");
            return Err((Invariant::DetectorAccuracy, what));
        }
        Ok(())
    }

    /// The node has judged all silences at `now`.
    pub(super) fn overlooked(&self, now: Time, bound: Duration) -> Verdict {
        let online = self.peers.iter().filter(|(_, seen)| seen.is_online);
        let silent_since = |seen: &Seen| seen.heard.max(self.late_until);
        let mut late = online.filter(|(_, seen)| now.since(silent_since(seen)) > bound);
        match late.next() {
            None => Ok(()),
            Some((peer, seen)) => {
                let silence = now.since(seen.heard);
                let what = format!("takes {peer} for online after {silence:?} of silence");
                Err((Invariant::DetectorCompleteness, what))
            }
        }
    }

    pub(super) fn online(&self) -> BTreeSet<NodeId> {
        self.peers.iter().filter(|(_, seen)| seen.is_online).map(|(peer, _)| *peer).collect()
    }
}
