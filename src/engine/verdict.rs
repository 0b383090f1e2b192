//! Why nothing commits here, or that all is well, in words: what is so, because of what, and what mends it.
//!
//! It decides nothing: a pure function of what the node sees.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::consensus::{Announcement, EpochConfig, Seen};
use crate::engine::Status;
use crate::peers::{self, NodeInfo, NodeStatus, Progress};
use crate::types::{NodeId, Slot, Time};

/// Slots behind the commit known here from which on a member is said to be behind.
const BEHIND_MIN: u64 = 1_000;

/// What the node can do at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Values commit, and every member is well.
    Commits,
    /// Values commit, and something wants to be looked at.
    Degraded,
    /// A quorum is heard and nobody leads; it passes by itself.
    Contested,
    /// This node's disk is too slow to take part.
    SlowDisk,
    /// Too few members are heard.
    NoQuorum,
    /// The members have not all met.
    Forming,
    /// This node cannot take part until its settings or its directory are mended.
    ShutOut,
}

/// What is to be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// In one word.
    pub state: Condition,
    /// In one line.
    pub text: String,
    /// What it follows from, a line each.
    pub because: Vec<String>,
    /// What would mend it, a line each.
    pub mend: Vec<String>,
}

/// What is known beside the node's own state.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'s> {
    /// This node.
    pub me: NodeId,
    /// Its name.
    pub name: &'s str,
    /// On the clock of [`NodeInfo::last_seen`].
    pub now: Time,
    /// The list of peers as written.
    pub listed: &'s [String],
    /// Addresses with which no link comes about, and why.
    pub obstacles: &'s [(String, String)],
}

impl Verdict {
    /// What is to be said of a node that stands like this.
    pub fn of(status: &Status, situation: &Situation<'_>) -> Self {
        let mut verdict = Self {
            state: Condition::Commits,
            text: String::new(),
            because: Vec::new(),
            mend: Vec::new(),
        };
        let mut names: BTreeMap<NodeId, String> = BTreeMap::new();
        for peer in status.peers.iter().filter(|peer| !peer.name.is_empty()) {
            names.insert(peer.id, peer.name.clone());
        }
        names.insert(situation.me, situation.name.to_owned());
        let view = View { status, situation, names };
        match (&status.log.config, &status.forming) {
            (Some(config), _) => view.formed(config, &mut verdict),
            (None, Some(progress)) => view.forming(progress, &mut verdict),
            // Its own record of the epoch is on its way to the disk.
            (None, None) => {
                verdict.state = Condition::Forming;
                verdict.text = "the cluster forms at this moment".to_owned();
            }
        }
        verdict.mend.dedup();
        verdict
    }

    fn because(&mut self, line: impl Into<String>) {
        self.because.push(line.into());
    }

    fn mend(&mut self, line: impl Into<String>) {
        let line = line.into();
        if !self.mend.contains(&line) {
            self.mend.push(line);
        }
    }
}

struct View<'v> {
    status: &'v Status,
    situation: &'v Situation<'v>,
    names: BTreeMap<NodeId, String>,
}

impl View<'_> {
    fn name(&self, node: NodeId) -> String {
        self.names.get(&node).cloned().unwrap_or_else(|| node.short())
    }

    fn all(&self, nodes: impl IntoIterator<Item = NodeId>) -> String {
        let names: Vec<_> = nodes.into_iter().map(|node| self.name(node)).collect();
        listed(&names)
    }

    /// Before there is a cluster: whom it waits for, and what stands against it.
    fn forming(&self, progress: &Progress, verdict: &mut Verdict) {
        let met = progress.listed - progress.unmet.len();
        let address = |line: &usize| {
            let text = self.situation.listed.get(*line);
            text.cloned().unwrap_or_else(|| format!("line {} of the list", line + 1))
        };
        let unmet: Vec<String> = progress.unmet.iter().map(address).collect();
        verdict.state = Condition::Forming;
        verdict.text = if !unmet.is_empty() {
            let listed_count = progress.listed;
            format!(
                "not formed yet: {met} of {listed_count} listed nodes met; waits for {}",
                listed(&unmet)
            )
        } else if !progress.waiting_for.is_empty() {
            let missing = self.all(progress.waiting_for.iter().copied());
            format!(
                "not formed yet: all listed nodes are met; waits for {missing} to have met them, too"
            )
        } else {
            "the cluster forms at this moment".to_owned()
        };
        if !unmet.is_empty() {
            verdict.mend(format!(
                "start the node at {}, or correct the list on every machine",
                listed(&unmet)
            ));
        }
        self.objections(verdict);
        self.obstacles(verdict);
    }

    fn objections(&self, verdict: &mut Verdict) {
        let is_formed = self.status.log.config.is_some();
        for objection in &self.status.objections {
            match objection {
                peers::Event::ListsDiffer { peer, theirs, ours } => {
                    let (theirs, ours) =
                        (self.all(theirs.iter().copied()), self.all(ours.iter().copied()));
                    verdict.because(format!(
                        "the lists differ: {} has met {theirs}, this node {ours}",
                        self.name(*peer)
                    ));
                    verdict.mend("give every machine the same list of peers, and start it again");
                    if !is_formed {
                        verdict.state = Condition::ShutOut;
                        verdict.text = "not formed: the lists of peers differ".to_owned();
                    }
                }
                peers::Event::NotAMember { node, members } if *node == self.situation.me => {
                    let members = self.all(members.iter().copied());
                    verdict.state = Condition::ShutOut;
                    verdict.text = "this node is no member of the cluster that it lists".to_owned();
                    verdict.because(format!("the cluster was formed of {members}"));
                    verdict.mend(
                        "put its lost data directory back, or name its own cluster in its list of peers",
                    );
                }
                peers::Event::NotAMember { node, .. } => {
                    verdict.because(format!(
                        "{} wants to belong and is no member: its data directory is new or another one's",
                        self.name(*node)
                    ));
                    verdict.mend(format!(
                        "put the data directory of {} back, or correct its list of peers",
                        self.name(*node)
                    ));
                }
                peers::Event::Status(_) | peers::Event::Misbehaved { .. } => {}
            }
        }
    }

    fn obstacles(&self, verdict: &mut Verdict) {
        for (whom, why) in self.situation.obstacles {
            // What the network said may begin with the address already.
            let why = why
                .strip_prefix(whom.as_str())
                .map_or(why.as_str(), |why| why.trim_start_matches([':', ' ']));
            verdict.because(format!("no link with {whom}: {why}"));
        }
    }

    /// With a cluster: who is heard, who leads, whose disk is slow.
    fn formed(&self, config: &EpochConfig, verdict: &mut Verdict) {
        let (members, needed) = (config.members.len(), config.quorum());
        let missing: Vec<&NodeInfo> = self
            .status
            .peers
            .iter()
            .filter(|peer| config.is_member(peer.id) && peer.status != NodeStatus::Online)
            .collect();
        let heard = members - missing.len();
        let log = &self.status.log;
        let announced = log.others.iter().filter_map(|seen| Some((seen, seen.announces?)));
        let announced: Vec<(&Seen, Announcement)> =
            announced.filter(|(seen, _)| seen.is_heard).collect();

        for peer in &missing {
            self.missing(peer, verdict);
        }
        self.deaf(config, verdict);
        for (seen, announces) in &announced {
            self.limping(config, seen, announces, verdict);
        }
        self.objections(verdict);
        if !missing.is_empty() || !self.status.objections.is_empty() {
            self.obstacles(verdict);
        }

        let proposer = log.proposer.map(|proposer| self.whose(proposer)).unwrap_or_default();
        if heard < needed {
            verdict.state = Condition::NoQuorum;
            verdict.text =
                format!("{heard} of {members} heard, {needed} needed: nothing commits here");
            verdict.mend(
                "until then nothing is lost: what was committed stays, and the other side of a split commits if \
                 it has a quorum",
            );
        } else if log.is_disk_slow {
            verdict.state = Condition::SlowDisk;
            verdict.text = format!(
                "{heard} of {members} heard, but this node's disk is too slow to vote in time"
            );
            verdict.because(match log.sync_waits {
                Duration::ZERO => "a sync took too long a moment ago".to_owned(),
                waits => format!("a record has waited {} for its sync", span(waits)),
            });
            verdict.mend(
                "look at the disk of this node: its space, its errors, and who else writes to it",
            );
        } else if !log.led {
            self.contested(&announced, heard, members, verdict);
        } else {
            verdict.state = match verdict.because.is_empty() {
                true => Condition::Commits,
                false => Condition::Degraded,
            };
            let spare = self.spare(config, heard - needed, needed);
            verdict.text = format!("{heard} of {members} heard: commits; can lose {spare} more");
            if members == 1 {
                "1 of 1 heard: commits; alone, so nothing may be lost"
                    .clone_into(&mut verdict.text);
            }
            if verdict.state == Condition::Commits {
                verdict.because(format!("{proposer} leads round {}", log.round));
            }
        }
    }

    /// A member that is not heard here: since when, and whether others hear it.
    fn missing(&self, peer: &NodeInfo, verdict: &mut Verdict) {
        let name = self.name(peer.id);
        let since =
            peer.last_seen.map_or("never heard since this node's start".to_owned(), |seen| {
                format!("last heard {} ago", span(self.situation.now.since(seen)))
            });
        let by: Vec<NodeId> = self
            .status
            .hears
            .iter()
            .filter(|(_, hears)| hears.contains(&peer.id))
            .map(|(by, _)| *by)
            .collect();
        let state = match peer.status {
            NodeStatus::Suspected => "is suspected",
            NodeStatus::Online | NodeStatus::Offline => "is offline",
        };
        if by.is_empty() {
            // Where nobody else is heard, it goes without saying.
            let by_nobody = match self.status.hears.is_empty() {
                true => "",
                false => ", and nobody heard here hears it",
            };
            verdict.because(format!("{name} {state}: {since}{by_nobody}"));
            verdict.mend(format!("start {name}, or mend the network to it"));
        } else {
            let (hear, by) = (verb(by.len(), "hears", "hear"), self.all(by));
            verdict.because(format!("{name} is not heard here ({since}), but {by} {hear} it"));
            verdict.mend(format!("mend the network between this node and {name}"));
        }
    }

    /// Pairs of members, both heard here, of whom one does not hear the other.
    fn deaf(&self, config: &EpochConfig, verdict: &mut Verdict) {
        let heard = &self.status.hears;
        for (by, hears) in heard.iter().filter(|(by, _)| config.is_member(**by)) {
            let others = heard.keys().copied().chain([self.situation.me]);
            let deaf_to = others
                .filter(|other| other != by && config.is_member(*other) && !hears.contains(other));
            let (mutual, one_way): (Vec<NodeId>, Vec<NodeId>) =
                deaf_to.partition(|other| !self.hears(*other, *by));
            // Told once, of the first of the two.
            let mutual: Vec<NodeId> = mutual.into_iter().filter(|other| by < other).collect();
            let name = self.name(*by);
            for (deaf_to, is_mutual) in [(mutual, true), (one_way, false)] {
                let to = match deaf_to.len() {
                    0 => continue,
                    _ => self.all(deaf_to.iter().copied()),
                };
                verdict.because(match (is_mutual, deaf_to.len()) {
                    (true, 1) => format!("{name} and {to} do not hear each other"),
                    (true, _) => format!("{name} does not hear {to}, nor do they hear it"),
                    (false, _) => format!("{name} does not hear {to}"),
                });
                let each = if deaf_to.len() > 1 { "each of " } else { "" };
                verdict.mend(format!("mend the network between {name} and {each}{to}"));
            }
        }
    }

    /// Whether one member hears another, as far as is known here: of whom nothing is known, the best is
    /// believed.
    fn hears(&self, by: NodeId, whom: NodeId) -> bool {
        self.status.hears.get(&by).is_none_or(|hears| hears.contains(&whom))
    }

    /// How many more members may be lost, whichever they are; `most` if everybody heard hears everybody.
    /// One that is left must still reach a quorum by its own links: each loss takes at most one link
    /// from it, and there must be more such members than losses.
    fn spare(&self, config: &EpochConfig, most: usize, needed: usize) -> usize {
        let online = self.status.peers.iter().filter(|peer| peer.status == NodeStatus::Online);
        let heard: Vec<NodeId> = online
            .map(|peer| peer.id)
            .filter(|id| config.is_member(*id))
            .chain([self.situation.me])
            .collect();
        let reach = |one: &NodeId| {
            let is_linked = |other: &&NodeId| {
                *other == one || self.hears(*one, **other) && self.hears(**other, *one)
            };
            heard.iter().filter(is_linked).count()
        };
        let reaches: Vec<usize> = heard.iter().map(reach).collect();
        let bears =
            |lost: &usize| reaches.iter().filter(|reach| **reach >= needed + *lost).count() > *lost;
        (0..=most).rev().find(bears).unwrap_or(0)
    }

    /// A member that is heard and not well.
    fn limping(
        &self,
        config: &EpochConfig,
        seen: &Seen,
        announces: &Announcement,
        verdict: &mut Verdict,
    ) {
        let name = self.name(seen.id);
        if !announces.is_healthy {
            let hears =
                self.status.hears.get(&seen.id).map(|hears| {
                    hears.iter().filter(|other| config.is_member(**other)).count() + 1
                });
            if hears.is_some_and(|hears| hears < config.quorum()) {
                verdict.because(format!(
                    "{name} hears only {} of {} members",
                    hears.unwrap_or(1),
                    config.members.len()
                ));
                verdict.mend(format!("mend the network around {name}"));
            } else {
                verdict.because(format!("the disk of {name} is slow: it says so itself"));
                verdict.mend(format!(
                    "look at the disk of {name}: its space, its errors, and who else writes to it"
                ));
            }
        }
        let Slot(here) = self.status.log.committed.slot;
        let behind = here.saturating_sub(announces.committed.slot.0);
        if behind >= BEHIND_MIN {
            verdict.because(format!("{name} is {behind} slots behind, and catches up"));
        }
    }

    /// A quorum is heard and nobody leads: who wants to, who is waited for.
    fn contested(
        &self,
        announced: &[(&Seen, Announcement)],
        heard: usize,
        members: usize,
        verdict: &mut Verdict,
    ) {
        let log = &self.status.log;
        let round = log.round;
        verdict.state = Condition::Contested;
        verdict.text = format!("{heard} of {members} heard, but round {round} is not led yet");
        let own = log.announces.map(|announces| (self.situation.me, announces));
        let all = announced.iter().map(|(seen, announces)| (seen.id, *announces)).chain(own);
        let all: Vec<(NodeId, Announcement)> = all.collect();
        let mut wants = false;
        for (id, announces) in &all {
            if let Some(candidate) = announces.candidate {
                wants = true;
                verdict.because(format!("{} wants to lead round {candidate}", self.whose(*id)));
            }
        }
        let suspecting: Vec<NodeId> = all
            .iter()
            .filter(|(_, announces)| announces.suspects.is_some_and(|suspected| suspected >= round))
            .map(|(id, _)| *id)
            .collect();
        if !wants && let Some(proposer) = log.proposer {
            verdict.because(format!("it is the turn of {}", self.whose(proposer)));
        }
        if !suspecting.is_empty()
            && let Some(proposer) = log.proposer
        {
            let suspect = verb(suspecting.len(), "suspects", "suspect");
            let (by, whom) = (self.all(suspecting), self.whose(proposer));
            verdict.because(format!("{by} {suspect} {whom}"));
        }
        verdict
            .mend("wait: another member takes over within a few of the times set as suspect_after");
        verdict.mend("if it lasts, compare `node status` of all members, and raise suspect_after if their network or disks are slow");
    }

    fn whose(&self, node: NodeId) -> String {
        match node == self.situation.me {
            true => "this node".to_owned(),
            false => self.name(node),
        }
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(items: &[String]) -> String {
    match items {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn verb(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// A span as a person reads it.
fn span(span: Duration) -> String {
    match span.as_millis() {
        millis @ 0..2_000 => format!("{millis} ms"),
        millis @ 2_000..120_000 => format!("{} s", millis / 1_000),
        millis => format!("{} min", millis / 60_000),
    }
}

#[cfg(test)]
#[path = "verdict/tests.rs"]
mod tests;
