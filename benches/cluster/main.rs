//! What three nodes on one machine do: commits a second and how long one takes, beside what the disk and
//! the loopback allow; how long the log stands still when its proposer is killed or hangs; what a node
//! costs while nothing happens.
//!
//! ```text
//! cargo bench --bench cluster                            # all of it, some five minutes
//! cargo bench --bench cluster -- load kill --seconds 2   # some parts, shorter
//! cargo bench --bench cluster -- --dir /mnt/disk         # on another disk
//! cargo bench --bench cluster -- soak --minutes 60       # only when asked for; judged by rule
//! ```

mod http;
mod kill;
mod load;
mod machine;
mod nodes;
mod soak;
mod stats;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use nodes::{InProcess, Processes};

/// What can be measured, in the order in which it is. Without words, all but the last.
const PARTS: [&str; 7] = ["floor", "idle", "load", "kill", "stop", "embedded", SOAK];
const SOAK: &str = "soak";

/// What the command line asks for.
struct Plan {
    parts: Vec<String>,
    directory: PathBuf,
    load: load::Plan,
    kills: usize,
    stops: usize,
    idle: Duration,
    soak: soak::Plan,
}

impl Plan {
    /// None if this is not run to measure, as by `cargo test --all-targets`.
    fn read() -> Option<Self> {
        let mut plan = Self {
            parts: Vec::new(),
            directory: std::env::temp_dir(),
            load: load::Plan {
                in_flight: vec![1, 16, 64, 256],
                warm_up: Duration::from_secs(1),
                measured: Duration::from_secs(5),
                repetitions: 3,
            },
            kills: 20,
            stops: 5,
            idle: Duration::from_secs(10),
            soak: soak::Plan {
                length: Duration::from_secs(60 * 60),
                rate: 500,
                fault_every: Duration::from_secs(60),
                out: std::env::temp_dir().join("quorate-soak"),
            },
        };
        let mut is_bench = false;
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number = || -> u32 {
                let text = words.next().unwrap_or_else(|| panic!("{word} needs a value"));
                text.parse().unwrap_or_else(|_| panic!("{word} needs a number, not {text:?}"))
            };
            match word.as_str() {
                "--bench" => is_bench = true,
                "--seconds" => plan.load.measured = Duration::from_secs(number().into()),
                "--repetitions" => plan.load.repetitions = number().max(1),
                "--in-flight" => plan.load.in_flight = vec![number().max(1) as usize],
                "--kills" => plan.kills = number() as usize,
                "--stops" => plan.stops = number() as usize,
                "--minutes" => plan.soak.length = Duration::from_secs(60 * u64::from(number())),
                "--rate" => plan.soak.rate = number().max(1),
                "--fault-every" => {
                    plan.soak.fault_every = Duration::from_secs(number().max(30).into());
                }
                "--out" => plan.soak.out = words.next().expect("--out needs a path").into(),
                "--dir" => plan.directory = words.next().expect("--dir needs a path").into(),
                part if PARTS.contains(&part) => plan.parts.push(part.to_owned()),
                other => panic!("{other:?} is none of the parts {PARTS:?} and no option"),
            }
        }
        is_bench.then_some(plan)
    }

    fn wants(&self, part: &str) -> bool {
        (self.parts.is_empty() && part != SOAK) || self.parts.iter().any(|wanted| wanted == part)
    }
}

fn main() -> ExitCode {
    let Some(plan) = Plan::read() else {
        println!("cluster: measures only under `cargo bench --bench cluster`");
        return ExitCode::SUCCESS;
    };
    machine::print(&plan.directory);
    println!("3 nodes on loopback, values of {} bytes, default settings", nodes::VALUE_BYTES);

    let floor = machine::Floor::measure(&plan.directory);
    if plan.wants("floor") {
        floor.print();
    }
    if ["idle", "load", "kill", "stop"].iter().any(|part| plan.wants(part)) {
        let mut processes = Processes::start(&plan.directory);
        if plan.wants("idle") {
            machine::part("idle: nothing is proposed");
            processes.print_idle(plan.idle);
            processes.print_memory("fresh");
        }
        if plan.wants("load") {
            machine::part("load over HTTP: a process per node, a kept connection per client");
            load::over_http(&plan.load, &processes, floor.one_commit());
            processes.print_memory("after load");
        }
        if plan.wants("kill") {
            machine::part("kill -9 of the proposer, to the next commit through a survivor");
            kill::killed(&mut processes, plan.kills);
        }
        if plan.wants("stop") {
            machine::part("SIGSTOP of the proposer, to the next commit through a survivor");
            kill::stopped(&mut processes, plan.stops);
        }
    }
    if plan.wants("embedded") {
        machine::part("load without HTTP: three nodes in one process, a thread each");
        let nodes = InProcess::start(&plan.directory);
        load::in_process(&plan.load, &nodes, floor.one_commit());
    }
    let holds = !plan.wants(SOAK) || soak::run(&plan.soak, &plan.directory);
    if plan.wants("floor") {
        machine::Floor::measure(&plan.directory).print();
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
