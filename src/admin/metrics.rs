//! `/metrics` in the text format of OpenMetrics: what the node counts, what requests came, where the node stands.

use std::fmt;
use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::admin::problem::Problem;
use crate::admin::shared::Shared;
use crate::engine::Condition;
use crate::peers::NodeStatus;
use crate::runtime::{METRICS_PREFIX, Status};
use crate::types::NodeId;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

pub(super) async fn metrics(State(shared): State<Shared>) -> Result<Response, Problem> {
    let status = shared.in_time(shared.handle.status()).await??;
    let log_bytes = shared.in_time(shared.handle.log_bytes()).await?;
    let mut out = String::new();
    let standing = standing(&status, log_bytes, shared.requests.started());
    shared
        .handle
        .metrics()
        .encode(&mut out)
        .and_then(|()| shared.requests.encode(&mut out))
        .and_then(|()| text::encode_registry(&mut out, &standing))
        .and_then(|()| text::encode_eof(&mut out))
        .map_err(|fmt::Error| {
            Problem::unavailable("timeout", "the metrics cannot be written", "try again later")
        })?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], out).into_response())
}

/// A registry under construction.
struct Shown(Registry);

impl Shown {
    fn gauge(&mut self, name: &str, help: &str, value: impl TryInto<i64>) {
        let gauge: Gauge = Gauge::default();
        gauge.set(value.try_into().unwrap_or(i64::MAX));
        self.0.register(name, help, gauge);
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) {
        let gauge: Gauge<f64, AtomicU64> = Gauge::default();
        gauge.set(value);
        self.0.register_with_unit(name, help, Unit::Seconds, gauge);
    }

    fn total(&mut self, name: &str, help: &str, value: u64) {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    fn gauges<V: TryInto<i64>>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, V)>,
    ) {
        let family = Family::<Labels, Gauge>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value.try_into().unwrap_or(i64::MAX));
        }
        self.0.register(name, help, family);
    }

    fn totals(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }
}

/// Where the node stands, as gauges. Peers are the members of the epoch: as many as there can be.
fn standing(status: &Status, log_bytes: u64, started: f64) -> Registry {
    let mut shown = Shown(Registry::with_prefix(METRICS_PREFIX));
    let build = vec![("version", env!("CARGO_PKG_VERSION"))];
    shown.0.register("build", "The program", Info::new(build));
    let node = vec![
        ("id", status.id.to_string()),
        ("name", status.name.clone()),
        ("cluster", status.cluster.clone()),
    ];
    shown.0.register("node", "Who this is", Info::new(node));
    shown.seconds("start_time", "When this interface started, since 1970", started);
    log(&mut shown, status, log_bytes);
    members(&mut shown, status);
    queues(&mut shown, status);
    shown.0
}

fn log(shown: &mut Shown, status: &Status, log_bytes: u64) {
    let log = &status.engine.log;
    let own = log.announces;
    let verdict = status.verdict().state;
    let states = [
        (Condition::Commits, "commits"),
        (Condition::Degraded, "degraded"),
        (Condition::Contested, "contested"),
        (Condition::SlowDisk, "slow_disk"),
        (Condition::NoQuorum, "no_quorum"),
        (Condition::Forming, "forming"),
        (Condition::ShutOut, "shut_out"),
    ];
    let states =
        states.map(|(state, name)| (vec![("state", name.to_owned())], i64::from(state == verdict)));
    shown.gauges("verdict", "1 for what the node says of itself, 0 for all else", states);
    shown.gauge("ready", "Whether a proposal made here can commit", i64::from(status.ready()));
    shown.gauge("formed", "Whether the cluster is formed", i64::from(log.config.is_some()));
    shown.gauge("round", "The round under way as seen from here", log.round.0);
    shown.gauge("round_led", "Whether its proposer is known to lead it", i64::from(log.led));
    shown.gauge("leads", "Whether this node leads", i64::from(log.leading));
    let wants = own.is_some_and(|own| own.candidate.is_some());
    shown.gauge("candidate", "Whether this node wants to lead", i64::from(wants));
    let suspects = own.is_some_and(|own| own.suspects.is_some());
    shown.gauge("suspects", "Whether this node suspects the proposer", i64::from(suspects));
    shown.gauge(
        "disk_slow",
        "Whether the disk is too slow to take part",
        i64::from(log.is_disk_slow),
    );
    shown.seconds(
        "sync_wait",
        "How long the oldest record waits for its sync",
        log.sync_waits.as_secs_f64(),
    );
    shown.gauge("log_last_slot", "The tip of the log, committed or not", log.last.slot.0);
    shown.gauge("log_committed_slot", "The last slot committed here", log.committed.slot.0);
    let gauge: Gauge = Gauge::default();
    gauge.set(i64::try_from(log_bytes).unwrap_or(i64::MAX));
    shown.0.register_with_unit("log_size", "The files of the data directory", Unit::Bytes, gauge);
}

fn members(shown: &mut Shown, status: &Status) {
    let engine = &status.engine;
    let quorum = engine.quorum;
    let config = engine.log.config.as_ref();
    shown.gauge("members", "Members of the epoch", config.map_or(0, |config| config.members.len()));
    shown.gauge("quorum_heard", "Members heard, this one included", quorum.map_or(0, |q| q.heard));
    shown.gauge("quorum_needed", "Members that must agree", quorum.map_or(0, |q| q.needed));

    let is_member = |id: NodeId| config.is_some_and(|config| config.is_member(id));
    let peers: Vec<_> = engine.peers.iter().filter(|peer| is_member(peer.id)).collect();
    let states = [NodeStatus::Online, NodeStatus::Suspected, NodeStatus::Offline].map(|state| {
        let count = peers.iter().filter(|peer| peer.status == state).count();
        (vec![("status", format!("{state:?}").to_ascii_lowercase())], count)
    });
    shown.gauges("peers", "Other members, by how they are seen from here", states);
    let labels = |id: NodeId| {
        let name = peers.iter().find(|peer| peer.id == id).map(|peer| peer.name.clone());
        // One that was not met since the start has none.
        let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| id.short());
        vec![("peer", name), ("id", id.short())]
    };
    let links: Vec<_> = status.transport.links.iter().filter(|link| is_member(link.peer)).collect();
    let is_up = |id: NodeId| i64::from(links.iter().any(|link| link.peer == id));
    let up = peers.iter().map(|peer| (labels(peer.id), is_up(peer.id)));
    shown.gauges("link_up", "Whether a link leads to the peer", up);
    let behind = engine.log.others.iter().filter_map(|seen| {
        let committed = seen.announces?.committed.slot.0;
        Some((labels(seen.id), committed))
    });
    shown.gauges("peer_committed_slot", "The last slot committed there, as it announced", behind);
    let trips = Family::<Labels, Gauge<f64, AtomicU64>>::default();
    for (id, took) in status.round_trips.iter().filter(|(id, _)| is_member(**id)) {
        trips.get_or_create(&labels(*id)).set(took.as_secs_f64());
    }
    let help = "How long a question to the peer takes, through both programs";
    shown.0.register_with_unit("round_trip", help, Unit::Seconds, trips);

    let waiting = links.iter().map(|link| (labels(link.peer), link.waiting_frames));
    shown.gauges("link_waiting_frames", "Frames that wait for the peer to read", waiting);
    let waiting = links.iter().map(|link| (labels(link.peer), link.waiting_bytes));
    shown.gauges("link_waiting_bytes", "Bytes that wait for the peer to read", waiting);
    let both = |id: NodeId, [received, sent]: [u64; 2]| {
        let way = |name: &str| {
            let mut labels = labels(id);
            labels.push(("direction", name.to_owned()));
            labels
        };
        [(way("received"), received), (way("sent"), sent)]
    };
    let frames = links.iter().flat_map(|link| both(link.peer, [link.frames_in, link.frames_out]));
    shown.totals("link_frames", "Frames over the present link", frames);
    let bytes = links.iter().flat_map(|link| both(link.peer, [link.bytes_in, link.bytes_out]));
    shown.totals("link_bytes", "Bytes over the present link", bytes);
}

fn queues(shown: &mut Shown, status: &Status) {
    let queues = &status.queues;
    let depths = [
        ("inbox", queues.inbox),
        ("commands", queues.commands),
        ("disk", queues.disk),
        ("proposals", status.engine.log.pending),
        ("messages", status.engine.dispatch.unacknowledged),
    ];
    let depths = depths.map(|(queue, depth)| (vec![("queue", queue.to_owned())], depth));
    shown.gauges("queue_depth", "What waits, by queue", depths);
    let (dispatch, transport) = (&status.engine.dispatch, &status.transport);
    for (name, help, total) in [
        ("messages_repeated", "Texts that had been delivered before, dropped", dispatch.repeated),
        ("frames_astray", "Frames that were not for this node, dropped", dispatch.astray),
        (
            "frames_of_strangers",
            "Frames of nodes that do not belong, dropped",
            status.engine.strangers,
        ),
        (
            "connections_refused",
            "Connections refused, here or by the other side",
            transport.refused,
        ),
        (
            "connections_evicted",
            "Silent strangers that made room for newer ones",
            transport.evicted,
        ),
    ] {
        shown.total(name, help, total);
    }
}
