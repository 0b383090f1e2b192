//! What is said once a round has changed: to members that have not adopted it, and by those who led before (R4, R7, R10).

use super::hand::*;
use super::*;
use crate::consensus::{Entries, Entry, Prepare, Promise, Propose, Record, Refuse};

/// T/16: how long a message may be on its way before it is thought to be lost.
const SOON: Duration = Duration::from_micros(37_500);

/// The second of three, which leads round 1 with this log since the third has promised it; and what it said as it began.
fn successor(log: &[Entry], committed: usize) -> (Hand, Vec<(To, Propose)>) {
    let at = |slot: usize| slot.checked_sub(1).map_or(Position::GENESIS, |i| log[i].position());
    let commit = Record::Commit { committed: at(committed) };
    let mut hand = Hand::new(2, 3, Settings::default(), &[adopt(0, log), commit]);
    hand.work();
    hand.beat(3, beat(0, log, committed));
    hand.step(Input::Lead { round: Round(1) });
    hand.sync();
    let (last, committed, accepted) = (at(log.len()), at(committed), Some(Round(0)));
    hand.hear(3, Body::Promise(Promise { round: Round(1), accepted, last, committed }));
    let fx = hand.work();
    assert!(hand.machine.standing(hand.now).leading);
    (hand, offers(&fx, 3))
}

/// What this member was asked to adopt, or to add.
fn offers(fx: &Effects, to: u128) -> Vec<(To, Propose)> {
    let offer = |(whom, body): (To, Body)| match body {
        Body::Propose(propose) if [To::One(node(to)), To::Everyone].contains(&whom) => {
            Some((whom, propose))
        }
        _ => None,
    };
    said(fx).into_iter().filter_map(offer).collect()
}

/// What a heartbeat of the third makes the second send it.
fn after_beat(hand: &mut Hand, beat: Beat) -> usize {
    hand.beat(3, beat);
    offers(&hand.work(), 3).len()
}

#[test]
fn an_adoption_is_not_sent_again_to_whose_heartbeat_crossed_it() {
    let log = log(2);
    let (mut hand, first) = successor(&log, 1);
    assert_eq!(first.len(), 1);
    let not_yet = Beat { promised: Some(Round(1)), ..beat(0, &log, 1) };
    assert_eq!(after_beat(&mut hand, not_yet), 0);
    hand.wait(SOON);
    assert_eq!(after_beat(&mut hand, not_yet), 1, "it was lost, or takes long");
    let in_another_life = Beat { life: 2, ..not_yet };
    assert_eq!(after_beat(&mut hand, in_another_life), 1, "who has just started was not there");
}

#[test]
fn what_an_adoption_holds_is_not_sent_again_as_entries() {
    let log = log(3);
    let (mut hand, first) = successor(&log, 1);
    assert_eq!(first[0].1.entries.len(), 2);
    hand.sync();
    hand.work();
    // It was given the rest in two pieces, and its disk has the first of them.
    let voted = Vote::new(Round(1), log[1].position(), log[0].position());
    hand.hear(3, Body::Vote(voted));
    assert_eq!(offers(&hand.work(), 3), []);
    let behind = Beat { promised: Some(Round(1)), ..beat(1, &log[..2], 1) };
    let behind = Beat { last: log[2].position(), ..behind };
    assert_eq!(after_beat(&mut hand, behind), 0);
    assert_eq!(after_beat(&mut hand, behind), 1, "no progress in a whole heartbeat");
}

#[test]
fn a_refusal_that_tells_of_a_commit_is_answered_at_once() {
    let log = log(2);
    let (mut hand, _) = successor(&log, 2);
    hand.beat(1, beat(0, &log[..1], 0));
    hand.work();
    let refuse = Refuse { promised: Some(Round(0)), committed: log[0].position() };
    hand.hear(1, Body::Refuse(refuse));
    assert_eq!(hand.machine.wake(), Some(hand.now));
    let again = offers(&hand.work(), 1);
    assert_eq!(again.iter().map(|(_, offer)| offer.after).collect::<Vec<_>>(), [log[0].position()]);
}

#[test]
fn who_leads_no_more_tells_nobody_what_its_round_came_to() {
    let log = log(1);
    // The first of three led round 0 in another life.
    let mut hand = Hand::new(1, 3, Settings::default(), &[adopt(0, &log)]);
    let mut fx = hand.work();
    let entries = log.iter().map(|entry| entry.content().clone()).collect();
    let (after, committed) = (Position::GENESIS, log[0].position());
    let answer = Entries { after, entries, committed, more: false };
    fx.send.extend(hand.hear(2, Body::Entries(answer)).send);
    fx.send.extend(hand.sync().send);
    fx.send.extend(hand.work().send);
    assert_eq!(hand.machine.state().committed, committed);
    assert!(!said(&fx).iter().any(|(_, body)| matches!(body, Body::Vote(_))), "{:?}", said(&fx));
}

#[test]
fn a_member_that_learns_promises_again_once_its_disk_has_what_it_learnt() {
    let log = log(1);
    let mut hand = Hand::new(3, 3, Settings::default(), &[adopt(0, &[])]);
    hand.work();
    hand.hear(2, Body::Prepare(Prepare { round: Round(1) }));
    hand.sync();
    hand.work();
    let entries = log.iter().map(|entry| entry.content().clone()).collect();
    let (after, committed) = (Position::GENESIS, log[0].position());
    let mut told = hand.hear(2, Body::Entries(Entries { after, entries, committed, more: false }));
    told.send.extend(hand.work().send);
    assert_eq!(said(&told), []);
    let told = said(&hand.sync());
    let (round, accepted) = (Round(1), Some(Round(0)));
    let promise = Promise { round, accepted, last: committed, committed };
    assert_eq!(told, [(To::One(node(2)), Body::Promise(promise))]);
}

#[test]
fn nobody_is_trusted_again_whose_round_is_over() {
    let mut hand = Hand::new(3, 3, Settings::default(), &[adopt(0, &[])]);
    let suspicions = |fx: Effects| -> Vec<Option<Round>> {
        let suspicion = |event| match event {
            Event::Suspects { round, .. } => Some(round),
            _ => None,
        };
        fx.publish.into_iter().filter_map(suspicion).collect()
    };
    hand.work();
    hand.beat(2, beat(0, &[], 0));
    let leads = Beat { leads: Some(Round(0)), ..beat(0, &[], 0) };
    let unwell = Beat { healthy: false, ..leads };
    for (beat, told) in [(leads, &[][..]), (unwell, &[Some(Round(0))]), (leads, &[None])] {
        hand.beat(1, beat);
        assert_eq!(suspicions(hand.work()), told);
    }
    hand.beat(1, unwell);
    assert_eq!(suspicions(hand.work()), [Some(Round(0))]);
    hand.hear(2, Body::Prepare(Prepare { round: Round(1) }));
    assert_eq!(suspicions(hand.work()), []);
    assert_eq!(hand.machine.beat(hand.now).expect("it is a member").suspects, None);
}

#[test]
fn a_candidacy_is_said_in_one_heartbeat() {
    let mut hand = Hand::new(2, 3, Settings::default(), &[adopt(0, &[])]);
    hand.work();
    hand.step(Input::Lead { round: Round(1) });
    let mut fx = vec![hand.sync()];
    while hand.machine.wake() == Some(hand.now) {
        fx.push(hand.step(Input::Tick));
    }
    assert_eq!(fx.iter().filter(|fx| fx.beat_now).count(), 1);
}
