//! What can happen in a simulated world.

use std::rc::Rc;
use std::time::Duration;

use crate::sim::clock::Moment;
use crate::sim::fault::Fault;
use crate::wire::Message;

/// One thing that happens at its moment.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// A frame arrives.
    Frame { from: usize, to: usize, generation: u32, sent: Moment, message: Rc<Message> },
    /// A process wanted to be woken.
    Wake { node: usize, life: u32 },
    /// A disk has done what it was given.
    DiskDone { node: usize, life: u32, through: u64, is_synced: bool, took: Duration },
    /// A process is told of it.
    Told { node: usize, life: u32, through: u64, took: Duration },
    /// One of the two is to dial the other.
    Dial { one: usize, other: usize, dial: u32 },
    /// A handshake is done at this end.
    LinkUp { node: usize, peer: usize, generation: u32 },
    /// This end learns that the link broke.
    LinkDown { node: usize, peer: usize, generation: u32 },
    /// This end learns that nobody listens at the other.
    DialRefused { node: usize, peer: usize, life: u32 },
    /// The world turns bad, or better.
    Fault(Fault),
    /// A client asks, or asks again.
    Ask(usize),
    /// Somebody copies a data directory.
    Copy { node: usize },
    /// An application sends a text.
    Text { node: usize, to: Option<usize>, number: u64 },
}

impl Happening {
    /// The node whose process must run to notice it.
    pub(super) fn concerns_process(&self) -> Option<usize> {
        match self {
            Self::Frame { to: node, .. }
            | Self::Wake { node, .. }
            | Self::Told { node, .. }
            | Self::LinkUp { node, .. }
            | Self::LinkDown { node, .. }
            | Self::DialRefused { node, .. } => Some(*node),
            Self::DiskDone { .. }
            | Self::Dial { .. }
            | Self::Fault(_)
            | Self::Ask(_)
            | Self::Copy { .. }
            | Self::Text { .. } => None,
        }
    }
}
