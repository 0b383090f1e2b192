//! One cluster at one length of its log: everything that is measured there, in order.

use std::time::Duration;

use tokio::time::Instant;

use crate::cli::bench::cluster::{self, Cluster};
use crate::cli::bench::fill::{self, Filled};
use crate::cli::bench::machine::Memory;
use crate::cli::bench::plan::Plan;
use crate::cli::bench::report;
use crate::cli::bench::run::{self, Kind, Measured, Sample};
use crate::cli::bench::slow::Slowed;
use crate::cli::bench::strike::{self, Blow, Strikes};
use crate::cli::bench::tell::{self, Told};
use crate::cli::failure::Failure;
use crate::cli::output::print;

/// What was found there.
#[derive(Debug, Default)]
pub(super) struct Stage {
    /// How many nodes there are, down or up.
    pub(super) nodes: usize,
    /// Those that are down, and those that stand still half of the time.
    pub(super) down: Vec<String>,
    pub(super) slow: Vec<String>,
    pub(super) filled: Option<Filled>,
    /// Runs of one kind are one group.
    pub(super) groups: Vec<Vec<Measured>>,
    pub(super) strikes: Vec<Strikes>,
    /// What texts took, if any were sent.
    pub(super) told: Option<Told>,
    /// What the nodes that were started here held before anything and after all.
    pub(super) fresh: Vec<(usize, Memory)>,
    pub(super) after: Vec<(usize, Memory)>,
    pub(super) samples: Vec<Sample>,
}

/// Measures all that the plan wants of one cluster.
pub(super) async fn measure(plan: &Plan, cluster: &mut Cluster) -> Result<Vec<Stage>, Failure> {
    cluster.wait_led().await?;
    let since = Instant::now();
    let mut first = Stage { nodes: cluster.len(), fresh: cluster.memory(), ..Stage::default() };
    for at in cluster.followers(plan.down).await? {
        cluster.kill(at).await?;
        first.down.push(cluster::name(at));
    }
    let slow = cluster.followers(plan.slow).await?;
    for &at in &slow {
        cluster.spare(at);
        first.slow.push(cluster::name(at));
    }
    cluster.wait_led().await?;
    say(plan, &report::cluster(&first, cluster))?;
    let lengths: Vec<_> = match plan.fill.as_slice() {
        [] => vec![None],
        lengths => lengths.iter().copied().map(Some).collect(),
    };
    let mut stages = Vec::new();
    for (number, length) in lengths.iter().enumerate() {
        let (down, slow_names) = (first.down.clone(), first.slow.clone());
        let fresh = if number == 0 { first.fresh.clone() } else { cluster.memory() };
        let mut stage =
            Stage { nodes: first.nodes, down, slow: slow_names, fresh, ..Stage::default() };
        if let Some(length) = length {
            let filled = fill::fill(cluster, *length, plan.sizes[0]).await?;
            say(plan, &report::filled(&filled))?;
            stage.filled = Some(filled);
        }
        let slowed = cluster.processes().filter(|(at, _)| slow.contains(at));
        let slowed: Vec<_> = slowed.map(|(_, process)| Slowed::begin(process)).collect();
        runs(plan, cluster, since, &mut stage).await?;
        drop(slowed);
        stage.after = cluster.memory();
        if !stage.groups.is_empty() {
            say(plan, &report::memory(&stage.after))?;
        }
        if number + 1 == lengths.len() {
            if plan.broadcasts > 0 {
                let told = tell::texts(cluster, plan.broadcasts, plan.sizes[0]).await?;
                say(plan, &report::told(&told))?;
                stage.told = Some(told);
            }
            for (blow, times) in [(Blow::Kill, plan.kills), (Blow::Pause, plan.pauses)] {
                if times > 0 {
                    let strikes = strike::strikes(cluster, blow, times, plan.sizes[0]).await?;
                    say(plan, &report::strikes(&strikes))?;
                    stage.strikes.push(strikes);
                }
            }
        }
        stages.push(stage);
    }
    Ok(stages)
}

/// All loads, each so often as it is to be repeated.
async fn runs(
    plan: &Plan,
    cluster: &mut Cluster,
    since: Instant,
    stage: &mut Stage,
) -> Result<(), Failure> {
    for &way in &plan.ways {
        for &value_bytes in &plan.sizes {
            for &load in &plan.loads {
                let mut group = Vec::new();
                for _ in 0..plan.repeat {
                    let kind = Kind { way, load, value_bytes };
                    let (measured, samples) = run::one(plan, cluster, kind, since).await?;
                    group.push(measured);
                    stage.samples.extend(samples);
                }
                say(plan, &report::line(&group))?;
                stage.groups.push(group);
            }
        }
    }
    Ok(())
}

/// Prints what people read as it comes.
fn say(plan: &Plan, text: &str) -> Result<(), Failure> {
    if plan.json { Ok(()) } else { print(text) }
}

impl Stage {
    /// Whether any of its runs lasted so long that what happens over time can be seen.
    pub(super) fn is_long(&self, enough: Duration) -> bool {
        self.groups.iter().flatten().any(|run| run.span >= enough)
    }
}
