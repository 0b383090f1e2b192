//! The graph of a network: nodes, the connections between them, and which of them carry now.
//!
//! A connection carries both ways. A partition or a one-way cut takes carrying away and leaves
//! the connection; [`NetworkTopology::heal`] gives it back. All answers come in the order of the
//! nodes' keys, so that two runs over the same graph are the same run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Display;

use crate::topology::partition::Partition;

/// Nodes under keys of the caller's choice (ids, or names in a scenario) and what connects them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkTopology<N> {
    connected: BTreeMap<N, BTreeSet<N>>,
    partition: Partition<N>,
}

/// The graph does not allow what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError<N: Display> {
    /// The node was never added.
    #[error("{0} is not in the network: add it before it is connected, split or cut")]
    UnknownNode(N),
    /// A node needs no connection to itself.
    #[error("{0} cannot be connected to itself: name two nodes")]
    SameNode(N),
    /// A node can be on one side only.
    #[error("{0} stands in two groups of the partition: name it once")]
    TwoGroups(N),
}

impl<N: Ord + Clone + Display> Default for NetworkTopology<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Ord + Clone + Display> NetworkTopology<N> {
    /// No nodes.
    pub fn new() -> Self {
        Self { connected: BTreeMap::new(), partition: Partition::none() }
    }

    /// These nodes, each connected to each.
    pub fn full_mesh(nodes: impl IntoIterator<Item = N>) -> Self {
        let nodes: BTreeSet<N> = nodes.into_iter().collect();
        let others = |node: &N| nodes.iter().filter(|other| *other != node).cloned().collect();
        let connected = nodes.iter().map(|node| (node.clone(), others(node))).collect();
        Self { connected, partition: Partition::none() }
    }

    /// Adds a node without connections; says whether it is new.
    pub fn add_node(&mut self, node: N) -> bool {
        if self.connected.contains_key(&node) {
            return false;
        }
        self.connected.insert(node, BTreeSet::new());
        true
    }

    /// Connects two nodes, both ways; says whether they were not connected before.
    ///
    /// # Errors
    /// [`TopologyError`] if one of them is unknown, or both are the same.
    pub fn connect_nodes(&mut self, one: &N, other: &N) -> Result<bool, TopologyError<N>> {
        self.check([one, other])?;
        if one == other {
            return Err(TopologyError::SameNode(one.clone()));
        }
        let mut is_new = false;
        for (from, to) in [(one, other), (other, one)] {
            let links = self.connected.get_mut(from).expect("checked above");
            is_new |= links.insert(to.clone());
        }
        Ok(is_new)
    }

    /// From now on nodes hear only their own group. Nodes that are in none of `groups` form one
    /// more group together. An earlier partition is replaced, one-way cuts stay.
    ///
    /// # Errors
    /// [`TopologyError`] if a node is unknown or in two groups; nothing changed then.
    pub fn simulate_network_partition<G>(
        &mut self,
        groups: impl IntoIterator<Item = G>,
    ) -> Result<(), TopologyError<N>>
    where
        G: IntoIterator<Item = N>,
    {
        let mut group_of = BTreeMap::new();
        for (index, group) in groups.into_iter().enumerate() {
            for node in group {
                self.check([&node])?;
                if group_of.insert(node.clone(), index).is_some_and(|earlier| earlier != index) {
                    return Err(TopologyError::TwoGroups(node));
                }
            }
        }
        self.partition.split(group_of);
        Ok(())
    }

    /// From now on nothing that `from` says is heard by `to`; the other way is untouched.
    ///
    /// # Errors
    /// [`TopologyError::UnknownNode`].
    pub fn cut(&mut self, from: &N, to: &N) -> Result<(), TopologyError<N>> {
        self.check([from, to])?;
        self.partition.cut(from.clone(), to.clone());
        Ok(())
    }

    /// Takes every partition and every cut away.
    pub fn heal(&mut self) {
        self.partition = Partition::none();
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> impl Iterator<Item = &N> {
        self.connected.keys()
    }

    /// Whether two nodes are connected, carrying or not.
    pub fn is_connected(&self, one: &N, other: &N) -> bool {
        self.connected.get(one).is_some_and(|links| links.contains(other))
    }

    /// Whether what `from` says arrives at `to` without a third node.
    pub fn carries(&self, from: &N, to: &N) -> bool {
        self.is_connected(from, to) && !self.partition.severs(from, to)
    }

    /// Whom `node` reaches without a third node, in order.
    pub fn neighbours<'a>(&'a self, node: &'a N) -> impl Iterator<Item = &'a N> {
        let links = self.connected.get(node).into_iter().flatten();
        links.filter(move |other| !self.partition.severs(node, other))
    }

    /// Whether what `from` says can arrive at `to`, over others if need be.
    pub fn reachable(&self, from: &N, to: &N) -> bool {
        self.steps(from, Direction::Forth).contains_key(to)
    }

    /// The neighbour of `from` on a shortest way to `to`: of several the first in order. None if
    /// there is no way, or nowhere to go.
    pub fn next_hop(&self, from: &N, to: &N) -> Option<N> {
        let came_from = self.steps(from, Direction::Forth);
        let mut hop = to;
        while let Some(Some(previous)) = came_from.get(hop) {
            if *previous == from {
                return Some(hop.clone());
            }
            hop = previous;
        }
        None
    }

    /// The nodes in groups of which everybody reaches everybody, each group and the groups
    /// among themselves in order.
    pub fn components(&self) -> Vec<Vec<N>> {
        let mut components: Vec<Vec<N>> = Vec::new();
        let mut placed = BTreeSet::new();
        for node in self.connected.keys() {
            if placed.contains(node) {
                continue;
            }
            let forth = self.steps(node, Direction::Forth);
            let back = self.steps(node, Direction::Back);
            let component: Vec<N> =
                forth.into_keys().filter(|other| back.contains_key(other)).cloned().collect();
            placed.extend(component.iter().cloned());
            components.push(component);
        }
        components
    }

    /// Everyone that `start` reaches (or is reached by), breadth first, and over whom.
    fn steps<'a>(&'a self, start: &'a N, direction: Direction) -> BTreeMap<&'a N, Option<&'a N>> {
        let mut came_from = BTreeMap::new();
        let Some((start, _)) = self.connected.get_key_value(start) else { return came_from };
        came_from.insert(start, None);
        let mut waiting = VecDeque::from([start]);
        while let Some(node) = waiting.pop_front() {
            for other in &self.connected[node] {
                let is_severed = match direction {
                    Direction::Forth => self.partition.severs(node, other),
                    Direction::Back => self.partition.severs(other, node),
                };
                if !is_severed && !came_from.contains_key(other) {
                    came_from.insert(other, Some(node));
                    waiting.push_back(other);
                }
            }
        }
        came_from
    }

    fn check<'a>(&self, nodes: impl IntoIterator<Item = &'a N>) -> Result<(), TopologyError<N>>
    where
        N: 'a,
    {
        match nodes.into_iter().find(|node| !self.connected.contains_key(node)) {
            Some(unknown) => Err(TopologyError::UnknownNode(unknown.clone())),
            None => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Forth,
    Back,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh(nodes: &[&'static str]) -> NetworkTopology<&'static str> {
        NetworkTopology::full_mesh(nodes.iter().copied())
    }

    fn chain(nodes: &[&'static str]) -> NetworkTopology<&'static str> {
        let mut chain = NetworkTopology::new();
        for node in nodes {
            assert!(chain.add_node(*node));
        }
        for pair in nodes.windows(2) {
            assert_eq!(chain.connect_nodes(&pair[0], &pair[1]), Ok(true));
        }
        chain
    }

    #[test]
    fn a_full_mesh_is_one_component() {
        let mesh = mesh(&["c", "a", "b"]);
        assert_eq!(mesh.nodes().collect::<Vec<_>>(), [&"a", &"b", &"c"]);
        assert_eq!(mesh.components(), [["a", "b", "c"]]);
        assert_eq!(mesh.neighbours(&"b").collect::<Vec<_>>(), [&"a", &"c"]);
        assert!(!mesh.is_connected(&"a", &"a"));
    }

    #[test]
    fn a_node_without_connections_stands_alone() {
        let mut network = mesh(&["a", "b"]);
        assert!(network.add_node("lonely"));
        assert!(!network.add_node("lonely"));
        assert_eq!(network.components(), [vec!["a", "b"], vec!["lonely"]]);
        assert!(!network.reachable(&"a", &"lonely"));
        assert!(network.reachable(&"lonely", &"lonely"));
    }

    #[test]
    fn a_partition_severs_groups_and_heals() {
        let mut network = mesh(&["a", "b", "c", "d", "e"]);
        network.simulate_network_partition([vec!["a", "b"], vec!["c", "d", "e"]]).unwrap();
        assert_eq!(network.components(), [vec!["a", "b"], vec!["c", "d", "e"]]);
        assert!(network.is_connected(&"a", &"c"));
        assert!(!network.carries(&"a", &"c"));
        assert!(network.carries(&"c", &"e"));
        assert_eq!(network.next_hop(&"a", &"e"), None);
        network.heal();
        assert_eq!(network, mesh(&["a", "b", "c", "d", "e"]));
    }

    #[test]
    fn nodes_not_named_in_a_partition_stay_together() {
        let mut network = mesh(&["a", "b", "c", "d"]);
        network.simulate_network_partition([["b"]]).unwrap();
        assert_eq!(network.components(), [vec!["a", "c", "d"], vec!["b"]]);
    }

    #[test]
    fn a_second_partition_replaces_the_first() {
        let mut network = mesh(&["a", "b", "c"]);
        network.simulate_network_partition([["a"]]).unwrap();
        network.simulate_network_partition([["c"]]).unwrap();
        assert_eq!(network.components(), [vec!["a", "b"], vec!["c"]]);
    }

    #[test]
    fn a_cut_silences_one_way_only() {
        let mut network = mesh(&["a", "b"]);
        network.cut(&"a", &"b").unwrap();
        assert!(!network.carries(&"a", &"b"));
        assert!(network.carries(&"b", &"a"));
        assert!(!network.reachable(&"a", &"b"));
        assert!(network.reachable(&"b", &"a"));
        assert_eq!(network.components(), [["a"], ["b"]]);
    }

    #[test]
    fn a_cut_is_walked_around() {
        let mut network = mesh(&["a", "b", "c"]);
        network.cut(&"a", &"b").unwrap();
        assert_eq!(network.next_hop(&"a", &"b"), Some("c"));
        assert_eq!(network.components(), [["a", "b", "c"]]);
    }

    #[test]
    fn the_next_hop_is_the_shortest_and_of_equals_the_first() {
        let mut ring = chain(&["a", "b", "c", "d"]);
        ring.connect_nodes(&"d", &"a").unwrap();
        assert_eq!(ring.next_hop(&"a", &"d"), Some("d"));
        assert_eq!(ring.next_hop(&"a", &"c"), Some("b"));
        assert_eq!(ring.next_hop(&"c", &"a"), Some("b"));
        assert_eq!(ring.next_hop(&"a", &"a"), None);
        assert_eq!(ring.next_hop(&"a", &"nobody"), None);
        assert_eq!(chain(&["a", "b", "c", "d"]).next_hop(&"a", &"d"), Some("b"));
    }

    #[test]
    fn what_the_graph_does_not_allow_is_named() {
        let mut network = mesh(&["a", "b"]);
        let before = network.clone();
        assert_eq!(network.connect_nodes(&"a", &"x"), Err(TopologyError::UnknownNode("x")));
        assert_eq!(network.connect_nodes(&"a", &"a"), Err(TopologyError::SameNode("a")));
        assert_eq!(network.cut(&"x", &"a"), Err(TopologyError::UnknownNode("x")));
        assert_eq!(
            network.simulate_network_partition([["a"], ["a"]]),
            Err(TopologyError::TwoGroups("a"))
        );
        assert_eq!(network, before);
        assert_eq!(network.connect_nodes(&"a", &"b"), Ok(false));
    }
}
