//! Durations in order, and how they are shown.

use std::time::Duration;

/// The value that a share of all is not above. Zero of none.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// The middle one of several runs, and how far they lie apart.
pub(crate) fn spread(mut runs: Vec<f64>) -> (f64, f64, f64) {
    runs.sort_unstable_by(f64::total_cmp);
    (runs[runs.len() / 2], runs[0], runs[runs.len() - 1])
}

/// In the unit that people would choose.
pub(crate) fn shown(duration: Duration) -> String {
    match duration.as_nanos() {
        0..100_000 => format!("{:.1} µs", duration.as_secs_f64() * 1e6),
        100_000..1_000_000 => format!("{:.0} µs", duration.as_secs_f64() * 1e6),
        1_000_000..100_000_000 => format!("{:.2} ms", duration.as_secs_f64() * 1e3),
        _ => format!("{:.0} ms", duration.as_secs_f64() * 1e3),
    }
}
