//! How members agree on the log: a pure machine.
//!
//! The rules R1 to R15 stand in `docs/CONSENSUS.md`; their numbers stand in the code.

mod catchup;
mod config;
mod core;
mod durable;
mod effects;
mod election;
mod entry;
mod input;
mod known;
mod machine;
mod message;
mod others;
mod proposals;
mod proposer;
mod reads;
mod record;
mod role;
mod settings;
mod standing;
mod state;
mod tail;
mod tally;
mod voter;

pub use self::core::Machine;
pub use config::{EpochConfig, Mode};
pub use effects::{Commit, Effects, Event, Halt, Outcome, Rejection, Send, Serve, To};
pub use entry::{Content, Entry, Kind, Proposal};
pub use input::Input;
pub use known::Known;
pub use message::{
    Beat, Body, Entries, Fetch, Message, Prepare, Promise, Propose, Read, ReadReply, Received,
    Refuse, Remember, Submit, Vote,
};
pub use record::Record;
pub use settings::Settings;
pub use standing::{Announcement, Seen, Standing};
pub use state::{Misfit, State};
pub use tail::Tail;

#[cfg(test)]
mod tests;
