//! Keeping the books: what nodes write, what of it is synced, what they are told, what they find again.

use crate::consensus::{Record, State};
use crate::sim::checker::invariant::{Finding, Invariant, Verdict};
use crate::sim::checker::judge::Checker;
use crate::sim::checker::ledger::{Broken, Head};
use crate::sim::checker::watch::Watch;
use crate::types::Position;

impl Checker {
    /// A node starts from `state`, which its disk gave back: what was synced, and perhaps more.
    pub(in crate::sim) fn booted(&mut self, node: usize, state: &State) -> Verdict {
        let book = &mut self.books[node];
        let mut found = book.durable.clone();
        let mut survived = found.agrees_with(state).then_some(0);
        for (index, record) in book.unsynced.iter().enumerate() {
            found.take(record).map_err(broken)?;
            if found.agrees_with(state) {
                survived = Some(index + 1);
            }
        }
        let Some(survived) = survived else {
            let (durable, found) = (book.durable.head(), Head::of(state));
            let what = format!("the disk gives back {found:?}, synced was {durable:?}");
            return Err(if found.promised < durable.promised {
                (Invariant::PromiseMonotone, what)
            } else if (found.accepted, found.voted.slot) < (durable.accepted, durable.voted.slot) {
                (Invariant::VoteRemembered, what)
            } else {
                (Invariant::ReplayEquality, what)
            });
        };
        self.synced(node, survived)?;
        let book = &mut self.books[node];
        book.unsynced.clear();
        book.batches.clear();
        book.live = book.durable.clone();
        book.told = book.durable.head();
        book.delivered = state.committed.slot;
        book.watch = Watch::default();
        self.texts.life_over(node);
        self.told_votes(node);
        self.tried(node);
        Ok(())
    }

    /// A node hands a batch of records to its disk.
    pub(in crate::sim) fn persisted(
        &mut self,
        node: usize,
        batch: u64,
        records: &[Record],
    ) -> Verdict {
        if self.is_stranger(node) {
            let what = "writes, though the member in its place lost its directory".to_owned();
            return Err((Invariant::Excluded, what));
        }
        for record in records {
            self.check_entries(node, record)?;
            let book = &mut self.books[node];
            book.live.take(record).map_err(broken)?;
            book.unsynced.push_back(record.clone());
            // What a forgetful member does counts nowhere; whoever builds on it is found out by that.
            if !self.is_out(node) {
                self.check_round(node, record)?;
            }
        }
        let head = self.books[node].live.head();
        self.books[node].batches.push_back((batch, head));
        Ok(())
    }

    fn check_entries(&mut self, node: usize, record: &Record) -> Verdict {
        let (mut parent, entries) = match record {
            Record::Adopt { after, entries, .. } | Record::Learn { after, entries, .. } => {
                (*after, entries)
            }
            Record::Append { entries, .. } => (self.books[node].live.head().last, entries),
            Record::Epoch { .. } | Record::Promise { .. } | Record::Commit { .. } => return Ok(()),
        };
        for entry in entries {
            if self.oracle.known(entry.position().hash).is_none() {
                if let Some(proposal) = entry.proposal() {
                    self.history.entered(proposal)?;
                }
                self.oracle.saw(parent, entry);
            }
            parent = entry.position();
        }
        Ok(())
    }

    fn check_round(&mut self, node: usize, record: &Record) -> Verdict {
        if let Record::Epoch { config, base } = record {
            self.oracle.epoch_started(config, *base)?;
            if self.config.as_ref().is_none_or(|held| held.epoch < config.epoch) {
                self.config = Some(config.clone());
            }
            return Ok(());
        }
        let live = &self.books[node].live;
        let (Some(epoch), Some(round)) = (live.head().epoch, live.head().accepted) else {
            return Ok(());
        };
        let is_proposer = self.proposes(node, round);
        match record {
            Record::Adopt { .. } if is_proposer => self.oracle.base((epoch, round), live.log()),
            Record::Adopt { .. } => self.oracle.adopted((epoch, round), live.log()),
            Record::Append { entries, .. } if is_proposer => {
                self.oracle.extended((epoch, round), entries)
            }
            Record::Append { entries, .. } => match entries.last() {
                Some(_) => self.oracle.follows((epoch, round), live.log()),
                None => Ok(()),
            },
            Record::Learn { committed, .. } | Record::Commit { committed } => {
                self.must_be_chosen(*committed)
            }
            Record::Epoch { .. } | Record::Promise { .. } => Ok(()),
        }
    }

    pub(super) fn must_be_chosen(&self, position: Position) -> Verdict {
        if self.oracle.is_chosen(position) {
            return Ok(());
        }
        let what = match self.oracle.chosen(position.slot) {
            Some(chosen) => {
                return Err((
                    Invariant::Agreement,
                    format!("commits {position}, chosen is {chosen}"),
                ));
            }
            None => format!(
                "commits {position}, which no quorum holds synced; chosen is {}",
                self.oracle.tip()
            ),
        };
        Err((Invariant::QuorumOfConfigured, what))
    }

    /// The oldest `records` unsynced records of a node are synced. Its votes count from now on.
    pub(in crate::sim) fn synced(&mut self, node: usize, records: usize) -> Verdict {
        for _ in 0..records {
            let book = &mut self.books[node];
            let record = book.unsynced.pop_front().expect("what is synced was written");
            book.durable.take(&record).map_err(broken)?;
            let head = book.durable.head();
            if !matches!(record, Record::Adopt { .. } | Record::Append { .. }) {
                continue;
            }
            if !self.is_out(node) {
                self.count_vote(node, &head)?;
            }
        }
        Ok(())
    }

    /// A member holds, synced, the vote of this head.
    pub(super) fn count_vote(&mut self, node: usize, head: &Head) -> Verdict {
        let (Some(epoch), Some(round), Some(config)) = (head.epoch, head.accepted, &self.config)
        else {
            return Ok(());
        };
        if !config.is_member(self.ids[node]) {
            return Ok(());
        }
        let quorum = config.members.len() / 2 + 1;
        let chosen = self.oracle.voted(node, (epoch, round), head.voted, quorum)?;
        for position in chosen {
            let known = self.oracle.known(position.hash).expect("chosen entries are known");
            if let Some(id) = known.proposal {
                self.history.chosen(position, id, known.until)?;
            }
        }
        Ok(())
    }

    /// A node is told that all batches up to `through` are synced.
    pub(in crate::sim) fn told(&mut self, node: usize, through: u64) -> Verdict {
        while let Some((_, head)) =
            self.books[node].batches.pop_front_if(|(batch, _)| *batch <= through)
        {
            self.books[node].told = head;
            self.told_votes(node);
        }
        self.forgive(node)
    }

    fn told_votes(&mut self, node: usize) {
        let book = &mut self.books[node];
        if let (Some(epoch), Some(round)) = (book.told.epoch, book.told.accepted) {
            book.votes.insert((epoch, round), book.told.voted);
        }
    }
}

fn broken((invariant, rule): Broken) -> Finding {
    (invariant, format!("a record breaks a rule: {rule}"))
}
