//! The clock on the wall, for people who look at frames: nothing is decided by it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970; 0 before.
pub fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
