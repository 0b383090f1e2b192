//! The network between nodes: what carries, how long it takes, what gets lost, who is linked.
//!
//! Which pairs carry is the business of [`NetworkTopology`]; this adds weather. A link is what the transport
//! would hold: it comes up at both ends after a dial, breaks at once when a process dies, and stays
//! silently up behind a partition. Frames belong to one link and end with it.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::sim::clock::Moment;
use crate::sim::counters::Counters;
use crate::sim::rng::Rng;
use crate::topology::NetworkTopology;

/// How the network behaves, apart from partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Weather {
    /// How long a frame travels.
    pub(super) latency: RangeInclusive<Duration>,
    /// How many frames in a thousand vanish.
    pub(super) loss: u64,
    /// How many frames in a thousand arrive twice.
    pub(super) duplication: u64,
    /// How many frames in a thousand take ten times as long, and are overtaken.
    pub(super) reordering: u64,
}

/// One pair of nodes, the lower first.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// Which connection of this pair it is; frames of an earlier one are dead.
    pub(super) generation: u32,
    /// Whether the lower and the higher end hold it as up.
    is_up: [bool; 2],
    /// Whether this connection has ended; an end that was not told yet still holds it as up.
    pub(super) is_broken: bool,
    /// How many dials were planned; only the last one is made.
    pub(super) dials: u32,
    /// Whether it is still to come.
    pub(super) is_dialling: bool,
    /// When the last frame from the lower and from the higher end arrives.
    arrival: [Moment; 2],
}

#[derive(Clone, Debug)]
pub(super) struct Network {
    topology: NetworkTopology<usize>,
    /// The same as `topology`, quick to ask: from × size + to.
    carries: Vec<bool>,
    size: usize,
    links: Vec<Link>,
    /// How many times as long as usual a frame takes: from × size + to.
    slowness: Vec<u32>,
    pub(super) weather: Weather,
}

impl Network {
    pub(super) fn new(size: usize, weather: Weather) -> Self {
        let topology = NetworkTopology::full_mesh(0..size);
        let links = vec![Link::default(); size * size];
        let mut network = Self {
            topology,
            carries: Vec::new(),
            size,
            links,
            slowness: vec![1; size * size],
            weather,
        };
        network.look();
        network
    }

    fn look(&mut self) {
        let pairs = (0..self.size).flat_map(|from| (0..self.size).map(move |to| (from, to)));
        self.carries = pairs.map(|(from, to)| self.topology.carries(&from, &to)).collect();
    }

    /// Splits the nodes into groups that hear only themselves; those in none form one more.
    pub(super) fn split(&mut self, groups: &[Vec<usize>]) {
        let split = self
            .topology
            .simulate_network_partition(groups.iter().map(|group| group.iter().copied()));
        split.expect("a fault names nodes of the cluster, each once");
        self.look();
    }

    /// Nothing that `from` says is heard by `to` any more.
    pub(super) fn cut(&mut self, from: usize, to: usize) {
        self.topology.cut(&from, &to).expect("a fault names nodes of the cluster");
        self.look();
    }

    /// Whether some way between two nodes carries nothing.
    pub(super) fn is_split(&self) -> bool {
        let pairs = (0..self.size).flat_map(|from| (0..self.size).map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to).any(|(from, to)| !self.carries(from, to))
    }

    pub(super) fn heal(&mut self) {
        self.topology.heal();
        self.look();
    }

    /// Some ways become slow, each in one direction only.
    pub(super) fn slow_some_ways(&mut self, rng: &mut Rng, factor: u32) {
        for way in &mut self.slowness {
            *way = if rng.chance(250) { factor } else { 1 };
        }
    }

    /// What `from` says takes `factor` times as long to `to`.
    pub(super) fn slow(&mut self, from: usize, to: usize, factor: u32) {
        self.slowness[from * self.size + to] = factor;
    }

    /// All ways are equally quick.
    pub(super) fn quicken(&mut self) {
        self.slowness.fill(1);
    }

    /// Whether what `from` says arrives at `to`.
    pub(super) fn carries(&self, from: usize, to: usize) -> bool {
        self.carries[from * self.size + to]
    }

    /// Whether both hear each other.
    pub(super) fn carries_both_ways(&self, one: usize, other: usize) -> bool {
        self.carries(one, other) && self.carries(other, one)
    }

    pub(super) fn link(&mut self, one: usize, other: usize) -> &mut Link {
        &mut self.links[one.min(other) * self.size + one.max(other)]
    }

    /// Whether `node` holds its link to `peer` as up.
    pub(super) fn is_up(&mut self, node: usize, peer: usize) -> bool {
        self.link(node, peer).is_up[usize::from(node > peer)]
    }

    pub(super) fn set_up(&mut self, node: usize, peer: usize, is_up: bool) {
        self.link(node, peer).is_up[usize::from(node > peer)] = is_up;
    }

    pub(super) fn latency(&self, rng: &mut Rng) -> Duration {
        rng.span(self.weather.latency.clone())
    }

    /// When a frame said now arrives: never, once, or twice.
    pub(super) fn arrivals(
        &mut self,
        from: usize,
        to: usize,
        now: Moment,
        rng: &mut Rng,
        counters: &mut Counters,
    ) -> [Option<Moment>; 2] {
        if !self.carries(from, to) {
            counters.frames_cut_off += 1;
            return [None, None];
        }
        if self.weather.loss > 0 && rng.chance(self.weather.loss) {
            counters.frames_lost += 1;
            return [None, None];
        }
        let mut at = now + self.latency(rng) * self.slowness[from * self.size + to];
        if self.weather.reordering > 0 && rng.chance(self.weather.reordering) {
            at = at + *self.weather.latency.end() * 10;
            counters.frames_overtaken += 1;
        } else {
            let arrival = &mut self.link(from, to).arrival[usize::from(from > to)];
            at = at.max(*arrival);
            *arrival = at;
        }
        let again = self.weather.duplication > 0 && rng.chance(self.weather.duplication);
        let again = again.then(|| at + self.latency(rng) * 3);
        counters.frames_doubled += u64::from(again.is_some());
        [Some(at), again]
    }

    /// When the last frame of all that are under way arrives at `to`.
    pub(super) fn drained(&mut self, from: usize, to: usize) -> Moment {
        self.link(from, to).arrival[usize::from(from > to)]
    }
}
