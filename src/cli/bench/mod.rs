//! `node bench`: commits a second, and how long one takes, beside what the machine allows.

mod cluster;
mod floor;
mod load;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admin::Client;
use crate::admin::api::SCHEMA;
use crate::cli::args::{BenchArgs, Via};
use crate::cli::failure::{Code, Failure};
use crate::cli::output::print;
use crate::cli::settings;
use crate::cli::signals::Signals;
use crate::limits;
use cluster::Cluster;
use floor::Floor;
use load::{Load, Run, Seen};
use report::Measured;

/// How many proposals a node lets one connection have under way.
const SHARE_MAX: usize = 1_024;

/// How many connections a node serves at once, with some left for others.
const KEPT_MAX: usize = 200;

/// Counts every sync of a node's log.
const SYNCS: &str = "quorate_sync_latency_seconds_count";

/// What is to be run.
struct Plan {
    ways: Vec<Via>,
    loads: Vec<Load>,
    sizes: Vec<usize>,
    warm_up: Duration,
    span: Duration,
    repeat: usize,
    directory: PathBuf,
}

impl Plan {
    fn new(args: &BenchArgs, nodes: usize) -> Result<Self, Failure> {
        let loads: Vec<_> = match args.rate.as_slice() {
            [] => args.in_flight.iter().map(|count| Load::Closed(*count)).collect(),
            rates => rates.iter().map(|rate| Load::Open(*rate)).collect(),
        };
        let span = settings::duration("--duration", &args.duration)?;
        let warm_up = settings::duration("--warm-up", &args.warm_up)?;
        let most = nodes * if args.via.contains(&Via::Http) { KEPT_MAX } else { SHARE_MAX };
        let wrong =
            |what: String, hint: &str| Err(Failure::new(Code::Configuration, what).hint(hint));
        for load in &loads {
            match load {
                Load::Closed(count) if !(1..=most).contains(count) => {
                    let what = format!("--in-flight {count} is not within 1 to {most}");
                    return wrong(what, "more nodes take more, and frames more than http");
                }
                Load::Open(0) => {
                    return wrong("--rate 0 proposes nothing".to_owned(), "give at least 1");
                }
                Load::Open(_) if args.via.contains(&Via::Http) => {
                    let what = "--rate goes by frames alone".to_owned();
                    return wrong(what, "leave --via away, or give --in-flight");
                }
                Load::Closed(_) | Load::Open(_) => {}
            }
        }
        if let Some(size) =
            args.size.iter().find(|size| !(8..=limits::VALUE_BYTES_MAX).contains(size))
        {
            let what = format!("--size {size} is not within 8 to {}", limits::VALUE_BYTES_MAX);
            return wrong(what, "a value is told apart from others by its first bytes");
        }
        if span.is_zero() || args.repeat == 0 {
            return wrong(
                "nothing is to be measured".to_owned(),
                "give --duration and --repeat more than 0",
            );
        }
        let directory = args.dir.clone().unwrap_or_else(std::env::temp_dir);
        let sizes = args.size.clone();
        Ok(Self {
            ways: args.via.clone(),
            loads,
            sizes,
            warm_up,
            span,
            repeat: args.repeat,
            directory,
        })
    }
}

/// Measures and prints.
pub(super) async fn bench(args: &BenchArgs) -> Result<(), Failure> {
    let is_named = !args.asked.admin.is_empty() || !args.asked.port.is_empty();
    if !is_named && !(1..=limits::MEMBERS_MAX).contains(&args.nodes) {
        let what = format!("--nodes {} is not within 1 to {}", args.nodes, limits::MEMBERS_MAX);
        return Err(Failure::new(Code::Configuration, what));
    }
    let clients = if is_named { settings::clients(&args.asked)? } else { Vec::new() };
    let plan = Plan::new(args, if is_named { clients.len() } else { args.nodes })?;
    let interrupted = |error: std::io::Error| Failure::new(Code::CheckFailed, error.to_string());
    let mut signals = Signals::listen().map_err(interrupted)?;
    let measuring = async {
        let mut cluster = if is_named {
            Cluster::of(clients)
        } else {
            Cluster::start(args.nodes, &plan.directory)?
        };
        if is_named {
            for client in &cluster.clients {
                client.status().await.map_err(crate::cli::ask::told(client))?;
            }
        }
        cluster.wait_led().await?;
        measure(&plan, &cluster, args.json).await
    };
    tokio::select! {
        measured = measuring => measured,
        () = signals.next() => Err(Failure::new(Code::CheckFailed, "interrupted; what was started has ended")),
    }
}

async fn measure(plan: &Plan, cluster: &Cluster, as_json: bool) -> Result<(), Failure> {
    let unmeasured = |error: std::io::Error| {
        Failure::new(Code::CheckFailed, format!("the floor cannot be measured: {error}"))
            .at(plan.directory.display())
            .hint("it needs a writable directory (--dir) and loopback")
    };
    let floor = Floor::measure(&plan.directory).map_err(unmeasured)?;
    let machine = machine();
    if !as_json {
        print(&format!(
            "machine {machine}\nnodes   {}; {} each run after {} of warm-up, {} times: median (least to most)\n{}\n",
            cluster.clients.len(),
            seconds(plan.span),
            seconds(plan.warm_up),
            plan.repeat,
            report::floor(&floor)
        ))?;
    }
    let mut all = Vec::new();
    for &way in &plan.ways {
        for &size in &plan.sizes {
            for &load in &plan.loads {
                let mut runs = Vec::new();
                for _ in 0..plan.repeat {
                    runs.push(one(plan, cluster, way, size, load).await?);
                }
                if as_json {
                    all.extend(runs.iter().map(Measured::json));
                } else {
                    print(&report::line(&runs))?;
                }
            }
        }
    }
    let after = Floor::measure(&plan.directory).map_err(unmeasured)?;
    if !as_json {
        return print(&format!("\nafter it: {}", report::floor(&after)));
    }
    let micros = |floor: &Floor| {
        json!({
            "sync": floor.sync.as_secs_f64() * 1e6,
            "round_trip": floor.round_trip.as_secs_f64() * 1e6,
            "one_commit": floor.one_commit().as_secs_f64() * 1e6,
        })
    };
    let told = json!({
        "schema": SCHEMA,
        "machine": machine,
        "nodes": cluster.clients.len(),
        "floor_us": { "before": micros(&floor), "after": micros(&after) },
        "runs": all,
    });
    print(&format!("{told}\n"))
}

/// One run: all clients at once, spread evenly over the nodes.
async fn one(
    plan: &Plan,
    cluster: &Cluster,
    way: Via,
    value_bytes: usize,
    load: Load,
) -> Result<Measured, Failure> {
    let (syncs, nodes_cpu) = (cluster.counted(SYNCS).await?, cluster.cpu_time());
    let own_cpu = cluster::cpu_time(std::process::id());
    let start = Instant::now();
    let begin = start + plan.warm_up;
    let run = Run { load, value_bytes, start, begin, end: begin + plan.span };
    let nodes = cluster.clients.len();
    let mut clients = JoinSet::new();
    match (way, load) {
        (Via::Frames, Load::Closed(count)) => {
            let shares = (0..nodes).map(|at| count / nodes + usize::from(at < count % nodes));
            for (client, share) in
                cluster.clients.iter().zip(shares).filter(|(_, share)| *share > 0)
            {
                clients.spawn(load::by_frames(client.clone(), run, share as f64));
            }
        }
        (Via::Frames, Load::Open(rate)) => {
            for client in &cluster.clients {
                clients.spawn(load::by_frames(client.clone(), run, f64::from(rate) / nodes as f64));
            }
        }
        (Via::Http, Load::Closed(count)) => {
            for at in 0..count {
                clients.spawn(load::by_http(Client::clone(&cluster.clients[at % nodes]), run));
            }
        }
        (Via::Http, Load::Open(_)) => unreachable!("the plan refuses it"),
    }
    let mut seen = Seen::new();
    while let Some(ended) = clients.join_next().await {
        let broken =
            |what: String| Failure::new(Code::CheckFailed, format!("a run broke off: {what}"));
        seen.add(&ended.map_err(|error| broken(error.to_string()))?.map_err(broken)?);
    }
    let whole = start.elapsed().as_secs_f64() / plan.span.as_secs_f64();
    if seen.took.is_empty() {
        return Err(Failure::new(Code::CheckFailed, "nothing was committed in the measured time")
            .hint("a longer --duration, or see node status"));
    }
    Ok(Measured {
        via: match way {
            Via::Frames => "frames",
            Via::Http => "http",
        },
        load,
        value_bytes,
        span: plan.span,
        commits: seen.took.len() as f64 * whole,
        seen,
        nodes_cpu: cluster.cpu_time().zip(nodes_cpu).map(|(now, then)| now.saturating_sub(then)),
        own_cpu: cluster::cpu_time(std::process::id()).saturating_sub(own_cpu),
        syncs: cluster.counted(SYNCS).await? - syncs,
    })
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<_> = load.split(' ').take(3).collect();
    let build = if cfg!(debug_assertions) { ", a debug build" } else { "" };
    format!(
        "{cores} cores, {} {}, load average before {}{build}",
        std::env::consts::OS,
        kernel.trim(),
        load.join(" ")
    )
}

fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs_f64())
}
