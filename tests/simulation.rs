//! Whole clusters under faults, thousands of them: no invariant may break, and no rare branch may be missed.
//!
//! A failing seed is replayed by `node simulate --seed N --transcript`; it is then added to the known ones.

use quorate::sim::{self, Faults, Options, Summary};

/// Seeds that once broke an invariant, or nearly did; what they found is told beside them.
const KNOWN: [u64; 12] = [
    // A message spoke in an epoch whose record was not synced.
    155, 2825, 3321, 3678, // A slow sync kept a node unhealthy for ever.
    1190, 1237, 1756, 10_372, 10_683, // The longest recoveries.
    193, 10_802, 14_393,
];

/// As many as take about a minute on two slow cores, in two halves that run side by side.
const SEEDS: u64 = 8_000;

fn all_well(seeds: impl IntoIterator<Item = u64>, options: &Options) -> Summary {
    let summary = sim::swarm(seeds, options, |so_far| so_far.violations.len() < 5);
    println!("{summary}");
    assert!(summary.violations.is_empty(), "{summary}");
    summary
}

fn nothing_missed(summary: &Summary) {
    let missed: Vec<_> =
        summary.counters.each().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect();
    assert!(missed.is_empty(), "never happened in {} runs: {missed:?}", summary.runs);
}

#[test]
fn known_seeds_hold() {
    all_well(KNOWN, &Options::default());
}

#[test]
fn no_invariant_breaks_under_faults() {
    nothing_missed(&all_well(0..SEEDS, &Options::default()));
}

#[test]
fn no_invariant_breaks_under_other_faults() {
    nothing_missed(&all_well(1_000_000..1_000_000 + SEEDS, &Options::default()));
}

#[test]
fn a_quiet_cluster_stays_quiet() {
    let options = Options { faults: Faults::None, ..Options::default() };
    let summary = all_well(0..300, &options);
    assert_eq!(summary.counters.kills + summary.counters.partitions, 0);
    assert_eq!(summary.counters.round_changes, 0, "without faults nobody takes over");
}

#[test]
fn every_shape_of_partition_heals() {
    for shape in sim::Shape::ALL {
        let options = Options {
            nodes: Some(5),
            faults: Faults::Network,
            partition: Some(shape),
            ..Options::default()
        };
        all_well(0..60, &options);
    }
}
