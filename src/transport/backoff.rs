//! When to dial again.
//!
//! The first dial is immediate, and so is the one after a link broke. After a first refusal one more
//! follows at once, so that a process that is gone is known to be gone (refused twice) within
//! milliseconds; a refusal may also be a restart caught between its close and its listen. A process that
//! is being killed may still accept and then cut the connection: that, too, is looked at again at once,
//! a few times.
//! Then waits are drawn evenly from a range that doubles: full jitter keeps nodes that lost
//! the same peer from dialling in step.

use std::time::Duration;

/// The wait between the first refusal and the dial that confirms it.
pub(crate) const CONFIRM_AFTER: Duration = Duration::from_millis(1);

/// How many dials in a row may follow a cut soon: the waits double from [`CONFIRM_AFTER`], 63 ms in all,
/// for a loaded machine takes its time to tear a process down.
const CUTS_MAX: u32 = 6;

/// How a dial came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nobody listens there.
    Refused,
    /// Connected, and cut before a hello.
    Cut,
    /// Anything else, a link that ended included.
    Otherwise,
}

/// The waits between dials of one address.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    /// Dials in a row that came to nothing.
    failures: u32,
    refusals: u32,
    seed: u64,
}

impl Backoff {
    /// Waits between `min` and `max`; `seed` should differ between addresses and nodes.
    pub(crate) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self { min, max: max.max(min), failures: 0, refusals: 0, seed }
    }

    /// The wait before the next dial, given how the last one ended.
    pub(crate) fn next(&mut self, ended: Ended) -> Duration {
        let failures = self.failures;
        self.failures = failures.saturating_add(1);
        self.refusals += u32::from(failures > 0 && ended == Ended::Refused);
        match ended {
            Ended::Refused | Ended::Cut | Ended::Otherwise if failures == 0 => Duration::ZERO,
            Ended::Refused if self.refusals == 1 && failures <= CUTS_MAX => CONFIRM_AFTER,
            Ended::Cut if failures <= CUTS_MAX => CONFIRM_AFTER * 2_u32.pow(failures - 1),
            Ended::Refused | Ended::Cut | Ended::Otherwise => {
                let doubled = 1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX);
                let ceiling = self.min.saturating_mul(doubled).min(self.max);
                self.min + (ceiling - self.min).mul_f64(self.draw())
            }
        }
    }

    /// A link came up and lasted: the next dial is immediate again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
        self.refusals = 0;
    }

    /// Evenly from 0 to 1 (splitmix64).
    fn draw(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.seed;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(250);
    const MAX: Duration = Duration::from_secs(10);

    #[test]
    fn the_first_dial_is_immediate_and_a_refusal_is_confirmed_at_once() {
        let mut backoff = Backoff::new(MIN, MAX, 1);
        assert_eq!(backoff.next(Ended::Otherwise), Duration::ZERO);
        assert_eq!(backoff.next(Ended::Refused), CONFIRM_AFTER);
        assert!(backoff.next(Ended::Refused) >= MIN);
        backoff.reset();
        assert_eq!(backoff.next(Ended::Refused), Duration::ZERO);
        assert!(backoff.next(Ended::Otherwise) >= MIN, "only a refusal is confirmed");
    }

    #[test]
    fn a_cut_is_looked_at_again_at_once_until_it_is_a_refusal_but_not_for_ever() {
        let mut backoff = Backoff::new(MIN, MAX, 1);
        assert_eq!(backoff.next(Ended::Otherwise), Duration::ZERO);
        assert_eq!(backoff.next(Ended::Cut), CONFIRM_AFTER);
        assert_eq!(backoff.next(Ended::Refused), CONFIRM_AFTER);
        assert!(backoff.next(Ended::Refused) >= MIN);
        backoff.reset();
        let waits: Vec<_> = (0..20).map(|_| backoff.next(Ended::Cut)).collect();
        assert!(waits[CUTS_MAX as usize + 1..].iter().all(|wait| *wait >= MIN));
    }

    #[test]
    fn waits_stay_within_their_bounds_and_use_them() {
        for seed in 0..50 {
            let mut backoff = Backoff::new(MIN, MAX, seed);
            let waits: Vec<_> = (0..100).map(|_| backoff.next(Ended::Otherwise)).skip(1).collect();
            assert!(waits.iter().all(|wait| (MIN..=MAX).contains(wait)));
            assert!(waits[0] <= 2 * MIN, "the first wait is short");
            assert!(waits.iter().any(|wait| *wait > MAX / 2), "the range grows to its end");
            assert!(waits[20..].iter().any(|wait| *wait < MAX / 2), "the jitter is full");
        }
    }

    #[test]
    fn seeds_part_the_nodes() {
        let waits = |seed| {
            let mut backoff = Backoff::new(MIN, MAX, seed);
            (0..5).map(|_| backoff.next(Ended::Otherwise)).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
