//! The host of real nodes: sockets, disk and clock around one engine.
//!
//! One task ([`Node`]'s driver) owns the engine; the disk has a thread of its own; every link has its
//! tasks in [`crate::transport`]. They share channels, never locks. Several nodes can run in one process.

mod alarm;
mod answer;
mod command;
mod disk;
mod driver;
mod executor;
mod failure;
mod handle;
mod metrics;
mod narrate;
mod node;
mod notice;
mod proposing;
mod publish;
mod repeats;
mod round_trips;
mod wording;

pub use answer::{
    Committed, Delivery, Outcome, Queues, ReadError, Rejection, RelistError, SendError, Status,
    Stopped,
};
pub use failure::{FailureClass, RunError, StartError};
pub use handle::Handle;
pub use metrics::{METRICS_PREFIX, Metrics};
pub use narrate::{COMMIT_TARGET, NODE_TARGET};
pub use node::Node;
pub use notice::{Notice, Subscription};
pub use proposing::{Outcomes, Proposing};
