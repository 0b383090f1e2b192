//! Virtual time: one for the world, one per process, running a little fast or slow.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use crate::types::Time;

/// A moment of the simulated world, counted in nanoseconds from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The beginning of the world.
    pub const ZERO: Self = Self(0);

    /// Behind every run.
    pub const END: Self = Self(u64::MAX);

    /// How long after the beginning.
    pub fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(super) fn nanos(self) -> u64 {
        self.0
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0 / 1_000;
        write!(f, "{}.{:03}ms", micros / 1_000, micros % 1_000)
    }
}

/// The monotonic clock of one process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Since when it runs at this rate, and what it showed then.
    since: Moment,
    shown: Duration,
    /// How many millionths faster than the world it runs; negative if slower.
    drift_ppm: i32,
}

impl Clock {
    pub(super) fn new(started: Moment, drift_ppm: i32) -> Self {
        Self::from(started, Duration::ZERO, drift_ppm)
    }

    fn from(since: Moment, shown: Duration, drift_ppm: i32) -> Self {
        assert!(drift_ppm.abs() < 1_000_000, "a clock runs forward");
        Self { since, shown, drift_ppm }
    }

    /// What the process reads at `now`.
    pub(super) fn read(self, now: Moment) -> Time {
        let elapsed = i128::from(now.0.saturating_sub(self.since.0));
        let gone = elapsed + elapsed * i128::from(self.drift_ppm) / 1_000_000;
        let gone = Duration::from_nanos(u64::try_from(gone).unwrap_or(u64::MAX));
        Time::from_start(self.shown + gone)
    }

    /// The first moment at which the process reads at least `time`.
    pub(super) fn when(self, time: Time) -> Moment {
        let gone = time.since_start().saturating_sub(self.shown).as_nanos();
        let rate = u128::try_from(1_000_000 + i64::from(self.drift_ppm)).expect("checked above");
        let elapsed = (gone.saturating_mul(1_000_000)).div_ceil(rate);
        Moment(self.since.0.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX)))
    }

    /// The same clock, at another rate from `now` on.
    pub(super) fn at_rate(self, now: Moment, drift_ppm: i32) -> Self {
        Self::from(now, self.read(now).since_start(), drift_ppm)
    }

    /// The same clock, after it stood still from `from` until `now`, as that of a suspended machine.
    pub(super) fn stood_still(self, from: Moment, now: Moment) -> Self {
        Self::from(now, self.read(from).since_start(), self.drift_ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_reads_what_was_waited_for() {
        for drift_ppm in [-400_000, -77, 0, 13, 250_000] {
            let clock = Clock::new(Moment(12_345), drift_ppm);
            for nanos in [0, 1, 999, 1_000_003, 86_400_000_000_000] {
                let time = Time::from_start(Duration::from_nanos(nanos));
                let when = clock.when(time);
                assert!(clock.read(when) >= time, "{drift_ppm} {nanos}");
                assert!(clock.read(when).since(time) <= Duration::from_nanos(2));
            }
        }
    }

    #[test]
    fn a_clock_goes_on_from_what_it_showed() {
        let at = |millis| Moment::ZERO + Duration::from_millis(millis);
        let clock = Clock::new(at(0), 0).stood_still(at(10), at(30)).at_rate(at(40), 500_000);
        assert_eq!(clock.read(at(40)), Time::from_start(Duration::from_millis(20)));
        assert_eq!(clock.read(at(50)), Time::from_start(Duration::from_millis(35)));
        assert_eq!(clock.when(Time::from_start(Duration::from_millis(35))), at(50));
    }
}
