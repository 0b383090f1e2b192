//! Who links to whom, and what a partition severs. Pure.

mod graph;
mod partition;

pub use graph::{NetworkTopology, TopologyError};
