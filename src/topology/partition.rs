//! What stands between nodes that are connected: groups that hear only themselves, and one-way cuts.

use std::collections::{BTreeMap, BTreeSet};

/// The faults laid over a graph. Healing forgets them; the graph itself never changes by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition<N> {
    /// The group of each node that was named; the others form one more group together.
    group_of: BTreeMap<N, usize>,
    /// (from, to): nothing said by the first is heard by the second.
    cuts: BTreeSet<(N, N)>,
}

impl<N: Ord + Clone> Partition<N> {
    pub(super) fn none() -> Self {
        Self { group_of: BTreeMap::new(), cuts: BTreeSet::new() }
    }

    /// Puts these groups in the place of earlier ones; cuts stay.
    pub(super) fn split(&mut self, group_of: BTreeMap<N, usize>) {
        self.group_of = group_of;
    }

    pub(super) fn cut(&mut self, from: N, to: N) {
        self.cuts.insert((from, to));
    }

    pub(super) fn severs(&self, from: &N, to: &N) -> bool {
        self.group_of.get(from) != self.group_of.get(to)
            || (!self.cuts.is_empty() && self.cuts.contains(&(from.clone(), to.clone())))
    }
}
