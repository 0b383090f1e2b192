//! `node bench`: commits a second, and how long one takes, beside what the machine allows.

mod cluster;
mod counters;
mod fill;
mod floor;
mod html;
mod json;
mod load;
mod machine;
mod plan;
mod probe;
mod report;
mod run;
mod seen;
mod slow;
mod source;
mod stage;
mod strike;
mod tell;

use std::io::{self, Write};

use crate::admin::Client;
use crate::cli::args::BenchArgs;
use crate::cli::failure::{Code, Failure};
use crate::cli::output::print;
use crate::cli::settings;
use crate::cli::signals::Signals;
use cluster::Cluster;
use floor::Floor;
use plan::Plan;
use stage::Stage;

/// Measures and prints.
pub(super) async fn bench(args: &BenchArgs) -> Result<(), Failure> {
    let is_named = !args.asked.admin.is_empty() || !args.asked.port.is_empty();
    let named = if is_named { Some(settings::clients(&args.asked)?) } else { None };
    let plan = Plan::new(args, named.as_ref().map(Vec::len))?;
    let interrupted = |error: io::Error| Failure::new(Code::CheckFailed, error.to_string());
    let mut signals = Signals::listen().map_err(interrupted)?;
    tokio::select! {
        measured = measure(&plan, named) => measured,
        () = signals.next() => Err(Failure::new(Code::CheckFailed, "interrupted; what was started has ended")),
    }
}

async fn measure(plan: &Plan, named: Option<Vec<Client>>) -> Result<(), Failure> {
    for client in named.iter().flatten() {
        client.status().await.map_err(crate::cli::ask::told(client))?;
    }
    let (machine, before) = (machine::described(), floor(plan)?);
    if !plan.json {
        print(&report::head(plan, &machine, &before))?;
    }
    let mut stages: Vec<Stage> = Vec::new();
    if let Some(clients) = named {
        stages.extend(stage::measure(plan, &mut Cluster::of(clients)).await?);
    }
    for &nodes in &plan.nodes {
        let mut cluster = Cluster::start(nodes, &plan.directory)?;
        stages.extend(stage::measure(plan, &mut cluster).await?);
    }
    let after = floor(plan)?;
    if let Some((path, file)) = &plan.html {
        let mut file = file;
        let page = html::page(plan, &machine, [&before, &after], &stages);
        file.write_all(page.as_bytes()).map_err(|error| {
            Failure::new(Code::CheckFailed, format!("the page cannot be written: {error}"))
                .at(path.display())
                .hint("free some space where it is written to")
        })?;
    }
    if plan.json {
        return print(&format!("{}\n", json::told(&machine, [&before, &after], &stages)));
    }
    print(&format!("\nafter it: {}", report::floor(&after)))
}

fn floor(plan: &Plan) -> Result<Floor, Failure> {
    Floor::measure(&plan.directory).map_err(|error| {
        Failure::new(Code::CheckFailed, format!("the floor cannot be measured: {error}"))
            .at(plan.directory.display())
            .hint("it needs a writable directory (--dir) and loopback")
    })
}
