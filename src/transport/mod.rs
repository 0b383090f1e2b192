//! Sockets: dial, listen, shake hands, keep one link per peer.
//!
//! | task | how many | does |
//! |---|---|---|
//! | listener | one | accepts; starts a handshake per stranger, bounded, with a deadline |
//! | dialer | one per listed address | dials whenever no link leads to who lives there |
//! | keeper | one | decides which connection is the link of a peer, tells of up and down |
//! | reader, writer | two per link | frames in, in batches; frames out, batched into few writes |

mod backoff;
mod config;
mod connection;
mod dialer;
mod handshake;
mod identity;
mod incoming;
mod keeper;
mod known;
mod link;
mod links;
mod listener;
mod notices;
mod obstacles;
mod outbox;
mod probe;
mod shared;
#[expect(clippy::module_inception, reason = "the transport is the room's own thing")]
mod transport;
mod wall;
mod words;

pub use config::{StartError, TransportConfig};
pub use identity::{Identity, IdentityError};
pub use incoming::Incoming;
pub use obstacles::Obstacle;
pub use probe::{Ear, Met, ProbeError, probe};
pub use transport::{LinkStatus, SendError, Transport, TransportStatus};
pub use wall::wall_clock;
