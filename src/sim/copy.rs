//! A copy of a data directory, and what the judge knows of it.

use crate::sim::checker::Copied;
use crate::sim::disk::Image;

/// What can be brought back of a node.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) image: Image,
    pub(super) copied: Copied,
}

impl Copy {
    /// Whether it holds the epoch.
    pub(super) fn is_formed(&self) -> bool {
        self.copied.is_formed()
    }
}
