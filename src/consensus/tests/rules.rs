//! Rules that chance hardly ever puts to the test: what a member does with a message that is made by hand.

use super::*;
use crate::consensus::{Content, Entry, Kind, Promise, Propose, Record, Vote};
use crate::limits;

impl Table {
    fn say(&mut self, to: NodeId, from: NodeId, epoch: Epoch, body: Body) {
        self.tell(to, Input::Message { from, message: Message { epoch, body } });
        self.settle();
    }

    fn standing(&self, n: u128) -> crate::consensus::Standing {
        self.seats[&node(n)].machine.standing(self.now)
    }
}

/// Node 1 leads round 0 with one entry that nobody else has; gives the vote that would commit it.
fn alone_with_an_entry() -> (Table, Body) {
    let mut table = Table::new(3);
    table.settle();
    table.cut = vec![node(2), node(3)];
    table.tell(node(1), Input::Submit(proposal(1, "a")));
    table.settle();
    let voted = table.seats[&node(1)].machine.state().last();
    assert_eq!((voted.slot, table.seats[&node(1)].committed.len()), (Slot(1), 0));
    (table, Body::Vote(Vote::new(Round(0), voted, Position::GENESIS)))
}

#[test]
fn a_repetition_under_an_end_that_is_over_does_not_speak_for_the_one_that_waits() {
    let mut table = Table::new(3);
    table.settle();
    table.tell(node(1), Input::Submit(proposal(1, "first")));
    table.settle();
    table.cut = vec![node(3)];
    table.tell(node(3), Input::Submit(proposal(2, "waits")));
    table.tell(node(3), Input::Submit(Proposal { until: Some(Slot(1)), ..proposal(2, "waits") }));
    assert_eq!(table.seats[&node(3)].outcomes, []);
    table.tell(node(3), Input::Submit(Proposal { until: Some(Slot(1)), ..proposal(3, "void") }));
    let expired = Outcome::Rejected(crate::consensus::Rejection::Expired);
    assert_eq!(table.seats[&node(3)].outcomes, [(ProposalId::from_u128(3), expired)]);
}

#[test]
fn a_vote_of_a_stranger_is_not_counted() {
    let (mut table, vote) = alone_with_an_entry();
    for stranger in [7, 8, 9] {
        table.say(node(1), node(stranger), Epoch(1), vote.clone());
    }
    assert_eq!(table.values(node(1)), []);
    table.say(node(1), node(2), Epoch(1), vote);
    assert_eq!(table.values(node(1)).len(), 1, "that of a member is");
}

#[test]
fn what_is_said_in_another_epoch_is_not_heard() {
    let (mut table, vote) = alone_with_an_entry();
    for epoch in [0, 2] {
        table.say(node(1), node(2), Epoch(epoch), vote.clone());
    }
    assert_eq!(table.values(node(1)), []);
    table.say(node(1), node(2), Epoch(1), vote);
    assert_eq!(table.values(node(1)).len(), 1);
}

#[test]
fn a_vote_goes_no_further_than_what_the_message_proved() {
    let value = |id| Content { epoch: Epoch(1), kind: Kind::Value(proposal(id, "x")) };
    let entries = Entry::chain(Position::GENESIS, vec![value(1), value(2)]);
    let mut table = Table::new(3);
    let config = table.config.clone();
    let mut disk = State::default();
    // Node 2 accepted round 0 while that was empty; both entries it learnt, the second of a later round.
    for record in [
        Record::Epoch { config, base: Position::GENESIS },
        Record::Adopt { round: Round(0), after: Position::GENESIS, entries: Vec::new() },
        Record::Learn {
            after: Position::GENESIS,
            committed: entries[1].position(),
            entries: entries.clone(),
        },
    ] {
        disk.apply(&record).unwrap();
    }
    table.start(node(2), disk);
    table.wires.clear();
    let propose = Propose {
        round: Round(0),
        after: Position::GENESIS,
        entries: vec![value(1)],
        committed: Position::GENESIS,
        adopt: false,
    };
    let message = Message { epoch: Epoch(1), body: Body::Propose(propose) };
    table.tell(node(2), Input::Message { from: node(1), message });
    table.sync(node(2));
    let voted: Vec<_> = table
        .wires
        .iter()
        .filter_map(|(from, to, message)| match &message.body {
            Body::Vote(vote) if *from == node(2) => Some((*to, vote.round, vote.voted)),
            _ => None,
        })
        .collect();
    assert_eq!(voted, [(node(1), Round(0), entries[0].position())], "one vote, to the proposer");
}

#[test]
fn a_promise_for_another_round_is_not_counted() {
    let mut table = Table::new(3);
    table.settle();
    table.cut = vec![node(2), node(3)];
    table.tell(node(1), Input::Lead { round: Round(3) });
    table.settle();
    let promise = |round| {
        let (last, committed) = (Position::GENESIS, Position::GENESIS);
        Body::Promise(Promise { round, accepted: Some(Round(0)), last, committed })
    };
    table.say(node(1), node(2), Epoch(1), promise(Round(0)));
    assert!(!table.standing(1).leading);
    table.say(node(1), node(2), Epoch(1), promise(Round(3)));
    assert!(table.standing(1).leading);
}

#[test]
fn a_proposer_whose_disk_stalls_is_replaced_though_its_heartbeats_come() {
    let mut table = Table::new(3);
    table.settle();
    table.stalled = vec![node(1)];
    table.tell(node(2), Input::Submit(proposal(1, "a")));
    table.pass(Duration::from_secs(5));
    for n in 2..=3 {
        let standing = table.standing(n);
        assert!(standing.led && standing.proposer != Some(node(1)), "{standing:?}");
    }
}

#[test]
fn one_member_that_does_not_hear_the_proposer_deposes_nobody() {
    let mut table = Table::new(3);
    table.settle();
    table.deaf = vec![(node(1), node(3))];
    table.pass(Duration::from_secs(10));
    assert!(table.standing(1).leading);
    assert!((1..=3).all(|n| table.standing(n).round == Round(0)));
}

#[test]
fn a_round_that_cannot_be_written_is_never_led() {
    let last = Round(limits::INTEGER_MAX);
    let mut table = Table::new(3);
    assert!((1..=3).all(|n| table.config.next_round_of(node(n), Some(last)).is_none()));
    table.settle();
    for (to, from) in [(1, 2), (2, 3), (3, 1)] {
        let beat = table.seats[&node(from)].machine.beat(table.now).unwrap();
        let beat = crate::consensus::Beat { promised: Some(last), ..beat };
        table.tell(node(to), Input::Beat { from: node(from), beat });
    }
    table.pass(Duration::from_secs(20));
    assert!(table.seats.values().all(|seat| seat.machine.state().promised <= Some(last)));
}
