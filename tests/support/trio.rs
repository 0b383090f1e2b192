//! Three engines and what a host does for them, by hand: turns as the driver takes them, frames as bytes, a log behind
//! each. No sockets, no threads, no clock: equal calls lead to equal deeds, to the last allocation.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use quorate::consensus::{self, EpochConfig, Proposal, Record, State};
use quorate::engine::{Effects, Engine, Event, Input, Outgoing, Recipients, Settings};
use quorate::storage::Log;
use quorate::types::{Epoch, NodeId, Position, ProposalId, Time, Value};
use quorate::wire::{self, Decoded, HEAD_BYTES, Message};

/// How many nodes there are.
pub(crate) const NODES: usize = 3;

/// The node that leads: round 0 is its own.
pub(crate) const PROPOSER: usize = 0;

/// A node that does not.
pub(crate) const FOLLOWER: usize = 1;

/// How many bytes a value has.
pub(crate) const VALUE_BYTES: usize = 256;

/// How many ticks one turn gives at most, as in the driver.
const TICKS: usize = 4;

/// Far more turns than any batch needs.
const TURNS_MAX: usize = 100_000;

/// Room that the hands make before anything is counted: what they hold is none of the engines' cost.
const ROOM: usize = 1_024;

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// As they are, cloned for each receiver.
    Values,
    /// As frames: encoded once for all, decoded by each receiver.
    Frames,
}

/// What one node did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deeds {
    /// Turns whose records were appended.
    pub(crate) appends: u64,
    /// Records in them.
    pub(crate) records: u64,
    /// Syncs that the log was asked for.
    pub(crate) syncs: u64,
    /// Frames sent, one for each receiver.
    pub(crate) frames: u64,
    /// Their bytes, lengths included; none where messages travel as values.
    pub(crate) bytes: u64,
    /// Entries told as committed.
    pub(crate) commits: u64,
}

#[expect(clippy::large_enum_variant, reason = "a box would be an allocation that no node makes")]
enum Letter {
    Value(Message),
    Frame(Bytes),
}

struct Seat<L> {
    id: NodeId,
    engine: Engine,
    log: L,
    arrived: VecDeque<Letter>,
    submitted: VecDeque<Proposal>,
    /// The batch that was synced since the last turn.
    synced: Option<u64>,
    deeds: Deeds,
}

/// Members of one epoch, linked each to each.
pub(crate) struct Trio<L> {
    seats: Vec<Seat<L>>,
    wire: Wire,
    now: Time,
    proposals: u128,
    value: Value,
}

impl<L: Log> Trio<L> {
    /// Three members that have started, met, and opened the first round; `log` makes the log of each, empty.
    pub(crate) fn start(wire: Wire, mut log: impl FnMut(NodeId) -> L) -> Self {
        let ids: Vec<_> = (1..=NODES as u128).map(NodeId::from_u128).collect();
        let config = EpochConfig::new(Epoch(1), ids.clone());
        let seats = ids.iter().zip(1..).map(|(&id, seed)| {
            let start = Record::Epoch { config: config.clone(), base: Position::GENESIS };
            let mut state = State::default();
            state.apply(&start).expect("the first record");
            let mut log = log(id);
            log.append(&[start]).and_then(|()| log.sync()).expect("a log that works");
            let settings = Settings {
                heartbeat_interval: Duration::from_millis(100),
                listed: NODES,
                consensus: consensus::Settings::default(),
            };
            Seat {
                id,
                engine: Engine::new(id, 1, settings, seed, state, Vec::new(), Time::ZERO),
                log,
                arrived: VecDeque::with_capacity(ROOM),
                submitted: VecDeque::with_capacity(ROOM),
                synced: None,
                deeds: Deeds::default(),
            }
        });
        let value = Value::new("v".repeat(VALUE_BYTES)).expect("a value within the limits");
        let seats = seats.collect();
        let mut trio = Self { seats, wire, now: Time::ZERO, proposals: 0, value };
        for at in 0..NODES {
            for peer in ids.iter().copied().filter(|peer| *peer != ids[at]) {
                let (name, address) = (format!("n{peer}"), "127.0.0.1:1".to_owned());
                let mut records = Vec::new();
                trio.tell(at, Input::LinkUp { peer, name, address }, &mut records);
                assert!(records.is_empty(), "a link is no matter of the log");
            }
        }
        trio.pass(Duration::from_secs(1));
        let leads = |at: usize| trio.seats[at].engine.status(trio.now).log.leading;
        assert!(leads(PROPOSER) && !leads(FOLLOWER), "round 0 is led by the first of three");
        trio
    }

    /// Hands `count` proposals to one node at once, and lets everything happen that follows from it. Time stands still,
    /// so no heartbeat comes between.
    ///
    /// # Panics
    /// If any node does not commit all of them.
    pub(crate) fn commit(&mut self, at: usize, count: usize) {
        let wanted = self.seats[at].deeds.commits + count as u64;
        for _ in 0..count {
            self.proposals += 1;
            let id = ProposalId::from_u128(self.proposals);
            let proposal = Proposal { id, value: self.value.clone(), until: None };
            self.seats[at].submitted.push_back(proposal);
        }
        self.settle();
        for deeds in self.deeds() {
            assert_eq!(deeds.commits, wanted, "each node commits all that was proposed");
        }
    }

    /// What each node did so far.
    pub(crate) fn deeds(&self) -> impl Iterator<Item = Deeds> {
        self.seats.iter().map(|seat| seat.deeds)
    }

    fn settle(&mut self) {
        for turn in 0..TURNS_MAX {
            let at = turn % NODES;
            if !self.seats.iter().any(|seat| seat.has_work(self.now)) {
                return;
            }
            if self.seats[at].has_work(self.now) {
                self.turn(at);
            }
        }
        panic!("the engines never come to rest");
    }

    /// Lets time go by, waking who asked for it.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.settle();
            let wakes = self.seats.iter().filter_map(|seat| seat.engine.wake());
            match wakes.min() {
                Some(wake) if wake <= end => self.now = self.now.max(wake),
                Some(_) | None => break,
            }
        }
        self.now = end;
        self.settle();
    }

    /// One turn: all that waits is taken, then what is due is done, then one batch of records goes to the log.
    fn turn(&mut self, at: usize) {
        let mut gathered = Vec::new();
        let mut batch = 0;
        if let Some(through) = self.seats[at].synced.take() {
            let took = Duration::ZERO;
            batch = self.tell(at, Input::Synced { through, took }, &mut gathered);
        }
        while let Some(letter) = self.seats[at].arrived.pop_front() {
            let message = match letter {
                Letter::Value(message) => message,
                Letter::Frame(frame) => match wire::decode(&frame[HEAD_BYTES..]) {
                    Ok(Decoded::Message(message)) => message,
                    other => panic!("what a node sent is not understood: {other:?}"),
                },
            };
            batch = self.tell(at, Input::Frame(message), &mut gathered);
        }
        while let Some(proposal) = self.seats[at].submitted.pop_front() {
            batch = self.tell(at, Input::Submit(proposal), &mut gathered);
        }
        for _ in 0..TICKS {
            if self.seats[at].engine.wake().is_some_and(|wake| wake <= self.now) {
                batch = self.tell(at, Input::Tick, &mut gathered);
            }
        }
        self.seats[at].persist(batch, &gathered);
    }

    /// One input, and all that it asks for but the disk. Answers the number of the last batch.
    fn tell(&mut self, at: usize, input: Input, gathered: &mut Vec<Record>) -> u64 {
        let effects = self.seats[at].engine.handle(self.now, input);
        let Effects { batch, persist, send, serve, publish } = effects;
        assert!(serve.is_empty(), "nobody is so far behind that a log must be read");
        gathered.extend(persist);
        for outgoing in send {
            self.send(at, outgoing);
        }
        for event in publish {
            match event {
                Event::Log(consensus::Event::Committed(_)) => self.seats[at].deeds.commits += 1,
                Event::Log(consensus::Event::Halt(halt)) => panic!("{halt}"),
                Event::Misbehaved { what, .. } => panic!("an honest node {what}"),
                _ => {}
            }
        }
        batch
    }

    fn send(&mut self, from: usize, Outgoing { id, to, payload }: Outgoing) {
        let named = match to {
            Recipients::Everyone => None,
            Recipients::One(node) => Some(node),
        };
        // As many digits as the wall clock has.
        let timestamp = 1_700_000_000;
        let message = Message { id, from: self.seats[from].id, to: named, timestamp, payload };
        let letter = match self.wire {
            Wire::Values => Letter::Value(message),
            Wire::Frames => Letter::Frame(wire::encode(&message).expect("it fits in a frame")),
        };
        for to in (0..NODES).filter(|to| *to != from) {
            if named.is_none_or(|named| named == self.seats[to].id) {
                let copy = letter.copy();
                let deeds = &mut self.seats[from].deeds;
                deeds.frames += 1;
                deeds.bytes += copy.bytes();
                self.seats[to].arrived.push_back(copy);
            }
        }
    }
}

impl<L: Log> Seat<L> {
    fn has_work(&self, now: Time) -> bool {
        let waits = !self.arrived.is_empty() || !self.submitted.is_empty() || self.synced.is_some();
        waits || self.engine.wake().is_some_and(|wake| wake <= now)
    }

    /// As the disk thread does it: appended at once, synced if anything of it must be, told either way.
    fn persist(&mut self, batch: u64, records: &[Record]) {
        if records.is_empty() {
            return;
        }
        self.log.append(records).expect("a log that works");
        self.deeds.appends += 1;
        self.deeds.records += records.len() as u64;
        if records.iter().any(Record::needs_sync) {
            self.log.sync().expect("a log that works");
            self.deeds.syncs += 1;
        }
        self.log.tidy().expect("a log that works");
        self.synced = Some(batch);
    }
}

impl Letter {
    fn copy(&self) -> Self {
        match self {
            Self::Value(message) => Self::Value(message.clone()),
            Self::Frame(frame) => Self::Frame(frame.clone()),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Value(_) => 0,
            Self::Frame(frame) => frame.len() as u64,
        }
    }
}
