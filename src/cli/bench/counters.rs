//! What the nodes count of themselves: read before a span and after it, from `/metrics`.

use std::collections::BTreeMap;

use crate::admin::Client;
use crate::cli::failure::Failure;

/// Every sync of a node's log.
const SYNCS: &str = "quorate_sync_latency_seconds_count";

/// What a node has sent over each of its links. Each is counted from zero again when it is replaced.
const FRAMES: &str = "quorate_link_frames_total{";
const BYTES: &str = "quorate_link_bytes_total{";
const SENT: &str = "direction=\"sent\"";

/// How far a node is.
const SLOT: &str = "quorate_log_committed_slot";
const ROUND: &str = "quorate_round";

/// All that was counted up to now.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Counters by node and name, labels included.
    series: BTreeMap<(usize, String), f64>,
    /// The last slot that any of the nodes knows as committed.
    pub(super) slot: u64,
    round: u64,
}

/// What was counted in a span, at all nodes together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spent {
    /// Slots committed, whoever proposed.
    pub(super) commits: f64,
    /// Syncs of logs.
    pub(super) syncs: f64,
    /// Frames sent to other nodes, and their bytes.
    pub(super) frames: f64,
    pub(super) bytes: f64,
    /// How many rounds began.
    pub(super) rounds: u64,
}

impl Counters {
    /// Asks each of the nodes.
    ///
    /// # Errors
    /// One that does not answer.
    pub(super) async fn read(nodes: impl Iterator<Item = &Client>) -> Result<Self, Failure> {
        let mut counters = Self::default();
        for (at, client) in nodes.enumerate() {
            let text = client.metrics().await.map_err(crate::cli::ask::told(client))?;
            counters.take(at, &text);
        }
        Ok(counters)
    }

    fn take(&mut self, at: usize, text: &str) {
        for line in text.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let whole = || value.parse().unwrap_or(0);
            match name {
                SLOT => self.slot = self.slot.max(whole()),
                ROUND => self.round = self.round.max(whole()),
                SYNCS => {}
                link if link.starts_with(FRAMES) || link.starts_with(BYTES) => {
                    if !link.contains(SENT) {
                        continue;
                    }
                }
                _ => continue,
            }
            self.series.insert((at, name.to_owned()), value.parse().unwrap_or(0.0));
        }
    }

    /// What came since `before`.
    pub(super) fn since(&self, before: &Self) -> Spent {
        let sum = |name: &str| {
            let series = self.series.iter().filter(|((_, it), _)| it.starts_with(name));
            let gained = series.map(|(key, now)| match before.series.get(key) {
                Some(then) if then <= now => now - then,
                Some(_) | None => *now,
            });
            gained.sum()
        };
        Spent {
            commits: self.slot.saturating_sub(before.slot) as f64,
            syncs: sum(SYNCS),
            frames: sum(FRAMES),
            bytes: sum(BYTES),
            rounds: self.round.saturating_sub(before.round),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(slot: u64, syncs: u64, sent: [u64; 2]) -> String {
        let [frames, bytes] = sent;
        format!(
            "# TYPE quorate_round gauge\nquorate_round 3\nquorate_log_committed_slot {slot}\n\
             quorate_sync_latency_seconds_count {syncs}\nquorate_sync_latency_seconds_sum 9.5\n\
             quorate_link_frames_total{{peer=\"n2\",id=\"x\",direction=\"sent\"}} {frames}\n\
             quorate_link_frames_total{{peer=\"n2\",id=\"x\",direction=\"received\"}} 77\n\
             quorate_link_bytes_total{{peer=\"n2\",id=\"x\",direction=\"sent\"}} {bytes}\n# EOF\n"
        )
    }

    #[test]
    fn what_all_nodes_gained_is_counted_each_frame_once_and_a_new_link_from_zero() {
        let (mut before, mut after) = (Counters::default(), Counters::default());
        before.take(0, &told(10, 5, [100, 1_000]));
        before.take(1, &told(9, 5, [50, 900]));
        after.take(0, &told(30, 8, [130, 1_600]));
        after.take(1, &told(30, 7, [7, 70]));
        let spent = after.since(&before);
        assert_eq!((spent.commits, spent.syncs, spent.rounds), (20.0, 5.0, 0));
        assert_eq!((spent.frames, spent.bytes), (37.0, 670.0));
    }
}
