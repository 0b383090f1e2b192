//! Nodes that agree over real sockets and real files, in one process.

mod support;

use std::time::Duration;

use quorate::consensus::Entry;
use quorate::runtime::{FailureClass, ReadError, Rejection};
use quorate::types::{ProposalId, Slot};
use quorate::{Handle, Node, NodeConfig, Notice, Outcome, Value};
use support::{Cluster, PATIENCE, until, within};

/// Long enough to be sure that nobody answers, short enough to wait for it.
const IN_VAIN: Duration = Duration::from_millis(300);

fn value(text: &str) -> Value {
    Value::new(text).expect("a value within the limits")
}

async fn commit(handle: &Handle, text: &str) -> Slot {
    match within(handle.propose_as(fresh_id(), value(text), None, PATIENCE)).await {
        Outcome::Committed(committed) => committed.slot,
        other => panic!("{text:?} was not committed: {other:?}"),
    }
}

fn fresh_id() -> ProposalId {
    ProposalId::from(uuid::Uuid::new_v4())
}

/// The whole log of a node, which reaches at least `slot` before the deadline.
async fn log(handle: &Handle, slot: Slot) -> Vec<Entry> {
    within(handle.wait_committed(slot)).await.expect("it runs");
    within(handle.committed(Slot(1), usize::MAX)).await.expect("it runs")
}

fn values(entries: &[Entry]) -> Vec<String> {
    entries.iter().filter_map(Entry::proposal).map(|proposal| proposal.value.to_string()).collect()
}

#[tokio::test]
async fn every_node_takes_proposals_and_all_hold_one_log() {
    let cluster = Cluster::start(3).await;
    let mut last = Slot(0);
    for (at, text) in [(0, "red"), (1, "green"), (2, "blue"), (0, "white")] {
        last = last.max(commit(cluster.handle(at), text).await);
    }
    let first = log(cluster.handle(0), last).await;
    assert_eq!(values(&first), ["red", "green", "blue", "white"]);
    for at in 1..3 {
        assert_eq!(log(cluster.handle(at), last).await, first);
    }
    cluster.end().await;
}

#[tokio::test]
async fn proposals_at_once_from_everywhere_are_each_committed_once() {
    let cluster = Cluster::start(3).await;
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..3 {
        for number in 0..50 {
            let handle = cluster.handle(at).clone();
            tasks.spawn(async move { commit(&handle, &format!("{at}-{number}")).await });
        }
    }
    let slots = tasks.join_all().await;
    let last = slots.iter().copied().max().expect("many were proposed");
    let first = log(cluster.handle(0), last).await;
    let mut found = values(&first);
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 150);
    assert_eq!(slots.iter().collect::<std::collections::BTreeSet<_>>().len(), 150);
    for at in 1..3 {
        assert_eq!(log(cluster.handle(at), last).await, first);
    }
    cluster.end().await;
}

#[tokio::test]
async fn a_stopped_node_catches_up_when_it_comes_back() {
    let mut cluster = Cluster::start(3).await;
    commit(cluster.handle(2), "seen by all").await;
    cluster.stop(2).await;
    let mut last = Slot(0);
    for number in 0..20 {
        last = commit(cluster.handle(number % 2), &format!("missed {number}")).await;
    }
    cluster.restart(2).await;
    let caught_up = log(cluster.handle(2), last).await;
    assert_eq!(caught_up, log(cluster.handle(0), last).await);
    let after = commit(cluster.handle(2), "here again").await;
    assert!(after > last);
    cluster.end().await;
}

#[tokio::test]
async fn all_nodes_find_their_log_again() {
    let mut cluster = Cluster::start(3).await;
    let last = commit(cluster.handle(1), "kept").await;
    let before = log(cluster.handle(0), last).await;
    for at in 0..3 {
        cluster.stop(at).await;
    }
    for at in 0..3 {
        cluster.restart(at).await;
    }
    for at in 0..3 {
        cluster.ready(at).await;
        assert_eq!(log(cluster.handle(at), last).await[..before.len()], before);
    }
    cluster.end().await;
}

#[tokio::test]
async fn a_minority_commits_nothing_and_goes_on_when_it_is_no_more() {
    let mut cluster = Cluster::start(3).await;
    commit(cluster.handle(0), "together").await;
    cluster.stop(1).await;
    cluster.stop(2).await;
    until(cluster.handle(0), |status| !status.ready()).await;

    let alone = cluster.handle(0);
    let before = alone.committed_through();
    let id = fresh_id();
    assert_eq!(alone.propose_as(id, value("alone"), None, IN_VAIN).await, Outcome::Unknown);
    assert_eq!(alone.committed_through(), before);
    assert_eq!(alone.read(IN_VAIN).await, Err(ReadError::TimedOut));

    cluster.restart(1).await;
    // The same request again: it takes effect once, however often it is made.
    let again = cluster.handle(0).propose_as(id, value("alone"), None, PATIENCE);
    assert!(matches!(within(again).await, Outcome::Committed(_) | Outcome::Duplicate { .. }));
    let last = commit(cluster.handle(1), "together again").await;
    let entries = log(cluster.handle(0), last).await;
    assert_eq!(values(&entries), ["together", "alone", "together again"]);
    cluster.end().await;
}

#[tokio::test]
async fn a_read_anywhere_sees_what_was_acknowledged_elsewhere() {
    let cluster = Cluster::start(3).await;
    for at in 0..3 {
        let slot = commit(cluster.handle(at), &format!("{at}")).await;
        let reader = cluster.handle((at + 1) % 3);
        let position = within(reader.read(PATIENCE)).await.expect("a quorum answers");
        assert!(position.slot >= slot);
        let entries = reader.committed(slot, 1).await.expect("it runs");
        assert_eq!(values(&entries), [format!("{at}")]);
    }
    cluster.end().await;
}

#[tokio::test]
async fn a_request_id_takes_effect_once() {
    let cluster = Cluster::start(3).await;
    let id = fresh_id();
    let first = within(cluster.handle(0).propose_as(id, value("once"), None, PATIENCE)).await;
    let Outcome::Committed(first) = first else { panic!("not committed: {first:?}") };
    within(cluster.handle(1).wait_committed(first.slot)).await.expect("it runs");
    let second = within(cluster.handle(1).propose_as(id, value("once"), None, PATIENCE)).await;
    assert_eq!(second, Outcome::Duplicate { slot: first.slot });
    cluster.end().await;
}

#[tokio::test]
async fn a_broadcast_is_acknowledged_by_all() {
    let cluster = Cluster::start(3).await;
    let mut subscriptions = [cluster.handle(1).subscribe(), cluster.handle(2).subscribe()];
    let delivery = within(cluster.handle(0).broadcast("hello")).await.expect("it is sent");
    let mut by = delivery.by.clone();
    by.sort_unstable();
    let mut others = [cluster.handle(1).id(), cluster.handle(2).id()];
    others.sort_unstable();
    assert_eq!((by.as_slice(), delivery.missing.as_slice()), (&others[..], &[][..]));
    for subscription in &mut subscriptions {
        let text = received(subscription).await;
        assert_eq!(text, (cluster.handle(0).id(), "hello".to_owned()));
    }

    let to = cluster.handle(2).id();
    let delivery = within(cluster.handle(1).send(to, "psst")).await.expect("it is sent");
    assert_eq!((delivery.by, delivery.missing), (vec![to], vec![]));
    let text = received(&mut subscriptions[1]).await;
    assert_eq!(text, (cluster.handle(1).id(), "psst".to_owned()));
    cluster.end().await;
}

async fn received(
    subscription: &mut quorate::runtime::Subscription,
) -> (quorate::types::NodeId, String) {
    within(async {
        loop {
            if let Notice::Received { from, text, .. } = subscription.next().await.expect("it runs")
            {
                return (from, text.to_string());
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_handle_that_outlives_its_node_says_so() {
    let mut cluster = Cluster::start(1).await;
    let handle = cluster.handle(0).clone();
    commit(&handle, "alone is a majority of one").await;
    let mut notices = handle.subscribe();
    cluster.stop(0).await;
    within(async { while notices.next().await.is_some() {} }).await;
    assert_eq!(handle.propose(value("late")).await, Outcome::Rejected(Rejection::Stopped));
    assert!(handle.status().await.is_err());
    assert_eq!(handle.read(PATIENCE).await, Err(ReadError::Stopped));
    assert_eq!(handle.subscribe().next().await, None);
}

#[tokio::test]
async fn a_directory_serves_one_node_at_a_time() {
    let cluster = Cluster::start(1).await;
    let config = NodeConfig { port: 0, ..cluster.config(0).clone() };
    let error = Node::start(config).await.expect_err("the directory is taken");
    assert_eq!(error.class(), FailureClass::Storage, "{error}");
    cluster.end().await;
}

#[tokio::test]
async fn a_port_serves_one_node_at_a_time() {
    let cluster = Cluster::start(1).await;
    let other = tempfile::tempdir().expect("a temporary directory");
    let config = NodeConfig { data_dir: other.path().to_owned(), ..cluster.config(0).clone() };
    let error = Node::start(config).await.expect_err("the port is taken");
    assert_eq!(error.class(), FailureClass::AddressInUse, "{error}");
    assert!(error.to_string().contains(&cluster.config(0).port.to_string()), "{error}");
    cluster.end().await;
}
