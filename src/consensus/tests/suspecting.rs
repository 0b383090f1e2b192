//! Who is suspected, by whom and for how long (R10, R11).

use super::hand::*;
use super::*;
use crate::consensus::Prepare;

const T: Duration = Duration::from_millis(600);
const INSTANT: Duration = Duration::from_nanos(1);

/// The third of three; the first is the proposer of the round under way.
fn follower() -> Hand {
    let mut hand = Hand::new(3, 3, Settings::default(), &[adopt(0, &[])]);
    hand.work();
    hand
}

/// Both others are well, and the first says that it leads.
fn hear_both(hand: &mut Hand) {
    hand.beat(1, Beat { leads: Some(Round(0)), ..beat(0, &[], 0) });
    hand.beat(2, beat(0, &[], 0));
}

fn suspects(hand: &mut Hand) -> Option<Round> {
    hand.work();
    hand.machine.beat(hand.now).expect("it is a member").suspects
}

/// Where a quorum is heard, only the disk can make unhealthy.
fn is_healthy(hand: &Hand) -> bool {
    let standing = hand.machine.standing(hand.now);
    let healthy = hand.machine.beat(hand.now).expect("it is a member").healthy;
    assert_eq!((standing.heard, standing.is_disk_slow), (3, !healthy));
    healthy
}

#[test]
fn a_proposer_that_says_it_is_unwell_is_suspected_until_it_says_otherwise() {
    // Of five, so that two make no quorum.
    let mut hand = Hand::new(3, 5, Settings::default(), &[adopt(0, &[])]);
    let leads = Beat { leads: Some(Round(0)), ..beat(0, &[], 0) };
    for (beat, suspected) in [
        (leads, false),
        (Beat { healthy: false, ..leads }, true),
        (leads, false),
        (Beat { suspects: Some(Round(0)), ..leads }, true),
        (leads, false),
    ] {
        hand.beat(1, beat);
        assert_eq!(suspects(&mut hand), suspected.then_some(Round(0)), "{beat:?}");
    }
    hand.step(Input::Lost(node(1)));
    assert_eq!(suspects(&mut hand), Some(Round(0)), "it is gone");
}

#[test]
fn a_proposer_that_is_heard_and_neither_leads_nor_wants_to_is_suspected_after_t() {
    let mut hand = follower();
    for quarter in 0..=4 {
        hand.beat(1, beat(0, &[], 0));
        assert_eq!(suspects(&mut hand).is_some(), quarter == 4, "{quarter}/4 T");
        hand.wait(T / 4);
    }
}

#[test]
fn a_candidate_is_not_suspected_as_long_as_it_says_that_it_is_one() {
    let mut hand = follower();
    let round = Some(Round(1));
    for quarter in 0..=8 {
        hand.beat(2, Beat { promised: round, candidate: round, ..beat(0, &[], 0) });
        hand.sync();
        assert_eq!(suspects(&mut hand), None, "{quarter}/4 T");
        hand.wait(T / 4);
    }
}

#[test]
fn a_sync_that_took_longer_than_t_makes_unhealthy_for_4_t() {
    for (took, healthy) in [(T, true), (T + INSTANT, false)] {
        let mut hand = follower();
        hear_both(&mut hand);
        hand.step(Input::Synced { through: 0, took });
        assert_eq!(is_healthy(&hand), healthy, "{took:?}");
        for (wait, healthy) in [(4 * T - INSTANT, healthy), (INSTANT, true)] {
            hand.wait(wait);
            hear_both(&mut hand);
            hand.sync();
            assert_eq!(is_healthy(&hand), healthy, "{took:?}, whatever took less since");
        }
    }
}

#[test]
fn a_sync_that_a_node_slept_through_says_nothing_of_its_disk() {
    for (before, healthy) in [(INSTANT, true), (Duration::ZERO, false)] {
        let mut hand = follower();
        hand.now = hand.machine.wake().expect("it waits") + 2 * T;
        let woke = hand.now;
        for _ in 0..5 {
            hear_both(&mut hand);
            hand.work();
            hand.wait(T / 4);
        }
        hear_both(&mut hand);
        // It began before the node stood still, or since.
        hand.step(Input::Synced { through: 0, took: hand.now.since(woke) + before });
        assert_eq!(is_healthy(&hand), healthy, "{before:?} before");
    }
}

#[test]
fn a_sync_that_is_waited_for_since_t_makes_unhealthy_until_it_ends() {
    let mut hand = follower();
    hand.hear(2, Body::Prepare(Prepare { round: Round(1) }));
    for (wait, healthy) in [(T - INSTANT, true), (INSTANT, false)] {
        hand.wait(wait);
        hear_both(&mut hand);
        assert_eq!(is_healthy(&hand), healthy);
    }
    hand.sync();
    assert!(is_healthy(&hand));
}

#[test]
fn patience_doubles_with_each_failure_up_to_eightfold() {
    let mut hand = follower();
    for (failures, times) in [(0, 1), (1, 2), (2, 4), (3, 8), (4, 8)] {
        hand.machine.failures = failures;
        assert_eq!(hand.machine.patience(), times * T, "{failures}");
    }
}

#[test]
fn who_was_late_itself_by_more_than_half_of_t_starts_every_silence_anew() {
    for (late, forgives) in [(T / 2, false), (T / 2 + INSTANT, true)] {
        let mut hand = follower();
        let (began, due) = (hand.now, hand.machine.wake().expect("it waits"));
        hand.now = due + late;
        hand.step(Input::Tick);
        let since = if forgives { hand.now } else { began };
        let heard = |n| hand.machine.others.get(node(n)).expect("a member").heard;
        assert_eq!([heard(1), heard(2), hand.machine.view.shown], [since; 3], "{late:?}");
    }
}

#[test]
fn who_was_deaf_blames_nobody_for_the_silence() {
    let mut hand = follower();
    for deaf in [false, true] {
        for _ in 0..5 {
            hand.wait(T / 4);
            if deaf {
                hand.step(Input::Deaf);
            }
            hand.work();
        }
        assert_eq!(suspects(&mut hand).is_some(), !deaf);
        hear_both(&mut hand);
    }
}

#[test]
fn a_quiet_member_looks_round_four_times_in_t() {
    let hand = follower();
    assert_eq!(hand.machine.wake(), Some(hand.now + T / 4));
}

#[test]
fn who_comes_second_waits_a_step_longer_and_by_chance_up_to_half_a_step_more() {
    let mut hand = follower();
    hand.step(Input::Lost(node(1)));
    hand.beat(2, Beat { suspects: Some(Round(0)), ..beat(0, &[], 0) });
    let step = Settings::default().takeover_step;
    let waits: Vec<_> = (0..20)
        .map(|_| {
            hand.machine.takeover = None;
            hand.work();
            hand.machine.takeover.expect("a quorum suspects").1
        })
        .collect();
    assert!(waits.iter().all(|wait| (step..step + step / 2).contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
}

/// The first numbers of SplitMix64 for this seed, as published.
#[test]
fn chance_is_what_its_paper_says() {
    let (id, settings, state) = (node(1), Settings::default(), State::default());
    let mut machine = Machine::new(id, 1, settings, 1_234_567, state, Vec::new(), Time::ZERO);
    let drawn = [(); 3].map(|()| machine.chance.next());
    assert_eq!(
        drawn,
        [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
    );
    let spans = [(); 50].map(|()| machine.chance.below(Duration::from_nanos(3)).as_nanos());
    assert!([0, 1, 2].iter().all(|span| spans.contains(span)), "{spans:?}");
    assert!(spans.iter().all(|span| *span < 3), "{spans:?}");
}
