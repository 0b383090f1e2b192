//! What peers may say to a node, made from a script: near to what it holds, or far from everything.

use quorate::consensus::{
    Beat, Body, Content, Entries, Entry, EpochConfig, Fetch, Kind, Message, Prepare, Promise,
    Proposal, Propose, Read, ReadReply, Refuse, Remember, State, Submit, Vote,
};
use quorate::limits;
use quorate::types::{Digest, Epoch, NodeId, Position, ProposalId, Round, Slot, Value};

use super::script::Script;

/// Positions that were spoken of: most words are about one of them.
const KNOWN_MAX: usize = 64;

/// Writes what peers say.
pub struct Writer {
    known: Vec<Position>,
}

impl Writer {
    pub fn new() -> Self {
        Self { known: vec![Position::GENESIS] }
    }

    /// A statement to a node that stands where `state` says.
    pub fn message(&mut self, script: &mut Script<'_>, state: &State) -> Message {
        let body = match script.below(16) {
            0..=2 => Body::Vote(Vote::new(
                self.round(script, state),
                self.position(script, state),
                self.position(script, state),
            )),
            3 => Body::Prepare(Prepare { round: self.round(script, state) }),
            4 | 5 => Body::Promise(Promise {
                round: self.round(script, state),
                accepted: self.maybe_round(script, state),
                last: self.position(script, state),
                committed: self.position(script, state),
            }),
            6..=9 => {
                let (after, entries) = self.entries(script, state);
                let (round, adopt) = (self.round(script, state), script.flag());
                let committed = self.position(script, state);
                Body::Propose(Propose { round, after, entries, committed, adopt })
            }
            10 => Body::Refuse(Refuse {
                promised: self.maybe_round(script, state),
                committed: self.position(script, state),
            }),
            11 => Body::Fetch(Fetch { from: slot(script, state), to: slot(script, state) }),
            12 | 13 => {
                let (after, entries) = self.entries(script, state);
                let committed = self.position(script, state);
                Body::Entries(Entries { after, entries, committed, more: script.flag() })
            }
            14 => match script.below(3) {
                0 => Body::Read(Read { nonce: script.u64() >> 11 }),
                1 => {
                    let last = self.position(script, state);
                    Body::ReadReply(ReadReply { nonce: script.u64() >> 11, last })
                }
                _ => Body::Remember(Remember {
                    promised: self.maybe_round(script, state),
                    accepted: self.maybe_round(script, state),
                    voted: self.position(script, state),
                }),
            },
            _ => {
                let count = script.below(4);
                let proposals = (0..count).map(|_| proposal(script, limits::INTEGER_MAX));
                Body::Submit(Submit { proposals: proposals.collect() })
            }
        };
        Message { epoch: epoch(script), body }
    }

    /// The part of a heartbeat that speaks of the log.
    pub fn beat(&mut self, script: &mut Script<'_>, state: &State) -> Beat {
        let marks = script.byte();
        let maybe = |mark: u8, script: &mut Script<'_>| {
            (marks & mark != 0).then(|| self.round(script, state))
        };
        let (promised, accepted) = (maybe(1, script), maybe(2, script));
        let (suspects, candidate) = (maybe(4, script), maybe(8, script));
        let leads = maybe(16, script);
        Beat {
            epoch: epoch(script),
            life: u64::from(script.below(4)),
            promised,
            accepted,
            voted: self.position(script, state),
            last: self.position(script, state),
            committed: self.position(script, state),
            first_slot: Slot(1),
            suspects,
            candidate,
            leads,
            healthy: marks & 32 == 0,
        }
    }

    fn position(&mut self, script: &mut Script<'_>, state: &State) -> Position {
        let byte = script.byte();
        match byte {
            0..=47 => state.last(),
            48..=95 => state.committed,
            96..=127 => state.voted,
            128..=191 => self.known[usize::from(byte) % self.known.len()],
            192..=223 => {
                // What could follow there.
                let parent = self.known[usize::from(byte) % self.known.len()];
                self.remember(Entry::after(parent, content(script)).position())
            }
            224..=247 => {
                Position { slot: Slot(u64::from(byte % 8)), hash: Digest::new([byte; 32]) }
            }
            _ => Position {
                slot: Slot(limits::INTEGER_MAX - u64::from(byte % 4)),
                hash: Digest::new([byte; 32]),
            },
        }
    }

    /// Contents, and what they follow.
    fn entries(&mut self, script: &mut Script<'_>, state: &State) -> (Position, Vec<Content>) {
        let after = self.position(script, state);
        let count = script.below(5);
        let contents: Vec<_> = (0..count).map(|_| content(script)).collect();
        for entry in Entry::chain(after, contents.clone()) {
            self.remember(entry.position());
        }
        (after, contents)
    }

    fn remember(&mut self, position: Position) -> Position {
        // Nothing that follows it can be numbered in a message.
        if position.slot.0 >= limits::INTEGER_MAX - 8 {
            return Position::GENESIS;
        }
        if self.known.len() < KNOWN_MAX {
            self.known.push(position);
        }
        position
    }

    fn round(&self, script: &mut Script<'_>, state: &State) -> Round {
        let byte = script.byte();
        let promised = state.promised.unwrap_or_default().0;
        Round(match byte {
            0..=99 => promised,
            100..=179 => u64::from(byte % 8),
            180..=247 => promised.saturating_add(u64::from(byte % 4)).min(limits::INTEGER_MAX),
            _ => limits::INTEGER_MAX - u64::from(byte % 8),
        })
    }

    fn maybe_round(&self, script: &mut Script<'_>, state: &State) -> Option<Round> {
        script.flag().then(|| self.round(script, state))
    }
}

/// A proposal; a client's may end at any number.
pub fn proposal(script: &mut Script<'_>, until_max: u64) -> Proposal {
    let id = ProposalId::from_u128(u128::from(script.below(16)));
    let byte = script.byte();
    let until = match byte {
        0..=191 => None,
        192..=239 => Some(u64::from(byte % 8)),
        _ => Some(until_max - u64::from(byte % 4)),
    };
    let value = Value::new(["a", "\u{0}", "häß", "\"\\\n"][usize::from(script.below(4))]);
    Proposal { id, value: value.expect("short"), until: until.map(Slot) }
}

fn content(script: &mut Script<'_>) -> Content {
    let kind = match script.below(16) {
        0 => Kind::Noop,
        1 => Kind::Config(EpochConfig::new(Epoch(2), [1, 2].map(NodeId::from_u128))),
        _ => Kind::Value(proposal(script, limits::INTEGER_MAX)),
    };
    Content { epoch: epoch(script), kind }
}

fn epoch(script: &mut Script<'_>) -> Epoch {
    match script.byte() {
        0..=247 => Epoch(1),
        byte => Epoch(u64::from(byte % 4)),
    }
}

fn slot(script: &mut Script<'_>, state: &State) -> Slot {
    match script.byte() {
        255 => Slot(limits::INTEGER_MAX),
        byte @ 128.. => Slot(u64::from(byte % 16)),
        byte => Slot(state.last().slot.0.saturating_sub(u64::from(byte % 8))),
    }
}
