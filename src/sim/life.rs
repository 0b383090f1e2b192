//! The life of a process: started on what its disk holds, woken when it wants to be, killed.

use crate::consensus::{EpochConfig, Record};
use crate::engine::{Engine, Input};
use crate::sim::checker::Invariant;
use crate::sim::clock::Clock;
use crate::sim::cluster::{Cluster, unusable};
use crate::sim::disk::{Damage, Left};
use crate::sim::doom::Doom;
use crate::sim::fault::Fault;
use crate::sim::happening::Happening;
use crate::sim::node::{Process, SPIN, SPINS_MAX};
use crate::sim::rng::mix;
use crate::storage::LogError;
use crate::types::{Epoch, Position};

impl Cluster {
    /// Epoch 1 of all nodes stands on every disk.
    pub(super) fn found(&mut self) {
        let config = EpochConfig::new(Epoch(1), self.nodes.iter().map(|node| node.id));
        let record = [Record::Epoch { config, base: Position::GENESIS }];
        for node in 0..self.nodes.len() {
            let disk = &mut self.nodes[node].disk;
            let written = disk.open().and_then(|_| disk.append(&record)).and_then(|()| disk.sync());
            let verdict = written.map_err(unusable).and_then(|()| {
                self.checker.persisted(node, 0, &record)?;
                self.checker.synced(node, 1)
            });
            self.judge(Some(node), verdict);
        }
    }

    /// Starts a process on the disk of `node`.
    pub(super) fn start(&mut self, node: usize) {
        if self.nodes[node].process.is_some() || self.checker.has_stopped(node) {
            return;
        }
        if std::mem::take(&mut self.nodes[node].is_opening_cut) {
            self.counters.openings_cut += 1;
            let damage = self.nodes[node].disk.cut_opening(&mut self.rng);
            self.count_damage(damage);
        }
        let (recovered, boot) = match self.nodes[node].disk.start() {
            Ok(started) => started,
            // An operator, or whatever looks after the process, tries again.
            Err(LogError::Io { .. }) if self.nodes[node].disk.is_full() => {
                self.counters.starts_refused += 1;
                let _ = self.nodes[node].disk.crash(false, &mut self.rng);
                return self.start_later(node);
            }
            Err(error) => return self.judge(Some(node), Err(unusable(error))),
        };
        let verdict = self.checker.booted(node, &recovered.state);
        self.judge(Some(node), verdict);
        let machine = &mut self.nodes[node];
        machine.life += 1;
        self.counters.restarts += u64::from(machine.life > 1);
        let clock = Clock::new(self.now, machine.drift_ppm);
        let seed = mix(self.setup.seed, node as u64 + 1, u64::from(machine.life));
        let engine = Engine::new(
            machine.id,
            boot,
            self.setup.engine.clone(),
            seed,
            recovered.state,
            recovered.proposals,
            clock.read(self.now),
        );
        machine.process = Some(Process {
            engine,
            clock,
            waiting: Vec::new(),
            is_syncing: false,
            appended: 0,
            held: None,
            stands_since: None,
            armed: None,
            spins: Default::default(),
        });
        self.transcript.started(self.now, node, self.nodes[node].life, self.checker.head(node));
        let me = self.nodes[node].id;
        self.tell(node, Input::Met { listed: node, node: me });
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            self.dial_soon(node, peer);
        }
    }

    /// Kills the process of `node`, if there is one.
    pub(super) fn kill(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        let doom = machine.doom.take();
        let Some(process) = machine.process.take() else { return };
        self.counters.kills += 1;
        self.counters.kills_between_send_and_sync += u64::from(process.appended > 0);
        self.transcript.killed(self.now, node, process.appended);
        let in_sync = doom == Some(Doom::DuringSync);
        let damage = machine.disk.crash(in_sync, &mut self.rng);
        self.count_damage(damage);
        self.break_links(node);
        self.start_later(node);
    }

    fn count_damage(&mut self, damage: Damage) {
        self.counters.unsynced_records_lost += u64::from(damage.left == Left::Nothing);
        self.counters.torn_tails_cut += u64::from(damage.left == Left::Torn);
        self.counters.names_lost += u64::from(damage.lost_a_name);
        self.counters.stale_bytes_behind_torn += u64::from(damage.left_stale_bytes);
    }

    /// Somebody looks after the machine, and starts the process again.
    pub(super) fn start_later(&mut self, node: usize) {
        if let Some(downtime) = self.setup.downtime.clone() {
            let back = self.now + self.rng.span(downtime);
            self.queue.plan(back, Happening::Fault(Fault::Restart { node }));
        }
    }

    pub(super) fn wake(&mut self, node: usize, life: u32) {
        if !self.lives(node, life) {
            return;
        }
        let process = self.nodes[node].process.as_mut().expect("it lives");
        process.armed = None;
        let now = process.clock.read(self.now);
        if process.engine.wake().is_none_or(|wake| wake > now) {
            self.arm(node);
            return;
        }
        // A clock with drift reads a nanosecond more with each of them.
        let (since, spins) = process.spins;
        let is_same = now.since(since) < SPIN;
        process.spins = if is_same { (since, spins + 1) } else { (now, 0) };
        if spins > SPINS_MAX {
            self.judge(
                Some(node),
                Err((Invariant::TimerArmed, format!("woke {spins} times from {since} to {now}"))),
            );
            return;
        }
        self.tell(node, Input::Tick);
    }

    /// Plans the wake-up that the engine of `node` wants.
    pub(super) fn arm(&mut self, node: usize) {
        let life = self.nodes[node].life;
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let Some(wake) = process.engine.wake() else { return };
        let at = process.clock.when(wake).max(self.now);
        if process.armed.is_none_or(|armed| at < armed) {
            process.armed = Some(at);
            self.queue.plan(at, Happening::Wake { node, life });
        }
    }
}
