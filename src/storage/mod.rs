//! The durable log: what a node must not forget, and what it holds final.
//!
//! Bytes, crash cases and what is asked of the disk stand in `docs/STORAGE.md`. From the ground up:
//! a [`Disk`] ([`RealDisk`], or [`MemoryDisk`] with faults to order) · the layout of records · frames and
//! the journal · segments and the chain · the count of starts · recovery · [`DurableLog`].

mod chain;
mod codec;
mod disk;
mod durable;
mod error;
mod frame;
mod journal;
mod log;
mod memory;
mod real;
mod recovery;
mod segment;
mod settings;
mod snapshot;
mod starts;

pub use chain::Reader;
pub use disk::{Disk, DiskFile, read_file, write_file};
pub use durable::DurableLog;
pub use error::{LogError, next_step};
pub use log::{Log, LogReader, Recovered};
pub use memory::{MemoryDisk, MemoryFile};
pub use real::{RealDisk, replace};
pub use recovery::{LOG_FORMAT, inspect};
pub use settings::Settings;
pub use starts::{begin_starts, count_start, starts};
