//! Where a value stands on an axis, and which values are written at it.

use std::time::Duration;

use crate::cli::bench::report::span;

/// About how many values are written at an axis.
const TICKS: f64 = 5.0;

/// One axis of a plot.
pub(super) struct Axis {
    pub(super) title: String,
    from: f64,
    to: f64,
    is_log: bool,
    /// The values that are written, and how.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From `from` to at least `to`, in even steps.
    pub(super) fn even(title: &str, from: f64, to: f64) -> Self {
        let to = if to > from { to } else { from + 1.0 };
        let step = step((to - from) / TICKS);
        let last = (to / step).ceil();
        let mut at = (from / step).floor();
        let from = at * step;
        let mut ticks = Vec::new();
        while at <= last {
            ticks.push((at * step, written(at * step, step)));
            at += 1.0;
        }
        Self { title: title.to_owned(), from, to: last * step, is_log: false, ticks }
    }

    /// Microseconds, each decade as long as the next.
    pub(super) fn micros(title: &str, values: impl Iterator<Item = f64>) -> Self {
        let (least, most) = values
            .filter(|value| *value > 0.0)
            .fold((f64::INFINITY, 1.0_f64), |(least, most), value| {
                (least.min(value), most.max(value))
            });
        let grid = |decade: i32| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade));
        let mut grid: Vec<f64> = (0..9).flat_map(grid).collect();
        let first = grid.iter().rposition(|value| *value <= least).unwrap_or(0);
        let last = grid.iter().position(|value| *value >= most).unwrap_or(grid.len() - 1);
        grid = grid[first.min(last)..=last.max(first + 1)].to_vec();
        let (from, to) = (grid[0], grid[grid.len() - 1]);
        if grid.len() > 7 {
            grid.retain(|value| value.log10().fract() < 1e-9);
        }
        let ticks = grid.into_iter().map(|value| (value, micros(value))).collect();
        Self { title: title.to_owned(), from, to, is_log: true, ticks }
    }

    /// Shares of all that are not above a value, each further nine as long as the one before.
    pub(super) fn shares() -> Self {
        let names = ["0", "90", "99", "99.9", "99.99"];
        let ticks = names.iter().enumerate().map(|(at, name)| (at as f64, (*name).to_owned()));
        let title = "percentile".to_owned();
        Self { title, from: 0.0, to: 4.0, is_log: false, ticks: ticks.collect() }
    }

    /// Where a value stands, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self.is_log {
            true => (value.max(self.from) / self.from).log10() / (self.to / self.from).log10(),
            false => (value - self.from) / (self.to - self.from),
        };
        place.clamp(0.0, 1.0)
    }
}

/// The step of 1, 2 or 5 times a power of ten that is not below `least`.
fn step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * decade);
    steps.into_iter().find(|step| *step >= least).unwrap_or(10.0 * decade)
}

fn written(value: f64, step: f64) -> String {
    match step {
        small if small < 1.0 => format!("{value:.1}"),
        large if large >= 1_000.0 && value > 0.0 => format!("{:.0}k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

/// Microseconds as people write round ones.
fn micros(value: f64) -> String {
    match value {
        small if small < 1e3 => format!("{small:.0} µs"),
        middle if middle < 1e6 => format!("{:.0} ms", middle / 1e3),
        _ => span(Duration::from_secs_f64(value / 1e6)).replace(".0 s", " s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_axis_holds_all_and_is_written_in_round_steps() {
        let axis = Axis::even("ms", -50.0, 737.0);
        let names: Vec<_> = axis.ticks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["-200", "0", "200", "400", "600", "800"]);
        assert_eq!((axis.place(-200.0), axis.place(300.0), axis.place(900.0)), (0.0, 0.5, 1.0));
        assert_eq!(Axis::even("none", 0.0, 0.0).place(0.0), 0.0);
    }

    #[test]
    fn a_decade_is_as_long_as_the_next() {
        let axis = Axis::micros("latency", [150.0, 9_000.0].into_iter());
        assert_eq!(axis.ticks.first().unwrap().1, "100 µs");
        assert_eq!(axis.ticks.last().unwrap().1, "10 ms");
        assert!((axis.place(1_000.0) - 0.5).abs() < 1e-9);
        let one = Axis::micros("one", [100.0].into_iter());
        assert!(one.place(100.0).is_finite() && one.ticks.len() > 1);
    }
}
