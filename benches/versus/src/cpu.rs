//! Who used the processors between two moments: the load generator, the servers that are measured, and all others.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// One tick of the times in `/proc`: 10 ms to user space on every Linux, whatever its kernel counts in.
const TICK: Duration = Duration::from_millis(10);

/// The flag of a kernel thread. What it does for the files of a process is nobody's own load.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Processor time up to a moment, in ticks.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    at: Instant,
    generator: u64,
    servers: u64,
    kernel: BTreeMap<u32, u64>,
    machine: Machine,
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
    /// Reads the times of the machine and of its processes: a few milliseconds. `servers` are those under load.
    pub(crate) fn take(servers: &[u32]) -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let mut sample = Self {
            at: Instant::now(),
            generator: 0,
            servers: 0,
            kernel: BTreeMap::new(),
            machine: Machine::read(&stat).unwrap_or_default(),
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for id in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let Some(times) = Times::read(&stat) else { continue };
            if id == std::process::id() {
                sample.generator += times.used;
            } else if servers.contains(&id) {
                sample.servers += times.used;
            } else if times.kernel {
                sample.kernel.insert(id, times.used);
            }
        }
        sample
    }

    /// What was used since an earlier moment. Others are what is left of the whole: a compiler that came and went
    /// between the two looks is in it, as its own times are not.
    pub(crate) fn since(&self, earlier: &Self) -> Used {
        let span = (self.at - earlier.at).as_secs_f64();
        let generator = self.generator.saturating_sub(earlier.generator);
        let servers = self.servers.saturating_sub(earlier.servers);
        let kernel = self.kernel.iter().filter_map(|(id, used)| {
            earlier.kernel.get(id).map(|before| used.saturating_sub(*before))
        });
        let known = generator + servers + kernel.sum::<u64>();
        let busy = self.machine.busy.saturating_sub(earlier.machine.busy);
        let stolen = self.machine.stolen.saturating_sub(earlier.machine.stolen);
        Used {
            generator: time(generator),
            servers: time(servers),
            foreign_cores: time(busy.saturating_sub(known)).as_secs_f64() / span,
            stolen_cores: time(stolen).as_secs_f64() / span,
        }
    }
}

fn time(ticks: u64) -> Duration {
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// All processors together, from the first line of `/proc/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Machine {
    busy: u64,
    stolen: u64,
}

impl Machine {
    fn read(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let all: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen, ..] =
            all[..]
        else {
            return None;
        };
        Some(Self { busy: user + nice + system + interrupts + soft_interrupts, stolen })
    }
}

/// From one line of `/proc/ID/stat`, in ticks.
#[derive(Debug, PartialEq, Eq)]
struct Times {
    kernel: bool,
    used: u64,
}

impl Times {
    fn read(stat: &str) -> Option<Self> {
        // The name stands in brackets and may hold anything, brackets too.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self { kernel: number(6)? & KERNEL_THREAD != 0, used: number(11)? + number(12)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_a_name_of_any_kind() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 9 0 555 0 0";
        assert_eq!(Times::read(stat), Some(Times { kernel: false, used: 120 }));
        let thread = "9 (kworker/0:1) I 2 0 0 0 -1 69238880 0 0 0 0 0 5 0 0 20 0 1 0 12 0 0";
        assert_eq!(Times::read(thread), Some(Times { kernel: true, used: 5 }));
        assert_eq!(Times::read("42 (a) S 7"), None);
        assert_eq!(Times::read(""), None);
    }

    #[test]
    fn others_used_what_is_left_of_the_whole() {
        let stat = "cpu  100 20 30 999 50 4 6 7 8 9\ncpu0 1 2 3";
        let before = Machine::read(stat).unwrap();
        assert_eq!(before, Machine { busy: 160, stolen: 7 });
        assert_eq!(Machine::read("intr 1 2 3"), None);
        let at = Instant::now();
        let kernel = BTreeMap::from([(9, 50), (10, 70)]);
        let earlier = Sample { at, generator: 5, servers: 10, kernel, machine: before };
        let later = Sample {
            at: at + Duration::from_secs(1),
            generator: 15,
            servers: 40,
            // One ended, one was there, one is new.
            kernel: BTreeMap::from([(10, 80), (11, 1)]),
            machine: Machine { busy: 260, stolen: 9 },
        };
        let used = later.since(&earlier);
        assert_eq!(used.generator, Duration::from_millis(100));
        assert_eq!(used.servers, Duration::from_millis(300));
        assert!((used.foreign_cores - 0.5).abs() < 1e-9, "{used:?}");
        assert!((used.stolen_cores - 0.02).abs() < 1e-9, "{used:?}");
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
