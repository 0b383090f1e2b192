//! The load: proposals, closed loop or open, and how long each took.
//!
//! A proposal's id carries when it was due, so nothing is remembered of those in flight, and a proposal that
//! leaves late because the node reads no faster is timed from when it should have left.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep_until, timeout};

use crate::admin::api::{ProposeOutcome, ProposeRequest};
use crate::admin::frames::{Answer, Answers, Submitter};
use crate::admin::{Client, Kept};
use crate::consensus::Proposal;
use crate::types::{ProposalId, Value};

/// How long an answer may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a client waits after an answer that was no commit.
const PAUSE: Duration = Duration::from_millis(1);

/// How far apart the sendings of an open loop lie at least: what is due together goes together.
const BEAT: Duration = Duration::from_micros(500);

/// The latencies that are told apart: from a microsecond to a minute, to three digits.
const LATENCY_MAX: u64 = 60_000_000;
const DIGITS: u8 = 3;

/// One run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) load: Load,
    pub(super) value_bytes: usize,
    /// When it began.
    pub(super) start: Instant,
    /// From when on answers count.
    pub(super) begin: Instant,
    /// From when on they do not any more.
    pub(super) end: Instant,
}

/// How much is proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// So many are in flight.
    Closed(usize),
    /// So many are due in a second.
    Open(u32),
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Seen {
    /// Commits within the measured time, in microseconds.
    pub(super) took: Histogram<u64>,
    /// Answers that were no commits.
    pub(super) others: u64,
}

impl Seen {
    pub(super) fn new() -> Self {
        let took = Histogram::new_with_bounds(1, LATENCY_MAX, DIGITS).expect("sound bounds");
        Self { took, others: 0 }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.took.add(&other.took).expect("the same bounds");
        self.others += other.others;
    }

    /// What was due `due` after the start was answered `now`.
    fn answered(&mut self, run: &Run, due: Duration, now: Instant, is_commit: bool) {
        if !is_commit {
            self.others += 1;
        } else if now >= run.begin && now < run.end {
            let took = now.saturating_duration_since(run.start + due).as_micros();
            self.took.saturating_record(u64::try_from(took).unwrap_or(LATENCY_MAX).max(1));
        }
    }
}

/// Makes proposals whose ids no other has: which source, which number, and when each is due.
struct Source {
    tag: u128,
    number: u32,
    value_bytes: usize,
}

impl Source {
    fn new(value_bytes: usize) -> Self {
        // The upper 48 bits of a random id: 48 bits of time and 32 of number follow.
        let tag = uuid::Uuid::new_v4().as_u128() & !((1 << 80) - 1);
        Self { tag, number: 0, value_bytes }
    }

    fn next(&mut self, due: Duration) -> Proposal {
        let micros = due.as_micros() & ((1 << 48) - 1);
        let id = self.tag | micros << 32 | u128::from(self.number);
        let text = format!("{:0width$x}", self.number, width = self.value_bytes);
        self.number = self.number.wrapping_add(1);
        let value = Value::new(text).expect("the size is within the limits");
        Proposal { id: ProposalId::from_u128(id), value, until: None }
    }
}

/// When the proposal with this id was due.
fn due_of(id: ProposalId) -> Duration {
    let bits = u128::from_be_bytes(*id.as_bytes());
    let micros = bits >> 32 & ((1 << 48) - 1);
    Duration::from_micros(u64::try_from(micros).expect("48 bits"))
}

/// Runs one connection of frames with its share of the load: `share` of all that are in flight, or of the rate.
pub(super) async fn by_frames(client: Client, run: Run, share: f64) -> Result<Seen, String> {
    let frames = client.frames().await.map_err(|error| error.to_string())?;
    let (submitter, answers) = frames.into_split();
    match run.load {
        Load::Closed(_) => closed(submitter, answers, run, share as usize).await,
        Load::Open(_) => {
            let submitting = tokio::spawn(due(submitter, run, share));
            let seen = told(answers, run).await;
            submitting.await.map_err(|error| error.to_string())??;
            seen
        }
    }
}

async fn closed(
    mut submitter: Submitter,
    mut answers: Answers,
    run: Run,
    in_flight: usize,
) -> Result<Seen, String> {
    let mut source = Source::new(run.value_bytes);
    let mut seen = Seen::new();
    let mut wanted = in_flight;
    loop {
        let due = run.start.elapsed();
        let proposals = (0..wanted).map(|_| source.next(due)).collect();
        submitter.submit(proposals).await.map_err(|error| error.to_string())?;
        let Some(answered) = next(&mut answers).await? else { return Ok(seen) };
        let now = Instant::now();
        if now >= run.end {
            return Ok(seen);
        }
        wanted = answered.len();
        let mut commits = 0;
        for answer in answered {
            let is_commit = matches!(answer, Answer::Committed { .. });
            commits += usize::from(is_commit);
            seen.answered(&run, due_of(answer.id()), now, is_commit);
        }
        if commits == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Submits what is due, until the end.
async fn due(mut submitter: Submitter, run: Run, rate: f64) -> Result<(), String> {
    let mut source = Source::new(run.value_bytes);
    let mut sent = 0_u64;
    let at = |number: u64| Duration::from_secs_f64(number as f64 / rate);
    loop {
        let now = run.start.elapsed();
        let mut proposals = Vec::new();
        while at(sent) <= now {
            proposals.push(source.next(at(sent)));
            sent += 1;
        }
        if !proposals.is_empty() {
            for some in proposals.chunks(256) {
                submitter.submit(some.to_vec()).await.map_err(|error| error.to_string())?;
            }
        }
        let next = run.start + at(sent).max(now + BEAT);
        if next >= run.end {
            return submitter.finish().await.map_err(|error| error.to_string());
        }
        sleep_until(next).await;
    }
}

/// Takes answers, until the node has given the last.
async fn told(mut answers: Answers, run: Run) -> Result<Seen, String> {
    let mut seen = Seen::new();
    while let Some(answered) = next(&mut answers).await? {
        let now = Instant::now();
        for answer in answered {
            let is_commit = matches!(answer, Answer::Committed { .. });
            seen.answered(&run, due_of(answer.id()), now, is_commit);
        }
    }
    Ok(seen)
}

async fn next(answers: &mut Answers) -> Result<Option<Vec<Answer>>, String> {
    match timeout(PATIENCE, answers.next()).await {
        Ok(answered) => answered.map_err(|error| error.to_string()),
        Err(_) => Err(format!("nothing was answered for {PATIENCE:?}")),
    }
}

/// Runs one kept connection: one proposal after the other.
pub(super) async fn by_http(client: Client, run: Run) -> Result<Seen, String> {
    let mut kept: Kept = client.kept().await.map_err(|error| error.to_string())?;
    let mut source = Source::new(run.value_bytes);
    let mut seen = Seen::new();
    loop {
        let due = run.start.elapsed();
        let Proposal { id, value, until } = source.next(due);
        let timeout = Some(format!("{}s", PATIENCE.as_secs()));
        let value = value.as_str().to_owned();
        let request = ProposeRequest { value, request_id: Some(id), wait: true, timeout, until };
        let response = kept.propose(&request).await.map_err(|error| error.to_string())?;
        let now = Instant::now();
        if now >= run.end {
            return Ok(seen);
        }
        let is_commit = matches!(response.outcome, ProposeOutcome::Committed { .. });
        seen.answered(&run, due, now, is_commit);
        if !is_commit {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_when_its_proposal_was_due() {
        let mut source = Source::new(16);
        for due in [0, 1, 999_999, 86_400_000_000].map(Duration::from_micros) {
            let proposal = source.next(due);
            assert_eq!(due_of(proposal.id), due);
            assert_eq!(proposal.value.as_str().len(), 16);
        }
        assert_ne!(source.next(Duration::ZERO).id, source.next(Duration::ZERO).id);
        assert_ne!(Source::new(1).next(Duration::ZERO).id, Source::new(1).next(Duration::ZERO).id);
    }

    #[test]
    fn only_what_is_committed_in_the_measured_time_is_timed_from_when_it_was_due() {
        let start = Instant::now();
        let (begin, end) = (start + Duration::from_secs(1), start + Duration::from_secs(2));
        let run = Run { load: Load::Open(1), value_bytes: 1, start, begin, end };
        let mut seen = Seen::new();
        let due = Duration::from_millis(900);
        for (after, is_commit) in [(950, true), (1_400, true), (1_500, false), (2_000, true)] {
            seen.answered(&run, due, start + Duration::from_millis(after), is_commit);
        }
        assert_eq!((seen.took.len(), seen.others), (1, 1));
        assert!(seen.took.max().abs_diff(500_000) < 1_000, "{}", seen.took.max());
    }
}
