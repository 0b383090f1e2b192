//! The chain: every committed entry, in segments that are only ever appended to.
//!
//! What is behind the last snapshot of the journal may be lost by a crash and is written again from the
//! journal; what is before it was synced, so whatever is wrong there is damage.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::consensus::Entry;
use crate::mutant::{self, Mutant};
use crate::storage::codec::Malformed;
use crate::storage::segment::{self, Mark, Outline, Point, RECORDS, Segment, Step, Want};
use crate::storage::{Disk, DiskFile, LogError, LogReader};
use crate::types::{Position, Slot};

/// How much is gathered before it is written. Nothing depends on it: until the next snapshot of the journal is
/// synced, what a crash takes away here is written again from there.
const GATHERED_MAX: usize = 64 * 1024;

/// How much of what was written last the system is to keep in memory, for members that are a little behind. The rest
/// would only be new memory for each write, and take that of others.
const CACHED_BYTES: u64 = 8 * 1024 * 1024;

/// The largest piece of a file that the system keeps or forgets at once, usually.
const PAGE: u64 = 4096;

/// Reads committed entries, from any thread, while the log grows.
#[derive(Clone, Debug)]
pub struct Reader<D: Disk> {
    disk: D,
    index: Arc<RwLock<Index<D::File>>>,
}

/// What is known of all segments.
#[derive(Debug)]
struct Index<F> {
    /// In slot order, each with its first slot.
    segments: Vec<(Slot, Outline)>,
    /// The file of the last one, if it is open.
    active: Option<F>,
    end: Position,
}

impl<D: Disk> Reader<D> {
    /// The last committed entry that can be read.
    pub fn end(&self) -> Position {
        self.index().end
    }

    /// Shows the records from `from` through at most `through` until `visit` says `false`.
    pub(super) fn visit(
        &self,
        from: Slot,
        through: Slot,
        want: Want,
        mut visit: impl FnMut(&Step<'_>) -> Result<bool, Malformed>,
    ) -> Result<(), LogError> {
        let mut from = from.max(Slot(1));
        let through = through.min(self.end().slot);
        while from <= through {
            let (segment, point, end) = self.locate(from)?;
            let mut walk = segment.walk(point, end);
            let started_at = from;
            while let Some(step) = walk.next(want)? {
                if step.position.slot < from {
                    continue;
                }
                if step.position.slot > through {
                    return Ok(());
                }
                let goes_on =
                    visit(&step).map_err(|Malformed(what)| segment.damaged(step.offset, what))?;
                if !goes_on {
                    return Ok(());
                }
                from = step.position.slot.next();
            }
            if from == started_at {
                return Err(segment.damaged(end, "entries of the index are missing"));
            }
        }
        Ok(())
    }

    /// The segment that holds `slot`, where to start in it, and where it ends.
    fn locate(&self, slot: Slot) -> Result<(Segment<D::File>, Point, u64), LogError> {
        let (first, point, end, active) = {
            let index = self.index();
            let behind = index.segments.partition_point(|(first, _)| *first <= slot);
            let (first, outline) = &index.segments[behind - 1];
            let point = outline.point(slot).expect("a segment with entries has a point");
            let active = if behind == index.segments.len() { index.active.clone() } else { None };
            (*first, point, outline.end, active)
        };
        let segment = match active {
            Some(file) => Segment { file, path: self.disk.path(&segment::name(first)) },
            None => open_segment(&self.disk, first)?,
        };
        Ok((segment, point, end))
    }

    fn index(&self) -> RwLockReadGuard<'_, Index<D::File>> {
        // Nothing panics half-way through a change of the index.
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Disk> LogReader for Reader<D> {
    fn read(&self, from: Slot, through: Slot, weight_max: usize) -> Result<Vec<Entry>, LogError> {
        let mut entries = Vec::new();
        let mut weight = 0;
        self.visit(from, through, Want::Whole, |step| {
            let entry = step.entry()?;
            weight += entry.weight();
            let fits = entries.is_empty() || weight <= weight_max;
            if fits {
                entries.push(entry);
            }
            Ok(fits)
        })?;
        Ok(entries)
    }
}

fn open_segment<D: Disk>(disk: &D, first: Slot) -> Result<Segment<D::File>, LogError> {
    let name = segment::name(first);
    let path = disk.path(&name);
    match disk.open(&name).map_err(LogError::io("open", path.clone()))? {
        Some(file) => Ok(Segment { file, path }),
        None => Err(LogError::damaged(&path, 0, "the file is missing")),
    }
}

/// The chain, open for appending.
#[derive(Debug)]
pub(super) struct Chain<D: Disk> {
    reader: Reader<D>,
    segment_bytes: u64,
    /// The last segment; none before the first entry, or where it is full.
    active: Option<(Slot, D::File)>,
    /// The last segment with what is still in the buffer.
    outline: Outline,
    buffer: Vec<u8>,
    /// Where the buffer belongs.
    written: u64,
    /// Files with unsynced bytes; the directory too if `has_new_names`.
    unsynced: Vec<(Slot, D::File)>,
    has_new_names: bool,
    /// Segments behind the mark: never synced for good, and in the journal.
    leftovers: Vec<String>,
}

impl<D: Disk> Chain<D> {
    /// The chain as it was when it ended in `end` at `mark`; nothing is changed.
    ///
    /// # Errors
    /// [`LogError::Damaged`] if it is not what was synced; [`LogError::Io`].
    pub(super) fn open(
        disk: &D,
        mark: Mark,
        end: Position,
        segment_bytes: u64,
    ) -> Result<Self, LogError> {
        let names = disk.list().map_err(LogError::io("list", disk.path("")))?;
        let segments = names.iter().filter_map(|name| Some((segment::first_slot(name)?, name)));
        let mut kept = Vec::new();
        let mut leftovers = Vec::new();
        let mut last = Position::GENESIS;
        let mut active = None;
        for (first, name) in segments {
            if first > mark.segment {
                leftovers.push(name.clone());
                continue;
            }
            let segment = open_segment(disk, first)?;
            let parent = segment.parent(first)?;
            if parent != last {
                return Err(segment.damaged(0, "it does not continue the segment before it"));
            }
            let outline = if first == mark.segment {
                let outline = outline(&segment, parent, mark.len)?;
                active = Some((first, segment.file));
                outline
            } else {
                segment.index(parent)?
            };
            last = outline.last;
            kept.push((first, outline));
        }
        if last != end || active.is_none() != (mark == Mark::default()) {
            let path = disk.path(&segment::name(mark.segment));
            let what = "the chain does not end in what the journal calls committed";
            return Err(LogError::damaged(&path, mark.len, what));
        }
        let outline = kept.last().map_or(Outline::default(), |(_, outline)| outline.clone());
        let file = active.as_ref().map(|(_, file)| file.clone());
        let index = Index { segments: kept, active: file, end };
        Ok(Self {
            reader: Reader { disk: disk.clone(), index: Arc::new(RwLock::new(index)) },
            segment_bytes,
            active,
            written: outline.end,
            outline,
            buffer: Vec::with_capacity(GATHERED_MAX),
            unsynced: Vec::new(),
            has_new_names: false,
            leftovers,
        })
    }

    /// Takes away what stands behind the mark, to be appended again.
    pub(super) fn cut(&mut self) -> Result<(), LogError> {
        for name in std::mem::take(&mut self.leftovers) {
            let io = LogError::io("remove", self.reader.disk.path(&name));
            self.reader.disk.remove(&name).map_err(io)?;
            self.has_new_names = true;
        }
        if let Some((first, file)) = &self.active {
            let io = |action| LogError::io(action, self.path(*first));
            if file.len().map_err(io("measure"))? > self.written {
                file.set_len(self.written).map_err(io("cut"))?;
                self.unsynced.push((*first, file.clone()));
            }
        }
        Ok(())
    }

    /// Where it ends.
    pub(super) fn mark(&self) -> Mark {
        match self.reader.index().segments.last() {
            Some((segment, outline)) => Mark { segment: *segment, len: outline.end },
            None => Mark::default(),
        }
    }

    /// The last slot that was added, written or not.
    pub(super) fn end(&self) -> Slot {
        self.outline.last.slot
    }

    pub(super) fn reader(&self) -> &Reader<D> {
        &self.reader
    }

    /// Adds committed entries: for readers with [`Chain::flush`], durably with [`Chain::sync`].
    pub(super) fn append<'e>(
        &mut self,
        entries: impl Iterator<Item = &'e Entry>,
    ) -> Result<(), LogError> {
        for entry in entries {
            let start = self.buffer.len();
            segment::put_record(&mut self.buffer, entry);
            let bytes = (self.buffer.len() - start) as u64;
            let is_full = self.outline.end + bytes > self.segment_bytes;
            if self.active.is_none() || is_full && self.outline.end > RECORDS {
                let record = self.buffer.split_off(start);
                self.close_segment()?;
                self.open_segment()?;
                self.buffer.extend_from_slice(&record);
            }
            self.outline.add(entry.position(), bytes);
        }
        if self.buffer.len() >= GATHERED_MAX { self.flush() } else { Ok(()) }
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        self.flush()?;
        for (first, file) in std::mem::take(&mut self.unsynced) {
            file.sync().map_err(LogError::io("sync", self.path(first)))?;
        }
        if std::mem::take(&mut self.has_new_names) {
            let io = LogError::io("sync", self.reader.disk.path(""));
            self.reader.disk.sync_directory().map_err(io)?;
        }
        Ok(())
    }

    fn open_segment(&mut self) -> Result<(), LogError> {
        let parent = self.reader.end();
        let first = parent.slot.next();
        let io = LogError::io("create", self.path(first));
        let file = self.reader.disk.create(&segment::name(first)).map_err(io)?;
        self.has_new_names = !mutant::is(Mutant::SegmentNameNotSynced);
        self.outline = Outline::new(parent);
        self.written = 0;
        segment::put_header(&mut self.buffer, parent);
        let mut index = self.index();
        index.segments.push((first, self.outline.clone()));
        index.active = Some(file.clone());
        drop(index);
        self.active = Some((first, file));
        Ok(())
    }

    fn close_segment(&mut self) -> Result<(), LogError> {
        self.flush()?;
        if let Some((first, file)) = self.active.take() {
            let mut bytes = Vec::new();
            segment::put_index(&mut bytes, &self.outline);
            file.write_at(self.written, &bytes).map_err(LogError::io("write", self.path(first)))?;
            self.unsynced.retain(|(unsynced, _)| *unsynced != first);
            self.unsynced.push((first, file));
        }
        Ok(())
    }

    /// Writes what is gathered; from then on readers find it.
    pub(super) fn flush(&mut self) -> Result<(), LogError> {
        let Some((first, file)) = self.active.as_ref().filter(|_| !self.buffer.is_empty()) else {
            return Ok(());
        };
        file.write_at(self.written, &self.buffer)
            .map_err(LogError::io("write", self.path(*first)))?;
        if self.unsynced.last().is_none_or(|(unsynced, _)| unsynced != first) {
            self.unsynced.push((*first, file.clone()));
        }
        // Left to the sync before the journal's next generation, all of one would wait for the disk then, and every
        // commit with it.
        let len = self.buffer.len() as u64;
        file.begin_writing(self.written, len);
        self.written += len;
        if let Some(Range { start, end }) = unneeded(self.written, len) {
            file.release(start, end - start);
        }
        self.buffer.clear();
        let mut index = self.index();
        let (_, known) = index.segments.last_mut().expect("an active segment is in the index");
        let new_points = &self.outline.points[known.points.len()..];
        known.points.extend_from_slice(new_points);
        known.end = self.outline.end;
        known.last = self.outline.last;
        index.end = self.outline.last;
        Ok(())
    }

    fn index(&self) -> RwLockWriteGuard<'_, Index<D::File>> {
        self.reader.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, first: Slot) -> std::path::PathBuf {
        self.reader.disk.path(&segment::name(first))
    }
}

/// What the system need not keep in memory any more, once `len` bytes were added and the file ends at `written`.
fn unneeded(written: u64, len: u64) -> Option<Range<u64>> {
    let end = written.checked_sub(CACHED_BYTES)?;
    // A page is given up whole, so the last one of before was not.
    Some(end.saturating_sub(len + PAGE)..end)
}

/// Reads all records up to `end`: the segment has no index yet.
fn outline<F: DiskFile>(
    segment: &Segment<F>,
    parent: Position,
    end: u64,
) -> Result<Outline, LogError> {
    let mut outline = Outline::new(parent);
    if end < RECORDS {
        return Err(segment.damaged(end, "it is said to end within its head"));
    }
    let mut walk = segment.walk(Point { offset: RECORDS, parent }, end);
    while let Some(step) = walk.next(Want::Whole)? {
        outline.add(step.position, step.bytes);
    }
    Ok(outline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_given_up_once_and_none_of_the_last_ones() {
        let (mut written, mut given_up) = (0, 0);
        for len in [70_000, 65_537, 4_095, CACHED_BYTES, 66_000, 1, 2 * CACHED_BYTES, 90_000] {
            written += len;
            let Some(range) = unneeded(written, len) else {
                assert!(written < CACHED_BYTES);
                continue;
            };
            assert_eq!(range.end, written - CACHED_BYTES);
            assert!(range.start.next_multiple_of(PAGE) <= given_up, "none is left out");
            assert!(range.start + 2 * PAGE >= given_up.min(range.end), "hardly one comes twice");
            given_up = range.end / PAGE * PAGE;
        }
        assert!(given_up > 0);
    }
}
