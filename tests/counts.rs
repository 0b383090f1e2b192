//! What a commit costs in things that can be counted: syncs, writes, records, frames, bytes, allocations. No clock: a
//! machine that is busy with other things counts the same.
//!
//! `cargo test --test counts -- --nocapture` prints what was counted beside what is allowed. Who makes a thing cheaper
//! lowers its bound in the same commit; who makes one dearer says there why.

#[path = "counts/disk.rs"]
mod disk;
#[path = "counts/real.rs"]
mod real;
#[expect(dead_code, reason = "others need more of it")]
mod support;
#[path = "support/trio.rs"]
#[expect(dead_code, reason = "messages as values are for who measures engines alone")]
mod trio;

use allocation_counter::measure;
use disk::{Asked, CountedDisk};
use quorate::storage::{Disk, DiskFile, DurableLog, Settings};
use quorate::types::NodeId;
use trio::{Deeds, FOLLOWER, NODES, PROPOSER, Trio, Wire};

/// What is counted, and what it is made of. Of a node: of the one that has most. Of all: of the three together.
const COLUMNS: [(&str, &str); 8] = [
    (
        "syncs",
        "of a node, a batch: one, of the record that appends it; a commit's record needs none",
    ),
    (
        "writes",
        "of a node, a batch: one into the journal before that sync; one into the chain for every 64 KiB committed",
    ),
    (
        "disk bytes",
        "of a node, a batch: the values and 126 bytes beside each in the journal, as much in the chain once it is 64 KiB",
    ),
    ("records", "of a node, a batch: one that appends it, one that commits it"),
    (
        "frames",
        "of all, a batch: a propose to each follower, its vote back, the proposer's to each; a follower's submit besides",
    ),
    (
        "wire bytes",
        "of all, a batch: the values to each follower, as JSON, and from a follower once more; four votes",
    ),
    (
        "allocations",
        "of all, a commit: one for each value read from a frame; the rest by the batch, see `BOUNDS`",
    ),
    ("allocated", "of all, a commit: the bytes asked for in these allocations"),
];

/// What batches of this many proposals, handed at once to this node, may cost.
///
/// Nothing here is chance. Syncs, writes, records, frames and bytes on the disk are exact; the wire has a hundredth of
/// room, allocations a twentieth, for what libraries may do otherwise in another version. What all commits of a batch
/// share are the messages, encoded and read, the syncs, the appends, and what the engines hand over.
#[rustfmt::skip]
const BOUNDS: [(usize, usize, [f64; COLUMNS.len()]); 6] = [
    //               syncs writes disk bytes records frames wire bytes allocations allocated
    (PROPOSER,   1, [  1.0,   1.0,     496.0,    2.0,   6.0,    3160.0,      112.0,  32100.0]),
    (PROPOSER,  16, [  1.0,   1.0,    4896.0,    2.0,   6.0,   13540.0,       10.9,   9230.0]),
    (PROPOSER, 256, [  1.0,   2.0,  163536.0,    2.0,   6.0,  179400.0,        3.5,   8310.0]),
    (FOLLOWER,   1, [  1.0,   1.0,     496.0,    2.0,   7.0,    3710.0,      122.0,  35600.0]),
    (FOLLOWER,  16, [  1.0,   1.0,    4896.0,    2.0,   7.0,   18830.0,       12.8,  10200.0]),
    (FOLLOWER, 256, [  1.0,   2.0,  163536.0,    2.0,   7.0,  260600.0,       4.65,   9170.0]),
];

/// Batches before anything is counted: by then most tables and buffers have the size that they keep.
const WARM_UP: usize = 2;

/// Batches counted. So few that the journal's first file is not full by then: to begin the next costs syncs that are no
/// batch's own.
const COUNTED: usize = 6;

/// Three nodes, and the disks that count.
struct Cluster {
    trio: Trio<DurableLog<CountedDisk>>,
    disks: Vec<CountedDisk>,
}

impl Cluster {
    fn start() -> Self {
        let disks: Vec<_> = (0..NODES).map(|_| CountedDisk::default()).collect();
        let mut unused = disks.iter();
        let trio = Trio::start(Wire::Frames, |node: NodeId| {
            let disk = unused.next().expect("a disk for each");
            DurableLog::open(disk, Settings::new(node)).expect("an empty disk").0
        });
        Self { trio, disks }
    }

    fn counts(&self) -> Vec<(Deeds, Asked)> {
        self.trio.deeds().zip(self.disks.iter().map(CountedDisk::asked)).collect()
    }

    /// What batches of `size` at the node `at` cost, in the order of [`COLUMNS`].
    fn cost(&mut self, at: usize, size: usize) -> [f64; COLUMNS.len()] {
        for _ in 0..WARM_UP {
            self.trio.commit(at, size);
        }
        let before = self.counts();
        let heap = measure(|| {
            for _ in 0..COUNTED {
                self.trio.commit(at, size);
            }
        });
        let after = self.counts();
        let of_each = |count: fn(&(Deeds, Asked)) -> u64| {
            let each = after.iter().zip(&before).map(move |(now, then)| count(now) - count(then));
            each.collect::<Vec<_>>()
        };
        let most = |count| of_each(count).into_iter().max().unwrap_or(0);
        let sum = |count| of_each(count).into_iter().sum::<u64>();
        let each_batch = |total: u64| total as f64 / COUNTED as f64;
        let each_commit = |total: u64| each_batch(total) / size as f64;
        [
            each_batch(most(|(_, asked)| asked.syncs)),
            each_batch(most(|(_, asked)| asked.writes)),
            each_batch(most(|(_, asked)| asked.bytes)),
            each_batch(most(|(deeds, _)| deeds.records)),
            each_batch(sum(|(deeds, _)| deeds.frames)),
            each_batch(sum(|(deeds, _)| deeds.bytes)),
            each_commit(heap.count_total),
            each_commit(heap.bytes_total),
        ]
    }
}

#[test]
fn a_batch_costs_no_more_than_is_written_down() {
    let mut told = format!("{:20}", "counted/allowed");
    for (name, _) in COLUMNS {
        told += &format!("{name:>17}");
    }
    let mut dearer = Vec::new();
    for (at, size, bounds) in BOUNDS {
        let whose = if at == PROPOSER { "the proposer" } else { "a follower" };
        let batch = format!("{size} to {whose}");
        told += &format!("\n{batch:20}");
        let costs = Cluster::start().cost(at, size);
        for ((cost, bound), (name, made_of)) in costs.into_iter().zip(bounds).zip(COLUMNS) {
            told += &format!("{:>17}", format!("{cost:.1}/{bound}"));
            assert!(cost > 0.0, "{batch}: {name} were not counted");
            if cost > bound {
                dearer.push(format!("{batch}: {name} {cost:.1}, allowed {bound} ({made_of})"));
            }
        }
    }
    println!("{told}");
    assert!(dearer.is_empty(), "dearer than is written down:\n{}", dearer.join("\n"));
}

/// What is committed goes to the disk as it comes: at the end of a journal's file little of it waits for the sync that
/// every commit waits for.
#[test]
fn what_is_committed_is_begun_long_before_it_must_be_durable() {
    const KIB: u64 = 1024;
    let mut cluster = Cluster::start();
    for batch in 1..=8_u64 {
        cluster.trio.commit(PROPOSER, 1_000);
        // In the chain an entry of `Trio` takes 345 bytes.
        let committed = batch * 1_000 * 345;
        for (_, asked) in cluster.counts() {
            let lag = committed.saturating_sub(asked.begun);
            assert!(lag <= (64 + 345) * KIB, "{lag} bytes of {committed} are not begun");
            assert!(asked.begun <= committed + KIB, "the journal is synced with every batch");
        }
    }
}

/// A start goes through the journal batch by batch: all of its entries at once would take several times the file.
#[test]
fn a_start_holds_the_journal_and_one_batch_of_it() {
    const MIB: u64 = 1024 * 1024;
    let mut node = None;
    let disk = CountedDisk::default();
    let mut trio = Trio::start(Wire::Frames, |id| {
        let is_first = node.is_none();
        node.get_or_insert(id);
        let disk = if is_first { disk.clone() } else { CountedDisk::default() };
        DurableLog::open(&disk, Settings::new(id)).expect("an empty disk").0
    });
    for _ in 0..16 {
        trio.commit(PROPOSER, 1_000);
    }
    drop(trio);
    let journal = |name| disk.open(name).unwrap().expect("a journal").len().unwrap();
    let longest = ["journal-0", "journal-1"].map(journal).into_iter().max().unwrap();
    assert!(longest >= 4 * MIB, "the journal has grown: {longest}");
    let settings = Settings::new(node.expect("three were started"));
    let heap = measure(|| drop(DurableLog::open(&disk, settings).expect("a good log")));
    let beside = heap.bytes_max.saturating_sub(longest);
    // What memory keeps behind the commit, as the file begins and as it ends.
    assert!(beside < 9 * MIB, "{beside} bytes beside a journal of {longest}");
}

#[test]
fn one_run_counts_what_another_counts() {
    for (at, size, _) in BOUNDS {
        assert_eq!(Cluster::start().cost(at, size), Cluster::start().cost(at, size));
    }
}
