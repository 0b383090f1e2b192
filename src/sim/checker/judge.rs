//! The judge and what it knows of every node; what is looked at after a step and at rest.

use std::collections::{BTreeMap, VecDeque};

use crate::consensus::{EpochConfig, Proposal, Record};
use crate::dispatch::Counts;
use crate::engine::{Engine, Settings};
use crate::sim::checker::claims::Claimant;
use crate::sim::checker::history::History;
use crate::sim::checker::invariant::{Invariant, Verdict};
use crate::sim::checker::ledger::{Head, Ledger};
use crate::sim::checker::oracle::{Attempt, Oracle};
use crate::sim::checker::outcasts::Outcasts;
use crate::sim::checker::texts::Texts;
use crate::sim::checker::watch::Watch;
use crate::types::{NodeId, Position, Round, Slot, Time, Value};
use crate::wire::Payload;

/// The judge of one cluster.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Checker {
    pub(super) ids: Vec<NodeId>,
    pub(super) settings: Settings,
    pub(super) config: Option<EpochConfig>,
    pub(super) books: Vec<Book>,
    pub(super) oracle: Oracle,
    pub(super) history: History,
    unseen: &'static [Invariant],
    pub(super) texts: Texts,
    pub(super) outcasts: Outcasts,
}

/// What is known of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    /// All records made, synced or not.
    pub(super) live: Ledger,
    /// The synced ones.
    pub(super) durable: Ledger,
    /// The records between them.
    pub(super) unsynced: VecDeque<Record>,
    /// The state behind every batch that the node was not told of yet.
    pub(super) batches: VecDeque<(u64, Head)>,
    /// What the node was told to be durable.
    pub(super) told: Head,
    pub(super) votes: BTreeMap<Attempt, Position>,
    /// The last slot delivered in this life.
    pub(super) delivered: Slot,
    /// Whom it hears.
    pub(super) watch: Watch,
}

impl Checker {
    pub(in crate::sim) fn new(ids: Vec<NodeId>, settings: Settings) -> Self {
        let books = vec![Book::default(); ids.len()];
        Self {
            ids,
            settings,
            config: None,
            books,
            oracle: Oracle::default(),
            history: History::default(),
            unseen: &[],
            texts: Texts::default(),
            outcasts: Outcasts::default(),
        }
    }

    /// From now on these invariants are not looked at.
    pub(in crate::sim) fn overlook(&mut self, unseen: &'static [Invariant]) {
        self.unseen = unseen;
    }

    /// Whether this invariant is not looked at.
    pub(in crate::sim) fn overlooks(&self, invariant: Invariant) -> bool {
        self.unseen.contains(&invariant)
    }

    /// The end of what is chosen.
    pub(in crate::sim) fn chosen(&self) -> Position {
        self.oracle.tip()
    }

    /// What all records of a node amount to.
    pub(in crate::sim) fn head(&self, node: usize) -> Head {
        self.books[node].live.head()
    }

    /// Whether the log of a node passes through `position`.
    pub(in crate::sim) fn holds(&self, node: usize, position: Position) -> bool {
        self.books[node].live.contains(position)
    }

    /// The last slot delivered at a node in the life of its process.
    pub(in crate::sim) fn delivered_to(&self, node: usize) -> Slot {
        self.books[node].delivered
    }

    /// The value that a node has delivered in `slot`.
    pub(in crate::sim) fn delivered_value(&self, node: usize, slot: Slot) -> Option<Value> {
        let position =
            self.books[node].live.at(slot).filter(|_| slot <= self.books[node].delivered)?;
        self.history.value(self.oracle.known(position.hash)?.proposal?)
    }

    pub(in crate::sim) fn offered(&mut self, proposal: &Proposal) {
        self.history.offer(proposal);
    }

    pub(in crate::sim) fn read_begins(&mut self, token: u64) {
        self.history.read(token);
    }

    /// A node says something to others.
    pub(in crate::sim) fn said(&self, node: usize, payload: &Payload) -> Verdict {
        if self.is_out(node) {
            return self.said_by_outcast(node, payload);
        }
        let book = &self.books[node];
        let proposes = |round| self.proposes(node, round);
        let claimant = Claimant {
            told: &book.told,
            votes: &book.votes,
            live: &book.live,
            oracle: &self.oracle,
            proposes: &proposes,
        };
        match payload {
            Payload::Consensus(message) => claimant.says(message),
            Payload::HeartBeat(beat) => beat.log.as_ref().map_or(Ok(()), |log| claimant.beats(log)),
            Payload::Ping(_) | Payload::Pong(_) | Payload::Data(_) => Ok(()),
        }
    }

    /// A node has taken an input; all that it wanted done is known.
    pub(in crate::sim) fn stepped(&self, node: usize, engine: &Engine) -> Verdict {
        let book = &self.books[node];
        let state = engine.consensus().state();
        let (live, held) = (book.live.head(), Head::of(state));
        if live != held && !self.overlooks(Invariant::ReplayEquality) {
            return Err((
                Invariant::ReplayEquality,
                format!("the machine holds {held:?}, its records make {live:?}"),
            ));
        }
        if state.config.is_some() && engine.wake().is_none() {
            return Err((Invariant::TimerArmed, "waits for nothing".into()));
        }
        let settings = &self.settings.consensus;
        let ahead = held.last.slot.0.saturating_sub(self.oracle.tip().slot.0);
        if ahead > settings.window_slots {
            let what = format!(
                "runs {ahead} slots ahead of what is chosen, the window has {}",
                settings.window_slots
            );
            return Err((Invariant::BuffersBounded, what));
        }
        Ok(())
    }

    /// A look at the queues that is too dear for every step.
    pub(in crate::sim) fn looked_at(&self, engine: &Engine, now: Time) -> Verdict {
        let pending = engine.consensus().standing(now).pending;
        if pending > self.settings.consensus.pending_max {
            return Err((Invariant::BuffersBounded, format!("{pending} proposals are pending")));
        }
        Ok(())
    }

    /// The tables of `dispatch` hold what this process was given and has to give, and no more.
    pub(in crate::sim) fn remembers(&self, node: usize, counts: Counts) -> Verdict {
        let (given, under_way) = (self.texts.given(node), self.texts.under_way(node));
        if counts.remembered > given || counts.unacknowledged > under_way {
            let what = format!(
                "remembers {} texts of {given} and waits with {} of {under_way}",
                counts.remembered, counts.unacknowledged
            );
            return Err((Invariant::DedupBounded, what));
        }
        Ok(())
    }

    /// A node at rest keeps no more in memory than it is set to.
    pub(in crate::sim) fn rests(&self, engine: &Engine) -> Verdict {
        let held = engine.consensus().state().tail.len();
        // The newest stays, whatever the setting.
        let most = self.settings.consensus.retained_slots + 1;
        if held > most {
            let what = format!("holds {held} entries in memory at rest, set to {most}");
            return Err((Invariant::BuffersBounded, what));
        }
        Ok(())
    }

    /// Faults have stopped and everything is said to be done: all logs are one.
    pub(in crate::sim) fn at_rest(&self) -> Verdict {
        let tip = self.oracle.tip();
        self.outcasts_known()?;
        let intact = self.books.iter().enumerate().filter(|(node, _)| !self.is_out(*node));
        for (node, book) in intact {
            let head = book.live.head();
            if (head.last, head.committed, book.delivered) != (tip, tip, tip.slot) {
                let what = format!(
                    "node {} holds {} and commits {}, delivered slot {}; chosen is {tip}",
                    node + 1,
                    head.last,
                    head.committed,
                    book.delivered
                );
                return Err((Invariant::LogsIdentical, what));
            }
        }
        if let Some((id, peer)) = self.texts.open(|id| self.is_intact(id)) {
            let what = format!("text {id} is not with {peer}, or its sender does not know");
            return Err((Invariant::DeliveredAtLeastOnce, what));
        }
        Ok(())
    }

    pub(super) fn proposes(&self, node: usize, round: Round) -> bool {
        self.proposer(round) == Some(node)
    }

    /// Who proposes in `round`.
    pub(in crate::sim) fn proposer(&self, round: Round) -> Option<usize> {
        let proposer = self.config.as_ref()?.proposer(round);
        self.ids.iter().position(|id| *id == proposer)
    }
}
