//! What the log asks of a disk: files in one directory, and three kinds of certainty.
//!
//! [`DiskFile::sync`] makes the bytes and the length of one file durable, [`Disk::sync_directory`]
//! makes names durable, and a rename is atomic. Everything else may be lost or half done by a crash.

use std::io;
use std::path::PathBuf;

use crate::mutant::{self, Mutant};

/// One directory of files. Clones are handles of the same directory.
pub trait Disk: Clone + std::fmt::Debug {
    /// An open file. May be used by several threads.
    type File: DiskFile;

    /// Opens a file; none if there is no such name.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, name: &str) -> io::Result<Option<Self::File>>;

    /// Makes an empty file, in place of one of that name.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, in place of one of that name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a name away.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// All names, in ascending order.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes names durable: what was created, renamed or removed before.
    ///
    /// # Errors
    /// What the system says.
    fn sync_directory(&self) -> io::Result<()>;

    /// Where `name` is, for people.
    fn path(&self, name: &str) -> PathBuf;
}

/// One open file.
pub trait DiskFile: Clone + std::fmt::Debug + Send + Sync {
    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// What the system says; `UnexpectedEof` where the file ends before.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Puts `bytes` at `offset`; the file grows as needed.
    ///
    /// # Errors
    /// What the system says; part of it may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// How long it is.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether it is empty.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts it, or lengthens it with zeros.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes its bytes and its length durable.
    ///
    /// # Errors
    /// What the system says; then nothing is known of what was written since the last sync.
    fn sync(&self) -> io::Result<()>;

    /// Asks the system to begin to bring these bytes to the disk, so that the next [`DiskFile::sync`] waits less.
    /// Nothing is durable by it, and what goes wrong is told by that sync.
    fn begin_writing(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// Tells the system that it need not keep these bytes in memory. Nothing is lost by it.
    fn release(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }
}

/// The bytes of a small file; none if there is no such name.
///
/// # Errors
/// What the system says.
pub fn read_file<D: Disk>(disk: &D, name: &str) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = disk.open(name)? else { return Ok(None) };
    read_all(&file).map(Some)
}

/// Writes a small file whole or not at all: after a crash it holds these bytes or what it held before,
/// and once this returns it holds these bytes.
///
/// # Errors
/// What the system says.
pub fn write_file<D: Disk>(disk: &D, name: &str, bytes: &[u8]) -> io::Result<()> {
    let draft = format!("{name}.new");
    let file = disk.create(&draft)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.rename(&draft, name)?;
    if mutant::is(Mutant::RenameNotSynced) {
        return Ok(());
    }
    disk.sync_directory()
}

/// All bytes of `file`.
pub(super) fn read_all(file: &impl DiskFile) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}
