//! How long the log stands still when its proposer is gone.
//!
//! At each node one proposal is started every millisecond, whatever became of those before it. The clock starts
//! just before the blow; it stops at the first commit told by a survivor of a value that was proposed after the
//! proposer was surely gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use crate::admin::api::PeerEvent;
use crate::admin::{Client, Happenings};
use crate::cli::ask::told as told_of;
use crate::cli::bench::cluster::{self, Cluster};
use crate::cli::bench::load::{self, UNDECIDED_MAX};
use crate::cli::bench::seen::Became;
use crate::cli::bench::source::{Source, due_of};
use crate::cli::failure::{Code, Failure};
use crate::peers::NodeStatus;

/// How far apart proposals are at each node.
const BEAT: Duration = Duration::from_millis(1);

/// How long a client waits before it connects again.
const PAUSE: Duration = Duration::from_millis(2);

/// Commits that wait to be looked at, as many as come in some seconds. Who strikes takes them as they come; what
/// finds no room in between is not missed, for the old ones are forgotten before the next blow.
const QUEUE: usize = 16 * 1024;

/// How long all links live before a blow: a node dials in no hurry where a link ended as soon as it began.
const SETTLED: Duration = Duration::from_secs(1);

/// How long the log may stand still before this gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// For how long commits are noted before a blow, and after the log goes on.
const BEFORE: Duration = Duration::from_millis(50);
const AFTER: Duration = Duration::from_millis(100);

/// What happens to the proposer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// `kill -9`. It is started again and catches up before the next.
    Kill,
    /// SIGSTOP, and SIGCONT afterwards.
    Pause,
}

/// What was seen around one blow.
#[derive(Clone, Debug)]
pub(super) struct Strike {
    /// How long no commit came.
    pub(super) gap: Duration,
    /// How long it took until all survivors said that they no longer hear it.
    pub(super) missed: Duration,
    /// When commits came at the survivors, in microseconds from the blow.
    pub(super) commits: Vec<i64>,
}

/// Blows of one kind, as they came.
#[derive(Clone, Debug)]
pub(super) struct Strikes {
    pub(super) blow: Blow,
    pub(super) all: Vec<Strike>,
}

impl Strikes {
    /// How long the log stood still each time, the shortest first.
    pub(super) fn gaps(&self) -> Vec<Duration> {
        self.sorted(|strike| strike.gap)
    }

    /// The time that such a share of the blows did not exceed.
    pub(super) fn gap(&self, share: f64) -> Duration {
        reached(&self.gaps(), share)
    }

    /// The time within which, for such a share of the blows, all survivors missed who was struck.
    pub(super) fn missed(&self, share: f64) -> Duration {
        reached(&self.sorted(|strike| strike.missed), share)
    }

    fn sorted(&self, of: fn(&Strike) -> Duration) -> Vec<Duration> {
        let mut all: Vec<_> = self.all.iter().map(of).collect();
        all.sort_unstable();
        all
    }
}

/// The time that such a share of these, the shortest first, did not exceed.
pub(super) fn reached(sorted: &[Duration], share: f64) -> Duration {
    let at = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// A commit that was told.
struct Commit {
    through: usize,
    proposed: Instant,
    at: Instant,
}

/// Strikes so often.
pub(super) async fn strikes(
    cluster: &mut Cluster,
    blow: Blow,
    times: usize,
    value_bytes: usize,
) -> Result<Strikes, Failure> {
    let (told, mut commits) = mpsc::channel(QUEUE);
    let mut clients = JoinSet::new();
    for (through, client) in cluster.loaded() {
        clients.spawn(propose(through, client, value_bytes, told.clone()));
    }
    let mut all = Vec::with_capacity(times);
    for _ in 0..times {
        cluster.wait_led().await?;
        sleep(SETTLED).await;
        let unknown = || Failure::new(Code::CheckFailed, "no node says that it leads");
        let victim = cluster.wait_led().await?.ok_or_else(unknown)?;
        let mut missing = JoinSet::new();
        for (_, client) in cluster.loaded().into_iter().filter(|(at, _)| *at != victim) {
            let events = client.events(None).await.map_err(told_of(&client))?;
            missing.spawn(missed(events, cluster::name(victim)));
        }
        while commits.try_recv().is_ok() {}
        sleep(BEFORE).await;
        let start = Instant::now();
        match blow {
            Blow::Kill => cluster.kill(victim).await?,
            Blow::Pause => cluster.signal(victim, Signal::STOP)?,
        }
        let gone = Instant::now();
        let seen = watch(&mut commits, victim, start, gone).await;
        let missed = timeout_at(gone + PATIENCE, last(missing)).await;
        match blow {
            Blow::Kill => drop(cluster.bring_back(victim).await?),
            Blow::Pause => {
                cluster.signal(victim, Signal::CONT)?;
                cluster.wait_caught_up(victim).await?;
            }
        }
        let (gap, commits) = seen?;
        let unmissed = || Failure::new(Code::CheckFailed, "not all survivors say that it is gone");
        let missed = missed.ok().flatten().ok_or_else(unmissed)? - start;
        all.push(Strike { gap, missed, commits });
    }
    Ok(Strikes { blow, all })
}

/// When a node said that it no longer hears the one of this name; none if its events end before.
async fn missed(mut events: Happenings, name: String) -> Option<Instant> {
    while let Ok(Some(event)) = events.next().await {
        let peer =
            (event.name == "peer").then(|| PeerEvent::deserialize(event.data).ok()).flatten();
        if peer.is_some_and(|peer| peer.name == name && peer.status != NodeStatus::Online) {
            return Some(Instant::now());
        }
    }
    None
}

/// The last of these moments.
async fn last(mut moments: JoinSet<Option<Instant>>) -> Option<Instant> {
    let mut last = None;
    while let Some(moment) = moments.join_next().await {
        last = last.max(Some(moment.ok().flatten()?));
    }
    last
}

/// Notes commits at survivors until a while after the log goes on.
async fn watch(
    commits: &mut mpsc::Receiver<Commit>,
    victim: usize,
    start: Instant,
    gone: Instant,
) -> Result<(Duration, Vec<i64>), Failure> {
    let (mut gap, mut noted) = (None, Vec::new());
    let mut deadline = gone + PATIENCE;
    while let Ok(Some(commit)) = timeout_at(deadline, commits.recv()).await {
        if commit.through == victim {
            continue;
        }
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        noted.push(match commit.at.checked_duration_since(start) {
            Some(after) => micros(after),
            None => -micros(start - commit.at),
        });
        if gap.is_none() && commit.proposed >= gone {
            gap = Some(commit.at - start);
            deadline = commit.at + AFTER;
        }
    }
    let what = || Failure::new(Code::CheckFailed, format!("the log stood still for {PATIENCE:?}"));
    Ok((gap.ok_or_else(what)?, noted))
}

/// Proposes through one node, over one connection after the other.
async fn propose(through: usize, client: Client, value_bytes: usize, told: mpsc::Sender<Commit>) {
    let start = Instant::now();
    loop {
        // It breaks when the node is killed. What was under way is not asked for again.
        let _ = over_one(through, &client, value_bytes, start, &told).await;
        sleep(PAUSE).await;
    }
}

async fn over_one(
    through: usize,
    client: &Client,
    value_bytes: usize,
    start: Instant,
    told: &mpsc::Sender<Commit>,
) -> Result<(), String> {
    let (mut submitter, mut answers) = load::connect(client).await?;
    let undecided = AtomicUsize::new(0);
    let submitting = async {
        let mut source = Source::new(value_bytes);
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            if undecided.load(Ordering::Relaxed) < UNDECIDED_MAX {
                let proposal = source.next(start.elapsed());
                undecided.fetch_add(1, Ordering::Relaxed);
                submitter.submit(vec![proposal]).await.map_err(|error| error.to_string())?;
            }
        }
    };
    let answering = async {
        while let Some(answered) = answers.next().await.map_err(|error| error.to_string())? {
            let at = Instant::now();
            undecided.fetch_sub(answered.len(), Ordering::Relaxed);
            for answer in answered.iter().filter(|it| Became::from(*it) == Became::Committed) {
                let proposed = start + due_of(answer.id());
                let _ = told.try_send(Commit { through, proposed, at });
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = submitting => ended,
        ended = answering => ended,
    }
}
