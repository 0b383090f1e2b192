//! A log of some length before anything is measured, and what a start costs then.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cli::bench::cluster::{Cluster, Return};
use crate::cli::bench::counters::Counters;
use crate::cli::bench::load;
use crate::cli::bench::machine::Memory;
use crate::cli::failure::{Code, Failure};

/// A log that was filled.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    /// How long it is now, and how long each of the values put into it.
    pub(super) slots: u64,
    pub(super) value_bytes: usize,
    /// What was added in which time.
    pub(super) added: u64,
    pub(super) took: Duration,
    /// What the nodes hold then.
    pub(super) memory: Vec<(usize, Memory)>,
    /// A follower was killed and started again: which, how that went, and what it holds then.
    pub(super) back: (usize, Return),
    pub(super) back_holds: Memory,
}

/// Fills the log of a cluster up to `slots`, then kills a follower and starts it again.
pub(super) async fn fill(
    cluster: &mut Cluster,
    slots: u64,
    value_bytes: usize,
) -> Result<Filled, Failure> {
    let broken = |what: String| {
        Failure::new(Code::CheckFailed, format!("filling the log broke off: {what}"))
    };
    let before = Counters::read(cluster.up()).await?.slot;
    let start = Instant::now();
    let clients = cluster.loaded();
    let (missing, nodes) = (slots.saturating_sub(before), clients.len());
    let mut filling = JoinSet::new();
    for (number, (_, client)) in clients.into_iter().enumerate() {
        let count = missing / nodes as u64 + u64::from((number as u64) < missing % nodes as u64);
        filling.spawn(load::fill(client, value_bytes, count, nodes));
    }
    while let Some(ended) = filling.join_next().await {
        ended.map_err(|error| broken(error.to_string()))?.map_err(broken)?;
    }
    let took = start.elapsed();
    let slots = Counters::read(cluster.up()).await?.slot;
    let memory = cluster.memory();
    let follower = cluster.followers(1).await?;
    let at = follower.first().copied().unwrap_or(0);
    cluster.kill(at).await?;
    let back = cluster.bring_back(at).await?;
    let held = cluster.memory().into_iter().find(|(it, _)| *it == at);
    let back_holds = held.map(|(_, memory)| memory).unwrap_or_default();
    cluster.wait_led().await?;
    let added = slots - before;
    Ok(Filled { slots, value_bytes, added, took, memory, back: (at, back), back_holds })
}
