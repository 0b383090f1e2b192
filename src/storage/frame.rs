//! A frame of the journal: a header that binds its payload to one place of one generation.
//!
//! ```text
//!  0         4         8              16        24        32
//!  | length  | CRC-32  | generation   | salt    | durable | payload … | zeros to a multiple of 8
//! ```
//! The checksum covers the frame's own offset, then bytes 8 to the end of the payload, then the length.
//! `salt` is drawn from the snapshot that opens the generation: bytes that were on the disk before,
//! whoever chose them, do not carry it. `durable` is how far the journal was synced when the frame
//! was made: whatever is bad below it was not torn by a crash, it was damaged.

use crate::mutant::{self, Mutant};

/// Bytes of a header.
pub(super) const HEADER: usize = 32;

/// Frames start at multiples of this.
const ALIGNMENT: usize = 8;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Which life of the journal it belongs to.
    pub(super) generation: u64,
    /// What sets this generation apart from bytes that happen to name it.
    pub(super) salt: u64,
    /// Up to which offset the journal was synced when the frame was made.
    pub(super) durable: u64,
}

/// A frame that holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'b> {
    pub(super) header: Header,
    pub(super) payload: &'b [u8],
    /// Where the next frame starts.
    pub(super) end: usize,
}

/// Adds an empty header; the payload is to be added behind it, then [`finish`] called.
pub(super) fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + HEADER, 0);
    start
}

/// Completes the frame that [`begin`] opened at `start` of `out` and that will stand at `offset`.
pub(super) fn finish(out: &mut Vec<u8>, start: usize, offset: u64, header: Header) {
    let length = u32::try_from(out.len() - start - HEADER).expect("memory holds no batch of 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 8..start + 16].copy_from_slice(&header.generation.to_be_bytes());
    out[start + 16..start + 24].copy_from_slice(&header.salt.to_be_bytes());
    out[start + 24..start + 32].copy_from_slice(&header.durable.to_be_bytes());
    let checksum = checksum(offset, &out[start + 8..], length);
    out[start + 4..start + 8].copy_from_slice(&checksum.to_be_bytes());
    let padded = start + (out.len() - start).next_multiple_of(ALIGNMENT);
    out.resize(padded, 0);
}

/// The frame at `offset` of `file`; none if there is none that holds.
pub(super) fn at(file: &[u8], offset: usize) -> Option<Frame<'_>> {
    let bytes = file.get(offset..)?;
    let (head, _) = bytes.split_first_chunk::<HEADER>()?;
    let length = u32_at(head, 0);
    let end = HEADER.checked_add(length as usize)?;
    let covered = bytes.get(8..end)?;
    if u32_at(head, 4) != checksum(offset as u64, covered, length) {
        return None;
    }
    Some(Frame {
        header: header(file, offset)?,
        payload: &covered[HEADER - 8..],
        end: offset + end.next_multiple_of(ALIGNMENT),
    })
}

/// How many bytes the frame that `head` begins says that it has.
pub(super) fn reach(head: &[u8]) -> Option<usize> {
    HEADER.checked_add(u32_at(head.first_chunk()?, 0) as usize)
}

/// What the bytes at `offset` say if they are the head of a frame, whole or not.
pub(super) fn header(file: &[u8], offset: usize) -> Option<Header> {
    let head = file.get(offset..)?.first_chunk::<HEADER>()?;
    Some(Header { generation: u64_at(head, 8), salt: u64_at(head, 16), durable: u64_at(head, 24) })
}

/// The first frame behind `offset` whose header, and then whose checksum, is as wanted.
pub(super) fn find_behind(
    file: &[u8],
    offset: usize,
    wanted: impl Fn(Header) -> bool,
) -> Option<usize> {
    let first = (offset + 1).next_multiple_of(ALIGNMENT);
    (first..file.len().saturating_sub(HEADER - 1)).step_by(ALIGNMENT).find(|&candidate| {
        wanted(header(file, candidate).expect("a header fits")) && at(file, candidate).is_some()
    })
}

fn checksum(offset: u64, covered: &[u8], length: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    if !mutant::is(Mutant::ChecksumWithoutPlace) {
        hasher.update(&offset.to_be_bytes());
    }
    hasher.update(covered);
    hasher.update(&length.to_be_bytes());
    hasher.finalize()
}

fn u32_at(head: &[u8; HEADER], at: usize) -> u32 {
    u32::from_be_bytes(*head[at..].first_chunk().expect("within the header"))
}

fn u64_at(head: &[u8; HEADER], at: usize) -> u64 {
    u64::from_be_bytes(*head[at..].first_chunk().expect("within the header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Header = Header { generation: 3, salt: 5, durable: 0 };

    fn frame(offset: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        begin(&mut out);
        out.extend_from_slice(payload);
        finish(&mut out, 0, offset, SOME);
        out
    }

    #[test]
    fn a_frame_holds_only_where_it_was_written() {
        let bytes = frame(64, b"payload");
        let mut file = vec![0; 64];
        file.extend_from_slice(&bytes);
        file.extend_from_slice(&bytes);
        let found = at(&file, 64).unwrap();
        assert_eq!((found.header, found.payload), (SOME, &b"payload"[..]));
        assert_eq!(found.end, 64 + 40);
        assert!(at(&file, found.end).is_none(), "a copy elsewhere is not valid");
    }

    #[test]
    fn every_changed_bit_but_the_padding_is_noticed() {
        let bytes = frame(0, b"payload");
        for at_byte in 0..HEADER + 7 {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at_byte] ^= 1 << bit;
                assert!(at(&changed, 0).is_none(), "byte {at_byte} bit {bit}");
            }
        }
    }

    #[test]
    fn a_frame_behind_bad_bytes_is_found() {
        let mut file = vec![0xff; 24];
        file.extend_from_slice(&frame(24, b"x"));
        assert_eq!(find_behind(&file, 0, |header| header == SOME), Some(24));
        assert_eq!(find_behind(&file, 24, |header| header == SOME), None);
        assert_eq!(find_behind(&file, 0, |header| header.generation == 4), None);
        assert!(at(&[0; 4096], 0).is_none(), "zeros are no frame");
    }
}
