//! One process of the demo: started, watched through its log lines, killed.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::admin::Client;

/// How long anything expected of a process may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Log lines that are kept for the case that something fails.
const TAIL_LINES: usize = 20;

/// Lines between the process and the story. When it is full the reader waits, and at last the process.
const LINES: usize = 1_024;

/// A log line: its fields by name, the event among them.
pub(super) type Line = Map<String, Json>;

/// A process that runs a node. Killed when it is dropped; leaves by itself when this process ends in
/// any other way, for then its standard input ends.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) client: Option<Client>,
    child: Child,
    lines: mpsc::Receiver<String>,
    /// Lines that came and that nobody has waited for yet.
    unread: VecDeque<Line>,
    tail: VecDeque<String>,
}

impl Member {
    /// Starts this very program as a node.
    pub(super) fn start(name: &str, port: u16, peers: &str, directory: &Path) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--port", &port.to_string(), "--peers", peers, "--name", name])
            .args(["--cluster", "demo", "--bind", "127.0.0.1", "--admin-port", "0"])
            .args(["--log-format", "json", "--log-level", "info", "--until-stdin-ends"])
            .arg("--data-dir")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("QUORATE_") {
                command.env_remove(variable);
            }
        }
        let mut child = command.spawn()?;
        let (sender, lines) = mpsc::channel(LINES);
        let stderr = child.stderr.take().expect("it was asked for above");
        tokio::spawn(read_lines(stderr, sender));
        Ok(Self {
            name: name.to_owned(),
            client: None,
            child,
            lines,
            unread: VecDeque::new(),
            tail: VecDeque::new(),
        })
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// The next line of this name, now or later; lines of other names stay for others.
    pub(super) async fn line(&mut self, event: &str) -> Result<Line, String> {
        self.line_where(event, |_| true).await
    }

    /// The next line of this name that fits.
    pub(super) async fn line_where(
        &mut self,
        event: &str,
        fits: impl Fn(&Line) -> bool,
    ) -> Result<Line, String> {
        let wanted = |line: &Line| text(line, "event") == event && fits(line);
        if let Some(index) = self.unread.iter().position(wanted) {
            return Ok(self.unread.remove(index).expect("its index was just found"));
        }
        let coming = async {
            while let Some(raw) = self.lines.recv().await {
                if let Some(line) = note(&mut self.tail, raw) {
                    if wanted(&line) {
                        return Some(line);
                    }
                    self.unread.push_back(line);
                }
            }
            None
        };
        match timeout(PATIENCE, coming).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(format!("{} ended before it said {event}", self.name)),
            Err(_) => Err(format!("{} did not say {event} within {PATIENCE:?}", self.name)),
        }
    }

    /// Waits until it listens, and learns where it serves HTTP.
    pub(super) async fn listens(&mut self) -> Result<String, String> {
        let peers = text(&self.line("node.listening").await?, "address").to_owned();
        let admin = self.line("admin.listening").await?;
        let address: SocketAddr = text(&admin, "address")
            .parse()
            .map_err(|error| format!("{} told no address: {error}", self.name))?;
        self.client = Some(Client::new(address));
        Ok(peers)
    }

    /// A client of it; it must have been seen listening.
    pub(super) fn client(&self) -> Client {
        self.client.clone().expect("the story waits for its address first")
    }

    /// SIGKILL: no goodbye, nothing flushed.
    pub(super) async fn kill(&mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|error| format!("{} cannot be killed: {error}", self.name))
    }

    /// Asks it to leave, and waits until it has, with exit code 0.
    pub(super) async fn leave(&mut self) -> Result<(), String> {
        drop(self.child.stdin.take());
        // It may still say something: nobody reads, nobody must wait.
        self.lines.close();
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("{} left with {status}", self.name)),
            Ok(Err(error)) => Err(format!("{}: {error}", self.name)),
            Err(_) => Err(format!("{} did not leave within {PATIENCE:?}", self.name)),
        }
    }

    /// The exit code, if it has ended by itself.
    pub(super) fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().ok().flatten().and_then(|status| status.code())
    }

    /// Its name and its last lines.
    pub(super) fn tail(&mut self) -> (String, Vec<String>) {
        while let Ok(raw) = self.lines.try_recv() {
            note(&mut self.tail, raw);
        }
        (self.name.clone(), self.tail.iter().cloned().collect())
    }
}

/// Keeps a raw line among the last ones; what it says, if it is a log line.
fn note(tail: &mut VecDeque<String>, raw: String) -> Option<Line> {
    if tail.len() == TAIL_LINES {
        tail.pop_front();
    }
    let line = serde_json::from_str(&raw).ok();
    tail.push_back(raw);
    line
}

/// The lines of a process, until it ends or nobody wants more; then the rest is read away.
async fn read_lines(stderr: ChildStderr, lines: mpsc::Sender<String>) {
    let mut reader = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        let _ = lines.send(line).await;
    }
}

/// A field of a line as text; empty if it is missing.
pub(super) fn text<'l>(line: &'l Line, field: &str) -> &'l str {
    line.get(field).and_then(Json::as_str).unwrap_or_default()
}
