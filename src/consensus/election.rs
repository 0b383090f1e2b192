//! Who leads: suspecting (R10), taking over (R11), preparing and promising (R1, R2), and choosing
//! the log (R3).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::consensus::core::Machine;
use crate::consensus::others::Other;
use crate::consensus::role::{Candidate, Choice, Pull, Role, Verdict};
use crate::consensus::voter::misbehaved;
use crate::consensus::{
    Beat, Body, Effects, Entry, Event, Fetch, Halt, Prepare, Promise, Record, Refuse, To,
};
use crate::mutant::{self, Mutant};
use crate::types::{NodeId, Position, Round, Slot, Time};

impl Machine {
    /// Round 0 has nothing below it and needs no prepare; its record is synced before anything of
    /// it leaves (R2).
    pub(super) fn open_first_round(&mut self, fx: &mut Effects) {
        let Some(config) = self.config() else { return };
        let first = self.view.round == Round(0)
            && config.proposer(Round(0)) == self.me
            && self.state.promised.is_none()
            && self.state.last() == self.state.base
            && matches!(self.role, Role::Follower);
        if first {
            // R15: who adopted round 0 had it from this node, which does not remember.
            let adopted = |beat: Beat| beat.accepted == Some(Round(0));
            let by = |other: &Other| other.beat.is_some_and(adopted);
            let witness = self.others.iter().find(|(_, other)| by(other)).map(|(peer, _)| peer);
            if let Some(peer) = witness {
                return self.halt(fx, Halt::Forgot { peer });
            }
            let after = self.state.base;
            self.record(fx, Record::Adopt { round: Round(0), after, entries: Vec::new() });
            self.role = Role::Opening;
        }
    }

    /// R10: why the proposer of the round under way is suspected, if it is.
    pub(super) fn suspicion(&self, now: Time) -> Option<Round> {
        let proposer = self.proposer()?;
        let patience = self.patience();
        // Neither leads nor wants to: without this nobody would suspect a proposer that restarted.
        let is_trusted = mutant::is(Mutant::IdleProposerTrusted);
        let is_well = mutant::is(Mutant::UnhealthyProposerTrusted);
        let idle = now.since(self.view.shown) >= patience && !is_trusted;
        let suspected = if proposer == self.me {
            // A node knows at once that it neither leads nor wants to.
            (matches!(self.role, Role::Follower) && !is_trusted)
                || (!self.is_healthy(now) && !is_well)
        } else {
            let other = self.others.get(proposer);
            idle || other.is_some_and(|other| {
                let blames_itself = other.suspects(self.view.round);
                let unhealthy = other.beat.is_some_and(|beat| !beat.healthy && !is_well);
                !other.is_fresh(now, patience) || unhealthy || blames_itself
            })
        };
        suspected.then_some(self.view.round)
    }

    /// R10: hears a quorum, and its disk keeps up.
    pub(super) fn is_healthy(&self, now: Time) -> bool {
        let patience = self.settings.suspect_after;
        self.others.fresh(now, self.patience()) + 1 >= self.quorum()
            && self.slow_until.is_none_or(|until| now >= until)
            && self.durable.overdue(now) < patience
    }

    /// This node shows that it leads or wants to, as long as it does (R10).
    pub(super) fn show_own_role(&mut self, now: Time) {
        let active = match &self.role {
            Role::Follower => false,
            Role::Opening | Role::Leading(_) | Role::Candidate(_) => true,
        };
        if active {
            self.view.shown = now;
        }
    }

    /// R11: waits its turn once a quorum suspects, then takes over.
    pub(super) fn consider_takeover(&mut self, now: Time, fx: &mut Effects) {
        let Some(suspected) = self.suspicion(now) else {
            self.takeover = None;
            return;
        };
        let patience = self.patience();
        let suspecting = self
            .others
            .iter()
            .filter(|(_, other)| other.is_fresh(now, patience) && other.suspects(suspected))
            .count();
        let may = (suspecting + 1 >= self.quorum() || mutant::is(Mutant::LoneSuspicionDeposes))
            && self.is_healthy(now)
            && matches!(self.role, Role::Follower);
        if !may {
            self.takeover = None;
            return;
        }
        let (since, wait) = match self.takeover {
            Some(takeover) => takeover,
            None => {
                let rank = self.rank(now);
                let step = self.settings.takeover_step;
                let jitter = if rank == 0 { Duration::ZERO } else { self.chance.below(step / 2) };
                *self.takeover.insert((now, step * rank + jitter))
            }
        };
        if now.since(since) >= wait
            && let Some(round) =
                self.config().and_then(|c| c.next_round_of(self.me, Some(suspected)))
        {
            self.takeover = None;
            self.lead(now, fx, round);
        }
    }

    /// How many of those heard come first: whose log is more complete, and on a tie, whose turn
    /// comes sooner.
    fn rank(&self, now: Time) -> u32 {
        let Some(config) = self.config() else { return 0 };
        let proposer = self.proposer();
        let turn = |member| config.next_round_of(member, Some(self.view.round));
        let own = (self.state.accepted, self.state.last().slot);
        let first = |member: NodeId, complete: (Option<Round>, Slot)| {
            complete > own || (complete == own && turn(member) < turn(self.me))
        };
        let patience = self.patience();
        let before = self.others.iter().filter(|(member, other)| {
            Some(*member) != proposer
                && other.is_fresh(now, patience)
                && other.beat.is_some_and(|beat| beat.healthy)
                && first(*member, other.completeness())
        });
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }

    /// R2: candidacy for `round`, one of this node's own, above all that is promised.
    pub(super) fn lead(&mut self, now: Time, fx: &mut Effects, round: Round) {
        let own = self.config().is_some_and(|config| config.proposer(round) == self.me);
        if !own || self.state.promised >= Some(round) || round < self.view.round {
            return;
        }
        self.see_round(now, round);
        self.record(fx, Record::Promise { round });
        let until = now + self.patience();
        self.role = Role::Candidate(Candidate {
            round,
            until,
            prepared: false,
            promises: BTreeMap::new(),
            passed_over: BTreeSet::new(),
            left_out: BTreeSet::new(),
            pull: None,
        });
    }

    /// R2: the promise is synced, so `prepare` may leave.
    pub(super) fn prepare(&mut self, fx: &mut Effects) {
        let promised = self.durable.announced().promised;
        if let Role::Candidate(candidate) = &mut self.role
            && !candidate.prepared
            && promised == Some(candidate.round)
        {
            candidate.prepared = true;
            let round = candidate.round;
            self.urgent = true;
            self.say(fx, To::Everyone, Body::Prepare(Prepare { round }));
        }
    }

    /// R1.
    pub(super) fn on_prepare(&mut self, now: Time, fx: &mut Effects, from: NodeId, round: Round) {
        if self.config().is_none_or(|config| config.proposer(round) != from) {
            return misbehaved(fx, from, "prepared a round that is not its own");
        }
        if self.state.promised > Some(round) {
            return self.refuse(fx, from);
        }
        self.see_round(now, round);
        if round == self.view.round {
            self.view.shown = now;
        }
        if self.state.promised < Some(round) {
            self.record(fx, Record::Promise { round });
        } else if self.state.accepted != Some(round) {
            // Promised before: the promise may have been lost on its way.
            self.said.promise = None;
            self.promise(fx);
        }
    }

    /// R1: a promise, once it is synced, and again whenever what it tells has changed.
    pub(super) fn promise(&mut self, fx: &mut Effects) {
        let announced = self.durable.announced();
        let (Some(round), Some(config)) = (announced.promised, self.config()) else { return };
        let to = config.proposer(round);
        if announced.epoch != Some(config.epoch)
            || self.state.promised != Some(round)
            || announced.accepted == Some(round)
            || to == self.me
        {
            return;
        }
        let committed = self.state.committed;
        if committed.slot > announced.last.slot {
            // What leads there is about to be synced.
            return;
        }
        let says = (round, announced.last, committed);
        if self.said.promise != Some(says) {
            self.said.promise = Some(says);
            let (accepted, last) = (announced.accepted, announced.last);
            let promise = Promise { round, accepted, last, committed };
            self.say(fx, To::One(to), Body::Promise(promise));
        }
    }

    pub(super) fn on_promise(
        &mut self,
        now: Time,
        fx: &mut Effects,
        from: NodeId,
        promise: Promise,
    ) {
        self.see_round(now, promise.round);
        self.others.committed(from, promise.committed);
        if let Role::Candidate(candidate) = &mut self.role
            && (candidate.round == promise.round || mutant::is(Mutant::StalePromiseCounted))
        {
            let older = candidate
                .promises
                .get(&from)
                .is_some_and(|before| before.committed.slot > promise.committed.slot);
            if !older && candidate.promises.insert(from, promise) != Some(promise) {
                // Its log moved: what was said of the old one no longer counts.
                candidate.passed_over.remove(&from);
                candidate.left_out.remove(&from);
                candidate.pull.take_if(|pull| pull.from == from);
                self.urgent = true;
            }
        }
        self.on_commit(now, fx, from, promise.committed, None);
    }

    pub(super) fn on_refuse(&mut self, now: Time, fx: &mut Effects, from: NodeId, refuse: Refuse) {
        if let Some(promised) = refuse.promised {
            self.see_round(now, promised);
        }
        self.others.committed(from, refuse.committed);
        self.urgent |= self.leads_round().is_some();
        self.on_commit(now, fx, from, refuse.committed, None);
    }

    /// R3: goes on as far as the promises at hand allow; gives up when its time is over.
    pub(super) fn choose_log(&mut self, now: Time, fx: &mut Effects) {
        let Role::Candidate(candidate) = &self.role else { return };
        let waits_for_ever = mutant::is(Mutant::CandidateWaitsForEver);
        if now >= candidate.until && !waits_for_ever {
            self.failures += 1;
            return self.step_down();
        }
        if !candidate.prepared {
            return;
        }
        let committed = self.state.committed;
        let own = (self.state.accepted, self.state.last());
        match candidate.choose(self.quorum(), committed, own) {
            Choice::Wait => {}
            Choice::Learn(from, commit) => {
                self.on_commit(now, fx, from, commit, None);
                self.hurry_fetch();
                self.fetch_missing(now, fx);
            }
            Choice::Own => self.start_leading(now, fx, self.state.last(), Vec::new()),
            Choice::Commit => self.start_leading(now, fx, committed, Vec::new()),
            Choice::Tail(_, end) if self.state.tail.contains(end) => {
                self.start_leading(now, fx, end, Vec::new());
            }
            Choice::Tail(from, end) => self.pull_tail(now, fx, from, end),
        }
    }

    /// R3: the tail of the best promise, fetched and checked by the hash chain.
    fn pull_tail(&mut self, now: Time, fx: &mut Effects, from: NodeId, end: Position) {
        let committed = self.state.committed;
        let retry = self.fetch_retry();
        let Role::Candidate(candidate) = &mut self.role else { return };
        if let Some(pull) = &candidate.pull
            && (pull.from, pull.after, pull.end) == (from, committed, end)
        {
            match pull.verdict() {
                Verdict::Whole => {
                    let pull = candidate.pull.take().expect("looked at above");
                    let (after, entries) = self.beyond_common(pull.after, pull.got);
                    return self.start_leading(now, fx, after, entries);
                }
                Verdict::Conflict => {
                    candidate.passed_over.insert(from);
                    candidate.pull = None;
                    self.urgent = true;
                    return;
                }
                Verdict::Open
                    if now.since(pull.asked) >= retry
                        && !mutant::is(Mutant::CandidateWaitsForEver) =>
                {
                    candidate.left_out.insert(from);
                    candidate.pull = None;
                    self.urgent = true;
                    return;
                }
                Verdict::Open => {}
            }
        } else {
            let pull = Pull::new(now, from, committed, end);
            candidate.pull = Some(pull);
        }
        let Some(pull) = candidate.pull.as_mut().filter(|pull| !pull.waiting) else { return };
        pull.waiting = true;
        let next = pull.got.last().map_or(pull.after, Entry::position).slot.next();
        let fetch = Fetch { from: next, to: end.slot };
        self.say(fx, To::One(from), Body::Fetch(fetch));
    }

    /// R10: a change of suspicion is said at once.
    pub(super) fn tell_suspicion(&mut self, now: Time, fx: &mut Effects) {
        let suspects = self.suspicion(now);
        if self.said.suspects != suspects {
            // A round that is left behind has nobody to be trusted again.
            let shown = suspects.or(self.said.suspects.filter(|round| *round == self.view.round));
            self.said.suspects = suspects;
            fx.beat_now = true;
            if let (Some(config), Some(round)) = (self.config(), shown) {
                let proposer = config.proposer(round);
                fx.publish.push(Event::Suspects { round: suspects, proposer });
            }
        }
    }
}
