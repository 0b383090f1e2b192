//! The machine below the nodes: what it is, how busy it is, and what its disk and loopback cost by themselves.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::stats::{percentile, shown};

/// Prints what the figures depend on.
pub(crate) fn print(directory: &Path) {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("machine    {cores} cores, {}, Linux {}", model.unwrap_or("?"), kernel.trim());
    let df = Command::new("df").arg("--output=source,fstype").arg(directory).output();
    let disk = df.map(|df| String::from_utf8_lossy(&df.stdout).into_owned()).unwrap_or_default();
    let disk = disk.lines().last().unwrap_or("?").split_whitespace().collect::<Vec<_>>().join(" ");
    println!("disk       {disk} below {}", directory.display());
    let assertions = if cfg!(debug_assertions) { "on" } else { "off" };
    println!("profile    bench (as release); debug assertions {assertions}");
}

/// Prints the title of a part, and how busy the machine is before it.
pub(crate) fn part(title: &str) {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<_> = load.split(' ').take(3).collect();
    println!("\n{title}\n  load average before: {}", load.join(" "));
}

/// What one sync and one round trip cost, without any of this project around them.
pub(crate) struct Floor {
    sync: Vec<Duration>,
    round_trip: Vec<Duration>,
}

impl Floor {
    const SYNCS: usize = 2_000;
    const BLOCK: usize = 4096;
    const ROUND_TRIPS: usize = 5_000;

    pub(crate) fn measure(directory: &Path) -> Self {
        let mut sync = Self::syncs(directory).expect("a file that can be written");
        let mut round_trip = Self::round_trips().expect("a loopback that can be used");
        sync.sort_unstable();
        round_trip.sort_unstable();
        Self { sync, round_trip }
    }

    /// `pwrite` and `fdatasync` of one block after the other in a file of zeros.
    fn syncs(directory: &Path) -> std::io::Result<Vec<Duration>> {
        let file = tempfile::tempfile_in(directory)?;
        file.write_all_at(&vec![0; Self::SYNCS * Self::BLOCK], 0)?;
        file.sync_all()?;
        let block = [7; Self::BLOCK];
        let one = |at| {
            let start = Instant::now();
            file.write_all_at(&block, (at * Self::BLOCK) as u64)?;
            file.sync_data()?;
            Ok(start.elapsed())
        };
        (0..Self::SYNCS).map(one).collect()
    }

    /// A message of a value's size to another thread and back.
    fn round_trips() -> std::io::Result<Vec<Duration>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut here = TcpStream::connect(listener.local_addr()?)?;
        let (mut there, _) = listener.accept()?;
        here.set_nodelay(true)?;
        there.set_nodelay(true)?;
        let echo = std::thread::spawn(move || {
            let mut message = [0; crate::nodes::VALUE_BYTES];
            while there.read_exact(&mut message).is_ok() && there.write_all(&message).is_ok() {}
        });
        let mut message = [7; crate::nodes::VALUE_BYTES];
        let mut took = Vec::with_capacity(Self::ROUND_TRIPS);
        for _ in 0..Self::ROUND_TRIPS {
            let start = Instant::now();
            here.write_all(&message)?;
            here.read_exact(&mut message)?;
            took.push(start.elapsed());
        }
        drop(here);
        echo.join().expect("it only echoes");
        Ok(took)
    }

    /// What one commit cannot do without: a round trip of the client, one between nodes, one sync.
    pub(crate) fn one_commit(&self) -> Duration {
        2 * percentile(&self.round_trip, 0.5) + percentile(&self.sync, 0.5)
    }

    pub(crate) fn print(&self) {
        part("floor");
        for (what, sorted) in [
            ("write 4 KiB and fdatasync, file of zeros", &self.sync),
            ("round trip on loopback", &self.round_trip),
        ] {
            let (p50, p99) = (percentile(sorted, 0.5), percentile(sorted, 0.99));
            println!("  {what:42} p50 {:>8}   p99 {:>8}", shown(p50), shown(p99));
        }
        println!(
            "  {:42} {:>12}",
            "one commit: two round trips, one sync",
            shown(self.one_commit())
        );
    }
}

/// Processor time that a process has used so far, all its threads together; those that ended left theirs out.
pub(crate) fn cpu_time(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let nanos = tasks.into_iter().flatten().flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Resident memory of a process, in KiB.
pub(crate) fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// How many entries a directory of a process has: `fd` for descriptors, `task` for threads.
pub(crate) fn listed(process: u32, what: &str) -> usize {
    fs::read_dir(format!("/proc/{process}/{what}")).map_or(0, Iterator::count)
}

/// What may still be written below a directory, in bytes.
pub(crate) fn free_bytes(directory: &Path) -> u64 {
    let df = Command::new("df").args(["--output=avail", "-B1"]).arg(directory).output();
    let text = df.map(|df| String::from_utf8_lossy(&df.stdout).into_owned()).unwrap_or_default();
    text.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or(0)
}
