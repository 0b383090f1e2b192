//! Who is told of a vote, and when (R7).

use super::hand::*;
use super::*;
use crate::consensus::{Entry, Propose};

fn votes(fx: &Effects) -> Vec<(To, Vote)> {
    let vote = |(to, body): (To, Body)| match body {
        Body::Vote(vote) => Some((to, vote)),
        _ => None,
    };
    said(fx).into_iter().filter_map(vote).collect()
}

fn delivered(fx: &Effects) -> Vec<(Slot, Option<(usize, usize)>)> {
    let commit = |event: &Event| match event {
        Event::Committed(commit) => Some((commit.entry.slot(), commit.votes)),
        _ => None,
    };
    fx.publish.iter().filter_map(commit).collect()
}

/// Node 1 of so many, which leads round 0 and is not asked to place anything yet.
fn proposer(members: u128) -> Hand {
    let mut hand = Hand::new(1, members, Settings::default(), &[]);
    hand.work();
    hand.sync();
    hand.work();
    hand
}

/// It places a value, and its own disk has it.
fn place(hand: &mut Hand, id: u128) -> (Position, Vec<(To, Vote)>) {
    hand.step(Input::Submit(proposal(id, "x")));
    let mut told = votes(&hand.work());
    assert_eq!(told, [], "before its sync");
    told.extend(votes(&hand.sync()));
    told.extend(votes(&hand.work()));
    (hand.machine.state().last(), told)
}

fn vote_of(hand: &mut Hand, member: u128, voted: Position) -> Vec<(To, Vote)> {
    let mut told =
        votes(&hand.hear(member, Body::Vote(Vote::new(Round(0), voted, Position::GENESIS))));
    told.extend(votes(&hand.work()));
    told
}

#[test]
fn of_three_the_proposers_own_vote_is_all_that_the_others_lack() {
    let mut hand = proposer(3);
    let (at, told) = place(&mut hand, 1);
    let vote = Vote::new(Round(0), at, Position::GENESIS);
    assert_eq!(told, [(To::Everyone, vote)]);
    assert_eq!(vote_of(&mut hand, 2, at), [], "they know without being told");
    assert_eq!(hand.machine.state().committed, at);
}

#[test]
fn of_three_a_proposer_whose_disk_is_the_last_tells_what_the_others_agreed_on() {
    let mut hand = proposer(3);
    hand.step(Input::Submit(proposal(1, "x")));
    hand.work();
    let at = hand.machine.state().last();
    assert_eq!(vote_of(&mut hand, 2, at), []);
    let told = vote_of(&mut hand, 3, at);
    let vote =
        Vote { committed: at, counted: Some(2), ..Vote::new(Round(0), Position::GENESIS, at) };
    assert_eq!(told, [(To::Everyone, vote)]);
    assert_eq!(votes(&hand.sync()), [], "its own vote is no news then");
}

#[test]
fn of_five_the_proposer_tells_what_a_majority_amounts_to_once_for_all_that_came() {
    let mut hand = proposer(5);
    let (first, told) = place(&mut hand, 1);
    assert_eq!(told, [], "two votes are no majority of five");
    let (second, told) = place(&mut hand, 2);
    assert_eq!(told, []);
    assert_eq!(vote_of(&mut hand, 2, second), []);
    let told = vote_of(&mut hand, 3, first);
    assert_eq!(
        told,
        [(To::Everyone, Vote { counted: Some(3), ..Vote::new(Round(0), second, first) })]
    );
    // Two votes before there is time to speak.
    for member in [3, 4] {
        assert_eq!(votes(&hand.hear(member, Body::Vote(Vote::new(Round(0), second, first)))), []);
    }
    let vote = Vote { counted: Some(4), ..Vote::new(Round(0), second, second) };
    assert_eq!(votes(&hand.work()), [(To::Everyone, vote)]);
}

/// Member 3 of so many holds this entry, and has voted for it, to this or that peer.
fn follower(members: u128) -> (Hand, Entry, Vec<(To, Vote)>) {
    let mut hand = Hand::new(3, members, Settings::default(), &[adopt(0, &[])]);
    hand.work();
    let entry = log(1).remove(0);
    let propose = Propose {
        round: Round(0),
        after: Position::GENESIS,
        entries: vec![entry.content().clone()],
        committed: Position::GENESIS,
        adopt: false,
    };
    hand.hear(1, Body::Propose(propose));
    let mut told = votes(&hand.sync());
    told.extend(votes(&hand.work()));
    (hand, entry, told)
}

#[test]
fn a_follower_votes_to_the_proposer_alone_and_commits_as_soon_as_that_votes_or_tells() {
    for (members, vote, expected) in [
        (3, |at| Vote::new(Round(0), at, Position::GENESIS), Some((2, 3))),
        (5, |at| Vote { counted: Some(4), ..Vote::new(Round(0), at, at) }, Some((4, 5))),
        // What nobody counted, or cannot have, is learnt and nothing more.
        (5, |at| Vote::new(Round(0), at, at), None),
        (5, |at| Vote { counted: Some(2), ..Vote::new(Round(0), at, at) }, None),
        (5, |at| Vote { counted: Some(6), ..Vote::new(Round(0), at, at) }, None),
    ] as [(_, fn(Position) -> Vote, _); 5]
    {
        let (mut hand, entry, told) = follower(members);
        let own = Vote::new(Round(0), entry.position(), Position::GENESIS);
        assert_eq!(told, [(To::One(node(1)), own)]);
        let fx = hand.hear(1, Body::Vote(vote(entry.position())));
        assert_eq!(delivered(&fx), [(Slot(1), expected)], "of {members}");
    }
    // Of a round that is not its own a member tells no count.
    let (mut hand, entry, _) = follower(5);
    let at = entry.position();
    let fx = hand.hear(2, Body::Vote(Vote { counted: Some(3), ..Vote::new(Round(0), at, at) }));
    assert_eq!(delivered(&fx), [(Slot(1), None)]);
}
