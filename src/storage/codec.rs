//! Records and entries as bytes: one fixed layout, drawn in `docs/STORAGE.md`.
//!
//! Integers are big-endian. Decoding takes any bytes, never panics, and holds no more than a small
//! multiple of what it was given.

use crate::consensus::{Content, Entry, EpochConfig, Kind, Mode, Proposal, Record};
use crate::limits;
use crate::types::{Digest, Epoch, NodeId, Position, ProposalId, Round, Slot, Value};

/// Why bytes are no record, in words that follow "damaged at byte n:".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

const BEYOND: Malformed = Malformed("a number beyond 2^53");

const EPOCH: u8 = 1;
const PROMISE: u8 = 2;
const ADOPT: u8 = 3;
const APPEND: u8 = 4;
const LEARN: u8 = 5;
const COMMIT: u8 = 6;

const VALUE: u8 = 1;
const CONFIG: u8 = 2;
const NOOP: u8 = 3;

/// Adds `record`, made where the log ended in `tip`.
pub(super) fn put_record(out: &mut Vec<u8>, record: &Record, tip: Position) {
    match record {
        Record::Epoch { config, base } => {
            out.push(EPOCH);
            put_config(out, config);
            put_position(out, *base);
        }
        Record::Promise { round } => {
            out.push(PROMISE);
            put_u64(out, round.0);
        }
        Record::Adopt { round, after, entries } => {
            out.push(ADOPT);
            put_u64(out, round.0);
            put_entries(out, *after, entries);
        }
        Record::Append { entries, voted } => {
            out.push(APPEND);
            put_position(out, *voted);
            put_entries(out, tip, entries);
        }
        Record::Learn { after, entries, committed } => {
            out.push(LEARN);
            put_position(out, *committed);
            put_entries(out, *after, entries);
        }
        Record::Commit { committed } => {
            out.push(COMMIT);
            put_position(out, *committed);
        }
    }
}

/// Adds the position that `entries` follow, their number, and what they hold.
pub(super) fn put_entries<'e>(
    out: &mut Vec<u8>,
    after: Position,
    entries: impl IntoIterator<Item = &'e Entry, IntoIter: ExactSizeIterator>,
) {
    let entries = entries.into_iter();
    put_position(out, after);
    put_count(out, entries.len());
    for entry in entries {
        put_content(out, entry.content());
    }
}

pub(super) fn put_content(out: &mut Vec<u8>, content: &Content) {
    put_u64(out, content.epoch.0);
    match &content.kind {
        Kind::Value(proposal) => {
            out.push(VALUE);
            out.extend_from_slice(proposal.id.as_bytes());
            put_optional(out, proposal.until.map(|slot| slot.0));
            let text = proposal.value.as_str();
            put_count(out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Kind::Config(config) => {
            out.push(CONFIG);
            put_config(out, config);
        }
        Kind::Noop => out.push(NOOP),
    }
}

/// The bytes of an entry that tell its proposal without its value.
pub(super) const PROPOSAL_HEAD: usize = 8 + 1 + 16 + 8;

/// The id and the end of the proposal in an entry that begins with `head`; none if it holds none.
pub(super) fn proposal_in(head: &[u8]) -> Option<(ProposalId, Option<Slot>)> {
    let mut decoder = Decoder::new(head);
    decoder.u64().ok()?;
    if decoder.u8().ok()? != VALUE {
        return None;
    }
    let id = ProposalId::from_bytes(decoder.array().ok()?);
    Some((id, decoder.optional().ok()?.map(Slot)))
}

pub(super) fn put_config(out: &mut Vec<u8>, config: &EpochConfig) {
    put_u64(out, config.epoch.0);
    out.push(match config.mode {
        Mode::Crash => 0,
    });
    for nodes in [&config.members, &config.learners] {
        put_count(out, nodes.len());
        for node in nodes {
            out.extend_from_slice(node.as_bytes());
        }
    }
}

pub(super) fn put_position(out: &mut Vec<u8>, position: Position) {
    put_u64(out, position.slot.0);
    out.extend_from_slice(position.hash.as_bytes());
}

/// A number or none: none is 0, n is n + 1.
pub(super) fn put_optional(out: &mut Vec<u8>, number: Option<u64>) {
    put_u64(out, number.map_or(0, |number| number + 1));
}

pub(super) fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("memory holds no batch of 4 GiB");
    out.extend_from_slice(&count.to_be_bytes());
}

/// Bytes still to be decoded.
pub(super) struct Decoder<'b>(&'b [u8]);

impl<'b> Decoder<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Nothing is left over.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("bytes are left over behind it")) }
    }

    pub(super) fn record(&mut self) -> Result<Record, Malformed> {
        Ok(match self.u8()? {
            EPOCH => Record::Epoch { config: self.config()?, base: self.position()? },
            PROMISE => Record::Promise { round: Round(self.counter()?) },
            ADOPT => {
                let round = Round(self.counter()?);
                let (after, entries) = self.entries()?;
                Record::Adopt { round, after, entries }
            }
            APPEND => {
                let voted = self.position()?;
                let (_, entries) = self.entries()?;
                Record::Append { entries, voted }
            }
            LEARN => {
                let committed = self.position()?;
                let (after, entries) = self.entries()?;
                Record::Learn { after, entries, committed }
            }
            COMMIT => Record::Commit { committed: self.position()? },
            _ => return Err(Malformed("a record of an unknown kind")),
        })
    }

    pub(super) fn entries(&mut self) -> Result<(Position, Vec<Entry>), Malformed> {
        let after = self.position()?;
        let mut parent = after;
        let mut entries = Vec::new();
        for _ in 0..self.u32()? {
            let content = self.content()?;
            if parent.slot.0 >= limits::INTEGER_MAX {
                return Err(Malformed("a slot beyond 2^53"));
            }
            let entry = Entry::after(parent, content);
            parent = entry.position();
            entries.push(entry);
        }
        Ok((after, entries))
    }

    pub(super) fn content(&mut self) -> Result<Content, Malformed> {
        let epoch = Epoch(self.counter()?);
        let kind = match self.u8()? {
            VALUE => Kind::Value(self.proposal()?),
            CONFIG => Kind::Config(self.config()?),
            NOOP => Kind::Noop,
            _ => return Err(Malformed("an entry of an unknown kind")),
        };
        Ok(Content { epoch, kind })
    }

    fn proposal(&mut self) -> Result<Proposal, Malformed> {
        let id = ProposalId::from_bytes(self.array()?);
        let until = self.optional()?.map(Slot);
        let len = self.u32()?;
        let text = std::str::from_utf8(self.take(len)?)
            .map_err(|_| Malformed("a value that is not UTF-8"))?;
        let value = Value::new(text).map_err(|_| Malformed("a value out of its bounds"))?;
        Ok(Proposal { id, value, until })
    }

    pub(super) fn config(&mut self) -> Result<EpochConfig, Malformed> {
        let epoch = Epoch(self.counter()?);
        let mode = match self.u8()? {
            0 => Mode::Crash,
            _ => return Err(Malformed("a mode that is not known")),
        };
        let members = self.nodes()?;
        let learners = self.nodes()?;
        if members.is_empty() {
            return Err(Malformed("an epoch without members"));
        }
        Ok(EpochConfig { epoch, mode, members, learners })
    }

    fn nodes(&mut self) -> Result<Vec<NodeId>, Malformed> {
        let mut nodes = Vec::new();
        for _ in 0..self.u32()? {
            nodes.push(NodeId::from_bytes(self.array()?));
        }
        if nodes.is_sorted_by(|one, next| one < next) {
            Ok(nodes)
        } else {
            Err(Malformed("nodes out of order"))
        }
    }

    pub(super) fn position(&mut self) -> Result<Position, Malformed> {
        Ok(Position { slot: Slot(self.counter()?), hash: Digest::new(self.array()?) })
    }

    /// See [`put_optional`].
    pub(super) fn optional(&mut self) -> Result<Option<u64>, Malformed> {
        match self.u64()?.checked_sub(1) {
            Some(number) if number > limits::INTEGER_MAX => Err(BEYOND),
            number => Ok(number),
        }
    }

    /// A number that every counter of the house may hold.
    pub(super) fn counter(&mut self) -> Result<u64, Malformed> {
        match self.u64()? {
            number if number <= limits::INTEGER_MAX => Ok(number),
            _ => Err(BEYOND),
        }
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed("it ends too soon"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn take(&mut self, len: u32) -> Result<&'b [u8], Malformed> {
        let (taken, rest) =
            self.0.split_at_checked(len as usize).ok_or(Malformed("it ends too soon"))?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one_of_each() -> Vec<Record> {
        let config = EpochConfig {
            learners: vec![NodeId::from_u128(9)],
            ..EpochConfig::new(Epoch(2), [1, 2, 3].map(NodeId::from_u128))
        };
        let value = |until| {
            Kind::Value(Proposal {
                id: ProposalId::from_u128(7),
                value: Value::new("häß\u{0}").unwrap(),
                until,
            })
        };
        let contents = [
            value(None),
            value(Some(Slot(0))),
            value(Some(Slot(limits::INTEGER_MAX))),
            Kind::Config(config.clone()),
            Kind::Noop,
        ]
        .map(|kind| Content { epoch: Epoch(1), kind });
        let entries = Entry::chain(Position::GENESIS, contents);
        let tip = entries[4].position();
        vec![
            Record::Epoch { config, base: Position::GENESIS },
            Record::Promise { round: Round(3) },
            Record::Adopt { round: Round(3), after: Position::GENESIS, entries: entries.clone() },
            Record::Append { entries: entries.clone(), voted: tip },
            Record::Append { entries: Vec::new(), voted: tip },
            Record::Learn { after: Position::GENESIS, entries, committed: tip },
            Record::Commit { committed: tip },
        ]
    }

    #[test]
    fn every_record_comes_back_and_none_ends_early() {
        for record in one_of_each() {
            let mut bytes = Vec::new();
            put_record(&mut bytes, &record, Position::GENESIS);
            let mut decoder = Decoder::new(&bytes);
            assert_eq!(decoder.record(), Ok(record));
            assert_eq!(decoder.end(), Ok(()));
            for cut in 0..bytes.len() {
                assert!(Decoder::new(&bytes[..cut]).record().is_err(), "cut at {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_a_panic(
            kind in 0_u8..8,
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let _ = Decoder::new(&bytes).record();
            let _ = Decoder::new(&[&[kind], &*bytes].concat()).record();
        }

        #[test]
        fn a_changed_byte_is_decoded_without_a_panic(
            which in 0_usize..7,
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = Vec::new();
            put_record(&mut bytes, &one_of_each()[which], Position::GENESIS);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Decoder::new(&bytes).record();
        }
    }
}
