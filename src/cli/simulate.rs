//! `node simulate`: the same machine under faults drawn from a seed, in virtual time.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

use crate::cli::args::SimulateArgs;
use crate::cli::failure::{Code, Failure};
use crate::cli::output::print;
use crate::limits;
use crate::sim::{self, Options, Report};

/// How often a terminal is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

pub(super) fn simulate(args: &SimulateArgs) -> Result<(), Failure> {
    if let Some(nodes) = args.nodes
        && !(1..=limits::MEMBERS_MAX).contains(&nodes)
    {
        let what = format!("{nodes} nodes cannot be simulated");
        return Err(Failure::new(Code::Configuration, what)
            .at("--nodes on the command line")
            .hint(format!("write a number from 1 to {}", limits::MEMBERS_MAX)));
    }
    let options = Options {
        seed: args.seed,
        nodes: args.nodes,
        faults: args.faults,
        partition: args.partition,
        transcript: args.transcript,
        unseen: &[],
    };
    if args.seeds == 1 { one(args, &options) } else { many(args, &options) }
}

fn one(args: &SimulateArgs, options: &Options) -> Result<(), Failure> {
    let report = sim::run(options);
    print(&told(&report))?;
    match report.violation {
        None => Ok(()),
        Some(violation) => Err(broken(args, options.seed, &violation.to_string())),
    }
}

fn told(report: &Report) -> String {
    let mut text = report.transcript.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "seed {}: {} nodes, {} entries chosen, digest {}, {} steps in {:.1} virtual seconds, \
         right again {} ms after the last fault, fingerprint {:016x}",
        report.seed,
        report.nodes,
        report.chosen,
        report.digest.short(),
        report.steps,
        report.lasted.as_secs_f64(),
        report.recovered_in.as_millis(),
        report.fingerprint,
    );
    text
}

fn many(args: &SimulateArgs, options: &Options) -> Result<(), Failure> {
    let started = Instant::now();
    let mut progress = io::stderr().is_terminal().then_some(started);
    let seeds = (0..args.seeds).map(|step| args.seed.wrapping_add(step));
    let summary = sim::swarm(seeds, options, |summary| {
        if let Some(last) = progress.filter(|last| last.elapsed() >= PROGRESS_EVERY) {
            let _ = write!(io::stderr(), "\r{} of {} runs", summary.runs, args.seeds);
            progress = Some(last + PROGRESS_EVERY);
        }
        true
    });
    if progress.is_some() {
        let _ = write!(io::stderr(), "\r");
    }
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = summary.runs as f64 / seconds;
    print(&format!("{summary}{seconds:.1} s, {rate:.0} runs a second\n"))?;
    match summary.violations.first() {
        None => Ok(()),
        Some((seed, violation)) => Err(broken(args, *seed, &violation.to_string())),
    }
}

/// A broken invariant, and the command that shows how it came.
fn broken(args: &SimulateArgs, seed: u64, violation: &str) -> Failure {
    let mut replay = format!("node simulate --seed {seed} --faults {} --transcript", args.faults);
    if let Some(nodes) = args.nodes {
        let _ = write!(replay, " --nodes {nodes}");
    }
    if let Some(shape) = args.partition {
        let _ = write!(replay, " --partition {shape}");
    }
    Failure::new(Code::CheckFailed, violation)
        .at(format!("seed {seed}"))
        .hint(format!("see how it came: {replay}"))
}
