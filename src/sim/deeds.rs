//! Doing what an engine wants done, in the order of its effects: persist, send, serve, publish.

use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use crate::consensus::{self, Body, Record, Serve};
use crate::engine::{Effects, Event, Input, Outgoing, Recipients};
use crate::peers::NodeStatus;
use crate::sim::clock::Moment;
use crate::sim::cluster::Cluster;
use crate::sim::doom::Doom;
use crate::sim::happening::Happening;
use crate::sim::node::index;
use crate::storage::LogError;
use crate::types::{Position, Slot};
use crate::wire::{Message, Payload};

/// How many entries one message of an answer from the disk has, so that some answers take several.
const SERVED_AT_ONCE: usize = 8;

impl Cluster {
    pub(super) fn carry_out(&mut self, node: usize, effects: Effects) {
        let Effects { batch, persist, send, serve, publish } = effects;
        if !persist.is_empty() {
            if self.is_doomed(node, Doom::BeforeAppend) {
                return self.kill(node);
            }
            let process = self.nodes[node].process.as_mut().expect("it has effects");
            process.waiting.push((batch, persist));
            self.write(node);
            if self.nodes[node].process.is_none() {
                return;
            }
            if self.is_doomed(node, Doom::BeforeSend) {
                return self.kill(node);
            }
        }
        for outgoing in send {
            if !self.send(node, outgoing) {
                return;
            }
        }
        for serve in serve {
            self.serve(node, serve);
            if self.nodes[node].process.is_none() {
                return;
            }
        }
        for event in publish {
            let is_answer = matches!(
                event,
                Event::Log(consensus::Event::Committed(_) | consensus::Event::Outcome { .. })
            );
            if is_answer && self.is_doomed(node, Doom::BeforePublish) {
                return self.kill(node);
            }
            self.publish(node, &event);
        }
    }

    /// Gives the disk all that waits, if it has time. A batch of hints alone is not synced: it will be
    /// by the next sync, if the machine lives that long.
    fn write(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        let Some(process) = machine.process.as_mut() else { return };
        if process.is_syncing || process.waiting.is_empty() {
            return;
        }
        let mut through = 0;
        let mut is_synced = false;
        for (batch, records) in std::mem::take(&mut process.waiting) {
            if let Err(error) = machine.disk.append(&records) {
                return self.stop_for_disk(node, &error);
            }
            process.appended += records.len();
            is_synced |= records.iter().any(Record::needs_sync);
            through = batch;
        }
        process.is_syncing = true;
        let took = if is_synced {
            self.rng.span(self.setup.sync.clone()) * machine.sync_factor
        } else {
            Duration::from_micros(1)
        };
        let is_slow = took > self.setup.engine.consensus.suspect_after;
        self.counters.slow_syncs += u64::from(is_slow);
        let life = machine.life;
        self.queue
            .plan(self.now + took, Happening::DiskDone { node, life, through, is_synced, took });
    }

    /// The disk has done what it was given.
    pub(super) fn disk_done(
        &mut self,
        node: usize,
        life: u32,
        through: u64,
        is_synced: bool,
        took: Duration,
    ) {
        if !self.lives(node, life) {
            return;
        }
        if is_synced && self.is_doomed(node, Doom::DuringSync) {
            return self.kill(node);
        }
        let machine = &mut self.nodes[node];
        let process = machine.process.as_mut().expect("it lives");
        process.is_syncing = false;
        if is_synced {
            let records = std::mem::take(&mut process.appended);
            if let Err(error) = machine.disk.sync() {
                return self.stop_for_disk(node, &error);
            }
            self.transcript.synced(self.now, node);
            let verdict = self.checker.synced(node, records);
            self.judge(Some(node), verdict);
            if self.is_doomed(node, Doom::AfterSync) {
                return self.kill(node);
            }
        }
        let told = Happening::Told { node, life, through, took };
        self.happen(told);
        if !self.lives(node, life) {
            return;
        }
        if let Err(error) = self.nodes[node].disk.tidy() {
            return self.stop_for_disk(node, &error);
        }
        self.write(node);
    }

    /// One message leaves. False if the process did not outlive that.
    fn send(&mut self, node: usize, outgoing: Outgoing) -> bool {
        let verdict = self.checker.said(node, &outgoing.payload);
        self.judge(Some(node), verdict);
        self.transcript.said(self.now, node, &outgoing);
        let Outgoing { id, to, payload } = outgoing;
        let is_about_the_log = matches!(payload, Payload::Consensus(_));
        if let Payload::Consensus(consensus::Message { body: Body::Refuse(_), .. }) = payload {
            self.counters.refusals += 1;
        }
        if matches!(payload, Payload::Data(_)) && !self.said_texts.insert((node, id)) {
            self.counters.texts_sent_again += 1;
        }
        let to = match to {
            Recipients::Everyone => None,
            Recipients::One(peer) => Some(peer),
        };
        let kind = match &payload {
            Payload::Consensus(message) => message.body.name(),
            Payload::HeartBeat(_) => "beat",
            Payload::Ping(_) | Payload::Pong(_) | Payload::Data(_) => "",
        };
        let from = self.nodes[node].id;
        let seconds = i64::try_from(self.now.since_start().as_secs()).expect("a short run");
        let timestamp = (self.nodes[node].wall_seconds + seconds).max(0).unsigned_abs();
        let message = Rc::new(Message { id, from, to, timestamp, payload });
        let peers = match to {
            Some(peer) => index(peer)..index(peer) + 1,
            None => 0..self.nodes.len(),
        };
        for peer in peers.filter(|peer| *peer != node) {
            let is_dropped = |(what, from, to): &(String, usize, usize)| {
                (what.as_str(), *from, *to) == (kind, node, peer)
            };
            // Who lost its directory is not there to be spoken to, though another node stands in its place.
            let is_there = to.is_none_or(|id| self.met[node * self.setup.size + peer] == id);
            if !is_there || !self.network.is_up(node, peer) || self.drops.iter().any(is_dropped) {
                continue;
            }
            let generation = self.network.link(node, peer).generation;
            let arrivals =
                self.network.arrivals(node, peer, self.now, &mut self.rng, &mut self.counters);
            if arrivals == [None, None] {
                self.transcript.arrived(self.now, (node, peer), self.now, &message.payload, true);
            }
            for at in arrivals.into_iter().flatten() {
                let message = Rc::clone(&message);
                let sent = self.now;
                let frame = Happening::Frame { from: node, to: peer, generation, sent, message };
                self.queue.plan(at, frame);
            }
        }
        if is_about_the_log && let Some(Doom::AfterSends(left)) = self.nodes[node].doom {
            if left <= 1 {
                self.kill(node);
                return false;
            }
            self.nodes[node].doom = Some(Doom::AfterSends(left - 1));
        }
        true
    }

    /// Committed entries are read from the disk for a peer.
    fn serve(&mut self, node: usize, serve: Serve) {
        let machine = &mut self.nodes[node];
        let Some(process) = machine.process.as_mut() else { return };
        self.counters.fetches_from_disk += 1;
        // One entry earlier than asked for, because the answer names what its entries follow.
        let before = serve.from.previous();
        let mut entries = match machine.disk.read(before.max(Slot(1)), serve.through) {
            Ok(entries) => entries,
            Err(error) => return self.stop_for_disk(node, &error),
        };
        let after = match before {
            Slot(0) => Position::GENESIS,
            _ if entries.is_empty() => return,
            _ => entries.remove(0).position(),
        };
        entries.truncate(SERVED_AT_ONCE);
        let (outgoing, next) = process.engine.served(serve, after, &entries);
        self.send(node, outgoing);
        if let Some(next) = next {
            self.serve(node, next);
        }
    }

    /// The disk fails: the process stops, as it must (exit code 8), and says nothing more.
    pub(super) fn stop_for_disk(&mut self, node: usize, error: &LogError) {
        self.counters.disks_failed += 1;
        if let LogError::Io { action, source, .. } = error {
            self.counters.syncs_failed += u64::from(*action == "sync");
            self.counters.reads_failed += u64::from(*action == "read");
            self.counters.disks_full += u64::from(source.kind() == ErrorKind::StorageFull);
        }
        self.kill(node);
    }

    fn publish(&mut self, node: usize, event: &Event) {
        let Some(process) = &self.nodes[node].process else { return };
        let now = process.clock.read(self.now);
        let verdict = self.checker.published(node, now, event);
        self.judge(Some(node), verdict);
        self.transcript.published(self.now, node, event);
        match event {
            Event::Log(event) => self.published_of_log(node, event),
            Event::Peer(info) => match info.status {
                NodeStatus::Online => {}
                NodeStatus::Suspected => self.counters.peers_suspected += 1,
                NodeStatus::Offline => self.counters.peers_lost += 1,
            },
            Event::Received { .. } => self.counters.texts_delivered += 1,
            Event::Sent { by, missing, .. } => {
                self.counters.texts_done += u64::from(missing.is_empty() && !by.is_empty());
            }
            Event::NotAMember { .. } => self.counters.strangers_named += 1,
            Event::Quorum { .. }
            | Event::ListsDiffer { .. }
            | Event::Acknowledged { .. }
            | Event::SendRefused { .. }
            | Event::Misbehaved { .. } => {}
        }
    }

    fn published_of_log(&mut self, node: usize, event: &consensus::Event) {
        match event {
            consensus::Event::Committed(_) => self.counters.commits += 1,
            consensus::Event::Outcome { id, outcome } => {
                let is_duplicate = matches!(outcome, consensus::Outcome::Duplicate(_));
                self.counters.duplicates += u64::from(is_duplicate);
                self.answered(*id, *outcome);
            }
            consensus::Event::ReadReady { token, .. } => {
                self.counters.reads += 1;
                self.read_answered(*token);
            }
            consensus::Event::Suspects { round, .. } => {
                self.counters.suspicions += u64::from(round.is_some());
            }
            consensus::Event::EpochStarted(_) => self.counters.formations += 1,
            // The process ends with exit code 7, and nobody starts it again before a person has looked.
            consensus::Event::Halt(_) => {
                self.counters.forgetful_stopped += 1;
                self.kill(node);
            }
            consensus::Event::ReadRefused { .. }
            | consensus::Event::RoundChanged { .. }
            | consensus::Event::Misbehaved { .. } => {}
        }
    }

    /// What records tell of rare branches.
    pub(super) fn count_records(&mut self, node: usize, records: &[Record]) {
        let head = self.checker.head(node);
        for record in records {
            match record {
                Record::Adopt { round, after, entries } => {
                    let proposer = self.checker.proposer(*round) == Some(node);
                    let end = after.slot.0 + entries.len() as u64;
                    if proposer && round.0 > 0 {
                        self.counters.round_changes += 1;
                        self.counters.tails_carried += u64::from(end > head.committed.slot.0);
                    }
                    let kept =
                        entries.iter().filter(|entry| self.checker.holds(node, entry.position()));
                    let kept = after.slot.0 + kept.count() as u64;
                    self.counters.logs_replaced += u64::from(kept < head.last.slot.0);
                }
                Record::Learn { after, entries, .. } => {
                    let kept =
                        entries.iter().filter(|entry| self.checker.holds(node, entry.position()));
                    let kept = after.slot.0 + kept.count() as u64;
                    self.counters.tails_cut += u64::from(kept < head.last.slot.0);
                }
                Record::Epoch { .. }
                | Record::Promise { .. }
                | Record::Append { .. }
                | Record::Commit { .. } => {}
            }
        }
    }

    /// A frame arrives; it is heard only while the link that it was sent on lasts.
    pub(super) fn frame(
        &mut self,
        from: usize,
        to: usize,
        generation: u32,
        sent: Moment,
        message: Rc<Message>,
    ) {
        let is_current = self.network.link(from, to).generation == generation;
        if is_current && self.nodes[to].process.is_some() {
            self.link_up(to, from, generation);
        }
        let is_heard = is_current && self.network.is_up(to, from);
        self.transcript.arrived(self.now, (from, to), sent, &message.payload, !is_heard);
        if !is_heard {
            return;
        }
        if matches!(message.payload, Payload::Data(_)) {
            self.counters.texts_repeated += u64::from(self.checker.was_given(to, message.id));
        }
        let lacks_commit = self.lacks_commit(to, &message.payload);
        let message = Rc::try_unwrap(message).unwrap_or_else(|shared| (*shared).clone());
        let refusals = self.counters.refusals;
        self.tell(to, Input::Frame(message));
        if lacks_commit && self.counters.refusals > refusals {
            self.counters.adoptions_refused_for_a_commit += 1;
        }
    }

    /// Whether this is an offer to adopt what does not hold the own commit (R5).
    fn lacks_commit(&self, node: usize, payload: &Payload) -> bool {
        let Payload::Consensus(consensus::Message { body: Body::Propose(propose), .. }) = payload
        else {
            return false;
        };
        let head = self.checker.head(node);
        let end = propose.after.slot.0 + propose.entries.len() as u64;
        let is_offer = propose.adopt && head.promised <= Some(propose.round);
        is_offer && head.accepted != Some(propose.round) && end < head.committed.slot.0
    }
}
