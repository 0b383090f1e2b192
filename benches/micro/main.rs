//! What the parts of a commit cost, each alone: codec, tally, engines, log.
//!
//! ```text
//! cargo bench --bench micro              # all of it, a minute or two
//! cargo bench --bench micro -- engines   # what has this word in its name
//! ```
//! Where a number is of a whole batch, `elem/s` beside it is of its proposals.

mod codec;
mod engines;
mod log;
mod tally;
#[path = "../../tests/support/trio.rs"]
mod trio;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use quorate::consensus::Proposal;
use quorate::types::{ProposalId, Value};

use trio::VALUE_BYTES;

/// Proposals in a batch.
const BATCHES: [usize; 3] = [1, 16, 256];

/// As many proposals, each of [`VALUE_BYTES`].
fn proposals(count: usize) -> Vec<Proposal> {
    let value = Value::new("v".repeat(VALUE_BYTES)).expect("a value within the limits");
    let ids = (1..=count as u128).map(|n| ProposalId::from_u128(n << 64 | 0x5eed));
    ids.map(|id| Proposal { id, value: value.clone(), until: None }).collect()
}

/// A group whose figures take as long as all of them may in sum.
fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group
}

criterion_group!(benches, codec::encode_and_decode, tally::a_vote, engines::a_commit, log::a_batch);
criterion_main!(benches);
