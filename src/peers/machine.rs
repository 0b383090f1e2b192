//! The peers machine: signs of life in; suspicions, heartbeats and founders out.
//!
//! One timer: the heartbeat. With each heartbeat the silence of every peer is judged, so a peer that
//! falls silent is suspected at most `suspect_after + heartbeat_interval` after its last frame
//! (and this node's own lateness, which it blames on itself first). A peer heard within every
//! `suspect_after - heartbeat_interval` is never suspected, however late this node is. Heartbeats out
//! of turn leave the timer alone: many of them must not put the judging off.
//!
//! A heartbeat of a peer brings the own one with it where that is due within half an interval: nodes that have
//! nothing to do come to wake up together, once for all of them, and not for each on its own.
//!
//! There are no indirect pings. They are of use where a node hears few others; here everyone
//! links to everyone, and every heartbeat says whom its sender hears: what an indirect ping would ask is
//! known already. A peer that another online peer hears stays `Suspected` (the path from here to it
//! is broken) and does not become `Offline`.

use std::time::Duration;

use crate::peers::detector::{Detector, Verdict};
use crate::peers::formation::Formation;
use crate::peers::table::{Peer, Table};
use crate::peers::{Beat, Effects, Event, Input, NodeInfo, NodeStatus, Progress};
use crate::types::{NodeId, Time};

/// Times of the peers machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often a heartbeat is sent.
    pub heartbeat_interval: Duration,
    /// Silence after which a peer is suspected; three times that makes it offline.
    pub suspect_after: Duration,
    /// How many lines the list of peers has.
    pub listed: usize,
}

/// What this node knows of its peers.
#[derive(Clone, Debug)]
pub struct Machine {
    me: NodeId,
    settings: Settings,
    table: Table,
    formation: Formation,
    /// When the next heartbeat is due.
    beat_at: Time,
    /// Up to when own lateness was taken off the silence of peers.
    listened_until: Time,
    is_leaving: bool,
}

impl Machine {
    /// No peer known, no cluster formed. [`Input::Formed`] follows if it was formed before.
    pub fn new(me: NodeId, settings: Settings, now: Time) -> Self {
        let formation = Formation::new(me, settings.listed);
        Self {
            me,
            settings,
            table: Table::default(),
            formation,
            beat_at: now,
            listened_until: now,
            is_leaving: false,
        }
    }

    /// Takes one input.
    pub fn step(&mut self, now: Time, input: Input) -> Effects {
        self.blame_self_first(now);
        let mut effects = Effects::default();
        match input {
            Input::Tick => self.on_tick(now, &mut effects),
            Input::Met { listed, node } => self.on_met(listed, node, &mut effects),
            Input::LinkUp { peer, name, address } => {
                self.on_link_up(now, peer, name, &address, &mut effects);
            }
            Input::LinkDown { peer } => self.on_link_down(peer, &mut effects),
            Input::DialRefused { peer } => self.on_dial_refused(peer, &mut effects),
            Input::Heard(from) => self.on_heard(now, from, &mut effects),
            Input::Beat { from, beat } => self.on_beat(now, from, beat, &mut effects),
            Input::Formed { members, is_first } => {
                self.on_formed(now, members, is_first, &mut effects);
            }
            Input::Deaf => self.forgive(now, now.since(Time::ZERO)),
            Input::Leave => {
                self.is_leaving = true;
                effects.beat = true;
            }
        }
        effects
    }

    /// What the next heartbeat says.
    pub fn beat(&self) -> Beat {
        let hears = self.online().collect();
        let mut beat = Beat { hears, leaving: self.is_leaving, ..Beat::default() };
        self.formation.speak(&mut beat);
        beat
    }

    /// When [`Input::Tick`] is wanted; none if there is nobody to wait for.
    pub fn wake(&self) -> Option<Time> {
        let is_alone = self.table.is_empty() && self.formation.is_formed();
        (!is_alone).then_some(self.beat_at)
    }

    /// Whether a link leads to anyone.
    pub fn has_links(&self) -> bool {
        self.table.has_links()
    }

    /// Whether a link leads to this peer.
    pub fn is_linked(&self, peer: NodeId) -> bool {
        self.table.get(peer).is_some_and(|peer| peer.detector.is_linked())
    }

    /// Whether what this peer says about anything but formation is to be heard: it is a member, or
    /// the cluster is not formed yet.
    pub fn belongs(&self, peer: NodeId) -> bool {
        self.table.belongs(peer)
    }

    /// Peers that are online, in order.
    pub fn online(&self) -> impl Iterator<Item = NodeId> {
        self.with_status(|status| status == NodeStatus::Online)
    }

    /// Peers that are online, or suspected so lately that it may pass, in order. Whom only others hear any more is
    /// not among them.
    pub fn near(&self) -> impl Iterator<Item = NodeId> {
        let near = self.table.belonging().filter(|(_, peer)| peer.detector.is_near());
        near.map(|(id, _)| id)
    }

    /// What is known of each peer, in order.
    pub fn infos(&self) -> impl Iterator<Item = NodeInfo> {
        self.table.belonging().map(|(id, peer)| peer.info(id))
    }

    /// Whom each peer that is online hears, by its last heartbeat, in order.
    pub fn views(&self) -> impl Iterator<Item = (NodeId, &[NodeId])> {
        let online = |peer: &Peer| peer.detector.status() == NodeStatus::Online;
        let online = self.table.belonging().filter(move |(_, peer)| online(peer));
        online.map(|(id, peer)| (id, peer.heard()))
    }

    /// What stands against a common cluster: lists that differ, nodes that do not belong.
    pub fn objections(&self) -> impl Iterator<Item = &Event> {
        self.formation.objections()
    }

    /// How far the forming has come; none once the cluster is formed.
    pub fn progress(&self) -> Option<Progress> {
        self.formation.progress()
    }

    /// Whether everything is within its bounds, and a wake is armed where something waits.
    pub fn is_sound(&self) -> bool {
        let waits = self.table.has_links() || self.not_offline().next().is_some();
        self.table.is_bounded() && self.formation.is_bounded() && (!waits || self.wake().is_some())
    }

    fn not_offline(&self) -> impl Iterator<Item = NodeId> {
        self.with_status(|status| status != NodeStatus::Offline)
    }

    fn with_status(&self, is: impl Fn(NodeStatus) -> bool) -> impl Iterator<Item = NodeId> {
        let peers = self.table.belonging();
        peers.filter(move |(_, peer)| is(peer.detector.status())).map(|(id, _)| id)
    }

    /// The time between the moment this node asked to be woken and the moment it was is time in
    /// which it heard nobody, whoever spoke.
    fn blame_self_first(&mut self, now: Time) {
        let late = now.since(self.beat_at.max(self.listened_until));
        if late > Duration::ZERO {
            self.listened_until = now;
            self.forgive(now, late);
        }
    }

    fn forgive(&mut self, now: Time, late: Duration) {
        for (_, peer) in self.table.iter_mut() {
            peer.detector.forgive(now, late);
        }
    }

    fn on_tick(&mut self, now: Time, effects: &mut Effects) {
        if now >= self.beat_at {
            self.beat_in_turn(now, effects);
            // A list that is empty or names only this node is met without any peer.
            effects.found = self.formation.agreed();
        }
    }

    fn beat_in_turn(&mut self, now: Time, effects: &mut Effects) {
        effects.beat = true;
        self.beat_at = now + self.settings.heartbeat_interval;
        self.judge_silence(now, effects);
    }

    fn judge_silence(&mut self, now: Time, effects: &mut Effects) {
        let ids: Vec<NodeId> = self.not_offline().collect();
        for id in ids {
            let is_vouched_for = self.table.is_vouched_for(id);
            let peer = self.table.get_mut(id).expect("listed above");
            match peer.detector.check(now, self.settings.suspect_after, is_vouched_for) {
                Verdict::Unchanged => continue,
                Verdict::Ask => {
                    if peer.detector.is_linked() {
                        effects.ping.push(id);
                    }
                }
                Verdict::Gone => {}
            }
            effects.publish.push(Event::Status(peer.info(id)));
        }
    }

    fn on_met(&mut self, listed: usize, node: NodeId, effects: &mut Effects) {
        let before = self.beat();
        self.formation.met(listed, node);
        effects.found = self.formation.agreed();
        effects.beat = before != self.beat();
    }

    fn on_link_up(
        &mut self,
        now: Time,
        id: NodeId,
        name: String,
        address: &str,
        effects: &mut Effects,
    ) {
        if id != self.me
            && let Some(peer) = self.table.admit(now, id)
        {
            peer.introduce(name, address);
            self.observe(id, effects, |peer| peer.link_up(now));
            effects.beat_to.push(id);
        }
    }

    fn on_link_down(&mut self, id: NodeId, effects: &mut Effects) {
        self.observe(id, effects, |peer| peer.link_down());
        self.formation.unlinked(id);
        self.table.dismiss(id);
    }

    fn on_dial_refused(&mut self, id: NodeId, effects: &mut Effects) {
        if self.observe(id, effects, |peer| peer.dial_refused()) == Some(true) {
            effects.lost.push(id);
        }
    }

    fn on_heard(&mut self, now: Time, from: NodeId, effects: &mut Effects) {
        self.observe(from, effects, |peer| peer.heard(now));
    }

    fn on_beat(&mut self, now: Time, from: NodeId, beat: Beat, effects: &mut Effects) {
        if self.observe(from, effects, |peer| peer.heard(now)).is_none() {
            return;
        }
        match self.formation.hear(from, &beat) {
            Ok(hearing) => {
                effects.found = hearing.found;
                effects.beat_to.extend(hearing.answer.then_some(from));
                effects.publish.extend(hearing.complaint);
            }
            Err(what) => effects.publish.push(Event::Misbehaved { peer: from, what }),
        }
        if let Some(peer) = self.table.get_mut(from) {
            peer.hears(beat.hears);
        }
        if beat.leaving && self.observe(from, effects, |peer| peer.left()) == Some(true) {
            effects.lost.push(from);
        }
        if self.beat_at <= now + self.settings.heartbeat_interval / 2 {
            self.beat_in_turn(now, effects);
        }
    }

    fn on_formed(
        &mut self,
        now: Time,
        members: Vec<NodeId>,
        is_first: bool,
        effects: &mut Effects,
    ) {
        self.table.formed(now, members.iter().copied().filter(|member| *member != self.me));
        self.formation.formed(members, is_first);
        effects.beat = true;
    }

    /// Tells the detector of a peer what happened, and the host if its status changed by that.
    fn observe<T>(
        &mut self,
        id: NodeId,
        effects: &mut Effects,
        what: impl FnOnce(&mut Detector) -> T,
    ) -> Option<T> {
        let belongs = self.table.belongs(id);
        let peer = self.table.get_mut(id)?;
        let before = peer.detector.status();
        let answer = what(&mut peer.detector);
        if belongs && peer.detector.status() != before {
            effects.publish.push(Event::Status(peer.info(id)));
        }
        Some(answer)
    }
}
