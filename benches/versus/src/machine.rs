//! The machine below: what it is, and what its disk and its loopback cost by themselves.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stats::{percentile, time};

/// Bytes of a message that goes there and back.
const MESSAGE_BYTES: usize = 256;

/// What the figures depend on, in a few lines.
pub(crate) fn described(directory: &Path) -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory =
        memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    let gib = memory.unwrap_or(0.0) / f64::from(1 << 20);
    let df =
        Command::new("df").arg("--output=source,fstype,avail").arg("-h").arg(directory).output();
    let disk = df.map(|df| String::from_utf8_lossy(&df.stdout).into_owned()).unwrap_or_default();
    let disk = disk.lines().last().unwrap_or("?").split_whitespace().collect::<Vec<_>>().join(" ");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    format!(
        "{cores} cores, {}, {gib:.0} GiB, Linux {}; load average {load}\n\
         {disk} free below {}",
        model.unwrap_or("?"),
        kernel.trim(),
        directory.display()
    )
}

/// What one sync and one round trip cost, without any product around them.
#[derive(Debug)]
pub(crate) struct Floor {
    sync: Vec<Duration>,
    round_trip: Vec<Duration>,
}

impl Floor {
    const SYNCS: usize = 2_000;
    const BLOCK: usize = 4096;
    const ROUND_TRIPS: usize = 5_000;

    /// # Errors
    /// When the directory cannot be written or the loopback not used.
    pub(crate) fn measure(directory: &Path) -> std::io::Result<Self> {
        let path = directory.join("floor");
        let sync = Self::syncs(&path);
        let _ = fs::remove_file(path);
        let (mut sync, mut round_trip) = (sync?, Self::round_trips()?);
        sync.sort_unstable();
        round_trip.sort_unstable();
        Ok(Self { sync, round_trip })
    }

    /// `pwrite` and `fdatasync` of one block after the other in a file of zeros.
    fn syncs(path: &Path) -> std::io::Result<Vec<Duration>> {
        let file = File::create(path)?;
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
            let mut message = [0; MESSAGE_BYTES];
            while there.read_exact(&mut message).is_ok() && there.write_all(&message).is_ok() {}
        });
        let mut message = [7; MESSAGE_BYTES];
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

    /// In one line.
    pub(crate) fn described(&self) -> String {
        let pair = |sorted: &[Duration]| {
            let [p50, p99] = [0.5, 0.99].map(|share| percentile(sorted, share).as_secs_f64());
            format!("p50 {} p99 {}", time(p50), time(p99))
        };
        format!(
            "fdatasync of 4 KiB in a file of zeros {}; loopback round trip {}; two round trips and a sync {}",
            pair(&self.sync),
            pair(&self.round_trip),
            time(self.one_commit().as_secs_f64())
        )
    }

    /// In seconds.
    pub(crate) fn raw(&self) -> Value {
        let [sync, round_trip] = [&self.sync, &self.round_trip].map(|sorted| {
            let [p50, p99] = [0.5, 0.99].map(|share| percentile(sorted, share).as_secs_f64());
            json!({"p50": p50, "p99": p99})
        });
        json!({"fdatasync": sync, "round_trip": round_trip})
    }
}
