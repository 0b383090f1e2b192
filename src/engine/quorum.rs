//! Whether this node hears enough members to agree with them.

use crate::consensus::EpochConfig;
use crate::peers;
use crate::types::NodeId;

/// How many members are heard, and how many must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Members heard, this one included; who is suspected is not among them.
    pub heard: usize,
    /// Members needed.
    pub needed: usize,
    /// Whether enough are heard. A suspicion takes none away that were enough, until it has lasted: it may pass.
    pub is_heard: bool,
}

/// Remembers what was last told: it takes online peers to have a quorum, and ones that are offline or silent for
/// as long to lose it, so that a suspicion that passes is not news.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuorumWatch {
    is_heard: bool,
}

impl QuorumWatch {
    pub(super) fn now(self, me: NodeId, config: &EpochConfig, peers: &peers::Machine) -> Quorum {
        let votes = |id: &NodeId| config.is_member(*id);
        let own = usize::from(votes(&me));
        let (heard, needed) = (peers.online().filter(votes).count() + own, config.quorum());
        let count = match self.is_heard {
            true => peers.near().filter(votes).count() + own,
            false => heard,
        };
        Quorum { heard, needed, is_heard: count >= needed }
    }

    /// The quorum, if it is heard again or no longer.
    pub(super) fn changed(
        &mut self,
        me: NodeId,
        config: &EpochConfig,
        peers: &peers::Machine,
    ) -> Option<Quorum> {
        let quorum = self.now(me, config, peers);
        let was_heard = std::mem::replace(&mut self.is_heard, quorum.is_heard);
        (was_heard != self.is_heard).then_some(quorum)
    }
}
