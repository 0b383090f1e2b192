//! The kinds of faults, and the schedule of them that a seed draws.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::dice::Dice;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// kill -9 of one, of whoever proposes, of a majority, of all.
    KillOne,
    KillProposer,
    KillMajority,
    KillAll,
    /// One leaves in good order, and comes back.
    Leave,
    /// SIGSTOP, later SIGCONT.
    PauseOne,
    PauseProposer,
    PauseMajority,
    /// Partitions.
    Halves,
    Minority,
    ProposerAlone,
    Bridge,
    Ring,
    OneWay,
    Shattered,
    /// Partitions that come and go, several a second.
    Flapping,
    /// Whoever proposes is cut off with all that is under way, one after the other; frames are late.
    Torn,
    /// The plug of one node is pulled: namespaces only.
    Plug,
    /// What the proxies do to frames.
    Late,
    Trickle,
    Twice,
    Overtaken,
    Lost,
    Broken,
    /// What the shim does: a wall clock that jumps, syncs that wait or fail, writes that fail or come
    /// in pieces.
    Clock,
    SlowSync,
    ShortWrite,
    FailedSync,
    FailedWrite,
    /// No space on the disk of the last node.
    FullDisk,
}

/// What a kind of fault needs, and what it takes hold of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Realm {
    Processes,
    Ways,
    Plugs,
    Frames,
    Shim,
    SmallDisk,
}

impl Kind {
    pub(crate) const ALL: [Self; 30] = [
        Self::KillOne,
        Self::KillProposer,
        Self::KillMajority,
        Self::KillAll,
        Self::Leave,
        Self::PauseOne,
        Self::PauseProposer,
        Self::PauseMajority,
        Self::Halves,
        Self::Minority,
        Self::ProposerAlone,
        Self::Bridge,
        Self::Ring,
        Self::OneWay,
        Self::Shattered,
        Self::Flapping,
        Self::Torn,
        Self::Plug,
        Self::Late,
        Self::Trickle,
        Self::Twice,
        Self::Overtaken,
        Self::Lost,
        Self::Broken,
        Self::Clock,
        Self::SlowSync,
        Self::ShortWrite,
        Self::FailedSync,
        Self::FailedWrite,
        Self::FullDisk,
    ];

    pub(crate) fn realm(self) -> Realm {
        match self {
            Self::KillOne
            | Self::KillProposer
            | Self::KillMajority
            | Self::KillAll
            | Self::Leave
            | Self::PauseOne
            | Self::PauseProposer
            | Self::PauseMajority => Realm::Processes,
            Self::Halves
            | Self::Minority
            | Self::ProposerAlone
            | Self::Bridge
            | Self::Ring
            | Self::OneWay
            | Self::Shattered
            | Self::Flapping
            | Self::Torn => Realm::Ways,
            Self::Plug => Realm::Plugs,
            Self::Late
            | Self::Trickle
            | Self::Twice
            | Self::Overtaken
            | Self::Lost
            | Self::Broken => Realm::Frames,
            Self::Clock
            | Self::SlowSync
            | Self::ShortWrite
            | Self::FailedSync
            | Self::FailedWrite => Realm::Shim,
            Self::FullDisk => Realm::SmallDisk,
        }
    }
}

/// One strike: what, or which two at once, for how long, and the dice for whom it hits.
#[derive(Clone, Debug)]
pub(crate) struct Strike {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) hold: Duration,
    pub(crate) dice: Dice,
}

/// Strikes in an order of chance: each kind of the list once, then once more, and so on for ever, some
/// of them two at a time.
pub(crate) struct Schedule {
    kinds: Vec<Kind>,
    left: Vec<Kind>,
    hold: RangeInclusive<Duration>,
    dice: Dice,
    pairs: bool,
}

impl Schedule {
    /// With `pairs`, some strikes are two faults at once.
    pub(crate) fn new(
        kinds: Vec<Kind>,
        hold: RangeInclusive<Duration>,
        dice: Dice,
        pairs: bool,
    ) -> Self {
        assert!(!kinds.is_empty(), "there is no fault to draw");
        Self { kinds, left: Vec::new(), hold, dice, pairs }
    }
}

impl Iterator for Schedule {
    type Item = Strike;

    fn next(&mut self) -> Option<Strike> {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            self.dice.shuffle(&mut self.left);
        }
        let mut kinds: Vec<_> = self.left.pop().into_iter().collect();
        if self.pairs && self.dice.chance(50) {
            let second = self.kinds[self.dice.below(self.kinds.len())];
            // What takes hold of other things, so that each can be lifted alone.
            if kinds.iter().all(|first| first.realm() != second.realm()) {
                kinds.push(second);
            }
        }
        let hold = self.dice.span(self.hold.clone());
        Some(Strike { kinds, hold, dice: Dice::new(self.dice.bits()) })
    }
}

#[test]
fn a_seed_draws_one_schedule_and_every_kind_comes_once_before_any_comes_twice() {
    let hold = Duration::ZERO..=Duration::from_secs(1);
    let draw = |seed| -> Vec<_> {
        Schedule::new(Kind::ALL.to_vec(), hold.clone(), Dice::new(seed), true)
            .take(2 * Kind::ALL.len())
            .map(|strike| (strike.kinds, strike.hold))
            .collect()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let mut firsts: Vec<_> = draw(3)[..Kind::ALL.len()].iter().map(|(kinds, _)| kinds[0]).collect();
    firsts.sort_unstable();
    let mut all = Kind::ALL.to_vec();
    all.sort_unstable();
    assert_eq!(firsts, all);
    assert!(draw(3).iter().any(|(kinds, _)| kinds.len() == 2));
}
