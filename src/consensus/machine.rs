//! One input in, effects out: which rule answers what.

use crate::consensus::core::Machine;
use crate::consensus::others::Told;
use crate::consensus::role::Role;
use crate::consensus::voter::misbehaved;
use crate::consensus::{
    Beat, Body, Effects, EpochConfig, Event, Halt, Input, Message, Read, ReadReply, Record,
    Remember, To,
};
use crate::limits;
use crate::mutant::{self, Mutant};
use crate::types::{NodeId, Round, Slot, Time};

/// What a peer did that spoke of such a round.
const FAR_ROUND: &str = "named a round far beyond any that can have been led";

impl Machine {
    /// Takes one input. One call with a non-empty [`Effects::persist`] is one batch;
    /// batches count from 1 in the order of the calls.
    ///
    /// Inputs that only queue work (proposals, reads, announcements) leave it to the next
    /// [`Input::Tick`], which [`Machine::wake`] then asks for at once: a host that takes many
    /// inputs before it looks at `wake` gets one record and one message for all of them.
    pub fn step(&mut self, now: Time, input: Input) -> Effects {
        let mut fx = Effects::default();
        if self.halted {
            return fx;
        }
        self.blame_itself_first(now);
        let worked = matches!(input, Input::Tick);
        match input {
            Input::Tick => self.work(now, &mut fx),
            Input::Found(config) => self.found(now, &mut fx, config),
            Input::Message { from, message } => self.on_message(now, &mut fx, from, message),
            Input::Beat { from, beat } => self.on_beat(now, &mut fx, from, beat),
            Input::Heard(peer) => self.others.heard(now, peer),
            Input::Lost(peer) => {
                self.others.lost(peer);
                self.urgent = true;
            }
            Input::Synced { through, took } => {
                self.durable.synced(through);
                let overslept = self.late_at.is_some_and(|late| now.since(late) < took);
                if took > self.settings.suspect_after && !overslept {
                    self.slow_until = Some(now + 4 * self.settings.suspect_after);
                }
                self.after_sync(now, &mut fx);
            }
            Input::Deaf => self.forgive(now),
            Input::Submit(proposal) => self.on_proposal(now, &mut fx, proposal),
            Input::Read { token } => self.on_read_wanted(&mut fx, token),
            Input::Lead { round } => self.lead(now, &mut fx, round),
        }
        self.finish(now, &mut fx, worked);
        fx
    }

    /// What may be said now that more is durable.
    fn after_sync(&mut self, now: Time, fx: &mut Effects) {
        let announced = self.durable.announced().epoch;
        if self.said.epoch != announced
            && let Some(config) = self.config()
        {
            fx.publish.push(Event::EpochStarted(config.clone()));
            self.said.epoch = announced;
        }
        self.opened(now);
        self.prepare(fx);
        self.vote(now, fx);
        self.promise(fx);
    }

    /// What is done because time has passed or because inputs left work behind.
    fn work(&mut self, now: Time, fx: &mut Effects) {
        self.urgent = false;
        if self.config().is_none() {
            return;
        }
        self.open_first_round(fx);
        if mutant::is(Mutant::LedBeforeSync) {
            self.opened(now);
        }
        self.show_own_role(now);
        if !self.may_speak() {
            return;
        }
        self.vote(now, fx);
        self.promise(fx);
        self.tell_suspicion(now, fx);
        self.consider_takeover(now, fx);
        self.prepare(fx);
        self.choose_log(now, fx);
        self.submit_pending(now, fx);
        self.drive(now, fx);
        self.fetch_missing(now, fx);
        self.read_barrier(now, fx);
        let shows = (self.leads_round(), self.candidate_round(), self.is_healthy(now));
        if self.said.shows != Some(shows) {
            self.said.shows = Some(shows);
            fx.beat_now = true;
        }
    }

    fn found(&mut self, now: Time, fx: &mut Effects, config: EpochConfig) {
        if self.config().is_none() {
            let base = self.state.committed;
            self.record(fx, Record::Epoch { config, base });
            self.meet(now);
            self.urgent = true;
        }
    }

    fn on_message(&mut self, now: Time, fx: &mut Effects, from: NodeId, message: Message) {
        let is_of_epoch = message.epoch == self.epoch() || mutant::is(Mutant::OtherEpochHeard);
        if !self.knows(from) || !self.may_speak() || !is_of_epoch {
            return;
        }
        self.others.heard(now, from);
        if self.is_out_of_sight(message.body.round()) {
            return misbehaved(fx, from, FAR_ROUND);
        }
        // R15: what counts towards a quorum, and what only a member in its senses may ask for.
        let is_counted = match &message.body {
            Body::Vote(_)
            | Body::Prepare(_)
            | Body::Promise(_)
            | Body::Propose(_)
            | Body::ReadReply(_) => true,
            Body::Refuse(_)
            | Body::Fetch(_)
            | Body::Entries(_)
            | Body::Submit(_)
            | Body::Read(_)
            | Body::Remember(_) => false,
        };
        if is_counted && self.others.has_forgotten(from) {
            return;
        }
        match message.body {
            Body::Vote(vote) => self.on_vote(now, fx, from, vote),
            Body::Prepare(prepare) => self.on_prepare(now, fx, from, prepare.round),
            Body::Promise(promise) => self.on_promise(now, fx, from, promise),
            Body::Propose(propose) => self.on_propose(now, fx, from, propose),
            Body::Refuse(refuse) => self.on_refuse(now, fx, from, refuse),
            Body::Fetch(fetch) => self.on_fetch(fx, from, fetch),
            Body::Entries(entries) => self.on_entries(now, fx, from, entries),
            Body::Submit(submit) => self.on_submit(submit),
            Body::Read(read) => {
                let last = self.durable.announced().last;
                let reply = ReadReply { nonce: read.nonce, last };
                self.say(fx, To::One(from), Body::ReadReply(reply));
            }
            Body::ReadReply(reply) => {
                self.reads.reply(from, reply.nonce, reply.last.slot);
                self.urgent = true;
            }
            Body::Remember(remember) => self.on_remember(fx, from, remember),
        }
    }

    fn on_beat(&mut self, now: Time, fx: &mut Effects, from: NodeId, beat: Beat) {
        if !self.knows(from) || !self.may_speak() || beat.epoch != self.epoch() {
            return;
        }
        self.others.heard(now, from);
        if self.is_out_of_sight(beat.round()) {
            return misbehaved(fx, from, FAR_ROUND);
        }
        let known = self.others.get(from).and_then(|other| other.beat);
        let is_first = known.is_none_or(|before| before.life != beat.life);
        match self.others.told(from, beat) {
            Told::News => {}
            Told::Strange => return,
            Told::Less { remember, in_another_life, again } => {
                // Harmless where heartbeats were merely overtaken: who announced it holds it.
                if in_another_life || again {
                    self.say(fx, To::One(from), Body::Remember(remember));
                }
                if in_another_life {
                    let what = "announces less than it did in another life: its data directory is an old copy";
                    misbehaved(fx, from, what);
                }
                return;
            }
        }
        self.others.committed(from, beat.committed);
        // Who suspects a round has seen it: of a round that died with all who promised it others hear only so.
        for round in [beat.promised, beat.accepted, beat.suspects].into_iter().flatten() {
            self.see_round(now, round);
        }
        if let Some(round) = beat.candidate {
            self.on_prepare(now, fx, from, round);
        }
        match beat.leads {
            Some(round) if self.config().is_none_or(|config| config.proposer(round) != from) => {
                misbehaved(fx, from, "leads a round that is not its own");
            }
            Some(round) => self.see_leads(now, round),
            None if self.proposer() == Some(from) => self.view.led = false,
            None => {}
        }
        if let Some(round) = beat.accepted {
            self.count(now, fx, from, round, beat.voted);
            self.note_progress(from, beat.accepted, beat.voted);
        }
        self.repair(now, from, beat.accepted, beat.voted, is_first);
        self.on_commit(now, fx, from, beat.committed, None);
        self.urgent |= beat.suspects.is_some() || !beat.healthy;
    }

    /// Whether no honest member can be so far ahead. What is not heard is as good as lost, which is always safe.
    fn is_out_of_sight(&self, round: Option<Round>) -> bool {
        round.is_some_and(|round| {
            round.0.saturating_sub(self.view.round.0) > limits::ROUNDS_AHEAD_MAX
        })
    }

    /// R15: a peer says what this node announced in an earlier life.
    fn on_remember(&mut self, fx: &mut Effects, from: NodeId, remember: Remember) {
        let announced = self.durable.announced();
        let forgot = remember.promised > announced.promised
            || (remember.accepted, remember.voted.slot)
                > (announced.accepted, announced.voted.slot);
        if forgot {
            self.halt(fx, Halt::Forgot { peer: from });
        }
    }

    fn on_read_wanted(&mut self, fx: &mut Effects, token: u64) {
        if mutant::is(Mutant::LeaseRead) && self.leads_round().is_some() {
            let at = self.state.tail.position(self.delivery.delivered).expect("it is held");
            return fx.publish.push(Event::ReadReady { token, at });
        }
        if self.config().is_none() || !self.reads.take(token) {
            fx.publish.push(Event::ReadRefused { token });
        }
        self.urgent = true;
    }

    /// R12: one barrier for all reads that came before it; another if no quorum answers, or what it
    /// waits for does not come, as after a round change.
    fn read_barrier(&mut self, now: Time, fx: &mut Effects) {
        let retry = self.settings.suspect_after / 2;
        let overdue = self.reads.sent().is_some_and(|sent| now.since(sent) >= retry);
        if self.reads.wants_barrier() || overdue {
            let nonce = self.chance.next() >> 11;
            let own = (self.me, self.durable.announced().last.slot);
            self.reads.start(now, nonce, own);
            self.say(fx, To::Everyone, Body::Read(Read { nonce }));
        }
    }

    fn answer_reads(&mut self, fx: &mut Effects) {
        let tokens = self.reads.ready(self.quorum(), self.delivery.delivered);
        for token in tokens {
            let at = self.state.tail.position(self.delivery.delivered);
            let at = at.expect("what was delivered last is held");
            fx.publish.push(Event::ReadReady { token, at });
            self.urgent |= self.reads.wants_barrier();
        }
    }

    /// A silence that this node slept through is nobody's fault (DESIGN: local health).
    fn blame_itself_first(&mut self, now: Time) {
        let late = self.settings.suspect_after / 2;
        if self.armed.is_some_and(|armed| now > armed + late) {
            self.late_at = Some(now);
            self.forgive(now);
        }
    }

    fn forgive(&mut self, now: Time) {
        self.others.forgive(now);
        self.view.shown = now;
    }

    fn finish(&mut self, now: Time, fx: &mut Effects, worked: bool) {
        self.commit_wanted(now, fx);
        if !fx.persist.is_empty() {
            let needs_sync = fx.persist.iter().any(Record::needs_sync);
            let written = self.written.take();
            self.durable.handed_over(now, needs_sync, written, &self.state);
        }
        self.deliver(now, fx);
        self.answer_reads(fx);
        let (slots, bytes) = (self.settings.retained_slots, self.settings.retained_bytes);
        if !mutant::is(Mutant::NothingForgotten) {
            self.state.trim(self.delivery.delivered.previous(), slots, bytes);
        }
        let view = (self.view.round, self.view.led);
        if self.said.view != Some(view)
            && let Some(proposer) = self.proposer()
        {
            self.said.view = Some(view);
            self.urgent = true;
            fx.publish.push(Event::RoundChanged { round: view.0, proposer, leads: view.1 });
        }
        self.armed = Some(self.deadline(now, worked));
        self.assert_invariants();
    }

    /// When [`Input::Tick`] is wanted.
    pub fn wake(&self) -> Option<Time> {
        self.armed
    }

    /// `worked`: whatever was due by `now` is done, or waits for something else than time.
    fn deadline(&self, now: Time, worked: bool) -> Time {
        if self.urgent {
            return now;
        }
        let patience = self.patience();
        let proposer = self.proposer().and_then(|proposer| self.others.get(proposer));
        let (candidacy, pull) = match &self.role {
            Role::Candidate(candidate) => {
                let pull = candidate.pull.as_ref().map(|pull| pull.asked + self.fetch_retry());
                (Some(candidate.until), pull)
            }
            Role::Follower | Role::Opening | Role::Leading(_) => (None, None),
        };
        let fetch = self.catchup.wanted.map(|wanted| match self.catchup.asked {
            Some((_, at)) => at + self.fetch_retry(),
            None => wanted.since + self.fetch_delay(),
        });
        let soonest = [
            proposer.map(|other| other.heard + patience),
            Some(self.view.shown + patience),
            self.takeover.map(|(since, wait)| since + wait),
            candidacy,
            pull,
            fetch,
            self.pending.oldest_submission().map(|at| at + patience),
            self.reads.sent().map(|at| at + self.settings.suspect_after / 2),
            self.durable.waits_since().map(|made| made + self.settings.suspect_after),
        ]
        .into_iter()
        .flatten()
        .filter(|at| !worked || *at > now)
        // Whatever has no moment of its own here is looked at four times in T.
        .fold(now + self.settings.suspect_after / 4, Time::min);
        soonest.max(now)
    }

    fn knows(&self, peer: NodeId) -> bool {
        self.others.get(peer).is_some() || mutant::is(Mutant::StrangersVoteCounted)
    }

    pub(super) fn leads_round(&self) -> Option<Round> {
        match &self.role {
            Role::Leading(leading) => Some(leading.round),
            Role::Follower | Role::Opening | Role::Candidate(_) => None,
        }
    }

    pub(super) fn leads_or_opens(&self, round: Round) -> bool {
        match &self.role {
            Role::Leading(leading) => leading.round == round,
            Role::Opening => round == Round(0),
            Role::Follower | Role::Candidate(_) => false,
        }
    }

    pub(super) fn candidate_round(&self) -> Option<Round> {
        match &self.role {
            Role::Candidate(candidate) if candidate.prepared => Some(candidate.round),
            Role::Follower | Role::Opening | Role::Candidate(_) | Role::Leading(_) => None,
        }
    }

    /// What the next heartbeat says; none before the start of the epoch is durable.
    pub fn beat(&self, now: Time) -> Option<Beat> {
        let announced = self.durable.announced();
        Some(Beat {
            epoch: announced.epoch?,
            life: self.life,
            promised: announced.promised,
            accepted: announced.accepted,
            voted: announced.voted,
            last: announced.last,
            committed: self.state.committed,
            first_slot: Slot(1),
            suspects: self.said.suspects,
            candidate: self.candidate_round(),
            leads: self.leads_round(),
            healthy: self.is_healthy(now),
        })
    }
}
