//! Why a node does not start, or stops: a sentence for the operator, and a class for the exit code.

use crate::consensus::Halt;
use crate::storage::LogError;
use crate::transport::{self, IdentityError};
use crate::types::NodeId;

/// What kind of trouble ended a node; each has its own exit code, so that a service manager can tell
/// what is worth a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// The data directory does not fit what the cluster knows of this node.
    Identity,
    /// The disk refuses, or what it holds is damaged.
    Storage,
    /// Another process listens where this one should.
    AddressInUse,
    /// A setting cannot work on this machine.
    Configuration,
}

impl FailureClass {
    /// The exit code of a process that ends for this.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Identity => 7,
            Self::Storage => 8,
            Self::AddressInUse => 9,
            Self::Configuration => 78,
        }
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Storage(#[from] LogError),
    /// Who lives in the directory cannot be told.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The node cannot listen where it should, or cannot say its name.
    #[error(transparent)]
    Transport(#[from] transport::StartError),
    /// The system gives no randomness, so neither keys nor nonces can be made.
    #[error("the system gives no randomness: {0}; check that /dev/urandom can be read")]
    Randomness(getrandom::Error),
    /// The disk thread cannot be made.
    #[error("cannot start the disk thread: {0}; raise the limit of processes for this user")]
    Thread(std::io::Error),
    /// The timer of the driver cannot be made.
    #[error("cannot make a timer: {0}; raise the limit of open files for this user")]
    Timer(std::io::Error),
}

impl StartError {
    /// Its class.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Storage(LogError::Foreign { .. } | LogError::Lost { .. })
            | Self::Identity(
                IdentityError::Missing { .. }
                | IdentityError::Damaged { .. }
                | IdentityError::Alone { .. },
            ) => FailureClass::Identity,
            Self::Storage(_)
            | Self::Identity(IdentityError::Io { .. } | IdentityError::Directory(_)) => {
                FailureClass::Storage
            }
            Self::Transport(transport::StartError::AddressInUse { .. }) => {
                FailureClass::AddressInUse
            }
            Self::Transport(
                transport::StartError::Listen { .. } | transport::StartError::BadName { .. },
            )
            | Self::Randomness(_)
            | Self::Thread(_)
            | Self::Timer(_) => FailureClass::Configuration,
        }
    }
}

/// Why a running node stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Reading or writing the log failed; it is never retried.
    #[error(transparent)]
    Storage(#[from] LogError),
    /// The disk has finished nothing for so long that it hangs, or its queue is full.
    #[error(
        "the disk took none of {waiting} waiting batches; the node stops, nothing acknowledged is lost: \
         check the disk of the data directory, then start the node again"
    )]
    DiskStalled {
        /// How many batches wait.
        waiting: usize,
    },
    /// Going on could break a promise.
    #[error("{0}")]
    Identity(Halt),
    /// A newer process lives under this node's identity.
    #[error(
        "a newer process runs as node {node}, so this one (start {start}) stops: {witness}; stop one of \
         the two for good, a copied data directory must never run beside its original: another machine \
         gets a data directory of its own, empty at its first start"
    )]
    Doubled {
        /// Whose identity it is.
        node: NodeId,
        /// Which of the node's lives this one is.
        start: u64,
        /// Who says so.
        witness: String,
    },
}

impl RunError {
    /// Its class.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Storage(_) | Self::DiskStalled { .. } => FailureClass::Storage,
            Self::Identity(_) | Self::Doubled { .. } => FailureClass::Identity,
        }
    }
}
