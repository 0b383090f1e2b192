//! A whole cluster in one thread: the real engine on pretend clocks, disks and wires, from one seed.
//!
//! [`run`] plays one seed and [`swarm`] many; [`play`] plays what a person wrote down. One seed is one
//! run, event for event: whatever goes wrong can be replayed. Every input of every node is followed
//! by the judge (`checker`), who knows the invariants of `docs/TESTING.md` by name.
//!
//! The way of a run: `run` draws a setup and a schedule of faults and requests from the seed ·
//! `cluster` lets the next happening of the `queue` happen · `deeds` does what the engine wants · `life` starts and kills ·
//! `links`, `network` and `disk` are what it is done with · `ask`, `texts`, `strike` and `identity` disturb it.

mod ask;
mod checker;
mod client;
mod clock;
mod cluster;
mod copy;
mod counters;
mod deeds;
mod disk;
mod doom;
mod fault;
mod finale;
mod happening;
mod identity;
mod life;
mod links;
mod mermaid;
mod network;
mod node;
mod queue;
mod rng;
mod run;
mod script;
mod story;
mod strike;
mod svg;
mod swarm;
mod texts;
mod trace;
mod transcript;

pub use checker::{Invariant, Violation};
pub use clock::Moment;
pub use counters::Counters;
pub use fault::{Faults, Shape, UnknownFaults, UnknownShape};
pub use mermaid::mermaid;
pub use run::{DRAWING, Options, Report, run};
pub use script::{ScriptError, Stage, play};
pub use story::{Class, Mark, Story, Window};
pub use svg::{escaped, svg};
pub use swarm::{Summary, swarm};
