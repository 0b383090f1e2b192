//! What goes wrong, and the drawing of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::sim::doom::Doom;
use crate::sim::network::Network;
use crate::sim::rng::Rng;

/// One fault. Nodes are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The network splits.
    Split(Shape),
    /// Every partition ends.
    Heal,
    /// A process is killed, now or at a point in its next deeds.
    Kill { node: usize, doom: Option<Doom> },
    /// The process that leads is killed, whichever it is then.
    KillLeader(Option<Doom>),
    /// The process that leads is cut off, whichever it is then.
    CutLeader,
    /// Several processes, drawn then, are killed at once.
    KillSeveral,
    /// All processes are killed at once.
    KillAll,
    /// A process is killed, and the next one while it opens the log.
    CutOpening { node: usize },
    /// A process ends in good order, and says so.
    Leave { node: usize },
    /// A dead process is started again.
    Restart { node: usize },
    /// A process is stopped, without its knowing; its clock goes on, or stands still as that of a
    /// suspended machine.
    Pause { node: usize, clock_stands: bool },
    /// It goes on.
    Resume { node: usize },
    /// A disk becomes slower by this factor (1: as fast as ever).
    SlowDisk { node: usize, factor: u32 },
    /// A disk fails at one of its next changes; the next process finds another disk with what was kept.
    FailDisk { node: usize },
    /// No disk reads any more; the next process finds another disk with what was kept.
    FailReads,
    /// A disk has hardly any room left, whoever starts on it.
    FillDisk { node: usize },
    /// It has room again.
    FreeDisk { node: usize },
    /// The data directory is lost: another node, with another key, starts in the place of this one.
    Wipe { node: usize },
    /// Files of a log are lost, the key and the count of starts are not: the node must not start again.
    LoseLog { node: usize },
    /// The clock of a machine runs this many millionths too fast from now on.
    ClockRate { node: usize, drift_ppm: i32 },
    /// The wall clock of a machine is set, by so many seconds.
    WallClock { node: usize, by: i64 },
    /// Nothing that one node says is heard by another any more.
    CutWay { from: usize, to: usize },
    /// The link between two nodes breaks; both may dial.
    BreakLink { one: usize, other: usize },
    /// Every frame takes longer from now on.
    Delay(Duration),
}

/// The shape of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// Two halves; with an odd number one of them is a majority.
    Halves,
    /// A minority is cut off.
    Minority,
    /// Two halves that overlap in one node.
    Bridge,
    /// Everyone hears two neighbours only.
    Ring,
    /// A ring with one link missing.
    Chain,
    /// Everyone hears one node in the middle only.
    Star,
    /// What one node says is heard by nobody; it hears all.
    Mute,
    /// What one node is told is not heard by it; all hear it.
    Deaf,
    /// Everyone is alone.
    Shattered,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Halves,
        Self::Minority,
        Self::Bridge,
        Self::Ring,
        Self::Chain,
        Self::Star,
        Self::Mute,
        Self::Deaf,
        Self::Shattered,
    ];

    /// Its name, as it is written on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Halves => "halves",
            Self::Minority => "minority",
            Self::Bridge => "bridge",
            Self::Ring => "ring",
            Self::Chain => "chain",
            Self::Star => "star",
            Self::Mute => "mute",
            Self::Deaf => "deaf",
            Self::Shattered => "shattered",
        }
    }

    /// Lays the shape over a network whose nodes stand in the order `nodes`.
    pub(super) fn lay(self, network: &mut Network, nodes: &[usize]) {
        network.heal();
        let n = nodes.len();
        let hears = |from: usize, to: usize| match self {
            Self::Halves => (from < n.div_ceil(2)) == (to < n.div_ceil(2)),
            Self::Minority => (from < n.div_ceil(2) - 1) == (to < n.div_ceil(2) - 1),
            Self::Bridge => from == n / 2 || to == n / 2 || (from < n / 2) == (to < n / 2),
            Self::Ring => matches!(from.abs_diff(to), 1) || from.abs_diff(to) == n - 1,
            Self::Chain => from.abs_diff(to) == 1,
            Self::Star => from == 0 || to == 0,
            Self::Mute => from != 0,
            Self::Deaf => to != 0,
            Self::Shattered => false,
        };
        match self {
            Self::Halves => network.split(&[nodes[..n.div_ceil(2)].to_vec()]),
            Self::Minority => network.split(&[nodes[..n.div_ceil(2) - 1].to_vec()]),
            Self::Shattered => {
                network.split(&nodes.iter().map(|node| vec![*node]).collect::<Vec<_>>())
            }
            Self::Bridge | Self::Ring | Self::Chain | Self::Star | Self::Mute | Self::Deaf => {
                for from in 0..n {
                    for to in (0..n).filter(|to| from != *to && !hears(from, *to)) {
                        network.cut(nodes[from], nodes[to]);
                    }
                }
            }
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The word names no shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no shape of a partition: give one of halves, minority, bridge, ring, chain, star, mute, deaf, shattered"
)]
pub struct UnknownShape(String);

impl FromStr for Shape {
    type Err = UnknownShape;

    fn from_str(word: &str) -> Result<Self, UnknownShape> {
        Self::ALL
            .into_iter()
            .find(|shape| shape.name() == word)
            .ok_or_else(|| UnknownShape(word.to_owned()))
    }
}

/// Which faults a run draws from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Faults {
    /// None: calm weather, nothing breaks.
    None,
    /// The network only: loss, duplication, reordering, partitions, broken links.
    Network,
    /// Processes and disks only: kills, pauses, slow disks.
    Crashes,
    /// Everything.
    #[default]
    All,
}

impl Faults {
    pub(super) fn network(self) -> bool {
        matches!(self, Self::Network | Self::All)
    }

    pub(super) fn crashes(self) -> bool {
        matches!(self, Self::Crashes | Self::All)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Network => "network",
            Self::Crashes => "crashes",
            Self::All => "all",
        })
    }
}

/// The word names no set of faults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no set of faults: give none, network, crashes or all")]
pub struct UnknownFaults(String);

impl FromStr for Faults {
    type Err = UnknownFaults;

    fn from_str(word: &str) -> Result<Self, UnknownFaults> {
        match word {
            "none" => Ok(Self::None),
            "network" => Ok(Self::Network),
            "crashes" => Ok(Self::Crashes),
            "all" => Ok(Self::All),
            _ => Err(UnknownFaults(word.to_owned())),
        }
    }
}

/// Draws one fault for a cluster of `size`, and what ends it after a while; none if `faults` allows none there.
pub(super) fn draw(rng: &mut Rng, faults: Faults, size: usize) -> Option<(Fault, Option<Fault>)> {
    let network = faults.network() && size > 1;
    let (from, to) = match (network, faults.crashes()) {
        (true, true) => (0, 30),
        (true, false) => (0, 8),
        (false, true) => (9, 30),
        (false, false) => return None,
    };
    let node = rng.index(size);
    let doom = rng.chance(800).then(|| match *rng.pick(&Doom::ALL) {
        Doom::AfterSends(_) => Doom::AfterSends(u32::try_from(rng.within(1..=8)).expect("small")),
        other => other,
    });
    Some(match rng.within(from..=to) {
        0..=3 => (Fault::Split(*rng.pick(&Shape::ALL)), Some(Fault::Heal)),
        4..=5 => (Fault::CutLeader, Some(Fault::Heal)),
        6 => (Fault::BreakLink { one: node, other: (node + 1 + rng.index(size - 1)) % size }, None),
        7 => {
            let delay = Duration::from_millis(rng.within(5..=60));
            (Fault::Delay(delay), Some(Fault::Delay(Duration::ZERO)))
        }
        8 => (
            Fault::CutWay { from: node, to: (node + 1 + rng.index(size - 1)) % size },
            Some(Fault::Heal),
        ),
        9..=12 => (Fault::Kill { node, doom }, None),
        13..=15 => (Fault::KillLeader(doom), None),
        16 => (Fault::KillAll, None),
        17 => (Fault::KillSeveral, None),
        18 => (Fault::CutOpening { node }, None),
        19 => (Fault::Leave { node }, None),
        20 => (Fault::FailDisk { node }, None),
        21 => (Fault::FailReads, None),
        22 => (Fault::FillDisk { node }, Some(Fault::FreeDisk { node })),
        23 => (Fault::Wipe { node }, None),
        24 => (Fault::LoseLog { node }, None),
        25..=26 => {
            let clock_stands = rng.chance(500);
            (Fault::Pause { node, clock_stands }, Some(Fault::Resume { node }))
        }
        27 => {
            let drift_ppm = i32::try_from(rng.within(0..=200_000)).expect("small") - 100_000;
            (Fault::ClockRate { node, drift_ppm }, None)
        }
        28 => {
            let by = i64::try_from(rng.within(0..=20_000_000)).expect("small") - 10_000_000;
            (Fault::WallClock { node, by }, None)
        }
        _ => {
            let factor = u32::try_from(rng.within(5..=200)).expect("small");
            (Fault::SlowDisk { node, factor }, Some(Fault::SlowDisk { node, factor: 1 }))
        }
    })
}
