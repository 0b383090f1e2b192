//! What arrives, to the machine that takes it; and the application's texts, on their way and back.

use std::sync::Arc;
use std::time::Duration;

use crate::consensus;
use crate::dispatch::{Arrival, Parcel, Receipt, Refused};
use crate::engine::core::{Engine, Turn};
use crate::engine::{Event, Outgoing, Recipients};
use crate::mutant::{self, Mutant};
use crate::peers;
use crate::types::{MessageId, NodeId, Time};
use crate::wire::{HeartBeat, Message, Payload, Pong};

impl Engine {
    pub(super) fn on_frame(&mut self, now: Time, message: Message, turn: &mut Turn) {
        let (from, id) = (message.from, message.id);
        let now = match mutant::is(Mutant::SendersClockTrusted) {
            true => Time::from_start(Duration::from_secs(message.timestamp)),
            false => now,
        };
        if !self.peers.belongs(from) {
            self.strangers += 1;
            if let Payload::HeartBeat(beat) = message.payload {
                // Only its words on formation are heard: it may be told that it does not belong.
                self.step_peers(now, peers::Input::Beat { from, beat: beat.peers }, turn);
            } else if let Some(config) = self.epoch() {
                let members = config.members.clone();
                turn.effects.publish.push(Event::NotAMember { node: from, members });
            }
            return;
        }
        match self.dispatcher.arrived(now, message) {
            Arrival::Ping => {
                self.heard(now, from, turn);
                self.pong(from, id, turn);
            }
            Arrival::Pong { re } => {
                self.heard(now, from, turn);
                let mut receipts = Vec::new();
                if let Some(id) = re {
                    self.dispatcher.acknowledged(id, from, &mut receipts);
                }
                tell(receipts, turn);
            }
            Arrival::Text(text) => {
                self.heard(now, from, turn);
                self.pong(from, id, turn);
                turn.effects.publish.push(Event::Received { id, from, text });
            }
            Arrival::Repeated => {
                self.heard(now, from, turn);
                if !mutant::is(Mutant::ResendSwallowed) {
                    self.pong(from, id, turn);
                }
            }
            Arrival::HeartBeat(HeartBeat { peers, log }) => {
                let is_leaving = peers.leaving;
                self.step_peers(now, peers::Input::Beat { from, beat: peers }, turn);
                let said = match log {
                    Some(beat) => consensus::Input::Beat { from, beat },
                    None => consensus::Input::Heard(from),
                };
                self.step_formed(now, from, said, turn);
                if is_leaving {
                    // It was just heard, and will not be again.
                    self.step_formed(now, from, consensus::Input::Lost(from), turn);
                }
            }
            Arrival::Consensus(message) => {
                self.step_peers(now, peers::Input::Heard(from), turn);
                self.step_formed(now, from, consensus::Input::Message { from, message }, turn);
            }
            Arrival::TooLong => {
                let what = "a text over the limit";
                turn.effects.publish.push(Event::Misbehaved { peer: from, what });
            }
            Arrival::Astray => {}
        }
    }

    pub(super) fn on_send(
        &mut self,
        now: Time,
        id: MessageId,
        to: Option<NodeId>,
        text: Arc<str>,
        turn: &mut Turn,
    ) {
        let online = || self.peers.online().collect();
        let mut receipts = Vec::new();
        match self.dispatcher.send(now, id, to, text, online, &mut receipts) {
            Ok(parcel) => self.send_parcels(parcel, turn),
            Err(Refused) => {
                turn.effects.publish.push(Event::SendRefused { id });
            }
        }
        tell(receipts, turn);
    }

    pub(super) fn send_again(&mut self, now: Time, turn: &mut Turn) {
        let mut receipts = Vec::new();
        let is_linked = |peer| self.peers.is_linked(peer);
        let parcels = self.dispatcher.on_time(now, is_linked, &mut receipts);
        self.send_parcels(parcels, turn);
        tell(receipts, turn);
    }

    pub(super) fn send_parcels(&self, parcels: impl IntoIterator<Item = Parcel>, turn: &mut Turn) {
        turn.effects.send.extend(parcels.into_iter().map(|Parcel { id, to, text }| Outgoing {
            id,
            to: to.map_or(Recipients::Everyone, Recipients::One),
            payload: Payload::Data(text),
        }));
    }

    /// Any frame is a sign of life, to peers and to consensus.
    fn heard(&mut self, now: Time, from: NodeId, turn: &mut Turn) {
        self.step_peers(now, peers::Input::Heard(from), turn);
        self.step_formed(now, from, consensus::Input::Heard(from), turn);
    }

    fn pong(&mut self, to: NodeId, re: MessageId, turn: &mut Turn) {
        self.say(to, Payload::Pong(Pong { re: Some(re), ..Pong::default() }), turn);
    }
}

fn tell(receipts: Vec<Receipt>, turn: &mut Turn) {
    turn.effects.publish.extend(receipts.into_iter().map(|receipt| match receipt {
        Receipt::Acknowledged { id, by } => Event::Acknowledged { id, by },
        Receipt::Done { id, by, missing } => Event::Sent { id, by, missing },
    }));
}
