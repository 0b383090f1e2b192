//! What `node bench` does not measure: commits of three nodes within one process, without any interface, beside
//! what the disk and the loopback allow; what a node costs while nothing happens; a long run judged by rule.
//!
//! ```text
//! cargo bench --bench cluster                            # all but the soak, some two minutes
//! cargo bench --bench cluster -- embedded --seconds 2    # a part, shorter
//! cargo bench --bench cluster -- --dir /mnt/disk         # on another disk
//! cargo bench --bench cluster -- soak --minutes 60       # only when asked for; judged by rule
//! ```

mod embedded;
mod http;
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
const PARTS: [&str; 4] = ["floor", "idle", "embedded", SOAK];
const SOAK: &str = "soak";

/// What the command line asks for.
struct Plan {
    parts: Vec<String>,
    directory: PathBuf,
    embedded: embedded::Plan,
    idle: Duration,
    soak: soak::Plan,
}

impl Plan {
    /// None if this is not run to measure, as by `cargo test --all-targets`.
    fn read() -> Option<Self> {
        let mut plan = Self {
            parts: Vec::new(),
            directory: std::env::temp_dir(),
            embedded: embedded::Plan {
                in_flight: vec![1, 16, 64, 256],
                warm_up: Duration::from_secs(1),
                measured: Duration::from_secs(5),
                repetitions: 3,
            },
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
                "--seconds" => plan.embedded.measured = Duration::from_secs(number().into()),
                "--repetitions" => plan.embedded.repetitions = number().max(1),
                "--in-flight" => plan.embedded.in_flight = vec![number().max(1) as usize],
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
    if plan.wants("idle") {
        let processes = Processes::start(&plan.directory);
        machine::part("idle: a process per node, nothing is proposed");
        processes.print_idle(plan.idle);
        processes.print_memory();
    }
    if plan.wants("embedded") {
        machine::part("load without HTTP: three nodes in one process, a thread each");
        let nodes = InProcess::start(&plan.directory);
        embedded::run(&plan.embedded, &nodes, floor.one_commit());
    }
    let holds = !plan.wants(SOAK) || soak::run(&plan.soak, &plan.directory);
    if plan.wants("floor") {
        machine::Floor::measure(&plan.directory).print();
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
