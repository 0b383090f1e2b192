//! What can repeat is told a few times in a while, then counted.

use std::collections::HashMap;
use std::time::Duration;

use crate::limits;
use crate::types::{NodeId, Time};

/// About how many nodes a line is counted apart. Strangers choose their ids: beyond this many in a while, all
/// further ones count as one.
const SUBJECTS_MAX: usize = limits::MEMBERS_MAX + limits::STRANGERS_MAX;

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
        let mut key = (line, about);
        if about.is_some() && !self.windows.contains_key(&key) && self.is_full(line) {
            let is_over = |window: &Window| now.since(window.since) >= rate.per;
            self.windows
                .retain(|(of, about), window| *of != line || about.is_none() || !is_over(window));
            if self.is_full(line) {
                key.1 = None;
            }
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

    fn is_full(&self, line: &'static str) -> bool {
        let subjects = self.windows.keys().filter(|(of, about)| *of == line && about.is_some());
        subjects.count() >= SUBJECTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_without_number_grow_neither_memory_nor_lines() {
        let mut repeats = Repeats::default();
        let flood = |repeats: &mut Repeats, now| {
            let ids = (0..10_000).map(|n| Some(NodeId::from_u128(n)));
            ids.filter_map(|id| repeats.admit(now, "x", id, CONDITIONS)).count()
        };
        assert_eq!(flood(&mut repeats, Time::ZERO), SUBJECTS_MAX + 1);
        assert_eq!(repeats.windows.len(), SUBJECTS_MAX + 1);
        assert_eq!(flood(&mut repeats, Time::ZERO), 0);
        assert_eq!(repeats.admit(Time::ZERO, "y", None, CONDITIONS), Some(None));
        let later = Time::ZERO + CONDITIONS.per;
        assert_eq!(flood(&mut repeats, later), SUBJECTS_MAX + 1);
        assert!(repeats.windows.len() <= SUBJECTS_MAX + 2);
    }
}
