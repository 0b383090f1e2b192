//! Every known mistake is made on purpose and must be caught, by a named invariant and soon.

use std::collections::BTreeMap;

use crate::consensus::mutant::{self, Mutant};
use crate::sim::{Invariant, Options, ScriptError, play, run};

/// How many runs may pass before a mistake must have been caught once.
const BUDGET: u64 = 1_000;

const ALL: [(Mutant, &str); 15] = [
    (Mutant::VoteNotPersisted, "vote not persisted"),
    (Mutant::PromiseNotPersisted, "promise not persisted"),
    (Mutant::SentBeforeSync, "frame sent before the sync"),
    (Mutant::LastRecordDropped, "recovery drops the last good record"),
    (Mutant::HalfIsQuorum, "n/2"),
    (Mutant::QuorumOfLive, "quorum of live peers"),
    (Mutant::DuplicateVotesCounted, "duplicate votes counted"),
    (Mutant::RoundsAddedUp, "rounds added up"),
    (Mutant::StaleVoteAccepted, "stale-round vote accepted"),
    (Mutant::TailNotCarried, "tail not carried over"),
    (Mutant::LowestTailCarried, "tail of the lowest round carried"),
    (Mutant::LongestTailCarried, "longest log over highest round"),
    (Mutant::AdoptedInPieces, "adoption in pieces"),
    (Mutant::AdoptedBelowCommit, "adoption below a commit"),
    (Mutant::TipAsVote, "tip announced as vote"),
];

/// Runs a mistake over seeds: which invariants caught it how often.
fn caught(
    mutant: Mutant,
    seeds: std::ops::Range<u64>,
    once: bool,
) -> (u64, BTreeMap<Invariant, u64>) {
    let mut by = BTreeMap::new();
    let mut runs = 0;
    for seed in seeds {
        let report = mutant::with(mutant, || run(&Options { seed, ..Options::default() }));
        runs += 1;
        let unmutated =
            || run(&Options { seed, ..Options::default() }).violation.map(|v| v.invariant);
        if let Some(violation) = report.violation
            && unmutated() != Some(violation.invariant)
        {
            *by.entry(violation.invariant).or_default() += 1;
            if once {
                break;
            }
        }
    }
    (runs, by)
}

#[test]
fn every_mutant_is_caught_by_a_named_invariant() {
    let seeds: u64 = std::env::var("MUTANT_SEEDS").map_or(0, |n| n.parse().expect("a number"));
    println!("| mutant | caught by | rate |\n|---|---|---|");
    let mut missed = Vec::new();
    for (mutant, name) in ALL {
        let (runs, by) = caught(mutant, 0..seeds.max(BUDGET), seeds == 0);
        let total: u64 = by.values().sum();
        let by: Vec<_> = by.iter().map(|(by, count)| format!("{by} {count}")).collect();
        println!("| {name} | {} | {total}/{runs} |", by.join(", "));
        if total == 0 {
            missed.push(name);
        }
    }
    assert!(missed.is_empty(), "not caught within {BUDGET} runs: {missed:?}");
}

#[test]
fn the_tip_announced_as_vote_breaks_its_scenario() {
    let scenario = include_str!("../../tests/scenarios/tip_announced_as_vote.txt");
    assert!(play(scenario).is_ok());
    let error = mutant::with(Mutant::TipAsVote, || play(scenario)).unwrap_err();
    assert!(matches!(error, ScriptError::Violated { .. }), "{error}");
}
