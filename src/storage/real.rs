//! A directory of the file system, locked for this process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(target_os = "linux")]
use rustix::fs::Advice;

use crate::mutant::{self, Mutant};
use crate::storage::{Disk, DiskFile, LogError};

/// The file whose lock says that a process uses the directory.
const LOCK: &str = "lock";

/// A data directory. The lock is held until the last clone is dropped, or the process ends.
#[derive(Clone, Debug)]
pub struct RealDisk(Arc<Directory>);

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    handle: File,
    /// Held, never read: closing it gives the lock back.
    _lock: File,
}

impl RealDisk {
    /// Opens the directory, made if it is missing, and locks it.
    ///
    /// # Errors
    /// [`LogError::Locked`] if another process has it; [`LogError::Io`].
    pub fn open(path: &Path) -> Result<Self, LogError> {
        make_durably(path)?;
        let handle = File::open(path).map_err(LogError::io("open", path.to_owned()))?;
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(LogError::io("open", lock_path.clone()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(_) if mutant::is(Mutant::LockIgnored) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LogError::Locked { path: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => {
                return Err(LogError::io("lock", lock_path)(error));
            }
        }
        Ok(Self(Arc::new(Directory { path: path.to_owned(), handle, _lock: lock })))
    }
}

/// Writes a small file of `directory` whole or not at all, for this user alone: aside, synced, renamed, the
/// directory synced. For files that are not the log's, by whoever uses the directory.
///
/// # Errors
/// What the system says.
pub fn replace(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = directory.join(format!("{name}.tmp"));
    // One left by a crash may have other rights.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, directory.join(name))?;
    File::open(directory)?.sync_all()
}

/// Makes `path` and what is missing above it; each new name is synced in its parent.
fn make_durably(path: &Path) -> Result<(), LogError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_durably(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(LogError::io("create", path.to_owned())(error)),
    }
    let parent = parent.unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(LogError::io("sync", parent.to_owned()))
}

impl Disk for RealDisk {
    type File = Arc<File>;

    fn open(&self, name: &str) -> io::Result<Option<Self::File>> {
        match OpenOptions::new().read(true).write(true).open(self.path(name)) {
            Ok(file) => Ok(Some(Arc::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self, name: &str) -> io::Result<Self::File> {
        let path = self.path(name);
        // One left by a crash may have other rights.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600).open(path).map(Arc::new)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0.path)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.0.handle.sync_all()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path.join(name)
    }
}

impl DiskFile for Arc<File> {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    /// Linux begins to write what it is told will not be needed, and keeps what it is writing.
    fn begin_writing(&self, offset: u64, len: u64) {
        unneeded(self, offset, len);
    }

    fn release(&self, offset: u64, len: u64) {
        unneeded(self, offset, len);
    }
}

/// A hint: not taken, it costs the next sync time, and the system memory.
fn unneeded(file: &File, offset: u64, len: u64) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(file, offset, NonZeroU64::new(len), Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = (file, offset, len);
}
