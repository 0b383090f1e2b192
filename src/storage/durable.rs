//! The durable log: the journal for what is new, the chain for what is committed.

use crate::consensus::{Record, State};
use crate::mutant::{self, Mutant};
use crate::storage::chain::{Chain, Reader};
use crate::storage::journal::{Full, Journal};
use crate::storage::recovery::{self, Recovery};
use crate::storage::snapshot::Snapshot;
use crate::storage::{Disk, Log, LogError, Recovered, Settings};

/// The log of one node, on `D`. One thread appends and syncs; [`Log::reader`] serves others.
#[derive(Debug)]
pub struct DurableLog<D: Disk> {
    /// What all records amount to, with as much behind the commit as the machine holds after a restart.
    state: State,
    settings: Settings,
    journal: Journal<D>,
    chain: Chain<D>,
    /// Said again by every later call.
    failed: Option<LogError>,
}

impl<D: Disk> DurableLog<D> {
    /// Opens the log on `disk`, which is begun if it holds none. What a crash tore off is cut.
    ///
    /// # Errors
    /// [`LogError`]; where it is [`LogError::Damaged`] or [`LogError::Foreign`], nothing was changed.
    pub fn open(disk: &D, settings: Settings) -> Result<(Self, Recovered), LogError> {
        let Recovery { generation, state, mut chain, replay, recovered } =
            recovery::recover(disk, &settings)?;
        recovery::bind(disk, settings.node)?;
        chain.cut()?;
        if let Some(replay) = replay {
            replay.run(&settings, |entry| chain.append(std::iter::once(entry)))?;
        }
        chain.sync()?;
        // A new generation in the other file: whatever a crash left behind the last good batch is
        // then of an old one, and cannot be taken for what follows.
        let snapshot = Snapshot::new(&state, chain.mark());
        let journal = Journal::begin(disk, generation + 1, &snapshot, settings.journal_bytes)?;
        Ok((Self { state, settings, journal, chain, failed: None }, recovered))
    }

    /// Whether `disk` holds a log or counts starts, of whatever node.
    ///
    /// # Errors
    /// [`LogError`] if the disk does not say.
    pub fn is_begun(disk: &D) -> Result<bool, LogError> {
        recovery::is_begun(disk)
    }

    /// Which generation of the journal is written.
    pub fn generation(&self) -> u64 {
        self.journal.generation()
    }

    fn add(&mut self, records: &[Record]) -> Result<(), LogError> {
        let mut tips = Vec::with_capacity(records.len());
        for record in records {
            tips.push(self.state.last());
            self.state.apply(record)?;
        }
        match self.journal.append(records.iter().zip(tips)) {
            Ok(()) => self.journal.write_if_much(),
            Err(Full) => {
                self.extend_chain()?;
                self.chain.flush()?;
                if !mutant::is(Mutant::CommitAheadOfEntries) {
                    self.chain.sync()?;
                }
                let snapshot = Snapshot::new(&self.state, self.chain.mark());
                self.journal.begin_next(&snapshot)?;
                self.forget();
                Ok(())
            }
        }
    }

    /// Brings what is committed to the chain.
    fn extend_chain(&mut self) -> Result<(), LogError> {
        let through = self.state.committed.slot;
        let entries = self.state.tail.behind(self.chain.end());
        self.chain.append(entries.take_while(|entry| entry.slot() <= through))
    }

    /// Forgets what is in the chain: no record refers to what lies behind the commit that it meets.
    fn forget(&mut self) {
        let Settings { retained_slots, retained_bytes, .. } = self.settings;
        self.state.trim(self.state.committed.slot, retained_slots, retained_bytes);
    }

    /// Does nothing more once something failed.
    fn latch<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        act(self).inspect_err(|error| {
            self.failed = Some(error.clone()).filter(|_| !mutant::is(Mutant::SyncRetried));
        })
    }
}

impl<D: Disk> Log for DurableLog<D> {
    type Reader = Reader<D>;

    fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        self.latch(|log| if records.is_empty() { Ok(()) } else { log.add(records) })
    }

    fn sync(&mut self) -> Result<(), LogError> {
        self.latch(|log| {
            match log.journal.sync() {
                Err(_) if mutant::is(Mutant::SyncErrorIgnored) => {}
                outcome => outcome?,
            }
            Ok(())
        })
    }

    fn tidy(&mut self) -> Result<(), LogError> {
        self.latch(|log| {
            log.extend_chain()?;
            log.forget();
            log.journal.make_room()
        })
    }

    fn show(&mut self) -> Result<(), LogError> {
        self.latch(|log| {
            log.extend_chain()?;
            log.chain.flush()
        })
    }

    fn reader(&self) -> Reader<D> {
        self.chain.reader().clone()
    }
}
