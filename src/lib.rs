//! Machines that agree: a durable, ordered log of values, held by every node, decided by majority.
//!
//! A [`Node`] runs in any program; [`Handle`] talks to it. Alone it is a majority of one:
//!
//! ```
//! use quorate::{Node, NodeConfig, Outcome, Value, types::Slot};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let config = NodeConfig {
//!     bind: Some([127, 0, 0, 1].into()),
//!     port: 0, // the system chooses
//!     peers: vec![], // the same list on every machine: "a:8001".parse()?, …
//!     ..NodeConfig::new(directory.path())
//! };
//! let node = Node::start(config).await?;
//! node.handle().wait_ready().await?;
//!
//! let outcome = node.handle().propose(Value::new("blue")?).await;
//! let Outcome::Committed(committed) = outcome else { panic!("{outcome:?}") };
//!
//! let log = node.handle().committed(Slot(1), 100).await?;
//! assert_eq!(log.last().unwrap().position().slot, committed.slot);
//! node.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! `examples/embed.rs` runs three of them in one program.
//!
//! The floors, from the ground up; a file imports only from lower floors or lower files of its own:
//! [`types`] and [`limits`] · [`consensus`], [`peers`], [`topology`] · [`wire`], [`storage`], [`config`] ·
//! [`dispatch`], [`transport`] · [`engine`] · [`runtime`], [`sim`] · [`admin`] · [`cli`].

pub mod admin;
pub mod cli;
pub mod config;
pub mod consensus;
pub mod dispatch;
pub mod engine;
pub mod limits;
#[cfg(feature = "mutants")]
pub mod mutant;
#[cfg(not(feature = "mutants"))]
mod mutant;
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
