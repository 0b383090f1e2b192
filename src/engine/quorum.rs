//! Whether this node hears enough members to agree with them.

use crate::consensus::EpochConfig;
use crate::peers;
use crate::types::NodeId;

/// How many members are heard, and how many must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Members heard, this one included.
    pub heard: usize,
    /// Members needed.
    pub needed: usize,
}

impl Quorum {
    /// Whether enough are heard.
    pub fn is_heard(self) -> bool {
        self.heard >= self.needed
    }
}

/// Remembers what was last told: it takes online peers to have a quorum, and offline ones to lose
/// it, so that a suspicion that passes is not news.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuorumWatch {
    is_heard: bool,
}

impl QuorumWatch {
    pub(super) fn now(self, me: NodeId, config: &EpochConfig, peers: &peers::Machine) -> Quorum {
        let votes = |id: &NodeId| config.is_member(*id);
        let others = if self.is_heard {
            peers.not_offline().filter(votes).count()
        } else {
            peers.online().filter(votes).count()
        };
        Quorum { heard: others + usize::from(votes(&me)), needed: config.quorum() }
    }

    /// The quorum, if it is heard again or no longer.
    pub(super) fn changed(
        &mut self,
        me: NodeId,
        config: &EpochConfig,
        peers: &peers::Machine,
    ) -> Option<Quorum> {
        let quorum = self.now(me, config, peers);
        let was_heard = std::mem::replace(&mut self.is_heard, quorum.is_heard());
        (was_heard != self.is_heard).then_some(quorum)
    }
}
