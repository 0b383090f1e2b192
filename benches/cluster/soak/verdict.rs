//! The rules by which a long run is judged: from samples to pass, fail or too little to say.

use std::fmt;

/// How much resident memory may grow while it is measured, beyond what is expected, in bytes.
pub(super) const GROWTH_BYTES_MAX: f64 = 1024.0 * 1024.0;

/// How far bytes for each entry may move from the first half of a run to its second, as a share.
pub(super) const BYTES_PER_ENTRY_SHARE_MAX: f64 = 0.02;

/// How many times the usual p99 that of the last tenth may be, if the floor below it did not rise as well.
pub(super) const P99_TIMES_MAX: f64 = 2.0;

/// Fewer samples than this say nothing.
const SAMPLES_MIN: usize = 12;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It holds.
    Pass,
    /// It is broken.
    Fail,
    /// The run is too short for it.
    Unjudged,
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::Pass } else { Self::Fail }
    }
}

/// A rule, what it says, and why.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// What was judged.
    pub(super) rule: String,
    /// Whether it holds.
    pub(super) verdict: Verdict,
    /// The figures.
    pub(super) figures: String,
}

impl Finding {
    /// A finding of a rule that is looked up, not computed.
    pub(super) fn new(
        rule: impl Into<String>,
        verdict: impl Into<Verdict>,
        figures: String,
    ) -> Self {
        Self { rule: rule.into(), verdict: verdict.into(), figures }
    }

    fn unjudged(rule: &str, samples: usize) -> Self {
        let figures = format!("{samples} samples after the warm-up, {SAMPLES_MIN} are needed");
        Self::new(rule, Verdict::Unjudged, figures)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Unjudged => "----",
        };
        write!(f, "  {word}  {:34}  {}", self.rule, self.figures)
    }
}

/// The middle one; zero of none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The median of the slopes of all pairs of points (Theil and Sen): up to a quarter of the points may be
/// anything at all without moving it far. Zero if no two points differ in `x`.
pub(super) fn slope(points: &[(f64, f64)]) -> f64 {
    let pairs = points.iter().enumerate().flat_map(|(at, left)| {
        points[at + 1..]
            .iter()
            .filter(|right| right.0 != left.0)
            .map(move |right| (right.1 - left.1) / (right.0 - left.0))
    });
    median(pairs)
}

/// One look at a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Hours since the run began.
    pub(super) hours: f64,
    /// Resident memory in bytes.
    pub(super) resident: f64,
    /// Entries committed.
    pub(super) entries: f64,
    /// The most descriptors that the process had so far.
    pub(super) crowd: f64,
}

/// Bytes that stay with a process for each connection of the largest crowd that it ever had: its allocator gives
/// nothing back. A crowd comes where a busy machine makes clients give up and come again.
const CROWD_BYTES: f64 = 32.0 * 1024.0;

/// Memory grows by no more than `GROWTH_BYTES_MAX` beyond `expected` bytes for each entry, and what larger crowds leave.
pub(super) fn memory(rule: &str, looks: &[Look], expected: f64) -> Finding {
    let (Some(first), Some(last)) = (looks.first(), looks.last()) else {
        return Finding::unjudged(rule, 0);
    };
    if looks.len() < SAMPLES_MIN {
        return Finding::unjudged(rule, looks.len());
    }
    let by_time: Vec<_> = looks.iter().map(|look| (look.hours, look.resident)).collect();
    let by_entry: Vec<_> = looks.iter().map(|look| (look.entries, look.resident)).collect();
    let (per_hour, per_entry) = (slope(&by_time), slope(&by_entry));
    let grown = per_hour * (last.hours - first.hours);
    let crowd = CROWD_BYTES * (last.crowd - first.crowd);
    let explained = expected * (last.entries - first.entries) + crowd;
    let figures = format!(
        "median {:.1} MiB, slope {:+.2} MiB/h, {per_entry:+.3} bytes/entry; over {:.2} h {:+.2} MiB, expected {:+.2} ({:+.2} of it for crowds), bound {:.2} MiB",
        mib(median(looks.iter().map(|look| look.resident))),
        mib(per_hour),
        last.hours - first.hours,
        mib(grown),
        mib(explained),
        mib(crowd),
        mib(explained + GROWTH_BYTES_MAX),
    );
    Finding::new(rule, grown <= explained + GROWTH_BYTES_MAX, figures)
}

fn mib(bytes: f64) -> f64 {
    bytes / (1024.0 * 1024.0)
}

/// A count after the load is what it was before the load.
pub(super) fn returned(rule: &str, before: usize, after: usize) -> Finding {
    Finding::new(rule, before == after, format!("{before} before the load, {after} after it"))
}

/// A count is never above what it was at the start of what is measured.
pub(super) fn flat(rule: &str, baseline: usize, counts: &[usize]) -> Finding {
    if counts.len() < SAMPLES_MIN {
        return Finding::unjudged(rule, counts.len());
    }
    let most = counts.iter().copied().max().unwrap_or_default();
    Finding::new(rule, most <= baseline, format!("baseline {baseline}, most {most}"))
}

/// Bytes for each entry are the same in both halves. Points are entries and bytes.
pub(super) fn bytes_per_entry(rule: &str, points: &[(f64, f64)]) -> Finding {
    if points.len() < SAMPLES_MIN {
        return Finding::unjudged(rule, points.len());
    }
    let (first, middle, last) = (points[0], points[points.len() / 2], points[points.len() - 1]);
    let rate = |from: (f64, f64), to: (f64, f64)| (to.1 - from.1) / (to.0 - from.0);
    let (early, late) = (rate(first, middle), rate(middle, last));
    let moved = (late - early) / early;
    let figures = format!(
        "first half {early:.1}, second half {late:.1} bytes/entry: {:+.2} %, bound {:.0} %",
        100.0 * moved,
        100.0 * BYTES_PER_ENTRY_SHARE_MAX
    );
    Finding::new(rule, moved.abs() <= BYTES_PER_ENTRY_SHARE_MAX, figures)
}

/// A window of the load in which nothing was broken on purpose. Seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    /// p99 of the commits.
    pub(super) commit: f64,
    /// p99 of the floor in the same window.
    pub(super) floor: f64,
}

/// The p99 of the last tenth is at most so many times the usual one, or the floor rose as well.
pub(super) fn tail_latency(rule: &str, windows: &[Quiet]) -> Finding {
    if windows.len() < SAMPLES_MIN {
        return Finding::unjudged(rule, windows.len());
    }
    let last = &windows[windows.len() - windows.len().div_ceil(10)..];
    let (usual_p99, last_p99) =
        (median(windows.iter().map(|w| w.commit)), median(last.iter().map(|w| w.commit)));
    let ratio = |windows: &[Quiet]| median(windows.iter().map(|w| w.commit / w.floor));
    let (usual_ratio, last_ratio) = (ratio(windows), ratio(last));
    let holds = last_p99 <= P99_TIMES_MAX * usual_p99 || last_ratio <= P99_TIMES_MAX * usual_ratio;
    let figures = format!(
        "median window {:.2} ms ({usual_ratio:.2} times its floor), last tenth {:.2} ms ({last_ratio:.2} times), bound {P99_TIMES_MAX} times either",
        1e3 * usual_p99,
        1e3 * last_p99,
    );
    Finding::new(rule, holds, figures)
}
