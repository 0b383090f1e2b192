//! `node simulate`: the same machine under faults drawn from a seed, in virtual time.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cli::args::{SimulateArgs, Stretch};
use crate::cli::failure::{Code, Failure};
use crate::cli::output::print;
use crate::limits;
use crate::sim::{self, Moment, Options, Report, Story, Window};

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
        story: args.chart.is_some(),
    };
    if args.seeds == 1 { one(args, &options) } else { many(args, &options) }
}

fn one(args: &SimulateArgs, options: &Options) -> Result<(), Failure> {
    let drawer = args.chart.as_deref().map(drawer).transpose()?;
    let report = sim::run(options);
    print(&told(&report))?;
    if let (Some((path, draw)), Some(story)) = (args.chart.as_deref().zip(drawer), &report.story) {
        chart(args, &report, story, path, draw)?;
    }
    match report.violation {
        None => Ok(()),
        Some(violation) => Err(broken(args, options.seed, &violation.to_string())),
    }
}

/// A picture of a story under a title.
type Draw = fn(&Story, &str) -> String;

fn drawer(path: &Path) -> Result<Draw, Failure> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("svg") => Ok(sim::svg),
        Some("mmd") => Ok(sim::mermaid),
        _ => Err(Failure::new(
            Code::Configuration,
            format!("{} says not what to draw", path.display()),
        )
        .at("--chart on the command line")
        .hint("let the name end in .svg (a picture) or .mmd (a text for Mermaid)")),
    }
}

fn chart(
    args: &SimulateArgs,
    report: &Report,
    story: &Story,
    path: &Path,
    draw: Draw,
) -> Result<(), Failure> {
    let moment = |millis| Moment::ZERO + Duration::from_millis(millis);
    let stretch = args.window.unwrap_or(Stretch { from: 0, to: None });
    let window = Window {
        from: moment(stretch.from),
        to: stretch.to.map_or(Moment::END, moment),
        last: args.last,
        heartbeats: args.heartbeats,
    };
    let title = match &report.violation {
        Some(violation) => format!("seed {}: {violation}", report.seed),
        None => format!("seed {}: all invariants held", report.seed),
    };
    let part = story.seen_through(&window);
    fs::write(path, draw(&part, &title)).map_err(|error| {
        Failure::new(Code::Configuration, format!("{} cannot be written: {error}", path.display()))
            .at("--chart on the command line")
            .hint("give a file in a directory that exists and may be written to")
    })?;
    let marks = part.marks.len();
    print(&format!(
        "{}: {marks} marks drawn, {} before them left out\n",
        path.display(),
        part.left_out
    ))
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
        .hint(format!("see how it came: {replay}, or --chart run.svg instead of --transcript"))
}
