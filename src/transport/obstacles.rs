//! With whom no link comes about, and why: for people who wonder.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::transport::words::fit;

/// Things remembered. Beyond that the oldest is forgotten: strangers choose their addresses.
const ENTRIES_MAX: usize = 128;

/// How long what a stranger did is remembered. A listed address is remembered until it is met.
const STRANGERS_AGE_MAX: Duration = Duration::from_secs(60);

/// Why no link comes about with an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The listed address, or where a connection came from.
    pub whom: String,
    /// What happened, for people.
    pub why: String,
}

/// The newest obstacle with each address.
#[derive(Debug, Default)]
pub(crate) struct Obstacles(Mutex<BTreeMap<String, Met>>);

#[derive(Debug)]
struct Met {
    why: String,
    at: Instant,
    is_listed: bool,
}

impl Obstacles {
    /// A dial of this listed address, or a connection from there, led to no link. Why, may be told in the words
    /// of whoever is there.
    pub(crate) fn note(&self, whom: &str, why: &str, is_listed: bool, now: Instant) {
        let mut met = self.0.lock().expect("no holder of this lock panics");
        if met.len() >= ENTRIES_MAX
            && !met.contains_key(whom)
            && let Some(oldest) = met.iter().min_by_key(|(_, met)| (met.is_listed, met.at))
        {
            let oldest = oldest.0.clone();
            met.remove(&oldest);
        }
        met.insert(whom.to_owned(), Met { why: fit(why), at: now, is_listed });
    }

    /// A node was met there, a link leads to it, or the address is listed no more.
    pub(crate) fn overcome(&self, whom: &str) {
        self.0.lock().expect("no holder of this lock panics").remove(whom);
    }

    /// Those that stand, in the order of the addresses.
    pub(crate) fn standing(&self, now: Instant) -> Vec<Obstacle> {
        let mut met = self.0.lock().expect("no holder of this lock panics");
        met.retain(|_, met| {
            met.is_listed || now.saturating_duration_since(met.at) < STRANGERS_AGE_MAX
        });
        let told =
            |(whom, met): (&String, &Met)| Obstacle { whom: whom.clone(), why: met.why.clone() };
        met.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whom(obstacles: &Obstacles, now: Instant) -> Vec<String> {
        obstacles.standing(now).into_iter().map(|obstacle| obstacle.whom).collect()
    }

    #[test]
    fn a_listed_address_is_remembered_until_it_is_met_a_stranger_for_a_while() {
        let obstacles = Obstacles::default();
        let start = Instant::now();
        obstacles.note("a:1", "another cluster", true, start);
        obstacles.note("10.0.0.9", "another protocol", false, start);
        obstacles.note("a:1", "nobody listens there", true, start);
        assert_eq!(obstacles.standing(start)[1].why, "nobody listens there");
        assert_eq!(whom(&obstacles, start), ["10.0.0.9", "a:1"]);
        assert_eq!(whom(&obstacles, start + STRANGERS_AGE_MAX), ["a:1"]);
        obstacles.overcome("a:1");
        assert_eq!(whom(&obstacles, start), Vec::<String>::new());
    }

    #[test]
    fn strangers_push_out_strangers() {
        let obstacles = Obstacles::default();
        let start = Instant::now();
        obstacles.note("a:1", "another cluster", true, start);
        for (n, at) in (0..2 * ENTRIES_MAX).zip(1..) {
            obstacles.note(&n.to_string(), "x", false, start + Duration::from_micros(at));
        }
        let standing = whom(&obstacles, start);
        assert_eq!(standing.len(), ENTRIES_MAX);
        assert!(standing.contains(&"a:1".to_owned()));
    }
}
