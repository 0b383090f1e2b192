//! What a node says of its own state, in words, over HTTP.

use std::net::TcpListener;
use std::time::Duration;

use quorate::admin::api::StatusResponse;
use quorate::admin::{Client, Server};
use quorate::config::Address;
use quorate::engine::Condition;
use quorate::{Node, NodeConfig};

use super::support::within;
use super::{LOOPBACK, Served};

/// Asks until the status shows what is wanted.
pub(crate) async fn shown(
    client: &Client,
    wanted: impl Fn(&StatusResponse) -> bool,
) -> StatusResponse {
    let mut last = None;
    let asking = async {
        loop {
            let status = client.status().await.expect("it runs");
            if wanted(&status) {
                return status;
            }
            last = Some(status);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(super::support::PATIENCE, asking).await {
        Ok(status) => status,
        Err(_) => panic!("it stays like this: {last:#?}"),
    }
}

#[tokio::test]
async fn it_says_that_all_is_well_and_what_is_not() {
    let mut served = Served::start(3).await;
    let well = shown(&served.client, |status| status.verdict.state == Condition::Commits).await;
    assert_eq!(well.verdict.text, "3 of 3 heard: commits; can lose 1 more");
    assert_eq!(well.members.len(), 3);
    let others = well.members.iter().filter(|member| member.id != well.id);
    assert!(others.clone().all(|member| member.hears.len() == 2), "{:?}", well.members);

    let known = |status: &StatusResponse| {
        let others = status.members.iter().filter(|member| member.id != status.id);
        others.clone().all(|member| member.round_trip_ms.is_some_and(|took| took > 0.0))
    };
    shown(&served.client, known).await;

    served.cluster.stop(2).await;
    // For as long as n2 has not said so, too, it counts as one that hears n3.
    let gone = |line: &String| line.starts_with("n3 is offline: last heard ");
    // If it led, another takes over first.
    let degraded = shown(&served.client, |StatusResponse { verdict, .. }| {
        verdict.state == Condition::Degraded && verdict.because.iter().any(gone)
    });
    let degraded = degraded.await;
    assert_eq!(degraded.verdict.text, "2 of 3 heard: commits; can lose 0 more");
    assert!(degraded.verdict.mend.contains(&"start n3, or mend the network to it".to_owned()));

    served.cluster.stop(1).await;
    let text = "1 of 3 heard, 2 needed: nothing commits here";
    let lost = shown(&served.client, |status| status.verdict.text == text).await;
    assert_eq!(lost.verdict.state, Condition::NoQuorum);
    served.end().await;
}

#[tokio::test]
async fn before_it_is_formed_it_names_whom_it_waits_for_and_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let (own, foreign, empty) = (bind(), bind(), bind());
    let at = |listener: &TcpListener| Address {
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().expect("it is bound").port(),
    };
    let (nobody, stranger) = (at(&empty), at(&foreign));
    drop(empty);
    let config = |name: &str, cluster: &str| NodeConfig {
        name: name.to_owned(),
        cluster: cluster.to_owned(),
        bind: Some([127, 0, 0, 1].into()),
        redial_max: Duration::from_millis(300),
        ..NodeConfig::new(directory.path().join(name))
    };
    let other = Node::start_on(config("x1", "other"), foreign).await.expect("a start");
    let peers = vec![at(&own), nobody.clone(), stranger.clone()];
    let node = Node::start_on(NodeConfig { peers, ..config("n1", "ours") }, own).await;
    let node = node.expect("a start");
    let server = Server::start(node.handle().clone(), &LOOPBACK).await.expect("a free port");

    let client = Client::new(server.address());
    let all_tried = |status: &StatusResponse| status.verdict.because.len() == 2;
    let verdict = shown(&client, all_tried).await.verdict;
    assert_eq!(verdict.state, Condition::Forming);
    let waits = format!("1 of 3 listed nodes met; waits for {nobody} and {stranger}");
    assert_eq!(verdict.text, format!("not formed yet: {waits}"));
    let why = |whom: &Address| {
        let start = format!("no link with {whom}: ");
        let line = verdict.because.iter().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("{verdict:?}")).to_owned()
    };
    assert!(why(&nobody).contains("nobody listens there"), "{verdict:?}");
    assert!(why(&stranger).contains("cluster"), "{verdict:?}");
    within(server.stop()).await;
    within(node.stop()).await.expect("a good end");
    within(other.stop()).await.expect("a good end");
}
