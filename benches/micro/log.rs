//! What one durable batch costs: the log, the bare floor below it, and redb in its place.
//!
//! It goes to a temporary directory on the file system of `target/`, so that the disk is the one that the work
//! stands on, and never a `tmpfs`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use quorate::consensus::{Content, Entry, EpochConfig, Kind, Proposal, Record};
use quorate::storage::{DurableLog, Log, RealDisk, Settings};
use quorate::types::{Epoch, NodeId, Position, ProposalId, Round, Value};
use redb::{Database, ReadableDatabase, TableDefinition};

use crate::trio::VALUE_BYTES;
use crate::{BATCHES, group};

/// How many batches wait for a sync at most where syncs are not measured: a log keeps in memory what is not synced.
const SYNCED_EVERY: u64 = 64;

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

/// A file whose blocks were written once, overwritten from its start.
struct Floor {
    file: File,
    at: u64,
}

impl Floor {
    const BYTES: u64 = 16 << 20;

    fn open(path: &Path) -> Self {
        let file = OpenOptions::new().write(true).create_new(true).open(path).unwrap();
        file.write_all_at(&vec![0; usize::try_from(Self::BYTES).unwrap()], 0).unwrap();
        file.sync_all().unwrap();
        Self { file, at: 0 }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.at + bytes.len() as u64 > Self::BYTES {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at).unwrap();
        self.file.sync_data().unwrap();
        self.at += bytes.len() as u64;
    }
}

/// The log with what a member does to it: append, and commit what was appended before.
struct Own {
    log: DurableLog<RealDisk>,
    tip: Position,
    ids: u128,
    value: Value,
}

impl Own {
    fn open(path: &Path) -> Self {
        let node = NodeId::from_u128(1);
        let disk = RealDisk::open(path).unwrap();
        let (mut log, _) = DurableLog::open(&disk, Settings::new(node)).unwrap();
        let config = EpochConfig::new(Epoch(1), [node]);
        let start = Record::Epoch { config, base: Position::GENESIS };
        let entries = Vec::new();
        let adopt = Record::Adopt { round: Round(0), after: Position::GENESIS, entries };
        log.append(&[start, adopt]).unwrap();
        log.sync().unwrap();
        let value = Value::new("v".repeat(VALUE_BYTES)).unwrap();
        Self { log, tip: Position::GENESIS, ids: 0, value }
    }

    fn batch(&mut self, count: usize) -> [Record; 2] {
        let Self { ids, value, .. } = self;
        let contents = std::iter::repeat_with(|| {
            *ids += 1;
            let id = ProposalId::from_u128(*ids);
            let proposal = Proposal { id, value: value.clone(), until: None };
            Content { epoch: Epoch(1), kind: Kind::Value(proposal) }
        });
        let entries = Entry::chain(self.tip, contents.take(count));
        let committed = self.tip;
        self.tip = entries.last().unwrap().position();
        [Record::Commit { committed }, Record::Append { voted: self.tip, entries }]
    }
}

/// Shows what the log adds to the disk: `log` beside `floor`, which writes and syncs as many bytes of values into a file
/// that is there already. `log, no sync` is what of it is work and not waiting: records made bytes, checksums, the
/// chain written. redb is what stood to be chosen in its place (`docs/decisions/0001-own-log.md`).
pub(crate) fn a_batch(criterion: &mut Criterion) {
    for count in BATCHES {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut group = group(criterion, &format!("log append of {count}"));
        group.throughput(Throughput::Elements(count as u64));

        let mut floor = Floor::open(&directory.path().join("floor"));
        let bytes = vec![7; count * VALUE_BYTES];
        group.bench_function(BenchmarkId::from_parameter("floor"), |bencher| {
            bencher.iter(|| floor.write(&bytes));
        });

        for (name, is_synced) in [("log", true), ("log, no sync", false)] {
            let mut own = Own::open(&directory.path().join(name));
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter_custom(|batches| {
                    // Hashing entries is the machine's work, not the log's.
                    (1..=batches).fold(Duration::ZERO, |sum, batch| {
                        let records = own.batch(count);
                        let start = Instant::now();
                        own.log.append(&records).unwrap();
                        if is_synced {
                            own.log.sync().unwrap();
                        }
                        own.log.tidy().unwrap();
                        let took = start.elapsed();
                        if batch % SYNCED_EVERY == 0 {
                            own.log.sync().unwrap();
                        }
                        sum + took
                    })
                });
            });
        }

        let database = Database::create(directory.path().join("redb")).unwrap();
        let mut slot = 0;
        group.bench_function(BenchmarkId::from_parameter("redb"), |bencher| {
            bencher.iter(|| {
                let transaction = database.begin_write().unwrap();
                {
                    let mut table = transaction.open_table(TABLE).unwrap();
                    for value in bytes.chunks(VALUE_BYTES) {
                        slot += 1;
                        table.insert(slot, value).unwrap();
                    }
                }
                transaction.commit().unwrap();
            });
        });
        // It was not asked for if another bench was named.
        if slot > 0 {
            let read = database.begin_read().unwrap().open_table(TABLE).unwrap();
            assert!(read.get(slot).unwrap().is_some(), "redb holds what it was given");
        }
        group.finish();
    }
}
