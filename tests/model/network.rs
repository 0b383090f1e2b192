//! Messages on their way.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use quorate::consensus::{Body, Message, Standing, State};
use quorate::types::{Position, Round};

use super::bounds::Network;

/// Names a message: from whom, to whom, of which kind, in which round, and with which content, where
/// messages that differ only in that are kept apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Wire {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) kind: &'static str,
    pub(super) round: Option<Round>,
    pub(super) content: u64,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, kind, round, .. } = self;
        write!(f, "{kind} {from} to {to}")?;
        round.map_or(Ok(()), |round| write!(f, " of round {round}"))
    }
}

/// A message with the digest of what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    digest: u64,
    pub(super) message: Arc<Message>,
}

/// All messages that may still arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mail {
    letters: BTreeMap<Wire, Letter>,
}

impl Hash for Mail {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for (wire, letter) in &self.letters {
            (wire.from, wire.to, wire.round, letter.digest).hash(hasher);
        }
    }
}

impl Mail {
    pub(super) fn send(&mut self, network: Network, from: usize, to: usize, mut message: Message) {
        // Commits spread by tallies and proposals; votes need not tell them twice.
        if let Body::Vote(vote) = &mut message.body {
            vote.committed = Position::GENESIS;
        }
        let (kind, round) = kind(&message.body);
        let mut hasher = DefaultHasher::new();
        (kind, &message.body).hash(&mut hasher);
        let digest = hasher.finish();
        let content = match network {
            Network::Newest => 0,
            Network::All => digest,
        };
        let wire = Wire { from, to, kind, round, content };
        self.letters.insert(wire, Letter { digest, message: Arc::new(message) });
    }

    pub(super) fn wires(&self) -> impl Iterator<Item = &Wire> {
        self.letters.keys()
    }

    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    /// What arrives: it is gone where messages arrive once.
    pub(super) fn take(&mut self, network: Network, wire: &Wire) -> Message {
        let letter = match network {
            Network::Newest => self.letters.remove(wire),
            Network::All => self.letters.get(wire).cloned(),
        };
        Arc::unwrap_or_clone(letter.expect("on its way").message)
    }

    pub(super) fn remove(&mut self, wire: &Wire) -> Option<Message> {
        self.letters.remove(wire).map(|letter| Arc::unwrap_or_clone(letter.message))
    }

    pub(super) fn pop(&mut self) -> Option<(Wire, Message)> {
        let (wire, letter) = self.letters.pop_first()?;
        Some((wire, Arc::unwrap_or_clone(letter.message)))
    }

    /// Loses what `to` could only refuse or ignore from now on, where it stands so, whatever it is told
    /// in between: its promise, its round and its commit never fall, for `state` is durable.
    pub(super) fn lose_late(
        &mut self,
        to: usize,
        state: &State,
        standing: &Standing,
        is_all: bool,
    ) {
        let (promised, accepted) = (state.promised, state.accepted);
        let (committed, voted) = (state.committed.slot, state.voted.slot);
        let leads = standing.leading;
        self.letters.retain(|wire, letter| {
            if wire.to != to {
                return true;
            }
            let round = wire.round;
            match &letter.message.body {
                Body::Prepare(_) => round > promised,
                Body::Promise(_) => round == promised && round != accepted,
                Body::Propose(propose) if is_all => {
                    let end = propose.after.slot.0 + propose.entries.len() as u64;
                    let is_known = round == accepted && end <= voted.0;
                    round >= promised && (!is_known || propose.committed.slot > committed)
                }
                Body::Propose(propose) if propose.adopt => round >= promised && round != accepted,
                Body::Propose(_) => round >= promised,
                Body::Vote(vote) => {
                    let is_of_use = vote.voted.slot > committed || (leads && round == accepted);
                    is_of_use && (is_all || round >= promised)
                }
                Body::Refuse(refuse) => {
                    is_all
                        && (refuse.promised > Some(standing.round)
                            || refuse.committed.slot > committed)
                }
                Body::Fetch(_) | Body::Entries(_) => true,
                Body::Submit(_) | Body::Read(_) | Body::ReadReply(_) | Body::Remember(_) => false,
            }
        });
    }
}

fn kind(body: &Body) -> (&'static str, Option<Round>) {
    let round = match body {
        Body::Vote(vote) => Some(vote.round),
        Body::Prepare(prepare) => Some(prepare.round),
        Body::Promise(promise) => Some(promise.round),
        Body::Propose(propose) => Some(propose.round),
        Body::Refuse(_)
        | Body::Fetch(_)
        | Body::Entries(_)
        | Body::Submit(_)
        | Body::Read(_)
        | Body::ReadReply(_)
        | Body::Remember(_) => None,
    };
    let adopts = matches!(body, Body::Propose(propose) if propose.adopt);
    (if adopts { "adopt" } else { body.name() }, round)
}
