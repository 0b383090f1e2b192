//! Whether one peer lives: a small story told by its signs.
//!
//! Any frame proves life: `Online`. A broken link makes it `Suspected` at once, for the transport
//! redials at once: the first refusal after that is proof enough for taking over (the process is
//! gone), the second says `Offline`. Silence longer than `suspect_after` makes it `Suspected` and
//! worth a direct question; silence of three times that long says `Offline`, unless another peer that
//! is online itself says that it hears it. A peer that says it leaves is `Offline` at once, whatever
//! of it is still under way; only a new link brings it back.
//!
//! Silence is only what this node listened to: time in which its own loop was late does not count
//! ([`Detector::forgive`]), so that a paused node does not wake up suspecting everybody.

use std::time::Duration;

use crate::peers::NodeStatus;
use crate::types::Time;

/// Silence, in multiples of `suspect_after`, that says `Offline`.
const OFFLINE_AFTER: u32 = 3;

/// Refused dials since the peer was last heard that say `Offline`.
const REFUSALS: u32 = 2;

/// What follows from silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing new.
    Unchanged,
    /// Suspected from now on: ask it directly.
    Ask,
    /// Offline from now on.
    Gone,
}

#[derive(Clone, Debug)]
pub(super) struct Detector {
    status: NodeStatus,
    last_seen: Option<Time>,
    /// Since when silence counts.
    silent_since: Time,
    /// Refused dials since it was last heard.
    refusals: u32,
    is_linked: bool,
    /// It said that it leaves, on the link that is or was its last.
    has_left: bool,
    /// Suspected for as long as makes a peer offline that nobody hears.
    is_long_silent: bool,
}

impl Detector {
    /// A peer that was not heard in this life of the process.
    pub(super) fn new(now: Time) -> Self {
        Self {
            status: NodeStatus::Offline,
            last_seen: None,
            silent_since: now,
            refusals: 0,
            is_linked: false,
            has_left: false,
            is_long_silent: false,
        }
    }

    /// Whether it is heard here, or was so lately that it may be again at any moment.
    pub(super) fn is_near(&self) -> bool {
        match self.status {
            NodeStatus::Online => true,
            NodeStatus::Suspected => !self.is_long_silent,
            NodeStatus::Offline => false,
        }
    }

    pub(super) fn status(&self) -> NodeStatus {
        self.status
    }

    pub(super) fn last_seen(&self) -> Option<Time> {
        self.last_seen
    }

    pub(super) fn is_linked(&self) -> bool {
        self.is_linked
    }

    pub(super) fn link_up(&mut self, now: Time) {
        self.is_linked = true;
        self.has_left = false;
        self.heard(now);
    }

    pub(super) fn heard(&mut self, now: Time) {
        self.last_seen = Some(now);
        self.silent_since = now;
        self.is_long_silent = false;
        if !self.has_left {
            self.refusals = 0;
            self.status = NodeStatus::Online;
        }
    }

    pub(super) fn link_down(&mut self) {
        self.is_linked = false;
        if self.status == NodeStatus::Online {
            self.status = NodeStatus::Suspected;
        }
    }

    /// Says whether this is the proof that it is gone: the first refusal after its link broke.
    pub(super) fn dial_refused(&mut self) -> bool {
        if self.is_linked || self.last_seen.is_none() || self.has_left {
            return false;
        }
        self.refusals = self.refusals.saturating_add(1);
        self.status = if self.refusals < REFUSALS {
            self.status.at_best_suspected()
        } else {
            NodeStatus::Offline
        };
        self.refusals == 1
    }

    /// Says whether that is new.
    pub(super) fn left(&mut self) -> bool {
        self.status = NodeStatus::Offline;
        !std::mem::replace(&mut self.has_left, true)
    }

    /// Time in which this node did not listen is no silence of the peer.
    pub(super) fn forgive(&mut self, now: Time, late: Duration) {
        self.silent_since = (self.silent_since + late).min(now);
    }

    /// What the silence up to now amounts to; `is_vouched_for` if another peer hears it.
    pub(super) fn check(
        &mut self,
        now: Time,
        suspect_after: Duration,
        is_vouched_for: bool,
    ) -> Verdict {
        let silence = now.since(self.silent_since);
        match self.status {
            NodeStatus::Online if silence > suspect_after => {
                self.status = NodeStatus::Suspected;
                Verdict::Ask
            }
            NodeStatus::Suspected if silence > suspect_after * OFFLINE_AFTER => {
                self.is_long_silent = true;
                if is_vouched_for {
                    return Verdict::Unchanged;
                }
                self.status = NodeStatus::Offline;
                Verdict::Gone
            }
            NodeStatus::Online | NodeStatus::Suspected | NodeStatus::Offline => Verdict::Unchanged,
        }
    }
}

impl NodeStatus {
    fn at_best_suspected(self) -> Self {
        match self {
            Self::Online | Self::Suspected => Self::Suspected,
            Self::Offline => Self::Offline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use NodeStatus::{Offline, Online, Suspected};

    const SUSPECT_AFTER: Duration = Duration::from_millis(600);

    fn at(millis: u64) -> Time {
        Time::from_start(Duration::from_millis(millis))
    }

    fn linked() -> Detector {
        let mut detector = Detector::new(at(0));
        assert_eq!(detector.status(), Offline);
        detector.link_up(at(0));
        assert_eq!(detector.status(), Online);
        detector
    }

    fn check(detector: &mut Detector, millis: u64, vouched: bool) -> Verdict {
        detector.check(at(millis), SUSPECT_AFTER, vouched)
    }

    #[test]
    fn silence_is_asked_about_once_and_then_ends_offline() {
        let mut peer = linked();
        for (millis, verdict, status) in [
            (600, Verdict::Unchanged, Online),
            (601, Verdict::Ask, Suspected),
            (1_000, Verdict::Unchanged, Suspected),
            (1_800, Verdict::Unchanged, Suspected),
            (1_801, Verdict::Gone, Offline),
            (9_000, Verdict::Unchanged, Offline),
        ] {
            assert_eq!(check(&mut peer, millis, false), verdict, "at {millis}");
            assert_eq!(peer.status(), status, "at {millis}");
        }
        peer.heard(at(9_001));
        assert_eq!((peer.status(), peer.last_seen()), (Online, Some(at(9_001))));
    }

    #[test]
    fn a_peer_that_others_hear_stays_suspected() {
        let mut peer = linked();
        check(&mut peer, 601, true);
        assert_eq!(check(&mut peer, 5_000, true), Verdict::Unchanged);
        assert_eq!(peer.status(), Suspected);
        assert_eq!(check(&mut peer, 5_001, false), Verdict::Gone);
    }

    #[test]
    fn a_peer_that_only_others_hear_is_near_for_a_while() {
        let mut peer = linked();
        for (millis, is_near) in [(600, true), (601, true), (1_800, true), (1_801, false)] {
            check(&mut peer, millis, true);
            assert_eq!(peer.is_near(), is_near, "at {millis}");
        }
        peer.heard(at(2_000));
        peer.link_down();
        check(&mut peer, 2_001, true);
        assert!(peer.is_near());
    }

    #[test]
    fn a_broken_link_and_a_refused_redial_prove_the_end_of_a_process() {
        let mut peer = linked();
        peer.link_down();
        assert_eq!(peer.status(), Suspected);
        assert!(peer.dial_refused());
        assert_eq!(peer.status(), Suspected);
        assert!(!peer.dial_refused());
        assert_eq!(peer.status(), Offline);
        assert!(!peer.dial_refused());
        peer.link_up(at(5));
        assert_eq!(peer.status(), Online);
        peer.link_down();
        assert!(peer.dial_refused());
    }

    #[test]
    fn a_refused_dial_says_nothing_of_a_linked_or_never_heard_peer() {
        let mut peer = linked();
        assert!(!peer.dial_refused());
        assert_eq!(peer.status(), Online);
        let mut stranger = Detector::new(at(0));
        assert!(!stranger.dial_refused());
        assert_eq!(stranger.status(), Offline);
    }

    #[test]
    fn who_leaves_is_gone_until_a_new_link() {
        let mut peer = linked();
        assert!(peer.left());
        assert_eq!(peer.status(), Offline);
        assert!(!peer.left());
        peer.heard(at(1));
        peer.link_down();
        assert!(!peer.dial_refused());
        assert_eq!(peer.status(), Offline);
        peer.link_up(at(2));
        assert_eq!(peer.status(), Online);
    }

    #[test]
    fn own_lateness_is_no_silence_of_the_peer() {
        let mut peer = linked();
        peer.forgive(at(10_000), Duration::from_millis(9_900));
        assert_eq!(check(&mut peer, 10_000, false), Verdict::Unchanged);
        assert_eq!(check(&mut peer, 10_500, false), Verdict::Unchanged);
        assert_eq!(check(&mut peer, 10_501, false), Verdict::Ask);
        peer.forgive(at(10_501), Duration::from_secs(99));
        assert_eq!(peer.silent_since, at(10_501));
    }
}
