//! A closed loop within one process: so many clients, each with one proposal in flight, spread over the nodes.

use std::time::{Duration, Instant};

use quorate::{Handle, Outcome, Value};

use crate::machine::cpu_time;
use crate::nodes::{InProcess, NODES, value};
use crate::stats::{percentile, shown, spread};
use crate::worker::Worker;

/// How long a client waits after an answer that is no commit.
const PAUSE: Duration = Duration::from_millis(1);

/// What is run.
pub(crate) struct Plan {
    pub(crate) in_flight: Vec<usize>,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) repetitions: u32,
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    others: u64,
}

/// Proposes one value after the other from now until `end`; what is answered before `begin` warms up.
async fn client(handle: Handle, begin: Instant, end: Instant) -> Seen {
    let mut seen = Seen::default();
    for number in 0.. {
        let start = Instant::now();
        let value = Value::new(value(number)).expect("it is short");
        let is_commit = matches!(handle.propose(value).await, Outcome::Committed(_));
        let now = Instant::now();
        if now >= end {
            break;
        }
        if !is_commit {
            seen.others += 1;
            tokio::time::sleep(PAUSE).await;
        } else if now >= begin {
            seen.took.push(now - start);
        }
    }
    seen
}

/// Runs every number of clients so often through the handle of each node, and prints a line for each.
pub(crate) fn run(plan: &Plan, nodes: &InProcess, floor: Duration) {
    println!(
        "  {} s each after {} s of warm-up, {} times: median (lowest to highest); floor {}",
        plan.measured.as_secs(),
        plan.warm_up.as_secs(),
        plan.repetitions,
        shown(floor)
    );
    println!("  {:>9}  {:>24}  {:>30}  {:>30}  cores", "in flight", "commits/s", "p50", "p99");
    let waiter = Worker::start();
    for &clients in &plan.in_flight {
        let (mut rates, mut p50s, mut p99s) = (Vec::new(), Vec::new(), Vec::new());
        let (mut others, mut cores) = (0, 0.0);
        for _ in 0..plan.repetitions {
            let begin = Instant::now() + plan.warm_up;
            let end = begin + plan.measured;
            let before = cpu_time(std::process::id());
            let start = |at: usize| {
                let handle = nodes.nodes[at % NODES].handle().clone();
                nodes.workers[at % NODES].tasks.spawn(client(handle, begin, end))
            };
            let tasks: Vec<_> = (0..clients).map(start).collect();
            let all = waiter.run(async {
                let mut all = Vec::new();
                for task in tasks {
                    all.push(task.await.expect("a client does not panic"));
                }
                all
            });
            let used = cpu_time(std::process::id()).saturating_sub(before);
            cores = used.as_secs_f64() / (plan.warm_up + plan.measured).as_secs_f64();
            others += all.iter().map(|seen| seen.others).sum::<u64>();
            let mut took: Vec<_> = all.into_iter().flat_map(|seen| seen.took).collect();
            took.sort_unstable();
            rates.push(took.len() as f64 / plan.measured.as_secs_f64());
            p50s.push(percentile(&took, 0.5).as_secs_f64());
            p99s.push(percentile(&took, 0.99).as_secs_f64());
        }
        let (rate, lowest, highest) = spread(rates);
        println!(
            "  {clients:>9}  {:>24}  {:>30}  {:>30}  {cores:.2}",
            format!("{rate:.0} ({lowest:.0} to {highest:.0})"),
            in_words(p50s),
            in_words(p99s)
        );
        if others > 0 {
            println!("  {others} answers were no commits");
        }
    }
}

fn in_words(runs: Vec<f64>) -> String {
    let (middle, lowest, highest) = spread(runs);
    let [middle, lowest, highest] =
        [middle, lowest, highest].map(|seconds| shown(Duration::from_secs_f64(seconds)));
    format!("{middle} ({lowest} to {highest})")
}
