//! The load: proposals, closed loop or open, over frames or HTTP.
//!
//! Whatever a node does, this process holds a bounded number of proposals: at most 1,024 of a connection are
//! undecided, as many as the node's door takes. What is due beyond them is a number, not a queue.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::admin::api::ProposeRequest;
use crate::admin::frames::{Answer, Answers, Submitter};
use crate::admin::{Client, Kept};
use crate::cli::bench::seen::{Became, Run, Seen};
use crate::cli::bench::source::{Source, due_of};
use crate::consensus::Proposal;

/// How many proposals a node lets one connection have undecided; beyond it, it reads no further.
pub(super) const UNDECIDED_MAX: usize = 1_024;

/// How long an answer may take before the run is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a client waits after an answer that was no commit.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

/// How far apart the sendings of an open loop lie at least: what is due together goes together.
const BEAT: Duration = Duration::from_micros(500);

/// The bytes of all values in flight while a log is filled: well below what nodes let wait.
const FILLING_BYTES: usize = 4 * 1024 * 1024;

/// How much is proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// So many are in flight.
    Closed(usize),
    /// So many are due in a second.
    Open(u32),
}

impl Load {
    /// What is less is lower.
    pub(super) fn weight(self) -> u64 {
        match self {
            Self::Closed(count) => count as u64,
            Self::Open(rate) => rate.into(),
        }
    }
}

/// Runs one connection of frames with `in_flight` proposals under way, each followed by the next.
pub(super) async fn closed(
    client: Client,
    run: Run,
    value_bytes: usize,
    in_flight: usize,
) -> Result<Seen, String> {
    let (mut submitter, mut answers) = connect(&client).await?;
    let mut source = Source::new(value_bytes);
    let mut seen = Seen::new();
    let mut wanted = in_flight;
    loop {
        submit(&mut submitter, &mut source, run.start.elapsed(), wanted).await?;
        let Some(answered) = next(&mut answers).await? else { return Err(ENDED.to_owned()) };
        let now = Instant::now();
        if now >= run.end {
            return Ok(seen);
        }
        wanted = answered.len();
        let before = seen.committed;
        for answer in &answered {
            seen.answered(&run, due_of(answer.id()), now, answer.into());
        }
        if seen.committed == before {
            sleep(PAUSE).await;
        }
    }
}

/// Runs one connection of frames on which `rate` proposals are due in a second.
pub(super) async fn open(
    client: Client,
    run: Run,
    value_bytes: usize,
    rate: f64,
) -> Result<Seen, String> {
    let (mut submitter, mut answers) = connect(&client).await?;
    let mut source = Source::new(value_bytes);
    let (undecided, freed) = (AtomicUsize::new(0), Notify::new());
    let at = |number: u64| Duration::from_secs_f64(number as f64 / rate);
    let due_by = |passed: Duration| (passed.as_secs_f64() * rate) as u64 + 1;
    let all = due_by((run.end - run.start).saturating_sub(Duration::from_nanos(1)));
    let submitting = async {
        let mut sent = 0;
        loop {
            let now = run.start.elapsed();
            let room = UNDECIDED_MAX - undecided.load(Ordering::Relaxed);
            let ready = due_by(now).min(all).saturating_sub(sent);
            let mut count = usize::try_from(ready).unwrap_or(usize::MAX).min(room);
            while count > 0 {
                let some = count.min(source.together());
                let proposals = (sent..).take(some).map(|number| source.next(at(number)));
                let proposals = proposals.collect();
                undecided.fetch_add(some, Ordering::Relaxed);
                submitter.submit(proposals).await.map_err(|error| error.to_string())?;
                sent += some as u64;
                count -= some;
            }
            if sent == all || run.start + now >= run.end {
                break;
            }
            if room == 0 {
                // Where no place comes free any more, the end of the run ends the waiting.
                let _ = timeout_at(run.end, freed.notified()).await;
            } else if due_by(run.start.elapsed()) <= sent {
                sleep_until((run.start + at(sent).max(now + BEAT)).min(run.end)).await;
            }
        }
        submitter.finish().await.map_err(|error| error.to_string())?;
        Ok(all - sent)
    };
    let answering = async {
        let mut seen = Seen::new();
        loop {
            let answered = match timeout(PATIENCE, answers.next()).await {
                Ok(answered) => answered.map_err(|error| error.to_string())?,
                Err(_) if undecided.load(Ordering::Relaxed) == 0 => continue,
                Err(_) => return Err(silent()),
            };
            let Some(answered) = answered else {
                // What the node took and did not decide before it ended the connection may still commit.
                seen.unknown += undecided.load(Ordering::Relaxed) as u64;
                return Ok(seen);
            };
            let now = Instant::now();
            for answer in &answered {
                seen.answered(&run, due_of(answer.id()), now, answer.into());
            }
            undecided.fetch_sub(answered.len(), Ordering::Relaxed);
            freed.notify_one();
        }
    };
    let (not_taken, mut seen) = tokio::try_join!(submitting, answering)?;
    seen.not_taken = not_taken;
    Ok(seen)
}

/// Runs one kept connection of HTTP: one proposal after the other.
pub(super) async fn by_http(client: Client, run: Run, value_bytes: usize) -> Result<Seen, String> {
    let mut kept: Kept = client.kept().await.map_err(|error| error.to_string())?;
    let mut source = Source::new(value_bytes);
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
        let became = Became::from(&response.outcome);
        seen.answered(&run, due, now, became);
        if became != Became::Committed {
            sleep(PAUSE).await;
        }
    }
}

/// Commits `count` values through one of `connections` connections, as fast as the node takes them.
pub(super) async fn fill(
    client: Client,
    value_bytes: usize,
    count: u64,
    connections: usize,
) -> Result<(), String> {
    let (mut submitter, mut answers) = connect(&client).await?;
    let mut source = Source::new(value_bytes);
    let in_flight = (FILLING_BYTES / connections / value_bytes).clamp(1, UNDECIDED_MAX) as u64;
    let (mut committed, mut under_way) = (0, 0);
    while committed < count {
        let wanted = (count - committed).min(in_flight) - under_way;
        let wanted = usize::try_from(wanted).expect("at most as many as are undecided");
        submit(&mut submitter, &mut source, Duration::ZERO, wanted).await?;
        under_way += wanted as u64;
        let Some(answered) = next(&mut answers).await? else { return Err(ENDED.to_owned()) };
        under_way -= answered.len() as u64;
        let before = committed;
        let commits = answered.iter().filter(|answer| Became::from(*answer) == Became::Committed);
        committed += commits.count() as u64;
        if committed == before {
            sleep(PAUSE).await;
        }
    }
    Ok(())
}

const ENDED: &str = "a node ended the connection";

fn silent() -> String {
    format!("nothing was answered for {PATIENCE:?}")
}

pub(super) async fn connect(client: &Client) -> Result<(Submitter, Answers), String> {
    let frames = client.frames().await.map_err(|error| error.to_string())?;
    Ok(frames.into_split())
}

async fn submit(
    submitter: &mut Submitter,
    source: &mut Source,
    due: Duration,
    count: usize,
) -> Result<(), String> {
    let mut left = count;
    while left > 0 {
        let some = left.min(source.together());
        let proposals = (0..some).map(|_| source.next(due)).collect();
        submitter.submit(proposals).await.map_err(|error| error.to_string())?;
        left -= some;
    }
    Ok(())
}

/// The answers of the next frame, none at the end of the connection.
pub(super) async fn next(answers: &mut Answers) -> Result<Option<Vec<Answer>>, String> {
    match timeout(PATIENCE, answers.next()).await {
        Ok(answered) => answered.map_err(|error| error.to_string()),
        Err(_) => Err(silent()),
    }
}
