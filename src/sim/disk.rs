//! A node's disk: the real log, on a disk in memory that forgets what was not synced.

use crate::consensus::{Entry, Record};
use crate::limits;
use crate::sim::rng::Rng;
use crate::storage::{
    Disk as _, DurableLog, Log as _, LogError, MemoryDisk, Recovered, Settings, count_start,
    read_file, starts,
};
use crate::types::Slot;

/// What a node has written, and how much of it would survive now.
pub(super) struct Disk {
    files: MemoryDisk,
    settings: Settings,
    /// Whether it was told to fail.
    is_failing: bool,
    /// How many bytes fit, while that is too few.
    capacity: Option<u64>,
    /// None while no process has it open.
    log: Option<DurableLog<MemoryDisk>>,
}

/// A copy of a data directory: what was durable.
#[derive(Clone, Debug)]
pub(super) struct Image(MemoryDisk);

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

/// What a crash did to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) left: Left,
    /// A file that was made or renamed is not found under its name: the directory was not synced.
    pub(super) lost_a_name: bool,
    /// Bytes of an older life of the file stand behind a write that was torn.
    pub(super) left_stale_bytes: bool,
}

/// Which files of a log are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// All.
    Log,
    /// What is not committed, and what was promised.
    Journals,
    /// The newer of the two: an older state is left.
    NewestJournal,
    /// The one that names the node.
    Format,
}

impl Lost {
    pub(super) const ALL: [Self; 4] =
        [Self::Log, Self::Journals, Self::NewestJournal, Self::Format];

    /// Whether the file called `name` is among them.
    fn holds(self, files: &MemoryDisk, name: &str) -> bool {
        let is_journal = name.starts_with("journal-");
        match self {
            Self::Log => is_journal || name.starts_with("chain-") || name == "format",
            Self::Journals => is_journal,
            Self::NewestJournal => is_journal && newest_journal(files).as_deref() == Some(name),
            Self::Format => name == "format",
        }
    }
}

/// The journal of the highest generation, which its frames name from their byte 8 on.
fn newest_journal(files: &MemoryDisk) -> Option<String> {
    let journals = ["journal-0", "journal-1"].into_iter().filter_map(|name| {
        let bytes = bytes(files, name)?;
        Some((bytes.get(8..16)?.to_vec(), name.to_owned()))
    });
    journals.max().map(|(_, name)| name)
}

impl Disk {
    pub(super) fn new(settings: Settings) -> Self {
        let files = MemoryDisk::default();
        Self { files, settings, is_failing: false, capacity: None, log: None }
    }

    /// Opens the log and counts the start, as a starting process does.
    pub(super) fn start(&mut self) -> Result<(Recovered, u64), LogError> {
        let recovered = self.open()?;
        let generation = self.log().generation();
        Ok((recovered, count_start(&self.files, generation)?))
    }

    /// Opens the log.
    pub(super) fn open(&mut self) -> Result<Recovered, LogError> {
        let (log, recovered) = DurableLog::open(&self.files, self.settings.clone())?;
        self.log = Some(log);
        Ok(recovered)
    }

    /// The power fails while a process opens the log.
    pub(super) fn cut_opening(&mut self, rng: &mut Rng) -> Damage {
        self.files.fail_after(rng.below(12));
        let _ = self.start();
        self.crash(false, rng)
    }

    /// Adds records behind all others.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        self.log().append(records)
    }

    /// Does what nobody waits for.
    pub(super) fn tidy(&mut self) -> Result<(), LogError> {
        self.log().tidy()
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

    /// Every reading of a file fails, until a process finds what is left of it.
    pub(super) fn fail_reads(&mut self) {
        self.is_failing = true;
        self.files.fail_reads(true);
    }

    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// There is room for a few more bytes only, whoever starts on it.
    pub(super) fn fill(&mut self, rng: &mut Rng) {
        self.capacity = Some(self.files.used() + rng.below(800));
        self.limit();
    }

    /// There is room again.
    pub(super) fn free(&mut self) {
        self.capacity = None;
        self.limit();
    }

    pub(super) fn is_full(&self) -> bool {
        self.capacity.is_some()
    }

    fn limit(&self) {
        self.files.full_at(self.capacity.unwrap_or(u64::MAX));
    }

    /// A copy of the directory as it is durable now.
    pub(super) fn image(&self) -> Image {
        Image(self.files.durable_image())
    }

    /// A copy takes the place of the directory; no process has it open.
    pub(super) fn restore(&mut self, image: &Image) {
        self.files = image.0.durable_image();
        self.limit();
    }

    /// Whether a process was ever started here.
    pub(super) fn has_started(&self) -> bool {
        matches!(starts(&self.files), Ok(Some(1..)))
    }

    /// Somebody removes these of the log's files and leaves the rest of the directory; no process has it open.
    pub(super) fn lose(&mut self, lost: Lost) {
        let names = self.files.list().expect("memory is listed");
        for name in names.iter().filter(|name| lost.holds(&self.files, name)) {
            self.files.remove(name).expect("it was listed");
        }
        self.files.sync_directory().expect("memory is synced");
    }

    /// The process ends in good order: nothing is lost.
    pub(super) fn close(&mut self) {
        self.log = None;
        self.is_failing = false;
        self.files.fail_after(u64::MAX);
        self.files.fail_reads(false);
    }

    /// The power fails, `in_sync`: while a sync is under way.
    pub(super) fn crash(&mut self, in_sync: bool, rng: &mut Rng) -> Damage {
        if in_sync && let Some(log) = &mut self.log {
            // How far the sync gets before the power fails; what it says then is heard by nobody.
            self.files.fail_after(*rng.pick(&[0, 1, 1, 1, 2]));
            let _ = log.sync();
        }
        self.log = None;
        self.files.fail_reads(false);
        let mut crashed = self.files.crashed(rng.bits());
        let mut damage = Damage::found(&self.files, &crashed);
        // A torn sync is what the power was cut for: other cases are many.
        for _ in 0..4 {
            if in_sync && damage.left != Left::Torn {
                crashed = self.files.crashed(rng.bits());
                damage = Damage::found(&self.files, &crashed);
            }
        }
        self.files = crashed;
        self.is_failing = false;
        self.limit();
        damage
    }

    fn log(&mut self) -> &mut DurableLog<MemoryDisk> {
        self.log.as_mut().expect("a process opens its log before it writes")
    }
}

impl Damage {
    /// Compares what was there, synced or not, with what is found.
    fn found(before: &MemoryDisk, found: &MemoryDisk) -> Self {
        let (durable, live) = (contents(&before.durable_image()), contents(before));
        let found = contents(found);
        let left = match () {
            () if found == live => Left::Whole,
            () if found == durable => Left::Nothing,
            () => Left::Torn,
        };
        let of = |files: &[(String, Vec<u8>)], name: &str| {
            files
                .iter()
                .find(|(other, _)| other == name)
                .map_or(Vec::new(), |(_, bytes)| bytes.clone())
        };
        let is_stale_behind = |(name, bytes): &(String, Vec<u8>)| {
            let (durable, live) = (of(&durable, name), of(&live, name));
            let stands = |bytes: &[u8], at: usize| bytes.get(at).copied().unwrap_or_default();
            let is_changed = |at: &usize| stands(&live, *at) != stands(&durable, *at);
            let mut changed = (0..bytes.len()).filter(is_changed);
            changed.any(|at| bytes[at] == stands(&live, at))
                && changed.any(|at| bytes[at] != 0 && bytes[at] == stands(&durable, at))
        };
        Self {
            left,
            lost_a_name: live.iter().any(|(name, _)| !found.iter().any(|(other, _)| other == name)),
            left_stale_bytes: left == Left::Torn && found.iter().any(is_stale_behind),
        }
    }
}

fn contents(files: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let names = files.list().unwrap_or_default();
    let file = |name: String| Some((bytes(files, &name)?, name));
    names.into_iter().filter_map(file).map(|(bytes, name)| (name, bytes)).collect()
}

fn bytes(files: &MemoryDisk, name: &str) -> Option<Vec<u8>> {
    read_file(files, name).ok()?
}
