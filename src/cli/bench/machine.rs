//! What the system says of this machine and of processes on it.

use std::fs;
use std::time::Duration;

/// What a process holds in memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Resident now.
    pub(super) now: u64,
    /// The most that was ever resident.
    pub(super) most: u64,
}

impl Memory {
    /// That of a process; zero where the system does not say.
    pub(super) fn of(process: u32) -> Self {
        Self::read(&fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default())
    }

    fn read(status: &str) -> Self {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kib.unwrap_or(0) * 1024
        };
        Self { now: bytes("VmRSS"), most: bytes("VmHWM") }
    }
}

/// Processor time that a process has used so far, all its threads together; zero where the system does not say.
pub(super) fn cpu_time(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let nanos = tasks.into_iter().flatten().flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The machine in a line: cores, kernel, how busy it is, how this program was built.
pub(super) fn described() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<_> = load.split(' ').take(3).collect();
    let build = if cfg!(debug_assertions) { ", a debug build" } else { "" };
    format!(
        "{cores} cores, {} {}, load average before {}{build}",
        std::env::consts::OS,
        kernel.trim(),
        load.join(" ")
    )
}

/// The first port that the system may give to an outgoing connection: one below is still free when a killed
/// node comes back for it.
pub(super) fn first_passing_port() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|port| port.parse().ok()).unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_system_writes_it() {
        let status = "Name:\tnode\nVmPeak:\t  900 kB\nVmHWM:\t    20 kB\nVmRSS:\t    16 kB\n";
        assert_eq!(Memory::read(status), Memory { now: 16 * 1024, most: 20 * 1024 });
        assert_eq!(Memory::read(""), Memory::default());
        let own = Memory::of(std::process::id());
        assert!(0 < own.now && own.now <= own.most || !cfg!(target_os = "linux"), "{own:?}");
    }
}
