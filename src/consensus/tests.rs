//! A cluster of machines on one table: messages handed over in order, syncs when told.
//! The simulator does this at length; here single rules are looked at closely.

mod choosing;
mod following;
mod hand;
mod leading;
mod learning;
mod lies;
mod rules;
mod speaking;
mod suspecting;
mod voting;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::consensus::{
    Beat, Body, Commit, Effects, EpochConfig, Event, Input, Machine, Message, Outcome, Proposal,
    Settings, State, To, Vote,
};
use crate::limits;
use crate::types::{Epoch, NodeId, Position, ProposalId, Round, Slot, Time, Value};

struct Seat {
    machine: Machine,
    disk: State,
    unsynced: VecDeque<(u64, Vec<crate::consensus::Record>)>,
    batches: u64,
    committed: Vec<Commit>,
    outcomes: Vec<(ProposalId, Outcome)>,
}

struct Table {
    now: Time,
    config: EpochConfig,
    seats: BTreeMap<NodeId, Seat>,
    wires: VecDeque<(NodeId, NodeId, Message)>,
    cut: Vec<NodeId>,
    /// Nothing that the first says reaches the second.
    deaf: Vec<(NodeId, NodeId)>,
    /// Whose disks finish no sync.
    stalled: Vec<NodeId>,
    lives: u64,
}

fn node(n: u128) -> NodeId {
    NodeId::from_u128(n)
}

fn proposal(id: u128, text: &str) -> Proposal {
    Proposal { id: ProposalId::from_u128(id), value: Value::new(text).unwrap(), until: None }
}

impl Table {
    fn new(n: u128) -> Self {
        let config = EpochConfig::new(Epoch(1), (1..=n).map(node));
        let mut table = Self {
            now: Time::from_start(Duration::from_secs(1)),
            config: config.clone(),
            seats: BTreeMap::new(),
            wires: VecDeque::new(),
            cut: Vec::new(),
            deaf: Vec::new(),
            stalled: Vec::new(),
            lives: 0,
        };
        for id in config.members.clone() {
            table.start(id, State::default());
            table.tell(id, Input::Found(config.clone()));
        }
        table
    }

    fn start(&mut self, id: NodeId, disk: State) {
        self.lives += 1;
        let machine = Machine::new(
            id,
            self.lives,
            Settings::default(),
            self.lives,
            disk.clone(),
            Vec::new(),
            self.now,
        );
        let seat = Seat {
            machine,
            disk,
            unsynced: VecDeque::new(),
            batches: 0,
            committed: Vec::new(),
            outcomes: Vec::new(),
        };
        self.seats.insert(id, seat);
    }

    fn tell(&mut self, id: NodeId, input: Input) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let fx = seat.machine.step(self.now, input);
        self.carry_out(id, fx);
    }

    fn carry_out(&mut self, id: NodeId, fx: Effects) {
        let seat = self.seats.get_mut(&id).unwrap();
        if !fx.persist.is_empty() {
            seat.batches += 1;
            seat.unsynced.push_back((seat.batches, fx.persist));
        }
        for send in fx.send {
            let all: Vec<_> = match send.to {
                To::Everyone => self.config.members.iter().copied().filter(|m| *m != id).collect(),
                To::One(one) => vec![one],
            };
            for to in all {
                self.wires.push_back((id, to, send.message.clone()));
            }
        }
        for event in fx.publish {
            match event {
                Event::Committed(commit) => seat.committed.push(commit),
                Event::Outcome { id, outcome } => seat.outcomes.push((id, outcome)),
                Event::Halt(halt) => panic!("{id} halts: {halt}"),
                Event::ReadReady { .. }
                | Event::ReadRefused { .. }
                | Event::EpochStarted(_)
                | Event::RoundChanged { .. }
                | Event::Suspects { .. }
                | Event::Misbehaved { .. } => {}
            }
        }
    }

    fn hears(&self, to: NodeId, from: NodeId) -> bool {
        !self.cut.contains(&from) && !self.cut.contains(&to) && !self.deaf.contains(&(from, to))
    }

    fn sync(&mut self, id: NodeId) {
        if self.stalled.contains(&id) {
            return;
        }
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let mut through = None;
        for (batch, records) in seat.unsynced.drain(..) {
            for record in &records {
                seat.disk.apply(record).unwrap();
            }
            through = Some(batch);
        }
        if let Some(through) = through {
            self.tell(id, Input::Synced { through, took: Duration::ZERO });
        }
    }

    /// Lets everything happen that can, until time must pass.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let ids: Vec<_> = self.seats.keys().copied().collect();
            let mut quiet = self.wires.is_empty();
            while let Some((from, to, message)) = self.wires.pop_front() {
                if self.hears(to, from) {
                    self.tell(to, Input::Message { from, message });
                }
            }
            for id in ids {
                quiet &= self.seats[&id].unsynced.is_empty() || self.stalled.contains(&id);
                self.sync(id);
                if self.seats[&id].machine.wake().is_some_and(|wake| wake <= self.now) {
                    quiet = false;
                    self.tell(id, Input::Tick);
                }
            }
            if quiet {
                return;
            }
        }
        panic!("never quiet");
    }

    /// Passes time in steps of a heartbeat.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now = self.now + Duration::from_millis(20);
            let ids: Vec<_> = self.seats.keys().copied().collect();
            for from in &ids {
                let Some(beat) = self.seats[from].machine.beat(self.now) else { continue };
                for to in &ids {
                    if from != to && self.hears(*to, *from) {
                        self.tell(*to, Input::Beat { from: *from, beat });
                    }
                }
            }
            for id in ids {
                self.tell(id, Input::Tick);
            }
            self.settle();
        }
    }

    fn kill(&mut self, id: NodeId) -> State {
        let seat = self.seats.remove(&id).unwrap();
        for other in self.seats.keys().copied().collect::<Vec<_>>() {
            self.tell(other, Input::Lost(id));
        }
        seat.disk
    }

    fn values(&self, id: NodeId) -> Vec<(u64, String)> {
        self.seats[&id]
            .committed
            .iter()
            .filter_map(|c| Some((c.entry.slot().0, c.entry.proposal()?.value.to_string())))
            .collect()
    }
}

#[test]
fn three_members_commit_a_value_proposed_at_any_of_them() {
    let mut table = Table::new(3);
    table.settle();
    for n in 1..=3 {
        table.tell(node(n), Input::Submit(proposal(n, &format!("v{n}"))));
        table.settle();
    }
    let expected: Vec<_> = (1..=3).map(|n| (n, format!("v{n}"))).collect();
    for n in 1..=3 {
        assert_eq!(table.values(node(n)), expected);
        let seat = &table.seats[&node(n)];
        let own = ProposalId::from_u128(n);
        assert!(matches!(seat.outcomes[..], [(id, Outcome::Committed(_))] if id == own));
    }
    assert!(
        table.seats[&node(1)].committed[0].votes.is_some_and(|(votes, n)| votes >= 2 && n == 3)
    );
}

#[test]
fn a_node_alone_commits_alone() {
    let mut table = Table::new(1);
    table.tell(node(1), Input::Submit(proposal(1, "a")));
    table.settle();
    assert_eq!(table.values(node(1)), [(1, "a".to_owned())]);
}

/// Together they are far more than the proposer's queue holds.
#[test]
fn as_much_as_all_members_take_is_committed_without_waiting() {
    let mut table = Table::new(3);
    table.settle();
    let text = "x".repeat(limits::VALUE_BYTES_MAX);
    for id in 0..45 {
        table.tell(node(1 + id % 3), Input::Submit(proposal(id, &text)));
    }
    table.settle();
    for n in 1..=3 {
        assert_eq!(table.seats[&node(n)].outcomes.len(), 15);
        assert_eq!(table.values(node(n)).len(), 45);
    }
}

#[test]
fn a_bound_that_no_slot_reaches_is_none() {
    let mut table = Table::new(1);
    table.settle();
    for (id, until) in [(1, limits::INTEGER_MAX), (2, limits::INTEGER_MAX + 1), (3, u64::MAX)] {
        let proposal = Proposal { until: Some(Slot(until)), ..proposal(id, "x") };
        table.tell(node(1), Input::Submit(proposal));
    }
    table.settle();
    let bounds: Vec<_> = table.seats[&node(1)]
        .committed
        .iter()
        .filter_map(|commit| commit.entry.proposal())
        .map(|proposal| proposal.until)
        .collect();
    assert_eq!(bounds, [Some(Slot(limits::INTEGER_MAX)), None, None]);
}

#[test]
fn nothing_is_said_of_a_proposal_before_its_sync() {
    let mut table = Table::new(3);
    table.settle();
    table.tell(node(1), Input::Submit(proposal(1, "a")));
    let id = node(1);
    let seat = table.seats.get_mut(&id).unwrap();
    let fx = seat.machine.step(table.now, Input::Tick);
    assert!(!fx.persist.is_empty());
    assert!(
        fx.send.iter().all(|send| matches!(send.message.body, Body::Propose(_))),
        "a proposal may leave before the own sync, a vote may not: {:?}",
        fx.send
    );
}

#[test]
fn a_killed_proposer_is_replaced_and_its_tail_carried_over() {
    let mut table = Table::new(3);
    table.settle();
    table.tell(node(1), Input::Submit(proposal(1, "a")));
    table.settle();
    // The second value reaches node 2 alone before the proposer dies.
    table.cut = vec![node(3)];
    table.tell(node(1), Input::Submit(proposal(2, "b")));
    table.tell(node(1), Input::Tick);
    let carried: Vec<_> = table.wires.drain(..).collect();
    for (from, to, message) in carried {
        if to == node(2) {
            table.tell(to, Input::Message { from, message });
        }
    }
    table.sync(node(2));
    table.wires.clear();
    table.cut.clear();
    table.kill(node(1));
    table.pass(Duration::from_millis(200));
    for n in 2..=3 {
        assert_eq!(table.values(node(n)), [(1, "a".to_owned()), (2, "b".to_owned())]);
    }
    table.tell(node(3), Input::Submit(proposal(3, "c")));
    table.settle();
    assert_eq!(table.values(node(2)).len(), 3);
}

#[test]
fn a_restarted_member_learns_what_it_missed() {
    let mut table = Table::new(3);
    table.settle();
    let disk = table.kill(node(3));
    for n in 1..=5 {
        table.tell(node(2), Input::Submit(proposal(n, "x")));
        table.settle();
    }
    table.start(node(3), disk);
    table.pass(Duration::from_millis(400));
    assert_eq!(table.values(node(3)).len(), 5);
    assert_eq!(table.seats[&node(3)].machine.state().last().slot, Slot(5));
}

#[test]
fn a_minority_commits_nothing() {
    let mut table = Table::new(5);
    table.settle();
    table.cut = vec![node(3), node(4), node(5)];
    table.tell(node(2), Input::Submit(proposal(1, "a")));
    table.pass(Duration::from_secs(5));
    assert!(table.seats.values().all(|seat| seat.committed.is_empty()));
    table.cut.clear();
    table.pass(Duration::from_secs(5));
    assert!(table.seats.values().all(|seat| seat.committed.len() == 1));
}

#[test]
fn the_same_id_takes_effect_once() {
    let mut table = Table::new(3);
    table.settle();
    table.tell(node(2), Input::Submit(proposal(1, "a")));
    table.settle();
    table.tell(node(3), Input::Submit(proposal(1, "a")));
    table.settle();
    assert_eq!(table.values(node(1)).len(), 1);
    assert_eq!(
        table.seats[&node(3)].outcomes,
        [(ProposalId::from_u128(1), Outcome::Duplicate(Slot(1)))]
    );
}

#[test]
fn a_restart_of_all_goes_on_where_it_was() {
    let mut table = Table::new(3);
    table.settle();
    table.tell(node(2), Input::Submit(proposal(1, "a")));
    table.settle();
    let disks: Vec<_> = (1..=3).map(|n| (node(n), table.kill(node(n)))).collect();
    for (id, disk) in disks {
        table.start(id, disk);
    }
    table.pass(Duration::from_secs(2));
    table.tell(node(3), Input::Submit(proposal(2, "b")));
    table.pass(Duration::from_secs(2));
    let logs: Vec<Position> = table.seats.values().map(|s| s.machine.state().committed).collect();
    assert!(logs.iter().all(|log| log.slot == Slot(2) && *log == logs[0]), "{logs:?}");
    assert!(table.seats[&node(1)].machine.state().promised > Some(Round(0)));
}

#[test]
fn a_proposer_that_hears_a_higher_promise_stops_leading() {
    let mut table = Table::new(3);
    table.settle();
    table.tell(node(2), Input::Lead { round: Round(1) });
    table.settle();
    assert!(table.seats[&node(2)].machine.standing(table.now).leading);
    assert!(!table.seats[&node(1)].machine.standing(table.now).leading);
    table.tell(node(1), Input::Submit(proposal(1, "a")));
    table.settle();
    assert!((1..=3).all(|n| table.values(node(n)).len() == 1));
}

/// 4 promised round 2 to 3 and told 2 alone of it; then both die. The others are well off in round 0, but what
/// clients give to 2 must not wait for 3 for ever.
#[test]
fn a_round_that_one_member_heard_of_is_told_to_all() {
    let mut table = Table::new(5);
    table.settle();
    table.tell(node(3), Input::Lead { round: Round(2) });
    table.sync(node(3));
    let said: Vec<_> = table.wires.drain(..).collect();
    for (from, to, message) in said {
        if to == node(4) {
            table.tell(to, Input::Message { from, message });
        }
    }
    table.sync(node(4));
    table.wires.clear();
    let beat = table.seats[&node(4)].machine.beat(table.now).unwrap();
    assert_eq!(beat.promised, Some(Round(2)));
    table.tell(node(2), Input::Beat { from: node(4), beat });
    table.kill(node(3));
    table.kill(node(4));

    table.tell(node(2), Input::Submit(proposal(1, "a")));
    table.pass(Duration::from_secs(10));
    for n in [1, 2, 5] {
        assert_eq!(table.values(node(n)), [(1, "a".to_owned())]);
    }
}

/// Whoever leads a round must be able to name the next one. A member that names the last that can be written is
/// broken, and is not heard.
#[test]
fn a_statement_of_the_last_round_ends_nothing() {
    let mut table = Table::new(3);
    table.settle();
    let far = Round(limits::INTEGER_MAX);
    let at = Position::GENESIS;
    let body = Body::Vote(Vote::new(far, at, at));
    let message = Message { epoch: Epoch(1), body };
    let beat = table.seats[&node(3)].machine.beat(table.now).unwrap();
    table.kill(node(3));
    for n in 1..=2 {
        table.tell(node(n), Input::Message { from: node(3), message: message.clone() });
        let beat = Beat { promised: Some(far), ..beat };
        table.tell(node(n), Input::Beat { from: node(3), beat });
    }
    table.tell(node(1), Input::Submit(proposal(1, "a")));
    table.pass(Duration::from_secs(10));
    for n in 1..=2 {
        assert_eq!(table.values(node(n)), [(1, "a".to_owned())]);
        assert!(table.seats[&node(n)].machine.standing(table.now).round < Round(100));
    }
}

#[test]
fn an_end_that_no_message_can_name_bounds_nothing() {
    let mut table = Table::new(3);
    table.settle();
    for (id, until) in [(1, u64::MAX), (2, limits::INTEGER_MAX + 1), (3, limits::INTEGER_MAX)] {
        let proposal = Proposal { until: Some(Slot(until)), ..proposal(id, "a") };
        table.tell(node(2), Input::Submit(proposal));
        table.settle();
    }
    let ends: Vec<_> = table.seats[&node(1)]
        .committed
        .iter()
        .filter_map(|commit| commit.entry.proposal())
        .map(|proposal| proposal.until)
        .collect();
    assert_eq!(ends, [None, None, Some(Slot(limits::INTEGER_MAX))]);
}

#[test]
fn no_round_is_led_that_no_message_can_name() {
    let config = EpochConfig::new(Epoch(1), (1..=3).map(node));
    let last = Round(limits::INTEGER_MAX);
    let others: Vec<_> = config.members.iter().filter(|m| **m != config.proposer(last)).collect();
    assert!(others.iter().all(|m| config.next_round_of(**m, Some(last)).is_none()));
    assert_eq!(config.next_round_of(config.proposer(last), Some(Round(last.0 - 1))), Some(last));
    assert_eq!(config.next_round_of(config.proposer(last), Some(last)), None);
}
