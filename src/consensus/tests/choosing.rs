//! Taking over a round, promise by promise (R1, R2, R3).

use super::hand::*;
use super::*;
use crate::consensus::role::Role;
use crate::consensus::{Entry, Fetch, Prepare, Promise, Propose, Record};

const T: Duration = Duration::from_millis(600);
const INSTANT: Duration = Duration::from_nanos(1);

/// The second of so many, a candidate for this round of its own, with this log of round 0.
fn candidate(members: u128, round: u64, log: &[Entry]) -> Hand {
    let mut hand = Hand::new(2, members, Settings::default(), &[adopt(0, log)]);
    hand.work();
    hand.step(Input::Lead { round: Round(round) });
    assert!(matches!(&said(&hand.sync())[..], [(To::Everyone, Body::Prepare(_))]));
    hand.work();
    hand
}

fn promise(round: u64, accepted: u64, last: Position, committed: Position) -> Body {
    let (round, accepted) = (Round(round), Some(Round(accepted)));
    Body::Promise(Promise { round, accepted, last, committed })
}

fn leads(hand: &Hand) -> bool {
    hand.machine.standing(hand.now).leading
}

fn promises(fx: &Effects) -> Vec<(To, Round)> {
    let promise = |(to, body): (To, Body)| match body {
        Body::Promise(promise) => Some((to, promise.round)),
        _ => None,
    };
    said(fx).into_iter().filter_map(promise).collect()
}

#[test]
fn a_member_becomes_a_candidate_for_a_round_of_its_own_above_all_it_knows_and_once() {
    let mut hand = Hand::new(2, 3, Settings::default(), &[adopt(0, &[])]);
    hand.beat(3, Beat { suspects: Some(Round(4)), ..beat(0, &[], 0) });
    for (round, is_led) in [(5, false), (1, false), (4, true), (4, false)] {
        let round = Round(round);
        let fx = hand.step(Input::Lead { round });
        let promised = is_led.then_some(Record::Promise { round });
        assert_eq!(fx.persist, Vec::from_iter(promised), "{round}");
    }
}

#[test]
fn a_candidate_says_so_in_its_heartbeats_once_its_promise_is_synced() {
    let mut hand = Hand::new(2, 3, Settings::default(), &[adopt(0, &[])]);
    let wants = |hand: &Hand| hand.machine.beat(hand.now).and_then(|beat| beat.candidate);
    hand.step(Input::Lead { round: Round(1) });
    assert_eq!(wants(&hand), None);
    hand.sync();
    assert_eq!(wants(&hand), Some(Round(1)));
}

#[test]
fn a_promise_is_said_when_it_is_synced_and_again_for_every_repeated_prepare() {
    let prepare = || Body::Prepare(Prepare { round: Round(1) });
    let mut hand = Hand::new(3, 3, Settings::default(), &[adopt(0, &[])]);
    hand.work();
    let promised = [(To::One(node(2)), Round(1))];
    assert_eq!(promises(&hand.hear(2, prepare())), []);
    assert_eq!(promises(&hand.sync()), promised);
    assert_eq!(promises(&hand.hear(2, prepare())), promised);
    let (after, committed) = (Position::GENESIS, Position::GENESIS);
    let propose = Propose { round: Round(1), after, entries: vec![], committed, adopt: true };
    hand.hear(2, Body::Propose(propose));
    hand.sync();
    assert_eq!(promises(&hand.hear(2, prepare())), [], "the vote says it by now");
}

#[test]
fn a_promise_that_a_higher_one_has_overtaken_is_not_said() {
    let mut hand = Hand::new(1, 3, Settings::default(), &[adopt(0, &[])]);
    hand.work();
    for (from, round) in [(2, 1), (3, 2)] {
        hand.hear(from, Body::Prepare(Prepare { round: Round(round) }));
    }
    let mut synced = |through| hand.step(Input::Synced { through, took: Duration::ZERO });
    assert_eq!(promises(&synced(1)), []);
    assert_eq!(promises(&synced(2)), [(To::One(node(3)), Round(2))]);
}

#[test]
fn of_two_promises_of_one_member_the_later_counts_unless_it_knows_fewer_commits() {
    let log = log(4);
    let at = |slot: usize| log[slot - 1].position();
    let mut hand = candidate(5, 1, &log);
    for (last, committed, counts) in [
        (at(2), at(1), at(2)),
        (at(3), at(1), at(3)),
        (at(4), Position::GENESIS, at(3)),
        (at(2), at(2), at(2)),
    ] {
        hand.hear(1, promise(1, 0, last, committed));
        let Role::Candidate(candidate) = &hand.machine.role else { panic!("a candidate") };
        assert_eq!(candidate.promises[&node(1)].last, counts, "{last} {committed}");
    }
}

#[test]
fn a_tail_is_asked_for_anew_when_its_own_promise_changed() {
    let log = log(4);
    let at = |slot: usize| log[slot - 1].position();
    let base = Position::GENESIS;
    let asked = |fx: &Effects| -> Vec<_> {
        fetches(fx).into_iter().map(|(to, fetch)| (to, fetch.from.0, fetch.to.0)).collect()
    };
    let mut hand = candidate(5, 1, &[]);
    hand.hear(1, promise(1, 0, at(4), base));
    hand.hear(3, promise(1, 0, base, base));
    assert_eq!(asked(&hand.work()), [(To::One(node(1)), 1, 4)]);
    hand.hear(3, promise(1, 0, at(1), base));
    assert_eq!(asked(&hand.work()), []);
    hand.hear(1, promise(1, 0, at(3), base));
    assert_eq!(asked(&hand.work()), [(To::One(node(1)), 1, 3)]);
}

#[test]
fn who_does_not_send_its_tail_within_half_of_t_is_left_out_if_a_quorum_remains() {
    let log = log(4);
    let base = Position::GENESIS;
    let mut hand = candidate(5, 1, &[]);
    hand.hear(1, promise(1, 0, log[3].position(), base));
    for peer in [3, 4] {
        hand.hear(peer, promise(1, 0, base, base));
    }
    assert_eq!(fetches(&hand.work()).len(), 1);
    hand.wait(T / 2 - INSTANT);
    hand.work();
    assert!(!leads(&hand));
    hand.wait(INSTANT);
    hand.work();
    assert!(leads(&hand));
    assert_eq!(hand.machine.state().last(), base);
}

#[test]
fn a_candidate_that_does_not_lead_within_t_gives_up_and_is_more_patient_next_time() {
    let mut hand = candidate(3, 1, &[]);
    assert_eq!(hand.machine.patience(), T);
    for (wait, is_candidate) in [(T - INSTANT, true), (INSTANT, false)] {
        hand.wait(wait);
        hand.step(Input::Tick);
        assert_eq!(matches!(hand.machine.role, Role::Candidate(_)), is_candidate);
    }
    assert_eq!(hand.machine.patience(), 2 * T);
}

#[test]
fn what_a_promise_calls_committed_is_asked_for_at_once() {
    let log = log(2);
    let end = log[1].position();
    let mut hand = candidate(3, 1, &[]);
    hand.hear(3, promise(1, 0, end, end));
    let fetch = Fetch { from: Slot(1), to: Slot(2) };
    assert_eq!(fetches(&hand.work()), [(To::One(node(3)), fetch)]);
}

#[test]
fn a_tail_that_the_own_log_holds_is_not_asked_for() {
    let log = log(3);
    let end = log[1].position();
    let mut hand = candidate(3, 4, &log);
    hand.hear(3, promise(4, 2, end, Position::GENESIS));
    assert_eq!(fetches(&hand.work()), []);
    assert!(leads(&hand));
    assert_eq!(hand.machine.state().last(), end);
}
