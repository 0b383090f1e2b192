//! `/metrics` as a scraper reads it, and the names that the dashboard and the documentation use.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use quorate::types::Value;
use serde_json::Value as Json;

use super::support::within;
use super::{Served, commit, get, whole};

/// Every sample of a scrape: its name with labels, and its value.
async fn scrape(address: SocketAddr) -> BTreeMap<String, f64> {
    let request = b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n";
    let answer = whole(address, request).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(answer.body.ends_with("\n# EOF\n"), "the scrape is whole");
    let samples = answer.body.lines().filter(|line| !line.starts_with('#'));
    let samples: Vec<_> = samples.map(|line| line.rsplit_once(' ').expect("a value")).collect();
    let count = samples.len();
    let samples: BTreeMap<String, f64> = samples
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect();
    assert_eq!(samples.len(), count, "no sample comes twice");
    samples
}

fn names(text: &str) -> BTreeSet<String> {
    let is_part = |symbol: char| symbol.is_ascii_alphanumeric() || symbol == '_';
    let words = text.split(|symbol| !is_part(symbol));
    words.filter(|word| word.starts_with("quorate_")).map(str::to_owned).collect()
}

#[tokio::test]
async fn what_happens_is_counted_and_where_the_node_stands_is_shown() {
    let mut served = Served::start(3).await;
    let address = served.server.address();
    let before = scrape(address).await;
    for number in 0..5 {
        commit(&served.client, &number.to_string()).await;
    }
    let to = served.cluster.handle(0).id();
    within(served.cluster.handle(1).send(to, "hello")).await.expect("it is delivered");
    within(served.cluster.handle(0).read(super::support::PATIENCE))
        .await
        .expect("a quorum answers");
    get(address, "/no/such/path").await;
    let after = scrape(address).await;
    let grew = |name: &str| after[name] - before[name];
    for (name, by) in [
        ("quorate_commits_total{kind=\"value\"}", 5.0),
        ("quorate_commit_latency_seconds_count", 5.0),
        ("quorate_proposals_total{outcome=\"committed\"}", 5.0),
        ("quorate_reads_total{outcome=\"answered\"}", 1.0),
        ("quorate_messages_received_total", 1.0),
        ("quorate_log_committed_slot", 5.0),
        ("quorate_http_requests_total{method=\"POST\",path=\"/v1/proposals\",status=\"2xx\"}", 5.0),
        ("quorate_http_requests_total{method=\"other\",path=\"other\",status=\"4xx\"}", 1.0),
    ] {
        assert!((grew(name) - by).abs() < 1e-9, "{name} grew by {}", grew(name));
    }
    assert!(grew("quorate_sync_latency_seconds_count") >= 1.0);
    for (name, value) in [
        ("quorate_ready", 1.0),
        ("quorate_formed", 1.0),
        ("quorate_members", 3.0),
        ("quorate_quorum_needed", 2.0),
        ("quorate_peers{status=\"online\"}", 2.0),
        ("quorate_verdict{state=\"no_quorum\"}", 0.0),
    ] {
        assert!((after[name] - value).abs() < 1e-9, "{name} is {}", after[name]);
    }
    assert!(after["quorate_log_size_bytes"] > 0.0);
    let up =
        after.iter().filter(|(name, value)| name.starts_with("quorate_link_up{") && **value > 0.0);
    assert_eq!(up.count(), 2);

    served.cluster.stop(1).await;
    served.cluster.stop(2).await;
    super::support::until(served.cluster.handle(0), |status| !status.ready()).await;
    let lost = scrape(address).await;
    assert!(lost["quorate_ready"] < 0.5);
    assert!((lost["quorate_quorum_losses_total"] - 1.0).abs() < 1e-9);
    assert!((lost["quorate_verdict{state=\"no_quorum\"}"] - 1.0).abs() < 1e-9);
    served.end().await;
}

#[tokio::test]
async fn several_nodes_of_one_process_count_apart() {
    let one = Served::start(1).await;
    let other = Served::start(1).await;
    within(one.cluster.handle(0).propose(Value::new("x").expect("a value"))).await;
    let value = "quorate_commits_total{kind=\"value\"}";
    assert!((scrape(one.server.address()).await[value] - 1.0).abs() < 1e-9);
    assert!(scrape(other.server.address()).await[value] < 0.5);
    one.end().await;
    other.end().await;
}

#[tokio::test]
async fn every_name_in_the_dashboard_and_in_the_documentation_is_served() {
    let served = Served::start(3).await;
    commit(&served.client, "x").await;
    let address = served.server.address();
    let known = |status: &quorate::admin::api::StatusResponse| {
        status.members.iter().filter(|member| member.round_trip_ms.is_some()).count() == 2
    };
    super::verdict::shown(&served.client, known).await;
    let told = scrape(address).await;
    let told: BTreeSet<String> =
        told.keys().map(|name| name.split('{').next().expect("a name").to_owned()).collect();
    assert!(told.iter().all(|name| name.starts_with("quorate_")), "{told:?}");

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dashboard =
        std::fs::read_to_string(root.join("deploy/grafana/quorate.json")).expect("a file");
    let dashboard: Json = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let mut queries: Vec<String> =
        targets.map(|target| target["expr"].as_str().expect("a query").to_owned()).collect();
    queries.push(dashboard["templating"].to_string());
    assert!(queries.len() > 10 && queries.iter().all(|query| !names(query).is_empty()));
    queries.push(std::fs::read_to_string(root.join("docs/OPERATIONS.md")).expect("a file"));
    for query in queries {
        for name in names(&query) {
            assert!(told.contains(&name), "{name} is not served; it stands in {query:.200}");
        }
    }
    served.end().await;
}
