//! A model check of the real consensus core: every order of deliveries, syncs, crashes and
//! take-overs within small bounds.
//!
//! The network is a set that only grows: any message may come at any time, again, or never. A crash
//! may fall between any record and its sync. Time stands still, so nobody suspects anybody; take-overs
//! are forced instead. What is checked is agreement, against an oracle that looks only at the disks:
//! whatever a quorum ever voted durably in one round, and whatever any node calls committed, lies on
//! one chain.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use quorate::consensus::{
    Body, Effects, Entry, EpochConfig, Input, Machine, Message, Proposal, Record, Settings, State,
    To,
};
use quorate::types::{Epoch, NodeId, Position, ProposalId, Round, Time, Value};
use stateright::{Checker, Model, Property};

/// The bounds of a check.
#[derive(Clone, Debug)]
struct Bounds {
    members: u128,
    /// The highest round that anyone may lead.
    rounds: u64,
    slots: u64,
    /// How many values are offered in each round.
    per_round: u64,
    crashes: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cluster {
    seats: Vec<Arc<Seat>>,
    /// A digest per seat, renewed with the seat.
    digests: Vec<u64>,
    network: BTreeMap<Wire, Arc<Message>>,
    crashes: u32,
    /// Values offered in each round.
    offered: BTreeMap<Round, u64>,
    /// The highest position that each member ever voted durably in each round, with its log then.
    votes: BTreeMap<(Round, usize), Vec<Position>>,
    /// What is final, slot by slot.
    chain: Vec<Position>,
    disagreed: bool,
}

/// From whom, to whom, which kind, in which round.
type Wire = (usize, usize, &'static str, Option<Round>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seat {
    machine: Machine,
    disk: State,
    unsynced: Vec<Vec<Record>>,
    batches: u64,
}

impl Hash for Cluster {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.digests, &self.network, self.crashes, &self.offered).hash(hasher);
        (&self.votes, &self.chain, self.disagreed).hash(hasher);
    }
}

impl Hash for Seat {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.machine.fingerprint(hasher);
        self.disk.hash(hasher);
        self.unsynced.hash(hasher);
    }
}

/// What becomes of the records that an action makes a node write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Synced,
    Crashed,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Deliver(Wire),
    /// All votes on their way to this node.
    Votes(usize),
    Lead(usize, Round),
    Propose(usize),
}

const NOW: Duration = Duration::from_secs(1);

impl Bounds {
    fn config(&self) -> EpochConfig {
        EpochConfig::new(Epoch(1), (1..=self.members).map(NodeId::from_u128))
    }

    fn start(&self, seat: usize, disk: State) -> Seat {
        let me = self.config().members[seat];
        let now = Time::from_start(NOW);
        let machine = Machine::new(me, 1, Settings::default(), 1, disk.clone(), Vec::new(), now);
        Seat { machine, disk, unsynced: Vec::new(), batches: 0 }
    }
}

impl Cluster {
    fn tell(&mut self, seat: usize, input: Input) {
        let now = Time::from_start(NOW);
        let machine = &mut Arc::make_mut(&mut self.seats[seat]).machine;
        let fx = machine.step(now, input);
        self.carry_out(seat, fx);
        while self.seats[seat].machine.wake() == Some(now) {
            let machine = &mut Arc::make_mut(&mut self.seats[seat]).machine;
            let fx = machine.step(now, Input::Tick);
            self.carry_out(seat, fx);
        }
        let committed = prefix(self.seats[seat].machine.state(), None);
        self.finally(&committed);
    }

    fn carry_out(&mut self, from: usize, fx: Effects) {
        let seat = Arc::make_mut(&mut self.seats[from]);
        if !fx.persist.is_empty() {
            seat.batches += 1;
            seat.unsynced.push(fx.persist);
        }
        let members = self.seats.len();
        for send in fx.send {
            for to in 0..members {
                let addressed = match send.to {
                    To::Everyone => to != from,
                    To::One(id) => id == NodeId::from_u128(to as u128 + 1),
                };
                if addressed {
                    let (kind, round) = kind(&send.message.body);
                    let mut message = send.message.clone();
                    // Commits spread by tallies and proposals; votes need not tell them twice.
                    if let Body::Vote(vote) = &mut message.body {
                        vote.committed = Position::GENESIS;
                    }
                    self.network.insert((from, to, kind, round), Arc::new(message));
                }
            }
        }
    }

    /// Everything a node was told so far becomes durable, and what may then be said is said; a node
    /// that crashes instead comes back from its disk alone.
    fn sync_or_crash(&mut self, bounds: &Bounds, index: usize, crash: bool) {
        while !self.seats[index].unsynced.is_empty() {
            if crash {
                self.crashes += 1;
                let disk = self.seats[index].disk.clone();
                self.seats[index] = Arc::new(bounds.start(index, disk));
                self.tell(index, Input::Tick);
                continue;
            }
            let seat = Arc::make_mut(&mut self.seats[index]);
            for record in seat.unsynced.drain(..).flatten() {
                seat.disk.apply(&record).expect("the machine's records fit the disk");
            }
            let through = seat.batches;
            if let Some(round) = seat.disk.accepted {
                let voted = prefix(&seat.disk, Some(seat.disk.voted));
                let before = self.votes.entry((round, index)).or_default();
                if voted.len() > before.len() {
                    *before = voted;
                }
            }
            self.count();
            self.tell(index, Input::Synced { through, took: Duration::ZERO });
        }
    }

    /// Pulls happen in no time: what they bring is checked by its hashes, whenever it comes.
    fn pull(&mut self, bounds: &Bounds) {
        while let Some(wire) =
            self.network.keys().find(|wire| matches!(wire.2, "fetch" | "entries")).copied()
        {
            let message = self.network.remove(&wire).expect("found above");
            self.hand_over(wire, message);
            self.sync_or_crash(bounds, wire.1, false);
        }
    }

    fn hand_over(&mut self, wire: Wire, message: Arc<Message>) {
        let from = NodeId::from_u128(wire.0 as u128 + 1);
        self.tell(wire.1, Input::Message { from, message: Arc::unwrap_or_clone(message) });
    }

    fn digest(&mut self, before: &Self) {
        for (index, seat) in self.seats.iter().enumerate() {
            if !Arc::ptr_eq(seat, &before.seats[index]) {
                let mut hasher = DefaultHasher::new();
                seat.hash(&mut hasher);
                self.digests[index] = hasher.finish();
            }
        }
    }

    /// Loses messages whose receiver could only refuse or ignore them from now on.
    fn lose_what_is_late(&mut self) {
        let seats = &self.seats;
        self.network.retain(|(_, to, kind, round), message| {
            let state = seats[*to].machine.state();
            let (promised, accepted, committed) = (state.promised, state.accepted, state.committed);
            let leads = seats[*to].machine.standing(Time::from_start(NOW)).leading;
            let beyond = match &message.body {
                Body::Vote(vote) => vote.voted.slot > committed.slot,
                _ => true,
            };
            match *kind {
                "prepare" => *round > promised,
                "adopt" => *round >= promised && *round != accepted,
                "propose" => *round >= promised,
                "promise" => *round == promised && *round != accepted,
                "vote" => *round >= promised && (beyond || (leads && *round == accepted)),
                _ => false,
            }
        });
    }

    /// The oracle: what a quorum voted in one round is final.
    fn count(&mut self) {
        let quorum = self.seats.len() / 2 + 1;
        let mut chosen: Vec<Vec<Position>> = Vec::new();
        for ((round, _), voted) in &self.votes {
            let agreeing = self.votes.iter().filter(|((other, _), log)| {
                other == round && log.len() >= voted.len() && log[..voted.len()] == voted[..]
            });
            if agreeing.count() >= quorum {
                chosen.push(voted.clone());
            }
        }
        for prefix in chosen {
            self.finally(&prefix);
        }
    }

    fn finally(&mut self, prefix: &[Position]) {
        let common = self.chain.len().min(prefix.len());
        self.disagreed |= self.chain[..common] != prefix[..common];
        self.chain.extend_from_slice(&prefix[common..]);
    }
}

/// The positions of the log up to `end`, or up to what is committed.
fn prefix(state: &State, end: Option<Position>) -> Vec<Position> {
    let end = end.unwrap_or(state.committed);
    let entries = state.tail.behind(quorate::types::Slot(0)).map(Entry::position);
    let prefix: Vec<_> = entries.take_while(|position| position.slot <= end.slot).collect();
    // A vote whose entry was cut later was counted when it was cast.
    if prefix.last().copied().unwrap_or_default() == end { prefix } else { Vec::new() }
}

/// What only tells what others did: handed over together.
fn by_all(kind: &str) -> bool {
    kind == "vote"
}

/// A later message of one kind, round and way takes the place of the earlier one, which is lost.
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

impl Model for Bounds {
    type State = Cluster;
    type Action = (Action, Outcome);

    /// Everybody has adopted round 0, nothing is proposed.
    fn init_states(&self) -> Vec<Cluster> {
        let seats =
            (0..self.members as usize).map(|seat| Arc::new(self.start(seat, State::default())));
        let mut cluster = Cluster {
            seats: seats.collect(),
            digests: vec![0; self.members as usize],
            network: BTreeMap::new(),
            crashes: 0,
            offered: BTreeMap::new(),
            votes: BTreeMap::new(),
            chain: Vec::new(),
            disagreed: false,
        };
        for seat in 0..cluster.seats.len() {
            cluster.tell(seat, Input::Found(self.config()));
            cluster.sync_or_crash(self, seat, false);
        }
        while let Some((wire, message)) = cluster.network.pop_first() {
            cluster.hand_over(wire, message);
            cluster.sync_or_crash(self, wire.1, false);
        }
        vec![cluster]
    }

    fn actions(&self, cluster: &Cluster, actions: &mut Vec<(Action, Outcome)>) {
        let config = self.config();
        let highest = cluster.seats.iter().filter_map(|seat| seat.machine.state().promised).max();
        let next = highest.map_or(Round(0), Round::next);
        let mut possible = Vec::new();
        possible.extend(
            cluster.network.keys().filter(|wire| !by_all(wire.2)).map(|w| Action::Deliver(*w)),
        );
        for (index, seat) in cluster.seats.iter().enumerate() {
            if cluster.network.keys().any(|wire| wire.1 == index && by_all(wire.2)) {
                possible.push(Action::Votes(index));
            }
            if next.0 <= self.rounds && config.proposer(next) == config.members[index] {
                possible.push(Action::Lead(index, next));
            }
            let standing = seat.machine.standing(Time::from_start(NOW));
            let offered = cluster.offered.get(&standing.round).copied().unwrap_or(0);
            if standing.leading && standing.last.slot.0 < self.slots && offered < self.per_round {
                possible.push(Action::Propose(index));
            }
        }
        for action in possible {
            actions.push((action.clone(), Outcome::Synced));
            if cluster.crashes < self.crashes {
                actions.push((action, Outcome::Crashed));
            }
        }
    }

    fn next_state(
        &self,
        before: &Cluster,
        (action, outcome): (Action, Outcome),
    ) -> Option<Cluster> {
        let mut after = before.clone();
        let seat = match action {
            Action::Deliver(wire) => {
                let message = after.network.remove(&wire).expect("offered above");
                after.hand_over(wire, message);
                wire.1
            }
            Action::Votes(to) => {
                let all: Vec<_> =
                    after.network.extract_if(.., |w, _| w.1 == to && by_all(w.2)).collect();
                let role = before.seats[to].machine.standing(Time::from_start(NOW)).leading;
                let sent = after.network.len();
                for (wire, message) in all {
                    after.hand_over(wire, message);
                }
                // Counts that decide nothing yet are not told apart: the votes stay on their way.
                let machine = &after.seats[to].machine;
                let decided = machine.state() != before.seats[to].machine.state()
                    || machine.standing(Time::from_start(NOW)).leading != role
                    || after.network.len() != sent
                    || after.disagreed;
                if !decided {
                    return None;
                }
                to
            }
            Action::Lead(seat, round) => {
                after.tell(seat, Input::Lead { round });
                seat
            }
            Action::Propose(index) => {
                let standing = after.seats[index].machine.standing(Time::from_start(NOW));
                *after.offered.entry(standing.round).or_default() += 1;
                // Different in every round and slot: a mix-up of two proposers shows.
                let id = u128::from(standing.round.0) << 64 | u128::from(standing.last.slot.0);
                let value = Value::new(format!("{id}")).expect("short");
                let proposal = Proposal { id: ProposalId::from_u128(id), value, until: None };
                after.tell(index, Input::Submit(proposal));
                index
            }
        };
        let crash = outcome == Outcome::Crashed;
        // For who neither leads nor wants to, a crash before the sync is a message lost.
        let machine = &after.seats[seat].machine;
        let own = |round| self.config().proposer(round) == self.config().members[seat];
        let at_stake = machine.state().promised.is_some_and(own);
        if crash && (after.seats[seat].unsynced.is_empty() || !at_stake) {
            return None;
        }
        after.sync_or_crash(self, seat, crash);
        after.pull(self);
        after.lose_what_is_late();
        after.digest(before);
        Some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("agreement", |_, cluster| !cluster.disagreed),
            Property::<Self>::sometimes("all slots become final", |bounds, cluster| {
                cluster.chain.len() as u64 == bounds.slots
            }),
            Property::<Self>::sometimes("a later round carries a tail over", |_, cluster| {
                cluster.votes.iter().any(|((round, _), log)| round.0 > 0 && !log.is_empty())
            }),
        ]
    }
}

fn check(bounds: Bounds) {
    let name = format!("{bounds:?}");
    let checker = bounds.checker().threads(2).spawn_bfs().join();
    let (states, unique) = (checker.state_count(), checker.unique_state_count());
    println!("{name}: {states} states, {unique} different, depth {}", checker.max_depth());
    assert!(checker.is_done(), "the whole space was searched");
    checker.assert_properties();
}

#[test]
fn three_members_agree_on_two_slots_through_three_rounds_and_a_crash() {
    check(Bounds { members: 3, rounds: 2, slots: 2, per_round: 1, crashes: 1 });
}

#[test]
fn three_members_agree_on_two_values_of_one_round_through_a_crash() {
    check(Bounds { members: 3, rounds: 1, slots: 2, per_round: 2, crashes: 1 });
}
