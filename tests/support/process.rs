//! Real processes of the built program: started, read line by line, asked, killed.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Instant;

use serde_json::Value as Json;
use tempfile::TempDir;

#[path = "program.rs"]
mod program;

pub(crate) use program::{PATIENCE, eventually, program};

/// Ports that are free now, all different.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    held.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect()
}

/// A running node. Killed with the test.
pub(crate) struct Process {
    pub(crate) child: Child,
    lines: Receiver<String>,
    unread: Vec<Json>,
    /// Every line that was looked at.
    pub(crate) raw: Vec<String>,
}

impl Process {
    /// Starts a node that logs JSON, and serves HTTP on a port that the system chooses.
    pub(crate) fn start(directory: &Path, arguments: &[&str]) -> Self {
        Self::start_by(program(), directory, arguments)
    }

    /// The same, by a command that was prepared.
    pub(crate) fn start_by(mut command: Command, directory: &Path, arguments: &[&str]) -> Self {
        let mut child = command
            .args(arguments)
            .args(["--bind", "127.0.0.1", "--admin-port", "0", "--log-format", "json"])
            .arg("--data-dir")
            .arg(directory)
            .arg("--until-stdin-ends")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (sender, lines) = sync_channel(65_536);
        let reader = BufReader::new(child.stderr.take().expect("it was asked for"));
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, unread: Vec::new(), raw: Vec::new() }
    }

    /// The next line of this name that fits; lines of other names stay for others.
    #[track_caller]
    pub(crate) fn line(&mut self, event: &str, fits: impl Fn(&Json) -> bool) -> Json {
        self.any_line(|line| line["event"] == event && fits(line))
    }

    /// The next line of any name that fits.
    #[track_caller]
    pub(crate) fn any_line(&mut self, fits: impl Fn(&Json) -> bool) -> Json {
        let found = self.line_or_end(fits);
        found.unwrap_or_else(|| {
            let commits = |raw: &&String| raw.contains("value.committed");
            let (commits, others): (Vec<_>, Vec<_>) = self.raw.iter().partition(commits);
            let others: Vec<_> = others.into_iter().map(String::as_str).collect();
            panic!(
                "the line did not come; beside {} commits there are\n{}",
                commits.len(),
                others.join("\n")
            )
        })
    }

    /// The same; none if the process ends before.
    pub(crate) fn line_or_end(&mut self, wanted: impl Fn(&Json) -> bool) -> Option<Json> {
        if let Some(index) = self.unread.iter().position(&wanted) {
            return Some(self.unread.remove(index));
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(raw) => {
                    let line: Json = serde_json::from_str(&raw).unwrap_or_default();
                    self.raw.push(raw);
                    if wanted(&line) {
                        return Some(line);
                    }
                    self.unread.push(line);
                }
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return None,
            }
        }
    }

    /// How many of the lines that have come so far fit, looked at or not.
    pub(crate) fn count(&mut self, fits: impl Fn(&Json) -> bool) -> usize {
        for raw in self.lines.try_iter() {
            self.unread.push(serde_json::from_str(&raw).unwrap_or_default());
            self.raw.push(raw);
        }
        let lines = self.raw.iter().filter_map(|raw| serde_json::from_str(raw).ok());
        lines.filter(|line| fits(line)).count()
    }

    /// Where it serves HTTP; none if it could not start because another process took its port.
    pub(crate) fn admin(&mut self) -> Option<String> {
        match self.line_or_end(|line| line["event"] == "admin.listening") {
            Some(line) => Some(line["address"].as_str().expect("a text").to_owned()),
            None if self.exit_code() == 9 => None,
            None => panic!("it did not start:\n{}", self.raw.join("\n")),
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was killed");
    }

    /// Lets it leave, as if whoever started it had ended.
    pub(crate) fn leave(&mut self) -> i32 {
        drop(self.child.stdin.take());
        self.exit_code()
    }

    /// Waits for its end.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let child = &mut self.child;
        let status = eventually("the process ends", || child.try_wait().expect("it is a child"));
        status.code().expect("it ends by itself")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nodes that list each other, a process each.
pub(crate) struct Machines {
    pub(crate) processes: Vec<Process>,
    /// Where each serves HTTP.
    pub(crate) admins: Vec<String>,
    pub(crate) ports: Vec<u16>,
    pub(crate) directory: TempDir,
    /// What each is told beside its place.
    more: &'static [&'static str],
}

impl Machines {
    /// Starts them and waits until the cluster is formed.
    pub(crate) fn start(count: usize) -> Self {
        Self::formed(count, &[])
    }

    /// The same, of nodes that suspect nobody of being dead who is only slow.
    pub(crate) fn patient(count: usize) -> Self {
        Self::formed(count, &["--suspect-after", "60s"])
    }

    fn formed(count: usize, more: &'static [&'static str]) -> Self {
        let mut machines = Self::start_by(count, more, Self::process);
        for process in &mut machines.processes {
            process.line("epoch.formed", |_| true);
        }
        machines
    }

    /// Starts each by `start`. Once more from the start, with other ports, if another process takes one in between.
    pub(crate) fn start_by(
        count: usize,
        more: &'static [&'static str],
        start: impl Fn(&Self, usize) -> Process,
    ) -> Self {
        loop {
            let mut machines = Self {
                processes: Vec::new(),
                admins: Vec::new(),
                ports: free_ports(count),
                directory: tempfile::tempdir().expect("a temporary directory"),
                more,
            };
            machines.processes = (0..count).map(|at| start(&machines, at)).collect();
            let admins: Option<Vec<_>> =
                machines.processes.iter_mut().map(Process::admin).collect();
            let Some(admins) = admins else { continue };
            machines.admins = admins;
            return machines;
        }
    }

    /// The data directory of one of them.
    pub(crate) fn data(&self, at: usize) -> PathBuf {
        self.directory.path().join(format!("n{}", at + 1))
    }

    /// The list of all of them.
    pub(crate) fn list(&self) -> String {
        self.list_of(self.ports.len())
    }

    /// The list of the first of them.
    pub(crate) fn list_of(&self, count: usize) -> String {
        let ports = &self.ports[..count];
        let list: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        list.join(",")
    }

    /// Starts one that does not run, under its old port.
    pub(crate) fn restart(&mut self, at: usize) {
        self.admins[at] = eventually("its port is free again", || {
            self.processes[at] = self.process(at);
            self.processes[at].admin()
        });
    }

    fn process(&self, at: usize) -> Process {
        let (port, name) = (self.ports[at].to_string(), format!("n{}", at + 1));
        let arguments = ["--port", &port, "--peers", &self.list(), "--name", &name];
        Process::start(&self.data(at), &[&arguments, self.more].concat())
    }
}
