//! The judge: looks at everything after every step, and knows what must hold.
//!
//! It sees what nodes are told, write, sync, say and publish, keeps its own books of it (`ledger`),
//! counts the votes on the synced disks itself (`oracle`), checks every frame against what its
//! sender's disk is known to hold (`claims`) and every answer against the clients' history (`history`).
//! All checks are incremental: a step costs what the step did.

mod books;
mod claims;
mod history;
mod invariant;
mod judge;
mod ledger;
mod oracle;
mod outcasts;
mod published;
mod texts;
mod watch;

pub(super) use invariant::{Finding, Verdict};
pub use invariant::{Invariant, Violation};
pub(super) use judge::Checker;
pub(super) use ledger::Head;
pub(super) use outcasts::Copied;
