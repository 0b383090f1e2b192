//! What applications sent each other, and who was given it: once, and not never.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::limits;
use crate::sim::checker::invariant::{Finding, Invariant, Verdict};
use crate::types::{MessageId, NodeId};

/// All texts of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    sent: BTreeMap<MessageId, Sent>,
    /// Who was ever given which.
    delivered: BTreeSet<(NodeId, MessageId)>,
    /// By node: what the process that runs now was given.
    in_this_life: BTreeMap<usize, BTreeSet<MessageId>>,
}

#[derive(Clone, Debug)]
struct Sent {
    by: usize,
    from: NodeId,
    to: Option<NodeId>,
    text: Arc<str>,
    /// Whom it is for: one, or all that the sender had online.
    addressed: BTreeSet<NodeId>,
    acknowledged: BTreeSet<NodeId>,
    /// The sender was told the end of it, or does not live any more to be told.
    is_over: bool,
}

impl Texts {
    /// A process is over: the next one was given nothing, and what this one sent is nobody's business.
    pub(super) fn life_over(&mut self, node: usize) {
        self.in_this_life.remove(&node);
        for sent in self.sent.values_mut().filter(|sent| sent.by == node) {
            sent.is_over = true;
        }
    }

    /// An application sends a text to one peer, or to all that are `online` where it is sent.
    pub(super) fn sent(
        &mut self,
        (by, from): (usize, NodeId),
        id: MessageId,
        to: Option<NodeId>,
        text: &Arc<str>,
        online: BTreeSet<NodeId>,
    ) {
        let addressed = to.map_or(online, |peer| [peer].into());
        let text = Arc::clone(text);
        let acknowledged = BTreeSet::new();
        let sent = Sent { by, from, to, text, addressed, acknowledged, is_over: false };
        self.sent.insert(id, sent);
    }

    /// Whether the process of `node` was given this text.
    pub(super) fn has(&self, node: usize, id: MessageId) -> bool {
        self.in_this_life.get(&node).is_some_and(|ids| ids.contains(&id))
    }

    pub(super) fn delivered(
        &mut self,
        (node, me): (usize, NodeId),
        id: MessageId,
        from: NodeId,
        text: &str,
    ) -> Verdict {
        let said = self.sent.get(&id).filter(|sent| {
            sent.from == from && *sent.text == *text && sent.to.is_none_or(|to| to == me)
        });
        if said.is_none() {
            let what = format!("is given {text:?} of {from} as {id}, which nobody sent it");
            return Err((Invariant::Validity, what));
        }
        self.delivered.insert((me, id));
        if !self.in_this_life.entry(node).or_default().insert(id) {
            return Err((Invariant::DeliveredOnce, format!("is given {text:?} as {id} twice")));
        }
        Ok(())
    }

    /// The sender is told that `by` has it.
    pub(super) fn acknowledged(&mut self, id: MessageId, by: NodeId) -> Verdict {
        if !self.delivered.contains(&(by, id)) {
            let what = format!("is told that {by} has {id}, which was not delivered there");
            return Err((Invariant::DeliveredOnce, what));
        }
        if let Some(sent) = self.sent.get_mut(&id) {
            sent.acknowledged.insert(by);
        }
        Ok(())
    }

    /// The sender is told the end of it. True if everyone has it.
    pub(super) fn over(
        &mut self,
        id: MessageId,
        by: &[NodeId],
        missing: &[NodeId],
    ) -> Result<bool, Finding> {
        let broken = |what: String| (Invariant::DeliveredAtLeastOnce, format!("of {id}: {what}"));
        let Some(sent) = self.sent.get_mut(&id) else {
            return Err(broken("an end of what nobody sent".into()));
        };
        sent.is_over = true;
        let told: BTreeSet<NodeId> = by.iter().chain(missing).copied().collect();
        if told != sent.addressed || by.iter().any(|peer| !sent.acknowledged.contains(peer)) {
            let what =
                format!("told {by:?} have it and {missing:?} do not; of {:?}", sent.addressed);
            return Err(broken(what));
        }
        // No run lasts as long as a text is kept for who does not answer.
        if missing.iter().any(|peer| *peer != sent.from) {
            let kept = limits::UNACKNOWLEDGED_AGE_MAX;
            return Err(broken(format!("{missing:?} given up before {kept:?} have passed")));
        }
        Ok(missing.is_empty() && !by.is_empty())
    }

    /// A text that one of these nodes, which all live in a whole network, is still to be given or to acknowledge.
    pub(super) fn open(&self, intact: impl Fn(NodeId) -> bool) -> Option<(MessageId, NodeId)> {
        let waits = |(id, sent): (&MessageId, &Sent)| {
            let mut missing = sent.addressed.difference(&sent.acknowledged);
            let missing = missing.find(|peer| **peer != sent.from && intact(**peer))?;
            (!sent.is_over).then_some((*id, *missing))
        };
        self.sent.iter().find_map(waits)
    }

    /// How many ids the process of `node` may remember at most.
    pub(super) fn given(&self, node: usize) -> usize {
        self.in_this_life.get(&node).map_or(0, BTreeSet::len)
    }

    /// How many texts the process of `node` may wait with for an answer.
    pub(super) fn under_way(&self, node: usize) -> usize {
        self.sent.values().filter(|sent| sent.by == node && !sent.is_over).count()
    }
}
