//! The three machines side by side, and what each is told of the others.
//!
//! The engine knows no rule of its own: it carries what arrived to the machine that takes it, and
//! what one machine concludes to the others. Peers tell consensus who is lost and who the founders are;
//! consensus tells peers who belongs; a heartbeat carries the words of both.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::consensus::{self, EpochConfig, State};
use crate::dispatch::Dispatcher;
use crate::engine::names::Names;
use crate::engine::quorum::QuorumWatch;
use crate::engine::{Effects, Event, Outgoing, Recipients};
use crate::peers;
use crate::types::{Epoch, NodeId, ProposalId, Slot, Time};
use crate::wire::{HeartBeat, Payload, Ping};

/// What can be tuned of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often a heartbeat is sent.
    pub heartbeat_interval: Duration,
    /// How many lines the list of peers has; this node forms the cluster alone if none.
    pub listed: usize,
    /// Of the consensus machine; its `suspect_after` is also that of the peers.
    pub consensus: consensus::Settings,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(super) me: NodeId,
    pub(super) consensus: consensus::Machine,
    pub(super) peers: peers::Machine,
    pub(super) dispatcher: Dispatcher,
    pub(super) quorum: QuorumWatch,
    pub(super) names: Names,
    /// The number of the last batch that consensus made.
    pub(super) batch: u64,
    /// The epoch of which the peers machine was told.
    pub(super) epoch: Option<Epoch>,
    pub(super) strangers: u64,
}

/// Heartbeats wanted while one input is handled: sent once, at its end, when all is known.
#[derive(Default)]
struct Beats {
    everyone: bool,
    to: BTreeSet<NodeId>,
}

/// What one input leads to.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) effects: Effects,
    beats: Beats,
}

impl Engine {
    /// The node that the durable state makes. `seed` feeds jitter, nonces and message ids: it must differ
    /// between nodes and between lives of one node. `life` grows with every start of the process (R15).
    pub fn new(
        me: NodeId,
        life: u64,
        settings: Settings,
        seed: u64,
        state: State,
        proposals: Vec<(ProposalId, Slot)>,
        now: Time,
    ) -> Self {
        let peers = peers::Settings {
            heartbeat_interval: settings.heartbeat_interval,
            suspect_after: settings.consensus.suspect_after,
            listed: settings.listed,
        };
        let tuned = settings.consensus;
        let mut engine = Self {
            me,
            consensus: consensus::Machine::new(me, life, tuned, seed, state, proposals, now),
            peers: peers::Machine::new(me, peers, now),
            dispatcher: Dispatcher::new(me, now),
            quorum: QuorumWatch::default(),
            names: Names::new(me, seed),
            batch: 0,
            epoch: None,
            strangers: 0,
        };
        // Nobody is linked yet: there is no one to tell.
        engine.follow_epoch(now, &mut Turn::default());
        engine
    }

    /// Who belongs; none before the cluster is formed.
    pub fn epoch(&self) -> Option<&EpochConfig> {
        self.consensus.state().config.as_ref()
    }

    /// Consensus hears members only, and nothing before the cluster is formed.
    pub(super) fn step_formed(
        &mut self,
        now: Time,
        from: NodeId,
        input: consensus::Input,
        turn: &mut Turn,
    ) {
        if self.epoch().is_some() && self.peers.belongs(from) {
            self.step_consensus(now, input, turn);
        }
    }

    pub(super) fn step_consensus(&mut self, now: Time, input: consensus::Input, turn: &mut Turn) {
        let consensus::Effects { persist, send, serve, publish, beat_now } =
            self.consensus.step(now, input);
        self.batch += u64::from(!persist.is_empty());
        turn.effects.persist.extend(persist);
        turn.effects.send.extend(send.into_iter().map(|consensus::Send { to, message }| {
            let to = match to {
                consensus::To::Everyone => Recipients::Everyone,
                consensus::To::One(peer) => Recipients::One(peer),
            };
            Outgoing { id: self.names.next(), to, payload: Payload::Consensus(message) }
        }));
        turn.effects.serve.extend(serve);
        turn.effects.publish.extend(publish.into_iter().map(Event::Log));
        turn.beats.everyone |= beat_now;
        self.follow_epoch(now, turn);
    }

    pub(super) fn step_peers(&mut self, now: Time, input: peers::Input, turn: &mut Turn) {
        let peers::Effects { beat, beat_to, ping, lost, found, publish } =
            self.peers.step(now, input);
        turn.beats.everyone |= beat;
        turn.beats.to.extend(beat_to);
        for peer in ping {
            self.say(peer, Payload::Ping(Ping::default()), turn);
        }
        turn.effects.publish.extend(publish.into_iter().map(|event| match event {
            peers::Event::Status(info) => Event::Peer(info),
            peers::Event::ListsDiffer { peer, theirs, ours } => {
                Event::ListsDiffer { peer, theirs, ours }
            }
            peers::Event::NotAMember { node, members } => Event::NotAMember { node, members },
            peers::Event::Misbehaved { peer, what } => Event::Misbehaved { peer, what },
        }));
        for peer in lost {
            self.step_formed(now, peer, consensus::Input::Lost(peer), turn);
        }
        if let Some(founders) = found {
            let config = EpochConfig::new(Epoch(1), founders);
            self.step_consensus(now, consensus::Input::Found(config), turn);
        }
    }

    /// Tells peers who belongs whenever that changes.
    fn follow_epoch(&mut self, now: Time, turn: &mut Turn) {
        let Some(config) = self.consensus.state().config.as_ref() else { return };
        if self.epoch == Some(config.epoch) {
            return;
        }
        self.epoch = Some(config.epoch);
        let members: BTreeSet<NodeId> =
            config.members.iter().chain(&config.learners).copied().collect();
        let members = members.into_iter().collect();
        let is_first = config.epoch == Epoch(1);
        self.step_peers(now, peers::Input::Formed { members, is_first }, turn);
    }

    pub(super) fn watch_quorum(&mut self, turn: &mut Turn) {
        let Some(config) = self.consensus.state().config.as_ref() else { return };
        if let Some(quorum) = self.quorum.changed(self.me, config, &self.peers) {
            let (heard, needed) = (quorum.heard, quorum.needed);
            turn.effects.publish.push(Event::Quorum { heard, needed });
        }
    }

    pub(super) fn send_beats(&mut self, now: Time, turn: &mut Turn) {
        if !self.peers.has_links() {
            return;
        }
        let to: Vec<Recipients> = if turn.beats.everyone {
            vec![Recipients::Everyone]
        } else {
            std::mem::take(&mut turn.beats.to).into_iter().map(Recipients::One).collect()
        };
        for to in to {
            let beat = HeartBeat { peers: self.peers.beat(), log: self.consensus.beat(now) };
            let payload = Payload::HeartBeat(beat);
            turn.effects.send.push(Outgoing { id: self.names.next(), to, payload });
        }
    }

    pub(super) fn say(&mut self, to: NodeId, payload: Payload, turn: &mut Turn) {
        let to = Recipients::One(to);
        turn.effects.send.push(Outgoing { id: self.names.next(), to, payload });
    }
}
