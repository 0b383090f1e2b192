//! What was measured, for people.

use std::time::Duration;

use crate::cli::bench::cluster::{self, Cluster};
use crate::cli::bench::fill::Filled;
use crate::cli::bench::floor::Floor;
use crate::cli::bench::load::Load;
use crate::cli::bench::machine::Memory;
use crate::cli::bench::plan::Plan;
use crate::cli::bench::probe::{Recovery, USUAL_TIMES};
use crate::cli::bench::run::Measured;
use crate::cli::bench::slow::{RUNS, STANDS};
use crate::cli::bench::stage::Stage;
use crate::cli::bench::strike::{self, Blow, Strikes};
use crate::cli::bench::tell::Told;

/// The machine and how it is measured.
pub(super) fn head(plan: &Plan, machine: &str, floor: &Floor) -> String {
    format!(
        "machine {machine}\nruns    {} each after {} of warm-up, {} times: median (least to most)\n{}",
        seconds(plan.span),
        seconds(plan.warm_up),
        plan.repeat,
        self::floor(floor)
    )
}

/// The floor.
pub(super) fn floor(floor: &Floor) -> String {
    format!(
        "floor   sync of 4 KiB {}, round trip {}; one commit (two round trips, one sync) {}\n",
        span(floor.sync),
        span(floor.round_trip),
        span(floor.one_commit())
    )
}

/// Who belongs to the cluster, and who is not as the others are.
pub(super) fn cluster(stage: &Stage, cluster: &Cluster) -> String {
    let mut text = format!("\nnodes   {}", stage.nodes);
    if !stage.down.is_empty() {
        text += &format!("; {} killed and away", stage.down.join(" "));
    }
    if !stage.slow.is_empty() {
        let every = STANDS + RUNS;
        let slow = stage.slow.join(" ");
        text += &format!("; {slow} stopped for {} of every {}", span(STANDS), span(every));
    }
    if !(stage.down.is_empty() && stage.slow.is_empty()) {
        let loaded: Vec<_> = cluster.loaded().iter().map(|(at, _)| cluster::name(*at)).collect();
        text += &format!("; clients go to {}", loaded.join(" "));
    }
    text + "\n"
}

/// A cluster in few words.
pub(super) fn stage(stage: &Stage) -> String {
    let mut text = format!("{} nodes", stage.nodes);
    for (count, what) in [(stage.down.len(), "down"), (stage.slow.len(), "slow")] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    if let Some(filled) = &stage.filled {
        text += &format!(", log of {}", filled.slots);
    }
    text
}

/// A log that was filled.
pub(super) fn filled(filled: &Filled) -> String {
    let (at, back) = &filled.back;
    format!(
        "filled  {} entries, {} of {} B in {} ({:.0}/s)\n{}        {} killed and started again: listens after {}, \
         has all after {}, holds {}\n",
        filled.slots,
        filled.added,
        filled.value_bytes,
        span(filled.took),
        filled.added as f64 / filled.took.as_secs_f64(),
        memory(&filled.memory),
        cluster::name(*at),
        span(back.listening),
        span(back.caught_up),
        mib(filled.back_holds.now)
    )
}

/// What nodes hold; nothing where they were not started here.
pub(super) fn memory(nodes: &[(usize, Memory)]) -> String {
    if nodes.is_empty() {
        return String::new();
    }
    let each = |of: &dyn Fn(&Memory) -> u64| {
        let each = nodes.iter().map(|(_, memory)| format!("{:.1}", of(memory) as f64 / MIB));
        each.collect::<Vec<_>>().join(" / ")
    };
    let (now, most) = (each(&|memory| memory.now), each(&|memory| memory.most));
    format!("memory  resident {now} MiB, at most {most} MiB so far\n")
}

/// Runs of one kind: the median, with the least and the most.
pub(super) fn line(runs: &[Measured]) -> String {
    let first = &runs[0];
    let latency = |share: f64| {
        spread(runs, &|run| run.seen.at(share).as_secs_f64(), &|seconds| {
            span(Duration::from_secs_f64(seconds))
        })
    };
    let per_commit = |of: &dyn Fn(&Measured) -> f64, digits: usize| {
        spread(runs, &|run| run.each(of(run)), &|value| format!("{value:.digits$}"))
    };
    let mut text = format!(
        "{:7} {:>6} B  {:>14}   {:>30} commits/s\n    p50 {}   p90 {}   p99 {}   p99.9 {}   max {}\n    \
         per commit at all nodes: {} syncs, {} frames and {} bytes sent to others",
        first.kind.way.name(),
        first.kind.value_bytes,
        load(first.kind.load),
        spread(runs, &Measured::rate, &|rate| format!("{rate:.0}")),
        latency(0.5),
        latency(0.9),
        latency(0.99),
        latency(0.999),
        latency(1.0),
        per_commit(&|run| run.spent.syncs, 2),
        per_commit(&|run| run.spent.frames, 2),
        per_commit(&|run| run.spent.bytes, 0),
    );
    let micros = |cpu: Duration| cpu.as_secs_f64() * 1e6;
    if runs.iter().all(|run| run.nodes_cpu.is_some()) {
        let nodes = |run: &Measured| micros(run.nodes_cpu.unwrap_or_default());
        text += &format!(", {} µs of processor", per_commit(&nodes, 1));
    }
    text += &format!("; {} µs at the clients\n", per_commit(&|run| micros(run.own_cpu), 1));
    for run in runs {
        text += &became(run);
    }
    text
}

/// What became of all proposals of a run, where that is not the same for all.
fn became(run: &Measured) -> String {
    let (seen, mut text) = (&run.seen, String::new());
    if let Some(recovery) = &run.recovery {
        let share = 100.0 * seen.committed as f64 / seen.due().max(1) as f64;
        text += &format!(
            "    of {} due: {} committed ({share:.0} %), {} busy, {} rejected, {} unknown, {} not taken\n    {}\n",
            seen.due(),
            seen.committed,
            seen.busy,
            seen.rejected,
            seen.unknown,
            seen.not_taken,
            recovered(recovery)
        );
    } else if seen.no_commits() > 0 {
        text += &format!(
            "    no commits: {} busy, {} rejected, {} unknown\n",
            seen.busy, seen.rejected, seen.unknown
        );
    }
    if run.spent.rounds > 0 {
        text += &format!("    the proposer changed meanwhile: {} rounds began\n", run.spent.rounds);
    }
    text
}

/// How a cluster came back from a load.
pub(super) fn recovered(recovery: &Recovery) -> String {
    let usual = span(recovery.unloaded);
    match recovery.after {
        Some(after) => format!(
            "recovered {} after the load: a proposal took at most {USUAL_TIMES} times the {usual} of before it",
            span(after)
        ),
        None => format!(
            "not recovered: no proposal took at most {USUAL_TIMES} times the {usual} of before"
        ),
    }
}

/// How long the log stood still.
pub(super) fn strikes(strikes: &Strikes) -> String {
    let each: Vec<_> = strikes.gaps().into_iter().map(span).collect();
    format!(
        "{}, {} times, to the first commit at a survivor of what was proposed afterwards\n    \
         least {}   median {}   p90 {}   most {}\n    all: {}\n    \
         until all survivors no longer heard it: least {}   median {}   p90 {}   most {}\n",
        blow(strikes.blow),
        strikes.all.len(),
        span(strikes.gap(0.0)),
        span(strikes.gap(0.5)),
        span(strikes.gap(0.9)),
        span(strikes.gap(1.0)),
        each.join(", "),
        span(strikes.missed(0.0)),
        span(strikes.missed(0.5)),
        span(strikes.missed(0.9)),
        span(strikes.missed(1.0)),
    )
}

/// What texts to everyone took.
pub(super) fn told(told: &Told) -> String {
    let [least, median, p90, most] =
        [0.0, 0.5, 0.9, 1.0].map(|share| span(strike::reached(&told.took, share)));
    format!(
        "text to everyone, {} B, {} times, over HTTP, until all others have said that they have it\n    \
         least {least}   median {median}   p90 {p90}   most {most}\n",
        told.bytes,
        told.took.len(),
    )
}

/// What happened to the proposer.
pub(super) fn blow(blow: Blow) -> &'static str {
    match blow {
        Blow::Kill => "kill -9 of the proposer",
        Blow::Pause => "SIGSTOP of the proposer",
    }
}

/// How much is proposed.
pub(super) fn load(load: Load) -> String {
    match load {
        Load::Closed(count) => format!("{count} in flight"),
        Load::Open(rate) => format!("{rate}/s due"),
    }
}

/// The median of some figure of all runs, and behind it the least and the most if there are several.
pub(super) fn spread(
    runs: &[Measured],
    of: &dyn Fn(&Measured) -> f64,
    shown: &dyn Fn(f64) -> String,
) -> String {
    let mut all: Vec<_> = runs.iter().map(of).collect();
    all.sort_unstable_by(f64::total_cmp);
    let (least, median, most) = (all[0], all[all.len() / 2], all[all.len() - 1]);
    if all.len() == 1 {
        return shown(median);
    }
    format!("{} ({} to {})", shown(median), shown(least), shown(most))
}

/// In the unit that people would choose.
pub(super) fn span(span: Duration) -> String {
    match span.as_micros() {
        0..1_000 => format!("{:.0} µs", span.as_secs_f64() * 1e6),
        1_000..100_000 => format!("{:.2} ms", span.as_secs_f64() * 1e3),
        100_000..10_000_000 => format!("{:.0} ms", span.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", span.as_secs_f64()),
    }
}

pub(super) const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB)
}

pub(super) fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs_f64())
}
