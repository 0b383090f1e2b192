//! Links come and go: dialling, breaking, and what both ends are told of it.

use std::time::Duration;

use crate::engine::Input;
use crate::sim::cluster::Cluster;
use crate::sim::happening::Happening;

/// How soon a link is dialled that was not tried yet or just broke.
const FIRST_DIAL: Duration = Duration::from_micros(500);

impl Cluster {
    /// A dial between these two is due at once, instead of whenever it was planned.
    pub(super) fn dial_soon(&mut self, one: usize, other: usize) {
        self.plan_dial(one, other, FIRST_DIAL);
    }

    fn dial_later(&mut self, one: usize, other: usize) {
        let wait = self.rng.span(self.setup.redial.clone());
        self.plan_dial(one, other, wait);
    }

    /// At most one dial of a pair is planned: the last one.
    fn plan_dial(&mut self, one: usize, other: usize, wait: Duration) {
        let link = self.network.link(one, other);
        link.dials += 1;
        link.is_dialling = true;
        let dial = link.dials;
        self.queue.plan(self.now + wait, Happening::Dial { one, other, dial });
    }

    /// One of the two dials the other.
    pub(super) fn dial(&mut self, one: usize, other: usize, dial: u32) {
        let link = self.network.link(one, other);
        if link.dials != dial {
            return;
        }
        link.is_dialling = false;
        let is_broken = link.is_broken;
        if !is_broken && self.network.is_up(one, other) && self.network.is_up(other, one) {
            return;
        }
        let runs =
            |node: usize| self.nodes[node].process.as_ref().map(|process| process.held.is_none());
        let (one_runs, other_runs) = (runs(one), runs(other));
        let carries = self.network.carries_both_ways(one, other);
        match (one_runs, other_runs) {
            (Some(true), Some(true)) if carries => {
                for (node, peer) in [(one, other), (other, one)] {
                    // A link that this end still holds is replaced by the newer one.
                    if self.network.is_up(node, peer) {
                        let generation = self.network.link(node, peer).generation;
                        self.link_down(node, peer, generation);
                    }
                }
                let link = self.network.link(one, other);
                link.generation += 1;
                link.dials += 1;
                link.is_dialling = false;
                link.is_broken = false;
                let generation = link.generation;
                for (node, peer) in [(one, other), (other, one)] {
                    let at = self.now + self.network.latency(&mut self.rng);
                    self.queue.plan(at, Happening::LinkUp { node, peer, generation });
                }
            }
            (None, None) => {}
            (Some(_), Some(_)) => self.dial_later(one, other),
            (Some(runs), None) => self.refused(one, other, runs && carries),
            (None, Some(runs)) => self.refused(other, one, runs && carries),
        }
    }

    /// Nobody listens at `peer`: a living machine says so, a silent network does not.
    fn refused(&mut self, node: usize, peer: usize, is_told: bool) {
        if is_told {
            let at = self.now + self.network.latency(&mut self.rng);
            let life = self.nodes[node].life;
            self.queue.plan(at, Happening::DialRefused { node, peer, life });
        }
        self.dial_later(node, peer);
    }

    /// The handshake is done at this end.
    pub(super) fn link_up(&mut self, node: usize, peer: usize, generation: u32) {
        let is_current = self.network.link(node, peer).generation == generation;
        if !is_current || self.network.is_up(node, peer) || self.is_link_dead(node, peer) {
            return;
        }
        self.network.set_up(node, peer, true);
        let id = self.nodes[peer].id;
        self.met[node * self.setup.size + peer] = id;
        self.tell(node, Input::Met { listed: peer, node: id });
        let (name, address) = (format!("n{}", peer + 1), format!("n{}:8000", peer + 1));
        self.tell(node, Input::LinkUp { peer: id, name, address });
    }

    /// Whether one end is down or has forgotten this connection.
    fn is_link_dead(&mut self, node: usize, peer: usize) -> bool {
        self.nodes[node].process.is_none() || self.network.link(node, peer).is_broken
    }

    /// This end learns that the link broke, and dials at once.
    pub(super) fn link_down(&mut self, node: usize, peer: usize, generation: u32) {
        if self.network.link(node, peer).generation != generation {
            return;
        }
        self.network.link(node, peer).is_broken = true;
        if self.network.is_up(node, peer) {
            self.network.set_up(node, peer, false);
            let peer = self.met[node * self.setup.size + peer];
            self.tell(node, Input::LinkDown { peer });
        }
        if !self.network.link(node, peer).is_dialling {
            self.dial_soon(node, peer);
        }
    }

    /// A process is gone: its peers see their links end, as far as the network tells them.
    pub(super) fn break_links(&mut self, node: usize) {
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            self.network.set_up(node, peer, false);
            self.break_at(peer, node);
        }
    }

    /// A process has ended in good order: what it said last arrives before its links end.
    pub(super) fn close_links(&mut self, node: usize) {
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            self.network.set_up(node, peer, false);
            let link = self.network.link(peer, node);
            let generation = link.generation;
            if self.network.carries(node, peer) {
                let last = self.network.drained(node, peer);
                let at = last.max(self.now + self.network.latency(&mut self.rng));
                self.queue.plan(at, Happening::LinkDown { node: peer, peer: node, generation });
            } else {
                self.break_at(peer, node);
            }
        }
    }

    /// The link between two living processes breaks.
    pub(super) fn break_link(&mut self, one: usize, other: usize) {
        self.counters.links_broken += 1;
        self.break_at(one, other);
        self.break_at(other, one);
    }

    /// The link is broken; `node` learns of it if the network carries the news from `peer`.
    fn break_at(&mut self, node: usize, peer: usize) {
        let link = self.network.link(node, peer);
        link.is_broken = true;
        let generation = link.generation;
        if self.network.carries(peer, node) {
            let at = self.now + self.network.latency(&mut self.rng);
            self.queue.plan(at, Happening::LinkDown { node, peer, generation });
        } else if !self.network.link(node, peer).is_dialling {
            self.dial_later(node, peer);
        }
    }
}
