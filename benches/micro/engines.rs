//! Three engines that commit.

use criterion::{BenchmarkId, Criterion, Throughput};
use quorate::consensus::{Entry, Record};
use quorate::storage::{Log, LogError, LogReader};
use quorate::types::Slot;

use crate::trio::{PROPOSER, Trio, Wire};
use crate::{BATCHES, group};

/// A log that keeps nothing.
struct Nothing;

impl Log for Nothing {
    type Reader = Self;

    fn append(&mut self, _: &[Record]) -> Result<(), LogError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn tidy(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn show(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn reader(&self) -> Self {
        Self
    }
}

impl LogReader for Nothing {
    fn read(&self, _: Slot, _: Slot, _: usize) -> Result<Vec<Entry>, LogError> {
        Ok(Vec::new())
    }
}

/// Shows what a commit costs all three nodes together, from its submission to the proposer until every node has
/// delivered it: the engines alone, then with every message made a frame once and read by each receiver. No
/// sockets, no threads, no log. What is between this and one commit of `cargo bench --bench cluster` is the host.
pub(crate) fn a_commit(criterion: &mut Criterion) {
    let mut group = group(criterion, "three engines commit");
    for size in BATCHES {
        group.throughput(Throughput::Elements(size as u64));
        for (name, wire) in [("engines alone", Wire::Values), ("engines and frames", Wire::Frames)]
        {
            let mut trio = Trio::start(wire, |_| Nothing);
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| trio.commit(PROPOSER, size));
            });
        }
    }
    group.finish();
}
