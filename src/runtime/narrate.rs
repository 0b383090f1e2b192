//! The lines an operator reads. The message of each is its stable name; the rest are fields.
//!
//! Commits are told each, once; what can repeat is told a few times in a while, then counted.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;

use tracing::field;

use crate::config::Address;
use crate::consensus::{self, Commit, EpochConfig, Halt, Kind};
use crate::engine::Event;
use crate::peers::{NodeInfo, NodeStatus};
use crate::runtime::repeats::{CHANGES, CONDITIONS, Repeats};
use crate::runtime::wording::{Took, Votes, shown, word};
use crate::types::{NodeId, Position, Round, Time};

/// The target of commit lines, so that they can be shown whatever else is filtered.
pub const COMMIT_TARGET: &str = "quorate::commit";

/// The target of all other lines about this node and its peers.
pub const NODE_TARGET: &str = "quorate::node";

/// How many names are remembered; who comes after is called by its id.
const NAMES_MAX: usize = 1_024;

/// The narrator of one node.
pub(super) struct Narrator {
    me: NodeId,
    names: HashMap<NodeId, String>,
    repeats: Repeats,
    /// The beginning of a text that is too long to be shown.
    beginning: String,
}

impl Narrator {
    /// The narrator of node `me`, whose name for people is `name`.
    pub(super) fn new(me: NodeId, name: &str) -> Self {
        Self {
            me,
            names: HashMap::from([(me, word(name).into_owned())]),
            repeats: Repeats::default(),
            beginning: String::new(),
        }
    }

    /// What the log held when it was opened.
    pub(super) fn recovered(&self, last: Position, committed: Position, torn: bool) {
        let cut = torn.then_some("a batch that was being written when the machine stopped");
        tracing::info!(
            target: NODE_TARGET,
            entries = last.slot.0,
            committed = committed.slot.0,
            cut,
            "log.recovered"
        );
    }

    /// Where the node listens, and whether strangers can reach it there.
    pub(super) fn listening(&self, address: SocketAddr) {
        let (node, id) = (self.name(self.me), self.me);
        tracing::info!(target: NODE_TARGET, %address, %node, %id, "node.listening");
        if !address.ip().to_canonical().is_loopback() {
            tracing::warn!(
                target: NODE_TARGET,
                %address,
                hint = "peers talk over plain TCP: anyone who reaches this port can read along and take part; \
                        let only the other members reach it",
                "node.exposed"
            );
        }
    }

    /// A node, member or not, has said its name.
    pub(super) fn met(&mut self, node: NodeId, name: &str) {
        if self.names.len() < NAMES_MAX || self.names.contains_key(&node) {
            self.names.insert(node, word(name).into_owned());
        }
    }

    /// Tells what happened, if an operator wants to know.
    pub(super) fn tell(&mut self, now: Time, event: &Event) {
        match event {
            Event::Log(event) => self.log(now, event),
            Event::Peer(peer) => self.peer(now, peer),
            Event::Quorum { heard, needed } => self.quorum(now, *heard, *needed),
            Event::ListsDiffer { peer, theirs, ours } => self.lists(now, *peer, theirs, ours),
            Event::NotAMember { node, members } => self.stranger(now, *node, members),
            Event::Received { from, text, .. } => {
                if let Some(suppressed) =
                    self.repeats.admit(now, "message.received", Some(*from), CHANGES)
                {
                    let mut beginning = String::new();
                    let (from, text) = (self.name(*from), shown(text, &mut beginning));
                    tracing::info!(target: NODE_TARGET, %from, text, suppressed, "message.received");
                }
            }
            Event::Misbehaved { peer, what } => self.misbehaved(now, *peer, what),
            // The caller is told.
            Event::Acknowledged { .. } | Event::Sent { .. } | Event::SendRefused { .. } => {}
        }
    }

    fn log(&mut self, now: Time, event: &consensus::Event) {
        match event {
            consensus::Event::Committed(commit) => self.committed(commit),
            consensus::Event::EpochStarted(config) => self.epoch(config),
            consensus::Event::RoundChanged { round, proposer, leads } => {
                self.round(now, *round, *proposer, *leads);
            }
            consensus::Event::Suspects { round, proposer } => {
                let Some(suppressed) = self.repeats.admit(now, "proposer.suspected", None, CHANGES)
                else {
                    return;
                };
                let proposer = self.name(*proposer);
                match round {
                    Some(round) => tracing::info!(
                        target: NODE_TARGET, round = round.0, %proposer, suppressed, "proposer.suspected"
                    ),
                    None => tracing::info!(
                        target: NODE_TARGET, %proposer, suppressed, "proposer.trusted"
                    ),
                }
            }
            consensus::Event::Misbehaved { peer, what } => self.misbehaved(now, *peer, what),
            consensus::Event::Halt(halt) => halted(halt),
            // The caller is told.
            consensus::Event::Outcome { .. }
            | consensus::Event::ReadReady { .. }
            | consensus::Event::ReadRefused { .. } => {}
        }
    }

    /// Called once per slot, in slot order, when the entry is durable here.
    fn committed(&mut self, commit: &Commit) {
        let slot = commit.entry.slot().0;
        match commit.entry.kind() {
            Kind::Value(proposal) => {
                let mut beginning = std::mem::take(&mut self.beginning);
                self.value(commit, slot, shown(proposal.value.as_str(), &mut beginning));
                self.beginning = beginning;
            }
            Kind::Config(config) => {
                let (epoch, members) = (config.epoch.0, config.members.len());
                tracing::info!(target: COMMIT_TARGET, slot, epoch, members, "config.committed");
            }
            Kind::Noop => tracing::debug!(target: COMMIT_TARGET, slot, "noop.committed"),
        }
    }

    fn value(&self, commit: &Commit, slot: u64, value: &str) {
        if let Some(first) = commit.duplicate_of {
            let of = first.0;
            tracing::info!(target: COMMIT_TARGET, slot, value, of, "value.duplicate");
            return;
        }
        if commit.void {
            tracing::info!(target: COMMIT_TARGET, slot, value, "value.void");
            return;
        }
        let votes = Votes(commit.votes);
        let round = commit.round.map(|round| round.0);
        let proposer = commit.proposer.map(|proposer| field::display(self.name(proposer)));
        let took = commit.took.map(|took| field::display(Took(took)));
        tracing::info!(
            target: COMMIT_TARGET,
            slot, value, %votes, round, proposer, took,
            "value.committed"
        );
    }

    fn epoch(&self, config: &EpochConfig) {
        let members = self.list(&config.members);
        tracing::info!(
            target: NODE_TARGET,
            epoch = config.epoch.0, %members, quorum = config.quorum(),
            "epoch.formed"
        );
    }

    fn round(&mut self, now: Time, round: Round, proposer: NodeId, leads: bool) {
        let Some(suppressed) = self.repeats.admit(now, "round.changed", None, CHANGES) else {
            return;
        };
        let (round, proposer) = (round.0, self.name(proposer));
        tracing::info!(target: NODE_TARGET, round, %proposer, leads, suppressed, "round.changed");
    }

    fn peer(&mut self, now: Time, peer: &NodeInfo) {
        let name = word(&peer.name).into_owned();
        self.met(peer.id, &peer.name);
        let what = match peer.status {
            NodeStatus::Online => "peer.online",
            NodeStatus::Suspected => "peer.suspected",
            NodeStatus::Offline => "peer.offline",
        };
        let Some(suppressed) = self.repeats.admit(now, what, Some(peer.id), CHANGES) else {
            return;
        };
        let address = Address { host: peer.address.clone(), port: peer.port };
        let (id, peer) = (peer.id.short(), name);
        match what {
            "peer.online" => {
                tracing::info!(target: NODE_TARGET, %peer, %id, %address, suppressed, "peer.online");
            }
            "peer.suspected" => tracing::warn!(
                target: NODE_TARGET,
                %peer, %id, %address, suppressed,
                hint = "nothing is heard of it; it is dialled again and asked through others",
                "peer.suspected"
            ),
            _ => tracing::warn!(
                target: NODE_TARGET,
                %peer, %id, %address, suppressed,
                hint = "it left, or nobody listens there; start it again, it catches up by itself",
                "peer.offline"
            ),
        }
    }

    fn quorum(&mut self, now: Time, heard: usize, needed: usize) {
        let formed = heard >= needed;
        let what = if formed { "quorum.formed" } else { "quorum.lost" };
        let Some(suppressed) = self.repeats.admit(now, what, None, CHANGES) else { return };
        if formed {
            tracing::info!(target: NODE_TARGET, heard, needed, suppressed, "quorum.formed");
        } else {
            tracing::warn!(
                target: NODE_TARGET,
                heard, needed, suppressed,
                hint = "nothing commits here until enough members are heard again: start them, or mend the network; \
                        what was committed stays",
                "quorum.lost"
            );
        }
    }

    fn lists(&mut self, now: Time, peer: NodeId, theirs: &[NodeId], ours: &[NodeId]) {
        let Some(suppressed) = self.repeats.admit(now, "lists.differ", Some(peer), CONDITIONS)
        else {
            return;
        };
        tracing::warn!(
            target: NODE_TARGET,
            peer = %self.name(peer), ours = %self.list(ours), theirs = %self.list(theirs), suppressed,
            hint = "the cluster forms only when all have met the same nodes: give every one the same --peers and start it again",
            "lists.differ"
        );
    }

    fn stranger(&mut self, now: Time, node: NodeId, members: &[NodeId]) {
        let Some(suppressed) = self.repeats.admit(now, "node.unknown", Some(node), CONDITIONS)
        else {
            return;
        };
        let hint = if node == self.me {
            "the cluster was formed without this node: its data directory was lost or is another one's, \
             or --peers names another cluster; put the directory back, or mend the list"
        } else {
            "the cluster was formed without it: its data directory was lost or is another one's, \
             or its --peers names this cluster by mistake; put its directory back, or mend its list"
        };
        tracing::warn!(
            target: NODE_TARGET,
            node = %self.name(node), id = %node, members = %self.list(members), suppressed, hint,
            "node.unknown"
        );
    }

    fn misbehaved(&mut self, now: Time, peer: NodeId, what: &'static str) {
        // One misdeed does not hide another.
        let Some(suppressed) = self.repeats.admit(now, what, Some(peer), CONDITIONS) else {
            return;
        };
        tracing::warn!(
            target: NODE_TARGET,
            peer = %self.name(peer), what, suppressed,
            hint = "what it said was ignored; check which version runs there",
            "peer.misbehaved"
        );
    }

    fn name(&self, node: NodeId) -> Cow<'_, str> {
        self.names.get(&node).map_or_else(|| node.short().into(), |name| name.as_str().into())
    }

    fn list(&self, nodes: &[NodeId]) -> String {
        let names: Vec<_> = nodes.iter().map(|node| self.name(*node)).collect();
        names.join(",")
    }
}

fn halted(halt: &Halt) {
    tracing::error!(target: NODE_TARGET, why = %halt, "node.halted");
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io;
    use std::sync::Once;
    use std::time::Duration;

    use super::*;
    use crate::consensus::{Content, Entry, Proposal};
    use crate::runtime::wording::SHOWN_CHARS_MAX;
    use crate::types::{Epoch, ProposalId, Slot, Value};

    thread_local! {
        static PAGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    /// Writes to the page of the thread.
    struct Pen;

    impl io::Write for Pen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            PAGE.with_borrow_mut(|page| page.write(bytes))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `tell` leads to, as an operator reads them.
    ///
    /// One subscriber for all threads: a line that some thread reaches first without any is
    /// remembered by tracing as wanted by nobody.
    fn lines(tell: impl FnOnce(&mut Narrator)) -> Vec<String> {
        static LISTENING: Once = Once::new();
        LISTENING.call_once(|| {
            tracing_subscriber::fmt()
                .with_writer(|| Pen)
                .without_time()
                .with_target(false)
                .with_ansi(false)
                .init();
        });
        tell(&mut Narrator::new(node(1), "n1"));
        let text = String::from_utf8(PAGE.take()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn node(bits: u128) -> NodeId {
        NodeId::from_u128(bits)
    }

    fn commit(text: &str) -> Commit {
        let proposal = Proposal {
            id: ProposalId::from_u128(7),
            value: Value::new(text).unwrap(),
            until: None,
        };
        let content = Content { epoch: Epoch(1), kind: Kind::Value(proposal) };
        Commit {
            entry: Entry::after(Position::GENESIS, content),
            votes: Some((2, 3)),
            round: Some(Round(0)),
            proposer: Some(node(1)),
            took: Some(Duration::from_micros(3_210)),
            duplicate_of: None,
            void: false,
        }
    }

    fn committed(commit: Commit) -> Event {
        Event::Log(consensus::Event::Committed(commit))
    }

    fn online(id: u128, name: &str) -> Event {
        Event::Peer(NodeInfo {
            id: node(id),
            name: name.to_owned(),
            address: "::1".to_owned(),
            port: 8001,
            status: NodeStatus::Online,
            last_seen: None,
        })
    }

    #[test]
    fn a_commit_is_one_line() {
        let told = lines(|narrator| narrator.tell(Time::ZERO, &committed(commit("blue"))));
        let line =
            r#"INFO value.committed slot=1 value="blue" votes=2/3 round=0 proposer=n1 took=3.2ms"#;
        assert_eq!(told, [line]);
    }

    #[test]
    fn a_commit_learned_from_others_says_so() {
        let learned =
            Commit { votes: None, round: None, proposer: None, took: None, ..commit("blue") };
        let told = lines(|narrator| narrator.tell(Time::ZERO, &committed(learned)));
        assert_eq!(told, [r#"INFO value.committed slot=1 value="blue" votes=learned"#]);
    }

    #[test]
    fn a_value_without_effect_is_not_called_committed() {
        let again = Commit { duplicate_of: Some(Slot(1)), ..commit("blue") };
        let void = Commit { void: true, ..commit("blue") };
        let told = lines(|narrator| {
            narrator.tell(Time::ZERO, &committed(again));
            narrator.tell(Time::ZERO, &committed(void));
        });
        assert!(told[0].starts_with("INFO value.duplicate slot=1"), "{told:?}");
        assert!(told[1].starts_with("INFO value.void slot=1"), "{told:?}");
    }

    #[test]
    fn a_value_is_cut_and_cannot_break_the_line() {
        let text = format!("a\n\u{1b}[31m{}", "é".repeat(500));
        let told = lines(|narrator| narrator.tell(Time::ZERO, &committed(commit(&text))));
        assert_eq!(told.len(), 1);
        assert!(told[0].contains(r#"value="a\n\u{1b}[31mé"#), "{told:?}");
        assert!(told[0].contains("é…\""), "{told:?}");
        assert_eq!(told[0].matches('é').count(), SHOWN_CHARS_MAX - 7);
    }

    #[test]
    fn a_name_cannot_be_taken_for_more_than_a_name() {
        let told = lines(|narrator| narrator.tell(Time::ZERO, &online(2, "n2 votes=9/9")));
        assert!(
            told[0].contains(r#"peer="n2 votes=9/9" id=00000000 address=[::1]:8001"#),
            "{told:?}"
        );
    }

    #[test]
    fn repeats_are_counted_not_told() {
        let told = lines(|narrator| {
            for _ in 0..100 {
                narrator.tell(Time::ZERO, &online(2, "n2"));
            }
            narrator.tell(Time::ZERO, &online(3, "n3"));
            narrator.tell(Time::ZERO + CHANGES.per, &online(2, "n2"));
        });
        assert_eq!(told.len(), CHANGES.lines as usize + 2);
        assert!(told.last().unwrap().contains("suppressed=90"), "{told:?}");
    }

    #[test]
    fn commits_are_told_each() {
        let told = lines(|narrator| {
            for _ in 0..1_000 {
                narrator.tell(Time::ZERO, &committed(commit("blue")));
            }
        });
        assert_eq!(told.len(), 1_000);
    }

    #[test]
    fn lists_that_differ_are_shown_with_the_way_out() {
        let event = Event::ListsDiffer {
            peer: node(2),
            theirs: vec![node(2)],
            ours: vec![node(1), node(2)],
        };
        let told = lines(|narrator| {
            narrator.tell(Time::ZERO, &online(2, "n2"));
            narrator.tell(Time::ZERO, &event);
        });
        assert!(told[1].contains("WARN lists.differ peer=n2 ours=n1,n2 theirs=n2"), "{told:?}");
        assert!(told[1].contains("--peers"), "{told:?}");
    }
}
