//! How often a node was started on its directory: counted beside the log, once the log is open and before anyone
//! hears the node.
//!
//! So a count tells what a log must be. A directory that counts starts and holds no log, or one older than its last
//! start, has lost promises and votes that peers may have acted on (R15).

use crate::mutant::{self, Mutant};
use crate::storage::disk::{read_file, write_file};
use crate::storage::{Disk, LogError};

const FILE: &str = "boot";

/// What the file says.
struct Counted {
    /// How often a process was started.
    starts: u64,
    /// Which generation of the log the last of them began; 0 if the version that counted it did not say.
    generation: u64,
}

/// How often a process was started on this directory; none if it never held a node.
///
/// # Errors
/// [`LogError::Damaged`] if the file does not hold a count; [`LogError::Io`].
pub fn starts<D: Disk>(disk: &D) -> Result<Option<u64>, LogError> {
    Ok(read(disk)?.map(|counted| counted.starts))
}

/// A directory is about to become a node's: durably, no start has been counted.
///
/// # Errors
/// [`LogError::Io`].
pub fn begin_starts<D: Disk>(disk: &D) -> Result<(), LogError> {
    write(disk, &Counted { starts: 0, generation: 0 })
}

/// Counts a start, durably; gives its number, from 1. To be called once the log is open, with the generation that this
/// has begun, and before anything is said: a start that a peer heard of and that is forgotten would make the next life
/// pass for an earlier one.
///
/// # Errors
/// As [`starts`].
pub fn count_start<D: Disk>(disk: &D, generation: u64) -> Result<u64, LogError> {
    let starts = starts(disk)?.unwrap_or(0).saturating_add(1);
    write(disk, &Counted { starts, generation })?;
    Ok(starts)
}

/// Whether a log in its `generation`, 0 if it has none, can be what the last start left behind: every opening
/// begins a generation, and is counted with it after that.
pub(super) fn check<D: Disk>(disk: &D, generation: u64) -> Result<(), LogError> {
    let Some(counted) = read(disk)? else { return Ok(()) };
    if generation < counted.starts.max(counted.generation) && !mutant::is(Mutant::LostLogIgnored) {
        let (path, starts) = (disk.path(""), counted.starts);
        return Err(LogError::Lost { path, starts, is_older: generation > 0 });
    }
    Ok(())
}

fn read<D: Disk>(disk: &D) -> Result<Option<Counted>, LogError> {
    let path = disk.path(FILE);
    let io = LogError::io("read", path.clone());
    let Some(bytes) = read_file(disk, FILE).map_err(io)? else { return Ok(None) };
    let counted = str::from_utf8(&bytes).ok().and_then(parse);
    counted
        .map(Some)
        .ok_or_else(|| LogError::damaged(&path, 0, "it does not hold a count of starts"))
}

fn parse(text: &str) -> Option<Counted> {
    let mut numbers = text.split_ascii_whitespace().map(|number| number.parse().ok());
    let starts = numbers.next()??;
    let generation = numbers.next().unwrap_or(Some(0))?;
    numbers.next().is_none().then_some(Counted { starts, generation })
}

fn write<D: Disk>(disk: &D, counted: &Counted) -> Result<(), LogError> {
    let Counted { starts, generation } = counted;
    let text = format!("{starts} {generation}\n");
    write_file(disk, FILE, text.as_bytes()).map_err(LogError::io("write", disk.path(FILE)))
}
