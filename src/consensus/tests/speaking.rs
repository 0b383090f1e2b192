//! What is said and heard at all, and what reads wait for (R12, R14, R15).

use super::hand::*;
use super::*;
use crate::consensus::{Read, ReadReply, Record, Refuse, Remember};

const T: Duration = Duration::from_millis(600);
const INSTANT: Duration = Duration::from_nanos(1);

fn accused(fx: &Effects) -> bool {
    fx.publish.iter().any(|event| matches!(event, Event::Misbehaved { .. }))
}

fn nonces(fx: &Effects) -> Vec<u64> {
    let nonce = |(to, body): (To, Body)| match body {
        Body::Read(Read { nonce }) if to == To::Everyone => Some(nonce),
        _ => None,
    };
    said(fx).into_iter().filter_map(nonce).collect()
}

#[test]
fn nothing_is_said_in_an_epoch_before_its_start_is_durable() {
    let mut hand = Hand::unformed(2);
    let asked = || Body::Read(Read { nonce: 7 });
    hand.step(Input::Found(EpochConfig::new(EPOCH, (1..=3).map(node))));
    hand.step(Input::Read { token: 1 });
    assert_eq!(said(&hand.work()), []);
    assert_eq!(said(&hand.hear(1, asked())), []);
    let round = Some(Round(3));
    let candidate = Beat { promised: round, candidate: round, ..beat(0, &[], 0) };
    assert_eq!(hand.beat(1, candidate).persist, [], "nor is anything heard");
    assert_eq!(hand.machine.beat(hand.now), None);
    hand.sync();
    assert_eq!(nonces(&hand.work()).len(), 1);
    assert_eq!(hand.beat(1, candidate).persist, [Record::Promise { round: Round(3) }]);
    let reply = ReadReply { nonce: 7, last: Position::GENESIS };
    assert_eq!(said(&hand.hear(1, asked())), [(To::One(node(1)), Body::ReadReply(reply))]);
}

#[test]
fn who_announces_less_is_told_at_once_in_another_life_and_the_second_time_in_the_same() {
    let mut hand = Hand::new(3, 3, Settings::default(), &[adopt(0, &[])]);
    let said_before = beat(0, &[], 0);
    let Beat { accepted, voted, .. } = said_before;
    let remember = Remember { promised: Some(Round(5)), accepted, voted };
    let tell = [(To::One(node(1)), Body::Remember(remember))];
    for (life, promised, told, accuses) in [
        (1, 5, &[][..], false),
        (1, 4, &[], false),
        (1, 4, &tell, false),
        (1, 5, &[], false),
        (2, 4, &tell, true),
    ] {
        let fx = hand.beat(1, Beat { life, promised: Some(Round(promised)), ..said_before });
        let what = format!("life {life} promised {promised}");
        assert_eq!((&said(&fx)[..], accused(&fx)), (told, accuses), "{what}");
    }
}

#[test]
fn a_round_is_heard_of_as_far_ahead_as_the_bound_and_no_further() {
    for (ahead, heard) in [(limits::ROUNDS_AHEAD_MAX, true), (limits::ROUNDS_AHEAD_MAX + 1, false)]
    {
        let mut hand = Hand::new(3, 3, Settings::default(), &[adopt(0, &[])]);
        let (promised, committed) = (Some(Round(ahead)), Position::GENESIS);
        let fx = hand.hear(1, Body::Refuse(Refuse { promised, committed }));
        assert_eq!(accused(&fx), !heard);
        assert_eq!(hand.machine.standing(hand.now).round == Round(ahead), heard);
    }
}

#[test]
fn reads_are_refused_when_too_many_wait_and_not_before() {
    let mut hand = Hand::new(3, 3, Settings::default(), &[adopt(0, &[])]);
    for token in 0..=limits::PENDING_READS_MAX as u64 {
        let fx = hand.step(Input::Read { token });
        let is_refused = fx.publish == [Event::ReadRefused { token }];
        assert_eq!(is_refused, token == limits::PENDING_READS_MAX as u64, "{token}");
    }
}

#[test]
fn a_read_barrier_without_an_answer_is_sent_again_after_half_of_t_under_another_nonce() {
    let mut hand = Hand::new(3, 3, Settings::default(), &[adopt(0, &[])]);
    hand.step(Input::Read { token: 1 });
    let first = nonces(&hand.work());
    hand.wait(T / 2 - INSTANT);
    assert!(nonces(&hand.work()).is_empty());
    hand.wait(INSTANT);
    assert_eq!(hand.machine.wake(), Some(hand.now));
    let second = nonces(&hand.work());
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second);
    assert!(first[0].max(second[0]) <= limits::INTEGER_MAX, "no message names more");
}
