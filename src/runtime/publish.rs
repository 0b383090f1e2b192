//! Brings what the engine publishes to those who wait for it: clients, subscribers, the operator.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{broadcast, oneshot, watch};

use crate::consensus::{self, Halt};
use crate::engine::Event;
use crate::runtime::answer::{Committed, Delivery, Outcome, ReadError, Rejection, SendError};
use crate::runtime::command::Reply;
use crate::runtime::metrics::{Metrics, Turn};
use crate::runtime::narrate::Narrator;
use crate::runtime::notice::Notice;
use crate::types::{MessageId, NodeId, Position, ProposalId, Time};

/// Clients that wait under one proposal id.
#[derive(Default)]
struct Waiting {
    replies: Vec<Waiter>,
    /// How it was committed; told just before the outcome.
    committed: Option<Committed>,
}

/// One of them.
struct Waiter {
    to: Reply,
    /// Whether it wants the decision, or only to know that the proposal is taken.
    to_the_end: bool,
}

/// Who waits for what.
///
/// Bounded by the engine: it holds only so many proposals, reads and messages, and answers at once
/// where it takes no more.
pub(super) struct Publisher {
    narrator: Narrator,
    metrics: Arc<Metrics>,
    /// What is counted since it was last added to `metrics`.
    turn: Turn,
    notices: broadcast::Sender<Notice>,
    committed: watch::Sender<Position>,
    proposals: HashMap<ProposalId, Waiting>,
    reads: HashMap<u64, oneshot::Sender<Result<Position, ReadError>>>,
    messages: HashMap<MessageId, oneshot::Sender<Result<Delivery, SendError>>>,
}

impl Publisher {
    /// Nobody waits yet.
    pub(super) fn new(
        narrator: Narrator,
        metrics: Arc<Metrics>,
        notices: broadcast::Sender<Notice>,
        committed: watch::Sender<Position>,
    ) -> Self {
        Self {
            narrator,
            metrics,
            turn: Turn::default(),
            notices,
            committed,
            proposals: HashMap::new(),
            reads: HashMap::new(),
            messages: HashMap::new(),
        }
    }

    /// `to` is told what becomes of the proposal: of the decision if `to_the_end`, or else only
    /// of one that is made before the proposal is [taken](Self::taken).
    pub(super) fn await_outcome(&mut self, id: ProposalId, to: Reply, to_the_end: bool) {
        let waiting = self.proposals.entry(id).or_default();
        // Who asks again and again under one id gave up waiting for the earlier answers.
        waiting.replies.retain(|waiter| !waiter.to.is_gone());
        waiting.replies.push(Waiter { to, to_the_end });
    }

    /// The engine has the proposal.
    pub(super) fn taken(&mut self, id: ProposalId) {
        let Some(waiting) = self.proposals.get_mut(&id) else { return };
        for waiter in waiting.replies.extract_if(.., |waiter| !waiter.to_the_end) {
            waiter.to.tell(id, Outcome::Unknown);
        }
        if waiting.replies.is_empty() {
            self.proposals.remove(&id);
        }
    }

    /// `reply` is told when the read barrier with this token is passed.
    pub(super) fn await_read(
        &mut self,
        token: u64,
        reply: oneshot::Sender<Result<Position, ReadError>>,
    ) {
        self.reads.insert(token, reply);
    }

    /// `reply` is told who has the message.
    pub(super) fn await_delivery(
        &mut self,
        id: MessageId,
        reply: oneshot::Sender<Result<Delivery, SendError>>,
    ) {
        self.messages.insert(id, reply);
    }

    /// Tells everyone whom it concerns; hands back why the node must stop, if that is what it says.
    pub(super) fn publish(&mut self, now: Time, event: Event) -> Result<(), Halt> {
        self.narrator.tell(now, &event);
        match event {
            Event::Log(event) => return self.publish_log(event),
            Event::Sent { id, by, missing } => self.delivered(id, Ok(Delivery { by, missing })),
            Event::SendRefused { id } => self.delivered(id, Err(SendError::Busy)),
            Event::Peer(peer) => self.notify(Notice::Peer(peer)),
            Event::Quorum { heard, needed } => {
                if heard < needed {
                    self.turn.quorum_lost();
                }
                self.notify(Notice::Quorum { heard, needed });
            }
            Event::Received { id, from, text } => {
                self.turn.message();
                self.notify(Notice::Received { id, from, text });
            }
            Event::Misbehaved { .. } => self.turn.misbehaved(),
            Event::ListsDiffer { .. } | Event::NotAMember { .. } | Event::Acknowledged { .. } => {}
        }
        Ok(())
    }

    /// What is committed by now: told before anything that follows from it.
    pub(super) fn committed(&self, through: Position) {
        self.committed.send_replace(through);
    }

    /// Adds what was counted in a turn to the metrics.
    pub(super) fn count(&mut self) {
        self.metrics.add(&mut self.turn);
    }

    /// What the node counts.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn publish_log(&mut self, event: consensus::Event) -> Result<(), Halt> {
        self.turn.log(&event);
        match event {
            consensus::Event::Committed(commit) => {
                if let Some(proposal) = commit.entry.proposal()
                    && let Some(waiting) = self.proposals.get_mut(&proposal.id)
                {
                    waiting.committed = Some(Committed::from(&commit));
                }
                // One line a commit is costly enough: a notice is made where somebody subscribes.
                if self.notices.receiver_count() > 0 {
                    self.notify(Notice::Committed(Arc::new(commit)));
                }
            }
            consensus::Event::Outcome { id, outcome } => self.decided(id, outcome),
            consensus::Event::ReadReady { token, at } => self.read(token, Ok(at)),
            consensus::Event::ReadRefused { token } => self.read(token, Err(ReadError::Busy)),
            consensus::Event::EpochStarted(config) => self.notify(Notice::Epoch(config)),
            consensus::Event::Halt(halt) => return Err(halt),
            consensus::Event::RoundChanged { round, proposer, leads: led } => {
                self.notify(Notice::Round { round, proposer, led });
            }
            consensus::Event::Suspects { .. } | consensus::Event::Misbehaved { .. } => {}
        }
        Ok(())
    }

    fn decided(&mut self, id: ProposalId, outcome: consensus::Outcome) {
        let outcome = match outcome {
            consensus::Outcome::Committed(position) => {
                let known =
                    self.proposals.get_mut(&id).and_then(|waiting| waiting.committed.take());
                Outcome::Committed(known.unwrap_or(Committed {
                    slot: position.slot,
                    hash: position.hash,
                    votes: None,
                    round: None,
                    proposer: None,
                    took: None,
                }))
            }
            consensus::Outcome::Duplicate(slot) => Outcome::Duplicate { slot },
            consensus::Outcome::Rejected(why) => Outcome::Rejected(Rejection::from(why)),
        };
        self.answer(id, &outcome);
    }

    /// A node has said its name.
    pub(super) fn met(&mut self, node: NodeId, name: &str) {
        self.narrator.met(node, name);
    }

    fn answer(&mut self, id: ProposalId, outcome: &Outcome) {
        for waiter in self.proposals.remove(&id).into_iter().flat_map(|waiting| waiting.replies) {
            waiter.to.tell(id, outcome.clone());
        }
    }

    fn read(&mut self, token: u64, answer: Result<Position, ReadError>) {
        if let Some(reply) = self.reads.remove(&token) {
            let _ = reply.send(answer);
        }
    }

    fn delivered(&mut self, id: MessageId, answer: Result<Delivery, SendError>) {
        if let Some(reply) = self.messages.remove(&id) {
            let _ = reply.send(answer);
        }
    }

    fn notify(&self, notice: Notice) {
        // An error only says that nobody subscribes.
        let _ = self.notices.send(notice);
    }
}
