//! Applications that send texts to each other, beside the log.

use std::sync::Arc;

use crate::engine::Input;
use crate::sim::clock::Moment;
use crate::sim::cluster::Cluster;
use crate::sim::happening::Happening;
use crate::types::MessageId;

/// Ids of texts begin here, far from those that nodes give.
const FIRST: u128 = 1 << 100;

impl Cluster {
    /// The application at `node` will send a text at `at`, to one node or to all.
    pub(super) fn plan_text(&mut self, at: Moment, node: usize, to: Option<usize>) {
        self.texts += 1;
        self.queue.plan(at, Happening::Text { node, to, number: self.texts });
    }

    /// The application at `node` sends a text. One whose node is down, or belongs to no cluster, sends nothing.
    pub(super) fn send_text(&mut self, node: usize, to: Option<usize>, number: u64, text: &str) {
        let runs = self.nodes[node].process.as_ref().is_some_and(|process| process.held.is_none());
        if !runs || self.checker.is_out(node) {
            return;
        }
        let id = MessageId::from_u128(FIRST + u128::from(number));
        let text: Arc<str> = text.into();
        let to = to.map(|peer| self.nodes[peer].id);
        self.counters.texts_sent += 1;
        self.checker.sends(node, id, to, &text);
        self.tell(node, Input::Send { id, to, text });
    }
}
