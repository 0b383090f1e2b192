//! What a node counts of itself: one registry per node, read by whoever scrapes it.
//!
//! The driver counts in numbers of its own and adds them up once per turn; nothing here takes a lock.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use crate::consensus::{self, Commit, Event, Kind};
use crate::runtime::answer::{Outcome, ReadError, Rejection};

/// What every name begins with.
pub const METRICS_PREFIX: &str = "quorate";

/// The upper bounds of the spans, in microseconds; one more bucket holds what is longer.
const BOUNDS: [u64; 13] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

const BUCKETS: usize = BOUNDS.len() + 1;

type Label = [(&'static str, &'static str); 1];

/// What a node counts over its life.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    commits: [Counter; Committed::ALL.len()],
    commit_latency: Arc<Spans>,
    sync_latency: Arc<Spans>,
    proposals: [Counter; PROPOSALS.len()],
    reads: [Counter; READS.len()],
    round_changes: Counter,
    suspicions: Counter,
    messages: Counter,
    misbehaviour: Counter,
    quorum_losses: Counter,
    frames_dropped: Counter,
    notices_missed: Counter,
    lines_dropped: Elsewhere,
}

/// What a committed entry was.
#[derive(Clone, Copy)]
enum Committed {
    Value,
    Duplicate,
    Void,
    Config,
    Noop,
}

impl Committed {
    const ALL: [&str; 5] = ["value", "duplicate", "void", "config", "noop"];

    fn of(commit: &Commit) -> Self {
        match commit.entry.kind() {
            Kind::Value(_) if commit.duplicate_of.is_some() => Self::Duplicate,
            Kind::Value(_) if commit.void => Self::Void,
            Kind::Value(_) => Self::Value,
            Kind::Config(_) => Self::Config,
            Kind::Noop => Self::Noop,
        }
    }
}

/// What clients were told of their proposals.
const PROPOSALS: [&str; 7] =
    ["committed", "duplicate", "expired", "busy", "not_formed", "stopped", "unknown"];

/// What clients were told of their linearizable reads.
const READS: [&str; 5] = ["answered", "timed_out", "busy", "not_formed", "stopped"];

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix(METRICS_PREFIX);
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let round_changes = counter("round_changes", "Other rounds, or leads of them, seen");
        let suspicions = counter("suspicions", "Proposers suspected by this node");
        let messages = counter("messages_received", "Texts of other nodes, each once");
        let misbehaviour = counter("misbehaviour", "Messages that no honest peer sends, ignored");
        let quorum_losses = counter("quorum_losses", "Times that the quorum was no longer heard");
        let frames_dropped =
            counter("frames_dropped", "Frames that found no room in a peer's queue");
        let notices_missed =
            counter("notices_missed", "Notices lost to subscribers that read too slowly");
        let lines_dropped = Elsewhere::default();
        let help = "Log lines that found no room, for whoever reads them is too slow";
        registry.register("log_lines_dropped", help, lines_dropped.clone());
        let commits = family(
            &mut registry,
            "commits",
            "Entries committed and durable here since the start, by what they were",
            "kind",
            Committed::ALL,
        );
        let help = "Proposals made here, by what their clients were told";
        let proposals = family(&mut registry, "proposals", help, "outcome", PROPOSALS);
        let help = "Linearizable reads, by what their clients were told";
        let reads = family(&mut registry, "reads", help, "outcome", READS);
        let mut spans = |name: &str, help: &str| {
            let spans = Arc::new(Spans::default());
            registry.register_with_unit(name, help, Unit::Seconds, Encoded(spans.clone()));
            spans
        };
        let commit_latency =
            spans("commit_latency", "From the moment an entry was first seen here to its commit");
        let sync_latency = spans("sync_latency", "Syncs of the log");
        Self {
            registry,
            commits,
            commit_latency,
            sync_latency,
            proposals,
            reads,
            round_changes,
            suspicions,
            messages,
            misbehaviour,
            quorum_losses,
            frames_dropped,
            notices_missed,
            lines_dropped,
        }
    }

    /// Writes all of it in the text format of OpenMetrics, without the end.
    ///
    /// # Errors
    /// If `out` takes no more.
    pub fn encode(&self, out: &mut impl fmt::Write) -> fmt::Result {
        text::encode_registry(out, &self.registry)
    }

    /// Where the program counts the log lines that it dropped. The first call counts.
    pub fn count_lines_dropped_in(&self, lines: Arc<AtomicU64>) {
        let _ = self.lines_dropped.0.set(lines);
    }

    pub(super) fn synced(&self, took: Duration) {
        let mut one = Span::default();
        one.observe(took);
        self.sync_latency.add(&one);
    }

    pub(super) fn frames_dropped(&self, frames: usize) {
        self.frames_dropped.inc_by(frames as u64);
    }

    pub(super) fn notices_missed(&self, notices: u64) {
        self.notices_missed.inc_by(notices);
    }

    /// A client is told this of its proposal.
    pub(super) fn proposed(&self, outcome: &Outcome) {
        let index = match outcome {
            Outcome::Committed(_) => 0,
            Outcome::Duplicate { .. } => 1,
            Outcome::Rejected(Rejection::Expired) => 2,
            Outcome::Rejected(Rejection::Busy) => 3,
            Outcome::Rejected(Rejection::NotFormed) => 4,
            Outcome::Rejected(Rejection::Stopped) => 5,
            Outcome::Unknown => 6,
        };
        self.proposals[index].inc();
    }

    /// A client is told this of its linearizable read.
    pub(super) fn read<T>(&self, outcome: &Result<T, ReadError>) {
        let index = match outcome {
            Ok(_) => 0,
            Err(ReadError::TimedOut) => 1,
            Err(ReadError::Busy) => 2,
            Err(ReadError::NotFormed) => 3,
            Err(ReadError::Stopped) => 4,
        };
        self.reads[index].inc();
    }

    /// Adds what one turn brought.
    pub(super) fn add(&self, turn: &mut Turn) {
        if !std::mem::take(&mut turn.is_eventful) {
            return;
        }
        for (total, more) in self.commits.iter().zip(turn.commits) {
            total.inc_by(more);
        }
        self.commit_latency.add(&turn.latency);
        self.round_changes.inc_by(turn.round_changes);
        self.suspicions.inc_by(turn.suspicions);
        self.messages.inc_by(turn.messages);
        self.misbehaviour.inc_by(turn.misbehaviour);
        self.quorum_losses.inc_by(turn.quorum_losses);
        *turn = Turn::default();
    }
}

/// One counter for each value of one label.
fn family<const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: [&'static str; N],
) -> [Counter; N] {
    let family = Family::<Label, Counter>::default();
    registry.register(name, help, family.clone());
    values.map(|value| family.get_or_create_owned(&[(label, value)]))
}

/// What the driver counts in one turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    is_eventful: bool,
    commits: [u64; Committed::ALL.len()],
    latency: Span,
    round_changes: u64,
    suspicions: u64,
    messages: u64,
    misbehaviour: u64,
    quorum_losses: u64,
}

impl Turn {
    pub(super) fn log(&mut self, event: &Event) {
        match event {
            consensus::Event::Committed(commit) => {
                self.commits[Committed::of(commit) as usize] += 1;
                if let Some(took) = commit.took {
                    self.latency.observe(took);
                }
            }
            consensus::Event::RoundChanged { .. } => self.round_changes += 1,
            consensus::Event::Suspects { round: Some(_), .. } => self.suspicions += 1,
            consensus::Event::Misbehaved { .. } => self.misbehaviour += 1,
            consensus::Event::Suspects { round: None, .. }
            | consensus::Event::Outcome { .. }
            | consensus::Event::ReadReady { .. }
            | consensus::Event::ReadRefused { .. }
            | consensus::Event::EpochStarted(_)
            | consensus::Event::Halt(_) => return,
        }
        self.is_eventful = true;
    }

    pub(super) fn message(&mut self) {
        self.messages += 1;
        self.is_eventful = true;
    }

    pub(super) fn misbehaved(&mut self) {
        self.misbehaviour += 1;
        self.is_eventful = true;
    }

    pub(super) fn quorum_lost(&mut self) {
        self.quorum_losses += 1;
        self.is_eventful = true;
    }
}

/// Spans as one owner counts them.
#[derive(Debug, Default)]
struct Span {
    buckets: [u64; BUCKETS],
    sum_micros: u64,
}

impl Span {
    fn observe(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS.partition_point(|bound| *bound < micros)] += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }
}

/// Spans as everyone reads them.
#[derive(Debug, Default)]
struct Spans {
    buckets: [AtomicU64; BUCKETS],
    sum_micros: AtomicU64,
}

impl Spans {
    fn add(&self, more: &Span) {
        for (total, more) in self.buckets.iter().zip(more.buckets).filter(|(_, more)| *more > 0) {
            total.fetch_add(more, Ordering::Relaxed);
        }
        self.sum_micros.fetch_add(more.sum_micros, Ordering::Relaxed);
    }
}

/// Spans in a registry.
#[derive(Debug)]
struct Encoded(Arc<Spans>);

impl EncodeMetric for Encoded {
    #[expect(clippy::cast_precision_loss, reason = "a span of centuries is exact to a second")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let seconds = |micros: u64| micros as f64 / 1e6;
        let bounds = BOUNDS.into_iter().map(seconds).chain([f64::MAX]);
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = seconds(self.0.sum_micros.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// A number that someone else counts; zero until that is known.
#[derive(Clone, Debug, Default)]
struct Elsewhere(Arc<OnceLock<Arc<AtomicU64>>>);

impl EncodeMetric for Elsewhere {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let total = self.0.get().map_or(0, |total| total.load(Ordering::Relaxed));
        encoder.encode_counter::<NoLabelSet, _, u64>(&total, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(metrics: &Metrics) -> String {
        let mut out = String::new();
        metrics.encode(&mut out).unwrap();
        out
    }

    #[test]
    fn a_span_falls_into_the_first_bucket_that_holds_it() {
        let mut span = Span::default();
        for micros in [0, 250, 251, 5_000_000, 5_000_001] {
            span.observe(Duration::from_micros(micros));
        }
        assert_eq!((span.buckets[0], span.buckets[1]), (2, 1));
        assert_eq!((span.buckets[BUCKETS - 2], span.buckets[BUCKETS - 1]), (1, 1));
        assert_eq!(span.sum_micros, 10_000_502);
    }

    #[test]
    fn a_turn_is_added_once() {
        let metrics = Metrics::new();
        let mut turn = Turn::default();
        turn.message();
        metrics.add(&mut turn);
        metrics.add(&mut turn);
        metrics.synced(Duration::from_millis(2));
        let told = told(&metrics);
        assert!(told.contains("\nquorate_messages_received_total 1\n"), "{told}");
        assert!(
            told.contains("\nquorate_sync_latency_seconds_bucket{le=\"0.0025\"} 1\n"),
            "{told}"
        );
        assert!(told.contains("\nquorate_sync_latency_seconds_sum 0.002\n"), "{told}");
        assert!(told.contains("\nquorate_commits_total{kind=\"void\"} 0\n"), "{told}");
    }

    #[test]
    fn what_the_program_counts_is_shown_once_it_is_known() {
        let metrics = Metrics::new();
        assert!(told(&metrics).contains("\nquorate_log_lines_dropped_total 0\n"));
        metrics.count_lines_dropped_in(Arc::new(AtomicU64::new(3)));
        assert!(told(&metrics).contains("\nquorate_log_lines_dropped_total 3\n"));
    }
}
