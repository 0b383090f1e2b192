//! Proposals that no other is like, and when each was due.
//!
//! A proposal's id carries when it was due, so nothing is remembered of those in flight, and a proposal that
//! leaves late because the node reads no faster is timed from when it should have left.

use std::time::Duration;

use crate::consensus::Proposal;
use crate::limits;
use crate::types::{ProposalId, Value};

/// What a proposal takes in a frame besides its value, at most, in bytes.
const AROUND_VALUE: usize = 128;

/// The most proposals of one frame.
const TOGETHER_MAX: usize = 256;

/// Makes proposals whose ids no other has: which source, which number, and when each is due.
pub(super) struct Source {
    tag: u128,
    number: u32,
    value_bytes: usize,
}

impl Source {
    pub(super) fn new(value_bytes: usize) -> Self {
        // The upper 48 bits of a random id: 48 bits of time and 32 of number follow.
        let tag = uuid::Uuid::new_v4().as_u128() & !((1 << 80) - 1);
        Self { tag, number: 0, value_bytes }
    }

    pub(super) fn next(&mut self, due: Duration) -> Proposal {
        let micros = due.as_micros() & ((1 << 48) - 1);
        let id = self.tag | micros << 32 | u128::from(self.number);
        let number = format!("{:08x}", self.number);
        let text = "0".repeat(self.value_bytes.saturating_sub(number.len())) + &number;
        self.number = self.number.wrapping_add(1);
        let value = Value::new(text).expect("the size is within the limits");
        Proposal { id: ProposalId::from_u128(id), value, until: None }
    }

    /// How many fit into one frame, with room to spare.
    pub(super) fn together(&self) -> usize {
        let fit = limits::FRAME_BYTES_MAX / 2 / (self.value_bytes + AROUND_VALUE);
        fit.clamp(1, TOGETHER_MAX)
    }
}

/// When the proposal with this id was due.
pub(super) fn due_of(id: ProposalId) -> Duration {
    let bits = u128::from_be_bytes(*id.as_bytes());
    let micros = bits >> 32 & ((1 << 48) - 1);
    Duration::from_micros(u64::try_from(micros).expect("48 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_when_its_proposal_was_due() {
        let mut source = Source::new(16);
        for due in [0, 1, 999_999, 86_400_000_000].map(Duration::from_micros) {
            let proposal = source.next(due);
            assert_eq!(due_of(proposal.id), due);
            assert_eq!(proposal.value.as_str().len(), 16);
        }
        let longest = Source::new(limits::VALUE_BYTES_MAX).next(Duration::ZERO).value;
        assert_eq!(longest.as_str().len(), limits::VALUE_BYTES_MAX);
        assert_ne!(source.next(Duration::ZERO).id, source.next(Duration::ZERO).id);
        assert_ne!(Source::new(1).next(Duration::ZERO).id, Source::new(1).next(Duration::ZERO).id);
    }

    #[test]
    fn the_longest_values_go_into_more_frames() {
        assert_eq!(Source::new(256).together(), TOGETHER_MAX);
        let together = Source::new(limits::VALUE_BYTES_MAX).together();
        assert!((1..15).contains(&together), "{together}");
    }
}
