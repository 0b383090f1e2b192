//! What was measured, for programs: one object.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::admin::api::SCHEMA;
use crate::cli::bench::cluster;
use crate::cli::bench::fill::Filled;
use crate::cli::bench::floor::Floor;
use crate::cli::bench::load::Load;
use crate::cli::bench::machine::Memory;
use crate::cli::bench::probe::Recovery;
use crate::cli::bench::run::Measured;
use crate::cli::bench::stage::Stage;
use crate::cli::bench::strike::{self, Blow, Strikes};
use crate::cli::bench::tell::Told;

/// All of it; times in microseconds.
pub(super) fn told(machine: &str, floors: [&Floor; 2], stages: &[Stage]) -> Json {
    let runs: Vec<_> = stages.iter().flat_map(|stage| stage.groups.iter().flatten()).collect();
    json!({
        "schema": SCHEMA,
        "machine": machine,
        "floor_us": { "before": floor(floors[0]), "after": floor(floors[1]) },
        "clusters": stages.iter().map(stage).collect::<Vec<_>>(),
        "runs": runs.into_iter().map(run).collect::<Vec<_>>(),
    })
}

fn floor(floor: &Floor) -> Json {
    json!({
        "sync": exact(floor.sync),
        "round_trip": exact(floor.round_trip),
        "one_commit": exact(floor.one_commit()),
    })
}

fn stage(stage: &Stage) -> Json {
    let strikes = |blow: Blow| stage.strikes.iter().find(|it| it.blow == blow).map(gaps);
    json!({
        "nodes": stage.nodes,
        "down": stage.down,
        "slow": stage.slow,
        "filled": stage.filled.as_ref().map(filled),
        "memory_bytes": { "fresh": memory(&stage.fresh), "after": memory(&stage.after) },
        "kills_us": strikes(Blow::Kill),
        "pauses_us": strikes(Blow::Pause),
        "broadcasts_us": stage.told.as_ref().map(texts),
    })
}

fn filled(filled: &Filled) -> Json {
    let (at, back) = &filled.back;
    json!({
        "slots": filled.slots,
        "value_bytes": filled.value_bytes,
        "added": filled.added,
        "took_us": micros(filled.took),
        "memory_bytes": memory(&filled.memory),
        "started_again": {
            "node": cluster::name(*at),
            "listening_us": micros(back.listening),
            "caught_up_us": micros(back.caught_up),
            "memory_bytes": filled.back_holds.now,
        },
    })
}

fn memory(nodes: &[(usize, Memory)]) -> Json {
    let node = |(at, memory): &(usize, Memory)| json!({ "node": cluster::name(*at), "resident": memory.now, "most": memory.most });
    nodes.iter().map(node).collect()
}

fn gaps(strikes: &Strikes) -> Json {
    json!({
        "least": micros(strikes.gap(0.0)),
        "median": micros(strikes.gap(0.5)),
        "p90": micros(strikes.gap(0.9)),
        "most": micros(strikes.gap(1.0)),
        "all": strikes.all.iter().map(|strike| micros(strike.gap)).collect::<Vec<_>>(),
        "missed_by_all": {
            "least": micros(strikes.missed(0.0)),
            "median": micros(strikes.missed(0.5)),
            "p90": micros(strikes.missed(0.9)),
            "most": micros(strikes.missed(1.0)),
        },
    })
}

fn texts(told: &Told) -> Json {
    let at = |share| micros(strike::reached(&told.took, share));
    json!({
        "bytes": told.bytes,
        "times": told.took.len(),
        "least": at(0.0),
        "median": at(0.5),
        "p90": at(0.9),
        "most": at(1.0),
    })
}

fn run(run: &Measured) -> Json {
    let (in_flight, rate) = match run.kind.load {
        Load::Closed(count) => (Some(count), None),
        Load::Open(rate) => (None, Some(rate)),
    };
    let seen = &run.seen;
    json!({
        "nodes": run.nodes,
        "log_slots": run.log_slots,
        "via": run.kind.way.name(),
        "in_flight": in_flight,
        "rate": rate,
        "value_bytes": run.kind.value_bytes,
        "seconds": run.span.as_secs_f64(),
        "commits": seen.took.len(),
        "commits_per_second": run.rate(),
        "became": {
            "committed": seen.committed,
            "busy": seen.busy,
            "rejected": seen.rejected,
            "unknown": seen.unknown,
            "not_taken": seen.not_taken,
        },
        "latency_us": {
            "p50": micros(seen.at(0.5)),
            "p90": micros(seen.at(0.9)),
            "p99": micros(seen.at(0.99)),
            "p999": micros(seen.at(0.999)),
            "max": seen.took.max(),
        },
        "recovery_us": run.recovery.as_ref().map(recovery),
        "rounds_begun": run.spent.rounds,
        "per_commit": {
            "syncs_of_all_nodes": run.each(run.spent.syncs),
            "frames_between_nodes": run.each(run.spent.frames),
            "bytes_between_nodes": run.each(run.spent.bytes),
            "cpu_us_of_all_nodes": run.nodes_cpu.map(|cpu| run.each(exact(cpu))),
            "cpu_us_of_the_clients": run.each(exact(run.own_cpu)),
        },
    })
}

fn recovery(recovery: &Recovery) -> Json {
    json!({ "unloaded": micros(recovery.unloaded), "after": recovery.after.map(micros) })
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn exact(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}
