//! A node that stands still half of the time, as one does on a machine that has too much to do.
//!
//! It is stopped and continued by signals. That is no slow disk and no slow network: what reaches it meanwhile
//! waits in its sockets, and it works at full speed in between.

use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cli::bench::cluster;

/// How long it stands, and how long it runs in between.
pub(super) const STANDS: Duration = Duration::from_millis(50);
pub(super) const RUNS: Duration = Duration::from_millis(50);

/// A process that is stopped and continued as long as this lives, and runs afterwards.
pub(super) struct Slowed {
    process: u32,
    task: JoinHandle<()>,
}

impl Slowed {
    pub(super) fn begin(process: u32) -> Self {
        let task = tokio::spawn(async move {
            while cluster::send(process, Signal::STOP).is_ok() {
                sleep(STANDS).await;
                if cluster::send(process, Signal::CONT).is_err() {
                    break;
                }
                sleep(RUNS).await;
            }
        });
        Self { process, task }
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        self.task.abort();
        // It may have ended.
        let _ = cluster::send(self.process, Signal::CONT);
    }
}
