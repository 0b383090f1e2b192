//! The layer of the simulator: a mistake is made in run after run, until an invariant breaks or the budget is used up.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;

use quorate::mutant::{self, Mutant};
use quorate::sim::{Invariant, Options, play, run};

use crate::Outcome;

/// A mistake that is caught less often than once in so many runs is not caught.
const BUDGET: u64 = 1_000;

/// The runs in which mistakes are made.
pub(crate) struct Seeds {
    /// How many runs each mistake is made in, if it is to be measured.
    measured: Option<u64>,
    /// Runs that fail without any mistake, looked for beforehand where runs are measured.
    failing: BTreeSet<u64>,
}

impl Seeds {
    /// Seeds count from 0.
    pub(crate) fn new(measured: Option<u64>) -> Self {
        // A mistake ends in an assertion here and there: that is a finding, and not worth a trace each.
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_simulated = panic
                .location()
                .is_some_and(|place| place.file().replace('\\', "/").contains("src/"));
            if !is_simulated {
                usual(panic);
            }
        }));
        let failing = (0..measured.unwrap_or(0)).filter(|seed| fails(*seed)).collect();
        Self { measured, failing }
    }

    /// Makes `mutant` while these invariants are not looked at.
    pub(crate) fn catch(&self, mutant: Mutant, unseen: &'static [Invariant]) -> Outcome {
        let runs = self.measured.unwrap_or(BUDGET);
        let mut by: BTreeMap<Invariant, u64> = BTreeMap::new();
        for seed in (0..runs).filter(|seed| !self.failing.contains(seed)) {
            let options = Options { seed, unseen, ..Options::default() };
            let report = mutant::with(mutant, || run(&options));
            let Some(violation) = report.violation else { continue };
            if self.measured.is_some() {
                *by.entry(violation.invariant).or_default() += 1;
            } else if !fails(seed) {
                let rate = format!("seed {seed}");
                return Ok((format!("`{}`", violation.invariant), rate));
            }
        }
        let total: u64 = by.values().sum();
        if total * BUDGET < runs || total == 0 {
            return Err(format!("{total} of {runs} runs: {by:?}"));
        }
        let by: Vec<_> = by.iter().map(|(by, count)| format!("`{by}` {count}")).collect();
        #[expect(clippy::cast_precision_loss, reason = "a rate, for people")]
        let rate = format!("{:.1} %", 100.0 * total as f64 / runs as f64);
        Ok((by.join(", "), rate))
    }
}

/// Makes `mutant` in a scenario: it must end in a broken invariant, a disappointed expectation or an assertion.
pub(crate) fn catch_in_scenario(mutant: Mutant, name: &str) -> Outcome {
    let file = format!("{}/tests/scenarios/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let scenario = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    play(&scenario).map_err(|error| format!("it fails without the mistake: {error}"))?;
    let played = catch_unwind(|| mutant::with(mutant, || play(&scenario)));
    if played.is_ok_and(|played| played.is_ok()) {
        return Err(format!("{name} comes about as if nothing was wrong"));
    }
    Ok((format!("`{name}`"), "always".to_owned()))
}

fn fails(seed: u64) -> bool {
    run(&Options { seed, ..Options::default() }).violation.is_some()
}
