//! The world: machines, the network between them, time, and the judge who watches.
//!
//! [`Cluster::step`] lets the next thing happen. What an engine wants done is done in the order of the
//! fields of its effects (`deeds`); between any two deeds a process may be killed.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::consensus::Proposal;
use crate::engine::{Input, Settings};
use crate::sim::checker::{Checker, Finding, Invariant, Verdict, Violation};
use crate::sim::client::Clients;
use crate::sim::clock::Moment;
use crate::sim::copy::Copy;
use crate::sim::counters::Counters;
use crate::sim::disk::Disk;
use crate::sim::doom::Doom;
use crate::sim::happening::Happening;
use crate::sim::network::{Network, Weather};
use crate::sim::node::{HELD_MAX, Node, id};
use crate::sim::queue::Queue;
use crate::sim::rng::Rng;
use crate::sim::trace::Trace;
use crate::sim::transcript::Transcript;
use crate::storage::{self, LogError};
use crate::types::{MessageId, NodeId, Time};
use crate::wire::Payload;

/// What a world is made of.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) size: usize,
    pub(super) engine: Settings,
    pub(super) weather: Weather,
    /// Of the logs; the node in it is nobody's.
    pub(super) storage: storage::Settings,
    /// How long a sync takes.
    pub(super) sync: RangeInclusive<Duration>,
    /// How long until a broken link is dialled again.
    pub(super) redial: RangeInclusive<Duration>,
    /// How long a killed process stays dead; for ever if none.
    pub(super) downtime: Option<RangeInclusive<Duration>>,
    /// By how many millionths clocks differ at most.
    pub(super) drift_ppm: u32,
    /// Whether the nodes must meet and found the cluster themselves.
    pub(super) must_form: bool,
}

pub(super) struct Cluster {
    pub(super) setup: Setup,
    pub(super) now: Moment,
    pub(super) rng: Rng,
    pub(super) queue: Queue<Happening>,
    pub(super) network: Network,
    pub(super) nodes: Vec<Node>,
    pub(super) checker: Checker,
    pub(super) clients: Clients,
    pub(super) counters: Counters,
    pub(super) transcript: Transcript,
    pub(super) violation: Option<Violation>,
    pub(super) steps: u64,
    /// Whom each node met last in each place: node × size + place.
    pub(super) met: Vec<NodeId>,
    /// The data directory that was copied.
    pub(super) copy: Option<Copy>,
    /// How many texts were planned.
    pub(super) texts: u64,
    /// Which of them have left which node.
    pub(super) said_texts: BTreeSet<(usize, MessageId)>,
    /// Messages of these kinds are lost on these ways.
    pub(super) drops: Vec<(String, usize, usize)>,
    trace: Trace,
}

impl Cluster {
    /// All machines are started at once.
    pub(super) fn new(setup: Setup, transcript: Transcript) -> Self {
        let mut rng = Rng::new(setup.seed);
        let ids: Vec<_> = (0..setup.size).map(id).collect();
        let drift = u64::from(setup.drift_ppm);
        let nodes = ids.iter().map(|id| Node {
            id: *id,
            disk: Disk::new(storage::Settings { node: *id, ..setup.storage.clone() }),
            life: 0,
            process: None,
            drift_ppm: i32::try_from(rng.within(0..=2 * drift)).expect("a small drift")
                - i32::try_from(drift).expect("a small drift"),
            wall_seconds: i64::try_from(rng.within(0..=2_000_000_000)).expect("a date"),
            is_opening_cut: false,
            sync_factor: 1,
            doom: None,
        });
        let mut cluster = Self {
            now: Moment::ZERO,
            queue: Queue::new(),
            network: Network::new(setup.size, setup.weather.clone()),
            nodes: nodes.collect(),
            checker: Checker::new(ids, setup.engine.clone()),
            clients: Clients::default(),
            counters: Counters::default(),
            transcript,
            violation: None,
            steps: 0,
            met: (0..setup.size * setup.size).map(|pair| id(pair % setup.size)).collect(),
            copy: None,
            texts: 0,
            said_texts: BTreeSet::new(),
            drops: Vec::new(),
            trace: Trace::new(),
            rng,
            setup,
        };
        if !cluster.setup.must_form {
            cluster.found();
        }
        for node in 0..cluster.setup.size {
            cluster.start(node);
        }
        cluster
    }

    /// Lets the next thing happen. False if the run is over: nothing will happen, or an invariant is broken.
    pub(super) fn step(&mut self) -> bool {
        if self.violation.is_some() {
            return false;
        }
        let Some((at, happening)) = self.queue.pop() else { return false };
        self.now = at;
        self.steps += 1;
        self.happen(happening);
        self.violation.is_none()
    }

    /// Lets everything happen that happens before `end`.
    pub(super) fn run_until(&mut self, end: Moment) {
        while self.queue.next_at().is_some_and(|at| at < end) && self.step() {}
        if self.violation.is_none() {
            self.now = self.now.max(end);
        }
    }

    /// A number that only an equal run has.
    pub(super) fn fingerprint(&self) -> u64 {
        self.trace.finish()
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        if let Some(node) = happening.concerns_process()
            && let Some(process) = &mut self.nodes[node].process
            && let Some(held) = &mut process.held
        {
            if held.len() < HELD_MAX || !matches!(happening, Happening::Frame { .. }) {
                held.push_back(happening);
            }
            return;
        }
        match happening {
            Happening::Frame { from, to, generation, sent, message } => {
                self.frame(from, to, generation, sent, message);
            }
            Happening::Wake { node, life } => self.wake(node, life),
            Happening::DiskDone { node, life, through, is_synced, took } => {
                self.disk_done(node, life, through, is_synced, took);
            }
            Happening::Told { node, life, through, took } => {
                if self.lives(node, life) {
                    let verdict = self.checker.told(node, through);
                    self.judge(Some(node), verdict);
                    self.tell(node, Input::Synced { through, took });
                }
            }
            Happening::Dial { one, other, dial } => self.dial(one, other, dial),
            Happening::LinkUp { node, peer, generation } => self.link_up(node, peer, generation),
            Happening::LinkDown { node, peer, generation } => {
                self.link_down(node, peer, generation)
            }
            Happening::DialRefused { node, peer, life } => {
                if self.lives(node, life) && !self.network.is_up(node, peer) {
                    let peer = self.met[node * self.setup.size + peer];
                    self.tell(node, Input::DialRefused { peer });
                }
            }
            Happening::Fault(fault) => self.strike(fault),
            Happening::Ask(ask) => self.ask(ask),
            Happening::Copy { node } => self.copy = Some(self.copy(node)),
            Happening::Text { node, to, number } => {
                self.send_text(node, to, number, &format!("t{number}"));
            }
        }
    }

    pub(super) fn lives(&self, node: usize, life: u32) -> bool {
        self.nodes[node].process.is_some() && self.nodes[node].life == life
    }

    /// One input for the process of `node`, and all that follows from it at once.
    pub(super) fn tell(&mut self, node: usize, input: Input) {
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        self.trace.write_u64(self.now.nanos());
        (node, std::mem::discriminant(&input)).hash(&mut self.trace);
        if let Input::Frame(message) = &input {
            hash_payload(&message.payload, &mut self.trace);
        }
        let now = process.clock.read(self.now);
        let is_tick = matches!(input, Input::Tick);
        let leaver = self.note_signs(node, now, &input);
        let process = self.nodes[node].process.as_mut().expect("told above");
        let effects = process.engine.handle(now, input);
        let mut verdict = Ok(());
        if !effects.persist.is_empty() {
            self.count_records(node, &effects.persist);
            self.transcript.wrote(self.now, node, &effects.persist);
            verdict = self.checker.persisted(node, effects.batch, &effects.persist);
        }
        let process = self.nodes[node].process.as_ref().expect("told above");
        verdict = verdict.and_then(|()| self.checker.stepped(node, &process.engine));
        if let Some(leaver) = leaver {
            verdict = verdict.and_then(|()| self.checker.left(&process.engine, leaver, now));
        }
        if self.steps.is_multiple_of(64) {
            verdict = verdict.and_then(|()| self.checker.looked_at(&process.engine, now));
        }
        self.checker.head(node).hash(&mut self.trace);
        self.judge(Some(node), verdict);
        let life = self.nodes[node].life;
        self.carry_out(node, effects);
        if is_tick && self.lives(node, life) {
            let verdict = self.checker.ticked(node, now);
            self.judge(Some(node), verdict);
        }
        self.arm(node);
    }

    /// The judge hears of every sign of life, and of every reason to doubt one, before the node does. Says who leaves.
    fn note_signs(&mut self, node: usize, now: Time, input: &Input) -> Option<NodeId> {
        match input {
            Input::Frame(message) => {
                self.checker.hears(node, message.from, now, false);
                if let Payload::HeartBeat(beat) = &message.payload
                    && beat.peers.leaving
                {
                    self.counters.goodbyes_heard += 1;
                    self.checker.may_lose(node, message.from);
                    return Some(message.from);
                }
            }
            Input::LinkUp { peer, .. } => self.checker.hears(node, *peer, now, true),
            Input::LinkDown { peer } | Input::DialRefused { peer } => {
                self.checker.may_lose(node, *peer);
            }
            Input::Tick
            | Input::Met { .. }
            | Input::Synced { .. }
            | Input::Submit(_)
            | Input::Read { .. }
            | Input::Send { .. }
            | Input::Deaf
            | Input::Leave => {}
        }
        None
    }

    /// Everything is done: whoever still holds more than it should is found now.
    pub(super) fn judge_rest(&mut self) {
        for node in 0..self.nodes.len() {
            let Some(process) = &self.nodes[node].process else { continue };
            // What a start read from the disk is forgotten with the first work that is done.
            let up = process.clock.read(self.now).since_start();
            if up > self.setup.engine.consensus.suspect_after {
                let counts = process.engine.status(process.clock.read(self.now)).dispatch;
                let verdict = self.checker.rests(&process.engine);
                let verdict = verdict.and_then(|()| self.checker.remembers(node, counts));
                self.judge(Some(node), verdict);
            }
        }
    }

    /// The first finding is the one that counts.
    pub(super) fn judge(&mut self, node: Option<usize>, verdict: Verdict) {
        if let Err((invariant, what)) = verdict
            && self.violation.is_none()
            && !self.checker.overlooks(invariant)
        {
            let violation =
                Violation { invariant, node: node.map(|node| node + 1), at: self.now, what };
            self.transcript.broke(self.now, node, &violation);
            self.violation = Some(violation);
        }
    }

    /// A client's proposal reaches `node`.
    pub(super) fn submit(&mut self, node: usize, proposal: Proposal) {
        self.transcript.asked(self.now, node, &proposal);
        self.checker.offered(&proposal);
        self.tell(node, Input::Submit(proposal));
    }

    /// A client's read reaches `node`.
    pub(super) fn read(&mut self, node: usize, token: u64) {
        self.checker.read_begins(token);
        self.tell(node, Input::Read { token });
    }

    /// The nodes whose processes say that they lead.
    pub(super) fn leaders(&self) -> Vec<usize> {
        let leads = |node: &Node| {
            let process = node.process.as_ref()?;
            let standing = process.engine.consensus().standing(process.clock.read(self.now));
            standing.leading.then_some(())
        };
        (0..self.nodes.len()).filter(|node| leads(&self.nodes[*node]).is_some()).collect()
    }

    /// The nodes that have a process.
    pub(super) fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].process.is_some())
    }

    /// The plan to kill `node` at this point is due.
    pub(super) fn is_doomed(&self, node: usize, doom: Doom) -> bool {
        self.nodes[node].doom == Some(doom)
    }
}

/// A log that cannot be used though its disk kept its promise.
pub(super) fn unusable(error: LogError) -> Finding {
    (Invariant::ReplayEquality, error.to_string())
}

fn hash_payload(payload: &Payload, trace: &mut Trace) {
    match payload {
        Payload::Consensus(message) => message.hash(trace),
        Payload::HeartBeat(beat) => beat.log.hash(trace),
        Payload::Data(text) => text.hash(trace),
        Payload::Ping(_) => trace.write_u64(1),
        Payload::Pong(pong) => pong.re.hash(trace),
    }
}
