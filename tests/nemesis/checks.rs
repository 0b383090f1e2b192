//! What must hold of every history, checked by code that shares nothing with the node: it reads the
//! answers and the logs, and computes the hashes itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use quorate::admin::api::{LogContent, LogEntry};
use quorate::types::{Digest, ProposalId, Slot};
use sha2::{Digest as _, Sha256};

use crate::history::{Answer, At, History};

/// The law that is broken, and how.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) law: &'static str,
    how: String,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.how)
    }
}

/// Every law that is broken.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut judge = Judge { history, effective: BTreeMap::new(), found: Vec::new() };
    judge.agreement();
    judge.chain();
    judge.effective = judge.effects();
    judge.validity();
    judge.acknowledged();
    judge.rejected();
    judge.real_time();
    judge.reads();
    judge.isolated();
    judge.found
}

struct Judge<'h> {
    history: &'h History,
    /// Where each id takes effect: the first place that its `until` allows.
    effective: BTreeMap<ProposalId, Slot>,
    found: Vec<Violation>,
}

impl<'h> Judge<'h> {
    fn find(&mut self, law: &'static str, how: String) {
        self.found.push(Violation { law, how });
    }

    /// The longest log: the others must be the same.
    fn log(&self) -> &'h [LogEntry] {
        self.history.logs.iter().max_by_key(|log| log.len()).map_or(&[], Vec::as_slice)
    }

    fn at(&self, slot: Slot) -> Option<&'h LogEntry> {
        self.log().get(usize::try_from(slot.0.checked_sub(1)?).ok()?)
    }

    /// All logs are the same in the end, and nothing else was ever shown.
    fn agreement(&mut self) {
        let (log, mut found) = (self.log(), Vec::new());
        for (node, other) in (1..).zip(&self.history.logs) {
            if let Some((one, other)) = log.iter().zip(other).find(|(one, other)| one != other) {
                found.push(("agreement", format!("n{node} holds {other:?}, another {one:?}")));
            }
            if other.len() != log.len() {
                let how = format!("n{node} ends at {}, another at {}", other.len(), log.len());
                found.push(("logs_identical", how));
            }
        }
        for (&(slot, hash), (at, entry)) in &self.history.shown {
            let agrees = match (self.at(slot), entry) {
                (None, _) => slot == Slot(0),
                (Some(held), Some(entry)) => held == entry,
                (Some(held), None) => held.hash == hash,
            };
            if !agrees {
                let held = self.at(slot);
                found.push((
                    "agreement",
                    format!("at {at:?} {slot} was {entry:?} {hash}, not {held:?}"),
                ));
            }
        }
        found.into_iter().for_each(|(law, how)| self.find(law, how));
    }

    /// Slots without a hole, each hash over its entry and all before it.
    fn chain(&mut self) {
        let mut parent = Digest::ZERO;
        for (slot, entry) in (1..).map(Slot).zip(self.log()) {
            if entry.slot != slot {
                return self.find("integrity", format!("{slot} is followed by {}", entry.slot));
            }
            if entry.hash != hash(parent, entry) {
                return self
                    .find("integrity", format!("the hash of {slot} is not that of its entry"));
            }
            parent = entry.hash;
        }
    }

    fn effects(&self) -> BTreeMap<ProposalId, Slot> {
        let mut effective = BTreeMap::new();
        for entry in self.log() {
            if let LogContent::Value { request_id, until, .. } = &entry.content
                && until.is_none_or(|until| entry.slot <= until)
            {
                effective.entry(*request_id).or_insert(entry.slot);
            }
        }
        effective
    }

    /// Only what was offered stands in the log, and nothing before it was.
    fn validity(&mut self) {
        let mut invoked: BTreeMap<ProposalId, At> = BTreeMap::new();
        for attempt in &self.history.attempts {
            let first = invoked.entry(attempt.id).or_insert(attempt.invoked);
            *first = (*first).min(attempt.invoked);
        }
        let mut found = Vec::new();
        for entry in self.log() {
            let LogContent::Value { request_id, value, until } = &entry.content else { continue };
            let offered = self.history.offers.get(request_id);
            if offered.is_none_or(|offer| offer.value != *value || offer.until != *until) {
                found.push(format!("{entry:?} was offered as {offered:?}"));
            }
        }
        for (at, entry) in self.history.shown.values() {
            if let Some(LogEntry { content: LogContent::Value { request_id, .. }, .. }) = entry
                && invoked.get(request_id).is_none_or(|invoked| invoked > at)
            {
                found.push(format!("{request_id} was seen at {at:?} before it was offered"));
            }
        }
        found.into_iter().for_each(|how| self.find("validity", how));
    }

    /// What is acknowledged stands where the answer says, whole, and takes effect there alone.
    fn acknowledged(&mut self) {
        for attempt in &self.history.attempts {
            let Some(slot) = attempt.answer.slot() else { continue };
            let Some(entry) = self.at(slot) else {
                self.find("durability", format!("{attempt:?}: the log ends before"));
                continue;
            };
            let is_there = matches!(
                &entry.content,
                LogContent::Value { request_id, .. } if *request_id == attempt.id
            );
            if !is_there {
                let how = format!("{attempt:?}: there stands {entry:?}");
                self.find("durability", how);
            } else if matches!(attempt.answer, Answer::Committed { hash, .. } if hash != entry.hash)
            {
                self.find("durability", format!("{attempt:?}: the hash is {}", entry.hash));
            }
            let effective = self.effective.get(&attempt.id).copied();
            if effective != Some(slot) {
                self.find("exactly_once", format!("{attempt:?}: it takes effect in {effective:?}"));
            }
        }
    }

    /// What was surely rejected takes no effect.
    fn rejected(&mut self) {
        let mut hopeful = BTreeSet::new();
        for attempt in &self.history.attempts {
            if !matches!(attempt.answer, Answer::Rejected | Answer::Expired) {
                hopeful.insert(attempt.id);
            }
        }
        for attempt in &self.history.attempts {
            let is_surely_not = attempt.answer == Answer::Expired
                || (attempt.answer == Answer::Rejected && !hopeful.contains(&attempt.id));
            if let Some(slot) = self.effective.get(&attempt.id)
                && is_surely_not
            {
                self.find("rejected", format!("{attempt:?}: it takes effect in {slot}"));
            }
        }
    }

    /// What is acknowledged stands before what is offered later.
    fn real_time(&mut self) {
        let mut acknowledged: Vec<(At, Slot)> = self
            .history
            .attempts
            .iter()
            .filter_map(|attempt| Some((attempt.completed, attempt.answer.slot()?)))
            .collect();
        acknowledged.sort_unstable();
        let mut offered: BTreeMap<ProposalId, At> = BTreeMap::new();
        for attempt in &self.history.attempts {
            let first = offered.entry(attempt.id).or_insert(attempt.invoked);
            *first = (*first).min(attempt.invoked);
        }
        let mut offered: Vec<(At, ProposalId)> =
            offered.into_iter().map(|(id, at)| (at, id)).collect();
        offered.sort_unstable();
        let mut acknowledged = acknowledged.into_iter().peekable();
        let mut floor = Slot(0);
        for (invoked, id) in offered {
            while let Some((_, slot)) = acknowledged.next_if(|(at, _)| *at < invoked) {
                floor = floor.max(slot);
            }
            if let Some(slot) = self.effective.get(&id).copied()
                && slot <= floor
            {
                let how = format!(
                    "{id} was offered at {invoked:?}, when {floor} was acknowledged, and stands in {slot}"
                );
                self.find("real_time", how);
            }
        }
    }

    /// A linearizable read shows all that was acknowledged or shown anywhere before it; what one life
    /// of a node shows never shrinks.
    fn reads(&mut self) {
        let acknowledged = self
            .history
            .attempts
            .iter()
            .filter_map(|attempt| Some((attempt.completed, attempt.answer.slot()?)));
        let shown = self.history.reads.iter().map(|read| (read.completed, read.committed));
        let mut known: Vec<(At, Slot)> = acknowledged.chain(shown).collect();
        known.sort_unstable();
        let mut reads: Vec<_> = self.history.reads.iter().collect();
        reads.sort_unstable_by_key(|read| read.invoked);
        let (mut known, mut floor) = (known.into_iter().peekable(), Slot(0));
        for read in &reads {
            while let Some((_, slot)) = known.next_if(|(at, _)| *at < read.invoked) {
                floor = floor.max(slot);
            }
            if read.linearizable && read.committed < floor {
                self.find("stale_read", format!("{read:?}: {floor} was known"));
            }
        }
        let mut lives: BTreeMap<(usize, u32), Vec<(At, Slot)>> = BTreeMap::new();
        for read in &reads {
            let shown = lives.entry((read.node, read.life)).or_default();
            shown.push((read.completed, read.committed));
        }
        for shown in lives.values_mut() {
            shown.sort_unstable();
            // To each moment, the most that was shown by then.
            let mut most = Slot(0);
            for (_, slot) in shown {
                most = most.max(*slot);
                *slot = most;
            }
        }
        for read in &reads {
            let shown = &lives[&(read.node, read.life)];
            let before = shown.partition_point(|(at, _)| *at < read.invoked);
            let floor = before.checked_sub(1).map_or(Slot(0), |last| shown[last].1);
            if read.committed < floor {
                self.find("stability", format!("{read:?}: it had shown {floor}"));
            }
        }
    }

    /// Who is cut off from every quorum acknowledges nothing that is new, and answers no linearizable read.
    fn isolated(&mut self) {
        // Of each id: where it was asked for, and when first there.
        let mut asked: BTreeMap<ProposalId, BTreeMap<usize, At>> = BTreeMap::new();
        for attempt in &self.history.attempts {
            let at = asked.entry(attempt.id).or_default().entry(attempt.node);
            let at = at.or_insert(attempt.invoked);
            *at = (*at).min(attempt.invoked);
        }
        let isolations = &self.history.isolations;
        let alone = |node: usize, invoked: At, completed: At| {
            isolations.iter().any(|it| it.node == node && it.from < invoked && completed < it.to)
        };
        let mut found = Vec::new();
        for attempt in &self.history.attempts {
            let asked = &asked[&attempt.id];
            // What was asked for elsewhere may be known to one who hears and is not heard.
            let is_known_elsewhere =
                || asked.iter().any(|(node, at)| *node != attempt.node && *at < attempt.completed);
            if attempt.answer.slot().is_some()
                && alone(attempt.node, asked[&attempt.node], attempt.completed)
                && !is_known_elsewhere()
            {
                found.push(format!("{attempt:?}: it was cut off from every quorum"));
            }
        }
        for read in self.history.reads.iter().filter(|read| read.linearizable) {
            if alone(read.node, read.invoked, read.completed) {
                found.push(format!("{read:?}: it was cut off from every quorum"));
            }
        }
        found.into_iter().for_each(|how| self.find("minority", how));
    }
}

/// The hash of an entry, from docs/PROTOCOL.md.
pub(crate) fn hash(parent: Digest, entry: &LogEntry) -> Digest {
    let mut sum = Sha256::new();
    sum.update(b"quorate entry 1\0");
    sum.update(parent.as_bytes());
    sum.update(entry.epoch.0.to_be_bytes());
    sum.update(entry.slot.0.to_be_bytes());
    let id = |text: String| text.parse::<uuid::Uuid>().expect("an id is a UUID").into_bytes();
    match &entry.content {
        LogContent::Value { request_id, value, until } => {
            sum.update([1]);
            sum.update(id(request_id.to_string()));
            sum.update(until.map_or(0, |until| until.0 + 1).to_be_bytes());
            sum.update((value.len() as u64).to_be_bytes());
            sum.update(value);
        }
        LogContent::Config { config } => {
            sum.update([2]);
            sum.update(config.epoch.0.to_be_bytes());
            sum.update([0]);
            for nodes in [&config.members, &config.learners] {
                sum.update((nodes.len() as u64).to_be_bytes());
                nodes.iter().for_each(|node| sum.update(id(node.to_string())));
            }
        }
        LogContent::Noop => sum.update([3]),
    }
    Digest::new(sum.finalize().into())
}
