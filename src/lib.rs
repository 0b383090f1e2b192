//! Machines that agree: a durable, ordered log of values, held by every node, decided by majority.

pub mod consensus;
pub mod limits;
pub mod peers;
pub mod storage;
pub mod topology;
pub mod types;
pub mod wire;

pub use types::Value;
