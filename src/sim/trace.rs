//! A fingerprint of a run: equal for equal runs.

use std::hash::Hasher;

/// Takes in all that happens, gives one number.
///
/// `std`'s own hasher promises no stable output between releases; this one is written down here: every word
/// is folded in by a 64 x 64 bit multiplication, whose halves are put together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace(u64);

impl Trace {
    pub(super) fn new() -> Self {
        Self(0x2545_f491_4f6c_dd1d)
    }
}

impl Hasher for Trace {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56);
        }
    }

    fn write_u64(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        self.0 = ((wide >> 64) as u64) ^ (wide as u64) ^ self.0.rotate_left(29);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
