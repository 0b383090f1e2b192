//! The gallery of mistakes: each known one is made on purpose, and must be caught by the layers that claim to.
//!
//! `cargo test --features mutants --test gallery` makes each until it is caught. `GALLERY_SEEDS=2000` in the
//! environment measures over as many runs of the simulator, and takes the slow tests along. Words behind `--`
//! choose mistakes whose names hold one of them. What also fails without the mistake does not count.

mod seeds;
mod suites;
mod table;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use quorate::mutant::Mutant;
use seeds::Seeds;
use suites::Suites;
use table::{Catch, table};

/// How a catch went: what caught the mistake and how often, or why nothing did.
type Outcome = Result<(String, String), String>;

/// How many test programs run at a time: most of them wait for something that does not come.
const PROGRAMS_AT_ONCE: usize = 6;

fn main() -> ExitCode {
    let started = Instant::now();
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let measured = std::env::var("GALLERY_SEEDS").ok();
    let measured = measured.map(|runs| runs.parse().expect("GALLERY_SEEDS is a number of runs"));
    let is_wanted = |mutant: Mutant| {
        words.is_empty() || words.iter().any(|word| mutant.name().contains(word.as_str()))
    };
    let exhibits: Vec<_> = table()
        .into_iter()
        .filter(|(mutant, catch)| is_wanted(*mutant) && (measured.is_some() || !catch.is_slow()))
        .collect();

    let suites = Suites::build(exhibits.iter().map(|(_, catch)| catch));
    let built = started.elapsed();
    suites.hold_without_a_mistake();
    let seeds = Seeds::new(measured);
    let work = |(mutant, catch): (Mutant, Catch)| match catch {
        Catch::Seeds { unseen } => seeds.catch(mutant, unseen),
        Catch::Scenario(name) => seeds::catch_in_scenario(mutant, name),
        Catch::Tests { suite, names, .. } => suites.catch(mutant, suite, names),
    };
    let outcomes = all(&exhibits, work);

    println!("| mutant | layer | caught by | rate |\n|---|---|---|---|");
    let mut missed = Vec::new();
    for ((mutant, catch), outcome) in exhibits.iter().zip(outcomes) {
        let (by, rate) = outcome.unwrap_or_else(|why| {
            missed.push(format!("{}, {}: {why}", mutant.name(), catch.layer()));
            ("**nothing**".to_owned(), String::new())
        });
        println!("| {} | {} | {by} | {rate} |", mutant.name(), catch.layer());
    }
    let mutants: BTreeSet<_> = exhibits.iter().map(|(mutant, _)| mutant).collect();
    let took = started.elapsed() - built;
    println!("\n{} mistakes, {} catches: {took:.0?}", mutants.len(), exhibits.len());
    if missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("NOT CAUGHT:\n{}", missed.join("\n"));
    ExitCode::FAILURE
}

/// Works all of them off, runs of the simulator beside test programs; outcomes in the order of `exhibits`.
fn all(
    exhibits: &[(Mutant, Catch)],
    work: impl Fn((Mutant, Catch)) -> Outcome + Sync,
) -> Vec<Outcome> {
    let is_program = |index: &usize| matches!(exhibits[*index].1, Catch::Tests { .. });
    let (programs, runs): (VecDeque<_>, VecDeque<_>) = (0..exhibits.len()).partition(is_program);
    let (programs, runs) = (Mutex::new(programs), Mutex::new(runs));
    let done = Mutex::new(BTreeMap::new());
    let next = |waiting: &Mutex<VecDeque<usize>>| waiting.lock().expect("no panic").pop_front();
    let work_off = |waiting: &Mutex<VecDeque<usize>>| {
        while let Some(index) = next(waiting) {
            let outcome = work(exhibits[index]);
            let (mutant, catch) = exhibits[index];
            let word = if outcome.is_ok() { "caught" } else { "NOT CAUGHT" };
            eprintln!("{word}: {}, {}", mutant.name(), catch.layer());
            done.lock().expect("no panic").insert(index, outcome);
        }
    };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|threads| {
        for _ in 0..cores {
            threads.spawn(|| work_off(&runs));
        }
        for _ in 0..PROGRAMS_AT_ONCE {
            threads.spawn(|| work_off(&programs));
        }
    });
    done.into_inner().expect("no panic").into_values().collect()
}
