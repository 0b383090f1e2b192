//! What one sync and one round trip cost on this machine, without anything of this project around them.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const SYNCS: usize = 500;
const BLOCK: usize = 4096;
const ROUND_TRIPS: usize = 2_000;
const MESSAGE: usize = 256;

/// Medians, measured once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    /// `pwrite` and `fdatasync` of 4 KiB within a file of zeros.
    pub(super) sync: Duration,
    /// A message of 256 bytes to another thread over loopback, and back.
    pub(super) round_trip: Duration,
}

impl Floor {
    /// Measures both, the first in `directory`; takes well under a second.
    pub(super) fn measure(directory: &Path) -> io::Result<Self> {
        Ok(Self { sync: median(syncs(directory)?), round_trip: median(round_trips()?) })
    }

    /// What a commit cannot do without: a round trip of the client, one between nodes, one sync.
    pub(super) fn one_commit(&self) -> Duration {
        2 * self.round_trip + self.sync
    }
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

fn syncs(directory: &Path) -> io::Result<Vec<Duration>> {
    let path = directory.join(format!("floor-{}", uuid::Uuid::new_v4().simple()));
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    // Without a name it goes with the process, however that ends.
    fs::remove_file(&path)?;
    file.write_all_at(&vec![0; SYNCS * BLOCK], 0)?;
    file.sync_all()?;
    let block = [7; BLOCK];
    let one = |at: usize| {
        let start = Instant::now();
        file.write_all_at(&block, (at * BLOCK) as u64)?;
        file.sync_data()?;
        Ok(start.elapsed())
    };
    (0..SYNCS).map(one).collect()
}

fn round_trips() -> io::Result<Vec<Duration>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut here = TcpStream::connect(listener.local_addr()?)?;
    let (mut there, _) = listener.accept()?;
    here.set_nodelay(true)?;
    there.set_nodelay(true)?;
    let echo = std::thread::spawn(move || {
        let mut message = [0; MESSAGE];
        while there.read_exact(&mut message).is_ok() && there.write_all(&message).is_ok() {}
    });
    let mut message = [7; MESSAGE];
    let mut took = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        here.write_all(&message)?;
        here.read_exact(&mut message)?;
        took.push(start.elapsed());
    }
    drop(here);
    echo.join().map_err(|_| io::Error::other("the echo broke"))?;
    Ok(took)
}
