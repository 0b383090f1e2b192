//! Own `Data` messages on their way: kept until every addressed peer has said that it has them.
//!
//! The ends acknowledge, re-send and give up; links promise nothing. A message goes out once to
//! all, then again under the same id to those that are missing: when their link comes back, and
//! after a time that doubles. After [`limits::UNACKNOWLEDGED_AGE_MAX`] it is done, whoever is
//! missing. Bounded in number and bytes: a message too many is refused, none is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::limits;
use crate::mutant::{self, Mutant};
use crate::types::{MessageId, NodeId, Time};

/// A message to be sent (again).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The same at every sending.
    pub id: MessageId,
    /// One peer; everyone that a link leads to if none.
    pub to: Option<NodeId>,
    /// What it says.
    pub text: Arc<str>,
}

/// News of a message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// This peer has it.
    Acknowledged {
        /// The message.
        id: MessageId,
        /// Who has it.
        by: NodeId,
    },
    /// Nothing more is expected of it.
    Done {
        /// The message.
        id: MessageId,
        /// Who has it, in ascending order.
        by: Vec<NodeId>,
        /// Who did not say so in time, in ascending order.
        missing: Vec<NodeId>,
    },
}

/// The message is not taken: too many wait for acknowledgement, or it is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

#[derive(Clone, Debug)]
struct Waiting {
    text: Arc<str>,
    by: BTreeSet<NodeId>,
    missing: BTreeSet<NodeId>,
    pause: Duration,
    give_up_at: Time,
    /// The key under which it stands in `Outbox::due`.
    due_at: Time,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    waiting: BTreeMap<MessageId, Waiting>,
    due: BTreeSet<(Time, MessageId)>,
    bytes: usize,
}

impl Outbox {
    /// Takes a message for these peers. It is to be sent now if it is new and for anyone.
    pub(super) fn take(
        &mut self,
        now: Time,
        id: MessageId,
        text: &Arc<str>,
        addressed: BTreeSet<NodeId>,
    ) -> Result<bool, Refused> {
        if self.waiting.contains_key(&id) {
            return Ok(false);
        }
        if text.len() > limits::DATA_BYTES_MAX
            || self.waiting.len() >= limits::UNACKNOWLEDGED_MAX
            || self.bytes + text.len() > limits::UNACKNOWLEDGED_BYTES_MAX
        {
            return Err(Refused);
        }
        let pause = limits::RESEND_AFTER;
        let waiting = Waiting {
            text: Arc::clone(text),
            by: BTreeSet::new(),
            missing: addressed,
            pause,
            give_up_at: now + limits::UNACKNOWLEDGED_AGE_MAX,
            due_at: now + pause,
        };
        self.bytes += text.len();
        self.due.insert((waiting.due_at, id));
        self.waiting.insert(id, waiting);
        Ok(true)
    }

    /// A peer has a message. Answers of peers that were not asked, and repeated ones, say nothing.
    pub(super) fn acknowledged(&mut self, id: MessageId, by: NodeId, receipts: &mut Vec<Receipt>) {
        let Some(waiting) = self.waiting.get_mut(&id) else { return };
        if !waiting.missing.remove(&by) {
            return;
        }
        waiting.by.insert(by);
        receipts.push(Receipt::Acknowledged { id, by });
        if waiting.missing.is_empty() {
            receipts.push(self.done(id));
        }
    }

    /// What this peer is still to get, now that a link leads to it again.
    pub(super) fn linked(&self, peer: NodeId) -> Vec<Parcel> {
        let missing = self.waiting.iter().filter(|(_, waiting)| waiting.missing.contains(&peer));
        let parcel = |(id, waiting): (&MessageId, &Waiting)| waiting.parcel(*id, peer);
        missing.map(parcel).collect()
    }

    /// What is to be sent again to those of the missing that `is_linked`, and what is given up.
    pub(super) fn on_time(
        &mut self,
        now: Time,
        is_linked: impl Fn(NodeId) -> bool,
        receipts: &mut Vec<Receipt>,
    ) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        while let Some(&(due_at, id)) = self.due.first()
            && due_at <= now
        {
            let waiting = self.waiting.get_mut(&id).expect("what is due waits");
            if waiting.give_up_at <= now {
                receipts.push(self.done(id));
                continue;
            }
            let linked = waiting.missing.iter().filter(|peer| is_linked(**peer));
            if !mutant::is(Mutant::NoResend) {
                parcels.extend(linked.map(|peer| waiting.parcel(id, *peer)));
            }
            self.due.remove(&(due_at, id));
            waiting.pause *= 2;
            waiting.due_at = (now + waiting.pause).min(waiting.give_up_at);
            self.due.insert((waiting.due_at, id));
        }
        parcels
    }

    /// When [`Outbox::on_time`] is wanted.
    pub(super) fn wake(&self) -> Option<Time> {
        self.due.first().map(|(due_at, _)| *due_at)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether it is within its bounds, and whether everything in it is due at some time.
    pub(super) fn is_sound(&self) -> bool {
        self.waiting.len() <= limits::UNACKNOWLEDGED_MAX
            && self.bytes <= limits::UNACKNOWLEDGED_BYTES_MAX
            && self.due.len() == self.waiting.len()
    }

    fn done(&mut self, id: MessageId) -> Receipt {
        let waiting = self.waiting.remove(&id).expect("only what waits is done");
        self.due.remove(&(waiting.due_at, id));
        self.bytes -= waiting.text.len();
        Receipt::Done {
            id,
            by: waiting.by.into_iter().collect(),
            missing: waiting.missing.into_iter().collect(),
        }
    }
}

impl Waiting {
    fn parcel(&self, id: MessageId, to: NodeId) -> Parcel {
        Parcel { id, to: Some(to), text: Arc::clone(&self.text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId::from_u128(0xa);
    const B: NodeId = NodeId::from_u128(0xb);
    const ID: MessageId = MessageId::from_u128(1);

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    fn outbox_with_a_message() -> Outbox {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.take(at(0), ID, &"hello".into(), [A, B].into()), Ok(true));
        outbox
    }

    fn acknowledge(outbox: &mut Outbox, by: NodeId) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        outbox.acknowledged(ID, by, &mut receipts);
        receipts
    }

    #[test]
    fn a_message_is_done_when_everyone_addressed_has_it() {
        let mut outbox = outbox_with_a_message();
        assert_eq!(acknowledge(&mut outbox, A), [Receipt::Acknowledged { id: ID, by: A }]);
        assert_eq!(acknowledge(&mut outbox, A), []);
        assert_eq!(acknowledge(&mut outbox, NodeId::from_u128(0xc)), []);
        let done = Receipt::Done { id: ID, by: vec![A, B], missing: vec![] };
        assert_eq!(acknowledge(&mut outbox, B), [Receipt::Acknowledged { id: ID, by: B }, done]);
        assert_eq!((outbox.len(), outbox.bytes, outbox.wake()), (0, 0, None));
    }

    #[test]
    fn a_message_goes_again_to_the_missing_when_their_link_is_back() {
        let mut outbox = outbox_with_a_message();
        acknowledge(&mut outbox, A);
        assert_eq!(outbox.linked(A), []);
        let parcel = Parcel { id: ID, to: Some(B), text: "hello".into() };
        assert_eq!(outbox.linked(B), [parcel]);
    }

    #[test]
    fn re_sends_double_and_go_to_linked_peers_only_until_given_up() {
        let mut outbox = outbox_with_a_message();
        let mut sent = Vec::new();
        let mut receipts = Vec::new();
        while let Some(wake) = outbox.wake() {
            for parcel in outbox.on_time(wake, |peer| peer == B, &mut receipts) {
                assert_eq!((parcel.id, parcel.to), (ID, Some(B)));
                sent.push(wake);
            }
            assert!(outbox.is_sound());
        }
        assert_eq!(sent, [at(1), at(3), at(7), at(15)]);
        assert_eq!(receipts, [Receipt::Done { id: ID, by: vec![], missing: vec![A, B] }]);
    }

    #[test]
    fn a_message_taken_twice_is_sent_once() {
        let mut outbox = outbox_with_a_message();
        assert_eq!(outbox.take(at(1), ID, &"hello".into(), [A].into()), Ok(false));
        assert_eq!(outbox.len(), 1);
    }

    #[test]
    fn too_many_too_heavy_and_too_long_are_refused() {
        let mut outbox = Outbox::default();
        let id = |n: usize| MessageId::from_u128(n as u128);
        for n in 0..limits::UNACKNOWLEDGED_MAX {
            assert_eq!(outbox.take(at(0), id(n), &"x".into(), [A].into()), Ok(true));
        }
        assert_eq!(outbox.take(at(0), id(usize::MAX), &"x".into(), [A].into()), Err(Refused));

        let mut outbox = Outbox::default();
        let heavy: Arc<str> = "x".repeat(limits::DATA_BYTES_MAX).into();
        let fit = limits::UNACKNOWLEDGED_BYTES_MAX / heavy.len();
        for n in 0..fit {
            assert_eq!(outbox.take(at(0), id(n), &heavy, [A].into()), Ok(true));
        }
        assert_eq!(outbox.take(at(0), id(fit), &"x".into(), [A].into()), Err(Refused));
        assert!(outbox.is_sound());

        let long: Arc<str> = "x".repeat(limits::DATA_BYTES_MAX + 1).into();
        assert_eq!(Outbox::default().take(at(0), ID, &long, [A].into()), Err(Refused));
    }
}
