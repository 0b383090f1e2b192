//! What a message is to this node: whose it is, whether it was here before, and who takes it.
//!
//! Routing is by type. `Data` is delivered once and acknowledged at every arrival: the sender may
//! have missed the first answer. Whatever is not for this node is dropped and counted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::consensus;
use crate::dispatch::outbox::{Outbox, Parcel, Receipt, Refused};
use crate::dispatch::seen::Seen;
use crate::limits;
use crate::mutant::{self, Mutant};
use crate::types::{MessageId, NodeId, Time};
use crate::wire::{HeartBeat, Message, Payload};

/// What arrived, for the machine that takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The peer asks for a sign of life, to be given with a `Pong` that names its message.
    Ping,
    /// A sign of life, or the acknowledgement of a `Data` (see [`Dispatcher::acknowledged`]).
    Pong {
        /// The message answered.
        re: Option<MessageId>,
    },
    /// A text that was not here before: deliver and acknowledge.
    Text(Arc<str>),
    /// A text that was delivered before: acknowledge only.
    Repeated,
    /// For the peers machine, and for consensus.
    HeartBeat(HeartBeat),
    /// For consensus.
    Consensus(consensus::Message),
    /// Named for another node, or said to come from this one: dropped.
    Astray,
    /// A text over the limit: dropped.
    TooLong,
}

/// What was dropped, and what is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that were not for this node.
    pub astray: u64,
    /// `Data` that had been delivered before.
    pub repeated: u64,
    /// `Data` ids remembered.
    pub remembered: usize,
    /// For how long every `Data` id is remembered.
    pub remembered_for: Duration,
    /// Own `Data` that waits for acknowledgement.
    pub unacknowledged: usize,
}

/// Messages in, and own `Data` out.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    me: NodeId,
    seen: Seen,
    outbox: Outbox,
    astray: u64,
    repeated: u64,
}

impl Dispatcher {
    /// Nothing seen, nothing sent.
    pub fn new(me: NodeId, now: Time) -> Self {
        Self { me, seen: Seen::new(now), outbox: Outbox::default(), astray: 0, repeated: 0 }
    }

    /// Says what a message is to this node.
    pub fn arrived(&mut self, now: Time, message: Message) -> Arrival {
        if message.from == self.me || message.to.is_some_and(|to| to != self.me) {
            self.astray += 1;
            return Arrival::Astray;
        }
        match message.payload {
            Payload::Ping(_) => Arrival::Ping,
            Payload::Pong(pong) => Arrival::Pong { re: pong.re },
            Payload::Data(text) if text.len() > limits::DATA_BYTES_MAX => Arrival::TooLong,
            Payload::Data(text) => {
                if self.seen.is_fresh(now, message.from, message.id) {
                    Arrival::Text(text)
                } else {
                    self.repeated += 1;
                    Arrival::Repeated
                }
            }
            Payload::HeartBeat(beat) => Arrival::HeartBeat(beat),
            Payload::Consensus(_)
                if mutant::is(Mutant::StatementSwallowed)
                    && !self.seen.is_fresh(now, message.from, message.id) =>
            {
                Arrival::Repeated
            }
            Payload::Consensus(message) => Arrival::Consensus(message),
        }
    }

    /// Takes an own text for one peer, or for all of `online`. None is to be sent where the
    /// same id is on its way already, or nobody is addressed: that is done at once.
    ///
    /// # Errors
    /// [`Refused`] if too many wait, or the text is too long.
    pub fn send(
        &mut self,
        now: Time,
        id: MessageId,
        to: Option<NodeId>,
        text: Arc<str>,
        online: impl FnOnce() -> BTreeSet<NodeId>,
        receipts: &mut Vec<Receipt>,
    ) -> Result<Option<Parcel>, Refused> {
        let addressed = to.map_or_else(online, |peer| BTreeSet::from([peer]));
        if addressed.is_empty() || to == Some(self.me) {
            // Others only: what is for this node alone arrives nowhere.
            let missing = addressed.into_iter().collect();
            receipts.push(Receipt::Done { id, by: Vec::new(), missing });
            return Ok(None);
        }
        let is_new = self.outbox.take(now, id, &text, addressed)?;
        Ok(is_new.then_some(Parcel { id, to, text }))
    }

    /// A peer says that it has an own message.
    pub fn acknowledged(&mut self, id: MessageId, by: NodeId, receipts: &mut Vec<Receipt>) {
        self.outbox.acknowledged(id, by, receipts);
    }

    /// What this peer is still to get, now that a link leads to it again.
    pub fn linked(&self, peer: NodeId) -> Vec<Parcel> {
        self.outbox.linked(peer)
    }

    /// What is due: texts to send again, and news of those given up.
    pub fn on_time(
        &mut self,
        now: Time,
        is_linked: impl Fn(NodeId) -> bool,
        receipts: &mut Vec<Receipt>,
    ) -> Vec<Parcel> {
        self.outbox.on_time(now, is_linked, receipts)
    }

    /// When [`Dispatcher::on_time`] is wanted.
    pub fn wake(&self) -> Option<Time> {
        self.outbox.wake()
    }

    /// What was dropped, and what is remembered.
    pub fn counts(&self, now: Time) -> Counts {
        Counts {
            astray: self.astray,
            repeated: self.repeated,
            remembered: self.seen.len(),
            remembered_for: self.seen.remembers(now),
            unacknowledged: self.outbox.len(),
        }
    }

    /// Whether everything is within its bounds, and a wake is armed for everything that waits.
    pub fn is_sound(&self) -> bool {
        self.seen.is_bounded() && self.outbox.is_sound()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Position, Round};
    use crate::wire::Ping;

    const ME: NodeId = NodeId::from_u128(1);
    const PEER: NodeId = NodeId::from_u128(2);
    const ID: MessageId = MessageId::from_u128(7);

    fn message(to: Option<NodeId>, payload: Payload) -> Message {
        Message { id: ID, from: PEER, to, timestamp: 0, payload }
    }

    fn text(length: usize) -> Payload {
        Payload::Data("x".repeat(length).into())
    }

    #[test]
    fn a_text_is_delivered_once_and_known_again() {
        let mut dispatcher = Dispatcher::new(ME, Time::ZERO);
        for to in [None, Some(ME)] {
            let arrival = dispatcher.arrived(Time::ZERO, message(to, text(1)));
            let expected = if to.is_none() { Arrival::Text("x".into()) } else { Arrival::Repeated };
            assert_eq!(arrival, expected);
        }
        assert_eq!(dispatcher.counts(Time::ZERO).repeated, 1);
    }

    #[test]
    fn a_repeated_statement_is_never_swallowed() {
        let mut dispatcher = Dispatcher::new(ME, Time::ZERO);
        let vote = consensus::Vote::new(Round(0), Position::GENESIS, Position::GENESIS);
        let said = consensus::Message { epoch: Epoch(1), body: consensus::Body::Vote(vote) };
        for _ in 0..2 {
            let arrival =
                dispatcher.arrived(Time::ZERO, message(None, Payload::Consensus(said.clone())));
            assert_eq!(arrival, Arrival::Consensus(said.clone()));
        }
    }

    #[test]
    fn what_is_for_another_node_is_dropped_and_counted() {
        let mut dispatcher = Dispatcher::new(ME, Time::ZERO);
        let ping = Payload::Ping(Ping::default());
        let other = message(Some(NodeId::from_u128(3)), ping.clone());
        assert_eq!(dispatcher.arrived(Time::ZERO, other), Arrival::Astray);
        let own = Message { from: ME, ..message(None, ping.clone()) };
        assert_eq!(dispatcher.arrived(Time::ZERO, own), Arrival::Astray);
        assert_eq!(dispatcher.counts(Time::ZERO).astray, 2);
        assert_eq!(dispatcher.arrived(Time::ZERO, message(Some(ME), ping)), Arrival::Ping);
    }

    #[test]
    fn a_text_over_the_limit_is_not_delivered() {
        let mut dispatcher = Dispatcher::new(ME, Time::ZERO);
        let long = message(None, text(limits::DATA_BYTES_MAX + 1));
        assert_eq!(dispatcher.arrived(Time::ZERO, long), Arrival::TooLong);
        assert_eq!(dispatcher.counts(Time::ZERO).remembered, 0);
        let longest = message(None, text(limits::DATA_BYTES_MAX));
        assert!(matches!(dispatcher.arrived(Time::ZERO, longest), Arrival::Text(_)));
        assert_eq!(dispatcher.counts(Time::ZERO).remembered, 1);
    }

    #[test]
    fn a_broadcast_that_nobody_can_hear_is_done_at_once() {
        let mut dispatcher = Dispatcher::new(ME, Time::ZERO);
        let mut receipts = Vec::new();
        let sent = dispatcher.send(Time::ZERO, ID, None, "x".into(), BTreeSet::new, &mut receipts);
        assert_eq!(sent, Ok(None));
        assert_eq!(receipts, [Receipt::Done { id: ID, by: vec![], missing: vec![] }]);
        assert_eq!(dispatcher.wake(), None);
    }

    #[test]
    fn a_message_for_one_peer_names_it_and_waits_for_it() {
        let mut dispatcher = Dispatcher::new(ME, Time::ZERO);
        let mut receipts = Vec::new();
        let online = || BTreeSet::from([NodeId::from_u128(3)]);
        let sent = dispatcher.send(Time::ZERO, ID, Some(PEER), "x".into(), online, &mut receipts);
        assert_eq!(sent, Ok(Some(Parcel { id: ID, to: Some(PEER), text: "x".into() })));
        assert_eq!(dispatcher.wake(), Some(Time::ZERO + limits::RESEND_AFTER));
        dispatcher.acknowledged(ID, PEER, &mut receipts);
        assert_eq!(receipts.len(), 2);
        assert!(dispatcher.is_sound());
    }
}
