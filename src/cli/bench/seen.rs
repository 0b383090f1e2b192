//! What clients saw: how long commits took, and what else became of proposals.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::admin::api::ProposeOutcome;
use crate::admin::frames::Answer;
use crate::runtime::Rejection;

/// The latencies that are told apart: from a microsecond to a minute, to three digits.
const LATENCY_MAX: u64 = 60_000_000;
const DIGITS: u8 = 3;

/// The times of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// When it began.
    pub(super) start: Instant,
    /// From when on answers count.
    pub(super) begin: Instant,
    /// From when on they do not any more, and nothing is proposed.
    pub(super) end: Instant,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    Committed,
    /// The node had too many that wait: surely not committed.
    Busy,
    /// Surely not committed for another reason.
    Rejected,
    /// It may still commit.
    Unknown,
}

impl Became {
    fn rejected(why: &str) -> Self {
        if why == Rejection::Busy.to_string() { Self::Busy } else { Self::Rejected }
    }
}

impl From<&Answer> for Became {
    fn from(answer: &Answer) -> Self {
        match answer {
            Answer::Committed { .. } | Answer::Duplicate { .. } => Self::Committed,
            Answer::Rejected { why, .. } => Self::rejected(why),
            Answer::Unknown { .. } => Self::Unknown,
        }
    }
}

impl From<&ProposeOutcome> for Became {
    fn from(outcome: &ProposeOutcome) -> Self {
        match outcome {
            ProposeOutcome::Committed { .. } | ProposeOutcome::Duplicate { .. } => Self::Committed,
            ProposeOutcome::Rejected { why } => Self::rejected(why),
            ProposeOutcome::Unknown | ProposeOutcome::Pending => Self::Unknown,
        }
    }
}

/// What was seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Commits within the measured time, in microseconds.
    pub(super) took: Histogram<u64>,
    /// Answers from the first to the last, warm-up and what came late included.
    pub(super) committed: u64,
    pub(super) busy: u64,
    pub(super) rejected: u64,
    pub(super) unknown: u64,
    /// What was due and never left: no place among the undecided came free for it.
    pub(super) not_taken: u64,
}

impl Seen {
    pub(super) fn new() -> Self {
        let took = Histogram::new_with_bounds(1, LATENCY_MAX, DIGITS).expect("sound bounds");
        Self { took, committed: 0, busy: 0, rejected: 0, unknown: 0, not_taken: 0 }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.took.add(&other.took).expect("the same bounds");
        self.committed += other.committed;
        self.busy += other.busy;
        self.rejected += other.rejected;
        self.unknown += other.unknown;
        self.not_taken += other.not_taken;
    }

    /// What was due `due` after the start became this `now`.
    pub(super) fn answered(&mut self, run: &Run, due: Duration, now: Instant, became: Became) {
        match became {
            Became::Committed => self.committed += 1,
            Became::Busy => self.busy += 1,
            Became::Rejected => self.rejected += 1,
            Became::Unknown => self.unknown += 1,
        }
        if became == Became::Committed && now >= run.begin && now < run.end {
            let took = now.saturating_duration_since(run.start + due).as_micros();
            self.took.saturating_record(u64::try_from(took).unwrap_or(LATENCY_MAX).max(1));
        }
    }

    /// All that was due.
    pub(super) fn due(&self) -> u64 {
        self.committed + self.no_commits()
    }

    /// All that was due and is no commit.
    pub(super) fn no_commits(&self) -> u64 {
        self.busy + self.rejected + self.unknown + self.not_taken
    }

    /// The latency that such a share of the commits did not exceed.
    pub(super) fn at(&self, share: f64) -> Duration {
        Duration::from_micros(self.took.value_at_quantile(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_committed_in_the_measured_time_is_timed_from_when_it_was_due() {
        let start = Instant::now();
        let (begin, end) = (start + Duration::from_secs(1), start + Duration::from_secs(2));
        let run = Run { start, begin, end };
        let mut seen = Seen::new();
        let due = Duration::from_millis(900);
        for (after, became) in [
            (950, Became::Committed),
            (1_400, Became::Committed),
            (1_500, Became::Busy),
            (2_000, Became::Committed),
        ] {
            seen.answered(&run, due, start + Duration::from_millis(after), became);
        }
        assert_eq!((seen.took.len(), seen.committed, seen.busy, seen.due()), (1, 3, 1, 4));
        assert!(seen.took.max().abs_diff(500_000) < 1_000, "{}", seen.took.max());
    }

    #[test]
    fn busy_is_told_from_other_rejections() {
        assert_eq!(Became::rejected(&Rejection::Busy.to_string()), Became::Busy);
        assert_eq!(Became::rejected(&Rejection::NotFormed.to_string()), Became::Rejected);
    }
}
