//! Many runs, one seed each, and what they amount to.

use std::fmt;
use std::time::Duration;

use crate::sim::checker::Violation;
use crate::sim::counters::Counters;
use crate::sim::run::{Options, run};

/// What many runs amount to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many there were.
    pub runs: u64,
    /// Every seed that broke an invariant, and how.
    pub violations: Vec<(u64, Violation)>,
    /// How often rare branches were taken in all of them.
    pub counters: Counters,
    /// How many things happened.
    pub steps: u64,
    /// The longest time that a cluster needed to come right, and the seed.
    pub slowest_recovery: (Duration, u64),
}

/// Runs each seed under otherwise equal options; `watch` is called after each and says whether to go on.
pub fn swarm(
    seeds: impl IntoIterator<Item = u64>,
    options: &Options,
    mut watch: impl FnMut(&Summary) -> bool,
) -> Summary {
    let mut summary = Summary::default();
    for seed in seeds {
        let report = run(&Options { seed, transcript: false, story: false, ..options.clone() });
        summary.runs += 1;
        summary.counters += report.counters;
        summary.steps += report.steps;
        summary.slowest_recovery = summary.slowest_recovery.max((report.recovered_in, seed));
        summary.violations.extend(report.violation.map(|violation| (seed, violation)));
        if !watch(&summary) {
            break;
        }
    }
    summary
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} runs, {} steps, {} violations",
            self.runs,
            self.steps,
            self.violations.len()
        )?;
        let (slowest, seed) = self.slowest_recovery;
        writeln!(f, "slowest recovery after the last fault: {slowest:?} (seed {seed})")?;
        writeln!(f, "how often:")?;
        write!(f, "{}", self.counters)?;
        for (seed, violation) in &self.violations {
            writeln!(f, "seed {seed}: {violation}")?;
            writeln!(
                f,
                "  replay, with the same options: node simulate --seed {seed} --transcript"
            )?;
        }
        Ok(())
    }
}
