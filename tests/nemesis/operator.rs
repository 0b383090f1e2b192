//! What an operator is told when a disk refuses, and the exit codes that only trouble brings.

use std::fs::OpenOptions;
use std::process::Output;
use std::time::Duration;

use quorate::admin::Client;
use quorate::admin::api::{ProposeOutcome, ProposeRequest};
use quorate::types::{ProposalId, Slot};

use crate::cluster::{Cluster, Net};
use crate::program::{eventually, program};
use crate::shim::{EIO, Orders, Shim};
use crate::skip;

/// A cluster of one, whose system obeys; none where that cannot be had, which was said then.
fn lone() -> Option<Cluster> {
    let cluster = Cluster::start(1, Net::proxies(1, 0), true);
    cluster.shim.is_some().then_some(cluster)
}

/// Proposes a value; where it stands, if it was acknowledged.
fn propose(cluster: &Cluster, number: u64) -> Option<Slot> {
    let request = ProposeRequest {
        value: format!("value {number}"),
        request_id: Some(ProposalId::from_u128(u128::from(number) + 1)),
        wait: true,
        timeout: Some("2s".to_owned()),
        until: None,
    };
    let patience = Duration::from_secs(2);
    let ask = async move |client: Client| client.propose(&request, patience).await;
    match cluster.doors[0].ask_now(2 * patience, ask).ok()?.ok()?.outcome {
        ProposeOutcome::Committed { slot, .. } | ProposeOutcome::Duplicate { slot } => Some(slot),
        ProposeOutcome::Rejected { .. } | ProposeOutcome::Unknown | ProposeOutcome::Pending => None,
    }
}

/// If it has ended by itself, the code, and what it said in the end.
fn ended(cluster: &mut Cluster) -> Option<(Option<i32>, String)> {
    let (code, text) = cluster.ended(0)?;
    let from = text.find("node.failed").unwrap_or_else(|| panic!("no error is told:\n{text}"));
    Some((code, text[from..].to_owned()))
}

/// Waits until it has ended by itself.
fn end(cluster: &mut Cluster) -> (Option<i32>, String) {
    eventually("the node ends", || ended(cluster))
}

/// Runs the program to its end, with these arguments.
fn node(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_full_disk_ends_the_node_and_every_start_until_there_is_room() {
    let mut cluster = Cluster::start(1, Net::proxies(1, 0), true);
    let Some(small) = &cluster.small else { return };
    let first = eventually("it decides", || propose(&cluster, 0));
    small.fill();
    let (mut numbers, mut last) = (1.., first);
    let (code, told) = eventually("the node ends", || {
        last = numbers.next().and_then(|number| propose(&cluster, number)).unwrap_or(last);
        ended(&mut cluster)
    });
    assert_eq!(code, Some(8), "{told}");
    let writes = ["cannot write", "cannot grow"].iter().any(|what| told.contains(what));
    assert!(writes && told.contains("/n1/"), "{told}");
    assert!(
        told.contains("the disk is full: free some space, then start the node again"),
        "{told}"
    );

    cluster.spawn(0);
    let (code, told) = end(&mut cluster);
    assert_eq!(code, Some(8), "{told}");
    assert!(told.contains("/n1/") && told.contains("the disk is full: free some space"), "{told}");

    cluster.small.as_ref().expect("it was there").clear();
    cluster.restart(0);
    let status = eventually("its status", || cluster.status(0));
    assert!(status.committed.slot >= last, "{last} was acknowledged: {status:?}");
    assert!(eventually("it decides again", || propose(&cluster, 1_000_000)) > last);
    assert_eq!(cluster.leave(0), Some(0));
}

#[test]
fn a_failed_sync_ends_the_node_with_a_sentence_at_work_and_at_its_start() {
    let Some(mut cluster) = lone() else { return };
    let last = eventually("it decides", || propose(&cluster, 0));
    cluster.order(0, Orders { sync_error: EIO, ..Orders::default() });
    assert_eq!(propose(&cluster, 1), None, "it is not durable");
    let (code, told) = end(&mut cluster);
    assert_eq!(code, Some(8), "{told}");
    assert!(told.contains("cannot sync") && told.contains("/n1/journal-"), "{told}");
    assert!(told.contains("nothing acknowledged is lost: look for disk errors"), "{told}");
    assert_eq!(told.matches("node.failed").count(), 1, "one trouble, told once: {told}");

    // Started again, on a disk that refuses from the beginning.
    for orders in [
        Orders { sync_error: EIO, ..Orders::default() },
        Orders { write_error: EIO, ..Orders::default() },
    ] {
        cluster.spawn_under(0, orders);
        let (code, told) = end(&mut cluster);
        assert_eq!(code, Some(8), "{told}");
        assert!(told.contains("/n1") && told.contains("look for disk errors"), "{told}");
    }

    cluster.restart(0);
    let status = eventually("its status", || cluster.status(0));
    assert!(status.committed.slot >= last, "{last} was acknowledged: {status:?}");
    assert_eq!(cluster.leave(0), Some(0));
}

#[test]
fn a_proposal_that_a_slow_disk_leaves_undecided_ends_with_4_and_may_be_repeated() {
    let Some(mut cluster) = lone() else { return };
    let (admin, _) = cluster.doors[0].address().expect("it runs");
    let (admin, id) = (admin.to_string(), "0d9f5e2a-7c41-4b3e-9a60-1f2e3d4c5b6a");
    let ask = |timeout: &str| {
        let command = ["propose", "slow", "--request-id", id, "--timeout", timeout];
        node(&[&command[..], &["--admin", &admin]].concat())
    };
    cluster.order(0, Orders { sync_wait: Duration::from_secs(60), ..Orders::default() });
    let said = ask("300ms");
    let told = text(&said.stderr);
    assert_eq!(said.status.code(), Some(4), "{told}");
    assert!(told.contains("not decided within 300ms"), "{told}");
    assert!(
        told.contains(&format!("it may still commit; ask again with --request-id {id}")),
        "{told}"
    );
    cluster.order(0, Orders::default());
    let said = ask("20s");
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    assert_eq!(cluster.leave(0), Some(0));
}

#[test]
fn a_demo_whose_disks_fail_ends_with_10_and_shows_why() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let shim = match Shim::compile(directory.path()) {
        Ok(shim) => shim,
        Err(why) => return skip("a demo whose disks fail", &why),
    };
    let mut command = program();
    command.arg("demo");
    let commander = shim.wrap(&mut command, &directory.path().join("orders"));
    commander.order(Orders { sync_error: EIO, ..Orders::default() });
    let said = command.output().expect("the program runs");
    let (told, shown) = (text(&said.stderr), text(&said.stdout));
    assert_eq!(said.status.code(), Some(10), "{shown}{told}");
    assert!(told.contains("ended before it said"), "{told}");
    assert!((told + &shown).contains("cannot sync"), "{shown}");
}

#[test]
fn a_result_that_cannot_be_written_ends_with_10() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        return skip("an output that takes nothing", "there is no /dev/full");
    };
    let said = program().args(["simulate", "--seed", "1"]).stdout(full).output();
    let said = said.expect("the program runs");
    let told = text(&said.stderr);
    assert_eq!(said.status.code(), Some(10), "{told}");
    assert!(told.contains("error: the result cannot be written"), "{told}");
}
