//! Orders to the small library that stands between a node and its system; `shim.c` obeys them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// An input or output error, as Linux numbers it.
pub(crate) const EIO: i64 = 5;

/// No space left on the device.
pub(crate) const ENOSPC: i64 = 28;

/// What a node's system shall do from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// How far the wall clock is off.
    pub(crate) clock_shift_seconds: i64,
    /// What every sync fails with; 0: none does.
    pub(crate) sync_error: i64,
    /// What every write to a file fails with; 0: none does.
    pub(crate) write_error: i64,
    /// How long every sync waits.
    pub(crate) sync_wait: Duration,
    /// The most that one write takes; 0: all.
    pub(crate) write_bytes_max: i64,
}

/// The library, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Shim(PathBuf);

impl Shim {
    /// Compiles it into this directory.
    ///
    /// # Errors
    /// Why it cannot be had on this machine.
    pub(crate) fn compile(directory: &Path) -> Result<Self, String> {
        if !cfg!(target_os = "linux") {
            return Err("LD_PRELOAD is Linux's".to_owned());
        }
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nemesis/shim.c");
        let library = directory.join("shim.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&library)
            .args([source, "-ldl"])
            .output()
            .map_err(|error| format!("no C compiler: cc: {error}"))?;
        match compiled.status.success() {
            true => Ok(Self(library)),
            false => Err(format!("cc: {}", String::from_utf8_lossy(&compiled.stderr))),
        }
    }

    /// Has a command obey the orders in this file, which begin empty.
    pub(crate) fn wrap(&self, command: &mut Command, orders: &Path) -> Commander {
        let commander = Commander(File::create(orders).expect("the directory is there"));
        commander.order(Orders::default());
        command.env("LD_PRELOAD", &self.0).env("NEMESIS_ORDERS", orders);
        commander
    }
}

/// Gives orders to one process.
#[derive(Debug)]
pub(crate) struct Commander(File);

impl Commander {
    /// In force when this returns.
    pub(crate) fn order(&self, orders: Orders) {
        let wait = i64::try_from(orders.sync_wait.as_millis()).expect("a short wait");
        let numbers = [
            orders.clock_shift_seconds,
            orders.sync_error,
            orders.write_error,
            wait,
            orders.write_bytes_max,
        ];
        let bytes: Vec<u8> = numbers.into_iter().flat_map(i64::to_le_bytes).collect();
        self.0.write_all_at(&bytes, 0).expect("orders are written");
    }
}

/// What the name of every such disk begins with, so that leftovers are known.
const PREFIX: &str = "quorate-";

/// Unmounts what tests left that were killed.
fn sweep() {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let owner = words.next().and_then(|name| name.strip_prefix(PREFIX));
        if let (Some(owner), Some(at)) = (owner, words.next())
            && !Path::new("/proc").join(owner).exists()
        {
            drop(SmallDisk { at: PathBuf::from(at) });
        }
    }
}

/// A disk of its own that can be made full: memory, mounted over a data directory.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// How much it holds when it is not full.
    const ROOM: &str = "4g";

    /// Mounts one there.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(crate) fn mount(at: &Path) -> Result<Self, String> {
        fs::create_dir_all(at).map_err(|error| error.to_string())?;
        sweep();
        let (small, name) = (Self { at: at.to_owned() }, format!("{PREFIX}{}", std::process::id()));
        small.run("mount", &["-t", "tmpfs", "-o", &format!("size={}", Self::ROOM), &name])?;
        Ok(small)
    }

    /// Leaves no page free.
    pub(crate) fn fill(&self) {
        // A size below what is in use is refused: the least that is taken is what is in use.
        let used = self.used_kib();
        for size in (used.saturating_sub(8)..).step_by(4).take(1_000) {
            if self.remount(&format!("{size}k")).is_ok() {
                return;
            }
        }
        panic!("{} cannot be made full", self.at.display());
    }

    /// Gives it room again.
    pub(crate) fn clear(&self) {
        self.remount(Self::ROOM).expect("a larger size is taken");
    }

    fn used_kib(&self) -> u64 {
        let told = Command::new("df").args(["-k", "--output=used"]).arg(&self.at).output();
        let told = String::from_utf8(told.expect("df").stdout).expect("text");
        told.lines().last().and_then(|line| line.trim().parse().ok()).expect("a number")
    }

    fn remount(&self, size: &str) -> Result<(), String> {
        self.run("mount", &["-o", &format!("remount,size={size}")])
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let done = Command::new(program).args(arguments).arg(&self.at).output();
        let done = done.map_err(|error| format!("{program}: {error}"))?;
        match done.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.run("umount", &["-l"]);
    }
}
