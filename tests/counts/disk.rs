//! A disk in memory whose writes and syncs are counted, and whose own memory is not.
//!
//! Zeros are room for later, made once in the life of a file: they are no batch's own and not counted.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quorate::storage::{Disk, DiskFile, MemoryDisk, MemoryFile};

/// A directory in memory. Clones are handles of the same directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountedDisk {
    files: MemoryDisk,
    counts: Arc<Counts>,
}

/// An open file of a [`CountedDisk`].
#[derive(Clone, Debug)]
pub(crate) struct CountedFile {
    file: MemoryFile,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    writes: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    begun: AtomicU64,
}

/// What a disk was asked to do so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Writes into files.
    pub(crate) writes: u64,
    /// Bytes in them.
    pub(crate) bytes: u64,
    /// Syncs of files and of the directory.
    pub(crate) syncs: u64,
    /// Bytes that it was asked to begin to bring to the disk.
    pub(crate) begun: u64,
}

impl CountedDisk {
    /// What it was asked to do so far.
    pub(crate) fn asked(&self) -> Asked {
        let Counts { writes, bytes, syncs, begun } = &*self.counts;
        let [writes, bytes, syncs, begun] =
            [writes, bytes, syncs, begun].map(|counter| counter.load(Ordering::Relaxed));
        Asked { writes, bytes, syncs, begun }
    }

    fn wrap(&self, file: MemoryFile) -> CountedFile {
        CountedFile { file, counts: Arc::clone(&self.counts) }
    }
}

impl Counts {
    fn wrote(&self, bytes: usize) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn synced(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }
}

/// Does what the pretended disk needs memory for and a real one does not.
fn uncounted<T>(act: impl FnOnce() -> T) -> T {
    let mut done = None;
    allocation_counter::opt_out(|| done = Some(act()));
    done.expect("it was done")
}

fn is_room(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

impl Disk for CountedDisk {
    type File = CountedFile;

    fn open(&self, name: &str) -> io::Result<Option<CountedFile>> {
        Ok(self.files.open(name)?.map(|file| self.wrap(file)))
    }

    fn create(&self, name: &str) -> io::Result<CountedFile> {
        uncounted(|| self.files.create(name)).map(|file| self.wrap(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        uncounted(|| self.files.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        uncounted(|| self.files.remove(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.files.list()
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.counts.synced();
        uncounted(|| self.files.sync_directory())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }
}

impl DiskFile for CountedFile {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if !is_room(bytes) {
            self.counts.wrote(bytes.len());
        }
        uncounted(|| self.file.write_at(offset, bytes))
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        uncounted(|| self.file.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        self.counts.synced();
        uncounted(|| self.file.sync())
    }

    fn begin_writing(&self, offset: u64, len: u64) {
        uncounted(|| {
            let mut bytes = vec![0; usize::try_from(len).expect("it is in memory")];
            self.file.read_at(offset, &mut bytes).expect("it was written");
            if !is_room(&bytes) {
                self.counts.begun.fetch_add(len, Ordering::Relaxed);
            }
        });
    }
}
