//! One run: all clients at once, spread evenly over the nodes, and what it cost.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use crate::admin::Client;
use crate::cli::args::Via;
use crate::cli::bench::cluster::Cluster;
use crate::cli::bench::counters::{Counters, Spent};
use crate::cli::bench::load::{self, Load};
use crate::cli::bench::machine;
use crate::cli::bench::plan::Plan;
use crate::cli::bench::probe::{self, Recovery};
use crate::cli::bench::seen::{Run, Seen};
use crate::cli::failure::{Code, Failure};

/// How often memory is looked at while a run goes on.
const LOOK: Duration = Duration::from_millis(500);

/// What is proposed, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) way: Via,
    pub(super) load: Load,
    pub(super) value_bytes: usize,
}

/// One measured run.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) kind: Kind,
    /// How many nodes there are, down or up.
    pub(super) nodes: usize,
    /// How long the log was before it.
    pub(super) log_slots: u64,
    pub(super) span: Duration,
    pub(super) seen: Seen,
    /// Processor time of the nodes, where they were started here, and of this process, from the first to the last
    /// proposal.
    pub(super) nodes_cpu: Option<Duration>,
    pub(super) own_cpu: Duration,
    /// What the nodes counted meanwhile.
    pub(super) spent: Spent,
    /// Of an open loop.
    pub(super) recovery: Option<Recovery>,
}

/// What every node held at some moment of a run, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// The moment, since the cluster was there.
    pub(super) at: Duration,
    pub(super) resident: Vec<(usize, u64)>,
}

impl Measured {
    pub(super) fn rate(&self) -> f64 {
        self.seen.took.len() as f64 / self.span.as_secs_f64()
    }

    /// A share of the whole for each commit.
    pub(super) fn each(&self, whole: f64) -> f64 {
        if self.spent.commits > 0.0 { whole / self.spent.commits } else { 0.0 }
    }
}

/// Runs it once. `since` is when the cluster was there.
pub(super) async fn one(
    plan: &Plan,
    cluster: &Cluster,
    kind: Kind,
    since: Instant,
) -> Result<(Measured, Vec<Sample>), Failure> {
    let broken = |what: String| Failure::new(Code::CheckFailed, format!("a run broke off: {what}"));
    let loaded: Vec<_> = cluster.loaded().into_iter().map(|(_, client)| client).collect();
    let unloaded = match kind.load {
        Load::Open(_) => Some(probe::unloaded(&loaded, kind.value_bytes).await.map_err(broken)?),
        Load::Closed(_) => None,
    };
    let (counted, nodes_cpu) = (Counters::read(cluster.up()).await?, cluster.cpu_time());
    let own_cpu = machine::cpu_time(std::process::id());
    let start = Instant::now();
    let begin = start + plan.warm_up;
    let run = Run { start, begin, end: begin + plan.span };
    let mut recovering = JoinSet::new();
    if let Some(unloaded) = unloaded {
        recovering.spawn(probe::recovery(loaded.clone(), kind.value_bytes, run.end, unloaded));
    }
    let mut clients = clients(plan, &loaded, kind, run);
    let mut seen = Seen::new();
    let mut samples = Vec::new();
    let mut look = interval(LOOK);
    loop {
        tokio::select! {
            ended = clients.join_next() => {
                let Some(ended) = ended else { break };
                let ended = ended.map_err(|error| broken(error.to_string()))?;
                seen.add(&ended.map_err(broken)?);
            }
            _ = look.tick() => {
                let memory = cluster.memory().into_iter();
                let resident = memory.map(|(at, memory)| (at, memory.now)).collect();
                samples.push(Sample { at: since.elapsed(), resident });
            }
        }
    }
    let spent = Counters::read(cluster.up()).await?.since(&counted);
    let nodes_cpu = cluster.cpu_time().zip(nodes_cpu).map(|(now, then)| now.saturating_sub(then));
    let own_cpu = machine::cpu_time(std::process::id()).saturating_sub(own_cpu);
    let recovery = match recovering.join_next().await {
        Some(ended) => Some(ended.map_err(|error| broken(error.to_string()))?.map_err(broken)?),
        None => None,
    };
    if seen.took.is_empty() {
        return Err(Failure::new(Code::CheckFailed, "nothing was committed in the measured time")
            .hint("a longer --duration, or see node status"));
    }
    let (nodes, log_slots, span) = (cluster.len(), counted.slot, plan.span);
    let measured =
        Measured { kind, nodes, log_slots, span, seen, nodes_cpu, own_cpu, spent, recovery };
    Ok((measured, samples))
}

/// Starts all clients.
fn clients(plan: &Plan, loaded: &[Client], kind: Kind, run: Run) -> JoinSet<Result<Seen, String>> {
    let mut clients = JoinSet::new();
    let bytes = kind.value_bytes;
    let connections = loaded.len() * plan.connections;
    let node = |number: usize| Client::clone(&loaded[number % loaded.len()]);
    match (kind.way, kind.load) {
        (Via::Frames, Load::Closed(count)) => {
            for number in 0..connections.min(count) {
                let share = count / connections + usize::from(number < count % connections);
                clients.spawn(load::closed(node(number), run, bytes, share));
            }
        }
        (Via::Frames, Load::Open(rate)) => {
            for number in 0..connections {
                let share = f64::from(rate) / connections as f64;
                clients.spawn(load::open(node(number), run, bytes, share));
            }
        }
        (Via::Http, Load::Closed(count)) => {
            for number in 0..count {
                clients.spawn(load::by_http(node(number), run, bytes));
            }
        }
        (Via::Http, Load::Open(_)) => unreachable!("the plan refuses it"),
    }
    clients
}
