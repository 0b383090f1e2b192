//! Votes.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use quorate::consensus::{
    Body, Effects, EpochConfig, Input, Machine, Message, Record, Settings, State, Vote,
};
use quorate::types::{Epoch, NodeId, Position, Round, Time};

use crate::{group, proposals};

/// Shows what a vote costs the node that counts it, and how that grows with the cluster: every vote goes to everybody.
/// The tally, and all that the machine does around it; the vote amounts to a quorum for what is committed already, so
/// nothing follows from it.
pub(crate) fn a_vote(criterion: &mut Criterion) {
    let mut group = group(criterion, "a vote counted");
    for members in [3_u128, 9] {
        let (mut machine, voted) = leading(members);
        let from = NodeId::from_u128(members);
        let vote = Vote::new(Round(0), voted, voted);
        group.bench_function(BenchmarkId::new("members", members), |bencher| {
            bencher.iter(|| machine.step(Time::ZERO, said(from, black_box(vote))));
        });
    }
    group.finish();
}

fn said(from: NodeId, vote: Vote) -> Input {
    Input::Message { from, message: Message { epoch: Epoch(1), body: Body::Vote(vote) } }
}

/// A member that leads round 0, with one entry that all have voted for; and where that is.
fn leading(members: u128) -> (Machine, Position) {
    let me = NodeId::from_u128(1);
    let config = EpochConfig::new(Epoch(1), (1..=members).map(NodeId::from_u128));
    let mut state = State::default();
    let start = Record::Epoch { config, base: Position::GENESIS };
    state.apply(&start).expect("the first record");
    let mut machine = Machine::new(me, 1, Settings::default(), 5, state, Vec::new(), Time::ZERO);
    let mut batches = 0;
    let mut step = |machine: &mut Machine, input| {
        let Effects { persist, .. } = machine.step(Time::ZERO, input);
        if !persist.is_empty() {
            batches += 1;
            machine.step(Time::ZERO, Input::Synced { through: batches, took: Duration::ZERO });
        }
    };
    for proposal in proposals(1) {
        step(&mut machine, Input::Submit(proposal));
    }
    while machine.state().last() == Position::GENESIS {
        step(&mut machine, Input::Tick);
    }
    let voted = machine.state().last();
    for from in (2..=members).map(NodeId::from_u128) {
        let vote = Vote::new(Round(0), voted, Position::GENESIS);
        step(&mut machine, said(from, vote));
    }
    assert_eq!(machine.state().committed, voted, "all members have voted for it");
    (machine, voted)
}
