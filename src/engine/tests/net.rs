//! Engines that are told the time, their effects carried by hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::*;

/// A network without delay: whatever is sent arrives at the same moment, in order.
pub(super) struct Net {
    pub(super) now: Time,
    pub(super) engines: BTreeMap<NodeId, Engine>,
    pub(super) links: BTreeSet<(NodeId, NodeId)>,
    pub(super) under_way: VecDeque<(NodeId, Input)>,
    /// Frames carried since last asked, by sender, receiver and type.
    pub(super) carried: Vec<(NodeId, NodeId, MessageType)>,
    /// The last batch of each.
    pub(super) batches: BTreeMap<NodeId, u64>,
    /// Frames of these types are lost.
    pub(super) lost: Vec<MessageType>,
    pub(super) told: BTreeMap<NodeId, Vec<Event>>,
}

impl Net {
    pub(super) fn new(engines: impl IntoIterator<Item = (NodeId, Engine)>) -> Self {
        Self {
            now: Time::ZERO,
            engines: engines.into_iter().collect(),
            links: BTreeSet::new(),
            under_way: VecDeque::new(),
            carried: Vec::new(),
            batches: BTreeMap::new(),
            lost: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    /// Members 1 to n of one epoch, formed before they started.
    pub(super) fn formed(n: u128) -> Self {
        let config = EpochConfig::new(Epoch(1), (1..=n).map(id));
        Self::new((1..=n).map(|node| {
            let state = State { config: Some(config.clone()), ..State::default() };
            (id(node), Engine::new(id(node), 1, settings(1), 5, state, Vec::new(), Time::ZERO))
        }))
    }

    /// Nodes with lists of peers, started for the first time.
    pub(super) fn unformed<const N: usize>(listed: [usize; N]) -> Self {
        Self::new((1..).zip(listed).map(|(node, listed)| {
            let (settings, state) = (settings(listed), State::default());
            (id(node), Engine::new(id(node), 1, settings, 5, state, Vec::new(), Time::ZERO))
        }))
    }

    pub(super) fn meet<const N: usize>(&mut self, node: u128, others: [u128; N]) {
        for (listed, other) in others.into_iter().enumerate() {
            self.input(node, Input::Met { listed, node: id(other) });
        }
    }

    /// Members 1 to n, linked each to each, a second after they opened the first round.
    pub(super) fn linked(n: u128) -> Self {
        let mut net = Self::formed(n);
        net.link_all(n);
        net.pass(Duration::from_secs(1));
        net
    }

    pub(super) fn link_all(&mut self, n: u128) {
        for one in 1..=n {
            for other in one + 1..=n {
                self.link(one, other);
            }
        }
    }

    pub(super) fn link(&mut self, one: u128, other: u128) {
        for (at, peer) in [(id(one), id(other)), (id(other), id(one))] {
            self.links.insert((at, peer));
            let (name, address) = (format!("n{peer}"), "127.0.0.1:1".to_owned());
            self.tell(at, Input::LinkUp { peer, name, address });
        }
        self.carry();
    }

    pub(super) fn unlink(&mut self, one: u128, other: u128) {
        for (at, peer) in [(id(one), id(other)), (id(other), id(one))] {
            self.links.remove(&(at, peer));
            self.tell(at, Input::LinkDown { peer });
        }
        self.carry();
    }

    /// Ends a process: its links break wherever they lead.
    pub(super) fn kill(&mut self, node: u128) {
        self.engines.remove(&id(node));
        self.batches.remove(&id(node));
        let survivors: Vec<NodeId> = self.engines.keys().copied().collect();
        for at in survivors {
            self.tell(at, Input::LinkDown { peer: id(node) });
        }
        self.links.retain(|(one, other)| *one != id(node) && *other != id(node));
        self.carry();
    }

    pub(super) fn input(&mut self, node: u128, input: Input) {
        self.tell(id(node), input);
        self.carry();
    }

    pub(super) fn tell(&mut self, node: NodeId, input: Input) {
        self.under_way.push_back((node, input));
    }

    pub(super) fn carry(&mut self) {
        for _ in 0..100_000 {
            let Some((node, input)) = self.under_way.pop_front() else { return };
            let Some(engine) = self.engines.get_mut(&node) else { continue };
            let effects = engine.handle(self.now, input);
            engine.invariants().expect("after every input");
            let before = self.batches.insert(node, effects.batch).unwrap_or_default();
            assert_eq!(effects.batch == before, effects.persist.is_empty(), "at {node}");
            if !effects.persist.is_empty() {
                let took = Duration::ZERO;
                self.tell(node, Input::Synced { through: effects.batch, took });
            }
            for outgoing in effects.send {
                self.send(node, outgoing);
            }
            self.told.entry(node).or_default().extend(effects.publish);
        }
        panic!("the engines never come to rest");
    }

    pub(super) fn send(&mut self, from: NodeId, Outgoing { id, to, payload }: Outgoing) {
        let (receivers, named): (Vec<NodeId>, _) = match to {
            Recipients::One(peer) => (vec![peer], Some(peer)),
            Recipients::Everyone => (self.engines.keys().copied().collect(), None),
        };
        for to in receivers.into_iter().filter(|to| self.links.contains(&(from, *to))) {
            let kind = payload.message_type();
            self.carried.push((from, to, kind));
            if !self.lost.contains(&kind) {
                let payload = payload.clone();
                let message = Message { id, from, to: named, timestamp: 0, payload };
                self.under_way.push_back((to, Input::Frame(message)));
            }
        }
    }

    /// Lets time pass, waking who asked for it.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let wakes = self.engines.iter().filter_map(|(node, at)| Some((at.wake()?, *node)));
            match wakes.min() {
                Some((wake, node)) if wake <= end => {
                    self.now = self.now.max(wake);
                    self.tell(node, Input::Tick);
                    self.carry();
                }
                Some(_) | None => break,
            }
        }
        self.now = end;
    }

    pub(super) fn told(&mut self, node: u128) -> Vec<Event> {
        self.told.remove(&id(node)).unwrap_or_default()
    }

    /// The values that this node delivered, in slot order.
    pub(super) fn committed(&mut self, node: u128) -> Vec<String> {
        let entries = self.told(node).into_iter().filter_map(|event| match event {
            Event::Log(consensus::Event::Committed(commit)) => commit.entry.proposal().cloned(),
            _ => None,
        });
        entries.map(|proposal| proposal.value.to_string()).collect()
    }

    /// What this node said about peers, in order.
    pub(super) fn statuses(&mut self, node: u128) -> Vec<(NodeId, NodeStatus)> {
        let events = self.told(node).into_iter();
        let peers = events.filter_map(|event| match event {
            Event::Peer(info) => Some((info.id, info.status)),
            _ => None,
        });
        peers.collect()
    }
}
