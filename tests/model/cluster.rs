//! The cluster as the check sees it: real machines, their disks, the mail between them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use quorate::consensus::{
    Body, Effects, Event, Input, Machine, Message, Promise, Proposal, Record, Settings, Standing,
    State, To,
};
use quorate::types::{NodeId, Position, ProposalId, Round, Time, Value};

use super::bounds::{Bounds, Disk, Network};
use super::flaw::Flaw;
use super::network::{Mail, Wire};
use super::oracle::{Broken, Oracle};

/// Time stands still: nobody suspects anybody, take-overs are forced.
pub(super) const NOW: Duration = Duration::from_secs(1);

/// One state of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) seats: Vec<Arc<Seat>>,
    /// A digest per seat, renewed with the seat.
    digests: Vec<u64>,
    pub(super) mail: Mail,
    pub(super) crashes: u64,
    /// Values offered in each round.
    pub(super) offered: Vec<u64>,
    pub(super) oracle: Arc<Oracle>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) machine: Machine,
    pub(super) disk: State,
    pub(super) unsynced: Vec<Vec<Record>>,
    batches: u64,
}

impl Hash for Cluster {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.digests, &self.mail, self.crashes, &self.offered).hash(hasher);
        self.oracle.digest().hash(hasher);
    }
}

impl Hash for Seat {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.machine.fingerprint(hasher);
        self.disk.hash(hasher);
        self.unsynced.hash(hasher);
    }
}

fn now() -> Time {
    Time::from_start(NOW)
}

fn id(seat: usize) -> NodeId {
    NodeId::from_u128(seat as u128 + 1)
}

fn start(seat: usize, disk: State) -> Seat {
    let settings = Settings::default();
    let machine = Machine::new(id(seat), 1, settings, 1, disk.clone(), Vec::new(), now());
    Seat { machine, disk, unsynced: Vec::new(), batches: 0 }
}

impl Cluster {
    /// Everybody has adopted round 0, nothing is proposed.
    pub(super) fn new(bounds: &Bounds) -> Self {
        let members = bounds.members as usize;
        let mut cluster = Self {
            seats: (0..members).map(|seat| Arc::new(start(seat, State::default()))).collect(),
            digests: vec![0; members],
            mail: Mail::default(),
            crashes: 0,
            offered: vec![0; bounds.rounds as usize + 1],
            oracle: Arc::default(),
        };
        for seat in 0..members {
            cluster.tell(bounds, seat, Input::Found(bounds.config()));
            cluster.sync_all(bounds, seat);
        }
        while let Some((wire, message)) = cluster.mail.pop() {
            cluster.hand_over(bounds, &wire, message);
            cluster.sync_all(bounds, wire.to);
        }
        cluster.renew(None);
        cluster
    }

    pub(super) fn standing(&self, seat: usize) -> Standing {
        self.seats[seat].machine.standing(now())
    }

    pub(super) fn leads(&self, seat: usize) -> bool {
        self.standing(seat).leading
    }

    pub(super) fn tell(&mut self, bounds: &Bounds, seat: usize, input: Input) {
        let machine = &mut Arc::make_mut(&mut self.seats[seat]).machine;
        let fx = machine.step(now(), input);
        self.carry_out(bounds, seat, fx);
        while self.seats[seat].machine.wake() == Some(now()) {
            let machine = &mut Arc::make_mut(&mut self.seats[seat]).machine;
            let fx = machine.step(now(), Input::Tick);
            self.carry_out(bounds, seat, fx);
        }
        let state = self.seats[seat].machine.state();
        if state.committed.slot.0 > 0 {
            Arc::make_mut(&mut self.oracle).committed(state);
        }
    }

    fn carry_out(&mut self, bounds: &Bounds, from: usize, fx: Effects) {
        if !fx.persist.is_empty() {
            let seat = Arc::make_mut(&mut self.seats[from]);
            seat.batches += 1;
            seat.unsynced.push(fx.persist);
        }
        for send in fx.send {
            for to in (0..self.seats.len()).filter(|to| *to != from) {
                if send.to == To::Everyone || send.to == To::One(id(to)) {
                    let mut message = send.message.clone();
                    if bounds.flaw == Some(Flaw::TailHidden) {
                        hide_tail(&mut message);
                    }
                    self.mail.send(bounds.network, from, to, message);
                }
            }
        }
        if fx.publish.iter().any(|event| matches!(event, Event::Halt(_))) {
            self.report(Broken::Halt);
        }
    }

    pub(super) fn hand_over(&mut self, bounds: &Bounds, wire: &Wire, message: Message) {
        if bounds.flaw == Some(Flaw::VoteCountedTwice) && wire.kind == "vote" {
            let third = (0..self.seats.len()).find(|seat| ![wire.from, wire.to].contains(seat));
            let from = id(third.expect("three members at least"));
            self.tell(bounds, wire.to, Input::Message { from, message: message.clone() });
        }
        self.tell(bounds, wire.to, Input::Message { from: id(wire.from), message });
    }

    /// All batches of a member become durable, and it is told so.
    pub(super) fn sync(&mut self, bounds: &Bounds, index: usize) {
        let through = self.seats[index].unsynced.len();
        self.write(bounds, index, through);
        let through = self.seats[index].batches;
        self.tell(bounds, index, Input::Synced { through, took: Duration::ZERO });
    }

    /// Syncs until nothing is left to be synced.
    pub(super) fn sync_all(&mut self, bounds: &Bounds, index: usize) {
        while !self.seats[index].unsynced.is_empty() {
            self.sync(bounds, index);
        }
    }

    /// The first `batches` unsynced ones reach the disk.
    fn write(&mut self, bounds: &Bounds, index: usize, batches: usize) {
        let seat = Arc::make_mut(&mut self.seats[index]);
        let records: Vec<_> = seat.unsynced.drain(..batches).flatten().collect();
        for record in records {
            if !bounds.flaw.is_some_and(|flaw| flaw.forgets(&record)) {
                self.write_one(bounds, index, &record);
            }
        }
    }

    fn write_one(&mut self, bounds: &Bounds, index: usize, record: &Record) {
        let disk = &mut Arc::make_mut(&mut self.seats[index]).disk;
        let (promised, accepted, voted) = (disk.promised, disk.accepted, disk.voted);
        let fits = disk.apply(record).is_ok();
        let has_voted = (disk.accepted, disk.voted) != (accepted, voted);
        let is_below = has_voted && disk.accepted < promised;
        if !fits && bounds.flaw.is_none() {
            self.report(Broken::Misfit);
        }
        if is_below {
            self.report(Broken::NoVoteBelowPromise);
        }
        Arc::make_mut(&mut self.oracle).look(index, &self.seats[index].disk, bounds.quorum());
    }

    /// A member dies, with `batches` of what it had not synced on its disk, and starts again.
    pub(super) fn crash(&mut self, bounds: &Bounds, index: usize, batches: usize) {
        self.crashes += 1;
        if bounds.flaw == Some(Flaw::SaidBeforeSync) {
            let through = self.seats[index].batches;
            self.tell(bounds, index, Input::Synced { through, took: Duration::ZERO });
        } else {
            self.write(bounds, index, batches);
        }
        let (promised, accepted, voted, _) = self.seats[index].machine.announced();
        let disk = self.seats[index].disk.clone();
        if disk.promised < promised {
            self.report(Broken::PromiseMonotone);
        }
        if (disk.accepted, disk.voted.slot) < (accepted, voted.slot) {
            self.report(Broken::VoteRemembered);
        }
        self.seats[index] = Arc::new(start(index, disk));
        self.tell(bounds, index, Input::Tick);
    }

    /// What a proposer places; different in every round and slot, so that a mix-up of two of them shows.
    pub(super) fn offer(&mut self, bounds: &Bounds, index: usize) {
        let standing = self.seats[index].machine.standing(now());
        self.offered[standing.round.0 as usize] += 1;
        let id = u128::from(standing.round.0) << 64 | u128::from(standing.last.slot.0);
        let value = Value::new(format!("{id}")).expect("short");
        let proposal = Proposal { id: ProposalId::from_u128(id), value, until: None };
        self.tell(bounds, index, Input::Submit(proposal));
    }

    /// Pulls happen in no time.
    pub(super) fn pull(&mut self, bounds: &Bounds) {
        loop {
            let is_pull = |wire: &&Wire| matches!(wire.kind, "fetch" | "entries");
            let Some(wire) = self.mail.wires().find(is_pull).copied() else { return };
            let message = self.mail.remove(&wire).expect("found above");
            self.hand_over(bounds, &wire, message);
            if bounds.disk == Disk::AtOnce {
                self.sync_all(bounds, wire.to);
            }
        }
    }

    /// Ends a step: what can no longer do anything is lost, digests are renewed.
    pub(super) fn renew(&mut self, before: Option<(&Self, &Bounds)>) {
        for index in 0..self.seats.len() {
            if before
                .is_some_and(|(before, _)| Arc::ptr_eq(&before.seats[index], &self.seats[index]))
            {
                continue;
            }
            let mut hasher = DefaultHasher::new();
            self.seats[index].hash(&mut hasher);
            self.digests[index] = hasher.finish();
        }
        if let Some((_, bounds)) = before {
            let is_all = bounds.network == Network::All;
            for (index, seat) in self.seats.iter().enumerate() {
                let standing = seat.machine.standing(now());
                self.mail.lose_late(index, &seat.disk, &standing, is_all);
            }
        }
    }

    fn report(&mut self, broken: Broken) {
        Arc::make_mut(&mut self.oracle).report(broken);
    }

    /// The highest round that anyone has promised or wants to lead.
    pub(super) fn highest(&self) -> Option<Round> {
        self.seats.iter().filter_map(|seat| seat.machine.state().promised).max()
    }
}

fn hide_tail(message: &mut Message) {
    if let Body::Promise(promise) = &mut message.body {
        let Promise { round, .. } = *promise;
        let genesis = Position::GENESIS;
        *promise = Promise { round, accepted: None, last: genesis, committed: genesis };
    }
}
