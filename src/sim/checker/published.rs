//! What nodes publish: commits, answers, accusations.

use crate::consensus::{self, Commit};
use crate::engine::Event;
use crate::sim::checker::invariant::{Finding, Invariant, Verdict};
use crate::sim::checker::judge::Checker;
use crate::types::NodeId;

impl Checker {
    /// A node publishes something.
    pub(in crate::sim) fn published(&mut self, node: usize, event: &Event) -> Verdict {
        match event {
            Event::Log(event) => self.published_of_log(node, event),
            Event::Misbehaved { peer, what } => Err(accused(*peer, what)),
            Event::ListsDiffer { peer, .. } => Err(accused(*peer, "announces another list")),
            Event::NotAMember { node, .. } => Err(accused(*node, "does not belong")),
            Event::Peer(_)
            | Event::Quorum { .. }
            | Event::Received { .. }
            | Event::Acknowledged { .. }
            | Event::Sent { .. }
            | Event::SendRefused { .. } => Ok(()),
        }
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
            Event::Misbehaved { peer, what } => Err(accused(*peer, what)),
            Event::Halt(halt) => Err((Invariant::NoFalseAlarm, halt.to_string())),
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

fn accused(peer: NodeId, what: &str) -> Finding {
    (Invariant::NoFalseAlarm, format!("accuses {peer}, which is honest: {what}"))
}
