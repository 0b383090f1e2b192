//! What the operator is told about peers that misbehave: a bounded number of lines, whoever sends how much.
//!
//! One thing, that is who and what, is told at its first occurrence in a while, then at the 10th, the
//! 100th and so on, each time with how many were not told. Strangers choose who they are, so only so
//! many things are told apart; what comes beyond them in the same while counts as one.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long occurrences of one thing are counted before counting starts anew.
const WHILE: Duration = Duration::from_secs(60);

/// Things told apart. Beyond that all of one kind count as one.
const THINGS_MAX: usize = 64;

/// Decides whether a line is worth writing, by what it is about.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    told: Mutex<BTreeMap<Thing, Count>>,
}

/// Whom a line is about, and what; many, if nobody.
type Thing = (Option<String>, &'static str);

/// How often a thing happened lately.
#[derive(Clone, Copy, Debug)]
struct Count {
    since: Instant,
    happened: u64,
    untold: u64,
}

impl Notices {
    /// Whether `what` about `whom` is to be told now; if so, how many times it was not, if any.
    pub(crate) fn admit(
        &self,
        whom: &str,
        what: &'static str,
        now: Instant,
    ) -> Option<Option<u64>> {
        let mut told = self.told.lock().expect("no holder of this lock panics");
        let is_over = |count: &Count| now.saturating_duration_since(count.since) >= WHILE;
        let mut thing = (Some(whom.to_owned()), what);
        if !told.contains_key(&thing) && told.len() >= THINGS_MAX {
            // Those of nobody in particular are as few as the kinds of lines.
            told.retain(|(whom, _), count| whom.is_none() || !is_over(count));
            if told.keys().filter(|(whom, _)| whom.is_some()).count() >= THINGS_MAX {
                thing.0 = None;
            }
        }
        let count = told.entry(thing).or_insert(Count { since: now, happened: 0, untold: 0 });
        if is_over(count) {
            (count.since, count.happened) = (now, 0);
        }
        count.happened += 1;
        if is_power_of_ten(count.happened) {
            let untold = std::mem::take(&mut count.untold);
            return Some((untold > 0).then_some(untold));
        }
        count.untold += 1;
        None
    }
}

fn is_power_of_ten(number: u64) -> bool {
    number.checked_ilog10().is_some_and(|digits| 10_u64.pow(digits) == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_told_at_powers_of_ten_with_what_was_left_out() {
        let notices = Notices::default();
        let start = Instant::now();
        let told: Vec<_> =
            (1..=1_000).filter_map(|nth| Some((nth, notices.admit("a", "x", start)?))).collect();
        assert_eq!(told, [(1, None), (10, Some(8)), (100, Some(89)), (1_000, Some(899))]);
        assert_eq!(notices.admit("a", "y", start), Some(None));
        assert_eq!(notices.admit("b", "x", start), Some(None));
    }

    #[test]
    fn after_a_while_a_thing_is_told_again() {
        let notices = Notices::default();
        let start = Instant::now();
        assert_eq!(notices.admit("a", "x", start), Some(None));
        assert_eq!(notices.admit("a", "x", start + WHILE / 2), None);
        assert_eq!(notices.admit("a", "x", start + WHILE), Some(Some(1)));
        assert_eq!(notices.admit("a", "x", start + WHILE), None);
    }

    #[test]
    fn strangers_without_number_grow_neither_memory_nor_lines() {
        let notices = Notices::default();
        let start = Instant::now();
        let flood =
            |at| (0..100_000).filter_map(|n| notices.admit(&n.to_string(), "x", at)).count();
        // Each of the first in its own name, all others together at 1, 10, … 10,000.
        assert_eq!(flood(start), THINGS_MAX + 5);
        assert_eq!(notices.told.lock().unwrap().len(), THINGS_MAX + 1);
        // The next while is told as the first one was.
        assert_eq!(flood(start + WHILE), THINGS_MAX + 5);
        assert!(notices.told.lock().unwrap().len() <= THINGS_MAX + 1);
    }
}
