//! A node's disk: the real log, on a disk in memory that forgets what was not synced.

use crate::consensus::{Entry, Record};
use crate::limits;
use crate::sim::rng::Rng;
use crate::storage::{
    Disk as _, DurableLog, Log as _, LogError, MemoryDisk, Recovered, Settings, read_file,
};
use crate::types::Slot;

/// What a node has written, and how much of it would survive now.
pub(super) struct Disk {
    files: MemoryDisk,
    settings: Settings,
    /// Whether it was told to fail.
    is_failing: bool,
    /// None while no process has it open.
    log: Option<DurableLog<MemoryDisk>>,
}

/// What a crash left of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// All of it, or there was none.
    Whole,
    /// None of it.
    Nothing,
    /// Bytes that are neither what was nor what was to be.
    Torn,
}

impl Disk {
    pub(super) fn new(settings: Settings) -> Self {
        Self { files: MemoryDisk::default(), settings, is_failing: false, log: None }
    }

    /// Opens the log, as a starting process does.
    pub(super) fn open(&mut self) -> Result<Recovered, LogError> {
        let (log, recovered) = DurableLog::open(&self.files, self.settings.clone())?;
        self.log = Some(log);
        Ok(recovered)
    }

    /// Adds records behind all others.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        self.log().append(records)
    }

    /// Makes everything durable that was appended.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        self.log().sync()
    }

    /// Committed entries from `from` through `through`, as many as one message takes.
    pub(super) fn read(&mut self, from: Slot, through: Slot) -> Result<Vec<Entry>, LogError> {
        self.log().read(from, through, limits::BATCH_BYTES)
    }

    /// After a few more changes every one fails, until a process finds what is left of it.
    pub(super) fn fail_soon(&mut self, rng: &mut Rng) {
        self.is_failing = true;
        self.files.fail_after(rng.below(4));
    }

    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// The power fails, `in_sync`: while a sync is under way.
    pub(super) fn crash(&mut self, in_sync: bool, rng: &mut Rng) -> Left {
        if in_sync && let Some(log) = &mut self.log {
            // How far the sync gets before the power fails; what it says then is heard by nobody.
            self.files.fail_after(rng.below(3));
            let _ = log.sync();
        }
        self.log = None;
        let durable = contents(&self.files.durable_image());
        let crashed = self.files.crashed(rng.bits());
        let (live, found) = (contents(&self.files), contents(&crashed));
        self.files = crashed;
        self.is_failing = false;
        match () {
            () if found == live => Left::Whole,
            () if found == durable => Left::Nothing,
            () => Left::Torn,
        }
    }

    fn log(&mut self) -> &mut DurableLog<MemoryDisk> {
        self.log.as_mut().expect("a process opens its log before it writes")
    }
}

fn contents(files: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let names = files.list().unwrap_or_default();
    let file = |name: String| Some((read_file(files, &name).ok()??, name));
    names.into_iter().filter_map(file).map(|(bytes, name)| (name, bytes)).collect()
}
