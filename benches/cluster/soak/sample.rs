//! A look at each process every second, and the files in which all looks are kept.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::machine;

/// A node's log lines are cut here; those that tell of no commit are kept in a file of their own.
pub(super) const LOG_FILE_BYTES_MAX: u64 = 32 << 20;

/// One node in one second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Seconds since the run began.
    pub(super) seconds: f64,
    /// The how manieth process of this node.
    pub(super) life: u32,
    /// Seconds since this process was started.
    pub(super) age: f64,
    /// Whether the load runs undisturbed by this tool.
    pub(super) quiet: bool,
    pub(super) resident: u64,
    pub(super) descriptors: usize,
    /// The most descriptors so far.
    pub(super) crowd: usize,
    pub(super) threads: usize,
    pub(super) cpu: Duration,
    /// The highest slot acknowledged to a client.
    pub(super) entries: u64,
    /// Bytes of the files of committed entries.
    pub(super) chain: u64,
    /// Bytes of all other files of the node.
    pub(super) rest: u64,
}

/// What the files below a node's directory hold: the chain's, all others'.
pub(super) fn on_disk(directory: &Path) -> (u64, u64) {
    let (mut chain, mut rest) = (0, 0);
    for file in fs::read_dir(directory).into_iter().flatten().flatten() {
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        let is_chain = file.file_name().to_string_lossy().starts_with("chain-");
        *(if is_chain { &mut chain } else { &mut rest }) += bytes;
    }
    (chain, rest)
}

/// Where the log lines of one node are read and cut.
pub(super) struct Lines {
    path: PathBuf,
    read: u64,
    kept: File,
    pub(super) warnings: u64,
    pub(super) errors: u64,
}

impl Lines {
    pub(super) fn new(path: PathBuf, kept: &Path) -> Self {
        let kept = File::create(kept).expect("a file for log lines");
        Self { path, read: 0, kept, warnings: 0, errors: 0 }
    }

    /// Reads what is new, keeps what is worth it, and cuts the file where it is long.
    pub(super) fn sift(&mut self) -> std::io::Result<()> {
        let mut file = File::options().read(true).write(true).open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text[..whole].lines().filter(|line| !line.contains("value.committed")) {
            self.warnings += u64::from(line.contains(" WARN "));
            self.errors += u64::from(line.contains(" ERROR ") || line.contains("panicked"));
            writeln!(self.kept, "{line}")?;
        }
        self.read += whole as u64;
        if self.read > LOG_FILE_BYTES_MAX {
            // The node appends: what it writes next stands at the new end.
            file.set_len(0)?;
            self.read = 0;
        }
        Ok(())
    }
}

/// The two tables.
pub(super) struct Tables {
    samples: BufWriter<File>,
    windows: BufWriter<File>,
}

impl Tables {
    pub(super) fn create(out: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(out)?;
        let create = |name: &str| File::create(out.join(name)).map(BufWriter::new);
        let mut tables = Self { samples: create("samples.csv")?, windows: create("windows.csv")? };
        writeln!(
            tables.samples,
            "seconds,node,life,age_s,quiet,resident_bytes,descriptors,threads,cpu_s,slot,chain_bytes,other_bytes"
        )?;
        writeln!(
            tables.windows,
            "seconds,quiet,commits,p50_ms,p99_ms,most_ms,floor_p50_ms,floor_p99_ms"
        )?;
        Ok(tables)
    }

    pub(super) fn sample(&mut self, node: usize, sample: &Sample) -> std::io::Result<()> {
        let Sample { seconds, life, age, resident, descriptors, threads, .. } = sample;
        let Sample { entries, chain, rest, .. } = sample;
        let (quiet, cpu) = (u8::from(sample.quiet), sample.cpu.as_secs_f64());
        writeln!(
            self.samples,
            "{seconds:.1},n{},{life},{age:.1},{quiet},{resident},{descriptors},{threads},{cpu:.2},{entries},{chain},{rest}",
            node + 1
        )
    }

    pub(super) fn window(&mut self, window: &Window) -> std::io::Result<()> {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        writeln!(
            self.windows,
            "{:.1},{},{},{:.3},{:.3},{:.3},{:.3},{:.3}",
            window.seconds,
            u8::from(window.quiet),
            window.commits,
            ms(window.p50),
            ms(window.p99),
            ms(window.most),
            ms(window.floor_p50),
            ms(window.floor_p99),
        )?;
        self.samples.flush()?;
        self.windows.flush()
    }
}

/// The load in some seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Seconds since the run began, at its end.
    pub(super) seconds: f64,
    pub(super) quiet: bool,
    pub(super) commits: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) most: Duration,
    pub(super) floor_p50: Duration,
    pub(super) floor_p99: Duration,
}

/// What a process holds.
pub(super) fn held(process: u32) -> (u64, usize, usize) {
    (
        machine::resident(process) * 1024,
        machine::listed(process, "fd"),
        machine::listed(process, "task"),
    )
}
