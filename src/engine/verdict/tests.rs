//! Cases: what a node sees, and what it says of it.

use super::*;
use crate::consensus::Standing;
use crate::dispatch::Counts;
use crate::engine::Quorum;
use crate::types::{Epoch, Position, Round};

const ME: NodeId = id(1);

const OBSTACLE: &str = "no link with c:8001: it speaks protocol 9, this node 1";

const fn id(n: u128) -> NodeId {
    NodeId::from_u128(n)
}

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

fn well() -> Announcement {
    Announcement {
        accepted: Some(Round(4)),
        voted: Position::GENESIS,
        committed: Position::GENESIS,
        suspects: None,
        candidate: None,
        leads: None,
        is_healthy: true,
    }
}

/// n1, this node, sees itself and the others all well; n2 leads round 4.
fn all_well(members: u128) -> Status {
    let ids: Vec<NodeId> = (1..=members).map(id).collect();
    let others: Vec<NodeId> = ids[1..].to_vec();
    let peer = |id: &NodeId| NodeInfo {
        id: *id,
        name: format!("n{}", u128::from_be_bytes(*id.as_bytes())),
        address: "10.0.0.1".to_owned(),
        port: 8001,
        status: NodeStatus::Online,
        last_seen: Some(at(9_900)),
    };
    let hears = |by: &NodeId| (*by, ids.iter().filter(|id| *id != by).copied().collect());
    let config = EpochConfig::new(Epoch(1), ids.clone());
    let needed = config.quorum();
    Status {
        log: Standing {
            proposer: Some(id(2)),
            config: Some(config),
            round: Round(4),
            led: true,
            leading: false,
            last: Position::GENESIS,
            committed: Position::GENESIS,
            heard: ids.len(),
            pending: 0,
            announces: Some(well()),
            sync_waits: Duration::ZERO,
            is_disk_slow: false,
            others: others
                .iter()
                .map(|id| Seen { id: *id, is_heard: true, announces: Some(well()) })
                .collect(),
        },
        peers: others.iter().map(peer).collect(),
        hears: others.iter().map(hears).collect(),
        objections: Vec::new(),
        quorum: Some(Quorum { heard: ids.len(), needed, is_heard: true }),
        forming: None,
        dispatch: Counts::default(),
        strangers: 0,
    }
}

/// `n` is gone for this node and for whoever is heard.
fn lose(status: &mut Status, n: u128) {
    for peer in status.peers.iter_mut().filter(|peer| peer.id == id(n)) {
        peer.status = NodeStatus::Offline;
        peer.last_seen = Some(at(5_000));
    }
    status.hears.remove(&id(n));
    for hears in status.hears.values_mut() {
        hears.retain(|other| *other != id(n));
    }
    for seen in status.log.others.iter_mut().filter(|seen| seen.id == id(n)) {
        seen.is_heard = false;
    }
}

fn forming(listed: usize, unmet: &[usize], waiting_for: &[u128]) -> Status {
    let waiting_for = waiting_for.iter().map(|n| id(*n)).collect();
    let mut status = all_well(3);
    status.log.config = None;
    status.log.proposer = None;
    status.quorum = None;
    status.forming = Some(Progress { listed, unmet: unmet.to_vec(), waiting_for });
    status
}

fn said(status: &Status) -> Verdict {
    let listed = ["a:8001", "b:8001", "c:8001"].map(str::to_owned);
    // Told where it may be the reason, and only there.
    let why = "c:8001: it speaks protocol 9, this node 1";
    let obstacles = [("c:8001".to_owned(), why.to_owned())];
    Verdict::of(
        status,
        &Situation { me: ME, name: "n1", now: at(10_000), listed: &listed, obstacles: &obstacles },
    )
}

#[track_caller]
fn check(status: &Status, state: Condition, text: &str, because: &[&str]) -> Verdict {
    let verdict = said(status);
    assert_eq!(verdict.text, text);
    assert_eq!(verdict.because, because, "{text}");
    assert_eq!(verdict.state, state, "{text}");
    let calls_for_nothing = verdict.mend.is_empty();
    assert_eq!(calls_for_nothing, state == Condition::Commits, "{text}: {:?}", verdict.mend);
    verdict
}

#[test]
fn all_is_well() {
    let leads = ["n2 leads round 4"];
    check(&all_well(3), Condition::Commits, "3 of 3 heard: commits; can lose 1 more", &leads);
    check(&all_well(5), Condition::Commits, "5 of 5 heard: commits; can lose 2 more", &leads);
    let mut alone = all_well(1);
    alone.log.proposer = Some(ME);
    check(
        &alone,
        Condition::Commits,
        "1 of 1 heard: commits; alone, so nothing may be lost",
        &["this node leads round 4"],
    );
}

#[test]
fn a_member_that_nobody_hears_is_to_be_started() {
    let mut status = all_well(5);
    lose(&mut status, 4);
    lose(&mut status, 5);
    let verdict = check(
        &status,
        Condition::Degraded,
        "3 of 5 heard: commits; can lose 0 more",
        &[
            "n4 is offline: last heard 5 s ago, and nobody heard here hears it",
            "n5 is offline: last heard 5 s ago, and nobody heard here hears it",
            OBSTACLE,
        ],
    );
    assert_eq!(
        verdict.mend,
        ["start n4, or mend the network to it", "start n5, or mend the network to it"]
    );
}

#[test]
fn a_member_that_others_hear_is_behind_a_broken_path() {
    let mut status = all_well(3);
    lose(&mut status, 3);
    status.hears.insert(id(2), vec![ME, id(3)]);
    let verdict = check(
        &status,
        Condition::Degraded,
        "2 of 3 heard: commits; can lose 0 more",
        &["n3 is not heard here (last heard 5 s ago), but n2 hears it", OBSTACLE],
    );
    assert_eq!(verdict.mend, ["mend the network between this node and n3"]);
}

/// These two do not hear each other, and this node hears both.
fn cut(status: &mut Status, one: u128, other: u128) {
    for (by, whom) in [(one, other), (other, one)] {
        let hears = status.hears.get_mut(&id(by)).expect("it is heard");
        hears.retain(|heard| *heard != id(whom));
    }
}

#[test]
fn members_that_do_not_hear_each_other_are_named() {
    let mut status = all_well(3);
    status.hears.insert(id(2), vec![ME]);
    let text = "3 of 3 heard: commits; can lose 0 more";
    check(&status, Condition::Degraded, text, &["n2 does not hear n3"]);
    cut(&mut status, 2, 3);
    let verdict = check(&status, Condition::Degraded, text, &["n2 and n3 do not hear each other"]);
    assert_eq!(verdict.mend, ["mend the network between n2 and n3"]);
}

#[test]
fn what_may_be_lost_is_counted_by_the_links_that_are_left() {
    let can_lose = |status: &Status| {
        let text = said(status).text;
        text.strip_prefix("5 of 5 heard: commits; can lose ").expect("it commits").to_owned()
    };
    // Three of five hear everybody: two of them may go, the third still reaches three.
    let mut status = all_well(5);
    cut(&mut status, 4, 5);
    assert_eq!(can_lose(&status), "2 more");
    // A bridge between two halves: this node alone reaches more than three.
    for (one, other) in [(2, 4), (2, 5), (3, 4), (3, 5)] {
        cut(&mut status, one, other);
    }
    assert_eq!(can_lose(&status), "0 more");
    assert!(
        said(&status).because.contains(&"n2 does not hear n4 and n5, nor do they hear it".into())
    );
    let each = "mend the network between n2 and each of n4 and n5".to_owned();
    assert!(said(&status).mend.contains(&each));
}

#[test]
fn without_a_majority_nothing_commits() {
    let mut status = all_well(5);
    for n in 3..=5 {
        lose(&mut status, n);
    }
    status.peers[1].status = NodeStatus::Suspected;
    status.peers[1].last_seen = Some(at(9_100));
    status.peers[3].last_seen = None;
    check(
        &status,
        Condition::NoQuorum,
        "2 of 5 heard, 3 needed: nothing commits here",
        &[
            "n3 is suspected: last heard 900 ms ago, and nobody heard here hears it",
            "n4 is offline: last heard 5 s ago, and nobody heard here hears it",
            "n5 is offline: never heard since this node's start, and nobody heard here hears it",
            OBSTACLE,
        ],
    );
}

#[test]
fn a_slow_disk_is_named_here_and_elsewhere() {
    let mut status = all_well(3);
    status.log.others[1].announces = Some(Announcement { is_healthy: false, ..well() });
    let slow = ["the disk of n3 is slow: it says so itself"];
    check(&status, Condition::Degraded, "3 of 3 heard: commits; can lose 1 more", &slow);

    let mut status = all_well(3);
    (status.log.is_disk_slow, status.log.sync_waits) = (true, Duration::from_millis(1_200));
    check(
        &status,
        Condition::SlowDisk,
        "3 of 3 heard, but this node's disk is too slow to vote in time",
        &["a record has waited 1200 ms for its sync"],
    );
    status.log.sync_waits = Duration::ZERO;
    assert_eq!(said(&status).because, ["a sync took too long a moment ago"]);
}

#[test]
fn an_unhealthy_member_that_hears_nobody_has_no_slow_disk() {
    let mut status = all_well(3);
    status.hears.insert(id(3), Vec::new());
    status.log.others[1].announces = Some(Announcement { is_healthy: false, ..well() });
    let text = "3 of 3 heard: commits; can lose 0 more";
    let because = ["n3 does not hear n2 and n1", "n3 hears only 1 of 3 members"];
    check(&status, Condition::Degraded, text, &because);
    // A quorum is enough: something else is wrong with it then.
    status.hears.insert(id(3), vec![id(2)]);
    let because = ["n3 does not hear n1", "the disk of n3 is slow: it says so itself"];
    check(&status, Condition::Degraded, text, &because);
}

#[test]
fn a_contested_round_says_whose_turn_it_is_and_who_wants_it() {
    let mut status = all_well(3);
    (status.log.led, status.log.round) = (false, Round(7));
    let text = "3 of 3 heard, but round 7 is not led yet";
    check(&status, Condition::Contested, text, &["it is the turn of n2"]);
    status.log.others[0].announces = Some(Announcement { candidate: Some(Round(7)), ..well() });
    check(&status, Condition::Contested, text, &["n2 wants to lead round 7"]);
    let suspects = Announcement { suspects: Some(Round(7)), ..well() };
    status.log.others[0].announces = None;
    status.log.others[1].announces = Some(suspects);
    status.log.announces = Some(suspects);
    let because = ["it is the turn of n2", "n3 and n1 suspect n2"];
    check(&status, Condition::Contested, text, &because);
}

#[test]
fn a_member_far_behind_catches_up() {
    let mut status = all_well(3);
    status.log.committed.slot = Slot(5_000);
    for seen in &mut status.log.others {
        let mut announces = well();
        announces.committed.slot = Slot(4_990);
        seen.announces = Some(announces);
    }
    assert_eq!(said(&status).state, Condition::Commits);
    status.log.others[1].announces = Some(well());
    let verdict = said(&status);
    assert_eq!(verdict.state, Condition::Degraded);
    assert_eq!(verdict.because, ["n3 is 5000 slots behind, and catches up"]);
}

#[test]
fn before_it_is_formed_it_says_whom_it_waits_for() {
    let verdict = check(
        &forming(3, &[1, 2], &[]),
        Condition::Forming,
        "not formed yet: 1 of 3 listed nodes met; waits for b:8001 and c:8001",
        &[OBSTACLE],
    );
    assert_eq!(
        verdict.mend,
        ["start the node at b:8001 and c:8001, or correct the list on every machine"]
    );
    let waits = said(&forming(3, &[], &[3]));
    assert_eq!(waits.state, Condition::Forming);
    assert_eq!(
        waits.text,
        "not formed yet: all listed nodes are met; waits for n3 to have met them, too"
    );
    let mut recording = forming(3, &[], &[]);
    recording.forming = None;
    assert_eq!(said(&recording).text, "the cluster forms at this moment");
}

#[test]
fn lists_that_differ_and_strangers_are_named() {
    let mut status = forming(3, &[], &[3]);
    let (theirs, ours) = (vec![id(1), id(2), id(9)], vec![id(1), id(2), id(3)]);
    status.objections = vec![peers::Event::ListsDiffer { peer: id(3), theirs, ours }];
    check(
        &status,
        Condition::ShutOut,
        "not formed: the lists of peers differ",
        &["the lists differ: n3 has met n1, n2 and 00000000, this node n1, n2 and n3", OBSTACLE],
    );

    let mut status = forming(3, &[], &[3]);
    let members = vec![id(2), id(3)];
    status.objections = vec![peers::Event::NotAMember { node: ME, members: members.clone() }];
    check(
        &status,
        Condition::ShutOut,
        "this node is no member of the cluster that it lists",
        &["the cluster was formed of n2 and n3", OBSTACLE],
    );

    let mut status = all_well(3);
    status.objections = vec![peers::Event::NotAMember { node: id(9), members }];
    check(
        &status,
        Condition::Degraded,
        "3 of 3 heard: commits; can lose 1 more",
        &[
            "00000000 wants to belong and is no member: its data directory is new or another one's",
            OBSTACLE,
        ],
    );
}
