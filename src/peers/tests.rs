//! The peers machine under a told clock: what it promises, over many seeds.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::*;
use crate::types::{NodeId, Time};

const ME: NodeId = NodeId::from_u128(1);
const PEER: NodeId = NodeId::from_u128(2);
const THIRD: NodeId = NodeId::from_u128(3);
const BEAT: u64 = 100;
const SUSPECT_AFTER: u64 = 600;

fn seeded(seed: u64) -> Config {
    Config { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() }
}

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

fn machine(me: NodeId, listed: usize) -> Machine {
    let settings = Settings {
        heartbeat_interval: Duration::from_millis(BEAT),
        suspect_after: Duration::from_millis(SUSPECT_AFTER),
        listed,
    };
    Machine::new(me, settings, at(0))
}

/// A member of a cluster of two, linked with the other.
fn linked() -> Machine {
    let mut machine = machine(ME, 1);
    machine.step(at(0), Input::Formed { members: vec![ME, PEER], is_first: true });
    link(&mut machine, PEER);
    machine
}

fn link(machine: &mut Machine, peer: NodeId) -> Effects {
    let (name, address) = ("n".to_owned(), "host:1".to_owned());
    machine.step(at(0), Input::LinkUp { peer, name, address })
}

fn wake(machine: &Machine) -> u64 {
    let wake = machine.wake().expect("a linked machine beats").since_start();
    u64::try_from(wake.as_millis()).expect("a short test")
}

fn statuses(effects: &Effects) -> Vec<NodeStatus> {
    let status = |event: &Event| match event {
        Event::Status(info) => Some(info.status),
        Event::ListsDiffer { .. } | Event::NotAMember { .. } | Event::Misbehaved { .. } => None,
    };
    effects.publish.iter().filter_map(status).collect()
}

#[test]
fn a_silent_peer_is_asked_directly_and_its_answer_clears_it() {
    let mut machine = linked();
    let mut asked = Vec::new();
    while asked.is_empty() {
        let now = wake(&machine);
        asked = machine.step(at(now), Input::Tick).ping;
        assert!(now <= SUSPECT_AFTER + BEAT);
    }
    assert_eq!(asked, [PEER]);
    let effects = machine.step(at(wake(&machine)), Input::Heard(PEER));
    assert_eq!(statuses(&effects), [NodeStatus::Online]);
}

#[test]
fn who_was_deaf_asks_nobody_why_they_are_silent() {
    for deaf in [false, true] {
        let mut machine = linked();
        let mut asked = false;
        while wake(&machine) <= 4 * SUSPECT_AFTER {
            let now = at(wake(&machine));
            if deaf {
                machine.step(now, Input::Deaf);
            }
            asked |= !machine.step(now, Input::Tick).ping.is_empty();
        }
        assert_eq!(asked, !deaf);
    }
}

#[test]
fn a_link_beyond_what_the_table_holds_is_not_heard() {
    let mut machine = linked();
    for n in 10..1_000 {
        link(&mut machine, NodeId::from_u128(n));
        assert!(machine.is_sound());
    }
    let crowded_out = NodeId::from_u128(999);
    assert!(!machine.is_linked(crowded_out) && !machine.belongs(crowded_out));
    assert!(machine.is_linked(PEER) && machine.belongs(PEER));
}

#[test]
fn a_broken_link_is_no_link() {
    let mut machine = linked();
    assert!(machine.has_links() && machine.is_linked(PEER));
    machine.step(at(1), Input::LinkDown { peer: PEER });
    assert!(!machine.has_links() && !machine.is_linked(PEER));
}

#[test]
fn a_peers_heartbeat_brings_the_own_one_where_that_is_due_soon() {
    let mut machine = linked();
    machine.step(at(0), Input::Tick);
    for (now, is_brought, next) in [
        (49, false, BEAT),
        (50, true, 50 + BEAT),
        (50, false, 50 + BEAT),
        (99, false, 50 + BEAT),
        (149, true, 149 + BEAT),
    ] {
        let beat = Input::Beat { from: PEER, beat: Beat::default() };
        assert_eq!(machine.step(at(now), beat).beat, is_brought, "at {now}");
        assert_eq!(wake(&machine), next, "at {now}");
    }
    // What is brought along is judged with it, too.
    let mut machine = linked();
    machine.step(at(0), Input::Formed { members: vec![ME, PEER, THIRD], is_first: false });
    link(&mut machine, THIRD);
    let mut suspected = Vec::new();
    for now in (0..=SUSPECT_AFTER + BEAT).step_by(50) {
        let beat = Input::Beat { from: PEER, beat: Beat::default() };
        suspected.extend(machine.step(at(now), beat).ping);
    }
    assert_eq!(suspected, [THIRD]);
}

#[test]
fn who_says_that_it_leaves_is_lost_once() {
    let mut machine = linked();
    let leaving = Beat { leaving: true, ..Beat::default() };
    let mut tell = || machine.step(at(1), Input::Beat { from: PEER, beat: leaving.clone() }).lost;
    assert_eq!(tell(), [PEER]);
    assert_eq!(tell(), []);
}

#[test]
fn a_member_is_told_of_with_whom_it_hears_while_it_is_online_and_what_stands_against_it() {
    let mut machine = linked();
    let (hears, theirs) = (vec![ME], vec![ME, PEER, NodeId::from_u128(3)]);
    let beat = Beat { hears: hears.clone(), founders: Some(theirs.clone()), ..Beat::default() };
    machine.step(at(1), Input::Beat { from: PEER, beat });
    let differ = Event::ListsDiffer { peer: PEER, theirs, ours: vec![ME, PEER] };
    assert_eq!(machine.objections().collect::<Vec<_>>(), [&differ]);
    assert_eq!(machine.views().collect::<Vec<_>>(), [(PEER, &hears[..])]);
    machine.step(at(1), Input::LinkDown { peer: PEER });
    assert_eq!(machine.views().count(), 0);
    let known: Vec<_> = machine.infos().map(|info| (info.id, info.status)).collect();
    assert_eq!(known, [(PEER, NodeStatus::Suspected)]);
}

#[test]
fn before_the_forming_all_who_link_are_told_of_and_then_the_members_alone() {
    let mut machine = machine(ME, 1);
    let stranger = NodeId::from_u128(3);
    for peer in [PEER, stranger] {
        link(&mut machine, peer);
    }
    let known = |machine: &Machine| machine.infos().map(|info| info.id).collect::<Vec<_>>();
    assert_eq!(known(&machine), [PEER, stranger]);
    machine.step(at(0), Input::Formed { members: vec![ME, PEER], is_first: true });
    assert_eq!(known(&machine), [PEER]);
    assert!(machine.is_linked(stranger));
}

#[test]
fn how_far_the_forming_has_come_is_told_until_it_is_done() {
    let mut machine = machine(ME, 2);
    assert_eq!(machine.progress().map(|progress| progress.unmet), Some(vec![0, 1]));
    machine.step(at(0), Input::Formed { members: vec![ME, PEER], is_first: true });
    assert_eq!(machine.progress(), None);
}

#[test]
fn a_node_alone_asks_for_no_wake() {
    let mut machine = machine(ME, 0);
    assert_eq!(machine.wake(), Some(at(0)));
    assert_eq!(machine.step(at(0), Input::Tick).found, Some(vec![ME]));
    machine.step(at(0), Input::Formed { members: vec![ME], is_first: true });
    assert_eq!(machine.wake(), None);
}

proptest! {
    #![proptest_config(seeded(1))]

    /// Frames come at gaps within the bound; the own loop is late at will, and takes what
    /// came meanwhile after the tick that it missed.
    #[test]
    fn a_peer_that_lives_is_never_suspected(
        gaps in prop::collection::vec(1..=SUSPECT_AFTER - BEAT, 50),
        lateness in prop::collection::vec(prop_oneof![3 => Just(0), 1 => 0..5_000_u64], 200),
    ) {
        let mut machine = linked();
        let mut frames = gaps.iter().scan(0, |sum, gap| { *sum += gap; Some(*sum) }).peekable();
        for late in lateness {
            let tick = wake(&machine) + late;
            while late == 0 && let Some(frame) = frames.next_if(|frame| *frame < tick) {
                prop_assert_eq!(statuses(&machine.step(at(frame), Input::Heard(PEER))), []);
            }
            prop_assert_eq!(statuses(&machine.step(at(tick), Input::Tick)), []);
            while frames.next_if(|frame| *frame <= tick).is_some() {
                prop_assert_eq!(statuses(&machine.step(at(tick), Input::Heard(PEER))), []);
            }
            if frames.peek().is_none() {
                break;
            }
        }
    }

    #[test]
    fn a_dead_peer_is_suspected_and_then_offline_within_the_bounds(
        gaps in prop::collection::vec(1..=SUSPECT_AFTER, 0..20),
    ) {
        let mut machine = linked();
        let mut died = 0;
        for gap in gaps {
            while wake(&machine) <= died + gap {
                machine.step(at(wake(&machine)), Input::Tick);
            }
            died += gap;
            machine.step(at(died), Input::Heard(PEER));
        }
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let now = wake(&machine);
            let told = statuses(&machine.step(at(now), Input::Tick));
            seen.extend(told.into_iter().map(|status| (status, now)));
            prop_assert!(now <= died + 3 * SUSPECT_AFTER + BEAT, "{:?} at {}", seen, now);
        }
        prop_assert_eq!((seen[0].0, seen[1].0), (NodeStatus::Suspected, NodeStatus::Offline));
        let (suspected, offline) = (seen[0].1 - died, seen[1].1 - died);
        prop_assert!(suspected > SUSPECT_AFTER && suspected <= SUSPECT_AFTER + BEAT);
        prop_assert!(offline > 3 * SUSPECT_AFTER && offline <= 3 * SUSPECT_AFTER + BEAT);
    }

    /// Lists as operators write them, heartbeats in any order, some lost.
    #[test]
    fn two_formed_clusters_never_share_a_founder(
        lists in prop::collection::vec(prop::collection::btree_set(1..=4_u128, 1..=4), 4),
        same in any::<bool>(),
        beats in prop::collection::vec((0..4_usize, 0..4_usize), 0..60),
    ) {
        let lists: Vec<_> =
            lists.iter().map(|list| if same { &lists[0] } else { list }.clone()).collect();
        let ids: Vec<_> = (1..=4).map(NodeId::from_u128).collect();
        let mut machines: Vec<_> =
            ids.iter().zip(&lists).map(|(me, list)| machine(*me, list.len())).collect();
        for (machine, list) in machines.iter_mut().zip(&lists) {
            ids.iter().for_each(|peer| drop(link(machine, *peer)));
            for (listed, node) in list.iter().enumerate() {
                machine.step(at(0), Input::Met { listed, node: NodeId::from_u128(*node) });
            }
        }
        let mut formed: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        for (from, to) in beats.into_iter().filter(|(from, to)| from != to) {
            let beat = Input::Beat { from: ids[from], beat: machines[from].beat() };
            let effects = machines[to].step(at(0), beat);
            prop_assert!(machines[to].is_sound());
            if let Some(members) = effects.found {
                prop_assert!(members.contains(&ids[to]));
                prop_assert!(formed.insert(ids[to], members.clone()).is_none(), "formed twice");
                machines[to].step(at(0), Input::Formed { members, is_first: true });
            }
        }
        for (node, members) in &formed {
            for other in members {
                let theirs = formed.get(other);
                prop_assert!(theirs.is_none_or(|theirs| theirs == members), "{node} and {other}");
            }
        }
    }
}
