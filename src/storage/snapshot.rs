//! The state as a generation of the journal begins with it.
//!
//! It holds the tail behind the commit; what is committed stands in the chain, up to `chain`.

use crate::consensus::{Entry, EpochConfig, Record, State, Tail};
use crate::storage::codec::{
    Decoder, Malformed, put_config, put_entries, put_optional, put_position, put_u64,
};
use crate::storage::segment::Mark;
use crate::types::{Position, Round, Slot};

/// The durable state without the committed entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    config: Option<EpochConfig>,
    base: Position,
    promised: Option<Round>,
    accepted: Option<Round>,
    voted: Position,
    /// What is committed; the chain ends in it.
    pub(super) committed: Position,
    /// Committed entries behind this slot were in memory: records that follow may refer to them.
    pub(super) held_behind: Slot,
    /// What follows the commit.
    tail: Vec<Entry>,
    /// Where the chain ends.
    pub(super) chain: Mark,
}

impl Snapshot {
    /// Of `state`, where all that is committed stands in the chain up to `chain`.
    pub(super) fn new(state: &State, chain: Mark) -> Self {
        Self {
            config: state.config.clone(),
            base: state.base,
            promised: state.promised,
            accepted: state.accepted,
            voted: state.voted,
            committed: state.committed,
            held_behind: state.tail.before().slot,
            tail: state.tail.behind(state.committed.slot).cloned().collect(),
            chain,
        }
    }

    /// The state, with the `retained` entries of the chain, from `before` to the commit, in memory; none if
    /// they do not lead there.
    pub(super) fn into_state(self, before: Position, retained: Vec<Entry>) -> Option<State> {
        let mut state = State {
            config: self.config,
            base: self.base,
            promised: self.promised,
            accepted: self.accepted,
            voted: self.voted,
            tail: Tail::new(before),
            committed: before,
        };
        let mut entries = retained;
        entries.extend(self.tail);
        let learn = Record::Learn { after: before, entries, committed: self.committed };
        state.apply(&learn).ok()?;
        Some(state)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.chain.segment.0);
        put_u64(out, self.chain.len);
        put_position(out, self.base);
        put_optional(out, self.promised.map(|round| round.0));
        put_optional(out, self.accepted.map(|round| round.0));
        put_position(out, self.voted);
        put_u64(out, self.held_behind.0);
        put_entries(out, self.committed, &self.tail);
        if let Some(config) = &self.config {
            put_config(out, config);
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let chain = Mark { segment: Slot(decoder.counter()?), len: decoder.u64()? };
        let base = decoder.position()?;
        let promised = decoder.optional()?.map(Round);
        let accepted = decoder.optional()?.map(Round);
        let voted = decoder.position()?;
        let held_behind = Slot(decoder.counter()?);
        let (committed, tail) = decoder.entries()?;
        let config = match decoder.end() {
            Ok(()) => None,
            Err(_) => Some(decoder.config()?),
        };
        decoder.end()?;
        Ok(Self { config, base, promised, accepted, voted, committed, held_behind, tail, chain })
    }
}
