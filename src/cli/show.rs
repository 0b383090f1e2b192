//! Answers as people read them.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::admin::api::{
    LogContent, LogEntry, MessageResponse, Peer, ProposeOutcome, StatusResponse,
};
use crate::cli::output::Paint;
use crate::types::{NodeId, ProposalId};

/// How much of a value a line shows, in characters.
const SHOWN_CHARS_MAX: usize = 120;

/// A value in quotes, control characters escaped, long ones cut.
pub(super) fn quoted(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARS_MAX) {
        None => format!("{value:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &value[..end], value.len()),
    }
}

/// One line: what became of a proposal.
pub(super) fn outcome(id: ProposalId, outcome: &ProposeOutcome) -> String {
    match outcome {
        ProposeOutcome::Committed { slot, hash, votes, round, took_ms, .. } => {
            let mut line = format!("committed slot={slot} hash={}", hash.short());
            if let Some(votes) = votes {
                let _ = write!(line, " votes={}/{}", votes.counted, votes.members);
            }
            if let Some(round) = round {
                let _ = write!(line, " round={round}");
            }
            if let Some(took) = took_ms {
                let _ = write!(line, " took={took:.1}ms");
            }
            line + &format!(" request-id={id}\n")
        }
        ProposeOutcome::Duplicate { slot } => {
            format!("committed slot={slot} (by an earlier request) request-id={id}\n")
        }
        ProposeOutcome::Rejected { .. } => format!("rejected request-id={id}\n"),
        ProposeOutcome::Unknown | ProposeOutcome::Pending => format!("unknown request-id={id}\n"),
    }
}

/// Where a node stands, a line each.
pub(super) fn status(status: &StatusResponse, peers: &[Peer], paint: Paint) -> String {
    let names = Names::new(peers).with(status.id, &status.name);
    let mut text = String::new();
    let mut line = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<10}{what}");
    };
    line("node", format!("{} {} (version {})", status.name, status.id, status.version));
    line("verdict", status.verdict.text.clone());
    for because in &status.verdict.because {
        line("", because.clone());
    }
    for mend in &status.verdict.mend {
        line("", format!("→ {mend}"));
    }
    line("address", status.address.clone());
    match &status.config {
        None => line(
            "cluster",
            format!(
                "{}, {}: every listed node must be met first",
                status.cluster,
                paint.odd("not formed yet")
            ),
        ),
        Some(config) => {
            let members: Vec<_> = config.members.iter().map(|id| names.of(*id)).collect();
            line(
                "cluster",
                format!("{}, epoch {}: {}", status.cluster, config.epoch, members.join(", ")),
            );
        }
    }
    if let Some(quorum) = status.quorum {
        let heard = status.heard;
        let members = status.config.as_ref().map_or(0, |config| config.members.len());
        let state = match (status.ready, heard >= quorum) {
            (true, true) => paint.good("quorum"),
            (true, false) => paint.odd("in doubt: some are suspected"),
            (false, _) => paint.bad("no quorum: nothing commits"),
        };
        line("heard", format!("{heard} of {members}, {quorum} needed ({state})"));
    }
    if let Some(proposer) = status.proposer {
        let leads = if status.led { "leads" } else { "does not lead yet" };
        line("round", format!("{}, {} {leads}", status.round, names.of(proposer)));
    }
    let (committed, last) = (status.committed, status.last);
    line(
        "log",
        format!("committed to {} ({}), tip {}", committed.slot, committed.hash.short(), last.slot),
    );
    line("pending", format!("{} proposals", status.pending));
    text
}

/// The peers, a line each.
pub(super) fn peers(peers: &[Peer]) -> String {
    if peers.is_empty() {
        return "no peers are known\n".to_owned();
    }
    let rows: Vec<[String; 6]> = peers
        .iter()
        .map(|peer| {
            let heard = peer.heard_ms_ago.map_or("never".to_owned(), |ms| format!("{ms} ms ago"));
            let address = match (peer.address.is_empty(), peer.address.contains(':')) {
                (true, _) => "-".to_owned(),
                (_, true) => format!("[{}]:{}", peer.address, peer.port),
                (_, false) => format!("{}:{}", peer.address, peer.port),
            };
            let trip = peer.round_trip_ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
            let member = if peer.member { "member" } else { "-" };
            [
                called(peer.id, &peer.name),
                format!("{:?}", peer.status),
                address,
                heard,
                trip,
                member.to_owned(),
            ]
        })
        .collect();
    table(&["NAME", "STATUS", "ADDRESS", "HEARD", "ROUND TRIP", "VOTES"].map(str::to_owned), &rows)
}

/// One line: an entry.
pub(super) fn entry(entry: &LogEntry) -> String {
    let what = match &entry.content {
        LogContent::Value { value, .. } => quoted(value),
        LogContent::Config { config } => {
            format!("(epoch {} of {} members)", config.epoch, config.members.len())
        }
        LogContent::Noop => "(nothing)".to_owned(),
    };
    format!("{:>6}  {}  {what}\n", entry.slot.0, entry.hash.short())
}

/// The value alone; nothing for an entry without one.
pub(super) fn raw(entry: &LogEntry) -> String {
    match &entry.content {
        LogContent::Value { value, .. } => format!("{value}\n"),
        LogContent::Config { .. } | LogContent::Noop => String::new(),
    }
}

/// Who has a message.
pub(super) fn delivery(delivery: &MessageResponse, peers: &[Peer]) -> String {
    let names = Names::new(peers);
    let mut text = String::new();
    for id in &delivery.by {
        let _ = writeln!(text, "delivered to {}", names.of(*id));
    }
    for id in &delivery.missing {
        let _ = writeln!(text, "not confirmed by {}", names.of(*id));
    }
    if text.is_empty() { "nobody is online: delivered to none\n".to_owned() } else { text }
}

/// Columns as wide as their widest cell.
pub(super) fn table<const N: usize>(head: &[String; N], rows: &[[String; N]]) -> String {
    let mut widths = head.each_ref().map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(head).chain(rows) {
        let cells: Vec<_> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// A node by its name, or by the start of its id: one that was not met since the start of who tells has no name.
pub(super) fn called(id: NodeId, name: &str) -> String {
    if name.is_empty() { id.short() } else { name.to_owned() }
}

/// Nodes by name, where it is known.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<NodeId, String>);

impl Names {
    pub(super) fn new(peers: &[Peer]) -> Self {
        Self(peers.iter().map(|peer| (peer.id, peer.name.clone())).collect())
    }

    pub(super) fn with(mut self, id: NodeId, name: &str) -> Self {
        self.learn(id, name);
        self
    }

    pub(super) fn learn(&mut self, id: NodeId, name: &str) {
        if !name.is_empty() {
            self.0.insert(id, name.to_owned());
        }
    }

    pub(super) fn of(&self, id: NodeId) -> String {
        called(id, self.0.get(&id).map_or("", String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::NodeStatus;

    #[test]
    fn a_long_value_is_cut_and_a_wild_one_escaped() {
        assert_eq!(quoted("blue"), "\"blue\"");
        assert_eq!(quoted("\u{1b}[31m\n"), "\"\\u{1b}[31m\\n\"");
        let shown = quoted(&"é".repeat(200));
        assert!(shown.ends_with("… (400 bytes)"), "{shown}");
    }

    #[test]
    fn who_was_not_met_is_shown_by_its_id_and_has_no_address() {
        let id = NodeId::from_u128(0xc0de << 112);
        let peer = Peer {
            id,
            name: String::new(),
            address: String::new(),
            port: 0,
            status: NodeStatus::Offline,
            heard_ms_ago: None,
            round_trip_ms: None,
            member: true,
        };
        let shown = peers(std::slice::from_ref(&peer));
        let row: Vec<_> = shown.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!(row, [&id.short(), "Offline", "-", "never", "-", "member"], "{shown}");
        assert_eq!(Names::new(&[peer]).of(id), id.short());
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["é".to_owned(), "1".to_owned()], ["long".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["A", "B"].map(str::to_owned), &rows), "A     B\né     1\nlong  2\n");
    }
}
