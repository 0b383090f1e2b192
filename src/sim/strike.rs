//! Faults as they strike.

use crate::sim::cluster::Cluster;
use crate::sim::doom::Doom;
use crate::sim::fault::Fault;

impl Cluster {
    pub(super) fn strike(&mut self, fault: Fault) {
        self.transcript.struck(self.now, &fault);
        match fault {
            Fault::Split(shape) => {
                self.counters.partitions += 1;
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
            Fault::KillAll => (0..self.nodes.len()).for_each(|node| self.kill(node)),
            Fault::Restart { node } => self.start(node),
            Fault::Pause { node } => self.pause(node),
            Fault::Resume { node } => self.resume(node),
            Fault::SlowDisk { node, factor } => self.nodes[node].sync_factor = factor,
            Fault::FailDisk { node } => {
                let machine = &mut self.nodes[node];
                if machine.process.is_some() {
                    machine.disk.fail_soon(&mut self.rng);
                }
            }
            Fault::BreakLink { one, other } => self.break_link(one, other),
            Fault::Delay(delay) => {
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

    pub(super) fn pause(&mut self, node: usize) {
        if let Some(process) = &mut self.nodes[node].process
            && process.held.is_none()
        {
            self.counters.pauses += 1;
            process.held = Some(Default::default());
        }
    }

    pub(super) fn resume(&mut self, node: usize) {
        let life = self.nodes[node].life;
        let Some(process) = &mut self.nodes[node].process else { return };
        for happening in process.held.take().unwrap_or_default() {
            if self.lives(node, life) {
                self.happen(happening);
            }
        }
        // A wake-up that came while the process was stopped is among what was held.
        self.arm(node);
    }

    /// No more faults: the network is whole and calm, disks are quick, and everyone runs.
    pub(super) fn calm_down(&mut self) {
        self.network.heal();
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
            self.resume(node);
            if self.nodes[node].disk.is_failing() {
                self.kill(node);
            }
            self.start(node);
        }
    }
}
