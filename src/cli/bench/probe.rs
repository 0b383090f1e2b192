//! One proposal after the other: how long one takes where nothing else happens, and when that is so again.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::admin::Client;
use crate::admin::frames::{Answers, Submitter};
use crate::cli::bench::load::{self, PATIENCE, PAUSE};
use crate::cli::bench::seen::Became;
use crate::cli::bench::source::Source;

/// How many proposals through each node tell what is usual, and how many go before them.
const PROBES: usize = 40;
const FIRST: usize = 10;

/// What counts as recovered: a proposal that takes so many times what is usual.
pub(super) const USUAL_TIMES: u32 = 3;

/// How a cluster came back from a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recovery {
    /// The median of one proposal at a time before the load.
    pub(super) unloaded: Duration,
    /// From the end of the load until, at every node, a proposal took at most three times that; none if that was
    /// given up.
    pub(super) after: Option<Duration>,
}

/// A connection with one proposal on it.
struct Probe {
    submitter: Submitter,
    answers: Answers,
    source: Source,
}

impl Probe {
    async fn open(client: &Client, value_bytes: usize) -> Result<Self, String> {
        let (submitter, answers) = load::connect(client).await?;
        Ok(Self { submitter, answers, source: Source::new(value_bytes) })
    }

    /// How long the next one takes; none if it is not committed.
    async fn once(&mut self) -> Result<Option<Duration>, String> {
        let start = Instant::now();
        let proposal = self.source.next(Duration::ZERO);
        self.submitter.submit(vec![proposal]).await.map_err(|error| error.to_string())?;
        let answered = load::next(&mut self.answers).await?.unwrap_or_default();
        let is_commit = answered.iter().any(|it| Became::from(it) == Became::Committed);
        Ok(is_commit.then(|| start.elapsed()))
    }
}

/// The median of single proposals, one after the other, through each of the nodes in turn.
pub(super) async fn unloaded(clients: &[Client], value_bytes: usize) -> Result<Duration, String> {
    let mut took = Vec::new();
    for client in clients {
        let mut probe = Probe::open(client, value_bytes).await?;
        for number in 0..FIRST + PROBES {
            took.extend(probe.once().await?.filter(|_| number >= FIRST));
        }
    }
    took.sort_unstable();
    took.get(took.len() / 2).copied().ok_or_else(|| "no single proposal was committed".to_owned())
}

/// Watches from `end` on until a proposal through each of the nodes takes no longer than three times `unloaded`.
pub(super) async fn recovery(
    clients: Vec<Client>,
    value_bytes: usize,
    end: Instant,
    unloaded: Duration,
) -> Result<Recovery, String> {
    let mut probes = JoinSet::new();
    for client in clients {
        probes.spawn(async move {
            let mut probe = Probe::open(&client, value_bytes).await?;
            sleep_until(end).await;
            while end.elapsed() < PATIENCE {
                match probe.once().await? {
                    Some(took) if took <= USUAL_TIMES * unloaded => return Ok(Some(end.elapsed())),
                    Some(_) => {}
                    None => sleep(PAUSE).await,
                }
            }
            Ok::<_, String>(None)
        });
    }
    let mut after = Some(Duration::ZERO);
    while let Some(ended) = probes.join_next().await {
        let one = ended.map_err(|error| error.to_string())??;
        after = after.zip(one).map(|(all, one)| all.max(one));
    }
    Ok(Recovery { unloaded, after })
}
