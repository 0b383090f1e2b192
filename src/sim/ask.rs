//! Clients: they ask, lose answers, lose patience, and ask again under the same id.

use std::time::Duration;

use crate::consensus::{Outcome, Proposal, Rejection};
use crate::sim::client::{Ask, What};
use crate::sim::clock::Moment;
use crate::sim::cluster::Cluster;
use crate::sim::happening::Happening;
use crate::types::{ProposalId, Slot, Value};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(400);

/// Tokens of reads: the request, and which try of it.
const TRIES: u64 = 1 << 16;

impl Cluster {
    /// A client will propose a value of its own at `at`; `answers_lost` answers will not reach it.
    pub(super) fn plan_proposal(&mut self, at: Moment, until: Option<Slot>, answers_lost: u32) {
        let number = self.clients.asks.len();
        let id = ProposalId::from_u128(number as u128 + 1);
        let value = Value::new(format!("v{number}")).expect("a short value");
        self.clients.proposals.insert(id, number);
        self.plan_ask(at, What::Propose(Proposal { id, value, until }), answers_lost);
    }

    /// A client will read at `at`.
    pub(super) fn plan_read(&mut self, at: Moment) {
        self.plan_ask(at, What::Read, 0);
    }

    fn plan_ask(&mut self, at: Moment, what: What, answers_lost: u32) {
        self.queue.plan(at, Happening::Ask(self.clients.asks.len()));
        self.clients.asks.push(Ask { what, answers_lost, tries: 0, is_open: true });
        self.clients.open += 1;
    }

    /// How many requests have no answer yet.
    pub(super) fn open_requests(&self) -> usize {
        self.clients.open
    }

    /// A client asks some node, or asks another one after its patience is over.
    pub(super) fn ask(&mut self, number: usize) {
        let ask = &mut self.clients.asks[number];
        if !ask.is_open {
            return;
        }
        ask.tries += 1;
        self.counters.retries += u64::from(ask.tries > 1);
        let token = number as u64 * TRIES + u64::from(ask.tries);
        let what = ask.what.clone();
        self.queue.plan(self.now + PATIENCE, Happening::Ask(number));
        let node = self.rng.index(self.nodes.len());
        let runs = self.nodes[node].process.as_ref().is_some_and(|process| process.held.is_none());
        if runs {
            match what {
                What::Propose(proposal) => self.submit(node, proposal),
                What::Read => self.read(node, token),
            }
        }
    }

    /// A node answers a proposal.
    pub(super) fn answered(&mut self, id: ProposalId, outcome: Outcome) {
        let Some(number) = self.clients.proposals.get(&id).copied() else { return };
        let ask = &mut self.clients.asks[number];
        if ask.answers_lost > 0 {
            ask.answers_lost -= 1;
            self.counters.answers_lost += 1;
            return;
        }
        let is_final = match outcome {
            Outcome::Committed(_) | Outcome::Duplicate(_) => true,
            Outcome::Rejected(Rejection::Expired) => true,
            Outcome::Rejected(_) => false,
        };
        if is_final && ask.is_open {
            ask.is_open = false;
            self.clients.open -= 1;
        }
    }

    /// A node lets a read through.
    pub(super) fn read_answered(&mut self, token: u64) {
        let number = usize::try_from(token / TRIES).expect("made from an index");
        if let Some(ask) = self.clients.asks.get_mut(number)
            && ask.is_open
        {
            ask.is_open = false;
            self.clients.open -= 1;
        }
    }
}
