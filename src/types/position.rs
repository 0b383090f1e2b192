//! Where things stand: epochs, rounds, slots, and positions that name a whole prefix of the log.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::Digest;

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            ///
            /// # Panics
            /// Past 2^64 − 1, which no honest node reaches: the wire admits less than 2^53.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("a counter below 2^53 can be counted on"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// One configuration of the cluster. The first is 1.
    Epoch
}
counter! {
    /// An attempt at leading within an epoch. The first is 0.
    Round
}
counter! {
    /// A place in the log. The first is 1; 0 stands before it.
    Slot
}

impl Slot {
    /// The one before this; 0 has none and stays.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// A slot and the hash of its entry. The hash chains every entry to its parent,
/// so a position names the whole prefix that ends in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The slot of the last entry of the prefix.
    pub slot: Slot,
    /// The hash of that entry.
    pub hash: Digest,
}

impl Position {
    /// Before the first entry.
    pub const GENESIS: Self = Self { slot: Slot(0), hash: Digest::ZERO };
}

impl Default for Position {
    fn default() -> Self {
        Self::GENESIS
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.slot, self.hash.short())
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
