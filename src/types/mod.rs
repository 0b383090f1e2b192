//! The ground every floor stands on: ids, time, values, digests and positions.

mod digest;
mod id;
mod position;
mod time;
mod value;

pub use digest::Digest;
pub(crate) use digest::read_hex;
pub use id::{MessageId, NodeId, ProposalId};
pub use position::{Epoch, Position, Round, Slot};
pub use time::Time;
pub use value::{Value, ValueError};
