//! etcd, ZooKeeper, NATS and this program side by side: three nodes of each on one machine, the same load on all of
//! them in turn, and how much each of them commits. `README.md` says how to run it and what it does not say.

mod cpu;
mod doors;
mod kill;
mod load;
mod machine;
mod plan;
mod products;
mod report;
mod rest;
mod stats;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use doors::Protocol;
use load::Load;
use machine::Floor;
use plan::Plan;
use products::Cluster;
use report::Line;
use serde_json::{Value, json};
use stats::{Spread, time};

/// Between two rounds: what was under way at the end of one comes to its end.
const BETWEEN: Duration = Duration::from_millis(300);

/// A product's nodes, and one way to speak to them.
#[derive(Clone, Copy)]
struct Contender {
    name: &'static str,
    protocol: Protocol,
    cluster: usize,
}

/// All files of all products; removed at the end.
struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.keep {
            println!("the files are in {}", self.path.display());
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn main() -> ExitCode {
    let outcome = Plan::read(std::env::args().skip(1)).and_then(|plan| run(&plan));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) if text == plan::USAGE => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("versus: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan) -> Result<(), String> {
    let in_words = |error: std::io::Error| format!("{}: {error}", plan.directory.display());
    let path = plan.directory.join(format!("quorate-versus-{}", std::process::id()));
    fs::create_dir_all(&path).map_err(in_words)?;
    let directory = Directory { path, keep: plan.keep };
    let machine = machine::described(&directory.path);
    println!("{machine}");
    let floor_before = Floor::measure(&directory.path).map_err(in_words)?;
    println!("floor: {}", floor_before.described());

    let mut clusters = start(plan, &directory.path)?;
    let contenders = contenders(&clusters);
    if contenders.is_empty() {
        return Err("nothing could be started: ./install brings the others".to_owned());
    }
    let fresh = rest(plan.idle, &clusters, "as they have started");
    let lines = measure(plan, &mut clusters, &contenders);
    let used = rest(plan.idle, &clusters, "after all rounds");
    let kills = kill(plan.kills, &mut clusters, &contenders);
    let floor_after = Floor::measure(&directory.path).map_err(in_words)?;
    println!("\nfloor at the end: {}", floor_after.described());

    if let Some(file) = &plan.json {
        let products: Vec<_> = clusters
            .iter()
            .map(|cluster| {
                let product = &cluster.product;
                json!({"name": product.name(), "version": cluster.version, "settings": product.settings()})
            })
            .collect();
        let raw = json!({
            "machine": machine,
            "warm_up": plan.warm_up.as_secs_f64(),
            "value_bytes": plan.value_bytes,
            "floor_before": floor_before.raw(),
            "floor_after": floor_after.raw(),
            "products": products,
            "rest": {"fresh": fresh, "used": used},
            "rounds": lines.iter().map(Line::raw).collect::<Vec<_>>(),
            "kills": kills,
        });
        let text = serde_json::to_string_pretty(&raw).expect("it is made of text and numbers");
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

/// What a node of each product holds and uses at rest.
fn rest(idle: Option<Duration>, clusters: &[Cluster], when: &str) -> Value {
    let mut all = json!({});
    let Some(span) = idle else { return all };
    println!(
        "\nat rest, {when}: a node's resident memory and processor time, for {}",
        time(span.as_secs_f64())
    );
    for (cluster, nodes) in clusters.iter().zip(rest::look(clusters, span)) {
        let name = cluster.product.name();
        println!("  {name:13} {}", rest::shown(&nodes));
        all[name] = rest::raw(&nodes);
    }
    all
}

/// Starts what can be started, and says what cannot.
fn start(plan: &Plan, below: &Path) -> Result<Vec<Cluster>, String> {
    println!(
        "{} nodes each on loopback, values of {} bytes; all stay up, one is under load at a time",
        products::NODES,
        plan.value_bytes
    );
    let wanted = products::wanted(plan);
    let clients = plan.in_flight.iter().copied().max().unwrap_or(1).max(products::NODES);
    let ports = products::ports(wanted.len())?;
    let mut clusters = Vec::new();
    for (product, ports) in wanted.into_iter().zip(ports) {
        let (name, settings) = (product.name(), product.settings());
        match Cluster::start(product, below, &ports, clients) {
            Ok(cluster) => {
                println!("  {name:13} {}: {settings}", cluster.version);
                clusters.push(cluster);
            }
            Err(why) => println!("  {name:13} is not measured: {why}"),
        }
    }
    Ok(clusters)
}

/// Every way to speak to what was started that is spoken there.
fn contenders(clusters: &[Cluster]) -> Vec<Contender> {
    let mut all = Vec::new();
    for (at, cluster) in clusters.iter().enumerate() {
        for &(name, protocol) in cluster.product.protocols() {
            match load::is_spoken(protocol, cluster.place.client(0)) {
                Ok(()) => all.push(Contender { name, protocol, cluster: at }),
                Err(error) => {
                    println!("  {name:13} is not measured: {protocol:?} at n1: {error}")
                }
            }
        }
    }
    all
}

/// All rounds: every contender once, then every contender again.
fn measure(plan: &Plan, clusters: &mut [Cluster], contenders: &[Contender]) -> Vec<Line> {
    if plan.rounds == 0 {
        return Vec::new();
    }
    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
    let ours = names.iter().copied().find(|name| name.starts_with("quorate")).unwrap_or(names[0]);
    println!(
        "\n{} of warm-up, {} measured, {} rounds; * is the leader's node. Clients start at the leader in round 1,\n\
         at the node after it in round 2, and so on; load generator: one thread",
        time(plan.warm_up.as_secs_f64()),
        time(plan.measured.as_secs_f64()),
        plan.rounds
    );
    let mut one = |contender: Contender, clients: usize, round: usize, measured: Duration| {
        let load = Load {
            protocol: contender.protocol,
            clients,
            value_bytes: plan.value_bytes,
            from_leader: round.saturating_sub(1),
            warm_up: plan.warm_up,
            measured,
        };
        let result = load::round(&mut clusters[contender.cluster], load);
        std::thread::sleep(BETWEEN);
        let line = Line { contender: contender.name, clients, round, measured, result };
        println!("{}", line.shown());
        line
    };
    if let Some(first) = plan.first {
        // Whoever compiles while it runs has done it by then; what a first use makes is made.
        println!("  once each at the most in flight, not counted:");
        for &contender in contenders {
            one(contender, plan.in_flight.iter().copied().max().unwrap_or(1), 0, first);
        }
    }
    let mut lines = Vec::new();
    for &clients in &plan.in_flight {
        println!();
        let first = lines.len();
        for round in 1..=plan.rounds {
            for contender in contenders {
                lines.push(one(*contender, clients, round, plan.measured));
            }
        }
        println!("\n{clients} in flight: median (lowest to highest)");
        print!("{}", report::table(&lines[first..], &names, ours));
    }
    lines
}

/// Kills leaders, each product's in turn; only the first way to speak to each.
fn kill(times: usize, clusters: &mut [Cluster], contenders: &[Contender]) -> Value {
    let mut all = json!({});
    if times == 0 {
        return all;
    }
    println!("\nkill -9 of the leader to the next acknowledged write, {times} times");
    let mut stood_still: Vec<Vec<f64>> = vec![Vec::new(); clusters.len()];
    let mut failed = vec![0; clusters.len()];
    for _ in 0..times {
        for (at, cluster) in clusters.iter_mut().enumerate() {
            let Some(first) = contenders.iter().find(|contender| contender.cluster == at) else {
                continue;
            };
            match kill::once(cluster, first.protocol) {
                Ok(still) => stood_still[at].push(still.as_secs_f64()),
                Err(why) => {
                    failed[at] += 1;
                    println!("  {:13} {why}", first.name);
                }
            }
        }
    }
    for (at, cluster) in clusters.iter().enumerate() {
        let name = cluster.product.name();
        let shown = Spread::of(stood_still[at].clone()).map(|spread| spread.shown(time));
        println!(
            "  {name:13} {} of {} kills",
            shown.unwrap_or_else(|| "-".to_owned()),
            stood_still[at].len()
        );
        all[name] = json!({"seconds": stood_still[at], "failed": failed[at]});
    }
    all
}
