//! `--on-commit`: a command for every committed value, in order, at least once, whatever it does.
//!
//! How far it has come stands in the data directory, durably, after each success. Entries are read from
//! the log, a bounded page at a time, so that a slow command costs no memory; nothing waits for it.

use std::fs::{self, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::admin::api::is_void;
use crate::cli::failure::{Code, Failure};
use crate::consensus::Entry;
use crate::runtime::{FailureClass, Handle, NODE_TARGET};
use crate::storage::replace;
use crate::types::{Position, Slot, Value};

/// The file that says how far the command has come.
const FILE: &str = "on-commit";

/// Its first line.
const FORMAT: &str = "quorate on-commit 1";

/// Entries read at once.
const PAGE: usize = 64;

/// How long to wait before a command that failed is tried again: doubles up to the longest.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How long a command may take before it is told, and told again.
const SLOW: Duration = Duration::from_secs(60);

/// How long a leaving node waits for the command under way.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// The command of one node, and how far it has come.
pub(super) struct Hook {
    command: String,
    directory: PathBuf,
    done: Position,
}

impl Hook {
    /// Reads how far the command has come; from the first slot, if it never ran in this directory.
    pub(super) fn open(command: &str, directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(FILE);
        let wrong = |what: String| {
            Failure::new(Code::Node(FailureClass::Storage), what).at(path.display()).hint(
                "put it back from a copy; or remove it, and the command runs again for every value from the first",
            )
        };
        let done = match fs::read_to_string(&path) {
            Ok(text) => read(&text).ok_or_else(|| wrong("it names no position".to_owned()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Position::GENESIS,
            Err(error) => return Err(wrong(format!("it cannot be read: {error}"))),
        };
        Ok(Self { command: command.to_owned(), directory: directory.to_owned(), done })
    }

    /// Runs the command for every value from where it stands, until `stop` or the node's end.
    pub(super) async fn run(mut self, handle: Handle, stop: CancellationToken) {
        if let Err(why) = self.follow(&handle, &stop).await {
            tracing::error!(
                target: NODE_TARGET,
                why,
                hint = "the node goes on, the command does not run any more: mend it, then start the node again",
                "hook.halted"
            );
        }
    }

    async fn follow(&mut self, handle: &Handle, stop: &CancellationToken) -> Result<(), String> {
        loop {
            let next = self.done.slot.next();
            let committed = tokio::select! {
                committed = handle.wait_committed(next) => committed,
                () = stop.cancelled() => return Ok(()),
            };
            let Ok(entries) = (match committed {
                Ok(_) => handle.committed(next, PAGE).await,
                Err(stopped) => Err(stopped),
            }) else {
                return Ok(());
            };
            for entry in &entries {
                if !entry.follows(self.done) {
                    return Err(format!(
                        "{} speaks of another log: its slot {} is not this one's",
                        self.directory.join(FILE).display(),
                        self.done.slot
                    ));
                }
                if let Some(value) = effective(entry)
                    && !self.tell(entry, value, stop).await
                {
                    return Ok(());
                }
                self.done = entry.position();
                let saved = save(self.directory.clone(), self.done).await;
                saved.map_err(|error| format!("{FILE} cannot be written: {error}"))?;
            }
        }
    }

    /// Runs the command for one value until it succeeds; false if the node leaves before.
    async fn tell(&self, entry: &Entry, value: &Value, stop: &CancellationToken) -> bool {
        let slot = entry.slot().0;
        let mut wait = RETRY_MIN;
        for attempt in 1_u64.. {
            if stop.is_cancelled() {
                return false;
            }
            let what = match self.once(entry, value).await {
                Ok(status) if status.success() => {
                    if attempt > 1 {
                        tracing::info!(target: NODE_TARGET, slot, attempt, "hook.recovered");
                    }
                    return true;
                }
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            // Rarer and rarer, as the attempts are.
            tracing::warn!(
                target: NODE_TARGET,
                slot, attempt, what, retry_in = ?wait,
                hint = "what follows waits for it, the node does not; the command must end with 0",
                "hook.failed"
            );
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => return false,
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
        false
    }

    /// Runs the command once.
    async fn once(&self, entry: &Entry, value: &Value) -> io::Result<ExitStatus> {
        let proposal = entry.proposal();
        let id = proposal.map_or_else(String::new, |proposal| proposal.id.to_string());
        let mut child = Command::new("sh")
            .args(["-c", &self.command])
            .env("QUORATE_COMMIT_SLOT", entry.slot().to_string())
            .env("QUORATE_COMMIT_ID", id)
            .env("QUORATE_COMMIT_HASH", entry.position().hash.to_string())
            // Who supervises the node is none of the command's business.
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_PID")
            .env_remove("WATCHDOG_USEC")
            .stdin(self.stdin(value).await?)
            .kill_on_drop(true)
            .spawn()?;
        let started = Instant::now();
        loop {
            match timeout(SLOW, child.wait()).await {
                Ok(status) => return status,
                Err(_) => {
                    let (slot, seconds) = (entry.slot().0, started.elapsed().as_secs());
                    tracing::warn!(
                        target: NODE_TARGET,
                        slot, seconds,
                        hint = "what follows waits for this command, the node does not",
                        "hook.slow"
                    );
                }
            }
        }
    }

    /// The value as a file that has no name any more. Through a pipe, a command whose node is killed would
    /// read the beginning of the value and take it for all.
    async fn stdin(&self, value: &Value) -> io::Result<Stdio> {
        let (path, text) = (self.directory.join(format!("{FILE}.value")), value.clone());
        let writing = tokio::task::spawn_blocking(move || {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file =
                OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
            fs::remove_file(&path)?;
            file.write_all(text.as_str().as_bytes())?;
            file.rewind()?;
            Ok(file.into())
        });
        writing.await.map_err(io::Error::other)?
    }
}

/// Writes how far the command has come, durably. On a thread of its own: the node does not wait for this
/// sync either.
async fn save(directory: PathBuf, done: Position) -> io::Result<()> {
    let text = format!("{FORMAT}\n{} {}\n", done.slot, done.hash);
    let saving = tokio::task::spawn_blocking(move || replace(&directory, FILE, text.as_bytes()));
    saving.await.map_err(io::Error::other)?
}

/// The value of an entry, unless it came too late to take effect.
fn effective(entry: &Entry) -> Option<&Value> {
    let proposal = entry.proposal()?;
    (!is_void(entry.slot(), proposal.until)).then_some(&proposal.value)
}

fn read(text: &str) -> Option<Position> {
    let line = text.strip_prefix(FORMAT)?.strip_prefix('\n')?.strip_suffix('\n')?;
    let (slot, hash) = line.split_once(' ')?;
    Some(Position { slot: Slot(slot.parse().ok()?), hash: hash.parse().ok()? })
}
