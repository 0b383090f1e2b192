//! The peers that this node knows: members of the cluster, and whoever is linked.

use std::collections::BTreeMap;

use crate::limits;
use crate::mutant::{self, Mutant};
use crate::peers::detector::Detector;
use crate::peers::{NodeInfo, NodeStatus};
use crate::types::{NodeId, Time};

#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) detector: Detector,
    name: String,
    address: String,
    port: u16,
    /// Whom it hears, by its last heartbeat. At most [`limits::MEMBERS_MAX`].
    hears: Vec<NodeId>,
    is_member: bool,
}

impl Peer {
    fn new(now: Time, is_member: bool) -> Self {
        Self {
            detector: Detector::new(now),
            name: String::new(),
            address: String::new(),
            port: 0,
            hears: Vec::new(),
            is_member,
        }
    }

    pub(super) fn info(&self, id: NodeId) -> NodeInfo {
        NodeInfo {
            id,
            name: self.name.clone(),
            address: self.address.clone(),
            port: self.port,
            status: self.detector.status(),
            last_seen: self.detector.last_seen(),
        }
    }

    pub(super) fn introduce(&mut self, name: String, address: &str) {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
        self.name = name;
        self.address = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        self.port = port.parse().unwrap_or(0);
    }

    /// Whom it hears, by its last heartbeat.
    pub(super) fn heard(&self) -> &[NodeId] {
        &self.hears
    }

    pub(super) fn hears(&mut self, mut hears: Vec<NodeId>) {
        // Who says more can only vouch for fewer.
        hears.truncate(limits::MEMBERS_MAX);
        self.hears = hears;
    }
}

/// Before the cluster is formed everyone who links belongs to the table; then members, and for a
/// while strangers: linked nodes that want to belong and are to be told that they do not.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    peers: BTreeMap<NodeId, Peer>,
    is_formed: bool,
}

impl Table {
    /// From now on these belong. Others stay while they are linked.
    pub(super) fn formed(&mut self, now: Time, members: impl IntoIterator<Item = NodeId>) {
        self.is_formed = true;
        for peer in self.peers.values_mut() {
            peer.is_member = false;
        }
        for member in members {
            self.peers.entry(member).or_insert_with(|| Peer::new(now, true)).is_member = true;
        }
        self.peers.retain(|_, peer| peer.is_member || peer.detector.is_linked());
    }

    /// The peer to link with: a known one, or a new one while there is room.
    pub(super) fn admit(&mut self, now: Time, id: NodeId) -> Option<&mut Peer> {
        if !self.peers.contains_key(&id) {
            let strangers = self.peers.iter().filter(|(_, peer)| !peer.is_member);
            let is_full = strangers.clone().count() >= limits::STRANGERS_MAX;
            if is_full && !mutant::is(Mutant::StrangersUnbounded) {
                let mut unlinked = strangers.filter(|(_, peer)| !peer.detector.is_linked());
                let forgotten = *unlinked.next()?.0;
                self.peers.remove(&forgotten);
            }
        }
        Some(self.peers.entry(id).or_insert_with(|| Peer::new(now, false)))
    }

    /// Forgets a peer whose link is gone, unless it belongs.
    pub(super) fn dismiss(&mut self, id: NodeId) {
        if self.is_formed && self.peers.get(&id).is_some_and(|peer| !peer.is_member) {
            self.peers.remove(&id);
        }
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Peer> {
        self.peers.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Peer> {
        self.peers.get_mut(&id)
    }

    /// Whether what this node says is to be heard: anyone's before the cluster is formed.
    pub(super) fn belongs(&self, id: NodeId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.is_member || !self.is_formed)
    }

    /// Those that belong, in order.
    pub(super) fn belonging(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        let belonging = self.peers.iter().filter(|(_, peer)| peer.is_member || !self.is_formed);
        belonging.map(|(id, peer)| (*id, peer))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Peer)> {
        self.peers.iter_mut().map(|(id, peer)| (*id, peer))
    }

    /// Whether this peer is suspected here and heard by another that is online itself.
    pub(super) fn is_vouched_for(&self, id: NodeId) -> bool {
        let is_suspected = |peer: &Peer| peer.detector.status() == NodeStatus::Suspected;
        self.get(id).is_some_and(is_suspected)
            && self.belonging().any(|(other, peer)| {
                other != id
                    && peer.detector.status() == NodeStatus::Online
                    && peer.hears.contains(&id)
            })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    pub(super) fn has_links(&self) -> bool {
        self.peers.values().any(|peer| peer.detector.is_linked())
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.peers.len() <= limits::MEMBERS_MAX + limits::STRANGERS_MAX
            && self.peers.values().all(|peer| peer.hears.len() <= limits::MEMBERS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> NodeId {
        NodeId::from_u128(n)
    }

    #[test]
    fn an_address_is_taken_apart() {
        for (given, host, port) in [
            ("a.example:8001", "a.example", 8001),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[::1]:8001", "::1", 8001),
            ("a.example", "a.example", 0),
        ] {
            let mut peer = Peer::new(Time::ZERO, true);
            peer.introduce("n1".into(), given);
            let info = peer.info(id(1));
            assert_eq!((info.address.as_str(), info.port), (host, port), "{given}");
        }
    }

    #[test]
    fn strangers_are_bounded_and_forgotten_when_their_link_is_gone() {
        let mut table = Table::default();
        table.formed(Time::ZERO, [id(1)]);
        for n in 2..1_000 {
            if let Some(peer) = table.admit(Time::ZERO, id(n)) {
                peer.detector.link_up(Time::ZERO);
            }
            assert!(table.is_bounded());
        }
        assert!(table.get(id(999)).is_none());
        assert!(table.admit(Time::ZERO, id(1)).is_some());
        assert!(table.get(id(2)).is_some() && !table.belongs(id(2)));
        table.dismiss(id(2));
        table.dismiss(id(1));
        assert!(table.get(id(2)).is_none());
        assert!(table.belongs(id(1)));
        assert!(table.admit(Time::ZERO, id(999)).is_some());
    }

    #[test]
    fn before_the_cluster_is_formed_everyone_linked_belongs() {
        let mut table = Table::default();
        table.admit(Time::ZERO, id(1)).unwrap().detector.link_up(Time::ZERO);
        table.admit(Time::ZERO, id(2)).unwrap().detector.link_up(Time::ZERO);
        assert!(table.belongs(id(1)) && table.belongs(id(2)) && !table.belongs(id(3)));
        table.formed(Time::ZERO, [id(1), id(3)]);
        assert!(table.belongs(id(1)) && !table.belongs(id(2)) && table.belongs(id(3)));
        assert!(table.get(id(2)).is_some());
    }
}
