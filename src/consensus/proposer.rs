//! Leading a round (R4) and placing proposals (R13).

use std::collections::BTreeMap;

use crate::consensus::core::Machine;
use crate::consensus::proposals::{Load, Queue};
use crate::consensus::role::{Leading, Offer, Progress, Role, contents};
use crate::consensus::{
    Body, Content, Effects, Entry, Event, Kind, Outcome, Proposal, Propose, Record, Rejection,
    Submit, To,
};
use crate::limits;
use crate::mutant::{self, Mutant};
use crate::types::{NodeId, Position, Round, Slot, Time};

impl Machine {
    /// R3's end: one atomic record holds the log chosen. Only then, propose.
    pub(super) fn start_leading(
        &mut self,
        now: Time,
        fx: &mut Effects,
        after: Position,
        entries: Vec<Entry>,
    ) {
        let Role::Candidate(candidate) = &self.role else { return };
        let round = candidate.round;
        self.came(now, entries.last().map_or(after, Entry::position));
        self.record(fx, Record::Adopt { round, after, entries });
        self.leads(now, round);
    }

    /// The record of round 0 is synced (R2).
    pub(super) fn opened(&mut self, now: Time) {
        let is_synced = self.durable.announced().accepted == Some(Round(0))
            || mutant::is(Mutant::LedBeforeSync);
        if matches!(self.role, Role::Opening) && is_synced {
            self.leads(now, Round(0));
        }
    }

    fn leads(&mut self, now: Time, round: Round) {
        let tail = self.state.tail.behind(self.delivery.delivered);
        let placed = tail.filter_map(|entry| entry.proposal().map(|p| p.id)).collect();
        let progress = self.others.iter().map(|(id, _)| (id, Progress::default())).collect();
        self.queue = Queue::default();
        self.role = Role::Leading(Leading { round, progress, placed });
        self.see_leads(now, round);
        self.urgent = true;
    }

    /// R4: places what waits, and sends every member what it lacks.
    pub(super) fn drive(&mut self, now: Time, fx: &mut Effects) {
        self.place(now, fx);
        self.bring_members_in(now, fx);
        self.send_entries(fx);
    }

    /// Entries for what waits, as far as the window allows.
    fn place(&mut self, now: Time, fx: &mut Effects) {
        let committed = self.state.committed.slot;
        let epoch = self.epoch();
        let Role::Leading(leading) = &mut self.role else { return };
        if self.queue.front().is_none() {
            return;
        }
        let mut weight = self.state.tail.weight_behind(committed);
        let mut last = self.state.last();
        let mut entries = Vec::new();
        let room = self.settings.window_slots.saturating_sub(last.slot.0 - committed.0);
        self.known.fetch(self.queue.ids().take(usize::try_from(room).unwrap_or(usize::MAX)));
        while let Some(next) = self.queue.front() {
            let ahead = last.slot.0 - committed.0;
            let full = ahead >= self.settings.window_slots
                || weight + next.weight() > self.settings.window_bytes;
            if full && ahead > 0 && !mutant::is(Mutant::WindowIgnored) {
                break;
            }
            let proposal = self.queue.pop().expect("looked at above");
            let placed =
                self.known.slot(proposal.id).is_some() || leading.placed.contains(&proposal.id);
            let void = proposal.until.is_some_and(|until| until <= last.slot);
            if (placed && !mutant::is(Mutant::RetryAppliedTwice)) || void {
                continue;
            }
            leading.placed.insert(proposal.id);
            let entry = Entry::after(last, Content { epoch, kind: Kind::Value(proposal) });
            weight += entry.weight();
            last = entry.position();
            entries.push(entry);
        }
        if !entries.is_empty() {
            self.came(now, last);
            self.record(fx, Record::Append { entries, voted: last });
        }
    }

    /// To a member that has not adopted the round: all that follows its commit, in one piece.
    fn bring_members_in(&mut self, now: Time, fx: &mut Effects) {
        let committed = self.state.committed;
        let epoch = self.epoch();
        let Role::Leading(leading) = &mut self.role else { return };
        for (member, progress) in &mut leading.progress {
            let Some(other) = self.others.get(*member) else { continue };
            let after = other.committed;
            let offered = progress.offered.is_some_and(|offer| offer.after == after);
            // Who is further behind than memory reaches learns commits first (R9).
            let ready = after.slot <= committed.slot && self.state.tail.contains(after);
            if progress.adopted || offered || !ready {
                continue;
            }
            let weight = self.state.tail.weight_behind(after.slot);
            if weight > limits::FRAME_BYTES_MAX / 2 && after.slot < committed.slot {
                continue;
            }
            progress.offered = Some(Offer { after, at: now });
            progress.offered_to = self.state.last().slot;
            let entries = contents(self.state.tail.behind(after.slot));
            let propose = Propose { round: leading.round, after, entries, committed, adopt: true };
            fx.say(To::One(*member), epoch, Body::Propose(propose));
        }
    }

    /// To members that have: the next entries, without waiting for votes. Those that were sent
    /// equally much get one message for all.
    fn send_entries(&mut self, fx: &mut Effects) {
        let last = self.state.last().slot;
        let epoch = self.epoch();
        let committed = self.state.committed;
        let Role::Leading(leading) = &mut self.role else { return };
        let others = leading.progress.len();
        let mut groups: BTreeMap<Slot, Vec<NodeId>> = BTreeMap::new();
        for (member, progress) in &mut leading.progress {
            if progress.adopted
                && progress.sent < last
                && self.state.tail.before().slot <= progress.sent
            {
                groups.entry(progress.sent).or_default().push(*member);
                progress.sent = last;
            }
        }
        for (sent, members) in groups {
            let mut after = self.state.tail.position(sent).expect("held: checked above");
            while after.slot < last {
                let batch: Vec<_> = self.state.tail.batch(after.slot, last).collect();
                let end = batch.last().expect("something follows").position();
                let round = leading.round;
                let entries = contents(batch.into_iter());
                let propose = Propose { round, after, entries, committed, adopt: false };
                if members.len() == others {
                    fx.say(To::Everyone, epoch, Body::Propose(propose));
                } else {
                    for member in &members {
                        fx.say(To::One(*member), epoch, Body::Propose(propose.clone()));
                    }
                }
                after = end;
            }
        }
    }

    /// R4: a member announced what it adopted and voted.
    pub(super) fn note_progress(&mut self, from: NodeId, accepted: Option<Round>, voted: Position) {
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(progress) = leading.progress.get_mut(&from) else { return };
        if accepted == Some(leading.round) && !progress.adopted {
            let sent = voted.slot.max(progress.offered_to);
            *progress = Progress { adopted: true, sent, ..Progress::default() };
            self.urgent = true;
        }
    }

    /// R4: repair is driven by what members announce. A heartbeat that shows no progress since the
    /// last one, though something was on its way by then, makes the proposer send it again; the
    /// next time after two such heartbeats, then four. To a member that has not adopted the round it goes again
    /// unless it has only just gone; and what went before the first heartbeat of a life in this epoch went too early.
    pub(super) fn repair(
        &mut self,
        now: Time,
        from: NodeId,
        accepted: Option<Round>,
        voted: Position,
        is_first: bool,
    ) {
        let committed = self.others.get(from).map_or(Slot(0), |other| other.committed.slot);
        let soon = self.fetch_delay();
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(progress) = leading.progress.get_mut(&from) else { return };
        let reached = voted.slot.max(committed);
        let stuck = if accepted == Some(leading.round) {
            progress.sent = progress.sent.max(reached);
            let before = progress.at_beat.replace((reached, progress.sent));
            before.is_some_and(|(slot, sent)| slot == reached && sent > reached)
        } else {
            progress.adopted = false;
            match &progress.offered {
                // The two may have crossed.
                Some(offer) if now.since(offer.at) < soon && !is_first => return,
                offered => offered.is_some(),
            }
        };
        if !stuck || mutant::is(Mutant::NoRepair) {
            progress.stalls = 0;
            return;
        }
        progress.stalls += 1;
        if progress.stalls.is_power_of_two() {
            progress.offered = None;
            progress.sent = reached;
            self.urgent = true;
        }
    }

    /// R13: a client's proposal.
    pub(super) fn on_proposal(&mut self, now: Time, fx: &mut Effects, mut proposal: Proposal) {
        let id = proposal.id;
        // No log comes that far: such an end bounds nothing, and no message could name it.
        proposal.until = proposal.until.filter(|until| until.0 <= limits::INTEGER_MAX);
        let refused = if let Some(slot) = self.known.slot(id) {
            if mutant::is(Mutant::RetrySwallowed) {
                return;
            }
            Outcome::Duplicate(slot)
        } else if self.config().is_none() {
            Outcome::Rejected(Rejection::NotFormed)
        } else if proposal.until.is_some_and(|until| until <= self.delivery.delivered)
            && !self.pending.holds(id)
        {
            // Whoever waits for the same id under another bound must not be told that it is void.
            Outcome::Rejected(Rejection::Expired)
        } else if let Err(why) = self.pending.take(now, &self.settings, proposal) {
            Outcome::Rejected(why)
        } else {
            self.urgent = true;
            return;
        };
        fx.publish.push(Event::Outcome { id, outcome: refused });
    }

    /// R13: to the proposer, and again after a round change or when no answer came for too long.
    pub(super) fn submit_pending(&mut self, now: Time, fx: &mut Effects) {
        let leading = matches!(self.role, Role::Leading(_));
        let Some(proposer) = self.proposer().filter(|_| self.view.led) else { return };
        if proposer == self.me && !leading {
            return;
        }
        let due = self.pending.due(now, self.view.round, self.patience(), self.share());
        if leading {
            for proposal in due {
                self.queue.push(&self.settings, proposal);
            }
            return;
        }
        let mut proposals = Vec::new();
        let mut weight = 0;
        for proposal in due {
            if weight + proposal.weight() > limits::BATCH_BYTES && !proposals.is_empty() {
                let submit = Submit { proposals: std::mem::take(&mut proposals) };
                self.say(fx, To::One(proposer), Body::Submit(submit));
                weight = 0;
            }
            weight += proposal.weight();
            proposals.push(proposal);
        }
        if !proposals.is_empty() {
            self.say(fx, To::One(proposer), Body::Submit(Submit { proposals }));
        }
    }

    /// What this node may have submitted at a time: the proposer's queue has room for as much from each of all. What it
    /// had to drop would wait for T.
    fn share(&self) -> Load {
        let Load { count, bytes } = Load::max(&self.settings);
        let nodes = self.config().map_or(1, |config| config.members.len() + config.learners.len());
        Load { count: count / nodes, bytes: bytes / nodes }
    }

    /// R13: proposals passed on. Who does not lead drops them: they are submitted again.
    pub(super) fn on_submit(&mut self, submit: Submit) {
        if matches!(self.role, Role::Leading(_)) {
            for proposal in submit.proposals {
                self.queue.push(&self.settings, proposal);
            }
            self.urgent = true;
        }
    }
}
