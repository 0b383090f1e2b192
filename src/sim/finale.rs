//! The last act of some runs: all is right, and then one member starts on an old copy of its directory (R15).
//!
//! Whoever has forgotten what it promised can break agreement where nobody is there who remembers: that is why a
//! copy must never be brought back. What the protocol promises is tested here: where its peers are there and
//! remember more of it than it does, it is told so and stops, and the rest goes on without it.

use std::time::Duration;

use crate::sim::clock::Moment;
use crate::sim::cluster::Cluster;
use crate::sim::copy::Copy;
use crate::sim::fault::Faults;
use crate::sim::happening::Happening;
use crate::sim::rng::Rng;

/// What is brought back of which member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finale {
    node: usize,
}

/// Draws the last act, if there is to be one, and plans when the copy is taken.
pub(super) fn draw(
    faults: Faults,
    rng: &mut Rng,
    cluster: &mut Cluster,
    lasts: Duration,
) -> Option<Finale> {
    if !faults.crashes() || cluster.setup.size < 3 || !rng.chance(100) {
        return None;
    }
    let node = rng.index(cluster.setup.size);
    let at = Moment::ZERO + rng.span(Duration::ZERO..=lasts);
    cluster.queue.plan(at, Happening::Copy { node });
    Some(Finale { node })
}

/// Plays it. False if it cannot be played: without this member there would be no quorum, it is lost already, or
/// the copy is from before the cluster was formed. (Such a copy says nothing of the log until its node has
/// joined as a founder once more; what it says then may come before its peers can tell that it has forgotten.)
pub(super) fn play(finale: Finale, rng: &mut Rng, cluster: &mut Cluster) -> bool {
    let Finale { node } = finale;
    let copy = cluster.copy.take().filter(Copy::is_formed);
    let Some(copy) = copy.filter(|_| !cluster.checker.is_out(node) && cluster.can_lose_one())
    else {
        return false;
    };
    // Until everyone has heard what everyone has said.
    let beats = cluster.setup.engine.heartbeat_interval * 4;
    cluster.run_until(cluster.now + beats);
    cluster.restore(node, copy);
    for _ in 0..rng.within(1..=3) {
        let at = cluster.now + rng.span(Duration::ZERO..=beats);
        cluster.plan_proposal(at, None, 0);
    }
    cluster.plan_read(cluster.now + beats);
    true
}
