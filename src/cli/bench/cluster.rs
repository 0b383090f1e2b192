//! What is measured: nodes that run already, or some that are started for it and end with it.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::admin::Client;
use crate::cli::failure::{Code, Failure};

/// How long nodes may take until they agree on who leads.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Nodes, by their HTTP interfaces.
pub(super) struct Cluster {
    pub(super) clients: Vec<Client>,
    /// Those that were started here. They end with this process, however it ends: their standard input does.
    children: Vec<Child>,
    directory: Option<PathBuf>,
}

impl Cluster {
    /// Nodes that run.
    pub(super) fn of(clients: Vec<Client>) -> Self {
        Self { clients, children: Vec::new(), directory: None }
    }

    /// Starts nodes of this program on this machine, their logs below `parent`.
    pub(super) fn start(count: usize, parent: &Path) -> Result<Self, Failure> {
        let directory = parent.join(format!("quorate-bench-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&directory).map_err(|error| surroundings(&directory, &error))?;
        let mut cluster =
            Self { clients: Vec::new(), children: Vec::new(), directory: Some(directory.clone()) };
        let ports = free_ports(2 * count).map_err(|error| surroundings(&directory, &error))?;
        let (peers, admins) = ports.split_at(count);
        let list: Vec<_> = peers.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        for at in 0..count {
            let child = start(&directory, at, peers[at], admins[at], &list.join(","));
            cluster.children.push(child.map_err(|error| surroundings(&directory, &error))?);
            cluster.clients.push(Client::new(SocketAddr::from(([127, 0, 0, 1], admins[at]))));
        }
        Ok(cluster)
    }

    /// Waits until all are ready and follow one proposer.
    pub(super) async fn wait_led(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_led().await {
            for (at, child) in self.children.iter_mut().enumerate() {
                if let Ok(Some(status)) = child.try_wait() {
                    let log =
                        self.directory.as_deref().map(|it| it.join(format!("n{}.log", at + 1)));
                    let said = log.and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default();
                    let last = said.lines().last().unwrap_or_default().to_owned();
                    let what = format!("n{} ended with {status}: {last}", at + 1);
                    return Err(
                        Failure::new(Code::CheckFailed, what).hint("try again, or see node doctor")
                    );
                }
            }
            if Instant::now() >= deadline {
                let what = format!("the nodes did not agree on a proposer within {PATIENCE:?}");
                return Err(Failure::new(Code::CheckFailed, what).hint("see node status --all"));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn is_led(&self) -> bool {
        let mut round = None;
        for client in &self.clients {
            let Ok(status) = client.status().await else { return false };
            let is_same = *round.get_or_insert(status.round) == status.round;
            if !status.ready || !status.led || !is_same {
                return false;
            }
        }
        true
    }

    /// Processor time that the nodes started here have used so far.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        let ids = self.children.iter().filter_map(Child::id);
        (!self.children.is_empty()).then(|| ids.map(cpu_time).sum())
    }

    /// The sum over all nodes of a counter in their metrics.
    pub(super) async fn counted(&self, name: &str) -> Result<f64, Failure> {
        let mut sum = 0.0;
        for client in &self.clients {
            let text = client.metrics().await.map_err(crate::cli::ask::told(client))?;
            let line = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            sum += line.filter_map(|value| value.trim().parse::<f64>().ok()).sum::<f64>();
        }
        Ok(sum)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.start_kill();
        }
        for child in &mut self.children {
            while matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if let Some(directory) = &self.directory {
            // What cannot be removed is left: it lies among temporary files, or where it was asked for.
            let _ = fs::remove_dir_all(directory);
        }
    }
}

fn start(directory: &Path, at: usize, port: u16, admin: u16, peers: &str) -> io::Result<Child> {
    let name = format!("n{}", at + 1);
    let log = File::create(directory.join(format!("{name}.log")))?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--port", &port.to_string(), "--admin-port", &admin.to_string()])
        .args(["--peers", peers, "--name", &name, "--cluster", "bench", "--bind", "127.0.0.1"])
        .arg("--until-stdin-ends")
        .arg("--data-dir")
        .arg(directory.join(&name))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("QUORATE_") {
            command.env_remove(variable);
        }
    }
    command.spawn()
}

/// All are held until the last is chosen, so that they differ.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let held: Vec<_> =
        (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<io::Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

fn surroundings(place: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::CheckFailed, format!("no cluster can be started: {error}"))
        .at(place.display())
        .hint("it needs a writable directory (--dir) and free ports on 127.0.0.1")
}

/// Processor time that a process has used so far, all its threads together; zero where the system does not say.
pub(super) fn cpu_time(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let nanos = tasks.into_iter().flatten().flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
