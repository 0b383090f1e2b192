//! Where the machine stands, for people and for the hosts.

use std::time::Duration;

use crate::consensus::core::Machine;
use crate::consensus::{Beat, EpochConfig};
use crate::types::{NodeId, Position, Round, Time};

/// Where the machine stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who belongs; none before the cluster is formed.
    pub config: Option<EpochConfig>,
    /// The round under way as seen from here.
    pub round: Round,
    /// Its proposer.
    pub proposer: Option<NodeId>,
    /// Whether that proposer leads, as far as is known.
    pub led: bool,
    /// Whether this node leads.
    pub leading: bool,
    /// The tip of the log.
    pub last: Position,
    /// What is committed and delivered here.
    pub committed: Position,
    /// Members heard lately, this one included.
    pub heard: usize,
    /// Proposals taken here that are not decided yet.
    pub pending: usize,
    /// What this node announces of itself; none before the start of the epoch is durable.
    pub announces: Option<Announcement>,
    /// How long the oldest record that must be synced waits.
    pub sync_waits: Duration,
    /// Whether the disk is too slow to lead or to judge: a sync takes longer than a peer may be silent,
    /// or did lately.
    pub is_disk_slow: bool,
    /// The other members, in the order of their ids.
    pub others: Vec<Seen>,
}

/// Another member as seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who.
    pub id: NodeId,
    /// Whether it was heard lately and is not known to be gone.
    pub is_heard: bool,
    /// What it announced last.
    pub announces: Option<Announcement>,
}

/// What a member announces, as far as people want to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The round in which its log was last adopted.
    pub accepted: Option<Round>,
    /// The highest position that it voted for in that round.
    pub voted: Position,
    /// What is committed there.
    pub committed: Position,
    /// It suspects the proposers of all rounds up to this one (R10).
    pub suspects: Option<Round>,
    /// The round that it wants to lead.
    pub candidate: Option<Round>,
    /// The round that it leads.
    pub leads: Option<Round>,
    /// Whether it hears a quorum and its disk keeps up.
    pub is_healthy: bool,
}

impl Machine {
    /// Where the machine stands.
    pub fn standing(&self, now: Time) -> Standing {
        let patience = self.patience();
        let others = self.others.iter().map(|(id, other)| Seen {
            id,
            is_heard: other.is_fresh(now, patience),
            announces: other.beat.map(|beat| Announcement::from(&beat)),
        });
        let sync_waits = self.durable.overdue(now);
        Standing {
            config: self.config().cloned(),
            round: self.view.round,
            proposer: self.proposer(),
            led: self.view.led,
            leading: self.leads_round().is_some(),
            last: self.state.last(),
            committed: self.state.tail.position(self.delivery.delivered).unwrap_or_default(),
            heard: self.others.fresh(now, patience) + 1,
            pending: self.pending.len(),
            announces: self.beat(now).map(|beat| Announcement::from(&beat)),
            sync_waits,
            is_disk_slow: self.slow_until.is_some_and(|until| now < until)
                || sync_waits >= self.settings.suspect_after,
            others: others.collect(),
        }
    }
}

impl From<&Beat> for Announcement {
    fn from(beat: &Beat) -> Self {
        Self {
            accepted: beat.accepted,
            voted: beat.voted,
            committed: beat.committed,
            suspects: beat.suspects,
            candidate: beat.candidate,
            leads: beat.leads,
            is_healthy: beat.healthy,
        }
    }
}
