//! The same on real nodes, with sockets, files and threads: what the driver and the disk thread make of a batch. How
//! threads take turns is chance, so the bounds are wide; what costs by the entry breaks them many times over.

use std::time::Duration;

use allocation_counter::measure;
use quorate::consensus::Proposal;
use quorate::types::{ProposalId, Slot, Value};
use quorate::{Handle, Outcome};
use tokio::runtime::Runtime;

use crate::support::{Cluster, within};
use crate::trio::{NODES, VALUE_BYTES};

/// Proposals handed to one node at once.
const SIZE: usize = 256;

/// Batches before anything is counted.
const WARM_UP: usize = 1;

/// Batches counted.
const COUNTED: usize = 8;

/// What is counted, and how much of it there may be: some times what it is where time comes in, for heartbeats and pings
/// are counted as well, some ten frames a second, and a batch on a busy machine may take more than one.
const BOUNDS: [(&str, f64); 5] = [
    // One, unless the disk is done with the first part of a batch before its sockets have brought the rest.
    ("syncs of a node, a batch", 4.0),
    // 8 from the proposer, 9 from a follower.
    ("frames of all, a batch", 60.0),
    // The values twice, from a follower three times.
    ("wire bytes of all, a batch", 330_000.0),
    // Beside those of the trio, ten for what clients and subscribers are told at three nodes.
    ("allocations of all, a commit", 12.0),
    ("allocated by all, a commit", 17_000.0),
];

/// A cluster, and the one thread that runs all of it but the disks.
struct Nodes {
    runtime: Runtime,
    cluster: Cluster,
    proposals: u128,
    value: Value,
}

impl Nodes {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        // However slow the disk is, nothing is sent or submitted a second time, and nobody takes over.
        let cluster = runtime.block_on(Cluster::start_with(NODES, |config| {
            config.heartbeat_interval = Duration::from_secs(1);
            config.suspect_after = Duration::from_secs(20);
        }));
        let value = Value::new("v".repeat(VALUE_BYTES)).expect("a value within the limits");
        Self { runtime, cluster, proposals: 0, value }
    }

    fn handle(&self, at: usize) -> &Handle {
        self.cluster.handle(at)
    }

    /// A node that leads, or one that does not.
    fn find(&self, leads: bool) -> usize {
        let is_it = |at: &usize| {
            let status = self.runtime.block_on(within(self.handle(*at).status()));
            status.expect("it runs").engine.log.leading == leads
        };
        (0..NODES).find(is_it).expect("one of three leads")
    }

    /// Hands [`SIZE`] proposals to one node before it can take the first, and waits until all nodes have committed them.
    fn commit(&mut self, at: usize) {
        let from = self.proposals;
        self.proposals += SIZE as u128;
        let ids = (from..self.proposals).map(ProposalId::from_u128);
        let (proposing, mut outcomes) = self.handle(at).proposing(SIZE);
        let work = async {
            for id in ids {
                let proposal = Proposal { id, value: self.value.clone(), until: None };
                proposing.offer(proposal).await.expect("it runs");
            }
            let mut told = Vec::with_capacity(SIZE);
            while told.len() < SIZE {
                assert_ne!(outcomes.next(&mut told, SIZE).await, 0, "it runs");
            }
            let slot = |(_, outcome): &(_, Outcome)| match outcome {
                Outcome::Committed(committed) => committed.slot,
                other => panic!("{other:?}"),
            };
            let last = told.iter().map(slot).max().unwrap_or(Slot(0));
            for at in 0..NODES {
                self.handle(at).wait_committed(last).await.expect("it runs");
            }
        };
        self.runtime.block_on(within(tokio::task::unconstrained(work)));
    }

    /// Syncs of each node; frames and bytes that all sent.
    fn counts(&self) -> ([u64; NODES], u64, u64) {
        let (mut syncs, mut frames, mut bytes) = ([0; NODES], 0, 0);
        for (at, syncs) in syncs.iter_mut().enumerate() {
            let mut metrics = String::new();
            self.handle(at).metrics().encode(&mut metrics).expect("a text grows");
            let line = metrics.lines().find_map(|line| line.strip_prefix(SYNCS));
            *syncs = line.expect("it is a metric").trim().parse().expect("a number");
            let status = self.runtime.block_on(within(self.handle(at).status()));
            for link in status.expect("it runs").transport.links {
                frames += link.frames_out;
                bytes += link.bytes_out;
            }
        }
        (syncs, frames, bytes)
    }

    /// What a batch at one node costs, in the order of [`BOUNDS`].
    fn cost(&mut self, at: usize) -> [f64; BOUNDS.len()] {
        for _ in 0..WARM_UP {
            self.commit(at);
        }
        let (syncs_before, frames_before, bytes_before) = self.counts();
        let heap = measure(|| {
            for _ in 0..COUNTED {
                self.commit(at);
            }
        });
        let (syncs, frames, bytes) = self.counts();
        let syncs = syncs.iter().zip(syncs_before).map(|(now, then)| now - then).max();
        let each = |total: u64, among: usize| total as f64 / among as f64;
        [
            each(syncs.unwrap_or(0), COUNTED),
            each(frames - frames_before, COUNTED),
            each(bytes - bytes_before, COUNTED),
            each(heap.count_total, COUNTED * SIZE),
            each(heap.bytes_total, COUNTED * SIZE),
        ]
    }
}

/// Where the metrics count syncs of the log.
const SYNCS: &str = "quorate_sync_latency_seconds_count";

#[test]
fn real_nodes_pay_by_the_batch_and_not_by_the_entry() {
    let mut nodes = Nodes::start();
    // Whoever leads has shown it once something is committed.
    nodes.commit(0);
    let mut dearer = Vec::new();
    for (whose, leads) in [("the proposer", true), ("a follower", false)] {
        let costs = nodes.cost(nodes.find(leads));
        println!("real nodes, {SIZE} to {whose}");
        for (cost, (name, bound)) in costs.into_iter().zip(BOUNDS) {
            println!("{name:>40} {cost:>10.1}/{bound}");
            assert!(cost > 0.0, "{name}: nothing was counted");
            if cost > bound {
                dearer.push(format!("{SIZE} to {whose}: {name} {cost:.1}, allowed {bound}"));
            }
        }
    }
    let Nodes { runtime, cluster, .. } = nodes;
    runtime.block_on(cluster.end());
    assert!(dearer.is_empty(), "dearer than is written down:\n{}", dearer.join("\n"));
}
