//! The journal: two preallocated files, used in turn, that hold what the chain does not hold yet.
//!
//! A generation is one life of one file: a snapshot of the state, then batches of records. Steady
//! writes overwrite zeros or stale bytes of a file whose length does not change, which is the cheapest
//! thing to sync. The other file keeps the generation before, until the snapshot of the next is synced.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::consensus::Record;
use crate::limits;
use crate::mutant::{self, Mutant};
use crate::storage::codec::{Decoder, Malformed, put_count, put_record};
use crate::storage::disk::read_all;
use crate::storage::frame::{self, Header};
use crate::storage::snapshot::Snapshot;
use crate::storage::{Disk, DiskFile, LogError};
use crate::types::Position;

/// The two files; generation g is in the one at g mod 2.
const NAMES: [&str; 2] = ["journal-0", "journal-1"];

/// What is said of a file that was taken away.
const MISSING: &str = "the file is missing, and it may have held what came last";

/// How much a file has at first: growing to the full length is left to those who write much.
const FIRST_BYTES: u64 = 1 << 20;

/// How much is written at a time where much is written.
const CHUNK: usize = 1 << 20;

/// How much room for the next generation is made at a time.
const ROOM_BYTES: u64 = 256 << 10;

/// Lengths of files are multiples of this.
const PAGE: u64 = 4096;

/// The last generation, as the files hold it.
pub(super) struct Generation {
    /// Its number, from 1.
    pub(super) number: u64,
    /// How it began.
    pub(super) snapshot: Snapshot,
    /// What followed.
    pub(super) batches: Batches,
    /// Whether part of a later batch stands behind them.
    pub(super) torn: bool,
}

/// The batches of a generation, as its file holds them: made into records one by one, for all of them together would
/// take several times the file.
pub(super) struct Batches {
    file: Vec<u8>,
    /// Where they stand in it.
    within: Range<usize>,
}

impl Batches {
    /// Each batch with its offset, in order; the offset alone of one that holds something else than records.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Result<Vec<Record>, Malformed>)> {
        let mut at = self.within.start;
        std::iter::from_fn(move || {
            let offset = at;
            let frame = (offset < self.within.end).then(|| frame::at(&self.file, offset))??;
            at = frame.end;
            let mut records = batch(frame.payload);
            if at == self.within.end
                && mutant::is(Mutant::LastRecordDropped)
                && let Ok(records) = &mut records
            {
                records.pop();
            }
            Some((offset as u64, records))
        })
    }
}

/// Reads the files and changes nothing; none if no generation has ever begun. What a crash tore off is
/// left out.
///
/// # Errors
/// [`LogError::Damaged`] if something is missing that was synced; [`LogError::Io`].
pub(super) fn find<D: Disk>(disk: &D) -> Result<Option<Generation>, LogError> {
    let mut files = [Vec::new(), Vec::new()];
    let mut missing = None;
    for (bytes, name) in files.iter_mut().zip(NAMES) {
        let io = |action| LogError::io(action, disk.path(name));
        match disk.open(name).map_err(io("open"))? {
            Some(file) => *bytes = read_to_judge(&file).map_err(io("read"))?,
            None => missing = Some(name),
        }
    }
    let begun = |which: usize| {
        frame::at(&files[which], 0)
            .map(|frame| frame.header.generation)
            .filter(|generation| index(*generation) == which)
    };
    let newest = begun(0).max(begun(1));
    for (bytes, name) in files.iter().zip(NAMES) {
        // A snapshot is synced before anything follows it, so what follows proves that it was whole.
        let later = |header: Header| Some(header.generation) > newest && header.durable > 0;
        if frame::at(bytes, 0).is_none() && frame::find_behind(bytes, 0, later).is_some() {
            let what = "the state that begins it is not what was written";
            return Err(LogError::damaged(&disk.path(name), 0, what));
        }
    }
    let Some(number) = newest else { return Ok(None) };
    let which = index(number);
    // Both names were synced before the first generation began.
    if let Some(name) = missing {
        return Err(LogError::damaged(&disk.path(name), 0, MISSING));
    }
    // The generation before was written to the other file, which no writer shortens.
    if number > 1 && files[1 - index(number)].is_empty() {
        let what = "it is empty, and held what came before or after";
        return Err(LogError::damaged(&disk.path(NAMES[1 - index(number)]), 0, what));
    }
    if number > limits::INTEGER_MAX {
        let what = "a generation that no writer comes to";
        return Err(LogError::damaged(&disk.path(NAMES[which]), 0, what));
    }
    drop(files);
    let io = |action| LogError::io(action, disk.path(NAMES[which]));
    let file = disk.open(NAMES[which]).map_err(io("open"))?.expect("it was there just now");
    let file = read_all(&file).map_err(io("read"))?;
    let (snapshot, within, torn) = judge(&file, &|offset, what| {
        LogError::damaged(&disk.path(NAMES[which]), offset as u64, what)
    })?;
    Ok(Some(Generation { number, snapshot, batches: Batches { file, within }, torn }))
}

/// The beginning of a file where its first frame holds, all of it where it does not: no more memory than telling
/// which of two files is the newer one needs.
fn read_to_judge(file: &impl DiskFile) -> std::io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(std::io::Error::other)?;
    let mut beginning = vec![0; len.min(frame::HEADER)];
    file.read_at(0, &mut beginning)?;
    beginning.resize(frame::reach(&beginning).unwrap_or(0).clamp(beginning.len(), len), 0);
    file.read_at(0, &mut beginning)?;
    match frame::at(&beginning, 0) {
        Some(_) => Ok(beginning),
        None => read_all(file),
    }
}

/// The file of a generation.
pub(super) fn name(generation: u64) -> &'static str {
    NAMES[index(generation)]
}

fn index(generation: u64) -> usize {
    usize::from(generation % 2 == 1)
}

/// How the generation in `file` began, where its batches stand, and whether part of a later one follows.
fn judge(
    file: &[u8],
    damaged: &dyn Fn(usize, &'static str) -> LogError,
) -> Result<(Snapshot, Range<usize>, bool), LogError> {
    let first = frame::at(file, 0).expect("the caller has looked at it");
    let snapshot = Snapshot::decode(first.payload).map_err(|Malformed(what)| damaged(0, what))?;
    let Header { generation, salt, .. } = first.header;
    let ours = |header: Header| {
        let is_salted = header.salt == salt || mutant::is(Mutant::SaltIgnored);
        let is_stale_taken = mutant::is(Mutant::StaleBatchesTaken);
        (header.generation == generation && is_salted) || is_stale_taken
    };
    let mut offset = first.end;
    while let Some(frame) = frame::at(file, offset).filter(|frame| ours(frame.header)) {
        offset = frame.end;
    }
    let synced_past_it = |header: Header| ours(header) && header.durable > offset as u64;
    if mutant::is(Mutant::TearTakenForDamage) && file.iter().skip(offset).take(32).any(|b| *b != 0)
    {
        return Err(damaged(offset, "a torn batch"));
    }
    if frame::find_behind(file, offset, synced_past_it).is_some()
        && !mutant::is(Mutant::DamageTakenForTear)
    {
        return Err(damaged(offset, "a synced batch is not what was written"));
    }
    let torn = frame::header(file, offset).is_some_and(ours)
        || frame::find_behind(file, offset, ours).is_some();
    Ok((snapshot, first.end..offset, torn))
}

fn batch(payload: &[u8]) -> Result<Vec<Record>, Malformed> {
    let mut decoder = Decoder::new(payload);
    let mut records = Vec::new();
    for _ in 0..decoder.u32()? {
        records.push(decoder.record()?);
    }
    decoder.end()?;
    Ok(records)
}

/// The journal, open for writing.
#[derive(Debug)]
pub(super) struct Journal<D: Disk> {
    disk: D,
    /// The file of the generation, with its length.
    file: D::File,
    len: u64,
    which: usize,
    /// The other file, with its length: the next generation goes there.
    other: (D::File, u64),
    generation: u64,
    salt: u64,
    /// Frames that are not written yet; they belong at `written`.
    buffer: Vec<u8>,
    written: u64,
    /// Up to where everything is synced.
    durable: u64,
    bytes_max: u64,
}

/// The batch does not fit: a new generation is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<D: Disk> Journal<D> {
    /// Begins a generation with `snapshot`, which is durable once this returns. The caller has made
    /// durable what the snapshot refers to.
    pub(super) fn begin(
        disk: &D,
        generation: u64,
        snapshot: &Snapshot,
        bytes_max: u64,
    ) -> Result<Self, LogError> {
        let other = other(disk, NAMES[1 - index(generation)], generation)?;
        Self::begin_beside(other, disk, generation, snapshot, bytes_max)
    }

    /// Which generation this is, from 1.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Begins the next generation, in the other file.
    pub(super) fn begin_next(&mut self, snapshot: &Snapshot) -> Result<(), LogError> {
        let (other, generation) = ((self.file.clone(), self.len), self.generation + 1);
        *self = Self::begin_beside(other, &self.disk, generation, snapshot, self.bytes_max)?;
        Ok(())
    }

    fn begin_beside(
        other: (D::File, u64),
        disk: &D,
        generation: u64,
        snapshot: &Snapshot,
        bytes_max: u64,
    ) -> Result<Self, LogError> {
        let mut bytes = Vec::new();
        let start = frame::begin(&mut bytes);
        snapshot.encode(&mut bytes);
        let digest = Sha256::new().chain_update(generation.to_be_bytes()).chain_update(&bytes);
        let salt =
            u64::from_be_bytes(*digest.finalize().first_chunk().expect("a digest has 32 bytes"));
        frame::finish(&mut bytes, start, 0, Header { generation, salt, durable: 0 });

        let which = index(generation);
        let io = |action| LogError::io(action, disk.path(NAMES[which]));
        // Room for as much again, or every batch would begin a generation.
        let needed = (2 * bytes.len() as u64).next_multiple_of(PAGE);
        let (file, len, is_new) = match disk.open(NAMES[which]).map_err(io("open"))? {
            Some(file) => {
                let len = file.len().map_err(io("measure"))?;
                (file, len, false)
            }
            None => (disk.create(NAMES[which]).map_err(io("create"))?, 0, true),
        };
        let grown = room(generation, bytes_max).max(needed);
        fill(&file, len, grown).map_err(io("grow"))?;
        file.write_at(0, &bytes).map_err(io("write"))?;
        file.sync().map_err(io("sync"))?;
        if is_new && !mutant::is(Mutant::JournalNameNotSynced) {
            disk.sync_directory().map_err(io("sync the directory of"))?;
        }
        Ok(Self {
            disk: disk.clone(),
            file,
            len: len.max(grown),
            which,
            other,
            generation,
            salt,
            buffer: Vec::new(),
            written: bytes.len() as u64,
            durable: bytes.len() as u64,
            bytes_max,
        })
    }

    /// Adds a batch of records, made where the log ended in `tip`. Nothing is added if it does not fit.
    pub(super) fn append<'r>(
        &mut self,
        records: impl ExactSizeIterator<Item = (&'r Record, Position)>,
    ) -> Result<(), Full> {
        let start = frame::begin(&mut self.buffer);
        put_count(&mut self.buffer, records.len());
        for (record, tip) in records {
            put_record(&mut self.buffer, record, tip);
        }
        let offset = self.written + start as u64;
        let Self { generation, salt, durable, .. } = *self;
        frame::finish(&mut self.buffer, start, offset, Header { generation, salt, durable });
        if self.written + self.buffer.len() as u64 > self.len {
            self.buffer.truncate(start);
            return Err(Full);
        }
        Ok(())
    }

    /// Writes what is waiting, where that is much; the sync is then shorter.
    pub(super) fn write_if_much(&mut self) -> Result<(), LogError> {
        if self.buffer.len() >= CHUNK { self.write() } else { Ok(()) }
    }

    /// Makes all batches durable.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        self.write()?;
        if self.durable < self.written {
            let io = LogError::io("sync", self.disk.path(NAMES[self.which]));
            self.file.sync().map_err(io)?;
            self.durable = self.written;
        }
        Ok(())
    }

    /// Makes room for the next generation as this one fills up: all of it at once would hold up the batch
    /// that begins it.
    pub(super) fn make_room(&mut self) -> Result<(), LogError> {
        let (file, len) = &mut self.other;
        let wanted = room(self.generation + 1, self.bytes_max);
        // In step with what is written here, and done by three quarters of it.
        let share = u128::from(wanted) * 4 * u128::from(self.written) / (3 * u128::from(self.len));
        let due = u64::try_from(share).map_or(wanted, |due| due.next_multiple_of(PAGE).min(wanted));
        if due >= *len + ROOM_BYTES || (due == wanted && *len < wanted) {
            let io = LogError::io("grow", self.disk.path(NAMES[1 - self.which]));
            fill(file, *len, due).map_err(io)?;
            file.begin_writing(*len, due - *len);
            *len = due;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), LogError> {
        if !self.buffer.is_empty() {
            let io = LogError::io("write", self.disk.path(NAMES[self.which]));
            self.file.write_at(self.written, &self.buffer).map_err(io)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// The file that this generation is not in, with its length. The first makes it: from then on, one that is missing
/// was taken away.
fn other<D: Disk>(disk: &D, name: &str, generation: u64) -> Result<(D::File, u64), LogError> {
    let io = |action| LogError::io(action, disk.path(name));
    let file = match disk.open(name).map_err(io("open"))? {
        Some(file) => file,
        None if generation == 1 => disk.create(name).map_err(io("create"))?,
        None => return Err(LogError::damaged(&disk.path(name), 0, MISSING)),
    };
    if generation == 1 {
        disk.sync_directory().map_err(io("sync the directory of"))?;
    }
    let len = file.len().map_err(io("measure"))?;
    Ok((file, len))
}

/// How long the file of a generation is at least.
fn room(generation: u64, bytes_max: u64) -> u64 {
    (FIRST_BYTES << (generation - 1).min(20)).min(bytes_max)
}

/// Writes zeros from `len` to `wanted`: blocks that were never written cost more to sync.
fn fill<F: DiskFile>(file: &F, len: u64, wanted: u64) -> std::io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut at = len;
    while at < wanted {
        let count = usize::try_from(wanted - at).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
        file.write_at(at, &ZEROS[..count])?;
        at += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{Content, Entry, Kind, Proposal, State};
    use crate::storage::MemoryDisk;
    use crate::storage::segment::Mark;
    use crate::types::{Epoch, ProposalId, Round, Value};

    #[test]
    fn the_next_generation_finds_its_room_made() {
        let disk = MemoryDisk::default();
        let snapshot = Snapshot::new(&State::default(), Mark::default());
        let mut journal = Journal::begin(&disk, 1, &snapshot, 5 * FIRST_BYTES).unwrap();
        let value = Value::new("x".repeat(64 << 10)).unwrap();
        let proposal = Proposal { id: ProposalId::from_u128(1), value, until: None };
        let content = Content { epoch: Epoch(1), kind: Kind::Value(proposal) };
        let entries = vec![Entry::after(Position::GENESIS, content)];
        let append = Record::Append { entries, voted: Position::GENESIS };
        for wanted in [2, 4, 5, 5].map(|times| times * FIRST_BYTES) {
            let name = NAMES[1 - journal.which];
            let len = || disk.open(name).unwrap().unwrap().len().unwrap();
            let mut before = len();
            assert!(before <= wanted / 2 || wanted == 5 * FIRST_BYTES);
            while journal.append([(&append, Position::GENESIS)].into_iter()).is_ok() {
                journal.sync().unwrap();
                journal.make_room().unwrap();
                let made = len() - before;
                assert!(made < 2 * ROOM_BYTES, "{made} bytes with one batch");
                before = len();
            }
            assert_eq!(len(), wanted);
            journal.begin_next(&snapshot).unwrap();
            assert_eq!(journal.len, wanted);
        }
    }

    /// Empty, it would hide that something was taken away, until the next generation is durable.
    #[test]
    fn a_file_that_is_taken_away_is_not_made_anew() {
        let disk = MemoryDisk::default();
        let snapshot = Snapshot::new(&State::default(), Mark::default());
        let mut journal = Journal::begin(&disk, 1, &snapshot, PAGE).unwrap();
        disk.remove(name(1)).unwrap();
        journal.begin_next(&snapshot).unwrap();
        assert!(disk.open(name(1)).unwrap().is_none());
        let refused = |outcome: Option<LogError>| {
            outcome.is_some_and(|error| error.to_string().contains(MISSING))
        };
        assert!(refused(find(&disk).err()));
        assert!(refused(Journal::begin(&disk, 4, &snapshot, PAGE).err()));
    }

    #[test]
    fn a_frame_that_only_names_the_generation_is_not_taken_up() {
        let disk = MemoryDisk::default();
        let snapshot = Snapshot::new(&State::default(), Mark::default());
        let mut journal = Journal::begin(&disk, 1, &snapshot, PAGE).unwrap();
        let promise = Record::Promise { round: Round(7) };
        journal.append([(&promise, Position::GENESIS)].into_iter()).unwrap();
        journal.sync().unwrap();
        let batches = || find(&disk).unwrap().unwrap().batches.iter().count();
        assert_eq!(batches(), 1);
        for (salt, found) in [(journal.salt ^ 1, 1), (journal.salt, 2)] {
            let mut forged = Vec::new();
            let start = frame::begin(&mut forged);
            put_count(&mut forged, 1);
            put_record(&mut forged, &promise, Position::GENESIS);
            let header = Header { generation: 1, salt, durable: journal.written };
            frame::finish(&mut forged, start, journal.written, header);
            journal.file.write_at(journal.written, &forged).unwrap();
            assert_eq!(batches(), found, "only what carries the salt follows");
        }
    }
}
