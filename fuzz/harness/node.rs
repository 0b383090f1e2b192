//! A whole node and its log, told anything by anyone in any order, killed and started again.
//!
//! Peers may lie here, so two nodes need not agree; but no word of theirs makes this one panic, say
//! what its disk does not hold, forget a promise, spin, or outgrow its bounds.

use std::time::Duration;

use quorate::consensus::{self, Body, EpochConfig, Record, State};
use quorate::engine::{Effects, Engine, Event, Input, Outgoing, Recipients, Settings};
use quorate::limits;
use quorate::peers;
use quorate::storage::{DurableLog, Log, MemoryDisk};
use quorate::types::{Epoch, MessageId, NodeId, Position, Round, Slot, Time};
use quorate::wire::{Decoded, HEAD_BYTES, HeartBeat, Message, Payload, Ping, Pong, decode, encode};

use super::letters::{Writer, proposal};
use super::script::Script;

/// How many deeds of a script are done.
const DEEDS_MAX: usize = 256;
/// How often a node may want to be woken at one moment.
const SPINS_MAX: usize = 64;
const PENDING_MAX: usize = 4;

/// The head of the input draws the cluster, the rest what happens.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let members = u128::from(script.below(5)) + 1;
    let me = NodeId::from_u128(u128::from(script.byte()) % members + 1);
    let is_formed = !script.flag();
    let mut host = Host::new(me, members, is_formed);
    for _ in 0..DEEDS_MAX {
        if script.is_over() {
            return;
        }
        host.deed(&mut script);
    }
}

struct Host {
    me: NodeId,
    members: u128,
    life: u64,
    now: Time,
    engine: Engine,
    disk: MemoryDisk,
    log: DurableLog<MemoryDisk>,
    writer: Writer,
    /// What all records make.
    made: State,
    /// What the node was told to be synced.
    told: State,
    /// What each batch since the last sync of the disk made, after what that sync made.
    appended: Vec<(u64, State)>,
    /// The last slot published.
    delivered: Slot,
}

impl Host {
    fn new(me: NodeId, members: u128, is_formed: bool) -> Self {
        let disk = MemoryDisk::default();
        let (mut log, found) = DurableLog::open(&disk, log_settings(me)).expect("memory is there");
        let mut state = found.state;
        if is_formed {
            let config = EpochConfig::new(Epoch(1), (1..=members).map(NodeId::from_u128));
            let record = Record::Epoch { config, base: Position::GENESIS };
            state.apply(&record).expect("the first epoch");
            log.append(&[record]).and_then(|()| log.sync()).expect("memory is there");
        }
        let settings = settings(members);
        let engine = Engine::new(me, 1, settings, 1, state.clone(), Vec::new(), Time::ZERO);
        Self {
            me,
            members,
            life: 1,
            now: Time::ZERO,
            engine,
            disk,
            log,
            writer: Writer::new(),
            appended: vec![(0, state.clone())],
            told: state.clone(),
            made: state,
            delivered: Slot(0),
        }
    }

    fn deed(&mut self, script: &mut Script<'_>) {
        match script.below(32) {
            0..=9 => {
                let from = self.peer(script);
                let payload = Payload::Consensus(
                    self.writer.message(script, self.engine.consensus().state()),
                );
                self.hear(from, payload);
            }
            10..=12 => {
                let from = self.peer(script);
                let log = (!script.flag())
                    .then(|| self.writer.beat(script, self.engine.consensus().state()));
                let peers = self.peers_beat(script);
                self.hear(from, Payload::HeartBeat(HeartBeat { peers, log }));
            }
            13 => {
                let from = self.peer(script);
                let payload = match script.below(3) {
                    0 => Payload::Ping(Ping::default()),
                    1 => {
                        let re = Some(MessageId::from_u128(u128::from(script.below(4))));
                        Payload::Pong(Pong { re, ..Pong::default() })
                    }
                    _ => Payload::Data("text".into()),
                };
                self.hear(from, payload);
            }
            14..=16 => {
                self.now = self.now + Duration::from_millis(u64::from(script.byte()) * 4);
                self.tell(Input::Tick);
            }
            17..=21 => self.sync(true),
            22 => self.sync(false),
            23 | 24 => self.tell(Input::Submit(proposal(script, u64::MAX))),
            25 => self.tell(Input::Read { token: u64::from(script.byte()) }),
            26 => {
                let to = script.flag().then(|| self.peer(script));
                let id = MessageId::from_u128(u128::from(script.below(4)));
                self.tell(Input::Send { id, to, text: "text".into() });
            }
            27 => {
                let peer = self.peer(script);
                let input = match script.below(4) {
                    0 => Input::LinkDown { peer },
                    1 => Input::DialRefused { peer },
                    _ => self.link_up(peer, script),
                };
                self.tell(input);
            }
            28 => {
                let peer = self.peer(script);
                let input = self.link_up(peer, script);
                self.tell(input);
            }
            29 => {
                let listed = usize::from(script.byte()) % self.members as usize;
                let node = self.peer(script);
                self.tell(Input::Met { listed, node });
            }
            30 if script.below(8) == 0 => self.tell(Input::Leave),
            30 => self.tell(Input::Tick),
            _ => self.restart(u64::from(script.byte())),
        }
        self.work();
    }

    /// A member, the node itself, or a stranger.
    fn peer(&self, script: &mut Script<'_>) -> NodeId {
        NodeId::from_u128(u128::from(script.byte()) % (self.members + 1) + 1)
    }

    fn link_up(&self, peer: NodeId, script: &mut Script<'_>) -> Input {
        let address = ["a:1", "[::1]:65535", "nowhere"][usize::from(script.below(3))];
        Input::LinkUp { peer, name: "peer".to_owned(), address: address.to_owned() }
    }

    fn peers_beat(&self, script: &mut Script<'_>) -> peers::Beat {
        let marks = script.byte();
        let everyone = || (1..=self.members).map(NodeId::from_u128).collect::<Vec<_>>();
        let some = |script: &mut Script<'_>| {
            let count = script.below(4);
            (0..count).map(|_| self.peer(script)).collect::<Vec<_>>()
        };
        let list = |mark: u8, script: &mut Script<'_>| match marks / mark % 4 {
            0 | 1 => None,
            2 => Some(everyone()),
            _ => Some(some(script)),
        };
        peers::Beat {
            forming: marks % 2 == 1,
            founders: list(1, script),
            founded: list(4, script),
            hears: list(16, script).unwrap_or_default(),
            leaving: marks >= 248,
        }
    }

    /// A frame of a link: the sender is who the handshake proved, never this node.
    fn hear(&mut self, from: NodeId, payload: Payload) {
        if from == self.me {
            return;
        }
        let id = MessageId::from_u128(u128::from(self.now.since_start().subsec_nanos() % 8));
        self.tell(Input::Frame(Message { id, from, to: None, timestamp: 0, payload }));
    }

    /// Wakes the node as long as it wants to be woken now.
    fn work(&mut self) {
        for _ in 0..SPINS_MAX {
            if self.engine.wake().is_none_or(|wake| wake > self.now) {
                return;
            }
            self.tell(Input::Tick);
        }
        panic!("the node spins at {}", self.now);
    }

    fn tell(&mut self, input: Input) {
        let effects = self.engine.handle(self.now, input);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects) {
        let Effects { batch, persist, send, serve, publish } = effects;
        if !persist.is_empty() {
            for record in &persist {
                self.made.apply(record).expect("a record fits the state that it meets");
            }
            self.log.append(&persist).expect("memory is there");
            self.appended.push((batch, self.made.clone()));
        }
        self.look();
        for outgoing in &send {
            self.may_say(outgoing);
        }
        for serve in serve {
            let mut next = Some(serve);
            while let Some(serve) = next.take() {
                let read = self.log.read(serve.from, serve.through, limits::BATCH_BYTES);
                let entries = read.expect("memory is there");
                if let Some(first) = entries.first() {
                    let (outgoing, more) = self.engine.served(serve, first.parent(), &entries);
                    self.may_say(&outgoing);
                    next = more;
                }
            }
        }
        let mut is_over = false;
        for event in publish {
            match event {
                Event::Log(consensus::Event::Committed(commit)) => {
                    let position = commit.entry.position();
                    assert_eq!(position.slot, self.delivered.next(), "each slot once, in order");
                    assert!(self.told.tail.contains(position), "what is published is synced");
                    self.delivered = position.slot;
                }
                Event::Log(consensus::Event::Halt(_)) => is_over = true,
                _ => {}
            }
        }
        if is_over {
            self.restart(0);
        }
    }

    /// The machine and its records tell one story, within the bounds.
    fn look(&self) {
        let state = self.engine.consensus().state();
        assert_eq!(summary(state), summary(&self.made), "records make what the machine works on");
        self.engine.invariants().expect("sound");
        let status = self.engine.status(self.now);
        assert!(status.log.pending <= PENDING_MAX, "what waits is bounded");
        let held = state.tail.len() as u64;
        let open = state.last().slot.0 - state.committed.slot.0;
        let undelivered = state.committed.slot.0 - self.delivered.0.min(state.committed.slot.0);
        let kept = settings(self.members).consensus.retained_slots as u64;
        assert!(held <= kept + open + undelivered + 1, "what is kept is bounded");
    }

    /// Persist before send: what a frame says of durable state is what the node was told to be synced.
    fn may_say(&self, outgoing: &Outgoing) {
        let told = &self.told;
        match &outgoing.payload {
            Payload::Consensus(message) => match &message.body {
                Body::Vote(vote) => {
                    assert_eq!((Some(vote.round), vote.voted), (told.accepted, told.voted));
                }
                Body::Prepare(prepare) => assert_eq!(Some(prepare.round), told.promised),
                Body::Promise(promise) => {
                    let says = (Some(promise.round), promise.accepted, promise.last);
                    assert_eq!(says, (told.promised, told.accepted, told.last()));
                }
                Body::Propose(propose) => assert_eq!(Some(propose.round), told.promised),
                Body::Refuse(refuse) => assert_eq!(refuse.promised, told.promised),
                Body::ReadReply(reply) => assert_eq!(reply.last, told.last()),
                Body::Fetch(_)
                | Body::Entries(_)
                | Body::Submit(_)
                | Body::Read(_)
                | Body::Remember(_) => {}
            },
            Payload::HeartBeat(HeartBeat { log: Some(beat), .. }) => {
                let says = (beat.promised, beat.accepted, beat.voted, beat.last);
                assert_eq!(says, (told.promised, told.accepted, told.voted, told.last()));
                assert!(beat.leads.is_none_or(|round| told.promised >= Some(round)));
            }
            Payload::HeartBeat(_) | Payload::Ping(_) | Payload::Pong(_) | Payload::Data(_) => {}
        }
        let to = match outgoing.to {
            Recipients::Everyone => None,
            Recipients::One(peer) => Some(peer),
        };
        let payload = outgoing.payload.clone();
        let message = Message { id: outgoing.id, from: self.me, to, timestamp: 0, payload };
        let frame = encode(&message).expect("what is said fits a frame");
        let read = decode(&frame[HEAD_BYTES..]).expect("what is said can be read");
        assert_eq!(read, Decoded::Message(message));
    }

    fn sync(&mut self, is_told: bool) {
        self.log.sync().expect("memory is there");
        self.log.tidy().expect("memory is there");
        let Some((through, state)) = self.appended.pop() else { return };
        self.appended.clear();
        self.appended.push((through, state.clone()));
        if is_told {
            assert!(state.promised >= self.told.promised, "a promise never falls");
            self.told = state;
            self.tell(Input::Synced { through, took: Duration::ZERO });
        }
    }

    /// The process is killed, the machine loses power, both come back.
    fn restart(&mut self, seed: u64) {
        self.disk = self.disk.crashed(seed);
        let (log, found) = DurableLog::open(&self.disk, log_settings(self.me))
            .expect("a crash leaves a log that can be opened");
        let state = self
            .appended
            .iter()
            .map(|(_, state)| state)
            .rfind(|state| summary(state) == summary(&found.state))
            .expect("what was synced is found, and a whole number of later batches");
        assert!(state.promised >= self.told.promised, "a promise survives a restart");
        let state = state.clone();
        self.life += 1;
        self.now = Time::from_start(Duration::from_millis(1));
        self.log = log;
        self.delivered = found.state.committed.slot;
        let settings = settings(self.members);
        let (life, now) = (self.life, self.now);
        self.engine = Engine::new(self.me, life, settings, life, found.state, found.proposals, now);
        self.made = state.clone();
        self.told = state.clone();
        self.appended = vec![(0, state)];
    }
}

/// What a state says, whatever of it is in memory.
fn summary(state: &State) -> (Option<&EpochConfig>, [Option<Round>; 2], [Position; 4]) {
    let positions = [state.base, state.voted, state.committed, state.last()];
    (state.config.as_ref(), [state.promised, state.accepted], positions)
}

fn settings(members: u128) -> Settings {
    let consensus = consensus::Settings {
        window_slots: 8,
        window_bytes: 4096,
        proposal_ids_slots: 4,
        retained_slots: 2,
        retained_bytes: 1024,
        pending_max: PENDING_MAX,
        pending_bytes_max: 4096,
        ..consensus::Settings::default()
    };
    let listed = if members == 1 { 0 } else { members as usize };
    Settings { heartbeat_interval: Duration::from_millis(100), listed, consensus }
}

fn log_settings(me: NodeId) -> quorate::storage::Settings {
    quorate::storage::Settings {
        journal_bytes: 4096,
        segment_bytes: 1024,
        retained_slots: 2,
        retained_bytes: 1024,
        proposal_ids_slots: 4,
        ..quorate::storage::Settings::new(me)
    }
}
