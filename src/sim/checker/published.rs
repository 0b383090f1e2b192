//! What nodes publish: commits, answers, accusations.

use std::sync::Arc;

use crate::consensus::{self, Commit};
use crate::engine::{Engine, Event, Settings};
use crate::sim::checker::invariant::{Invariant, Verdict};
use crate::sim::checker::judge::Checker;
use crate::types::{MessageId, NodeId, Time};

impl Checker {
    /// A node publishes something.
    pub(in crate::sim) fn published(&mut self, node: usize, now: Time, event: &Event) -> Verdict {
        match event {
            Event::Log(event) => self.published_of_log(node, event),
            Event::Misbehaved { peer, what } => self.accused(node, *peer, what),
            Event::ListsDiffer { peer, .. } => self.accused(node, *peer, "announces another list"),
            Event::NotAMember { node: named, .. } => self.named(node, *named),
            Event::Peer(info) => {
                let suspect_after = self.settings.consensus.suspect_after;
                self.books[node].watch.judged(info.id, info.status, now, suspect_after)
            }
            Event::Received { id, from, text } => {
                self.texts.delivered((node, self.ids[node]), *id, *from, text)
            }
            Event::Acknowledged { id, by } => self.texts.acknowledged(*id, *by),
            Event::Sent { id, by, missing } => self.texts.over(*id, by, missing).map(drop),
            Event::SendRefused { id } => {
                Err((Invariant::DeliveredAtLeastOnce, format!("refuses {id}, though few wait")))
            }
            Event::Quorum { .. } => Ok(()),
        }
    }

    /// An application at `node` sends a text.
    pub(in crate::sim) fn sends(
        &mut self,
        node: usize,
        id: MessageId,
        to: Option<NodeId>,
        text: &Arc<str>,
    ) {
        let online = self.books[node].watch.online();
        self.texts.sent((node, self.ids[node]), id, to, text, online);
    }

    /// Whether the process of `node` was given this text.
    pub(in crate::sim) fn was_given(&self, node: usize, id: MessageId) -> bool {
        self.texts.has(node, id)
    }

    /// A frame of `peer`, or a new link to it, is about to be told to `node`.
    pub(in crate::sim) fn hears(
        &mut self,
        node: usize,
        peer: NodeId,
        now: Time,
        is_new_link: bool,
    ) {
        self.books[node].watch.heard(peer, now, is_new_link);
    }

    /// `node` is about to be told that a link broke, that nobody listens, or that a peer leaves.
    pub(in crate::sim) fn may_lose(&mut self, node: usize, peer: NodeId) {
        self.books[node].watch.excuse(peer);
    }

    /// `node` did not listen before `now`.
    pub(in crate::sim) fn was_late(&mut self, node: usize, now: Time) {
        self.books[node].watch.was_late(now);
    }

    /// `node` has judged every silence.
    pub(in crate::sim) fn ticked(&self, node: usize, now: Time) -> Verdict {
        let Settings { heartbeat_interval, consensus, .. } = &self.settings;
        self.books[node].watch.overlooked(now, consensus.suspect_after + *heartbeat_interval)
    }

    /// A node was just told that `peer` leaves.
    pub(in crate::sim) fn left(&self, engine: &Engine, peer: NodeId, now: Time) -> Verdict {
        let standing = engine.consensus().standing(now);
        if standing.others.iter().any(|other| other.id == peer && other.is_heard) {
            let what = format!("counts on {peer}, which said good-bye");
            return Err((Invariant::DetectorCompleteness, what));
        }
        Ok(())
    }

    fn published_of_log(&mut self, node: usize, event: &consensus::Event) -> Verdict {
        use consensus::Event;
        match event {
            Event::Committed(commit) => self.delivered(node, commit),
            Event::Outcome { id, outcome } => self.history.answered(*id, *outcome, &self.oracle),
            Event::ReadReady { token, at } => {
                let delivered = self.books[node].delivered;
                if at.slot > delivered {
                    let what =
                        format!("read {token} is let through at {at}, delivered is {delivered}");
                    return Err((Invariant::RealTime, what));
                }
                self.history.read_ready(*token, *at, &self.oracle)
            }
            Event::Misbehaved { peer, what } => self.accused(node, *peer, what),
            Event::Halt(halt) => self.halted(node, halt),
            Event::ReadRefused { .. }
            | Event::EpochStarted(_)
            | Event::RoundChanged { .. }
            | Event::Suspects { .. } => Ok(()),
        }
    }

    fn delivered(&mut self, node: usize, commit: &Commit) -> Verdict {
        let position = commit.entry.position();
        let book = &mut self.books[node];
        if position.slot != book.delivered.next() {
            return Err((
                Invariant::Integrity,
                format!("delivers {position} after slot {}", book.delivered),
            ));
        }
        book.delivered = position.slot;
        if !book.durable.contains(position) {
            return Err((
                Invariant::Durability,
                format!("delivers {position} before it is durable here"),
            ));
        }
        let members = self.config.as_ref().map_or(0, |config| config.members.len());
        if commit.votes.is_some_and(|(votes, of)| of != members || votes * 2 <= of) {
            let what =
                format!("delivers {position} with {:?} votes of {members} members", commit.votes);
            return Err((Invariant::QuorumOfConfigured, what));
        }
        self.must_be_chosen(position)?;
        let Some(proposal) = commit.entry.proposal() else { return Ok(()) };
        let effective = self.history.effective(proposal.id);
        let duplicate_of = effective.filter(|slot| *slot < position.slot);
        if commit.duplicate_of != duplicate_of {
            let what = format!(
                "delivers {position} as duplicate of {:?}, {} takes effect in {effective:?}",
                commit.duplicate_of, proposal.id
            );
            return Err((Invariant::ExactlyOnce, what));
        }
        Ok(())
    }
}
