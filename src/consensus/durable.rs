//! What may be said: the part of the state that is synced.
//!
//! The machine works on the state that all its records make and speaks only of what is here.
//! [`Durable::synced`] alone moves it, so "nothing is said before it is durable" needs no
//! discipline at the places that speak.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::consensus::State;
use crate::mutant::{self, Mutant};
use crate::types::{Epoch, Position, Round, Slot, Time};

/// What a member announces of its durable state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Announced {
    pub(super) epoch: Option<Epoch>,
    pub(super) promised: Option<Round>,
    pub(super) accepted: Option<Round>,
    pub(super) voted: Position,
    pub(super) last: Position,
}

impl Announced {
    fn of(state: &State) -> Self {
        Self {
            epoch: state.config.as_ref().map(|config| config.epoch),
            promised: state.promised,
            accepted: state.accepted,
            voted: if mutant::is(Mutant::TipAsVote) { state.last() } else { state.voted },
            last: state.last(),
        }
    }
}

/// The synced part of the state, and the batches on their way to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Durable {
    announced: Announced,
    batches: u64,
    on_the_way: VecDeque<Batch>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Batch {
    number: u64,
    made: Time,
    needs_sync: bool,
    /// The first slot that it writes or takes away.
    from: Option<Slot>,
    makes: Announced,
}

impl Durable {
    /// Everything in `state` was read from the log.
    pub(super) fn recovered(state: &State) -> Self {
        Self { announced: Announced::of(state), batches: 0, on_the_way: VecDeque::new() }
    }

    /// What may be said.
    pub(super) fn announced(&self) -> Announced {
        self.announced
    }

    /// A batch was handed to the host; `state` is what it makes.
    pub(super) fn handed_over(
        &mut self,
        now: Time,
        needs_sync: bool,
        from: Option<Slot>,
        state: &State,
    ) {
        self.batches += 1;
        let makes = Announced::of(state);
        if mutant::is(Mutant::SentBeforeSync) {
            self.announced = makes;
        }
        self.on_the_way.push_back(Batch {
            number: self.batches,
            made: now,
            needs_sync,
            from,
            makes,
        });
    }

    /// A promise that no record stands for: a mistake, made on purpose.
    pub(super) fn pretend(&mut self, promised: Round) {
        self.announced.promised = Some(promised);
    }

    /// The host synced all batches up to `through`.
    pub(super) fn synced(&mut self, through: u64) {
        while let Some(batch) = self.on_the_way.pop_front_if(|batch| batch.number <= through) {
            self.announced = batch.makes;
        }
    }

    /// See [`crate::consensus::Machine::fingerprint`].
    pub(super) fn fingerprint(&self, hasher: &mut impl Hasher) {
        self.announced.hash(hasher);
        for batch in &self.on_the_way {
            (batch.from, batch.needs_sync, batch.makes).hash(hasher);
        }
    }

    /// The last slot up to which the log on disk is the log in memory.
    pub(super) fn through(&self, last: Slot) -> Slot {
        let untouched = |batch: &Batch| batch.from.map(Slot::previous);
        self.on_the_way.iter().filter_map(untouched).fold(last, Slot::min)
    }

    /// How long the oldest batch that must be synced waits.
    pub(super) fn overdue(&self, now: Time) -> Duration {
        self.waits_since().map_or(Duration::ZERO, |made| now.since(made))
    }

    /// Since when the oldest batch that must be synced waits.
    pub(super) fn waits_since(&self) -> Option<Time> {
        self.on_the_way.iter().find(|batch| batch.needs_sync).map(|batch| batch.made)
    }
}
