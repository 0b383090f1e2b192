//! Learning commits and serving those that learn (R9), step by step.

use super::hand::*;
use super::*;
use crate::consensus::{Entries, Entry, Fetch, Propose, Record, Serve, Vote};

const T: Duration = Duration::from_millis(600);

/// The third of three with the first of four entries, all of which are committed at the other two.
fn behind() -> (Hand, Vec<Entry>) {
    let log = log(4);
    let committed = log[0].position();
    let disk = [adopt(0, &log[..1]), Record::Commit { committed }];
    let mut hand = Hand::new(3, 3, Settings::default(), &disk);
    hand.work();
    for peer in [1, 2] {
        hand.beat(peer, beat(0, &log, 4));
    }
    hand.work();
    (hand, log)
}

fn entries(log: &[Entry], after: usize, through: usize, committed: usize) -> Body {
    let at = |slot: usize| slot.checked_sub(1).map_or(Position::GENESIS, |i| log[i].position());
    let contents = log[after..through].iter().map(|entry| entry.content().clone()).collect();
    let (after, committed) = (at(after), at(committed));
    Body::Entries(Entries { after, entries: contents, committed, more: false })
}

fn asks(peer: u128, from: u64, to: u64) -> (To, Fetch) {
    (To::One(node(peer)), Fetch { from: Slot(from), to: Slot(to) })
}

#[test]
fn missing_commits_are_asked_of_one_member_after_another_each_after_its_time() {
    let (mut hand, log) = behind();
    let mut waited = Duration::ZERO;
    let mut asked = Vec::new();
    while waited < 2 * T {
        for peer in [1, 2] {
            hand.beat(peer, beat(0, &log, 4));
        }
        asked.extend(fetches(&hand.work()).into_iter().map(|fetch| (waited.as_micros(), fetch)));
        waited += T / 32;
        hand.wait(T / 32);
    }
    let at = |sixteenths: u32| (T / 16 * sixteenths).as_micros();
    let [first, second] = [asks(1, 2, 4), asks(2, 2, 4)];
    assert_eq!(asked, [(at(1), first), (at(9), second), (at(17), first), (at(25), second)]);
}

#[test]
fn who_got_a_part_of_what_is_missing_asks_for_the_rest_at_once() {
    let (mut hand, log) = behind();
    hand.wait(T / 16);
    assert_eq!(fetches(&hand.work()), [asks(1, 2, 4)]);
    let fx = hand.hear(1, entries(&log, 1, 2, 4));
    assert!(
        matches!(&fx.persist[..], [Record::Learn { committed, .. }] if committed.slot == Slot(2))
    );
    assert_eq!(fetches(&hand.work()), [asks(1, 3, 4)]);
}

#[test]
fn a_commit_told_beside_earlier_entries_is_not_forgotten_though_its_teller_forgets_it() {
    let log = log(4);
    let disk = [adopt(0, &log[..1]), Record::Commit { committed: log[0].position() }];
    let mut hand = Hand::new(3, 3, Settings::default(), &disk);
    hand.work();
    hand.beat(1, beat(0, &log, 2));
    hand.hear(1, entries(&log, 1, 2, 4));
    assert_eq!(hand.machine.state().committed, log[1].position());
    // Its next life knows of two.
    hand.beat(1, Beat { life: 2, ..beat(0, &log, 2) });
    let contents = log[2..].iter().map(|entry| entry.content().clone()).collect();
    let propose = Propose {
        round: Round(0),
        after: log[1].position(),
        entries: contents,
        committed: log[1].position(),
        adopt: false,
    };
    hand.hear(1, Body::Propose(propose));
    hand.work();
    assert_eq!(hand.machine.state().committed, log[3].position());
}

#[test]
fn of_two_commits_that_are_missing_the_higher_is_waited_for() {
    let (mut hand, log) = behind();
    let lower = Vote::new(Round(0), log[1].position(), log[1].position());
    hand.hear(2, Body::Vote(lower));
    let contents = log[1..].iter().map(|entry| entry.content().clone()).collect();
    let propose = Propose {
        round: Round(0),
        after: log[0].position(),
        entries: contents,
        committed: log[0].position(),
        adopt: false,
    };
    hand.hear(1, Body::Propose(propose));
    assert_eq!(hand.machine.state().committed, log[3].position());
}

#[test]
fn entries_that_begin_before_what_memory_holds_are_not_taken_up() {
    let log = log(6);
    let settings = Settings { retained_slots: 0, ..Settings::default() };
    let learn = Record::Learn {
        after: Position::GENESIS,
        entries: log[..4].to_vec(),
        committed: log[3].position(),
    };
    let mut hand = Hand::new(3, 3, settings, &[learn]);
    hand.work();
    assert_eq!(hand.machine.state().tail.before().slot, Slot(3));
    let fx = hand.hear(1, entries(&log, 1, 6, 6));
    assert_eq!((fx.persist, fx.publish), (vec![], vec![]));
    let fx = hand.hear(1, entries(&log, 3, 6, 6));
    assert!(
        matches!(&fx.persist[..], [Record::Learn { committed, .. }] if committed.slot == Slot(6))
    );
}

#[test]
fn what_is_held_is_served_from_the_first_slot_to_the_tip_and_nothing_else_is() {
    let log = log(4);
    let mut hand = Hand::new(3, 3, Settings::default(), &[adopt(0, &log)]);
    hand.work();
    for (from, to, served) in [
        (0, 3, None),
        (3, 2, None),
        (5, 5, None),
        (1, 9, Some((0, 4))),
        (2, 3, Some((1, 3))),
        (4, 4, Some((3, 4))),
    ] {
        let fx = hand.hear(1, Body::Fetch(Fetch { from: Slot(from), to: Slot(to) }));
        let answer =
            served.map(|(after, through)| (To::One(node(1)), entries(&log, after, through, 0)));
        assert_eq!((said(&fx), fx.serve), (answer.into_iter().collect(), vec![]), "{from} to {to}");
    }
}

#[test]
fn an_answer_is_so_many_messages_each_a_batch_or_one_entry_that_is_larger() {
    let size = limits::BATCH_BYTES / 4;
    let sizes = [1, 1, 1, 1, 1, 5, 4, 4, 4].map(|times| times * size);
    let contents = (1..).zip(sizes).map(|(id, size)| content_of(weighing(id, size)));
    let log = Entry::chain(Position::GENESIS, contents);
    let mut hand = Hand::new(3, 3, Settings::default(), &[adopt(0, &log)]);
    hand.work();
    for (from, to, ends) in [
        (1, 9, vec![4, 5, 6, 7]),
        (2, 6, vec![5, 6]),
        (3, 5, vec![5]),
        (6, 9, vec![6, 7, 8, 9]),
        (8, 20, vec![8, 9]),
    ] {
        let fx = hand.hear(1, Body::Fetch(Fetch { from: Slot(from), to: Slot(to) }));
        let mut at = from - 1;
        let mut answer: Vec<_> = said(&fx).into_iter().collect();
        let got = answer.drain(..).map(|(_, body)| {
            let Body::Entries(answer) = body else { panic!("{body:?}") };
            assert_eq!(answer.after.slot.0, at, "one goes on where the one before ended");
            at += answer.entries.len() as u64;
            (at, answer.more)
        });
        let got: Vec<_> = got.collect();
        let last = ends.len() - 1;
        let expected = ends.into_iter().enumerate().map(|(index, end)| (end, index < last));
        assert_eq!(got, expected.collect::<Vec<_>>(), "from {from} to {to}");
    }
}

#[test]
fn what_is_read_from_the_log_for_an_answer_goes_on_until_it_is_long_enough() {
    let log = log(6);
    let settings = Settings { retained_slots: 0, ..Settings::default() };
    let after = Position::GENESIS;
    let committed = log[5].position();
    let learn = Record::Learn { after, entries: log.clone(), committed };
    let mut hand = Hand::new(3, 3, settings, &[learn]);
    hand.work();
    let fx = hand.hear(1, Body::Fetch(Fetch { from: Slot(1), to: Slot(5) }));
    let [serve] = fx.serve[..] else { panic!("{fx:?}") };
    let rest = |serve: Serve| (serve.from.0, serve.through.0, serve.messages);
    assert_eq!(rest(serve), (1, 5, limits::FETCH_BATCHES));
    let next = serve.next(Slot(2)).expect("it is not all");
    assert_eq!(rest(next), (3, 5, limits::FETCH_BATCHES - 1));
    assert_eq!(next.next(Slot(5)), None, "all is read");
    assert_eq!(Serve { messages: 1, ..serve }.next(Slot(2)), None, "it is long enough");
}

#[test]
fn the_rest_of_an_answer_is_waited_for_and_what_follows_it_is_asked_for_at_once() {
    let (mut hand, log) = behind();
    hand.wait(T / 16);
    assert_eq!(fetches(&hand.work()), [asks(1, 2, 4)]);
    let Body::Entries(first) = entries(&log, 1, 2, 4) else { unreachable!() };
    hand.wait(T / 2 - T / 16);
    hand.hear(1, Body::Entries(Entries { more: true, ..first }));
    hand.wait(T / 16);
    assert_eq!(fetches(&hand.work()), [], "it is on its way");
    hand.hear(1, entries(&log, 2, 3, 4));
    assert_eq!(fetches(&hand.work()), [asks(1, 4, 4)]);
}

#[test]
fn where_the_rest_of_an_answer_does_not_come_another_member_is_asked() {
    let (mut hand, log) = behind();
    hand.wait(T / 16);
    assert_eq!(fetches(&hand.work()), [asks(1, 2, 4)]);
    let Body::Entries(first) = entries(&log, 1, 2, 4) else { unreachable!() };
    hand.hear(1, Body::Entries(Entries { more: true, ..first }));
    for peer in [1, 2] {
        hand.beat(peer, beat(0, &log, 4));
    }
    hand.wait(T / 2);
    assert_eq!(fetches(&hand.work()), [asks(2, 3, 4)]);
}

#[test]
fn a_commit_says_how_long_its_own_entry_was_on_its_way() {
    let log = log(3);
    let mut hand = Hand::new(3, 3, Settings::default(), &[adopt(0, &[])]);
    hand.work();
    for slot in 1..=3 {
        let after = log[..slot - 1].last().map_or(Position::GENESIS, Entry::position);
        let entries = vec![log[slot - 1].content().clone()];
        let (round, committed) = (Round(0), Position::GENESIS);
        hand.hear(1, Body::Propose(Propose { round, after, entries, committed, adopt: false }));
        hand.wait(Duration::from_millis(10));
    }
    hand.sync();
    let voted = log[2].position();
    let fx = hand.hear(1, Body::Vote(Vote::new(Round(0), voted, voted)));
    let took = |event: &Event| match event {
        Event::Committed(commit) => Some(commit.took),
        _ => None,
    };
    let took: Vec<_> = fx.publish.iter().filter_map(took).collect();
    assert_eq!(took, [30, 20, 10].map(|millis| Some(Duration::from_millis(millis))));
}
