//! Machines that agree: a durable, ordered log of values, held by every node, decided by majority.

pub mod admin;
pub mod config;
pub mod consensus;
pub mod dispatch;
pub mod engine;
pub mod limits;
pub mod peers;
pub mod runtime;
pub mod sim;
pub mod storage;
pub mod topology;
pub mod transport;
pub mod types;
pub mod wire;

pub use config::NodeConfig;
pub use runtime::{Handle, Node, Notice, Outcome};
pub use types::Value;
