//! Frames: a length, then as many bytes of JSON.
//!
//! The length is an unsigned 32-bit big-endian integer and does not count itself. It is checked as
//! soon as its four bytes are there, before anything is allocated for what it announces.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

use crate::limits;
use crate::mutant::{self, Mutant};

/// How much room for a frame under way is kept at most.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Bytes of the length.
pub const HEAD_BYTES: usize = 4;

/// A length that no honest peer announces. The link is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame of nothing.
    #[error("a frame of length 0: every frame holds one JSON object")]
    ZeroLength,
    /// A frame longer than allowed here.
    #[error("a frame of {length} bytes, at most {max} are allowed here{}", stranger(*length))]
    Oversized {
        /// What was announced.
        length: u64,
        /// What is allowed.
        max: usize,
    },
}

impl FrameError {
    /// Its stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ZeroLength => "zero_length",
            Self::Oversized { .. } => "oversized",
        }
    }
}

/// What else the four bytes of a length may be: people point other programs at this port.
fn stranger(length: u64) -> &'static str {
    match u32::try_from(length).map(u32::to_be_bytes) {
        Ok([0x16, 0x03, ..]) => "; this looks like TLS: this port speaks plain frames",
        Ok([first, second, third, _])
            if [first, second, third].iter().all(u8::is_ascii_uppercase) =>
        {
            "; this looks like HTTP: the HTTP interface has its own port"
        }
        _ => "",
    }
}

/// Cuts a stream of bytes into frames.
#[derive(Debug)]
pub struct FrameDecoder {
    codec: LengthDelimitedCodec,
    /// The length is read, its bytes are not all there.
    is_inside: bool,
}

impl FrameDecoder {
    /// For frames of at most `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        let codec = LengthDelimitedCodec::builder()
            .length_field_type::<u32>()
            .big_endian()
            .max_frame_length(bytes_max)
            .new_codec();
        Self { codec, is_inside: false }
    }

    /// From the next frame on, at most `bytes_max`.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.codec.set_max_frame_length(bytes_max);
    }

    /// Takes the next frame's JSON out of `buffer`, if all of it is there.
    ///
    /// # Errors
    /// [`FrameError`]; nothing that follows can be understood then.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<BytesMut>, FrameError> {
        let max = self.codec.max_frame_length();
        if !self.is_inside {
            let Some(head) = buffer.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
            let length = u64::from(u32::from_be_bytes(*head));
            if mutant::is(Mutant::AllocatedBeforeCheck) {
                buffer.reserve(length as usize);
            }
            match length {
                0 => return Err(FrameError::ZeroLength),
                length if length > max as u64 => {
                    return Err(FrameError::Oversized { length, max });
                }
                _ => self.is_inside = true,
            }
        }
        let frame = self.codec.decode(buffer).expect("the length is checked above");
        self.is_inside = frame.is_none();
        Ok(frame)
    }
}

/// A whole frame around the JSON that `write` adds to the buffer, which a thread keeps from one to the next.
///
/// # Errors
/// [`FrameError::Oversized`] if it is longer than [`limits::FRAME_BYTES_MAX`].
pub(super) fn enclose(write: impl FnOnce(&mut Vec<u8>)) -> Result<Bytes, FrameError> {
    thread_local! {
        static KEPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    KEPT.with_borrow_mut(|frame| {
        frame.clear();
        frame.shrink_to(KEPT_BYTES_MAX);
        frame.extend([0; HEAD_BYTES]);
        write(frame);
        let length = frame.len() - HEAD_BYTES;
        match u32::try_from(length) {
            Ok(head) if length <= limits::FRAME_BYTES_MAX => {
                frame[..HEAD_BYTES].copy_from_slice(&head.to_be_bytes());
                Ok(Bytes::copy_from_slice(frame))
            }
            _ => Err(FrameError::Oversized { length: length as u64, max: limits::FRAME_BYTES_MAX }),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(json: &[u8]) -> Vec<u8> {
        enclose(|buffer| buffer.extend_from_slice(json)).unwrap().to_vec()
    }

    #[test]
    fn the_length_counts_the_json_alone_in_network_order() {
        assert_eq!(framed(b"{}"), [0, 0, 0, 2, b'{', b'}']);
    }

    #[test]
    fn lengths_0_1_max_and_one_over() {
        let mut decoder = FrameDecoder::new(10);
        let decode = |decoder: &mut FrameDecoder, length: u32| {
            let mut buffer = BytesMut::from(&length.to_be_bytes()[..]);
            buffer.extend(std::iter::repeat_n(b'x', length.min(64) as usize));
            decoder.decode(&mut buffer).map(|frame| frame.map(|frame| frame.len()))
        };
        assert_eq!(decode(&mut decoder, 1), Ok(Some(1)));
        assert_eq!(decode(&mut decoder, 10), Ok(Some(10)));
        assert_eq!(decode(&mut decoder, 0), Err(FrameError::ZeroLength));
        assert_eq!(decode(&mut decoder, 11), Err(FrameError::Oversized { length: 11, max: 10 }));
        assert_eq!(
            decode(&mut decoder, u32::MAX),
            Err(FrameError::Oversized { length: u64::from(u32::MAX), max: 10 })
        );
    }

    #[test]
    fn an_oversized_length_allocates_nothing() {
        let mut buffer = BytesMut::with_capacity(4);
        buffer.extend_from_slice(&(limits::FRAME_BYTES_MAX as u32 + 1).to_be_bytes());
        let capacity = buffer.capacity();
        assert!(FrameDecoder::new(limits::FRAME_BYTES_MAX).decode(&mut buffer).is_err());
        assert_eq!(buffer.capacity(), capacity);
    }

    #[test]
    fn other_protocols_are_recognised() {
        let text = |head: [u8; 4]| {
            let mut buffer = BytesMut::from(&head[..]);
            FrameDecoder::new(8192).decode(&mut buffer).unwrap_err().to_string()
        };
        assert!(text(*b"GET ").contains("HTTP"));
        assert!(text([0x16, 0x03, 0x01, 0x02]).contains("TLS"));
        assert!(!text([0xff; 4]).contains("looks like"));
    }

    #[test]
    fn a_raised_limit_holds_from_the_next_frame_on() {
        let mut decoder = FrameDecoder::new(2);
        let mut buffer = BytesMut::from(&[framed(b"{}"), framed(b"longer")].concat()[..]);
        assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap(), "{}");
        decoder.set_bytes_max(6);
        assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap(), "longer");
    }
}
