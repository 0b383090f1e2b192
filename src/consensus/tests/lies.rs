//! What no honest member says: a node stops, tells of it, or does not listen; it never goes on with it.

use super::hand::{EPOCH, content};
use super::*;
use crate::consensus::{
    Beat, Content, Entries, Entry, Halt, Prepare, Propose, Record, Refuse, Remember, Vote,
};
use crate::types::Digest;

/// Three members with one value committed, led by the first; what is told goes to the third.
fn third() -> Table {
    let mut table = Table::new(3);
    table.settle();
    table.tell(node(2), Input::Submit(proposal(1, "a")));
    table.settle();
    assert_eq!(table.seats[&node(3)].machine.state().committed.slot, Slot(1));
    table
}

fn step(table: &mut Table, input: Input) -> Effects {
    let now = table.now;
    table.seats.get_mut(&node(3)).expect("it runs").machine.step(now, input)
}

fn say(table: &mut Table, from: u128, body: Body) -> Effects {
    let message = Message { epoch: EPOCH, body };
    step(table, Input::Message { from: node(from), message })
}

fn halts(fx: &Effects) -> Vec<Halt> {
    let halt = |event: &Event| match event {
        Event::Halt(halt) => Some(halt.clone()),
        _ => None,
    };
    fx.publish.iter().filter_map(halt).collect()
}

fn accused(fx: &Effects) -> Vec<NodeId> {
    let accused = |event: &Event| match event {
        Event::Misbehaved { peer, .. } => Some(*peer),
        _ => None,
    };
    fx.publish.iter().filter_map(accused).collect()
}

fn commit(table: &Table) -> Position {
    table.seats[&node(3)].machine.state().committed
}

fn propose(round: u64, after: Position, contents: &[Content], committed: Position) -> Body {
    let (round, entries) = (Round(round), contents.to_vec());
    Body::Propose(Propose { round, after, entries, committed, adopt: false })
}

fn beat(table: &Table, from: u128) -> Beat {
    table.seats[&node(from)].machine.beat(table.now).expect("a member beats")
}

#[test]
fn who_remembers_more_of_this_node_than_it_does_itself_stops_it() {
    let mut table = third();
    let (promised, accepted, voted, _) = table.seats[&node(3)].machine.announced();
    assert_eq!((promised, accepted, voted.slot), (Some(Round(0)), Some(Round(0)), Slot(1)));
    let further = Position { slot: Slot(2), hash: Digest::ZERO };
    let halt = [Halt::Forgot { peer: node(2) }];
    for (promised, accepted, voted, expected) in [
        (promised, accepted, voted, &[][..]),
        (None, None, further, &[]),
        (promised, accepted, Position::GENESIS, &[]),
        (Some(Round(1)), accepted, voted, &halt),
        (promised, Some(Round(1)), Position::GENESIS, &halt),
        (promised, accepted, further, &halt),
    ] {
        let mut table = third();
        let remember = Remember { promised, accepted, voted };
        let fx = say(&mut table, 2, Body::Remember(remember));
        assert_eq!(halts(&fx), expected, "{promised:?} {accepted:?} {voted:?}");
    }
    // It says so once, and nothing else any more.
    let remember = Remember { promised: Some(Round(1)), accepted, voted };
    assert_eq!(halts(&say(&mut table, 2, Body::Remember(remember))), halt);
    assert_eq!(say(&mut table, 2, Body::Remember(remember)), Effects::default());
    let prepare = Body::Prepare(Prepare { round: Round(1) });
    assert_eq!(say(&mut table, 2, prepare), Effects::default());
}

#[test]
fn another_history_that_is_called_committed_stops_this_node() {
    let other = Entry::chain(Position::GENESIS, [content(8, "x"), content(9, "y")]);
    let [first, second] = [other[0].position(), other[1].position()];
    let entries = |after, contents: &[Content], committed| {
        Body::Entries(Entries { after, entries: contents.to_vec(), committed, more: false })
    };
    let contents = [content(8, "x"), content(9, "y")];
    for body in [
        entries(Position::GENESIS, &contents, second),
        entries(first, &contents[1..], second),
        Body::Refuse(Refuse { promised: None, committed: first }),
    ] {
        let mut table = third();
        let ours = commit(&table);
        let fx = say(&mut table, 2, body.clone());
        assert_eq!(halts(&fx), [Halt::Conflict { peer: node(2), ours, theirs: first }], "{body:?}");
        assert_eq!(fx.persist, []);
    }
    // A hash that its own entries do not have says nothing of a history.
    let mut table = third();
    let wrong = Position { slot: second.slot, hash: first.hash };
    let ours = commit(&table);
    let fx = say(&mut table, 2, entries(ours, &contents[1..], wrong));
    assert_eq!((accused(&fx), halts(&fx)), (vec![node(2)], vec![]));
    assert_eq!(fx.persist, []);
}

#[test]
fn two_entries_of_one_round_in_one_place_stop_who_hears_both() {
    let mut table = third();
    let base = commit(&table);
    let [one, other] = [content(8, "x"), content(9, "y")];
    let [ours, theirs] =
        [&one, &other].map(|content| Entry::after(base, content.clone()).position());
    let fx = say(&mut table, 1, propose(0, base, std::slice::from_ref(&one), base));
    assert!(matches!(&fx.persist[..], [Record::Append { entries, .. }] if entries.len() == 1));
    // The same again changes nothing.
    let again = say(&mut table, 1, propose(0, base, &[one], base));
    assert_eq!(
        (again.persist, halts(&say(&mut table, 1, propose(0, base, &[], base)))),
        (vec![], vec![])
    );
    let fx = say(&mut table, 1, propose(0, base, &[other], base));
    assert_eq!(halts(&fx), [Halt::Conflict { peer: node(1), ours, theirs }]);
    assert_eq!(fx.persist, []);
}

#[test]
fn what_would_replace_a_committed_entry_is_refused() {
    let mut table = third();
    let fx =
        say(&mut table, 1, propose(0, Position::GENESIS, &[content(9, "y")], Position::GENESIS));
    assert!(
        matches!(&fx.send[..], [send] if matches!(send.message.body, Body::Refuse(_))),
        "{fx:?}"
    );
    assert_eq!((halts(&fx), fx.persist), (vec![], vec![]));
}

#[test]
fn two_votes_of_one_round_for_one_place_stop_who_counts_them() {
    let mut table = third();
    let committed = commit(&table);
    let vote = |text: &str| {
        let voted = Entry::after(committed, content(8, text)).position();
        (voted, Body::Vote(Vote::new(Round(0), voted, committed)))
    };
    let ((ours, one), (theirs, other)) = (vote("x"), vote("y"));
    assert_eq!(halts(&say(&mut table, 1, one)), []);
    let fx = say(&mut table, 2, other);
    assert_eq!(halts(&fx), [Halt::Conflict { peer: node(2), ours, theirs }]);
}

#[test]
fn a_member_that_takes_what_is_not_its_own_is_told_of() {
    let mut table = third();
    let base = commit(&table);
    let behind = Entry::after(base, content(9, "y")).position();
    for (from, body) in [
        (2, Body::Prepare(Prepare { round: Round(2) })),
        (2, propose(2, base, &[], base)),
        (
            1,
            Body::Propose(Propose {
                round: Round(3),
                after: behind,
                entries: vec![],
                committed: base,
                adopt: true,
            }),
        ),
    ] {
        let fx = say(&mut table, from, body.clone());
        assert_eq!(accused(&fx), [node(from)], "{body:?}");
        assert_eq!(fx.persist, []);
    }
    let mut beat = beat(&table, 2);
    beat.leads = Some(Round(2));
    let fx = step(&mut table, Input::Beat { from: node(2), beat });
    assert_eq!(accused(&fx), [node(2)]);
}

#[test]
fn a_stranger_and_another_epoch_are_not_heard() {
    let mut table = third();
    let prepare = || Body::Prepare(Prepare { round: Round(4) });
    let (stranger, member, epoch) = (node(9), node(2), Epoch(2));
    let mut candidate = beat(&table, 2);
    candidate.candidate = Some(Round(4));
    let foreign = Beat { epoch, ..candidate };
    for input in [
        Input::Message { from: stranger, message: Message { epoch: EPOCH, body: prepare() } },
        Input::Message { from: member, message: Message { epoch, body: prepare() } },
        Input::Message { from: node(3), message: Message { epoch: EPOCH, body: prepare() } },
        Input::Beat { from: stranger, beat: candidate },
        Input::Beat { from: member, beat: foreign },
    ] {
        assert_eq!(step(&mut table, input.clone()), Effects::default(), "{input:?}");
    }
    // The same words of a member of this epoch are.
    let fx = say(&mut table, 2, prepare());
    assert_eq!(fx.persist, [Record::Promise { round: Round(4) }]);
}

/// The first member led round 0 and comes back without its log: it knows the epoch and nothing else.
fn forgetful_first() -> Table {
    let mut table = third();
    table.kill(node(1));
    let mut disk = State::default();
    let config = table.config.clone();
    disk.apply(&Record::Epoch { config, base: Position::GENESIS }).expect("it fits");
    table.start(node(1), disk);
    table
}

fn step_first(table: &mut Table, input: Input) -> Effects {
    let now = table.now;
    table.seats.get_mut(&node(1)).expect("it runs").machine.step(now, input)
}

#[test]
fn a_proposer_does_not_open_round_0_again_when_another_has_adopted_it() {
    let mut table = forgetful_first();
    let beat = beat(&table, 2);
    assert_eq!(beat.accepted, Some(Round(0)));
    let heard = step_first(&mut table, Input::Beat { from: node(2), beat });
    let ticked = step_first(&mut table, Input::Tick);
    assert_eq!([halts(&heard), halts(&ticked)].concat(), [Halt::Forgot { peer: node(2) }]);
    assert_eq!([heard.persist, ticked.persist].concat(), []);
}

#[test]
fn a_vote_for_more_than_the_proposer_holds_stops_it_before_and_after_its_record_is_synced() {
    for is_synced in [false, true] {
        let mut table = forgetful_first();
        let opened = step_first(&mut table, Input::Tick);
        assert!(matches!(opened.persist[..], [Record::Adopt { round: Round(0), .. }]));
        if is_synced {
            let synced = Input::Synced { through: 1, took: Duration::ZERO };
            step_first(&mut table, synced);
            step_first(&mut table, Input::Tick);
            let standing = table.seats[&node(1)].machine.standing(table.now);
            assert!(standing.leading, "it leads again: nobody has told it otherwise");
        }
        let voted = commit(&table);
        let vote = Vote::new(Round(0), voted, Position::GENESIS);
        let message = Message { epoch: EPOCH, body: Body::Vote(vote) };
        let fx = step_first(&mut table, Input::Message { from: node(2), message });
        assert_eq!(halts(&fx), [Halt::Forgot { peer: node(2) }], "synced: {is_synced}");
        assert_eq!(fx.persist, []);
    }
}
