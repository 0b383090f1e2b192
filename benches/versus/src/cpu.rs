//! Who used the processors between two moments: the load generator, the servers that are measured, and all others.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// One tick of the times in `/proc`: 10 ms to user space on every Linux, whatever its kernel counts in.
const TICK: Duration = Duration::from_millis(10);

/// The flag of a kernel thread. What it does for the files of a process is nobody's own load.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Processor time up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    at: Instant,
    generator: Duration,
    servers: Duration,
    others: Duration,
    stolen: Duration,
}

/// Processor time between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// By this process.
    pub(crate) generator: Duration,
    /// By the servers under load.
    pub(crate) servers: Duration,
    /// By everything else that runs here, the idle servers of the other products among it, in cores.
    pub(crate) foreign_cores: f64,
    /// By the machine below this machine, in cores.
    pub(crate) stolen_cores: f64,
}

impl Sample {
    /// Reads the times of all processes: a few milliseconds. `servers` are those under load.
    pub(crate) fn take(servers: &[u32]) -> Self {
        let at = Instant::now();
        let servers: BTreeSet<u32> = servers.iter().copied().collect();
        let (mut generator, mut measured, mut others) = (0, 0, 0);
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for id in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let Some(times) = Times::read(&stat) else { continue };
            if id == std::process::id() {
                generator += times.own;
            } else if servers.contains(&id) {
                measured += times.own;
            } else if !times.kernel {
                // With what ended children used: a compiler that came and went between two looks is not missed.
                others += times.own + times.children;
            }
        }
        let ticks = |count: u64| TICK * u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            at,
            generator: ticks(generator),
            servers: ticks(measured),
            others: ticks(others),
            stolen: ticks(stolen()),
        }
    }

    /// What was used since an earlier moment.
    pub(crate) fn since(&self, earlier: &Self) -> Used {
        let span = (self.at - earlier.at).as_secs_f64();
        let cores = |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() / span;
        Used {
            generator: self.generator.saturating_sub(earlier.generator),
            servers: self.servers.saturating_sub(earlier.servers),
            foreign_cores: cores(self.others, earlier.others),
            stolen_cores: cores(self.stolen, earlier.stolen),
        }
    }
}

/// From one line of `/proc/ID/stat`, in ticks.
#[derive(Debug, PartialEq, Eq)]
struct Times {
    kernel: bool,
    own: u64,
    children: u64,
}

impl Times {
    fn read(stat: &str) -> Option<Self> {
        // The name stands in brackets and may hold anything, brackets too.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            kernel: number(6)? & KERNEL_THREAD != 0,
            own: number(11)? + number(12)?,
            children: number(13)? + number(14)?,
        })
    }
}

/// Ticks in which another machine on the same host had the processors.
fn stolen() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let all = stat.lines().next().and_then(|line| line.split_whitespace().nth(8)?.parse().ok());
    all.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_a_name_of_any_kind() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 9 0 555 0 0";
        assert_eq!(Times::read(stat), Some(Times { kernel: false, own: 120, children: 7 }));
        let thread = "9 (kworker/0:1) I 2 0 0 0 -1 69238880 0 0 0 0 0 5 0 0 20 0 1 0 12 0 0";
        assert_eq!(Times::read(thread), Some(Times { kernel: true, own: 5, children: 0 }));
        assert_eq!(Times::read("42 (a) S 7"), None);
        assert_eq!(Times::read(""), None);
    }

    #[test]
    fn work_of_this_process_is_the_generators() {
        let before = Sample::take(&[]);
        let deadline = Instant::now() + Duration::from_secs(30);
        let used = loop {
            let used = Sample::take(&[]).since(&before);
            if !used.generator.is_zero() || Instant::now() > deadline {
                break used;
            }
        };
        assert!(!used.generator.is_zero() && used.servers.is_zero(), "{used:?}");
    }
}
