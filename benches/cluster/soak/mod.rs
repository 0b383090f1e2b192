//! A long run under a steady mixed load, with nodes killed and stopped on the way: what grows, what leaks,
//! what gets slower, judged by rule.
//!
//! n1 and n2 are never killed, so their memory can be followed; one of them, the proposer if it is one,
//! is stopped for a moment every second time. n3 is killed and started again every other time, and once more as
//! soon as it answers: how much the first start reads depends on how full the journal was at the kill, the second
//! finds it empty. What n3 holds a while after the second tells what a start costs as the log grows.

mod audit;
mod floor;
mod report;
mod sample;
mod traffic;
mod verdict;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate::limits;
use tokio_util::sync::CancellationToken;

use crate::machine;
use crate::nodes::{NODES, Processes, VALUE_BYTES};
use crate::stats::percentile;
use crate::worker::Worker;
use floor::Floor;
use sample::{LOG_FILE_BYTES_MAX, Lines, Sample, Tables, Window};
use traffic::{LARGE_BYTES, LARGE_EVERY, Traffic};
use verdict::{Finding, Verdict};

/// What an entry takes on the disk beyond its value: the head of its record, epoch, kind, id, lengths.
const ENTRY_BYTES: u64 = 52 + 8 + 1 + 16 + 8 + 4;

/// Both files of a journal at their longest.
const JOURNAL_BYTES: u64 = 2 * 16 * 1024 * 1024;

const WINDOW: Duration = Duration::from_secs(20);

/// How long the killed node stays away, the stopped one is stopped, and the load counts as disturbed after it.
const AWAY: Duration = Duration::from_secs(5);
const STOPPED: Duration = Duration::from_secs(3);
const DISTURBED: Duration = Duration::from_secs(10);

/// How long the load runs before descriptors and threads are counted for the first time.
const TOUCHED: Duration = Duration::from_secs(10);

/// How long connections may take to be gone once the clients have closed them.
const SETTLES: Duration = Duration::from_secs(45);

/// The node that is killed.
const KILLED: usize = NODES - 1;

/// What is run.
pub(crate) struct Plan {
    pub(crate) length: Duration,
    /// Proposals a second.
    pub(crate) rate: u32,
    pub(crate) fault_every: Duration,
    /// Where the tables and the nodes' log lines are left.
    pub(crate) out: PathBuf,
}

impl Plan {
    /// The longest that all files together become, in bytes.
    fn disk(&self) -> u64 {
        let nodes = NODES as u64;
        let entries = u64::from(self.rate) * (self.length + TOUCHED).as_secs();
        let large = LARGE_BYTES as u64 / LARGE_EVERY;
        let per_entry = ENTRY_BYTES + VALUE_BYTES as u64 + large;
        let samples = 128 * nodes * self.length.as_secs();
        nodes * (entries * per_entry + JOURNAL_BYTES + 2 * LOG_FILE_BYTES_MAX) + samples
    }

    /// Entries after which memory is expected to be flat: the table of ids is full, and has been
    /// renewed by half.
    fn warm_up_entries() -> u64 {
        limits::PROPOSAL_IDS_SLOTS * 3 / 2
    }
}

/// What is kept of a run.
struct Run {
    begun: Instant,
    samples: [Vec<Sample>; NODES],
    windows: Vec<Window>,
    lines: [Lines; NODES],
    lives: [(u32, Instant); NODES],
    kills: u32,
    stops: u32,
}

/// What is broken on purpose at the moment.
#[derive(Clone, Copy)]
enum Broken {
    Nothing,
    Killed {
        back: Instant,
    },
    /// It is to be killed again once it answers.
    Reopening,
    Stopped {
        node: usize,
        back: Instant,
    },
}

/// Runs it, prints the report, and tells whether every rule holds.
pub(crate) fn run(plan: &Plan, directory: &Path) -> bool {
    machine::part("soak: a steady mixed load, nodes killed and stopped on the way");
    let (needed, free) = (plan.disk(), machine::free_bytes(directory));
    let mib = |bytes: u64| bytes / (1024 * 1024);
    println!(
        "  {} min, {} proposals/s, a fault every {} s; disk: at most {} MiB, {} MiB are free",
        plan.length.as_secs() / 60,
        plan.rate,
        plan.fault_every.as_secs(),
        mib(needed),
        mib(free)
    );
    if free < needed + needed / 4 + (1 << 30) {
        println!("  refused: a quarter of it and 1 GiB must stay free; --minutes, --rate or --dir");
        return false;
    }
    let mut tables = Tables::create(&plan.out).expect("a directory for the tables");
    let mut nodes = Processes::start(directory);
    let traffic = Traffic::new(std::array::from_fn(|at| nodes.address(at)));
    let clients = Worker::start();

    let stop = CancellationToken::new();
    clients.tasks.spawn(traffic.clone().run(plan.rate, stop.clone()));
    std::thread::sleep(TOUCHED);
    stop.cancel();
    let before = settled(&nodes, &traffic);
    traffic.seen().took.clear();

    let floor = Floor::start(directory);
    let now = Instant::now();
    let lines = |at: usize| {
        let kept = plan.out.join(format!("n{}.log", at + 1));
        Lines::new(nodes.log_file(at), &kept)
    };
    let mut run = Run {
        begun: now,
        samples: Default::default(),
        windows: Vec::new(),
        lines: std::array::from_fn(lines),
        lives: [(1, now); NODES],
        kills: 0,
        stops: 0,
    };
    let stop = CancellationToken::new();
    clients.tasks.spawn(traffic.clone().run(plan.rate, stop.clone()));
    let mut findings = Vec::new();
    if let Some(ended) = soak(plan, &mut run, &mut nodes, &traffic, &floor, &mut tables) {
        findings.push(ended);
    }
    stop.cancel();
    drop(floor);
    if findings.is_empty() {
        let after = settled(&nodes, &traffic);
        findings.extend(report::judged(&run, before, after));
        findings.extend(audit::audited(&nodes, &traffic));
    }
    findings.push(audit::answers(&traffic));
    report::print(plan, &run, &traffic, &findings);
    let holds = findings.iter().all(|finding| finding.verdict != Verdict::Fail);
    if !holds {
        println!("  what the nodes wrote is left in {}", nodes.keep().display());
    }
    holds
}

/// The run itself: a look every second, a window every so often, a fault every so often.
fn soak(
    plan: &Plan,
    run: &mut Run,
    nodes: &mut Processes,
    traffic: &Arc<Traffic>,
    floor: &Floor,
    tables: &mut Tables,
) -> Option<Finding> {
    let mut broken = Broken::Nothing;
    let mut disturbed_until = run.begun + DISTURBED;
    let mut next_fault = run.begun + plan.fault_every;
    let (mut window_ends, mut window_is_quiet) = (run.begun + WINDOW, true);
    let end = run.begun + plan.length;
    for second in 1_u32.. {
        let due = run.begun + Duration::from_secs(second.into());
        if due > end {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        match broken {
            Broken::Killed { back } if now >= back => {
                start_again(run, nodes);
                broken = Broken::Reopening;
            }
            Broken::Reopening if nodes.status(KILLED).is_some() => {
                nodes.kill(KILLED);
                start_again(run, nodes);
                broken = Broken::Nothing;
                disturbed_until = now + DISTURBED;
            }
            Broken::Stopped { node, back } if now >= back => {
                nodes.signal(node, "CONT");
                broken = Broken::Nothing;
                disturbed_until = now + DISTURBED;
            }
            Broken::Nothing
            | Broken::Killed { .. }
            | Broken::Reopening
            | Broken::Stopped { .. } => {}
        }
        let quiet = now >= disturbed_until;
        window_is_quiet &= quiet;
        for at in 0..NODES {
            if at == KILLED && matches!(broken, Broken::Killed { .. }) {
                continue;
            }
            if let Some(how) = nodes.ended(at) {
                let figures = format!("n{} ended by itself: {how}", at + 1);
                return Some(Finding::new("every node runs on", false, figures));
            }
            let sample = look(run, nodes, traffic, at, quiet);
            tables.sample(at, &sample).expect("the table can be written");
            run.samples[at].push(sample);
            run.lines[at].sift().expect("the log lines can be read");
        }
        if now >= window_ends {
            let window = closed(run, traffic, floor, window_is_quiet);
            tables.window(&window).expect("the table can be written");
            run.windows.push(window);
            (window_ends, window_is_quiet) = (window_ends + WINDOW, quiet);
        }
        // The last one is mended well before the end.
        if matches!(broken, Broken::Nothing) && now >= next_fault && end - now > 3 * DISTURBED {
            next_fault += plan.fault_every;
            broken = strike(run, nodes, now);
            (disturbed_until, window_is_quiet) = (end, false);
        }
    }
    None
}

/// n3 begins another life.
fn start_again(run: &mut Run, nodes: &mut Processes) {
    nodes.restart(KILLED);
    run.lives[KILLED] = (run.lives[KILLED].0 + 1, Instant::now());
}

/// Kills n3, or stops the proposer if it is another one, else n2, in turn.
fn strike(run: &mut Run, nodes: &mut Processes, now: Instant) -> Broken {
    if run.kills > run.stops {
        let status = nodes.status(0);
        let is_first = status.is_some_and(|status| Some(status.id) == status.proposer);
        let node = if is_first { 0 } else { 1 };
        run.stops += 1;
        nodes.signal(node, "STOP");
        return Broken::Stopped { node, back: now + STOPPED };
    }
    run.kills += 1;
    nodes.kill(KILLED);
    Broken::Killed { back: now + AWAY }
}

fn look(run: &Run, nodes: &Processes, traffic: &Traffic, at: usize, quiet: bool) -> Sample {
    let process = nodes.id(at);
    let (life, since) = run.lives[at];
    let (resident, descriptors, threads) = sample::held(process);
    let (chain, rest) = sample::on_disk(&nodes.data_directory(at));
    Sample {
        seconds: run.begun.elapsed().as_secs_f64(),
        life,
        age: since.elapsed().as_secs_f64(),
        quiet,
        resident,
        descriptors,
        crowd: run.samples[at].last().map_or(0, |before| before.crowd).max(descriptors),
        threads,
        cpu: machine::cpu_time(process),
        entries: traffic.acknowledged(),
        chain,
        rest,
    }
}

fn closed(run: &Run, traffic: &Traffic, floor: &Floor, quiet: bool) -> Window {
    let mut took = std::mem::take(&mut traffic.seen().took);
    let mut below = floor.taken();
    took.sort_unstable();
    below.sort_unstable();
    Window {
        seconds: run.begun.elapsed().as_secs_f64(),
        quiet,
        commits: took.len(),
        p50: percentile(&took, 0.5),
        p99: percentile(&took, 0.99),
        most: percentile(&took, 1.0),
        floor_p50: percentile(&below, 0.5),
        floor_p99: percentile(&below, 0.99),
    }
}

/// Descriptors and threads of each node without clients: the fewest that are seen until they stay the same.
fn settled(nodes: &Processes, traffic: &Traffic) -> [(usize, usize); NODES] {
    let deadline = Instant::now() + SETTLES;
    let counts = || {
        std::array::from_fn(|at| {
            let (_, descriptors, threads) = sample::held(nodes.id(at));
            (descriptors, threads)
        })
    };
    let mut last: [(usize, usize); NODES] = counts();
    let mut same = 0;
    while Instant::now() < deadline && same < 5 {
        traffic.close();
        std::thread::sleep(Duration::from_secs(1));
        let now = counts();
        same = if now == last && traffic.in_flight() == 0 { same + 1 } else { 0 };
        last = now;
    }
    last
}
