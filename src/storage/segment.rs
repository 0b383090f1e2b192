//! One file of the chain: committed entries in slot order, each behind a head that binds it to its place.
//!
//! ```text
//! file    | "quochain" | first slot 8 | parent hash 32 | zeros 12 | CRC-32 |  records …  | index, once full
//! record  | length 4 | head CRC-32 | slot 8 | entry hash 32 | body CRC-32 | content …
//! index   | points of 48: offset 8, parent slot 8, parent hash 32 … |
//!         | "quoindex" | points 4 | CRC-32 | end of records 8 | last slot 8 | last hash 32 |
//! ```
//! The head's checksum covers the record from its slot to the first [`PROPOSAL_HEAD`] bytes of the
//! content, and the length; so ids can be read without the values.

use std::path::PathBuf;

use crate::consensus::{Content, Entry};
use crate::mutant::{self, Mutant};
use crate::storage::codec::{
    Decoder, Malformed, PROPOSAL_HEAD, put_content, put_count, put_position, put_u64,
};
use crate::storage::{DiskFile, LogError};
use crate::types::{Digest, Position, Slot};

/// Where records start.
pub(super) const RECORDS: u64 = 64;

/// How far apart the points of an index are: what a read may have to skip.
const POINT_BYTES: u64 = 64 * 1024;

const MAGIC: &[u8; 8] = b"quochain";
const INDEX_MAGIC: &[u8; 8] = b"quoindex";
const HEAD: usize = 52;
const POINT: usize = 48;
const TRAILER: usize = 64;

/// Where the chain ends: a length of one segment, named by its first slot; 0 for no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Mark {
    pub(super) segment: Slot,
    pub(super) len: u64,
}

/// A place in a segment from which it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Where a record starts.
    pub(super) offset: u64,
    /// What its entry follows.
    pub(super) parent: Position,
}

/// What is known of a segment without reading its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    /// From the first record on, a point every [`POINT_BYTES`] or so.
    pub(super) points: Vec<Point>,
    /// Where the records end.
    pub(super) end: u64,
    /// The last entry.
    pub(super) last: Position,
}

impl Outline {
    /// Of a segment without records.
    pub(super) fn new(parent: Position) -> Self {
        Self { points: Vec::new(), end: RECORDS, last: parent }
    }

    /// Counts the record of `position` in, which is `bytes` long.
    pub(super) fn add(&mut self, position: Position, bytes: u64) {
        if self.points.last().is_none_or(|point| self.end - point.offset >= POINT_BYTES) {
            self.points.push(Point { offset: self.end, parent: self.last });
        }
        self.end += bytes;
        self.last = position;
    }

    /// Whether the points lead from `parent` to the last entry: reading relies on it.
    fn is_sound(&self, parent: Position) -> bool {
        let first = Point { offset: RECORDS, parent };
        let end = Point { offset: self.end, parent: self.last };
        let goes_on = |one: &Point, next: &Point| {
            one.offset < next.offset && one.parent.slot < next.parent.slot
        };
        match self.points.last() {
            None => end == first,
            Some(last) => {
                self.points[0] == first && self.points.is_sorted_by(goes_on) && goes_on(last, &end)
            }
        }
    }

    /// The last point at or before `slot`.
    pub(super) fn point(&self, slot: Slot) -> Option<Point> {
        let behind = self.points.partition_point(|point| point.parent.slot < slot);
        self.points.get(behind.checked_sub(1)?).copied()
    }
}

/// The name of the segment whose first entry is in `slot`.
pub(super) fn name(slot: Slot) -> String {
    format!("chain-{:016}", slot.0)
}

/// The first slot of the segment of this name; none if it is no segment's name.
pub(super) fn first_slot(name: &str) -> Option<Slot> {
    let slot = name.strip_prefix("chain-")?.parse().map(Slot).ok()?;
    (self::name(slot) == name).then_some(slot)
}

/// Adds the head of a segment that continues `parent`.
pub(super) fn put_header(out: &mut Vec<u8>, parent: Position) {
    let start = out.len();
    out.extend_from_slice(MAGIC);
    put_u64(out, parent.slot.0 + 1);
    out.extend_from_slice(parent.hash.as_bytes());
    out.resize(start + 60, 0);
    let checksum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&checksum.to_be_bytes());
}

/// Adds the record of `entry`.
pub(super) fn put_record(out: &mut Vec<u8>, entry: &Entry) {
    let start = out.len();
    out.resize(start + 8, 0);
    put_u64(out, entry.slot().0);
    out.extend_from_slice(entry.position().hash.as_bytes());
    out.resize(start + HEAD, 0);
    put_content(out, entry.content());
    let content = start + HEAD;
    let length = u32::try_from(out.len() - content).expect("an entry is far below 4 GiB");
    let body = crc32fast::hash(&out[content..]);
    out[start + 48..content].copy_from_slice(&body.to_be_bytes());
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    let head = head_checksum(&out[start..], length);
    out[start + 4..start + 8].copy_from_slice(&head.to_be_bytes());
}

/// Of a record of which at least the head is given.
fn head_checksum(record: &[u8], length: u32) -> u32 {
    let end = (HEAD + PROPOSAL_HEAD.min(length as usize)).min(record.len());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[8..end]);
    hasher.update(&length.to_be_bytes());
    hasher.finalize()
}

/// Adds the index that closes a full segment.
pub(super) fn put_index(out: &mut Vec<u8>, outline: &Outline) {
    let start = out.len();
    for point in &outline.points {
        put_u64(out, point.offset);
        put_position(out, point.parent);
    }
    let mut trailer = Vec::with_capacity(TRAILER);
    put_u64(&mut trailer, outline.end);
    put_position(&mut trailer, outline.last);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&out[start..]);
    hasher.update(&trailer);
    out.extend_from_slice(INDEX_MAGIC);
    put_count(out, outline.points.len());
    out.extend_from_slice(&hasher.finalize().to_be_bytes());
    out.extend_from_slice(&trailer);
}

/// A segment's file, to be read.
#[derive(Clone, Debug)]
pub(super) struct Segment<F> {
    pub(super) file: F,
    /// For people.
    pub(super) path: PathBuf,
}

impl<F: DiskFile> Segment<F> {
    /// What the segment with this first slot continues.
    pub(super) fn parent(&self, first: Slot) -> Result<Position, LogError> {
        let mut bytes = [0; RECORDS as usize];
        self.read(0, &mut bytes)?;
        let mut decoder = Decoder::new(&bytes);
        let parse = |decoder: &mut Decoder<'_>| -> Result<Position, Malformed> {
            let fits = decoder.array()? == *MAGIC
                && decoder.u64()? == first.0
                && crc32fast::hash(&bytes[..60]).to_be_bytes() == bytes[60..];
            if !fits {
                return Err(Malformed("this is not the head of a segment of this name"));
            }
            Ok(Position { slot: first.previous(), hash: Digest::new(decoder.array()?) })
        };
        parse(&mut decoder).map_err(|Malformed(what)| self.damaged(0, what))
    }

    /// The index of a full segment that continues `parent`.
    pub(super) fn index(&self, parent: Position) -> Result<Outline, LogError> {
        let len = self.file.len().map_err(LogError::io("measure", self.path.clone()))?;
        let damaged = |at| self.damaged(at, "the index is not what was written");
        let trailer_at = len.checked_sub(TRAILER as u64).ok_or_else(|| damaged(len))?;
        let mut trailer = [0; TRAILER];
        self.read(trailer_at, &mut trailer)?;
        let parse = || -> Result<_, Malformed> {
            let mut decoder = Decoder::new(&trailer);
            let magic = decoder.array()?;
            let (count, checksum) = (decoder.u32()?, decoder.u32()?);
            let (end, last) = (decoder.u64()?, decoder.position()?);
            Ok((magic == *INDEX_MAGIC, count, checksum, end, last))
        };
        let (is_index, count, checksum, end, last) = parse().map_err(|_| damaged(trailer_at))?;
        let bytes = u64::from(count) * POINT as u64;
        if !is_index || trailer_at.checked_sub(bytes) != Some(end) {
            return Err(damaged(trailer_at));
        }
        let mut points = vec![0; usize::try_from(bytes).map_err(|_| damaged(trailer_at))?];
        self.read(end, &mut points)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&points);
        hasher.update(&trailer[16..]);
        if hasher.finalize() != checksum {
            return Err(damaged(end));
        }
        let mut decoder = Decoder::new(&points);
        let point = |_| Ok(Point { offset: decoder.u64()?, parent: decoder.position()? });
        let points = (0..count).map(point).collect::<Result<_, Malformed>>();
        let outline = Outline { points: points.map_err(|_| damaged(end))?, end, last };
        if outline.is_sound(parent) { Ok(outline) } else { Err(damaged(end)) }
    }

    /// The records from `point` up to `end`.
    pub(super) fn walk(&self, point: Point, end: u64) -> Walk<'_, F> {
        let Point { offset, parent } = point;
        Walk { segment: self, offset, end, parent, buffer: Vec::new(), buffer_at: offset }
    }

    pub(super) fn damaged(&self, offset: u64, what: &'static str) -> LogError {
        LogError::damaged(&self.path, offset, what)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), LogError> {
        self.file.read_at(offset, bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                self.damaged(offset, "the file ends before what was synced")
            }
            _ => LogError::io("read", self.path.clone())(error),
        })
    }
}

/// A walk over records, in order. What it gives has been checked, but for the entry's hash.
pub(super) struct Walk<'s, F> {
    segment: &'s Segment<F>,
    offset: u64,
    end: u64,
    parent: Position,
    buffer: Vec<u8>,
    buffer_at: u64,
}

/// One record.
pub(super) struct Step<'b> {
    /// Where it starts.
    pub(super) offset: u64,
    /// How long it is, with its head.
    pub(super) bytes: u64,
    /// What its entry follows.
    pub(super) parent: Position,
    /// Its entry's.
    pub(super) position: Position,
    /// All of its content, or at least the first [`PROPOSAL_HEAD`] bytes.
    content: &'b [u8],
}

impl<'b> Step<'b> {
    /// The beginning of the content.
    pub(super) fn head(&self) -> &'b [u8] {
        &self.content[..self.content.len().min(PROPOSAL_HEAD)]
    }

    /// The entry; its content must have been read whole.
    pub(super) fn entry(&self) -> Result<Entry, Malformed> {
        let mut decoder = Decoder::new(self.content);
        let content: Content = decoder.content()?;
        decoder.end()?;
        let entry = Entry::after(self.parent, content);
        if entry.position() == self.position || mutant::is(Mutant::BodyNotChecked) {
            Ok(entry)
        } else {
            Err(Malformed("the entry does not have the hash it is chained by"))
        }
    }
}

/// How much of a record is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Whole,
    Head,
}

impl<F: DiskFile> Walk<'_, F> {
    /// The next record; none at the end.
    pub(super) fn next(&mut self, want: Want) -> Result<Option<Step<'_>>, LogError> {
        const ENDS: &str = "a record reaches beyond the end";
        const CHANGED: &str = "a record is not what was written";
        if self.offset == self.end {
            return Ok(None);
        }
        let offset = self.offset;
        let left = self.end - offset;
        if left < HEAD as u64 {
            return Err(self.segment.damaged(offset, ENDS));
        }
        self.fetch((HEAD + PROPOSAL_HEAD).min(usize::try_from(left).unwrap_or(usize::MAX)))?;
        let at = self.in_buffer();
        let length = u32::from_be_bytes(*self.buffer[at..].first_chunk().expect("fetched above"));
        let bytes = HEAD as u64 + u64::from(length);
        if bytes > left {
            return Err(self.segment.damaged(offset, ENDS));
        }
        let mut decoder = Decoder::new(&self.buffer[at + 4..]);
        let (checksum, slot, hash, body) = (|| -> Result<_, Malformed> {
            Ok((decoder.u32()?, decoder.u64()?, decoder.array()?, decoder.u32()?))
        })()
        .expect("fetched above");
        if checksum != head_checksum(&self.buffer[at..], length) {
            return Err(self.segment.damaged(offset, CHANGED));
        }
        if slot != self.parent.slot.0 + 1 {
            return Err(self.segment.damaged(offset, "a record of another slot stands there"));
        }
        let content = match want {
            Want::Head => PROPOSAL_HEAD.min(length as usize),
            Want::Whole => length as usize,
        };
        self.fetch(HEAD + content)?;
        let at = self.in_buffer() + HEAD;
        let content = &self.buffer[at..at + content];
        let is_whole = want == Want::Whole && !mutant::is(Mutant::BodyNotChecked);
        if is_whole && body != crc32fast::hash(content) {
            return Err(self.segment.damaged(offset, CHANGED));
        }
        let position = Position { slot: Slot(slot), hash: Digest::new(hash) };
        let parent = std::mem::replace(&mut self.parent, position);
        self.offset += bytes;
        Ok(Some(Step { offset, bytes, parent, position, content }))
    }

    /// Where the record at `offset` stands in the buffer, once fetched.
    fn in_buffer(&self) -> usize {
        usize::try_from(self.offset - self.buffer_at).expect("within the buffer")
    }

    /// Has at least `bytes` from `offset` on in the buffer; the caller knows that the file has them.
    fn fetch(&mut self, bytes: usize) -> Result<(), LogError> {
        const FEW: u64 = 4 * 1024;
        const MANY: u64 = 64 * 1024;
        let buffer_end = self.buffer_at + self.buffer.len() as u64;
        if self.offset + bytes as u64 <= buffer_end {
            return Ok(());
        }
        // Where the last record reached far beyond the buffer, its like will be skipped again.
        let chunk = if self.offset > buffer_end { FEW } else { MANY };
        let wanted = (bytes as u64).max(chunk).min(self.end - self.offset);
        self.buffer.resize(usize::try_from(wanted).expect("a record fits in memory"), 0);
        self.buffer_at = self.offset;
        self.segment.read(self.offset, &mut self.buffer)
    }
}
