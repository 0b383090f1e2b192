//! What the consensus machine holds, and the few deeds that every rule uses.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::consensus::durable::Durable;
use crate::consensus::known::Known;
use crate::consensus::others::Others;
use crate::consensus::proposals::{Pending, Queue};
use crate::consensus::reads::Reads;
use crate::consensus::role::Role;
use crate::consensus::tally::Tally;
use crate::consensus::{
    Body, Effects, EpochConfig, Event, Halt, Record, Settings, State, To, Vote,
};
use crate::mutant::{self, Mutant};
use crate::types::{Epoch, NodeId, Position, ProposalId, Round, Slot, Time};

/// A node as the rules see it: a member of an epoch, or one that waits for the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub(super) me: NodeId,
    pub(super) life: u64,
    pub(super) settings: Settings,
    pub(super) chance: Chance,
    /// What all records made so far amount to.
    pub(super) state: State,
    /// What of it may be said.
    pub(super) durable: Durable,
    pub(super) role: Role,
    pub(super) view: View,
    pub(super) others: Others,
    pub(super) tally: Tally,
    /// What the tally amounted to last, and how many votes made it.
    pub(super) counted: Option<(Position, usize)>,
    pub(super) catchup: Catchup,
    pub(super) delivery: Delivery,
    pub(super) pending: Pending,
    pub(super) queue: Queue,
    pub(super) known: Known,
    pub(super) reads: Reads,
    /// Set when this node must not go on.
    pub(super) halted: bool,
    pub(super) said: Said,
    /// Take-overs of this node that failed since a round was led: T doubles with each (R11).
    pub(super) failures: u32,
    /// When a quorum began to suspect the round under way, and how long this node then waits.
    pub(super) takeover: Option<(Time, Duration)>,
    /// The last sync took longer than T: until then this node calls itself unhealthy. It must end
    /// by itself, for who is not healthy is given nothing to sync.
    pub(super) slow_until: Option<Time>,
    /// When this node was late the last time: a sync that began before may have waited for the node, not the disk.
    pub(super) late_at: Option<Time>,
    /// There is work that waits for no time.
    pub(super) urgent: bool,
    /// The moment asked for after the last step.
    pub(super) armed: Option<Time>,
    /// The first slot that this step wrote or took away.
    pub(super) written: Option<Slot>,
}

/// The round under way: the highest seen anywhere (R10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) round: Round,
    /// Its proposer leads, as far as is known.
    pub(super) led: bool,
    /// When its proposer last showed that it leads or wants to.
    pub(super) shown: Time,
}

/// Commits that were heard of and are not held yet (R9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Catchup {
    pub(super) wanted: Option<Wanted>,
    /// Whom the missing entries were asked of, and when.
    pub(super) asked: Option<(NodeId, Time)>,
}

/// The highest commit heard of that the log does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) commit: Position,
    pub(super) found: Option<Found>,
    /// When a commit beyond the log was heard of first.
    pub(super) since: Time,
}

/// What is committed and not yet told to the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivery {
    /// The last slot told.
    pub(super) delivered: Slot,
    /// How the commits beyond it were found, in order: up to which slot, by what.
    pub(super) found: VecDeque<(Slot, Option<Found>)>,
    /// When the entries beyond it came: up to which slot, when.
    pub(super) came: VecDeque<(Slot, Time)>,
}

/// The tally that made a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) votes: usize,
    pub(super) round: Round,
}

/// What was said last, so that only news is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) vote: Option<(Round, Position)>,
    /// As the proposer of its round, to everybody (R7).
    pub(super) told: Option<Vote>,
    pub(super) promise: Option<(Round, Position, Position)>,
    pub(super) suspects: Option<Round>,
    /// Whose start was told to the host.
    pub(super) epoch: Option<Epoch>,
    /// Which round it leads, which it wants to lead, whether it is healthy.
    pub(super) shows: Option<(Option<Round>, Option<Round>, bool)>,
    pub(super) view: Option<(Round, bool)>,
}

/// A small seeded source of jitter and nonces (SplitMix64; Steele, Lea, Flood 2014).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A span in `[0, most)`.
    pub(super) fn below(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.next() % nanos)
    }
}

impl Machine {
    /// The machine as the durable `state` makes it. `proposals` are the ids of the committed
    /// proposals to be remembered (R13), in slot order. `life` grows with every start of the
    /// process (R15). `seed` feeds jitter and nonces: it differs between nodes and lives.
    pub fn new(
        me: NodeId,
        life: u64,
        settings: Settings,
        seed: u64,
        state: State,
        proposals: Vec<(ProposalId, Slot)>,
        now: Time,
    ) -> Self {
        let durable = Durable::recovered(&state);
        let said = Said { epoch: durable.announced().epoch, ..Said::default() };
        let round = state.promised.max(state.accepted).unwrap_or_default();
        let delivered = state.committed.slot;
        let mut machine = Self {
            me,
            life,
            // A value of its own: what jitter and nonces show of the seed tells nobody the key.
            known: Known::new(settings.proposal_ids_slots, proposals, Chance(!seed).next()),
            chance: Chance(seed),
            durable,
            role: Role::Follower,
            view: View { round, led: false, shown: now },
            others: Others::default(),
            tally: Tally::default(),
            counted: None,
            catchup: Catchup::default(),
            delivery: Delivery { delivered, ..Delivery::default() },
            pending: Pending::default(),
            queue: Queue::default(),
            reads: Reads::default(),
            halted: false,
            said,
            failures: 0,
            takeover: None,
            slow_until: None,
            late_at: None,
            urgent: true,
            armed: Some(now),
            written: None,
            settings,
            state,
        };
        machine.meet(now);
        machine
    }

    /// The state that all records made so far amount to, synced or not.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the next heartbeat calls durable: promised, accepted, voted, last.
    pub fn announced(&self) -> (Option<Round>, Option<Round>, Position, Position) {
        let announced = self.durable.announced();
        (announced.promised, announced.accepted, announced.voted, announced.last)
    }

    /// Feeds a model checker's `hasher` with what later behaviour depends on, and leaves out what only
    /// tells two ways to the same state apart: batch numbers, nonces, moments.
    pub fn fingerprint(&self, hasher: &mut impl Hasher) {
        self.state.hash(hasher);
        self.durable.fingerprint(hasher);
        self.role.hash(hasher);
        (self.view.round, self.view.led, self.failures).hash(hasher);
        self.others.hash(hasher);
        self.tally.fingerprint(self.state.committed.slot, hasher);
        (self.catchup.wanted.map(|wanted| wanted.commit), self.catchup.asked).hash(hasher);
        (self.delivery.delivered, self.halted, self.urgent).hash(hasher);
        (&self.queue, &self.known).hash(hasher);
        self.pending.len().hash(hasher);
        (self.said.vote, self.said.told, self.said.promise).hash(hasher);
    }

    pub(super) fn config(&self) -> Option<&EpochConfig> {
        self.state.config.as_ref()
    }

    /// Whether the start of the epoch is durable: nothing is said in it before.
    pub(super) fn may_speak(&self) -> bool {
        self.config().map(|config| config.epoch) == self.durable.announced().epoch
            && self.config().is_some()
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.config().map_or(Epoch(0), |config| config.epoch)
    }

    pub(super) fn quorum(&self) -> usize {
        self.config().map_or(usize::MAX, EpochConfig::quorum)
    }

    /// The proposer of the round under way.
    pub(super) fn proposer(&self) -> Option<NodeId> {
        self.config().map(|config| config.proposer(self.view.round))
    }

    /// T, doubled for every failed take-over, up to eightfold (R11).
    pub(super) fn patience(&self) -> Duration {
        self.settings.suspect_after * 2_u32.pow(self.failures.min(3))
    }

    /// The other members start as silent; own votes of earlier lives count.
    pub(super) fn meet(&mut self, now: Time) {
        let Some(config) = self.state.config.clone() else { return };
        self.others = Others::new(now, config.members.iter().copied().filter(|id| *id != self.me));
        self.tally = Tally::default();
        self.view.shown = now;
    }

    /// Makes a record: the state changes now, the disk follows.
    pub(super) fn record(&mut self, fx: &mut Effects, record: Record) {
        let from = match &record {
            Record::Adopt { after, .. } | Record::Learn { after, .. } => Some(after.slot.next()),
            Record::Append { entries, .. } => entries.first().map(|entry| entry.slot()),
            Record::Epoch { .. } | Record::Promise { .. } | Record::Commit { .. } => None,
        };
        self.written = match (self.written, from) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let before = self.state.voted;
        if let Err(misfit) = self.state.apply(&record) {
            unreachable!("a rule made a record against the rules: {misfit}: {record:?}");
        }
        if let Record::Promise { round } = record
            && mutant::is(Mutant::PromiseNotPersisted)
        {
            self.urgent = true;
            return self.durable.pretend(round);
        }
        let record = match record {
            Record::Learn { after, entries, .. } if mutant::is(Mutant::CommitApartFromCut) => {
                Record::Learn { after, entries, committed: after }
            }
            Record::Append { entries, .. } if mutant::is(Mutant::VoteNotPersisted) => {
                Record::Append { entries, voted: before }
            }
            record => record,
        };
        fx.persist.push(record);
    }

    pub(super) fn say(&self, fx: &mut Effects, to: To, body: Body) {
        fx.say(to, self.epoch(), body);
    }

    pub(super) fn halt(&mut self, fx: &mut Effects, halt: Halt) {
        if !self.halted {
            self.halted = true;
            fx.publish.push(Event::Halt(halt));
        }
    }

    /// A higher round was seen: what this node does in a lower one ends (R2, R10).
    pub(super) fn see_round(&mut self, now: Time, round: Round) {
        if round > self.view.round {
            self.view = View { round, led: false, shown: now };
            self.takeover = None;
            if !mutant::is(Mutant::LeadsPastPromise) {
                self.step_down();
            }
        }
    }

    /// The proposer of `round` showed that it leads.
    pub(super) fn see_leads(&mut self, now: Time, round: Round) {
        self.see_round(now, round);
        if round == self.view.round {
            self.view.led = true;
            self.view.shown = now;
            self.failures = 0;
        }
    }

    /// Candidacy and leading end.
    pub(super) fn step_down(&mut self) {
        self.role = Role::Follower;
        self.queue = Queue::default();
        self.urgent = true;
    }

    /// What may never be, whatever was told: our own bugs, not a peer's.
    pub(super) fn assert_invariants(&self) {
        let state = &self.state;
        assert!(state.accepted <= state.promised, "what is adopted is promised");
        assert!(state.committed.slot <= state.last().slot, "the log holds what is committed");
        assert!(self.delivery.delivered <= state.committed.slot, "only commits are delivered");
        match &self.role {
            Role::Follower => {}
            Role::Opening => {
                assert_eq!((state.promised, state.accepted), (Some(Round(0)), Some(Round(0))));
            }
            Role::Candidate(candidate) => assert_eq!(state.promised, Some(candidate.round)),
            Role::Leading(leading) => {
                assert_eq!(state.promised, Some(leading.round), "R2");
                assert_eq!(state.accepted, Some(leading.round), "R2");
            }
        }
    }
}
