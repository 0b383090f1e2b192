//! Chance from a seed: the schedule of faults and what every client asks are drawn from it.

use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// SplitMix64, a stream of numbers that its seed determines.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The stream of one part of the whole: a cluster, a client.
    pub(crate) fn of(seed: u64, part: u64) -> Self {
        let mut dice = Self(seed ^ part.wrapping_mul(0xd1b5_4a32_d192_ed03));
        dice.bits();
        dice
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.bits()) * bound as u128;
        usize::try_from(wide >> 64).expect("it is below a usize")
    }

    pub(crate) fn span(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let width = range.end().saturating_sub(*range.start());
        range.start().saturating_add(width.mul_f64(self.below(1_001) as f64 / 1e3))
    }

    /// True `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The seed of this run: `QUORATE_TEST_SEED`, or another one each time.
pub(crate) fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match std::env::var("QUORATE_TEST_SEED") {
        Ok(text) => text.parse().expect("QUORATE_TEST_SEED is a number"),
        Err(_) => {
            let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock that stands after 1970");
            Dice::new(now.as_nanos() as u64).bits() % 1_000_000
        }
    })
}
