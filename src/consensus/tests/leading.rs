//! What a proposer places, and in which pieces it sends it (R4, R13).

use super::hand::*;
use super::*;
use crate::consensus::{Entry, Promise, Propose, Record, Submit};

/// Four of them are a batch.
const QUARTER: usize = limits::BATCH_BYTES / 4;

/// The first of three, which leads round 0.
fn proposer(settings: Settings) -> Hand {
    let mut hand = Hand::new(1, 3, settings, &[]);
    hand.work();
    hand.sync();
    hand.work();
    assert!(hand.machine.standing(hand.now).leading);
    hand
}

fn submit(hand: &mut Hand, proposals: impl IntoIterator<Item = Proposal>) {
    for proposal in proposals {
        hand.step(Input::Submit(proposal));
    }
}

fn proposes(fx: &Effects) -> Vec<(To, Propose)> {
    let propose = |(to, body): (To, Body)| match body {
        Body::Propose(propose) => Some((to, propose)),
        _ => None,
    };
    said(fx).into_iter().filter_map(propose).collect()
}

#[test]
fn a_proposer_runs_ahead_of_the_commit_by_the_window_or_by_one_entry_that_is_larger() {
    let each = proposal(1, "x").weight();
    let slots = |window_slots| Settings { window_slots, ..Settings::default() };
    let bytes = |window_bytes| Settings { window_bytes, ..Settings::default() };
    for (settings, window) in
        [(slots(2), 2), (bytes(2 * each), 2), (bytes(3 * each - 1), 2), (bytes(1), 1)]
    {
        let mut hand = proposer(settings.clone());
        submit(&mut hand, (1..=9).map(|id| proposal(id, "x")));
        for ahead in [window, 2 * window] {
            hand.work();
            hand.sync();
            let voted = hand.machine.state().last();
            assert_eq!(voted.slot, Slot(ahead), "{settings:?}");
            let vote = Vote::new(Round(0), voted, Position::GENESIS);
            hand.hear(2, Body::Vote(vote));
            assert_eq!(hand.machine.state().committed, voted);
        }
    }
}

#[test]
fn entries_are_sent_in_batches_or_one_by_one_where_they_are_larger() {
    let mut hand = proposer(Settings::default());
    hand.beat(2, beat(0, &[], 0));
    let sizes = [QUARTER, QUARTER, QUARTER, QUARTER, QUARTER, 4 * QUARTER + 1];
    submit(&mut hand, (1..).zip(sizes).map(|(id, size)| weighing(id, size)));
    let sent = proposes(&hand.work());
    assert!(sent.iter().all(|(to, propose)| *to == To::One(node(2)) && !propose.adopt));
    let counts: Vec<_> = sent.iter().map(|(_, propose)| propose.entries.len()).collect();
    assert_eq!(counts, [4, 1, 1]);
}

#[test]
fn proposals_are_submitted_in_batches_or_one_by_one_where_they_are_larger() {
    let mut hand = Hand::new(3, 3, Settings::default(), &[adopt(0, &[])]);
    hand.beat(1, Beat { leads: Some(Round(0)), ..beat(0, &[], 0) });
    let sizes = [4 * QUARTER + 1, QUARTER, QUARTER, QUARTER, QUARTER, QUARTER];
    submit(&mut hand, (1..).zip(sizes).map(|(id, size)| weighing(id, size)));
    let count = |(to, body): (To, Body)| match body {
        Body::Submit(Submit { proposals }) if to == To::One(node(1)) => Some(proposals.len()),
        _ => None,
    };
    let counts: Vec<_> = said(&hand.work()).into_iter().filter_map(count).collect();
    assert_eq!(counts, [1, 4, 1]);
}

/// Whom the first of three asks to adopt round 3 when it begins to lead it with this log. The second has promised and
/// knows its commits; of the third nothing was heard.
fn asked_to_adopt(settings: Settings, log: &[Entry], committed: usize) -> Vec<u128> {
    let at = |slot: usize| slot.checked_sub(1).map_or(Position::GENESIS, |i| log[i].position());
    let commit = Record::Commit { committed: at(committed) };
    let mut hand = Hand::new(1, 3, settings, &[adopt(0, log), commit]);
    hand.work();
    hand.step(Input::Lead { round: Round(3) });
    hand.sync();
    let (last, committed, accepted) = (at(log.len()), at(committed), Some(Round(0)));
    hand.hear(2, Body::Promise(Promise { round: Round(3), accepted, last, committed }));
    let sent = proposes(&hand.work());
    assert!(sent.iter().all(|(_, propose)| propose.adopt));
    (2..=3).filter(|n| sent.iter().any(|(to, _)| *to == To::One(node(*n)))).collect()
}

#[test]
fn who_lacks_more_than_memory_holds_or_a_message_bears_learns_before_it_adopts() {
    let small = log(4);
    for (retained_slots, asked) in [(0, &[2][..]), (4, &[2, 3])] {
        let settings = Settings { retained_slots, ..Settings::default() };
        assert_eq!(asked_to_adopt(settings, &small, 4), asked, "{retained_slots} held");
    }
    let large = |count: u128| {
        let contents = (1..=count).map(|id| content_of(weighing(id, limits::FRAME_BYTES_MAX / 16)));
        Entry::chain(Position::GENESIS, contents)
    };
    // What is not chosen cannot be learnt: it is sent, however much it is.
    for (count, committed, asked) in [(8, 8, &[2, 3][..]), (9, 9, &[2]), (9, 0, &[2, 3])] {
        let settings = Settings { retained_bytes: usize::MAX, ..Settings::default() };
        let what = format!("{committed} of {count} committed");
        assert_eq!(asked_to_adopt(settings, &large(count), committed), asked, "{what}");
    }
}
