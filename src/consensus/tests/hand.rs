//! One member alone with whoever writes the test: what it is told, when its disk syncs and when its time passes.

use super::*;
use crate::consensus::{Content, Entry, Fetch, Kind, Record};

pub(super) const EPOCH: Epoch = Epoch(1);

/// A member whose peers are words of the test.
pub(super) struct Hand {
    pub(super) now: Time,
    pub(super) machine: Machine,
    batches: u64,
}

pub(super) fn content_of(proposal: Proposal) -> Content {
    Content { epoch: EPOCH, kind: Kind::Value(proposal) }
}

pub(super) fn content(id: u128, text: &str) -> Content {
    content_of(proposal(id, text))
}

/// A proposal of this weight, by itself and as an entry.
pub(super) fn weighing(id: u128, weight: usize) -> Proposal {
    let less = proposal(id, "x").weight() - 1;
    let proposal = proposal(id, &"x".repeat(weight - less));
    assert_eq!(proposal.weight(), weight);
    proposal
}

/// So many entries from the beginning.
pub(super) fn log(count: u128) -> Vec<Entry> {
    Entry::chain(Position::GENESIS, (1..=count).map(|id| content(id, "x")))
}

/// What adopts this log in this round.
pub(super) fn adopt(round: u64, entries: &[Entry]) -> Record {
    let entries = entries.to_vec();
    Record::Adopt { round: Round(round), after: Position::GENESIS, entries }
}

/// A heartbeat of who has this log, voted in this round, and nothing on its mind.
pub(super) fn beat(accepted: u64, log: &[Entry], committed: usize) -> Beat {
    let at = |slot: usize| slot.checked_sub(1).map_or(Position::GENESIS, |i| log[i].position());
    Beat {
        epoch: EPOCH,
        life: 1,
        promised: Some(Round(accepted)),
        accepted: Some(Round(accepted)),
        voted: at(log.len()),
        last: at(log.len()),
        committed: at(committed),
        first_slot: Slot(1),
        suspects: None,
        candidate: None,
        leads: None,
        healthy: true,
    }
}

impl Hand {
    /// Member `me` of so many, started on a disk with these records in epoch 1.
    pub(super) fn new(me: u128, members: u128, settings: Settings, records: &[Record]) -> Self {
        let config = EpochConfig::new(EPOCH, (1..=members).map(node));
        let mut disk = State::default();
        let epoch = Record::Epoch { config, base: Position::GENESIS };
        for record in [&epoch].into_iter().chain(records) {
            disk.apply(record).expect("it fits");
        }
        Self::start(me, settings, disk)
    }

    /// A node that belongs to no cluster yet.
    pub(super) fn unformed(me: u128) -> Self {
        Self::start(me, Settings::default(), State::default())
    }

    fn start(me: u128, settings: Settings, disk: State) -> Self {
        let now = Time::from_start(Duration::from_secs(1));
        let machine = Machine::new(node(me), 1, settings, 1, disk, Vec::new(), now);
        Self { now, machine, batches: 0 }
    }

    pub(super) fn step(&mut self, input: Input) -> Effects {
        let fx = self.machine.step(self.now, input);
        self.batches += u64::from(!fx.persist.is_empty());
        fx
    }

    pub(super) fn hear(&mut self, from: u128, body: Body) -> Effects {
        self.step(Input::Message { from: node(from), message: Message { epoch: EPOCH, body } })
    }

    pub(super) fn beat(&mut self, from: u128, beat: Beat) -> Effects {
        self.step(Input::Beat { from: node(from), beat })
    }

    /// All that was written is synced.
    pub(super) fn sync(&mut self) -> Effects {
        self.step(Input::Synced { through: self.batches, took: Duration::ZERO })
    }

    /// Does what waits for no time; gives all that is said and told meanwhile.
    pub(super) fn work(&mut self) -> Effects {
        let mut all = Effects::default();
        for _ in 0..100 {
            let fx = self.step(Input::Tick);
            all.persist.extend(fx.persist);
            all.send.extend(fx.send);
            all.publish.extend(fx.publish);
            all.beat_now |= fx.beat_now;
            if self.machine.wake().is_none_or(|wake| wake > self.now) {
                return all;
            }
        }
        panic!("never quiet");
    }

    /// Lets so much time pass, asleep.
    pub(super) fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
    }
}

/// What was said, and to whom.
pub(super) fn said(fx: &Effects) -> Vec<(To, Body)> {
    fx.send.iter().map(|send| (send.to, send.message.body.clone())).collect()
}

/// Whom entries were asked of, and which.
pub(super) fn fetches(fx: &Effects) -> Vec<(To, Fetch)> {
    let fetch = |(to, body): (To, Body)| match body {
        Body::Fetch(fetch) => Some((to, fetch)),
        _ => None,
    };
    said(fx).into_iter().filter_map(fetch).collect()
}
