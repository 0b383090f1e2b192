//! Who lives: the failure detector, and how founders meet. Pure.

mod detector;
mod effects;
mod formation;
mod info;
mod input;
mod machine;
mod message;

mod table;

#[cfg(test)]
mod tests;

pub use effects::{Effects, Event};
pub use formation::Progress;
pub use info::{NodeInfo, NodeStatus};
pub use input::Input;
pub use machine::{Machine, Settings};
pub use message::Beat;
