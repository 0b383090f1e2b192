//! What happened, as the clients saw it: every attempt, every read, every entry shown, and who was cut
//! off when. Times are spans since the start of the run, on one clock.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use quorate::admin::api::LogEntry;
use quorate::types::{Digest, ProposalId, Slot};

/// A moment of the run.
pub(crate) type At = Duration;

/// What a client offered under an id, always the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) value: String,
    pub(crate) until: Option<Slot>,
}

/// What an attempt brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Committed there.
    Committed { slot: Slot, hash: Digest },
    /// Committed there before.
    Duplicate { slot: Slot },
    /// Surely not committed, by this attempt.
    Rejected,
    /// Surely not committed, by no attempt: the log has passed its last slot.
    Expired,
    /// Nobody knows: undecided in time, or no answer came.
    Unknown,
}

impl Answer {
    /// Where it says the value stands.
    pub(crate) fn slot(self) -> Option<Slot> {
        match self {
            Self::Committed { slot, .. } | Self::Duplicate { slot } => Some(slot),
            Self::Rejected | Self::Expired | Self::Unknown => None,
        }
    }
}

/// One request of a client to propose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) id: ProposalId,
    pub(crate) node: usize,
    pub(crate) invoked: At,
    /// When the answer was there, or given up.
    pub(crate) completed: At,
    pub(crate) answer: Answer,
}

/// One read of the log that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub(crate) node: usize,
    /// Which life of the node answered.
    pub(crate) life: u32,
    pub(crate) linearizable: bool,
    pub(crate) invoked: At,
    pub(crate) completed: At,
    /// The last committed slot that it showed.
    pub(crate) committed: Slot,
}

/// A time in which a node had no way to a quorum and back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Isolation {
    pub(crate) node: usize,
    pub(crate) from: At,
    pub(crate) to: At,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) offers: BTreeMap<ProposalId, Offer>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) reads: Vec<Read>,
    /// What was ever shown in a slot, under which hash, when it was seen first; with the entry, unless
    /// only the hash was told.
    pub(crate) shown: BTreeMap<(Slot, Digest), (At, Option<LogEntry>)>,
    pub(crate) isolations: Vec<Isolation>,
    /// The whole log of each node, in the end.
    pub(crate) logs: Vec<Vec<LogEntry>>,
}

/// Where clients and the nemesis write it down.
pub(crate) struct Recorder {
    start: Instant,
    history: Mutex<History>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), history: Mutex::default() }
    }

    pub(crate) fn now(&self) -> At {
        self.start.elapsed()
    }

    /// Adds to it, or looks at it.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut History) -> T) -> T {
        act(&mut self.history.lock().expect("no holder panics"))
    }

    /// What was shown of the log.
    pub(crate) fn show(&self, slot: Slot, hash: Digest, entry: Option<LogEntry>) {
        let now = self.now();
        self.with(|history| {
            let shown = history.shown.entry((slot, hash)).or_insert((now, None));
            shown.1 = shown.1.take().or(entry);
        });
    }

    /// Whether something was acknowledged that was asked for at or after this moment.
    pub(crate) fn is_acknowledged_since(&self, at: At) -> bool {
        self.with(|history| {
            let late = history.attempts.iter().rev().take_while(|attempt| attempt.completed >= at);
            late.into_iter().any(|attempt| attempt.invoked >= at && attempt.answer.slot().is_some())
        })
    }
}
