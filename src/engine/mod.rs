//! The whole node as one pure machine: dispatch, peers and consensus, introduced to each other.

mod arrivals;
mod core;
mod effects;
mod input;
mod machine;
mod names;
mod quorum;
mod status;
mod verdict;

#[cfg(test)]
mod tests;

pub use core::{Engine, Settings};
pub use effects::{Effects, Event, Outgoing, Recipients};
pub use input::Input;
pub use quorum::Quorum;
pub use status::Status;
pub use verdict::{Condition, Situation, Verdict};
