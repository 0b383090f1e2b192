//! Why a log cannot be used: what, where, and the way out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::consensus::Misfit;
use crate::types::NodeId;

/// Why a log cannot be used. Every text names the thing and the next step.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// Reading or writing failed.
    #[error(
        "cannot {action} {}: {source}; the node stops, nothing acknowledged is lost: {hint}",
        path.display()
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What to do about it.
        hint: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Bytes that were synced are no longer what was written.
    #[error(
        "{} is damaged at byte {offset}: {what}; nothing was changed: check the disk and keep the whole \
         directory {}; the other members hold the log and go on without this one: see \"A machine is lost for \
         good\" in docs/OPERATIONS.md",
        path.display(),
        path.parent().unwrap_or(path).display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The directory counts more starts of its node than its log can have seen.
    #[error(
        "{} belongs to a node that was started {starts} times, and {}: what the node promised and voted is not \
         there, and without it agreement could break (R15), so the node does not start: put the whole directory \
         back as it was when the node last ran; where it is gone, see \"A machine is lost for good\" in \
         docs/OPERATIONS.md",
        path.display(),
        if *is_older { "its log is an older copy" } else { "its log is missing" }
    )]
    Lost {
        /// The directory.
        path: PathBuf,
        /// How often the node was started.
        starts: u64,
        /// Whether there is a log, from before the last start.
        is_older: bool,
    },
    /// Another process uses the directory.
    #[error(
        "{} is in use by another process: stop it first, or give this node another data directory",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The log was written by another node.
    #[error(
        "{} holds the log of node {found}, this is node {expected}: a log never moves between \
         identities, give this node its own data directory",
        path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose log it is.
        found: NodeId,
        /// Who opens it.
        expected: NodeId,
    },
    /// The log is of a format that this program does not know.
    #[error(
        "{} says {found:?}, this program reads {expected:?}: start the version that wrote it",
        path.display()
    )]
    Format {
        /// The file that names the format.
        path: PathBuf,
        /// What it names.
        found: String,
        /// What this program knows.
        expected: &'static str,
    },
    /// A record that no correct machine makes was to be appended.
    #[error("{0}: this is a bug of the node, which stops before it writes: please report it")]
    Misfit(#[from] Misfit),
}

impl LogError {
    /// For `map_err`: the error of doing `action` on the file at `path`.
    pub(super) fn io(action: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path,
            hint: next_step(source.kind()),
            source: source.into(),
        }
    }

    /// Damage at `offset` of the file at `path`.
    pub(super) fn damaged(path: &Path, offset: u64, what: &'static str) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what }
    }
}

/// What an operator should do about an error of the file system before the node is started again.
pub fn next_step(kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind::{
        FileTooLarge, NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };
    match kind {
        StorageFull | QuotaExceeded => {
            "the disk is full: free some space, then start the node again"
        }
        FileTooLarge => "a limit on file sizes is in force: raise it, then start the node again",
        ReadOnlyFilesystem => {
            "the file system is read-only: check the disk, mount it writable, then start the node again"
        }
        PermissionDenied => {
            "the node's user may not write there: mend owner and permissions, then start the node again"
        }
        NotFound | NotADirectory => {
            "there is no such directory, and none can be made: mend the path, then start the node again"
        }
        _ => "look for disk errors in the system's log, then start the node again",
    }
}
