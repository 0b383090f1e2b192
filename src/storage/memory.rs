//! A disk in memory that forgets what was not synced: live bytes and durable bytes are kept apart.
//!
//! [`MemoryDisk::crashed`] draws, from a seed, what a machine finds after a power cut. Per file, of
//! what was written since its last sync: nothing, everything, a prefix whose last write is torn, or
//! any subset of its 512-byte blocks, whatever their order. Per name, since the directory was
//! synced: as it was or as it is. What was synced is always found.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::storage::{Disk, DiskFile};

/// Bytes that are written whole or not at all.
const BLOCK: usize = 512;

/// A directory in memory. Clones are handles of the same directory.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Directory>>);

/// An open file of a [`MemoryDisk`].
#[derive(Clone, Debug)]
pub struct MemoryFile {
    disk: MemoryDisk,
    id: u64,
}

#[derive(Debug, Default)]
struct Directory {
    /// Names as a process sees them.
    names: BTreeMap<String, u64>,
    /// Names as of the last sync of the directory.
    durable_names: BTreeMap<String, u64>,
    files: BTreeMap<u64, Body>,
    next_id: u64,
    /// The most bytes that all files may have together.
    capacity: Option<u64>,
    /// How many further changes succeed.
    changes_left: Option<u64>,
    changes: u64,
    /// Whether reading fails.
    is_unreadable: bool,
}

#[derive(Clone, Debug, Default)]
struct Body {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl MemoryDisk {
    /// The directory as a machine may find it after a power cut; `seed` draws the case.
    /// This one stays as it is.
    pub fn crashed(&self, seed: u64) -> Self {
        self.image(&mut Some(Dice(seed)))
    }

    /// The directory with what is durable, and nothing else.
    pub fn durable_image(&self) -> Self {
        self.image(&mut None)
    }

    /// From now on `changes` writes, syncs, cuts, creations, renames and removals succeed, and every
    /// later one fails.
    pub fn fail_after(&self, changes: u64) {
        self.directory().changes_left = Some(changes);
    }

    /// From now on writing fails where all files together would have more than `bytes`, and no file can
    /// be made once they have as many.
    pub fn full_at(&self, bytes: u64) {
        self.directory().capacity = Some(bytes);
    }

    /// How many bytes all files have together.
    pub fn used(&self) -> u64 {
        self.directory().used()
    }

    /// From now on every reading of a file fails, or none does.
    pub fn fail_reads(&self, fails: bool) {
        self.directory().is_unreadable = fails;
    }

    /// How many writes, syncs, cuts, creations, renames and removals have succeeded.
    pub fn changes(&self) -> u64 {
        self.directory().changes
    }

    fn image(&self, dice: &mut Option<Dice>) -> Self {
        let directory = self.directory();
        let mut names = directory.durable_names.clone();
        if let Some(dice) = dice {
            for (name, &id) in &directory.names {
                if names.get(name) != Some(&id) && dice.roll(2) == 0 {
                    names.insert(name.clone(), id);
                }
            }
            names.retain(|name, _| directory.names.contains_key(name) || dice.roll(2) == 0);
        }
        let files = names
            .values()
            .map(|&id| {
                let body = &directory.files[&id];
                let mut bytes = body.durable.clone();
                if let Some(dice) = dice {
                    dice.keep_some(&body.unsynced, &mut bytes);
                }
                (id, Body { live: bytes.clone(), durable: bytes, unsynced: Vec::new() })
            })
            .collect();
        Self(Arc::new(Mutex::new(Directory {
            durable_names: names.clone(),
            names,
            files,
            next_id: directory.next_id,
            ..Directory::default()
        })))
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        // A panic of another holder leaves the directory as a process would: half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory {
    fn change(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.changes_left {
            *left =
                left.checked_sub(1).ok_or_else(|| io::Error::other("the disk fails as told"))?;
        }
        self.changes += 1;
        Ok(())
    }

    fn used(&self) -> u64 {
        self.files.values().map(|body| body.live.len() as u64).sum()
    }

    fn has_room(&self, bytes: usize) -> io::Result<()> {
        let Some(capacity) = self.capacity else { return Ok(()) };
        if bytes > 0 && self.used() + bytes as u64 > capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// Forgets files that no name leads to, now or after a crash. Open handles of such files are
    /// answered `NotFound`; the log has none.
    fn forget_nameless(&mut self) {
        let Self { names, durable_names, files, .. } = self;
        files.retain(|id, _| names.values().chain(durable_names.values()).any(|named| named == id));
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn open(&self, name: &str) -> io::Result<Option<MemoryFile>> {
        Ok(self.directory().names.get(name).map(|&id| MemoryFile { disk: self.clone(), id }))
    }

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        let mut directory = self.directory();
        directory.change()?;
        directory.has_room(1)?;
        let id = directory.next_id;
        directory.next_id += 1;
        directory.files.insert(id, Body::default());
        directory.names.insert(name.to_owned(), id);
        directory.forget_nameless();
        Ok(MemoryFile { disk: self.clone(), id })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut directory = self.directory();
        directory.change()?;
        let id = directory.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        directory.names.insert(to.to_owned(), id);
        directory.forget_nameless();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut directory = self.directory();
        directory.change()?;
        directory.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        directory.forget_nameless();
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.directory().names.keys().cloned().collect())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut directory = self.directory();
        directory.change()?;
        directory.durable_names = directory.names.clone();
        directory.forget_nameless();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("memory").join(name)
    }
}

impl MemoryFile {
    fn with<T>(&self, act: impl FnOnce(&mut Body) -> io::Result<T>) -> io::Result<T> {
        let mut directory = self.disk.directory();
        act(directory.files.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?)
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut directory = self.disk.directory();
        directory.change()?;
        let body = directory.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        directory.has_room(change.end().saturating_sub(body.live.len()))?;
        let body = directory.files.get_mut(&self.id).expect("looked at above");
        change.apply(&mut body.live);
        body.unsynced.push(change);
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        if self.disk.directory().is_unreadable {
            return Err(io::Error::other("the disk does not read as told"));
        }
        self.with(|body| {
            let offset = place(offset)?;
            let found = offset
                .checked_add(bytes.len())
                .and_then(|end| body.live.get(offset..end))
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            bytes.copy_from_slice(found);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Change::Write { offset: place(offset)?, bytes: bytes.to_vec() })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|body| Ok(body.live.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(place(len)?))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.directory().change()?;
        self.with(|body| {
            for change in body.unsynced.drain(..) {
                change.apply(&mut body.durable);
            }
            Ok(())
        })
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl Change {
    /// The least length of the file after it.
    fn end(&self) -> usize {
        match self {
            Self::Write { offset, bytes } => offset + bytes.len(),
            Self::Length(len) => *len,
        }
    }

    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(file, *offset, bytes),
            Self::Length(len) => file.resize(*len, 0),
        }
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

/// A small generator (SplitMix64): what is drawn depends on the seed and on nothing else.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % sides as u64).expect("below a usize")
    }

    fn keep_some(&mut self, unsynced: &[Change], file: &mut Vec<u8>) {
        match self.roll(4) {
            0 => {}
            1 => unsynced.iter().for_each(|change| change.apply(file)),
            2 => self.keep_prefix(unsynced, file),
            _ => self.keep_blocks(unsynced, file),
        }
    }

    fn keep_prefix(&mut self, unsynced: &[Change], file: &mut Vec<u8>) {
        let whole = self.roll(unsynced.len() + 1);
        unsynced[..whole].iter().for_each(|change| change.apply(file));
        if let Some(Change::Write { offset, bytes }) = unsynced.get(whole) {
            let kept = self.roll(bytes.len() + 1);
            put(file, *offset, &bytes[..kept]);
        }
    }

    fn keep_blocks(&mut self, unsynced: &[Change], file: &mut Vec<u8>) {
        for change in unsynced {
            match change {
                Change::Length(_) if self.roll(2) == 0 => change.apply(file),
                Change::Length(_) => {}
                Change::Write { offset, bytes } => {
                    let mut from = 0;
                    while from < bytes.len() {
                        let to = (from + BLOCK - (offset + from) % BLOCK).min(bytes.len());
                        if self.roll(2) == 0 {
                            put(file, offset + from, &bytes[from..to]);
                        }
                        from = to;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{read_file, write_file};

    #[test]
    fn what_is_synced_survives_and_the_rest_may_not() {
        let disk = MemoryDisk::default();
        let file = disk.create("a").unwrap();
        disk.sync_directory().unwrap();
        file.write_at(0, b"synced").unwrap();
        file.sync().unwrap();
        file.write_at(6, &[7; 2000]).unwrap();
        let (mut lost, mut kept, mut torn) = (0, 0, 0);
        for seed in 0..100 {
            let found = read_file(&disk.crashed(seed), "a").unwrap().unwrap();
            assert_eq!(&found[..6], b"synced");
            match &found[6..] {
                [] => lost += 1,
                rest if rest == [7; 2000] => kept += 1,
                _ => torn += 1,
            }
        }
        assert!(lost > 10 && kept > 10 && torn > 10, "{lost} {kept} {torn}");
        assert_eq!(read_file(&disk.durable_image(), "a").unwrap().unwrap(), b"synced");
        assert_eq!(read_file(&disk, "a").unwrap().unwrap().len(), 2006);
    }

    #[test]
    fn one_seed_draws_one_case() {
        let disk = MemoryDisk::default();
        disk.create("a").unwrap().write_at(0, &[1; 5000]).unwrap();
        for seed in 0..20 {
            let (one, other) = (disk.crashed(seed), disk.crashed(seed));
            assert_eq!(read_file(&one, "a").unwrap(), read_file(&other, "a").unwrap());
        }
    }

    #[test]
    fn a_name_is_durable_only_with_its_directory() {
        let disk = MemoryDisk::default();
        disk.create("a").unwrap().sync().unwrap();
        assert!(disk.durable_image().list().unwrap().is_empty());
        disk.sync_directory().unwrap();
        disk.remove("a").unwrap();
        assert_eq!(disk.durable_image().list().unwrap(), ["a"]);
        let found: Vec<_> = (0..20).map(|seed| disk.crashed(seed).list().unwrap().len()).collect();
        assert!(found.contains(&0) && found.contains(&1));
    }

    #[test]
    fn a_small_file_is_written_whole_or_not_at_all() {
        let disk = MemoryDisk::default();
        write_file(&disk, "f", b"old").unwrap();
        for changes in 0..5 {
            let disk = disk.durable_image();
            disk.fail_after(changes);
            assert!(write_file(&disk, "f", b"new").is_err());
            for seed in 0..50 {
                let found = read_file(&disk.crashed(seed), "f").unwrap().unwrap();
                assert!(found == b"old" || found == b"new", "{found:?}");
            }
        }
        write_file(&disk, "f", b"new").unwrap();
        assert_eq!(read_file(&disk.durable_image(), "f").unwrap().unwrap(), b"new");
    }

    #[test]
    fn a_full_disk_says_so() {
        let disk = MemoryDisk::default();
        disk.full_at(10);
        let file = disk.create("a").unwrap();
        file.write_at(0, &[0; 10]).unwrap();
        file.write_at(0, &[1; 10]).unwrap();
        assert_eq!(file.write_at(5, &[0; 6]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.create("b").unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.full_at(disk.used() + 1);
        disk.create("b").unwrap().write_at(0, &[0]).unwrap();
    }

    #[test]
    fn a_disk_that_does_not_read_keeps_what_it_has() {
        let disk = MemoryDisk::default();
        write_file(&disk, "f", b"kept").unwrap();
        disk.fail_reads(true);
        assert!(read_file(&disk, "f").is_err());
        assert_eq!(read_file(&disk.durable_image(), "f").unwrap().unwrap(), b"kept");
    }
}
