//! What the machine itself costs while the load runs: a timer's lateness and one sync, ten times a second.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_millis(100);
const BLOCK: usize = 4096;
const BLOCKS: u64 = 1024;

/// A thread that measures until this is dropped.
pub(super) struct Floor {
    took: Receiver<Duration>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Floor {
    pub(super) fn start(directory: &Path) -> Self {
        let file = tempfile::tempfile_in(directory).expect("a file");
        file.write_all_at(&vec![0; BLOCK * BLOCKS as usize], 0).expect("it can be written");
        file.sync_all().expect("it can be synced");
        let (sender, took) = sync_channel(4_096);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || measure(&file, &sender, &stopped));
        Self { took, stop, thread: Some(thread) }
    }

    /// What was measured since the last call.
    pub(super) fn taken(&self) -> Vec<Duration> {
        self.took.try_iter().collect()
    }
}

fn measure(file: &std::fs::File, took: &SyncSender<Duration>, stop: &CancellationToken) {
    let mut due = Instant::now();
    for at in 0.. {
        if stop.is_cancelled() {
            return;
        }
        // What is late makes the next ones late, as it does with the load.
        due += EVERY;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        file.write_all_at(&[7; BLOCK], at % BLOCKS * BLOCK as u64).expect("it can be written");
        file.sync_data().expect("it can be synced");
        if took.send(due.elapsed()).is_err() {
            return;
        }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
