//! What a run came to: the rules on its samples, and the figures for people.

use crate::nodes::{NODES, VALUE_BYTES};
use crate::soak::sample::{Sample, Window};
use crate::soak::traffic::{LARGE_BYTES, LARGE_EVERY, Traffic};
use crate::soak::verdict::{self, Finding, Look, Quiet, Verdict};
use crate::soak::{KILLED, Plan, Run};
use crate::stats::shown;

/// One sample of memory out of so many seconds: the median of them.
const THINNED: usize = 10;

/// How long after its start a node is looked at, in seconds.
const GROWN_UP: f64 = 30.0;

/// Bytes of memory for each byte of the chain: a point of its index, 48 bytes, every 64 KiB, in a vector
/// that may have doubled just now.
const INDEX_SHARE: f64 = 2.0 * 48.0 / 65_536.0;

/// The samples behind the warm-up.
fn warm(samples: &[Sample]) -> impl Iterator<Item = &Sample> + Clone {
    samples.iter().filter(|sample| sample.entries >= Plan::warm_up_entries())
}

fn look(samples: &[&Sample]) -> Look {
    let median = |of: fn(&Sample) -> f64| verdict::median(samples.iter().map(|sample| of(sample)));
    Look {
        hours: median(|sample| sample.seconds / 3600.0),
        resident: median(|sample| sample.resident as f64),
        entries: median(|sample| sample.entries as f64),
        crowd: median(|sample| sample.crowd as f64),
    }
}

/// The rules on what was sampled; `before` and `after` are descriptors and threads without clients.
pub(super) fn judged(
    run: &Run,
    before: [(usize, usize); NODES],
    after: [(usize, usize); NODES],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for at in 0..NODES {
        let name = format!("n{}", at + 1);
        let samples: Vec<_> = warm(&run.samples[at]).collect();
        let per_entry = match (samples.first(), samples.last()) {
            (Some(first), Some(last)) if last.entries > first.entries => {
                (last.chain - first.chain) as f64 / (last.entries - first.entries) as f64
            }
            _ => 0.0,
        };
        let expected = INDEX_SHARE * per_entry;
        let (rule, looks): (_, Vec<_>) = if at == KILLED {
            let lives = samples.chunk_by(|left, right| left.life == right.life);
            let looks = lives.filter_map(|life| {
                let grown = life.iter().position(|sample| sample.age >= GROWN_UP)?;
                Some(look(&life[grown..]))
            });
            ("memory after each start", looks.collect())
        } else {
            let looks = samples.chunks(THINNED).filter(|chunk| chunk.len() == THINNED).map(look);
            ("memory", looks.collect())
        };
        findings.push(verdict::memory(&format!("{name} {rule}"), &looks, expected));
        let (before, after) = (before[at], after[at]);
        findings.push(verdict::returned(&format!("{name} descriptors"), before.0, after.0));
        // One more opens the log at a start, and stays for some seconds.
        let grown = samples.iter().filter(|sample| sample.age >= GROWN_UP);
        let threads: Vec<_> = grown.map(|sample| sample.threads).collect();
        findings.push(verdict::flat(&format!("{name} threads"), before.1, &threads));
        let growth: Vec<_> =
            samples.iter().map(|sample| (sample.entries as f64, sample.chain as f64)).collect();
        findings.push(verdict::bytes_per_entry(&format!("{name} log"), &growth));
        let rest: Vec<_> = samples
            .iter()
            .map(|sample| usize::try_from(sample.rest / 1024).expect("a file's length"))
            .collect();
        let first = rest.first().copied().unwrap_or_default();
        findings.push(verdict::flat(&format!("{name} other files, KiB"), first, &rest));
    }
    let quiet: Vec<_> = run
        .windows
        .iter()
        .filter(|window| window.quiet && !window.floor_p99.is_zero())
        .map(|window| Quiet {
            commit: window.p99.as_secs_f64(),
            floor: window.floor_p99.as_secs_f64(),
        })
        .collect();
    findings.push(verdict::tail_latency("p99 of commits, quiet windows", &quiet));
    findings
}

/// Everything, for people.
pub(super) fn print(plan: &Plan, run: &Run, traffic: &Traffic, findings: &[Finding]) {
    let seen = traffic.seen();
    println!(
        "  values of {VALUE_BYTES} bytes, one of {LARGE_EVERY} of {LARGE_BYTES}; {} kills of n3, {} stops of n1 or n2",
        run.kills, run.stops
    );
    println!(
        "  {} commits, {} asked again at the next node, {} left out at the client; reads: {} linearizable, {} local, {} unanswered; {} broadcasts, {} connections for one request or none",
        seen.committed,
        seen.retried,
        seen.left_out,
        seen.linearizable,
        seen.local,
        seen.unanswered,
        seen.broadcasts,
        seen.short_connections
    );
    for quiet in [true, false] {
        latency(quiet, run.windows.iter().filter(|window| window.quiet == quiet));
    }
    for at in 0..NODES {
        let samples = &run.samples[at];
        let most = |of: fn(&Sample) -> usize| samples.iter().map(of).max().unwrap_or_default();
        let [least, largest] = [u64::min, u64::max].map(|pick| {
            warm(samples).map(|sample| sample.resident).reduce(pick).unwrap_or_default()
        });
        println!(
            "  n{}  resident {:.1} to {:.1} MiB after the warm-up; at most {} descriptors, {} threads; {:.2} of a core; {} warnings, {} errors",
            at + 1,
            least as f64 / 1048576.0,
            largest as f64 / 1048576.0,
            most(|sample| sample.descriptors),
            most(|sample| sample.threads),
            cores(samples),
            run.lines[at].warnings,
            run.lines[at].errors,
        );
    }
    println!("  tables and log lines in {}", plan.out.display());
    println!(
        "  expected to grow: the ids of the last {} slots, then nothing but {:.4} bytes of index for each byte of the log; warm-up: {} entries",
        quorate::limits::PROPOSAL_IDS_SLOTS,
        INDEX_SHARE,
        Plan::warm_up_entries()
    );
    for finding in findings {
        println!("{finding}");
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    println!(
        "  verdict: {} rules hold, {} are broken, {} could not be judged",
        count(Verdict::Pass),
        count(Verdict::Fail),
        count(Verdict::Unjudged)
    );
}

/// Processor time over the time in which it was taken, in one life after the other.
fn cores(samples: &[Sample]) -> f64 {
    let (mut used, mut span) = (0.0, 0.0);
    for pair in samples.windows(2).filter(|pair| pair[0].life == pair[1].life) {
        used += pair[1].cpu.saturating_sub(pair[0].cpu).as_secs_f64();
        span += pair[1].seconds - pair[0].seconds;
    }
    if span > 0.0 { used / span } else { 0.0 }
}

fn latency<'w>(quiet: bool, windows: impl Iterator<Item = &'w Window> + Clone) {
    let median = |of: fn(&Window) -> std::time::Duration| {
        let seconds = verdict::median(windows.clone().map(|window| of(window).as_secs_f64()));
        shown(std::time::Duration::from_secs_f64(seconds))
    };
    let most = windows.clone().map(|window| window.most).max().unwrap_or_default();
    println!(
        "  {} {} windows, medians: p50 {}, p99 {} (floor p50 {}, p99 {}); longest of all {}",
        windows.clone().count(),
        if quiet { "quiet" } else { "disturbed" },
        median(|window| window.p50),
        median(|window| window.p99),
        median(|window| window.floor_p50),
        median(|window| window.floor_p99),
        shown(most)
    );
}
