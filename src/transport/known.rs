//! Who is known: the members; until the cluster is formed, whoever was met at a listed address.
//!
//! Anyone may link under a key of its own. What such a stranger says is held short, and not believed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::types::NodeId;

/// Whom this node knows.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Acquaintances>);

#[derive(Debug, Default)]
struct Acquaintances {
    /// None before the cluster is formed.
    members: BTreeSet<NodeId>,
    /// Who has proven at a listed address who it is.
    met: BTreeMap<String, NodeId>,
}

impl Known {
    /// From now on these are the members.
    pub(crate) fn expect(&self, members: BTreeSet<NodeId>) {
        self.0.lock().expect("no holder of this lock panics").members = members;
    }

    /// A listed address was dialled, and this node has proven itself there.
    pub(crate) fn meet(&self, address: &str, node: NodeId) {
        let mut known = self.0.lock().expect("no holder of this lock panics");
        known.met.insert(address.to_owned(), node);
    }

    /// The address is listed no more.
    pub(crate) fn forget(&self, address: &str) {
        self.0.lock().expect("no holder of this lock panics").met.remove(address);
    }

    /// Whether this node is known.
    pub(crate) fn is_known(&self, node: NodeId) -> bool {
        let known = self.0.lock().expect("no holder of this lock panics");
        match known.members.is_empty() {
            true => known.met.values().any(|met| *met == node),
            false => known.members.contains(&node),
        }
    }

    pub(crate) fn is_member(&self, node: NodeId) -> bool {
        self.0.lock().expect("no holder of this lock panics").members.contains(&node)
    }

    /// How many of these are no members.
    pub(crate) fn count_others<'n>(&self, nodes: impl Iterator<Item = &'n NodeId>) -> usize {
        let known = self.0.lock().expect("no holder of this lock panics");
        nodes.filter(|node| !known.members.contains(node)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_are_known_and_until_there_are_some_who_was_met_where_the_list_says() {
        let [one, other] = [1, 2].map(NodeId::from_u128);
        let known = Known::default();
        known.meet("a:1", one);
        assert!(known.is_known(one) && !known.is_known(other));
        known.meet("a:1", other);
        assert!(known.is_known(other) && !known.is_known(one), "another one lives there now");
        known.forget("a:1");
        assert!(!known.is_known(other));
        known.meet("a:1", other);
        known.expect([one].into());
        assert!(known.is_known(one) && !known.is_known(other));
        assert_eq!(known.count_others([one, other].iter()), 1);
    }
}
