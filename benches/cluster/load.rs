//! A closed loop: so many clients, each with one proposal in flight, spread over the nodes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quorate::admin::api::ProposeOutcome;
use quorate::types::ProposalId;
use quorate::{Handle, Outcome, Value};
use tokio::task::JoinHandle;

use crate::http::Connection;
use crate::machine::cpu_time;
use crate::nodes::{InProcess, NODES, Processes, value};
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

/// A client's way to its node.
enum Door {
    Http(Connection),
    Embedded(Handle),
}

impl Door {
    /// Whether the value was committed.
    async fn propose(&mut self, number: u128) -> bool {
        match self {
            Self::Http(connection) => {
                let id = ProposalId::from_u128(number);
                let outcome = connection.propose(id, value(number)).await;
                matches!(outcome, Ok(ProposeOutcome::Committed { .. }))
            }
            Self::Embedded(handle) => {
                let value = Value::new(value(number)).expect("it is short");
                matches!(handle.propose(value).await, Outcome::Committed(_))
            }
        }
    }
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    others: u64,
}

/// Ids that no run of this process has used.
pub(crate) fn fresh_numbers() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 64
}

/// Proposes one value after the other from now until `end`; what is answered before `begin` warms up.
async fn client(mut door: Door, begin: Instant, end: Instant) -> Seen {
    let mut seen = Seen::default();
    let first = fresh_numbers();
    for number in first.. {
        let start = Instant::now();
        let committed = door.propose(number).await;
        let now = Instant::now();
        if now >= end {
            break;
        }
        if !committed {
            seen.others += 1;
            tokio::time::sleep(PAUSE).await;
        } else if now >= begin {
            seen.took.push(now - start);
        }
    }
    seen
}

/// Runs every number of clients so often, and prints a line for each. `client_at` starts the one with this number.
fn run(
    plan: &Plan,
    floor: Duration,
    processes: &[u32],
    mut client_at: impl FnMut(usize, Instant, Instant) -> JoinHandle<Seen>,
) {
    println!(
        "  {} s each after {} s of warm-up, {} times: median (lowest to highest); floor {}",
        plan.measured.as_secs(),
        plan.warm_up.as_secs(),
        plan.repetitions,
        shown(floor)
    );
    println!(
        "  {:>9}  {:>24}  {:>30}  {:>30}  cores: each node, this process",
        "in flight", "commits/s", "p50", "p99"
    );
    let waiter = Worker::start();
    for &clients in &plan.in_flight {
        let (mut rates, mut p50s, mut p99s) = (Vec::new(), Vec::new(), Vec::new());
        let mut others = 0;
        let mut cores = String::new();
        for _ in 0..plan.repetitions {
            let begin = Instant::now() + plan.warm_up;
            let end = begin + plan.measured;
            let used = || processes.iter().map(|id| cpu_time(*id)).collect::<Vec<_>>();
            let before = used();
            let tasks: Vec<_> = (0..clients).map(|at| client_at(at, begin, end)).collect();
            let all = waiter.run(async {
                let mut all = Vec::new();
                for task in tasks {
                    all.push(task.await.expect("a client does not panic"));
                }
                all
            });
            let span = (plan.warm_up + plan.measured).as_secs_f64();
            let share = |(after, before): (Duration, Duration)| {
                format!("{:.2}", after.saturating_sub(before).as_secs_f64() / span)
            };
            cores = used().into_iter().zip(before).map(share).collect::<Vec<_>>().join(" ");
            others += all.iter().map(|seen| seen.others).sum::<u64>();
            let mut took: Vec<_> = all.into_iter().flat_map(|seen| seen.took).collect();
            took.sort_unstable();
            rates.push(took.len() as f64 / plan.measured.as_secs_f64());
            p50s.push(percentile(&took, 0.5).as_secs_f64());
            p99s.push(percentile(&took, 0.99).as_secs_f64());
        }
        let (rate, lowest, highest) = spread(rates);
        println!(
            "  {clients:>9}  {:>24}  {:>30}  {:>30}  {cores}",
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

/// Through the HTTP interface of each process.
pub(crate) fn over_http(plan: &Plan, nodes: &Processes, floor: Duration) {
    let worker = Worker::start();
    let mut processes: Vec<_> = (0..NODES).map(|at| nodes.id(at)).collect();
    processes.push(std::process::id());
    run(plan, floor, &processes, |at, begin, end| {
        let address = nodes.address(at % NODES);
        worker.tasks.spawn(async move {
            let connection = Connection::open(address).await.expect("the node listens");
            client(Door::Http(connection), begin, end).await
        })
    });
}

/// Through the handle of each node.
pub(crate) fn in_process(plan: &Plan, nodes: &InProcess, floor: Duration) {
    run(plan, floor, &[std::process::id()], |at, begin, end| {
        let at = at % NODES;
        let door = Door::Embedded(nodes.nodes[at].handle().clone());
        nodes.workers[at].tasks.spawn(client(door, begin, end))
    });
}
