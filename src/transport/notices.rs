//! What the operator is told about peers that misbehave: once, then again only after a while.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The shortest time between two lines about one thing.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Things remembered. Beyond that the oldest is forgotten: strangers choose the keys.
const ENTRIES_MAX: usize = 1_024;

/// Decides whether a line is worth writing, by what it is about.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// When each thing was last told, and how often it happened since.
    told: Mutex<BTreeMap<Thing, (Instant, u64)>>,
}

/// Whom a line is about, and what.
type Thing = (String, &'static str);

impl Notices {
    /// Whether `what` about `whom` is to be told now; then with the number of times it was not.
    pub(crate) fn admit(&self, whom: &str, what: &'static str, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().expect("no holder of this lock panics");
        if let Some((last, untold)) = told.get_mut(&(whom.to_owned(), what)) {
            if now.saturating_duration_since(*last) < AGAIN_AFTER {
                *untold += 1;
                return None;
            }
            *last = now;
            return Some(std::mem::take(untold));
        }
        if told.len() >= ENTRIES_MAX
            && let Some(oldest) =
                told.iter().min_by_key(|(_, (last, _))| *last).map(|(key, _)| key.clone())
        {
            told.remove(&oldest);
        }
        told.insert((whom.to_owned(), what), (now, 0));
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_told_once_a_minute_with_what_was_left_out() {
        let notices = Notices::default();
        let start = Instant::now();
        assert_eq!(notices.admit("a", "x", start), Some(0));
        assert_eq!(notices.admit("a", "x", start + AGAIN_AFTER / 2), None);
        assert_eq!(notices.admit("a", "y", start), Some(0));
        assert_eq!(notices.admit("b", "x", start), Some(0));
        assert_eq!(notices.admit("a", "x", start + AGAIN_AFTER), Some(1));
    }

    #[test]
    fn strangers_do_not_grow_it() {
        let notices = Notices::default();
        let start = Instant::now();
        for (n, at) in (0..2 * ENTRIES_MAX).zip(1..) {
            notices.admit(&n.to_string(), "x", start + Duration::from_micros(at));
        }
        assert_eq!(notices.told.lock().unwrap().len(), ENTRIES_MAX);
        let newest = (2 * ENTRIES_MAX - 1).to_string();
        assert_eq!(notices.admit(&newest, "x", start + Duration::from_secs(1)), None);
    }
}
