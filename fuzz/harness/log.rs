//! A directory of any bytes, opened as a log: found to be one, or refused with a sentence, and in neither
//! case changed where it is refused.

use quorate::consensus::Record;
use quorate::limits;
use quorate::storage::{
    Disk, DiskFile, DurableLog, Log, LogError, LogReader, MemoryDisk, Recovered, Settings, inspect,
    read_file,
};
use quorate::types::{NodeId, Round, Slot};

use super::script::Script;

/// Whose logs the kept inputs are.
pub const NODE: NodeId = NodeId::from_u128(1);

/// Zeros behind a journal whose name is marked: it is written into room that it has already.
const ROOM: usize = 4096;

/// The files of a directory: name 1, marks 1, length 2, bytes. The marks say what is put right, so that
/// more than the checksums is looked at.
pub fn run(input: &[u8]) {
    let disk = MemoryDisk::default();
    let mut script = Script::new(input);
    while !script.is_over() {
        let name = name(script.byte(), &mut script);
        let marks = script.byte();
        let len = usize::from(script.u16());
        let mut bytes = script.take(len).to_vec();
        if marks & 2 != 0 {
            bytes.resize(bytes.len() + ROOM, 0);
        }
        if marks & 1 != 0 {
            if name.starts_with("journal") {
                seal_journal(&mut bytes);
            } else if name.starts_with("chain") {
                seal_segment(&mut bytes);
            }
        }
        let file = disk.create(&name).expect("memory is there");
        file.write_at(0, &bytes).expect("memory is there");
        file.sync().expect("memory is there");
    }
    disk.sync_directory().expect("memory is there");
    open(&disk);
}

/// Small files, so that few bytes make many of them.
pub fn settings() -> Settings {
    Settings {
        journal_bytes: 4096,
        segment_bytes: 512,
        retained_slots: 2,
        retained_bytes: 1024,
        proposal_ids_slots: 4,
        ..Settings::new(NODE)
    }
}

fn name(byte: u8, script: &mut Script<'_>) -> String {
    match byte {
        0 => "format".to_owned(),
        1 | 2 => format!("journal-{}", byte - 1),
        3..=200 => format!("chain-{:016}", byte - 2),
        201..=240 => format!("chain-{:016}", script.u64()),
        _ => String::from_utf8_lossy(script.take(8)).into_owned(),
    }
}

fn open(disk: &MemoryDisk) {
    let settings = settings();
    let journals_before = journals(disk);
    let before = disk.changes();
    let seen = inspect(disk, &settings);
    assert_eq!(disk.changes(), before, "looking changes nothing");
    match (DurableLog::open(disk, settings.clone()), seen) {
        (Ok((log, found)), Ok(seen)) => {
            assert_eq!(found, seen, "an opening finds what was seen");
            go_on(disk, log, &found, &journals_before);
        }
        (Err(error), seen) => {
            assert!(!error.to_string().is_empty());
            if seen.is_err() {
                assert_eq!(disk.changes(), before, "what is refused stays as it is");
            }
        }
        (Ok(_), Err(error)) => panic!("opened, though it was said: {error}"),
    }
}

/// A log that was opened works: it is read, a record is added, and found again after a crash.
fn go_on(disk: &MemoryDisk, mut log: DurableLog<MemoryDisk>, found: &Recovered, before: &Journals) {
    let settings = settings();
    let committed = found.state.committed.slot;
    match log.reader().read(Slot(1), committed, usize::MAX) {
        Ok(entries) => assert_eq!(entries.len() as u64, committed.0, "no entry is missing"),
        Err(error) => assert!(matches!(error, LogError::Damaged { .. }), "{error}"),
    }
    if has_impossible_batches(before, disk) {
        return;
    }
    let crashed = DurableLog::open(&disk.crashed(7), settings.clone());
    let (_, crashed) = crashed.expect("it was opened before");
    // What was torn was cut then.
    assert_eq!(crashed, Recovered { torn: false, ..found.clone() }, "opening loses nothing");
    if found.state.config.is_none() {
        return;
    }
    let round = found.state.promised.map_or(Round(0), Round::next);
    if round.0 > limits::INTEGER_MAX {
        return;
    }
    if log.append(&[Record::Promise { round }]).and_then(|()| log.sync()).is_err() {
        return;
    }
    let (_, again) = DurableLog::open(&disk.durable_image(), settings.clone())
        .expect("what was written is read");
    assert_eq!(again.state.promised, Some(round), "what is synced is found");
}

type Journals = [Option<Vec<u8>>; 2];

fn journals(disk: &MemoryDisk) -> Journals {
    ["journal-0", "journal-1"].map(|name| read_file(disk, name).expect("memory is there"))
}

/// Whether batches that carry the salt of the generation just begun stand where it will go on. The salt is
/// drawn from the state that begins it, and batches are written only behind that: no writer leaves them.
fn has_impossible_batches(before: &Journals, disk: &MemoryDisk) -> bool {
    journals(disk).iter().zip(before).filter(|(after, before)| after != before).any(|(after, _)| {
        let bytes = after.as_ref().expect("no journal is taken away");
        // The other file of a first generation is empty.
        let behind = bytes.get(40..).unwrap_or_default();
        behind.windows(16).step_by(8).any(|window| window == &bytes[8..24])
    })
}

/// Gives every frame the length and the checksum that fit its place; see `src/storage/frame.rs`.
fn seal_journal(bytes: &mut [u8]) {
    const HEADER: usize = 32;
    let mut offset = 0;
    while offset + HEADER <= bytes.len() {
        let length = number(bytes, offset) as usize;
        if length == 0 {
            return;
        }
        let length = length.min(bytes.len() - offset - HEADER);
        let head = (length as u32).to_be_bytes();
        let end = offset + HEADER + length;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&(offset as u64).to_be_bytes());
        hasher.update(&bytes[offset + 8..end]);
        hasher.update(&head);
        let checksum = hasher.finalize().to_be_bytes();
        bytes[offset..offset + 4].copy_from_slice(&head);
        bytes[offset + 4..offset + 8].copy_from_slice(&checksum);
        offset = end.next_multiple_of(8);
    }
}

/// The same for the head, the records and the index of a segment; see `src/storage/segment.rs`.
fn seal_segment(bytes: &mut [u8]) {
    const HEAD: usize = 52;
    const TRAILER: usize = 64;
    if bytes.len() < 64 {
        return;
    }
    let checksum = crc32fast::hash(&bytes[..60]).to_be_bytes();
    bytes[60..64].copy_from_slice(&checksum);
    let mut records_end = bytes.len();
    if bytes.len() >= 64 + TRAILER {
        let at = bytes.len() - TRAILER;
        if &bytes[at..at + 8] == b"quoindex" {
            let points = (number(bytes, at + 8) as usize).saturating_mul(48);
            let end = at.saturating_sub(points).max(64);
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&bytes[end..at]);
            hasher.update(&bytes[at + 16..]);
            let checksum = hasher.finalize().to_be_bytes();
            bytes[at + 12..at + 16].copy_from_slice(&checksum);
            records_end = end;
        }
    }
    let mut offset = 64;
    while offset + HEAD <= records_end {
        let length = (number(bytes, offset) as usize).min(records_end - offset - HEAD);
        let head = (length as u32).to_be_bytes();
        let content = offset + HEAD;
        let body = crc32fast::hash(&bytes[content..content + length]).to_be_bytes();
        bytes[offset + 48..content].copy_from_slice(&body);
        bytes[offset..offset + 4].copy_from_slice(&head);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes[offset + 8..content + length.min(33)]);
        hasher.update(&head);
        let checksum = hasher.finalize().to_be_bytes();
        bytes[offset + 4..offset + 8].copy_from_slice(&checksum);
        offset = content + length;
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().expect("looked at by the caller"))
}
