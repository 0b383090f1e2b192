//! Learning commits: R9, and serving entries to those that learn.

use crate::consensus::core::{Catchup, Found, Machine, Wanted};
use crate::consensus::role::{Role, contents};
use crate::consensus::voter::misbehaved;
use crate::consensus::{
    Body, Commit, Effects, Entries, Entry, Event, Fetch, Halt, Outcome, Record, Rejection, Serve,
    To,
};
use crate::limits;
use crate::mutant::{self, Mutant};
use crate::types::{NodeId, Position, Slot, Time};

impl Machine {
    /// R9: `commit` is final, as `from` says or the own tally found.
    pub(super) fn on_commit(
        &mut self,
        now: Time,
        fx: &mut Effects,
        from: NodeId,
        commit: Position,
        found: Option<Found>,
    ) {
        let commit = match mutant::is(Mutant::HashNotCompared) {
            true => self.state.tail.position(commit.slot).unwrap_or(commit),
            false => commit,
        };
        if commit.slot <= self.state.committed.slot {
            if let Some(ours) = self.state.tail.position(commit.slot)
                && ours != commit
            {
                self.halt(fx, Halt::Conflict { peer: from, ours, theirs: commit });
            }
            return;
        }
        if self.state.tail.contains(commit) {
            self.delivery.found.push_back((commit.slot, found));
            self.record(fx, Record::Commit { committed: commit });
            self.urgent = true;
        } else if self.catchup.wanted.is_none_or(|wanted| wanted.commit.slot < commit.slot) {
            let since = self.catchup.wanted.map_or(now, |wanted| wanted.since);
            self.catchup.wanted = Some(Wanted { commit, found, since });
        }
    }

    /// What a commit waited for may have been proposed by now.
    pub(super) fn commit_wanted(&mut self, now: Time, fx: &mut Effects) {
        if let Some(wanted) = self.catchup.wanted
            && (wanted.commit.slot <= self.state.committed.slot
                || self.state.tail.contains(wanted.commit))
        {
            self.catchup = Catchup::default();
            self.on_commit(now, fx, self.me, wanted.commit, wanted.found);
        }
    }

    /// Asks a member that has them for the commits that are missing here: when what was proposed
    /// had its time to arrive, and again, of another, when the answer does not come.
    pub(super) fn fetch_missing(&mut self, now: Time, fx: &mut Effects) {
        let Some(Wanted { since, .. }) = self.catchup.wanted else { return };
        let asked = self.catchup.asked;
        let due = asked.map_or(since + self.fetch_delay(), |(_, at)| at + self.fetch_retry());
        let endless = mutant::is(Mutant::EndlessCatchUp);
        self.urgent |= endless;
        if (now < due && !endless) || mutant::is(Mutant::NoCatchUp) {
            return;
        }
        let committed = self.state.committed.slot;
        let able = |member: &NodeId| {
            self.others.get(*member).is_some_and(|other| {
                other.committed.slot > committed && other.is_fresh(now, self.patience())
            })
        };
        let before = asked.map(|(member, _)| member);
        let able: Vec<_> = self.others.iter().map(|(id, _)| id).filter(able).collect();
        let next = able.iter().copied().find(|id| Some(*id) > before).or(able.first().copied());
        let Some(member) = next else { return };
        let to = self.others.get(member).map_or(committed, |other| other.committed.slot);
        self.catchup.asked = Some((member, now));
        let fetch = Fetch { from: committed.next(), to };
        self.say(fx, To::One(member), Body::Fetch(fetch));
    }

    pub(super) fn fetch_delay(&self) -> std::time::Duration {
        self.settings.suspect_after / 16
    }

    pub(super) fn fetch_retry(&self) -> std::time::Duration {
        self.settings.suspect_after / 2
    }

    /// Serves from memory what is in memory, and lets the host serve the rest from the log.
    pub(super) fn on_fetch(&mut self, fx: &mut Effects, from: NodeId, fetch: Fetch) {
        let last = self.state.last().slot;
        if fetch.from == Slot(0) || fetch.to < fetch.from || fetch.from > last {
            return;
        }
        let committed = self.state.committed;
        let Some(after) = self.state.tail.position(fetch.from.previous()) else {
            let through = fetch.to.min(committed.slot);
            let messages = limits::FETCH_BATCHES;
            fx.serve.push(Serve { to: from, from: fetch.from, through, committed, messages });
            return;
        };
        let mut after = after;
        for left in (0..limits::FETCH_BATCHES).rev() {
            let batch: Vec<_> = self.state.tail.batch(after.slot, fetch.to).collect();
            let end = batch.last().map_or(after, |entry| entry.position());
            let more = left > 0 && end.slot < fetch.to.min(last);
            let entries = contents(batch.into_iter());
            let answer = Entries { after, entries, committed, more };
            self.say(fx, To::One(from), Body::Entries(answer));
            if !more {
                break;
            }
            after = end;
        }
    }

    pub(super) fn on_entries(
        &mut self,
        now: Time,
        fx: &mut Effects,
        from: NodeId,
        answer: Entries,
    ) {
        let Entries { after, entries, committed, more } = answer;
        self.others.committed(from, committed);
        let entries = Entry::chain(after, entries);
        if let Role::Candidate(candidate) = &mut self.role
            && let Some(pull) = &mut candidate.pull
            && pull.from == from
        {
            pull.take(after, &entries, more);
            self.urgent = true;
        }
        if self.learn(now, fx, from, after, entries, committed) {
            // The rest of the answer is on its way; after the last of it the next is asked for at once.
            let waits = more && self.catchup.wanted.is_some();
            self.catchup.asked = waits.then_some((from, now));
        }
    }

    /// Takes over the committed part of `entries`; in crash mode a member's word is enough for it. False if nothing in
    /// it was new.
    fn learn(
        &mut self,
        now: Time,
        fx: &mut Effects,
        from: NodeId,
        after: Position,
        mut entries: Vec<Entry>,
        committed: Position,
    ) -> bool {
        entries.retain(|entry| {
            entry.slot() <= committed.slot || mutant::is(Mutant::UncommittedLearnt)
        });
        let Some(end) = entries.last().map(Entry::position) else { return false };
        if end.slot == committed.slot && end != committed {
            misbehaved(fx, from, "sent entries that do not chain to its own commit");
            return false;
        }
        if end.slot <= self.state.committed.slot || after.slot < self.state.tail.before().slot {
            return false;
        }
        if !self.state.tail.contains(after) {
            if after.slot <= self.state.committed.slot {
                let ours = self.state.tail.position(after.slot).expect("held: checked above");
                self.halt(fx, Halt::Conflict { peer: from, ours, theirs: after });
            }
            return false;
        }
        let (after, entries) = self.beyond_common(after, entries);
        if entries.is_empty() {
            self.on_commit(now, fx, from, end, None);
            self.on_commit(now, fx, from, committed, None);
            return false;
        }
        if after.slot < self.state.committed.slot {
            let ours = self.state.tail.position(after.slot.next()).expect("held: it is committed");
            let theirs = entries[0].position();
            self.halt(fx, Halt::Conflict { peer: from, ours, theirs });
            return false;
        }
        // What others decided behind this node's back ends its round, whether it cuts or not;
        // a candidate goes on: it learns what it must know to choose (R3).
        if matches!(self.role, Role::Leading(_) | Role::Opening) {
            self.step_down();
        }
        self.came(now, end);
        self.delivery.found.push_back((end.slot, None));
        self.record(fx, Record::Learn { after, entries, committed: end });
        // What is final beyond these entries is wanted, though its teller may forget that it knew: a hint of a commit need
        // not survive a restart.
        self.on_commit(now, fx, from, committed, None);
        self.hurry_fetch();
        self.urgent = true;
        true
    }

    /// Nothing that was proposed can bring the missing entries: they are not waited for.
    pub(super) fn hurry_fetch(&mut self) {
        if let Some(wanted) = &mut self.catchup.wanted {
            wanted.since = Time::ZERO;
        }
    }

    /// Tells the host what is committed and on the own disk, in order, each slot once.
    pub(super) fn deliver(&mut self, now: Time, fx: &mut Effects) {
        let last = self.state.last().slot;
        let durable = if mutant::is(Mutant::DeliveredBeforeDurable) {
            last
        } else {
            self.durable.through(last)
        };
        let through = durable.min(self.state.committed.slot);
        if through <= self.delivery.delivered {
            return;
        }
        let count = usize::try_from(through.0 - self.delivery.delivered.0).unwrap_or(usize::MAX);
        let behind = self.state.tail.behind(self.delivery.delivered);
        let entries: Vec<_> = behind.take(count).cloned().collect();
        let learnt = entries.iter().filter_map(Entry::proposal).map(|proposal| proposal.id);
        self.known.fetch(learnt.chain(self.known.oldest().take(count)));
        for entry in entries {
            self.deliver_one(now, fx, entry);
        }
        for id in self.pending.expire(through) {
            let outcome = Outcome::Rejected(Rejection::Expired);
            fx.publish.push(Event::Outcome { id, outcome });
        }
        self.urgent |= self.pending.is_held_back();
    }

    fn deliver_one(&mut self, now: Time, fx: &mut Effects, entry: Entry) {
        let slot = entry.slot();
        self.delivery.delivered = slot;
        while self.delivery.found.pop_front_if(|(through, _)| *through < slot).is_some() {}
        while self.delivery.came.pop_front_if(|(through, _)| *through < slot).is_some() {}
        let found = self.delivery.found.front().and_then(|(_, found)| *found);
        let mut since = self.delivery.came.front().map(|(_, at)| *at);
        let mut duplicate_of = None;
        let mut void = false;
        let mut outcome = None;
        if let Some(proposal) = entry.proposal() {
            void = proposal.until.is_some_and(|until| until < slot);
            if !void {
                duplicate_of = self.known.learn(proposal.id, slot);
                if let Some(taken) = self.pending.done(proposal.id) {
                    since = Some(taken);
                    let committed = Outcome::Committed(entry.position());
                    outcome =
                        Some((proposal.id, duplicate_of.map_or(committed, Outcome::Duplicate)));
                }
            }
            if let Role::Leading(leading) = &mut self.role {
                leading.placed.remove(&proposal.id);
            }
        }
        let config = self.config();
        fx.publish.push(Event::Committed(Commit {
            votes: found.zip(config).map(|(found, config)| (found.votes, config.members.len())),
            round: found.map(|found| found.round),
            proposer: found.zip(config).map(|(found, config)| config.proposer(found.round)),
            took: since.map(|since| now.since(since)),
            duplicate_of,
            void,
            entry,
        }));
        if let Some((id, outcome)) = outcome {
            fx.publish.push(Event::Outcome { id, outcome });
        }
    }
}
