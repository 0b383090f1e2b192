//! The JSON of a frame: refused under a name, or a message that is written as it is read.

use quorate::limits;
use quorate::wire::{Decoded, HEAD_BYTES, decode, encode};

/// The input is the JSON of one frame.
pub fn run(input: &[u8]) {
    match decode(input) {
        Err(error) => {
            assert!(!error.name().is_empty() && !error.to_string().is_empty());
        }
        Ok(Decoded::UnknownKind { message_type, .. }) => {
            assert!(message_type.chars().count() <= 64, "a stranger's word is cut");
        }
        Ok(Decoded::Message(message)) => {
            let Ok(frame) = encode(&message) else {
                // A text may be written in more bytes than it was read from.
                assert!(input.len() > limits::FRAME_BYTES_MAX / 6);
                return;
            };
            let again = decode(&frame[HEAD_BYTES..]).expect("what this node writes, it reads");
            assert_eq!(again, Decoded::Message(message), "a message comes back as it was");
        }
    }
}
