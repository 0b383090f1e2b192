//! What a run prints: every deed that a reader of the rules wants to see, a line each.
//!
//! Heartbeats that repeat what is known are left out; a run that nobody reads writes nothing.

use std::fmt::Write as _;

use crate::consensus::{self, Body, Content, Entry, Kind, Outcome, Proposal, Record};
use crate::engine::{Event, Outgoing, Recipients};
use crate::peers::NodeStatus;
use crate::sim::checker::Head;
use crate::sim::clock::Moment;
use crate::sim::fault::Fault;
use crate::sim::node::index;
use crate::types::{NodeId, Position, Round};
use crate::wire::Payload;

/// The lines of a run, or the will to have none.
#[derive(Clone, Debug, Default)]
pub(super) struct Transcript {
    lines: Option<Vec<String>>,
}

impl Transcript {
    /// Nobody reads.
    pub(super) fn off() -> Self {
        Self::default()
    }

    pub(super) fn on() -> Self {
        Self { lines: Some(Vec::new()) }
    }

    /// Takes out what was written since the last time.
    pub(super) fn take(&mut self) -> Vec<String> {
        self.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn line(&mut self, at: Moment, text: impl FnOnce() -> Option<String>) {
        if let Some(lines) = &mut self.lines
            && let Some(text) = text()
        {
            lines.push(format!("{:>12}  {text}", at.to_string()));
        }
    }

    pub(super) fn started(&mut self, at: Moment, node: usize, life: u32, head: Head) {
        self.line(at, || {
            let found = match head.epoch {
                None => "with an empty disk".to_owned(),
                Some(_) => format!(
                    "with {}, {}, {} in the log",
                    promised(head.promised),
                    accepted(&head),
                    head.last.slot
                ),
            };
            Some(format!("{} starts (life {life}) {found}", name(node)))
        });
    }

    pub(super) fn killed(&mut self, at: Moment, node: usize, unsynced: usize) {
        self.line(at, || Some(format!("{} is killed, {unsynced} records not synced", name(node))));
    }

    pub(super) fn wrote(&mut self, at: Moment, node: usize, records: &[Record]) {
        self.line(at, || {
            let records: Vec<_> = records.iter().map(record).collect();
            Some(format!("{} writes {}", name(node), records.join("; ")))
        });
    }

    pub(super) fn synced(&mut self, at: Moment, node: usize) {
        self.line(at, || Some(format!("{} synced", name(node))));
    }

    pub(super) fn asked(&mut self, at: Moment, node: usize, proposal: &Proposal) {
        self.line(at, || Some(format!("client -> {}: propose {:?}", name(node), proposal.value)));
    }

    pub(super) fn said(&mut self, at: Moment, node: usize, outgoing: &Outgoing) {
        self.line(at, || {
            let to = match &outgoing.to {
                Recipients::Everyone => "all".to_owned(),
                Recipients::One(peer) => name(index(*peer)),
            };
            let Payload::Consensus(message) = &outgoing.payload else { return None };
            Some(format!("{} -> {to}: {}", name(node), said(&message.body)))
        });
    }

    pub(super) fn published(&mut self, at: Moment, node: usize, event: &Event) {
        self.line(at, || Some(format!("{} {}", name(node), published(event)?)));
    }

    pub(super) fn struck(&mut self, at: Moment, fault: &Fault) {
        self.line(at, || Some(format!("* {}", struck(fault))));
    }
}

/// How a node is called: n1, n2 …
pub(super) fn name(node: usize) -> String {
    format!("n{}", node + 1)
}

fn named(id: NodeId) -> String {
    name(index(id))
}

fn promised(round: Option<Round>) -> String {
    round.map_or("nothing promised".to_owned(), |round| format!("promised {round}"))
}

fn accepted(head: &Head) -> String {
    match head.accepted {
        None => "nothing accepted".to_owned(),
        Some(round) => format!("accepted {round}, voted {}", head.voted.slot),
    }
}

fn record(record: &Record) -> String {
    match record {
        Record::Epoch { config, .. } => {
            format!("epoch {} of {} members", config.epoch, config.members.len())
        }
        Record::Promise { round } => format!("promise {round}"),
        Record::Adopt { round, after, entries } => {
            format!("adopt round {round}: log to {}{}", after.slot, listed(entries))
        }
        Record::Append { entries, voted } => {
            format!("append{}, vote {}", listed(entries), voted.slot)
        }
        Record::Learn { after, entries, committed } => {
            format!("learn: log to {}{}, commit {}", after.slot, listed(entries), committed.slot)
        }
        Record::Commit { committed } => format!("commit {}", committed.slot),
    }
}

fn listed(entries: &[Entry]) -> String {
    entries.iter().fold(String::new(), |mut text, entry| {
        let _ = write!(text, " {}:{}", entry.slot(), content(entry.content()));
        text
    })
}

fn content(content: &Content) -> String {
    match &content.kind {
        Kind::Value(proposal) => format!("{:?}", proposal.value),
        Kind::Config(config) => format!("epoch {}", config.epoch),
        Kind::Noop => "noop".to_owned(),
    }
}

fn contents(after: Position, all: &[Content]) -> String {
    let mut slot = after.slot;
    all.iter().fold(format!("after {}", after.slot), |mut text, one| {
        slot = slot.next();
        let _ = write!(text, " {slot}:{}", content(one));
        text
    })
}

fn said(body: &Body) -> String {
    match body {
        Body::Vote(vote) => {
            format!(
                "vote in round {} to {}, committed {}",
                vote.round, vote.voted.slot, vote.committed.slot
            )
        }
        Body::Prepare(prepare) => format!("prepare round {}", prepare.round),
        Body::Promise(promise) => format!(
            "promise round {}, accepted {}, last {}, committed {}",
            promise.round,
            promise.accepted.map_or("none".to_owned(), |round| round.to_string()),
            promise.last.slot,
            promise.committed.slot
        ),
        Body::Propose(propose) => format!(
            "{} in round {} {}, committed {}",
            if propose.adopt { "propose to adopt" } else { "propose" },
            propose.round,
            contents(propose.after, &propose.entries),
            propose.committed.slot
        ),
        Body::Refuse(refuse) => {
            format!("refuse, {}, committed {}", promised(refuse.promised), refuse.committed.slot)
        }
        Body::Fetch(fetch) => format!("fetch {} to {}", fetch.from, fetch.to),
        Body::Entries(entries) => {
            format!(
                "entries {}, committed {}",
                contents(entries.after, &entries.entries),
                entries.committed.slot
            )
        }
        Body::Submit(submit) => {
            let values: Vec<_> =
                submit.proposals.iter().map(|p| format!("{:?}", p.value)).collect();
            format!("submit {}", values.join(" "))
        }
        Body::Read(_) => "read".to_owned(),
        Body::ReadReply(reply) => format!("read reply, last {}", reply.last.slot),
        Body::Remember(remember) => format!("remember, {}", promised(remember.promised)),
    }
}

fn published(event: &Event) -> Option<String> {
    Some(match event {
        Event::Log(event) => return published_of_log(event),
        Event::Peer(info) if info.status == NodeStatus::Online => return None,
        Event::Peer(info) => format!("sees {} {:?}", named(info.id), info.status).to_lowercase(),
        Event::Quorum { heard, needed } => format!("hears {heard}, needs {needed}"),
        Event::ListsDiffer { peer, .. } => format!("has another list than {}", named(*peer)),
        Event::NotAMember { node, .. } => format!("says that {} does not belong", named(*node)),
        Event::Received { from, text, .. } => format!("receives {text:?} from {}", named(*from)),
        Event::Misbehaved { peer, what } => format!("accuses {}: {what}", named(*peer)),
        Event::Acknowledged { .. } | Event::Sent { .. } | Event::SendRefused { .. } => return None,
    })
}

fn published_of_log(event: &consensus::Event) -> Option<String> {
    use consensus::Event;
    Some(match event {
        Event::Committed(commit) => {
            let mut text =
                format!("COMMITS {}:{}", commit.entry.slot(), content(commit.entry.content()));
            match (commit.votes, commit.round) {
                (Some((votes, of)), Some(round)) => {
                    let _ = write!(text, " (votes {votes}/{of}, round {round})");
                }
                _ => text.push_str(" (learned)"),
            }
            if let Some(slot) = commit.duplicate_of {
                let _ = write!(text, " as duplicate of slot {slot}");
            }
            text
        }
        Event::Outcome { outcome, .. } => match outcome {
            Outcome::Committed(position) => {
                format!("-> client: committed in slot {}", position.slot)
            }
            Outcome::Duplicate(slot) => format!("-> client: duplicate of slot {slot}"),
            Outcome::Rejected(why) => format!("-> client: rejected, {why:?}").to_lowercase(),
        },
        Event::ReadReady { at, .. } => format!("-> client: read at slot {}", at.slot),
        Event::ReadRefused { .. } => "-> client: read refused".to_owned(),
        Event::EpochStarted(config) => {
            format!("starts epoch {} of {} members", config.epoch, config.members.len())
        }
        Event::RoundChanged { round, proposer, leads: true } => {
            format!("sees {} lead round {round}", named(*proposer))
        }
        Event::RoundChanged { round, proposer, leads: false } => {
            format!("waits for {} to lead round {round}", named(*proposer))
        }
        Event::Suspects { round: Some(round), proposer } => {
            format!("suspects {} of round {round}", named(*proposer))
        }
        Event::Suspects { round: None, proposer } => format!("trusts {} again", named(*proposer)),
        Event::Misbehaved { peer, what } => format!("accuses {}: {what}", named(*peer)),
        Event::Halt(halt) => format!("HALTS: {halt}"),
    })
}

fn struck(fault: &Fault) -> String {
    match fault {
        Fault::Split(shape) => format!("the network splits: {shape}"),
        Fault::Heal => "the network heals".to_owned(),
        Fault::Kill { node, doom: None } => format!("{} is to be killed", name(*node)),
        Fault::Kill { node, doom: Some(doom) } => {
            format!("{} is to be killed: {doom:?}", name(*node))
        }
        Fault::KillLeader(None) => "the leader is to be killed".to_owned(),
        Fault::KillLeader(Some(doom)) => format!("the leader is to be killed: {doom:?}"),
        Fault::CutLeader => "the leader is cut off".to_owned(),
        Fault::KillAll => "all are to be killed".to_owned(),
        Fault::Restart { node } => format!("{} is to start", name(*node)),
        Fault::Pause { node } => format!("{} is stopped", name(*node)),
        Fault::Resume { node } => format!("{} goes on", name(*node)),
        Fault::SlowDisk { node, factor } => {
            format!("the disk of {} is {factor} times as slow", name(*node))
        }
        Fault::FailDisk { node } => format!("the disk of {} is about to fail", name(*node)),
        Fault::BreakLink { one, other } => {
            format!("the link of {} and {} breaks", name(*one), name(*other))
        }
        Fault::Delay(delay) => format!("frames take up to {delay:?} longer"),
    }
}
