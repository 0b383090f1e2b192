//! Faults as they strike.

use crate::sim::cluster::Cluster;
use crate::sim::counters::Counters;
use crate::sim::doom::Doom;
use crate::sim::fault::{Fault, Shape};

impl Cluster {
    pub(super) fn strike(&mut self, fault: Fault) {
        self.transcript.struck(self.now, &fault);
        self.inflict(fault);
        self.transcript.network_is(self.now, self.network.is_split());
    }

    fn inflict(&mut self, fault: Fault) {
        match fault {
            Fault::Split(shape) => {
                self.counters.partitions += 1;
                *of_shape(&mut self.counters, shape) += 1;
                let mut nodes: Vec<_> = (0..self.nodes.len()).collect();
                self.rng.shuffle(&mut nodes);
                shape.lay(&mut self.network, &nodes);
            }
            Fault::Heal => self.network.heal(),
            Fault::Kill { node, doom } => self.kill_at(node, doom),
            Fault::KillLeader(doom) => {
                if let Some(leader) = self.leaders().last().copied() {
                    self.counters.leaders_struck += 1;
                    self.kill_at(leader, doom);
                }
            }
            Fault::CutLeader => {
                if let Some(leader) = self.leaders().last().copied() {
                    self.counters.leaders_struck += 1;
                    self.network.split(&[vec![leader]]);
                }
            }
            Fault::KillSeveral => {
                let mut running: Vec<_> = self.running().collect();
                self.rng.shuffle(&mut running);
                if running.len() > 2 {
                    running.truncate(2 + self.rng.index(running.len() - 2));
                    self.counters.several_killed_at_once += 1;
                    running.into_iter().for_each(|node| self.kill(node));
                }
            }
            Fault::KillAll => {
                self.counters.all_killed_at_once += u64::from(self.running().count() > 1);
                (0..self.nodes.len()).for_each(|node| self.kill(node));
            }
            Fault::CutOpening { node } => {
                self.kill(node);
                self.nodes[node].is_opening_cut = true;
            }
            Fault::Leave { node } => self.leave(node),
            Fault::Restart { node } => self.start(node),
            Fault::Pause { node, clock_stands } => self.pause(node, clock_stands),
            Fault::Resume { node } => self.resume(node),
            Fault::SlowDisk { node, factor } => self.nodes[node].sync_factor = factor,
            Fault::FailDisk { node } => {
                let machine = &mut self.nodes[node];
                if machine.process.is_some() {
                    machine.disk.fail_soon(&mut self.rng);
                }
            }
            Fault::FailReads => {
                for machine in self.nodes.iter_mut().filter(|machine| machine.process.is_some()) {
                    machine.disk.fail_reads();
                }
            }
            Fault::FillDisk { node } => self.nodes[node].disk.fill(&mut self.rng),
            Fault::FreeDisk { node } => self.nodes[node].disk.free(),
            Fault::Wipe { node } => self.wipe(node),
            Fault::LoseLog { node } => self.lose_log(node),
            Fault::ClockRate { node, drift_ppm } => self.set_clock_rate(node, drift_ppm),
            Fault::WallClock { node, by } => {
                self.counters.wall_clocks_set += 1;
                self.nodes[node].wall_seconds += by;
            }
            Fault::CutWay { from, to } => {
                self.counters.ways_cut += 1;
                self.network.cut(from, to);
            }
            Fault::BreakLink { one, other } => self.break_link(one, other),
            Fault::Delay(delay) => {
                self.counters.delays += u64::from(!delay.is_zero());
                let calm = self.setup.weather.latency.clone();
                self.network.weather.latency = *calm.start()..=*calm.end() + delay;
            }
        }
    }

    fn kill_at(&mut self, node: usize, doom: Option<Doom>) {
        match doom {
            None => self.kill(node),
            Some(_) => self.nodes[node].doom = doom,
        }
    }

    /// The process does not run; its clock does, unless it stands.
    pub(super) fn pause(&mut self, node: usize, clock_stands: bool) {
        if let Some(process) = &mut self.nodes[node].process
            && process.held.is_none()
        {
            self.counters.pauses += 1;
            process.held = Some(Default::default());
            process.stands_since = clock_stands.then_some(self.now);
        }
    }

    pub(super) fn resume(&mut self, node: usize) {
        let life = self.nodes[node].life;
        let Some(process) = &mut self.nodes[node].process else { return };
        if let Some(from) = process.stands_since.take() {
            self.counters.clocks_stood_still += 1;
            process.clock = process.clock.stood_still(from, self.now);
        }
        if process.held.is_some() {
            self.checker.was_late(node, process.clock.read(self.now));
        }
        for happening in process.held.take().unwrap_or_default() {
            if self.lives(node, life) {
                self.happen(happening);
            }
        }
        // A wake-up that came while the process was stopped is among what was held.
        self.arm(node);
    }

    fn set_clock_rate(&mut self, node: usize, drift_ppm: i32) {
        self.counters.clock_rates_changed += 1;
        let machine = &mut self.nodes[node];
        machine.drift_ppm = drift_ppm;
        if let Some(process) = &mut machine.process {
            process.clock = process.clock.at_rate(self.now, drift_ppm);
            process.armed = None;
        }
        self.arm(node);
    }

    /// No more faults: the network is whole and calm, disks are quick, and everyone runs.
    pub(super) fn calm_down(&mut self) {
        self.network.heal();
        self.transcript.calm(self.now);
        self.network.quicken();
        self.network.weather = crate::sim::network::Weather {
            loss: 0,
            duplication: 0,
            reordering: 0,
            ..self.setup.weather.clone()
        };
        self.setup.downtime = None;
        for node in 0..self.nodes.len() {
            self.nodes[node].doom = None;
            self.nodes[node].sync_factor = 1;
            self.nodes[node].disk.free();
            self.resume(node);
            if self.nodes[node].disk.is_failing() {
                self.kill(node);
            }
            self.start(node);
        }
    }
}

/// How often the network was split into this shape.
fn of_shape(counters: &mut Counters, shape: Shape) -> &mut u64 {
    match shape {
        Shape::Halves => &mut counters.halves,
        Shape::Minority => &mut counters.minorities,
        Shape::Bridge => &mut counters.bridges,
        Shape::Ring => &mut counters.rings,
        Shape::Chain => &mut counters.chains,
        Shape::Star => &mut counters.stars,
        Shape::Mute => &mut counters.mutes,
        Shape::Deaf => &mut counters.deafs,
        Shape::Shattered => &mut counters.shatterings,
    }
}
