//! Voting: R5, R6, R7, and the tally's consequence, R8.

use crate::consensus::core::{Found, Machine};
use crate::consensus::tally::Counted;
use crate::consensus::{
    Body, Effects, Entry, EpochConfig, Event, Halt, Kind, Outcome, Propose, Record, Refuse, To,
    Vote,
};
use crate::mutant::{self, Mutant};
use crate::types::{NodeId, Position, Round, Time};

impl Machine {
    pub(super) fn on_propose(
        &mut self,
        now: Time,
        fx: &mut Effects,
        from: NodeId,
        propose: Propose,
    ) {
        let Some(config) = self.config() else { return };
        if config.proposer(propose.round) != from {
            return misbehaved(fx, from, "proposed in a round that is not its own");
        }
        if propose.entries.iter().any(|content| matches!(content.kind, Kind::Config(_))) {
            return misbehaved(
                fx,
                from,
                "proposed a change of members, which this version refuses",
            );
        }
        let promised = self.state.promised;
        let slips = promised == Some(propose.round) && mutant::is(Mutant::PromiseSlip);
        let is_followed =
            self.state.accepted == Some(propose.round) && mutant::is(Mutant::ExtendedBelowPromise);
        if (promised > Some(propose.round) && !is_followed) || slips {
            return self.refuse(fx, from);
        }
        self.see_leads(now, propose.round);
        let committed = propose.committed;
        self.others.committed(from, committed);
        if self.state.accepted == Some(propose.round) {
            self.extend(now, fx, from, propose);
        } else if propose.adopt {
            self.adopt(now, fx, from, propose);
        }
        // Adopted in another round and not asked to adopt: the next heartbeat tells the proposer.
        self.on_commit(now, fx, from, committed, None);
    }

    /// R5. The whole tail in one record: who says `accepted = r` covers all of base(r).
    fn adopt(&mut self, now: Time, fx: &mut Effects, from: NodeId, propose: Propose) {
        let Propose { round, after, entries, committed, adopt: _ } = propose;
        if after.slot > committed.slot {
            return misbehaved(fx, from, "asked to adopt behind what it calls committed");
        }
        // What lies beyond the own commit is learnt first (R9): `on_propose` hears of it.
        if !self.state.tail.contains(after) {
            return;
        }
        let mut entries = Entry::chain(after, entries);
        if mutant::is(Mutant::AdoptedInPieces) {
            entries.truncate(1);
        }
        let keeps_commit = after.slot >= self.state.committed.slot
            || entries.iter().any(|entry| entry.position() == self.state.committed);
        if !keeps_commit && !mutant::is(Mutant::AdoptedBelowCommit) {
            return self.refuse(fx, from);
        }
        let (after, entries) = self.beyond_common(after, entries);
        self.came(now, entries.last().map_or(after, Entry::position));
        self.record(fx, Record::Adopt { round, after, entries });
    }

    /// R6. The vote moves to the end of what this message proved, not further.
    fn extend(&mut self, now: Time, fx: &mut Effects, from: NodeId, propose: Propose) {
        if !self.state.tail.contains(propose.after) {
            return;
        }
        let entries = Entry::chain(propose.after, propose.entries);
        let end = entries.last().map_or(propose.after, Entry::position);
        let (after, entries) = self.beyond_common(propose.after, entries);
        if !entries.is_empty() && after.slot < self.state.last().slot {
            let slot = after.slot.next();
            if slot <= self.state.committed.slot {
                return self.refuse(fx, from);
            }
            let ours = self.state.tail.position(slot).expect("held: it is above the commit");
            let theirs = entries[0].position();
            return self.halt(fx, Halt::Conflict { peer: from, ours, theirs });
        }
        if entries.is_empty() && end.slot <= self.state.voted.slot {
            return;
        }
        self.came(now, end);
        let mut voted = if end.slot > self.state.voted.slot { end } else { self.state.voted };
        if mutant::is(Mutant::VotedBeyondProof) && self.state.last().slot > voted.slot {
            voted = self.state.last();
        }
        self.record(fx, Record::Append { entries, voted });
    }

    /// Skips the entries that the own log holds already.
    pub(super) fn beyond_common(
        &self,
        after: Position,
        mut entries: Vec<Entry>,
    ) -> (Position, Vec<Entry>) {
        let common = entries.iter().take_while(|e| self.state.tail.contains(e.position())).count();
        let after = common.checked_sub(1).map_or(after, |index| entries[index].position());
        entries.drain(..common);
        (after, entries)
    }

    /// Entries up to `end` are here since `now`.
    pub(super) fn came(&mut self, now: Time, end: Position) {
        while self.delivery.came.pop_back_if(|(slot, _)| *slot >= end.slot).is_some() {}
        self.delivery.came.push_back((end.slot, now));
    }

    pub(super) fn refuse(&self, fx: &mut Effects, to: NodeId) {
        let promised = self.durable.announced().promised;
        let refuse = Refuse { promised, committed: self.state.committed };
        self.say(fx, To::One(to), Body::Refuse(refuse));
    }

    /// R7: what the last sync covered, to the own tally and to the round's proposer. The proposer
    /// itself speaks to everybody.
    pub(super) fn vote(&mut self, now: Time, fx: &mut Effects) {
        let announced = self.durable.announced();
        let Some(round) = announced.accepted else { return };
        let Some(config) = self.config() else { return };
        if announced.epoch != Some(config.epoch) {
            return;
        }
        let proposer = config.proposer(round);
        let vote = Vote::new(round, announced.voted, self.state.committed);
        if self.said.vote != Some((round, vote.voted)) {
            self.said.vote = Some((round, vote.voted));
            if proposer != self.me {
                self.say(fx, To::One(proposer), Body::Vote(vote));
            }
            if !mutant::is(Mutant::OwnVoteMissing) {
                self.count(now, fx, self.me, vote.round, vote.voted);
            }
            if mutant::is(Mutant::OwnVoteTwice) {
                self.vote_for_another(now, fx, vote);
            }
            if mutant::is(Mutant::AcknowledgedBeforeQuorum) {
                self.acknowledge_too_early(fx, vote.voted);
            }
        }
        if self.leads_round() == Some(round) {
            self.tell_votes(fx, vote);
        }
    }

    /// R7: the proposer's own vote where that is all that a member lacks which voted, too; elsewhere
    /// what the votes here amount to, once they do.
    fn tell_votes(&mut self, fx: &mut Effects, vote: Vote) {
        let committed = self.state.committed;
        let before = self.said.told.filter(|told| told.round == vote.round);
        let two_are_enough = self.quorum() <= 2;
        let is_told = |at: Position| {
            before.is_some_and(|told| {
                at.slot <= told.committed.slot || (two_are_enough && at.slot <= told.voted.slot)
            })
        };
        if is_told(committed) && (is_told(vote.voted) || !two_are_enough) {
            return;
        }
        let counted = self.counted.filter(|(at, _)| *at == committed).map(|(_, votes)| votes);
        let vote = Vote { committed, counted, ..vote };
        self.said.told = Some(vote);
        self.say(fx, To::Everyone, Body::Vote(vote));
    }

    pub(super) fn on_vote(&mut self, now: Time, fx: &mut Effects, from: NodeId, vote: Vote) {
        self.see_round(now, vote.round);
        let is_taken_for_current = mutant::is(Mutant::StaleVoteAccepted);
        let round = if is_taken_for_current { self.view.round } else { vote.round };
        self.count(now, fx, from, round, vote.voted);
        self.others.committed(from, vote.committed);
        let found = self.counted_by(from, vote);
        self.on_commit(now, fx, from, vote.committed, found);
        self.note_progress(from, Some(vote.round), vote.voted);
    }

    /// The votes that the proposer of their round counted for what it calls committed.
    fn counted_by(&self, from: NodeId, vote: Vote) -> Option<Found> {
        let config = self.config().filter(|config| config.proposer(vote.round) == from)?;
        let can_be = |votes: &usize| (config.quorum()..=config.members.len()).contains(votes);
        let votes = vote.counted.filter(can_be)?;
        Some(Found { votes, round: vote.round })
    }

    /// R8.
    pub(super) fn count(
        &mut self,
        now: Time,
        fx: &mut Effects,
        from: NodeId,
        round: Round,
        voted: Position,
    ) {
        let counts = |config: &&EpochConfig| {
            config.is_member(from) || mutant::is(Mutant::StrangersVoteCounted)
        };
        let Some(config) = self.state.config.as_ref().filter(counts) else { return };
        // R2, R15: only this node offers entries in a round that it leads, and none that it does not hold.
        let is_foreign = from != self.me && voted.slot > self.state.last().slot;
        if is_foreign && self.leads_or_opens(round) {
            return self.halt(fx, Halt::Forgot { peer: from });
        }
        let live;
        let config = if mutant::is(Mutant::QuorumOfLive) {
            let heard =
                self.others.iter().filter(|(_, other)| other.is_fresh(now, self.patience()));
            let heard = heard.map(|(member, _)| member).chain([self.me, from]);
            live = EpochConfig::new(config.epoch, heard);
            &live
        } else {
            config
        };
        match self.tally.add(config, from, round, voted) {
            Counted::Pending | Counted::Stale => {}
            Counted::Quorum { position, votes } => {
                self.counted = Some((position, votes));
                self.on_commit(now, fx, from, position, Some(Found { votes, round }));
            }
            Counted::Conflict { counted } => {
                self.halt(fx, Halt::Conflict { peer: from, ours: counted, theirs: voted });
            }
        }
    }

    /// A mistake, made on purpose: the own vote counts for another member, too.
    fn vote_for_another(&mut self, now: Time, fx: &mut Effects, vote: Vote) {
        let another = self.others.iter().map(|(id, _)| id).next();
        if let Some(another) = another {
            self.count(now, fx, another, vote.round, vote.voted);
        }
    }

    /// A mistake, made on purpose: what is voted here is called committed.
    fn acknowledge_too_early(&mut self, fx: &mut Effects, voted: Position) {
        let behind = self.state.tail.behind(self.delivery.delivered);
        for entry in behind.take_while(|entry| entry.slot() <= voted.slot) {
            if let Some(id) = entry.proposal().map(|proposal| proposal.id)
                && self.pending.done(id).is_some()
            {
                let outcome = Outcome::Committed(entry.position());
                fx.publish.push(Event::Outcome { id, outcome });
            }
        }
    }
}

/// A peer broke a rule that no honest member breaks.
pub(super) fn misbehaved(fx: &mut Effects, peer: NodeId, what: &'static str) {
    fx.publish.push(Event::Misbehaved { peer, what });
}
