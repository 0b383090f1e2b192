//! A member's hand: valid records at random, and the state that they lead to.

use quorate::consensus::{Content, Entry, EpochConfig, Kind, Proposal, Record, State};
use quorate::storage::{DurableLog, Log, MemoryDisk, Recovered, Settings};
use quorate::types::{Epoch, NodeId, Position, ProposalId, Round, Slot, Value};

/// Makes valid records at random, as a member might.
pub(crate) struct Scribe {
    pub(crate) state: State,
    dice: u64,
    ids: u128,
}

impl Scribe {
    pub(crate) fn new(seed: u64) -> Self {
        let mut scribe = Self { state: State::default(), dice: seed, ids: 0 };
        let config = EpochConfig::new(Epoch(1), [1, 2, 3].map(NodeId::from_u128));
        scribe.apply(Record::Epoch { config, base: Position::GENESIS });
        scribe.apply(Record::Adopt {
            round: Round(0),
            after: Position::GENESIS,
            entries: Vec::new(),
        });
        scribe
    }

    /// What every scribe begins with.
    pub(crate) fn opening(&self) -> Vec<Record> {
        let config = self.state.config.clone().unwrap();
        vec![
            Record::Epoch { config, base: Position::GENESIS },
            Record::Adopt { round: Round(0), after: Position::GENESIS, entries: Vec::new() },
        ]
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }

    pub(crate) fn apply(&mut self, record: Record) -> Record {
        self.state.apply(&record).unwrap();
        record
    }

    pub(crate) fn entries(&mut self, after: Position, count: u64) -> Vec<Entry> {
        let contents: Vec<_> = (0..count)
            .map(|_| {
                self.ids += 1;
                let bytes = 1 + usize::try_from(self.roll(300)).unwrap();
                let kind = match self.roll(8) {
                    0 => Kind::Noop,
                    _ => Kind::Value(Proposal {
                        id: ProposalId::from_u128(self.ids),
                        value: Value::new("v".repeat(bytes)).unwrap(),
                        until: None,
                    }),
                };
                Content { epoch: Epoch(1), kind }
            })
            .collect();
        Entry::chain(after, contents)
    }

    pub(crate) fn batch(&mut self) -> Vec<Record> {
        let records = 1 + self.roll(2);
        (0..records).map(|_| self.record()).collect()
    }

    fn record(&mut self) -> Record {
        let (last, committed) = (self.state.last(), self.state.committed);
        let next_round = self.state.promised.map_or(Round(0), Round::next);
        let count = self.roll(4);
        let somewhere = Slot(committed.slot.0 + self.roll(last.slot.0 - committed.slot.0 + 1));
        let somewhere = self.state.tail.position(somewhere).unwrap();
        let record = match self.roll(10) {
            0 => Record::Promise { round: next_round },
            1 => {
                let entries = self.entries(somewhere, count);
                Record::Adopt { round: next_round, after: somewhere, entries }
            }
            2 => {
                let entries = self.entries(somewhere, count + 1);
                let committed = entries.last().unwrap().position();
                Record::Learn { after: somewhere, entries, committed }
            }
            3..=5 => Record::Commit { committed: somewhere },
            _ if self.state.accepted != self.state.promised => {
                let entries = self.entries(somewhere, count);
                Record::Adopt { round: next_round, after: somewhere, entries }
            }
            _ => {
                let entries = self.entries(last, count + 1);
                let tip = entries.last().unwrap().position();
                let voted = if tip.slot > self.state.voted.slot { tip } else { self.state.voted };
                Record::Append { entries, voted }
            }
        };
        self.apply(record)
    }
}

/// All that is committed, as far as memory goes back.
pub(crate) fn final_entries(state: &State) -> Vec<Entry> {
    let committed = state.committed.slot;
    let entries = state.tail.behind(Slot(0));
    entries.take_while(|entry| entry.slot() <= committed).cloned().collect()
}

pub(crate) const ME: NodeId = NodeId::from_u128(1);

pub(crate) fn small() -> Settings {
    Settings { journal_bytes: 8 << 10, segment_bytes: 2 << 10, ..Settings::new(ME) }
}

/// A state without what memory keeps of the chain.
pub(crate) fn bare(mut state: State) -> State {
    state.trim(state.committed.slot, 0, 0);
    state
}

pub(crate) fn open(disk: &MemoryDisk) -> (DurableLog<MemoryDisk>, Recovered) {
    DurableLog::open(disk, small()).unwrap()
}

/// A log of `batches` batches, each synced, and the scribe that made them.
pub(crate) fn written(seed: u64, batches: usize) -> (MemoryDisk, Scribe) {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk);
    let mut scribe = Scribe::new(seed);
    log.append(&scribe.opening()).unwrap();
    for _ in 0..batches {
        log.append(&scribe.batch()).unwrap();
        log.sync().unwrap();
    }
    (disk, scribe)
}
