//! What can repeat is told a few times in a while, then counted.

use std::collections::HashMap;
use std::time::Duration;

use crate::types::{NodeId, Time};

/// How many kinds of lines, times peers, are counted apart. Beyond it counting starts anew.
const WINDOWS_MAX: usize = 1_024;

/// How often one line may come in a while.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    pub(super) lines: u32,
    pub(super) per: Duration,
}

/// For changes of state.
pub(super) const CHANGES: Rate = Rate { lines: 10, per: Duration::from_secs(10) };

/// For conditions that are found anew all the time.
pub(super) const CONDITIONS: Rate = Rate { lines: 1, per: Duration::from_secs(30) };

/// Counts how often a line was told lately.
struct Window {
    since: Time,
    told: u32,
    suppressed: u64,
}

/// How often each line was told lately, by what it is and whom it is about.
#[derive(Default)]
pub(super) struct Repeats {
    windows: HashMap<(&'static str, Option<NodeId>), Window>,
}

impl Repeats {
    /// Whether a line may be told now; if so, how many were not told before it, if any.
    pub(super) fn admit(
        &mut self,
        now: Time,
        line: &'static str,
        about: Option<NodeId>,
        rate: Rate,
    ) -> Option<Option<u64>> {
        let key = (line, about);
        if self.windows.len() >= WINDOWS_MAX && !self.windows.contains_key(&key) {
            self.windows.clear();
        }
        let window =
            self.windows.entry(key).or_insert(Window { since: now, told: 0, suppressed: 0 });
        if now.since(window.since) >= rate.per {
            window.since = now;
            window.told = 0;
        }
        if window.told == rate.lines {
            window.suppressed += 1;
            return None;
        }
        window.told += 1;
        let suppressed = std::mem::take(&mut window.suppressed);
        Some((suppressed > 0).then_some(suppressed))
    }
}
