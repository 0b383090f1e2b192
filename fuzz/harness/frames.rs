//! A stream of bytes, cut into frames however it arrives, and what the frames say.

use bytes::BytesMut;
use quorate::limits;
use quorate::wire::{FrameDecoder, FrameError, decode};

use super::script::Script;

/// What a stream comes to: its frames, then the fault that ends it, if one does.
type Cut = (Vec<Vec<u8>>, Option<FrameError>);

/// The first byte tells in what pieces the rest arrives.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let piece = usize::from(script.byte()) + 1;
    let stream = script.take(usize::MAX);
    let whole = cut(stream, stream.len().max(1));
    assert_eq!(cut(stream, piece), whole, "frames do not depend on how they arrive");
    assert_eq!(cut(stream, 1), whole, "frames do not depend on how they arrive");
    let (frames, _) = whole;
    for frame in frames {
        let _ = decode(&frame);
    }
}

fn cut(stream: &[u8], piece: usize) -> Cut {
    let mut decoder = FrameDecoder::new(limits::HELLO_FRAME_BYTES_MAX);
    let mut max = limits::HELLO_FRAME_BYTES_MAX;
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    assert!((1..=max).contains(&frame.len()), "a frame keeps its bounds");
                    frames.push(frame.to_vec());
                    max = limits::FRAME_BYTES_MAX;
                    decoder.set_bytes_max(max);
                }
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(buffer.capacity() <= 2 * limits::FRAME_BYTES_MAX, "memory is bounded");
    }
    (frames, None)
}
