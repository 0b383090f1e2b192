//! One input in, effects out.

use crate::consensus::{self, Body, Entry, Serve};
use crate::engine::core::{Engine, Turn};
use crate::engine::{Effects, Input, Outgoing, Recipients, Status};
use crate::peers;
use crate::types::{Position, Time};
use crate::wire::Payload;

impl Engine {
    /// Takes one input at the moment `now`, which never goes back.
    pub fn handle(&mut self, now: Time, input: Input) -> Effects {
        let mut turn = Turn::default();
        match input {
            Input::Tick => {
                self.step_peers(now, peers::Input::Tick, &mut turn);
                self.step_consensus(now, consensus::Input::Tick, &mut turn);
                self.send_again(now, &mut turn);
            }
            Input::Met { listed, node } => {
                self.step_peers(now, peers::Input::Met { listed, node }, &mut turn);
            }
            Input::LinkUp { peer, name, address } => {
                self.step_peers(now, peers::Input::LinkUp { peer, name, address }, &mut turn);
                self.step_formed(now, peer, consensus::Input::Heard(peer), &mut turn);
                self.send_parcels(self.dispatcher.linked(peer), &mut turn);
            }
            Input::LinkDown { peer } => {
                self.step_peers(now, peers::Input::LinkDown { peer }, &mut turn);
            }
            Input::DialRefused { peer } => {
                self.step_peers(now, peers::Input::DialRefused { peer }, &mut turn);
            }
            Input::Frame(message) => self.on_frame(now, message, &mut turn),
            Input::Synced { through, took } => {
                self.step_consensus(now, consensus::Input::Synced { through, took }, &mut turn);
            }
            Input::Submit(proposal) => {
                self.step_consensus(now, consensus::Input::Submit(proposal), &mut turn);
            }
            Input::Read { token } => {
                self.step_consensus(now, consensus::Input::Read { token }, &mut turn);
            }
            Input::Send { id, to, text } => self.on_send(now, id, to, text, &mut turn),
            Input::Deaf => {
                self.step_peers(now, peers::Input::Deaf, &mut turn);
                self.step_consensus(now, consensus::Input::Deaf, &mut turn);
            }
            Input::Leave => self.step_peers(now, peers::Input::Leave, &mut turn),
        }
        self.watch_quorum(&mut turn);
        self.send_beats(now, &mut turn);
        turn.effects.batch = self.batch;
        debug_assert_eq!(self.invariants(), Ok(()), "after an input at {now}");
        turn.effects
    }

    /// When [`Input::Tick`] is wanted.
    pub fn wake(&self) -> Option<Time> {
        let wakes = [self.consensus.wake(), self.peers.wake(), self.dispatcher.wake()];
        wakes.into_iter().flatten().min()
    }

    /// The message that answers [`Effects::serve`], and what is to be read next for the same answer: `entries` as read
    /// from the log, which follow `after` there.
    ///
    /// # Panics
    /// Before the cluster is formed: nothing is served then.
    pub fn served(
        &mut self,
        serve: Serve,
        after: Position,
        entries: &[Entry],
    ) -> (Outgoing, Option<Serve>) {
        let epoch = self.epoch().expect("who serves has an epoch").epoch;
        let next = entries.last().and_then(|last| serve.next(last.slot()));
        let (committed, more) = (serve.committed, next.is_some());
        let entries = entries.iter().map(|entry| entry.content().clone()).collect();
        let body = Body::Entries(consensus::Entries { after, entries, committed, more });
        let payload = Payload::Consensus(consensus::Message { epoch, body });
        (Outgoing { id: self.names.next(), to: Recipients::One(serve.to), payload }, next)
    }

    /// Where the node stands.
    pub fn status(&self, now: Time) -> Status {
        Status {
            log: self.consensus.standing(now),
            peers: self.peers.infos().collect(),
            hears: self.peers.views().map(|(id, hears)| (id, hears.to_vec())).collect(),
            objections: self.peers.objections().cloned().collect(),
            quorum: self.epoch().map(|config| self.quorum.now(self.me, config, &self.peers)),
            forming: self.peers.progress(),
            dispatch: self.dispatcher.counts(now),
            strangers: self.strangers,
        }
    }

    /// The consensus machine, for checkers.
    pub fn consensus(&self) -> &consensus::Machine {
        &self.consensus
    }

    /// What must hold after every input; of consensus its own checkers speak.
    ///
    /// # Errors
    /// What does not hold.
    pub fn invariants(&self) -> Result<(), &'static str> {
        if !self.peers.is_sound() {
            return Err("peers: a table over its bound, or nothing wakes who waits for a peer");
        }
        if !self.dispatcher.is_sound() {
            return Err(
                "dispatch: a table over its bound, or nothing wakes who waits to send again",
            );
        }
        if self.epoch != self.epoch().map(|config| config.epoch) {
            return Err("engine: peers and consensus are of different epochs");
        }
        Ok(())
    }
}
