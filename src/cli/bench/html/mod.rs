//! What was measured, as a page: tables and plots, complete in itself, for light and dark, wide and narrow.

mod axis;
mod plot;
mod plots;

use std::fmt::Write as _;

use crate::cli::bench::cluster;
use crate::cli::bench::floor::Floor;
use crate::cli::bench::plan::Plan;
use crate::cli::bench::report::{self, load, mib, seconds, span};
use crate::cli::bench::run::Measured;
use crate::cli::bench::stage::Stage;
use crate::cli::bench::strike::reached;
use crate::sim::escaped;

const STYLE: &str = include_str!("page.css");

/// Runs that differ in their load alone.
struct Series<'s> {
    label: String,
    groups: Vec<&'s Vec<Measured>>,
}

/// The runs of a stage, in order.
fn series(stage: &Stage) -> Vec<Series<'_>> {
    let mut all: Vec<Series<'_>> = Vec::new();
    for group in &stage.groups {
        let kind = group[0].kind;
        let label =
            format!("{}, {}, {} B", report::stage(stage), kind.way.name(), kind.value_bytes);
        match all.last_mut().filter(|last| last.label == label) {
            Some(last) => last.groups.push(group),
            None => all.push(Series { label, groups: vec![group] }),
        }
    }
    all
}

/// The page.
pub(super) fn page(plan: &Plan, machine: &str, floors: [&Floor; 2], stages: &[Stage]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>node bench</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header><b>node bench</b>commits a second, how long one takes, what it costs</header>\n"
    );
    out += &conditions(plan, machine, floors);
    if stages.iter().any(|stage| !stage.groups.is_empty()) {
        out += &results(stages);
    }
    out += &clusters(stages);
    let _ = writeln!(out, "<div class=\"grid\">\n{}</div>", plots::all(floors[0], stages));
    out + "</main>\n</body>\n</html>\n"
}

/// A table below a title; cells are HTML.
fn table(title: &str, head: &[&str], rows: &[Vec<String>], note: &str) -> String {
    let cells = |row: &[String], tag: &str| {
        let cells = row.iter().map(|cell| format!("<{tag}>{cell}</{tag}>"));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let head: Vec<_> = head.iter().map(|word| escaped(word)).collect();
    let body: String = rows.iter().map(|row| cells(row, "td")).collect();
    format!(
        "<section><h2>{}</h2>\n<div class=\"scroll\"><table class=\"figures\">\n{}{body}</table></div>\n\
         <p class=\"note\">{}</p></section>\n",
        escaped(title),
        cells(&head, "th"),
        escaped(note)
    )
}

fn conditions(plan: &Plan, machine: &str, floors: [&Floor; 2]) -> String {
    let floor = |floor: &Floor| {
        format!(
            "sync of 4 KiB {}, round trip {}; one commit {}",
            span(floor.sync),
            span(floor.round_trip),
            span(floor.one_commit())
        )
    };
    let runs = format!(
        "{} each after {} of warm-up, {} times; connections of frames to each node: {}",
        seconds(plan.span),
        seconds(plan.warm_up),
        plan.repeat,
        plan.connections
    );
    let rows = [
        ("machine", machine.to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("files below", plan.directory.display().to_string()),
        ("runs", runs),
        ("floor before", floor(floors[0])),
        ("floor after", floor(floors[1])),
    ];
    let mut out = "<section><h2>Machine and parameters</h2>\n<table>\n".to_owned();
    for (name, value) in rows {
        let _ = writeln!(out, "<tr><th>{name}</th><td>{}</td></tr>", escaped(&value));
    }
    out + "</table></section>\n"
}

/// The median of all runs of a group, and below it the least and the most.
fn cell(
    group: &[Measured],
    of: &dyn Fn(&Measured) -> f64,
    shown: &dyn Fn(f64) -> String,
) -> String {
    let text = escaped(&report::spread(group, of, shown));
    match text.split_once(" (") {
        Some((median, rest)) => format!("{median}<small>{}</small>", rest.trim_end_matches(')')),
        None => text,
    }
}

fn results(stages: &[Stage]) -> String {
    let mut rows = Vec::new();
    let mut open = Vec::new();
    for series in stages.iter().flat_map(series) {
        for group in &series.groups {
            let label =
                format!("{}<small>{}</small>", load(group[0].kind.load), escaped(&series.label));
            rows.push(figures(label.clone(), group));
            open.extend(group.iter().filter_map(|run| became(label.clone(), run)));
        }
    }
    let head = [
        "load",
        "commits/s",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "most",
        "syncs",
        "frames",
        "bytes",
        "CPU, nodes",
        "CPU, clients",
    ];
    let note = "Medians of the repetitions, least to most below them. Syncs, frames, bytes and processor time are of one commit, \
                at all nodes together; frames and bytes are what nodes send each other.";
    let mut out = table("Results", &head, &rows, note);
    if !open.is_empty() {
        let head =
            ["load", "due", "committed", "busy", "rejected", "unknown", "not taken", "recovered"];
        let note = "Busy: the node had too many that wait, surely not committed. Unknown: it may still commit. Not taken: due, \
                    but no place among the 1,024 undecided of a connection came free before the end. Recovered: from the end of \
                    the load until a proposal through each node took at most three times as long as one before the load.";
        out += &table("What became of what was due", &head, &open, note);
    }
    out
}

fn figures(label: String, group: &[Measured]) -> Vec<String> {
    let latency = |share: f64| {
        cell(group, &|run| run.seen.at(share).as_secs_f64(), &|seconds| {
            span(std::time::Duration::from_secs_f64(seconds))
        })
    };
    let each = |of: &dyn Fn(&Measured) -> f64, digits: usize, unit: &str| {
        cell(group, &|run| run.each(of(run)), &|value| format!("{value:.digits$}{unit}"))
    };
    let nodes_cpu = match group.iter().all(|run| run.nodes_cpu.is_some()) {
        true => each(&|run| run.nodes_cpu.unwrap_or_default().as_secs_f64() * 1e6, 1, " µs"),
        false => "unknown".to_owned(),
    };
    vec![
        label,
        cell(group, &Measured::rate, &|rate| format!("{rate:.0}")),
        latency(0.5),
        latency(0.9),
        latency(0.99),
        latency(0.999),
        latency(1.0),
        each(&|run| run.spent.syncs, 2, ""),
        each(&|run| run.spent.frames, 2, ""),
        each(&|run| run.spent.bytes, 0, ""),
        nodes_cpu,
        each(&|run| run.own_cpu.as_secs_f64() * 1e6, 1, " µs"),
    ]
}

fn became(label: String, run: &Measured) -> Option<Vec<String>> {
    let (seen, recovery) = (&run.seen, run.recovery.as_ref()?);
    let counts =
        [seen.due(), seen.committed, seen.busy, seen.rejected, seen.unknown, seen.not_taken];
    let mut row = vec![label];
    row.extend(counts.map(|count| count.to_string()));
    row.push(match recovery.after {
        Some(after) => format!("{}<small>usual: {}</small>", span(after), span(recovery.unloaded)),
        None => "not in time".to_owned(),
    });
    Some(row)
}

/// Memory, filled logs, and how long the log stood still.
fn clusters(stages: &[Stage]) -> String {
    let (mut held, mut filled, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    let mut told = Vec::new();
    for stage in stages {
        let label = escaped(&report::stage(stage));
        for (at, after) in &stage.after {
            let fresh = stage.fresh.iter().find(|(it, _)| it == at);
            let fresh = fresh.map_or("unknown".to_owned(), |(_, memory)| mib(memory.now));
            held.push(vec![
                label.clone(),
                cluster::name(*at),
                fresh,
                mib(after.now),
                mib(after.most),
            ]);
        }
        if let Some(it) = &stage.filled {
            let (at, back) = &it.back;
            filled.push(vec![
                it.slots.to_string(),
                format!("{} B", it.value_bytes),
                format!("{:.0}/s", it.added as f64 / it.took.as_secs_f64()),
                cluster::name(*at),
                span(back.listening),
                span(back.caught_up),
                mib(it.back_holds.now),
            ]);
        }
        for strikes in &stage.strikes {
            let mut row = vec![label.clone(), report::blow(strikes.blow).to_owned()];
            row.push(strikes.all.len().to_string());
            row.extend([0.0, 0.5, 0.9, 1.0].map(|share| span(strikes.gap(share))));
            row.extend([0.5, 1.0].map(|share| span(strikes.missed(share))));
            gaps.push(row);
        }
        if let Some(it) = &stage.told {
            let mut row = vec![label.clone(), format!("{} B", it.bytes), it.took.len().to_string()];
            row.extend([0.0, 0.5, 0.9, 1.0].map(|share| span(reached(&it.took, share))));
            told.push(row);
        }
    }
    let mut out = String::new();
    if !gaps.is_empty() {
        let head = [
            "cluster",
            "blow",
            "times",
            "least",
            "median",
            "p90",
            "most",
            "missed by all, median",
            "most",
        ];
        let note = "From just before the blow to the first commit, told by a survivor, of what was proposed when the proposer was gone; and until all survivors said that they no longer hear it.";
        out += &table("How long the log stands still", &head, &gaps, note);
    }
    if !told.is_empty() {
        let head = ["cluster", "text", "times", "least", "median", "p90", "most"];
        let note = "From the request at one node, over HTTP, until all others have said that they have it.";
        out += &table("A text to everyone", &head, &told, note);
    }
    if !filled.is_empty() {
        let head = [
            "entries",
            "each",
            "filled at",
            "node",
            "listens after",
            "has all after",
            "holds then",
        ];
        let note = "The node was killed and started again; the times are from its start.";
        out += &table("Start with a long log", &head, &filled, note);
    }
    if !held.is_empty() {
        let head = ["cluster", "node", "before", "after all runs", "at most"];
        let note = "Resident memory, as the system counts it, of this life of the process.";
        out += &table("Memory", &head, &held, note);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_looks_as_the_status_page_does() {
        let status_page = include_str!("../../../admin/page/index.html");
        for line in
            STYLE.lines().filter(|line| line.contains("--paper:") || line.contains("--good:"))
        {
            for colour in line.trim().split("; ") {
                assert!(status_page.contains(colour.trim_end_matches(';')), "{colour}");
            }
        }
    }
}
