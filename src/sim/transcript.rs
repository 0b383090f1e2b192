//! What a run prints: every deed that a reader of the rules wants to see, a line each.
//!
//! Heartbeats that repeat what is known are left out; a run that nobody reads writes nothing.

use std::fmt::Write as _;

use crate::consensus::{self, Body, Content, Entry, Kind, Outcome, Proposal, Record};
use crate::engine::{Event, Outgoing, Recipients};
use crate::peers::NodeStatus;
use crate::sim::checker::{Head, Violation};
use crate::sim::clock::Moment;
use crate::sim::fault::Fault;
use crate::sim::node::index;
use crate::sim::story::{Class, Mark, Story};
use crate::types::{NodeId, Position, Round};
use crate::wire::Payload;

/// The lines of a run and what its chart is drawn from, or the will to have neither.
#[derive(Clone, Debug, Default)]
pub(super) struct Transcript {
    lines: Option<Vec<String>>,
    story: Option<Story>,
}

impl Transcript {
    /// Nobody reads.
    pub(super) fn off() -> Self {
        Self::default()
    }

    pub(super) fn on() -> Self {
        Self { lines: Some(Vec::new()), story: None }
    }

    /// Somebody looks at the picture.
    pub(super) fn tell_story(&mut self, nodes: usize) {
        self.story = Some(Story { nodes, ..Story::default() });
    }

    /// Takes out what was written since the last time.
    pub(super) fn take(&mut self) -> Vec<String> {
        self.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn take_story(&mut self) -> Option<Story> {
        self.story.take()
    }

    fn is_off(&self) -> bool {
        self.lines.is_none() && self.story.is_none()
    }

    fn line(&mut self, at: Moment, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>12}  {}", at.to_string(), text()));
        }
    }

    fn mark(&mut self, mark: impl FnOnce() -> Mark) {
        if let Some(story) = &mut self.story {
            story.marks.push(mark());
        }
    }

    fn deed(&mut self, node: usize, at: Moment, class: Class, text: String) {
        self.mark(|| Mark::Deed { node, at, class, text });
    }

    pub(super) fn started(&mut self, at: Moment, node: usize, life: u32, head: Head) {
        if self.is_off() {
            return;
        }
        let found = match head.epoch {
            None => "with an empty disk".to_owned(),
            Some(_) => format!(
                "with {}, {}, {} in the log",
                promised(head.promised),
                accepted(&head),
                head.last.slot
            ),
        };
        self.line(at, || format!("{} starts (life {life}) {found}", name(node)));
        self.deed(node, at, Class::Up, format!("starts {found}"));
    }

    pub(super) fn killed(&mut self, at: Moment, node: usize, unsynced: usize) {
        if self.is_off() {
            return;
        }
        self.line(at, || format!("{} is killed, {unsynced} records not synced", name(node)));
        self.deed(node, at, Class::Down, format!("KILLED, {unsynced} not synced"));
    }

    pub(super) fn left(&mut self, at: Moment, node: usize) {
        if self.is_off() {
            return;
        }
        self.line(at, || format!("{} leaves in good order", name(node)));
        self.deed(node, at, Class::Down, "leaves".to_owned());
    }

    pub(super) fn wrote(&mut self, at: Moment, node: usize, records: &[Record]) {
        self.line(at, || {
            let records: Vec<_> = records.iter().map(record).collect();
            format!("{} writes {}", name(node), records.join("; "))
        });
    }

    pub(super) fn synced(&mut self, at: Moment, node: usize) {
        self.line(at, || format!("{} synced", name(node)));
    }

    pub(super) fn asked(&mut self, at: Moment, node: usize, proposal: &Proposal) {
        if self.is_off() {
            return;
        }
        let what = format!("propose {:?}", proposal.value);
        self.line(at, || format!("client -> {}: {what}", name(node)));
        self.deed(node, at, Class::Client, format!("client: {what}"));
    }

    pub(super) fn said(&mut self, at: Moment, node: usize, outgoing: &Outgoing) {
        if self.is_off() {
            return;
        }
        let to = match &outgoing.to {
            Recipients::Everyone => "all".to_owned(),
            Recipients::One(peer) => name(index(*peer)),
        };
        let (class, _) = kind(&outgoing.payload);
        let what = match &outgoing.payload {
            Payload::Consensus(message) => said(&message.body),
            Payload::Data(text) => format!("text {text:?}"),
            Payload::HeartBeat(beat) if beat.peers.leaving => "good-bye".to_owned(),
            Payload::HeartBeat(_) | Payload::Ping(_) | Payload::Pong(_) => {
                return self.deed(node, at, Class::Beat, kind(&outgoing.payload).1.to_owned());
            }
        };
        self.line(at, || format!("{} -> {to}: {what}", name(node)));
        let class = if class == Class::Beat { Class::Other } else { class };
        let what = match outgoing.to {
            Recipients::Everyone => what,
            Recipients::One(_) => format!("{what} -> {to}"),
        };
        self.deed(node, at, class, what);
    }

    /// A frame that left at `sent` arrives, or is found to be lost.
    pub(super) fn arrived(
        &mut self,
        at: Moment,
        (from, to): (usize, usize),
        sent: Moment,
        payload: &Payload,
        is_lost: bool,
    ) {
        self.mark(|| {
            let (class, what) = kind(payload);
            Mark::Arrow { from, to, sent, at, class, what, is_lost }
        });
    }

    pub(super) fn published(&mut self, at: Moment, node: usize, event: &Event) {
        if self.is_off() {
            return;
        }
        let Some(what) = published(event) else { return };
        self.line(at, || format!("{} {what}", name(node)));
        self.deed(node, at, class_of(event), what);
    }

    pub(super) fn struck(&mut self, at: Moment, fault: &Fault) {
        if self.is_off() {
            return;
        }
        let what = struck(fault);
        self.line(at, || format!("* {what}"));
        self.mark(|| Mark::World { at, text: what, splits: None });
    }

    /// Whether the network is split, now that the last fault has struck.
    pub(super) fn network_is(&mut self, now: Moment, is_split: bool) {
        let Some(story) = &mut self.story else { return };
        let fault = story.marks.iter_mut().rev().find(|mark| matches!(mark, Mark::World { .. }));
        if let Some(Mark::World { at, splits, .. }) = fault
            && *at == now
        {
            *splits = Some(is_split);
        }
    }

    pub(super) fn calm(&mut self, at: Moment) {
        self.line(at, || "* faults stop".to_owned());
        self.mark(|| Mark::World { at, text: "faults stop".to_owned(), splits: Some(false) });
    }

    pub(super) fn broke(&mut self, at: Moment, node: Option<usize>, violation: &Violation) {
        self.mark(|| {
            let text = format!("VIOLATION: {violation}");
            match node {
                Some(node) => Mark::Deed { node, at, class: Class::Broken, text },
                None => Mark::World { at, text, splits: None },
            }
        });
    }
}

/// What a message is drawn as, and called in a word.
fn kind(payload: &Payload) -> (Class, &'static str) {
    match payload {
        Payload::Consensus(message) => {
            let class = match &message.body {
                Body::Propose(_) | Body::Submit(_) => Class::Propose,
                Body::Vote(_) => Class::Vote,
                Body::Prepare(_) | Body::Promise(_) => Class::Round,
                Body::Refuse(_)
                | Body::Fetch(_)
                | Body::Entries(_)
                | Body::Read(_)
                | Body::ReadReply(_)
                | Body::Remember(_) => Class::Other,
            };
            (class, message.body.name())
        }
        Payload::Data(_) => (Class::Text, "text"),
        Payload::HeartBeat(_) => (Class::Beat, "beat"),
        Payload::Ping(_) => (Class::Beat, "ping"),
        Payload::Pong(_) => (Class::Beat, "pong"),
    }
}

fn class_of(event: &Event) -> Class {
    use consensus::Event as Log;
    match event {
        Event::Log(Log::Committed(_)) => Class::Commit,
        Event::Log(Log::Outcome { .. } | Log::ReadReady { .. } | Log::ReadRefused { .. }) => {
            Class::Client
        }
        Event::Log(Log::RoundChanged { .. } | Log::EpochStarted(_)) => Class::Round,
        Event::Log(Log::Suspects { .. } | Log::Misbehaved { .. } | Log::Halt(_))
        | Event::Peer(_)
        | Event::Quorum { .. }
        | Event::ListsDiffer { .. }
        | Event::NotAMember { .. }
        | Event::Misbehaved { .. } => Class::Doubt,
        Event::Received { .. }
        | Event::Acknowledged { .. }
        | Event::Sent { .. }
        | Event::SendRefused { .. } => Class::Text,
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
        Fault::KillSeveral => "several are to be killed".to_owned(),
        Fault::KillAll => "all are to be killed".to_owned(),
        Fault::CutOpening { node } => {
            format!("{} is to be killed, and again while it starts", name(*node))
        }
        Fault::Leave { node } => format!("{} is to leave", name(*node)),
        Fault::Restart { node } => format!("{} is to start", name(*node)),
        Fault::Pause { node, clock_stands: false } => format!("{} is stopped", name(*node)),
        Fault::Pause { node, clock_stands: true } => format!("{} is suspended", name(*node)),
        Fault::Resume { node } => format!("{} goes on", name(*node)),
        Fault::SlowDisk { node, factor } => {
            format!("the disk of {} is {factor} times as slow", name(*node))
        }
        Fault::FailDisk { node } => format!("the disk of {} is about to fail", name(*node)),
        Fault::FailReads => "no disk reads any more".to_owned(),
        Fault::FillDisk { node } => format!("the disk of {} is all but full", name(*node)),
        Fault::FreeDisk { node } => format!("the disk of {} has room again", name(*node)),
        Fault::Wipe { node } => format!("the directory of {} is lost", name(*node)),
        Fault::LoseLog { node } => format!("the log of {} is lost, its key is not", name(*node)),
        Fault::ClockRate { node, drift_ppm } => {
            format!("the clock of {} runs {drift_ppm} millionths too fast", name(*node))
        }
        Fault::WallClock { node, by } => {
            format!("the wall clock of {} is set by {by} seconds", name(*node))
        }
        Fault::CutWay { from, to } => {
            format!("nothing that {} says is heard by {}", name(*from), name(*to))
        }
        Fault::BreakLink { one, other } => {
            format!("the link of {} and {} breaks", name(*one), name(*other))
        }
        Fault::Delay(delay) => format!("frames take up to {delay:?} longer"),
    }
}
