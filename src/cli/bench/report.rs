//! What was measured, for people and for programs.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::cli::bench::floor::Floor;
use crate::cli::bench::load::{Load, Seen};

/// One measured run.
pub(super) struct Measured {
    pub(super) via: &'static str,
    pub(super) load: Load,
    pub(super) value_bytes: usize,
    pub(super) span: Duration,
    pub(super) seen: Seen,
    /// Processor time of the nodes, where they were started here, and of this process, over warm-up and run.
    pub(super) nodes_cpu: Option<Duration>,
    pub(super) own_cpu: Duration,
    /// Commits of the whole time, and syncs of all nodes in it.
    pub(super) commits: f64,
    pub(super) syncs: f64,
}

impl Measured {
    pub(super) fn rate(&self) -> f64 {
        self.seen.took.len() as f64 / self.span.as_secs_f64()
    }

    fn at(&self, share: f64) -> Duration {
        Duration::from_micros(self.seen.took.value_at_quantile(share))
    }

    fn each(&self, whole: f64) -> f64 {
        if self.commits > 0.0 { whole / self.commits } else { 0.0 }
    }

    pub(super) fn json(&self) -> Json {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let (in_flight, rate) = match self.load {
            Load::Closed(count) => (Some(count), None),
            Load::Open(rate) => (None, Some(rate)),
        };
        json!({
            "via": self.via,
            "in_flight": in_flight,
            "rate": rate,
            "value_bytes": self.value_bytes,
            "seconds": self.span.as_secs_f64(),
            "commits": self.seen.took.len(),
            "commits_per_second": self.rate(),
            "other_answers": self.seen.others,
            "latency_us": {
                "p50": micros(self.at(0.5)),
                "p90": micros(self.at(0.9)),
                "p99": micros(self.at(0.99)),
                "p999": micros(self.at(0.999)),
                "max": self.seen.took.max(),
            },
            "per_commit": {
                "syncs_of_all_nodes": self.each(self.syncs),
                "cpu_us_of_all_nodes": self.nodes_cpu.map(|cpu| self.each(cpu.as_secs_f64() * 1e6)),
                "cpu_us_of_the_clients": self.each(self.own_cpu.as_secs_f64() * 1e6),
            },
        })
    }
}

/// A line for runs of one kind: the median, with the least and the most.
pub(super) fn line(runs: &[Measured]) -> String {
    let first = &runs[0];
    let load = match first.load {
        Load::Closed(count) => format!("{count} in flight"),
        Load::Open(rate) => format!("{rate}/s due"),
    };
    let spread = |of: &dyn Fn(&Measured) -> f64, shown: &dyn Fn(f64) -> String| {
        let mut all: Vec<_> = runs.iter().map(of).collect();
        all.sort_unstable_by(f64::total_cmp);
        let (least, median, most) = (all[0], all[all.len() / 2], all[all.len() - 1]);
        if all.len() == 1 {
            return shown(median);
        }
        format!("{} ({} to {})", shown(median), shown(least), shown(most))
    };
    let latency = |share: f64| {
        spread(&|run| run.at(share).as_secs_f64(), &|seconds| {
            span(Duration::from_secs_f64(seconds))
        })
    };
    let per_commit = |of: &dyn Fn(&Measured) -> f64, digits: usize| {
        spread(of, &|value| format!("{value:.digits$}"))
    };
    let mut text = format!(
        "{:7} {:>6} B  {load:>14}   {:>30} commits/s\n    p50 {}   p90 {}   p99 {}   p99.9 {}   max {}\n    \
         per commit: {} syncs of all nodes",
        first.via,
        first.value_bytes,
        spread(&Measured::rate, &|rate| format!("{rate:.0}")),
        latency(0.5),
        latency(0.9),
        latency(0.99),
        latency(0.999),
        latency(1.0),
        per_commit(&|run| run.each(run.syncs), 2),
    );
    let micros = |cpu: Duration| cpu.as_secs_f64() * 1e6;
    if runs.iter().all(|run| run.nodes_cpu.is_some()) {
        let nodes = |run: &Measured| run.each(micros(run.nodes_cpu.unwrap_or_default()));
        text += &format!(", {} µs of processor at all nodes", per_commit(&nodes, 1));
    }
    let own = |run: &Measured| run.each(micros(run.own_cpu));
    text += &format!(", {} µs at the clients\n", per_commit(&own, 1));
    let others: u64 = runs.iter().map(|run| run.seen.others).sum();
    if others > 0 {
        text += &format!("    {others} answers were no commits\n");
    }
    text
}

/// The floor, for people.
pub(super) fn floor(floor: &Floor) -> String {
    format!(
        "floor   sync of 4 KiB {}, round trip {}; one commit (two round trips, one sync) {}\n",
        span(floor.sync),
        span(floor.round_trip),
        span(floor.one_commit())
    )
}

/// In the unit that people would choose.
fn span(span: Duration) -> String {
    match span.as_micros() {
        0..1_000 => format!("{:.0} µs", span.as_secs_f64() * 1e6),
        1_000..100_000 => format!("{:.2} ms", span.as_secs_f64() * 1e3),
        _ => format!("{:.0} ms", span.as_secs_f64() * 1e3),
    }
}
