//! Three nodes: as processes of the built program, or in this process.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use quorate::admin::Client;
use quorate::admin::api::StatusResponse;
use quorate::config::Address;
use quorate::{Node, NodeConfig};
use tempfile::TempDir;

use crate::machine;
use crate::stats::shown;
use crate::worker::Worker;

pub(crate) const NODES: usize = 3;

pub(crate) const VALUE_BYTES: usize = 256;

/// How long a node may take for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait between two looks at a state.
const LOOK: Duration = Duration::from_millis(5);

/// A value that no other is like.
pub(crate) fn value(number: u128) -> String {
    format!("{number:0VALUE_BYTES$x}")
}

/// Looks again and again until there is something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

/// Three processes. They end with this one, however it ends: their standard input does.
pub(crate) struct Processes {
    children: Vec<Child>,
    /// Where peers find them, then where clients do.
    ports: Vec<u16>,
    asker: Worker,
    directory: TempDir,
}

impl Processes {
    /// Starts them and waits until a proposal made at any of them can commit.
    pub(crate) fn start(below: &Path) -> Self {
        let directory = tempfile::tempdir_in(below).expect("a directory");
        let ports = quiet_ports(2 * NODES);
        let asker = Worker::start();
        let mut processes = Self { children: Vec::new(), ports, asker, directory };
        processes.children = (0..NODES).map(|at| processes.spawn(at)).collect();
        processes.wait_led();
        processes
    }

    fn spawn(&self, at: usize) -> Child {
        let name = format!("n{}", at + 1);
        let peers: Vec<_> =
            self.ports[..NODES].iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let log = File::options().create(true).append(true).open(self.log_file(at));
        let log = log.expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("QUORATE_") {
                command.env_remove(name);
            }
        }
        command
            .args(["--name", &name, "--bind", "127.0.0.1", "--peers", &peers.join(",")])
            .args(["--port", &self.ports[at].to_string()])
            .args(["--admin-port", &self.ports[NODES + at].to_string()])
            .arg("--data-dir")
            .arg(self.data_directory(at))
            .arg("--until-stdin-ends")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts")
    }

    pub(crate) fn data_directory(&self, at: usize) -> PathBuf {
        self.directory.path().join(format!("n{}", at + 1))
    }

    /// Where a node's log lines go, appended.
    pub(crate) fn log_file(&self, at: usize) -> PathBuf {
        self.directory.path().join(format!("n{}.log", at + 1))
    }

    /// How a process ended, if it did.
    pub(crate) fn ended(&mut self, at: usize) -> Option<ExitStatus> {
        self.children[at].try_wait().expect("it is a child of this process")
    }

    /// Leaves the files where they are when this is dropped.
    pub(crate) fn keep(&mut self) -> &Path {
        self.directory.disable_cleanup(true);
        self.directory.path()
    }

    /// Where clients of a node go.
    pub(crate) fn address(&self, at: usize) -> SocketAddr {
        ([127, 0, 0, 1], self.ports[NODES + at]).into()
    }

    pub(crate) fn id(&self, at: usize) -> u32 {
        self.children[at].id()
    }

    pub(crate) fn status(&self, at: usize) -> Option<StatusResponse> {
        let client = Client::new(self.address(at));
        self.asker.run(async move { client.status().await.ok() })
    }

    /// Waits until all agree on a proposer that leads, and returns it.
    pub(crate) fn wait_led(&self) -> usize {
        eventually("all nodes follow one proposer", || {
            let all: Option<Vec<_>> = (0..NODES).map(|at| self.status(at)).collect();
            let all = all?;
            let same = all.iter().all(|status| {
                status.ready && status.led && status.heard == NODES && status.round == all[0].round
            });
            same.then(|| all.iter().position(|status| Some(status.id) == status.proposer))?
        })
    }

    /// SIGKILL; returns when nothing is left of the process.
    pub(crate) fn kill(&mut self, at: usize) {
        self.children[at].kill().expect("it runs");
        self.children[at].wait().expect("it was killed");
    }

    pub(crate) fn restart(&mut self, at: usize) {
        self.children[at] = self.spawn(at);
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, at: usize, signal: &str) {
        let process = self.id(at).to_string();
        let sent = Command::new("kill").args(["-s", signal, &process]).status();
        assert!(sent.is_ok_and(|sent| sent.success()), "{signal} to {process}");
    }

    pub(crate) fn print_idle(&self, span: Duration) {
        let before: Vec<_> = (0..NODES).map(|at| machine::cpu_time(self.id(at))).collect();
        std::thread::sleep(span);
        for (at, before) in before.into_iter().enumerate() {
            let used = machine::cpu_time(self.id(at)).saturating_sub(before);
            let percent = 100.0 * used.as_secs_f64() / span.as_secs_f64();
            println!("  n{}  {percent:.2} % of a core over {}", at + 1, shown(span));
        }
    }

    pub(crate) fn print_memory(&self) {
        let each: Vec<_> = (0..NODES)
            .map(|at| format!("{:.1}", machine::resident(self.id(at)) as f64 / 1024.0))
            .collect();
        println!("  resident memory: {} MiB", each.join(" / "));
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ports below those that the system gives to outgoing connections, so that a killed node finds its own again.
fn quiet_ports(count: usize) -> Vec<u16> {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports: Vec<_> = (first..32_000).filter(free).take(count).collect();
    assert_eq!(ports.len(), count, "free ports from {first} on");
    ports
}

/// Three nodes of the library, each with its clients on a thread of its own.
pub(crate) struct InProcess {
    pub(crate) workers: Vec<Worker>,
    pub(crate) nodes: Vec<Node>,
    _directory: TempDir,
}

impl InProcess {
    pub(crate) fn start(below: &Path) -> Self {
        let directory = tempfile::tempdir_in(below).expect("a directory");
        let listeners: Vec<_> =
            (0..NODES).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let ports: Vec<_> =
            listeners.iter().map(|l| l.local_addr().expect("bound").port()).collect();
        let address = |port: &u16| Address { host: "127.0.0.1".to_owned(), port: *port };
        let peers: Vec<_> = ports.iter().map(address).collect();
        let workers: Vec<_> = (0..NODES).map(|_| Worker::start()).collect();
        let start = |(at, listener): (usize, TcpListener)| {
            let config = NodeConfig {
                name: format!("n{}", at + 1),
                bind: Some([127, 0, 0, 1].into()),
                port: ports[at],
                peers: peers.clone(),
                ..NodeConfig::new(directory.path().join(at.to_string()))
            };
            let worker: &Worker = &workers[at];
            worker.run(Node::start_on(config, listener)).expect("it starts")
        };
        let nodes: Vec<Node> = listeners.into_iter().enumerate().map(start).collect();
        for (worker, node) in workers.iter().zip(&nodes) {
            let handle = node.handle().clone();
            worker.run(async move { handle.wait_ready().await }).expect("it runs");
        }
        Self { workers, nodes, _directory: directory }
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        for (worker, node) in self.workers.iter().zip(self.nodes.drain(..)) {
            let _ = worker.run(node.stop());
        }
    }
}
