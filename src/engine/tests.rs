//! Two and three engines: what they say of peers, texts, the cluster and values.

mod net;

use std::time::Duration;

use super::*;
use crate::consensus::{self, EpochConfig, Proposal, State};
use crate::limits;
use crate::peers::NodeStatus;
use crate::types::{Epoch, MessageId, NodeId, Position, ProposalId, Round, Slot, Time, Value};
use crate::wire::{HeartBeat, Message, MessageType, Payload};
use net::Net;

const BEAT: Duration = Duration::from_millis(100);
const SUSPECT_AFTER: Duration = Duration::from_millis(600);
const ID: MessageId = MessageId::from_u128(77);

fn id(n: u128) -> NodeId {
    NodeId::from_u128(n)
}

fn settings(listed: usize) -> Settings {
    let consensus = consensus::Settings { suspect_after: SUSPECT_AFTER, ..Default::default() };
    Settings { heartbeat_interval: BEAT, listed, consensus }
}

fn count<T: PartialEq>(items: &[T], wanted: &T) -> usize {
    items.iter().filter(|item| *item == wanted).count()
}

fn text(node: u128, to: Option<u128>) -> (u128, Input) {
    (node, Input::Send { id: ID, to: to.map(id), text: "hello".into() })
}

fn received(from: u128) -> Event {
    Event::Received { id: ID, from: id(from), text: "hello".into() }
}

fn acknowledged(by: u128) -> Event {
    Event::Acknowledged { id: ID, by: id(by) }
}

fn sent<const B: usize, const M: usize>(by: [u128; B], missing: [u128; M]) -> Event {
    Event::Sent { id: ID, by: by.map(id).into(), missing: missing.map(id).into() }
}

#[test]
fn linked_engines_are_online_and_stay_so() {
    let mut net = Net::linked(3);
    let quorum = Event::Quorum { heard: 2, needed: 2 };
    assert_eq!(count(&net.told(1), &quorum), 1);
    assert_eq!(net.statuses(2), [(id(1), NodeStatus::Online), (id(3), NodeStatus::Online)]);
    net.carried.clear();
    net.pass(Duration::from_secs(10));
    assert_eq!(net.statuses(1), []);
    assert_eq!(net.statuses(2), []);
    let beats = count(&net.carried, &(id(1), id(2), MessageType::HeartBeat));
    assert!((99..=101).contains(&beats), "{beats} heartbeats in ten seconds");
}

#[test]
fn a_new_link_is_greeted_with_a_heartbeat_at_once() {
    let mut net = Net::formed(2);
    // Their own are not due yet.
    net.pass(BEAT / 10);
    net.link(1, 2);
    assert_eq!(count(&net.carried, &(id(1), id(2), MessageType::HeartBeat)), 1);
    assert_eq!(count(&net.carried, &(id(2), id(1), MessageType::HeartBeat)), 1);
}

#[test]
fn any_frame_of_a_peer_is_a_sign_of_life() {
    for payload in [Payload::Ping(Default::default()), Payload::Pong(Default::default())] {
        let mut net = Net::linked(2);
        net.told(1);
        net.engines.remove(&id(2));
        for _ in 0..20 {
            net.pass(SUSPECT_AFTER / 2);
            let (from, payload) = (id(2), payload.clone());
            let message = Message { id: ID, from, to: Some(id(1)), timestamp: 0, payload };
            net.input(1, Input::Frame(message));
        }
        assert_eq!(net.statuses(1), [], "{payload:?}");
    }
}

#[test]
fn a_silent_peer_is_asked_and_then_given_up_within_the_bounds() {
    let mut net = Net::linked(3);
    net.told(1);
    // It hangs: its links stand, nothing comes.
    net.engines.remove(&id(3));
    net.pass(SUSPECT_AFTER);
    assert_eq!(net.statuses(1), []);
    net.pass(BEAT);
    assert_eq!(net.statuses(1), [(id(3), NodeStatus::Suspected)]);
    net.pass(2 * SUSPECT_AFTER);
    assert_eq!(net.statuses(1), [(id(3), NodeStatus::Offline)]);
}

#[test]
fn a_peer_that_another_hears_stays_suspected() {
    let mut net = Net::linked(3);
    net.told(1);
    net.links.retain(|link| ![(id(1), id(3)), (id(3), id(1))].contains(link));
    net.pass(Duration::from_secs(10));
    assert_eq!(net.statuses(1), [(id(3), NodeStatus::Suspected)]);
    net.kill(2);
    net.pass(Duration::from_secs(3));
    assert!(net.statuses(1).contains(&(id(3), NodeStatus::Offline)));
}

#[test]
fn who_is_heard_by_others_alone_is_no_quorum_for_long() {
    let mut net = Net::linked(5);
    net.told(1);
    for lost in [2, 4, 5] {
        net.links.retain(|link| ![(id(1), id(lost)), (id(lost), id(1))].contains(link));
    }
    net.pass(2 * SUSPECT_AFTER);
    let quorum = net.engines[&id(1)].status(net.now).quorum;
    assert_eq!(quorum, Some(Quorum { heard: 2, needed: 3, is_heard: true }), "it may pass");
    net.pass(2 * SUSPECT_AFTER);
    let quorum = Quorum { heard: 2, needed: 3, is_heard: false };
    assert_eq!(net.engines[&id(1)].status(net.now).quorum, Some(quorum));
    assert_eq!(count(&net.told(1), &Event::Quorum { heard: 2, needed: 3 }), 1);
    net.link(1, 2);
    assert_eq!(count(&net.told(1), &Event::Quorum { heard: 3, needed: 3 }), 1);
}

#[test]
fn a_killed_peer_is_offline_after_two_refusals_and_back_with_its_link() {
    let mut net = Net::linked(2);
    net.told(1);
    net.kill(2);
    assert_eq!(net.statuses(1), [(id(2), NodeStatus::Suspected)]);
    // It counts as heard no longer, and is not given up yet.
    let quorum = net.engines[&id(1)].status(net.now).quorum;
    assert_eq!(quorum, Some(Quorum { heard: 1, needed: 2, is_heard: true }));
    net.input(1, Input::DialRefused { peer: id(2) });
    assert_eq!(net.told(1), []);
    net.input(1, Input::DialRefused { peer: id(2) });
    let events = net.told(1);
    assert!(matches!(&events[0], Event::Peer(peer) if peer.status == NodeStatus::Offline));
    assert_eq!(events[1], Event::Quorum { heard: 1, needed: 2 });
    net.link(1, 2);
    let events = net.told(1);
    assert!(matches!(&events[0], Event::Peer(peer) if peer.status == NodeStatus::Online));
    assert_eq!(events[1], Event::Quorum { heard: 2, needed: 2 });
}

#[test]
fn who_leaves_is_offline_at_once() {
    let mut net = Net::linked(2);
    net.told(1);
    net.input(2, Input::Leave);
    net.kill(2);
    assert_eq!(net.statuses(1), [(id(2), NodeStatus::Offline)]);
}

#[test]
fn a_proposer_that_leaves_is_followed_at_once() {
    let mut net = Net::linked(3);
    let log = |net: &Net, node| net.engines[&id(node)].status(net.now).log;
    let proposer = (1..=3).find(|node| log(&net, *node).leading).expect("one of them leads");
    net.input(proposer, Input::Leave);
    net.kill(proposer);
    net.pass(SUSPECT_AFTER / 4);
    for node in (1..=3).filter(|node| *node != proposer) {
        let log = log(&net, node);
        assert_eq!((log.round > Round(0), log.led), (true, true), "as {node} sees it");
    }
}

#[test]
fn a_paused_engine_suspects_nobody_when_it_wakes() {
    let mut net = Net::linked(3);
    let paused = net.engines.remove(&id(1)).expect("it runs");
    net.pass(Duration::from_secs(30));
    net.engines.insert(id(1), paused);
    net.told(1);
    net.pass(Duration::from_secs(1));
    assert_eq!(net.statuses(1), []);
}

#[test]
fn a_broadcast_is_delivered_once_to_each_and_acknowledged() {
    let mut net = Net::linked(3);
    (1..=3).for_each(|node| drop(net.told(node)));
    let (node, input) = text(1, None);
    net.input(node, input);
    assert_eq!(net.told(1), [acknowledged(2), acknowledged(3), sent([2, 3], [])]);
    assert_eq!(net.told(2), [received(1)]);
    assert_eq!(net.told(3), [received(1)]);
}

#[test]
fn a_text_for_one_is_delivered_to_it_alone() {
    let mut net = Net::linked(3);
    (1..=3).for_each(|node| drop(net.told(node)));
    let (node, input) = text(1, Some(3));
    net.input(node, input);
    assert_eq!(net.told(1), [acknowledged(3), sent([3], [])]);
    assert_eq!(net.told(2), []);
    assert_eq!(net.told(3), [received(1)]);
}

#[test]
fn a_lost_acknowledgement_is_repaired_without_a_second_delivery() {
    let mut net = Net::linked(2);
    (1..=2).for_each(|node| drop(net.told(node)));
    net.lost = vec![MessageType::Pong];
    let (node, input) = text(1, None);
    net.input(node, input);
    net.pass(4 * limits::RESEND_AFTER);
    assert_eq!(net.told(1), []);
    net.lost.clear();
    net.pass(4 * limits::RESEND_AFTER);
    assert_eq!(net.told(1), [acknowledged(2), sent([2], [])]);
    assert_eq!(net.told(2), [received(1)]);
}

#[test]
fn a_text_is_sent_again_when_the_link_is_back() {
    let mut net = Net::linked(2);
    net.lost = vec![MessageType::Data];
    let (node, input) = text(1, None);
    net.input(node, input);
    net.unlink(1, 2);
    net.lost.clear();
    (1..=2).for_each(|node| drop(net.told(node)));
    net.link(1, 2);
    assert_eq!(count(&net.told(2), &received(1)), 1);
    assert_eq!(count(&net.told(1), &sent([2], [])), 1);
}

#[test]
fn a_text_that_nobody_acknowledges_is_given_up() {
    let mut net = Net::linked(2);
    net.lost = vec![MessageType::Data];
    net.told(1);
    let (node, input) = text(1, None);
    net.input(node, input);
    net.pass(limits::UNACKNOWLEDGED_AGE_MAX);
    assert_eq!(net.told(1), [sent([], [2])]);
}

#[test]
fn a_stranger_is_named_and_not_heard() {
    let mut net = Net::linked(2);
    let stranger = id(9);
    let address = "127.0.0.1:9".to_owned();
    net.input(1, Input::LinkUp { peer: stranger, name: "n9".into(), address });
    net.told(1);
    let frame =
        |payload| Input::Frame(Message { id: ID, from: stranger, to: None, timestamp: 0, payload });
    net.input(1, frame(Payload::Data("let me in".into())));
    let expected = Event::NotAMember { node: stranger, members: vec![id(1), id(2)] };
    assert_eq!(net.told(1), std::slice::from_ref(&expected));
    let mut beat = HeartBeat::default();
    beat.peers.founders = Some(vec![id(1), stranger]);
    net.input(1, frame(Payload::HeartBeat(beat)));
    assert_eq!(net.told(1), [expected]);
    net.input(1, Input::LinkDown { peer: stranger });
    assert_eq!(net.told(1), []);
    assert_eq!(net.engines[&id(1)].status(net.now).strangers, 2);
}

#[test]
fn a_node_without_a_list_is_a_cluster_of_one_at_once() {
    let mut net = Net::unformed([0]);
    net.pass(Duration::ZERO);
    let engine = &net.engines[&id(1)];
    assert_eq!(engine.epoch(), Some(&EpochConfig::new(Epoch(1), [id(1)])));
    assert_eq!(count(&net.told(1), &Event::Quorum { heard: 1, needed: 1 }), 1);
}

#[test]
fn founders_that_meet_form_the_first_epoch_without_waiting_for_a_timer() {
    let mut net = Net::unformed([3, 2, 3]);
    net.link_all(3);
    net.meet(1, [1, 2, 3]);
    net.meet(2, [1, 3]);
    assert!(net.engines.values().all(|engine| engine.epoch().is_none()));
    net.meet(3, [3, 2, 1]);
    let config = EpochConfig::new(Epoch(1), (1..=3).map(id));
    for (node, engine) in &net.engines {
        assert_eq!(engine.epoch(), Some(&config), "{node}");
        assert_eq!(engine.status(net.now).forming, None);
    }
    for node in 1..=3 {
        let events = net.told(node);
        assert!(events.iter().any(|event| matches!(event, Event::Quorum { .. })), "{node}");
    }
}

#[test]
fn a_founder_that_missed_the_start_joins_when_it_is_back() {
    let mut net = Net::unformed([3, 3, 3]);
    net.link_all(3);
    net.meet(2, [1, 2, 3]);
    net.meet(3, [1, 2, 3]);
    // The last announcement reaches 2 and 3; what they answer is lost with 1's process.
    let fresh = net.engines[&id(1)].clone();
    net.meet(1, [1, 2, 3]);
    net.kill(1);
    net.engines.insert(id(1), fresh);
    // Whoever of the others is there is enough.
    net.link(1, 2);
    net.meet(1, [1, 2]);
    assert_eq!(net.engines[&id(1)].epoch(), net.engines[&id(2)].epoch());
    assert!(net.engines[&id(1)].epoch().is_some());
}

#[test]
fn other_lists_form_nothing_and_are_told() {
    let mut net = Net::unformed([2, 3]);
    net.link(1, 2);
    net.meet(1, [1, 2]);
    net.meet(2, [1, 2, 9]);
    net.pass(Duration::from_secs(1));
    let (short, long) = (vec![id(1), id(2)], vec![id(1), id(2), id(9)]);
    let differ = Event::ListsDiffer { peer: id(2), theirs: long.clone(), ours: short.clone() };
    assert_eq!(count(&net.told(1), &differ), 1);
    let differ = Event::ListsDiffer { peer: id(1), theirs: short, ours: long };
    assert_eq!(count(&net.told(2), &differ), 1);
    assert!(net.engines.values().all(|engine| engine.epoch().is_none()));
}

#[test]
fn three_engines_commit_a_value_taken_by_any_of_them() {
    let mut net = Net::linked(3);
    for node in 1..=3 {
        net.input(node, Input::Submit(proposal(node)));
        net.pass(BEAT);
    }
    for node in 1..=3 {
        assert_eq!(net.committed(node), ["value 1", "value 2", "value 3"], "at {node}");
    }
}

#[test]
fn a_killed_proposer_is_replaced_as_soon_as_its_redial_is_refused() {
    let mut net = Net::linked(3);
    net.input(1, Input::Submit(proposal(1)));
    net.pass(BEAT);
    let proposer = net.engines[&id(1)].status(net.now).log.proposer.expect("it leads");
    let survivors: Vec<u128> = (1..=3).filter(|node| id(*node) != proposer).collect();
    let gone = (1..=3).find(|node| id(*node) == proposer).expect("a member");
    net.kill(gone);
    for survivor in &survivors {
        net.input(*survivor, Input::DialRefused { peer: proposer });
    }
    net.input(survivors[0], Input::Submit(proposal(2)));
    net.pass(SUSPECT_AFTER / 2);
    for survivor in survivors {
        assert_eq!(net.committed(survivor), ["value 1", "value 2"], "at {survivor}");
    }
}

#[test]
fn what_the_log_serves_is_named_for_who_asked_in_the_epoch_under_way() {
    let mut net = Net::linked(2);
    let committed = Position::GENESIS;
    let (from, through, messages) = (Slot(1), Slot(1), 1);
    let serve = consensus::Serve { to: id(2), from, through, committed, messages };
    let engine = net.engines.get_mut(&id(1)).expect("it runs");
    let (outgoing, next) = engine.served(serve, Position::GENESIS, &[]);
    assert_eq!(next, None, "there is no more");
    assert_eq!(outgoing.to, Recipients::One(id(2)));
    let entries =
        consensus::Entries { after: committed, entries: Vec::new(), committed, more: false };
    let body = consensus::Body::Entries(entries);
    let said = consensus::Message { epoch: Epoch(1), body };
    assert_eq!(outgoing.payload, Payload::Consensus(said));
}

#[test]
fn a_minority_commits_nothing() {
    let mut net = Net::linked(3);
    net.unlink(1, 2);
    net.unlink(1, 3);
    net.input(1, Input::Submit(proposal(1)));
    net.pass(Duration::from_secs(5));
    assert_eq!(net.committed(1), Vec::<String>::new());
    net.link(1, 2);
    net.link(1, 3);
    net.pass(Duration::from_secs(5));
    for node in 1..=3 {
        assert_eq!(net.committed(node), ["value 1"], "at {node}");
    }
}

fn proposal(n: u128) -> Proposal {
    let value = Value::new(format!("value {n}")).expect("a short value");
    Proposal { id: ProposalId::from_u128(n), value, until: None }
}
