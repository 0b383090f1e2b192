//! One simulated machine: a disk that outlives the processes on it, and at most one process.

use std::collections::VecDeque;
use std::time::Duration;

use crate::consensus::Record;
use crate::engine::Engine;
use crate::sim::clock::{Clock, Moment};
use crate::sim::disk::Disk;
use crate::sim::doom::Doom;
use crate::sim::happening::Happening;
use crate::types::{NodeId, Time};

pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) disk: Disk,
    /// How many processes have been started on this machine; what the disk says of it is another matter.
    pub(super) life: u32,
    /// The process; none while the machine is down.
    pub(super) process: Option<Process>,
    /// How many millionths too fast its clock runs.
    pub(super) drift_ppm: i32,
    /// What its wall clock shows at the beginning of the world.
    pub(super) wall_seconds: i64,
    /// Whether the next process is killed while it opens the log.
    pub(super) is_opening_cut: bool,
    /// How much slower than usual its disk syncs.
    pub(super) sync_factor: u32,
    /// Where in its next deeds it is to be killed.
    pub(super) doom: Option<Doom>,
}

pub(super) struct Process {
    pub(super) engine: Engine,
    pub(super) clock: Clock,
    /// Batches that the disk has no time for yet. Bounded by the windows of the engine.
    pub(super) waiting: Vec<(u64, Vec<Record>)>,
    /// Whether the disk is at work.
    pub(super) is_syncing: bool,
    /// Records appended and not yet synced.
    pub(super) appended: usize,
    /// What happened while the process was stopped; none while it runs. Frames beyond
    /// [`HELD_MAX`] are lost, as in a full socket.
    pub(super) held: Option<VecDeque<Happening>>,
    /// Since when its clock stands still, while it is stopped in such a way.
    pub(super) stands_since: Option<Moment>,
    /// The earliest wake-up planned.
    pub(super) armed: Option<Moment>,
    /// Since when and how often in a row the process woke within [`SPIN`].
    pub(super) spins: (Time, u32),
}

/// How much waits for a stopped process.
pub(super) const HELD_MAX: usize = 4_096;

/// How often a process may wake within [`SPIN`] before it counts as spinning.
pub(super) const SPINS_MAX: u32 = 64;

/// As good as one moment.
pub(super) const SPIN: Duration = Duration::from_micros(1);

/// The id of the node with this index: ids stand in the order of the nodes.
pub(super) fn id(index: usize) -> NodeId {
    NodeId::from_u128(index as u128 + 1)
}

/// The id of the node that comes into the place of this one when its directory is lost.
pub(super) fn successor(of: NodeId) -> NodeId {
    NodeId::from_u128(u128::from_be_bytes(*of.as_bytes()) + 256)
}

/// The index of the node with this id.
pub(super) fn index(id: NodeId) -> usize {
    usize::from(id.as_bytes()[15]) - 1
}
