//! How often a node was started on its directory: counted beside the log, once the log is open and before anyone
//! hears the node.
//!
//! So a count tells what a log must be. A directory that counts starts and holds no log, or one older than its last
//! start, has lost promises and votes that peers may have acted on (R15).

use crate::mutant::{self, Mutant};
use crate::storage::disk::{read_file, write_file};
use crate::storage::{Disk, LogError};

const FILE: &str = "boot";

/// How often a process was started on this directory; none if it never held a node.
///
/// # Errors
/// [`LogError::Damaged`] if the file does not hold a count; [`LogError::Io`].
pub fn starts<D: Disk>(disk: &D) -> Result<Option<u64>, LogError> {
    let path = disk.path(FILE);
    let io = LogError::io("read", path.clone());
    let Some(bytes) = read_file(disk, FILE).map_err(io)? else { return Ok(None) };
    let count = str::from_utf8(&bytes).ok().and_then(|text| text.trim_end().parse().ok());
    count.map(Some).ok_or_else(|| LogError::damaged(&path, 0, "it does not hold a count of starts"))
}

/// A directory is about to become a node's: durably, no start has been counted.
///
/// # Errors
/// [`LogError::Io`].
pub fn begin_starts<D: Disk>(disk: &D) -> Result<(), LogError> {
    write(disk, 0)
}

/// Counts a start, durably; gives its number, from 1. To be called once the log is open, and before anything is said:
/// a start that a peer heard of and that is forgotten would make the next life pass for an earlier one.
///
/// # Errors
/// As [`starts`].
pub fn count_start<D: Disk>(disk: &D) -> Result<u64, LogError> {
    let start = starts(disk)?.unwrap_or(0).saturating_add(1);
    write(disk, start)?;
    Ok(start)
}

/// Whether a log in its `generation`, 0 if it has none, can be what the last start left behind: every opening
/// begins a generation, and is counted after that.
pub(super) fn check<D: Disk>(disk: &D, generation: u64) -> Result<(), LogError> {
    let starts = starts(disk)?.unwrap_or(0);
    if generation < starts && !mutant::is(Mutant::LostLogIgnored) {
        return Err(LogError::Lost { path: disk.path(""), starts, is_older: generation > 0 });
    }
    Ok(())
}

fn write<D: Disk>(disk: &D, count: u64) -> Result<(), LogError> {
    let text = format!("{count}\n");
    write_file(disk, FILE, text.as_bytes()).map_err(LogError::io("write", disk.path(FILE)))
}
