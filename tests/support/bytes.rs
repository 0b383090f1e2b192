//! The files of a log as bytes: where its frames stand, and how to spoil them.

use quorate::storage::{Disk, DiskFile, MemoryDisk, read_file};

/// The journal file whose generation is the last, and its bytes.
pub(crate) fn newest_journal(disk: &MemoryDisk) -> (&'static str, Vec<u8>) {
    ["journal-0", "journal-1"]
        .into_iter()
        .filter_map(|name| Some((name, read_file(disk, name).unwrap()?)))
        .max_by_key(|(_, bytes)| bytes.get(8..16).map(<[u8]>::to_vec))
        .unwrap()
}

/// Where the frames of a journal start; the last is where it ends.
pub(crate) fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    let generation = &bytes[8..16];
    loop {
        let at = *starts.last().unwrap();
        let length = u32::from_be_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
        if length == 0 || bytes[at + 8..at + 16] != *generation {
            return starts;
        }
        starts.push(at + (32 + length).next_multiple_of(8));
    }
}

pub(crate) fn overwrite(disk: &MemoryDisk, name: &str, at: usize, bytes: &[u8]) {
    let file = disk.open(name).unwrap().unwrap();
    file.write_at(at as u64, bytes).unwrap();
    file.sync().unwrap();
}

pub(crate) fn flip(disk: &MemoryDisk, name: &str, at: usize) {
    let byte = read_file(disk, name).unwrap().unwrap()[at];
    overwrite(disk, name, at, &[byte ^ 0x10]);
}
