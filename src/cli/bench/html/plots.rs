//! Which plots there are, and of which figures.

use std::time::Duration;

use crate::cli::bench::cluster;
use crate::cli::bench::floor::Floor;
use crate::cli::bench::html::axis::Axis;
use crate::cli::bench::html::plot::{self, Line};
use crate::cli::bench::html::{Series, series};
use crate::cli::bench::report::{self, MIB, load, span};
use crate::cli::bench::run::Measured;
use crate::cli::bench::seen::Seen;
use crate::cli::bench::stage::Stage;
use crate::cli::bench::strike::{Blow, Strikes};

/// How finely percentiles are drawn, of one nine.
const STEPS: u32 = 10;

/// What commits around a blow are counted in, and how long they are noted after the log goes on, in milliseconds.
const BIN: f64 = 5.0;
const NOTED: f64 = 100.0;

/// How long a run lasts at least for its memory to be drawn.
const LONG: Duration = Duration::from_secs(10);

/// Up to how many moments of memory are drawn.
const MOMENTS: usize = 300;

/// All plots that there are figures for.
pub(super) fn all(floor: &Floor, stages: &[Stage]) -> String {
    let series: Vec<_> = stages.iter().flat_map(series).collect();
    let mut out: String = series.iter().map(percentiles).collect();
    if !series.is_empty() {
        out += &against_load(&series);
        out += &stacked(floor, &series);
    }
    for strikes in stages.iter().flat_map(|stage| &stage.strikes) {
        out += &around(strikes);
    }
    for stage in stages.iter().filter(|stage| stage.is_long(LONG) && !stage.after.is_empty()) {
        out += &memory(stage);
    }
    out
}

/// All runs of a group as one.
fn pooled(group: &[Measured]) -> Seen {
    let mut seen = Seen::new();
    group.iter().for_each(|run| seen.add(&run.seen));
    seen
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

fn percentiles(series: &Series<'_>) -> String {
    let line = |(colour, group): (usize, &&Vec<Measured>)| {
        let seen = pooled(group);
        let points = (0..=4 * STEPS).map(|step| f64::from(step) / f64::from(STEPS));
        // What is beyond the last commit is no figure.
        let told = points.filter(|nines| 10_f64.powf(*nines) <= seen.took.len() as f64);
        let points = told.map(|nines| (nines, micros(seen.at(1.0 - 10_f64.powf(-nines)))));
        let label = load(group[0].kind.load);
        Line { label, colour, is_dashed: colour >= 6, points: points.collect() }
    };
    let lines: Vec<_> = series.groups.iter().enumerate().map(line).collect();
    let values = lines.iter().flat_map(|line| line.points.iter().map(|(_, micros)| *micros));
    let up = Axis::micros("latency", values);
    let title = format!("Latency by percentile: {}", series.label);
    plot::lines(&title, "All repetitions together.", &Axis::shares(), &up, &lines)
}

fn against_load(series: &[Series<'_>]) -> String {
    let mut lines = Vec::new();
    for (colour, series) in series.iter().enumerate() {
        for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
            let point = |group: &&Vec<Measured>| {
                let rates = group.iter().map(Measured::rate).sum::<f64>();
                (rates / group.len() as f64, micros(pooled(group).at(share)))
            };
            let points = series.groups.iter().map(point).collect();
            let label = format!("{name}, {}", series.label);
            lines.push(Line { label, colour, is_dashed: share > 0.5, points });
        }
    }
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = points().map(|(rate, _)| *rate).fold(0.0, f64::max);
    let across = Axis::even("commits/s", 0.0, most);
    let up = Axis::micros("latency", points().map(|(_, micros)| *micros));
    plot::lines("Latency against load", "A point for each load, in order.", &across, &up, &lines)
}

fn stacked(floor: &Floor, series: &[Series<'_>]) -> String {
    let row = |series: &Series<'_>| {
        let lowest = series.groups.iter().min_by_key(|group| group[0].kind.load.weight())?;
        let median = micros(pooled(lowest).at(0.5));
        let parts = [micros(floor.sync), micros(2 * floor.round_trip)];
        let rest = (median - parts[0] - parts[1]).max(0.0);
        let label = format!("{}, {}", series.label, load(lowest[0].kind.load));
        Some((label, vec![parts[0], parts[1], rest]))
    };
    let rows: Vec<_> = series.iter().filter_map(row).collect();
    plot::stacks(
        "Where the time of a commit goes: the median at the lowest load",
        "The sync and the two round trips are the floor's, measured without this program; the rest is the median less both.",
        &["one sync", "two round trips", "the rest"],
        &rows,
        &|micros| span(Duration::from_secs_f64(micros / 1e6)),
    )
}

fn around(strikes: &Strikes) -> String {
    let noted = |gap: Duration| gap.as_secs_f64() * 1e3 + NOTED;
    let end = noted(strikes.gap(0.5));
    let mut columns = Vec::new();
    let mut from = -10.0 * BIN;
    while from + BIN <= end {
        let to = from + BIN;
        let seen = strikes.all.iter().filter(|strike| to <= noted(strike.gap));
        let count = |commits: &[i64]| {
            let millis = commits.iter().map(|micros| *micros as f64 / 1e3);
            millis.filter(|at| (from..to).contains(at)).count()
        };
        let mut counts: Vec<_> = seen.map(|strike| count(&strike.commits)).collect();
        counts.sort_unstable();
        if let Some(median) = counts.get(counts.len() / 2) {
            columns.push((from, to, *median as f64));
        }
        from = to;
    }
    let most = columns.iter().map(|(_, _, height)| *height).fold(1.0, f64::max);
    let what = match strikes.blow {
        Blow::Kill => "a kill of the proposer",
        Blow::Pause => "a stop of the proposer",
    };
    let title = format!("Commits around {what}, median of {}", strikes.all.len());
    let note = format!(
        "Commits at the survivors in each {BIN} ms, where every node is offered a proposal a millisecond. The dashed line is the blow."
    );
    let across = Axis::even("ms since the blow", -10.0 * BIN, end);
    let up = Axis::even("commits", 0.0, most);
    plot::columns(&title, &note, &across, &up, &columns)
}

fn memory(stage: &Stage) -> String {
    let every = stage.samples.len().div_ceil(MOMENTS).max(1);
    let samples = || stage.samples.iter().step_by(every);
    let line = |(colour, (at, _)): (usize, &(usize, _))| {
        let held =
            |of: &[(usize, u64)]| of.iter().find(|(it, _)| it == at).map(|(_, bytes)| *bytes);
        let points = samples().filter_map(|sample| {
            Some((sample.at.as_secs_f64(), held(&sample.resident)? as f64 / MIB))
        });
        let label = cluster::name(*at);
        Line { label, colour, is_dashed: colour >= 6, points: points.collect() }
    };
    let lines: Vec<_> = stage.after.iter().enumerate().map(line).collect();
    let points = || lines.iter().flat_map(|line| &line.points);
    let end = points().map(|(at, _)| *at).fold(1.0, f64::max);
    let most = points().map(|(_, held)| *held).fold(1.0, f64::max);
    let start = points().map(|(at, _)| *at).fold(end, f64::min);
    let title = format!("Resident memory of each node: {}", report::stage(stage));
    let across = Axis::even("s since the cluster was there", start, end);
    plot::lines(&title, "While runs go on.", &across, &Axis::even("MiB", 0.0, most), &lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::machine::Memory;
    use crate::cli::bench::run::Sample;
    use crate::cli::bench::strike::Strike;

    #[test]
    fn memory_is_a_line_per_node_over_the_moments_at_which_it_was_seen() {
        let sample = |number: u64| Sample {
            at: Duration::from_secs(number),
            resident: (0..3).map(|at| (at, (10 + number) << 20)).collect(),
        };
        let stage = Stage {
            nodes: 3,
            after: (0..3).map(|at| (at, Memory::default())).collect(),
            samples: (0..1_000).map(sample).collect(),
            ..Stage::default()
        };
        let plot = memory(&stage);
        assert!(plot.contains("<h2>Resident memory of each node: 3 nodes</h2>"), "{plot}");
        let lines: Vec<_> = plot.split("<polyline ").skip(1).collect();
        assert_eq!(lines.len(), 3);
        let moments = lines[0].split_once("/>").unwrap().0.matches(',').count();
        assert!((200..=MOMENTS).contains(&moments), "{moments}");
    }

    #[test]
    fn around_a_blow_the_median_of_each_bin_is_drawn() {
        // Nothing for 20 ms, then one commit each millisecond; in one of three cases far more.
        let strike = |times: usize| {
            let after = (20_000..120_000).step_by(1_000);
            let all = (-50_000..0).step_by(1_000).chain(after);
            let commits = all.flat_map(|at| std::iter::repeat_n(at, times)).collect();
            Strike { gap: Duration::from_millis(20), missed: Duration::ZERO, commits }
        };
        let all = vec![strike(1), strike(1), strike(9)];
        let plot = around(&Strikes { blow: Blow::Kill, all });
        let count = |height: &str| plot.matches(&format!(": {height}</title>")).count();
        // From 50 ms before it to 120 ms after it, 5 ms each.
        assert_eq!((count("5"), count("0"), plot.matches("<rect ").count()), (30, 4, 34), "{plot}");
    }
}
