//! What is measured: nodes that run already, or some that are started for it and end with it.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::admin::Client;
use crate::admin::api::StatusResponse;
use crate::cli::bench::machine::{self, Memory};
use crate::cli::failure::{Code, Failure};

/// How long nodes may take for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Nodes, by their HTTP interfaces.
pub(super) struct Cluster {
    nodes: Vec<Node>,
    /// Where the nodes that were started here have their files.
    directory: Option<PathBuf>,
}

/// One of them.
struct Node {
    client: Client,
    /// Where its peers find it, if it is one of those that were started here.
    port: u16,
    /// Its process, unless it is down. It ends with this process, however that ends: its standard input does.
    child: Option<Child>,
    is_slow: bool,
}

impl Node {
    /// Whether it is one that runs, here or elsewhere.
    fn is_up(&self) -> bool {
        self.child.is_some() || self.port == 0
    }
}

/// How a node came back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Return {
    /// From its start until it takes connections of clients: its log is read by then.
    pub(super) listening: Duration,
    /// Until it has what the others had meanwhile.
    pub(super) caught_up: Duration,
}

impl Cluster {
    /// Nodes that run.
    pub(super) fn of(clients: Vec<Client>) -> Self {
        let node = |client| Node { client, port: 0, child: None, is_slow: false };
        Self { nodes: clients.into_iter().map(node).collect(), directory: None }
    }

    /// Starts nodes of this program on this machine, their logs below `parent`.
    pub(super) fn start(count: usize, parent: &Path) -> Result<Self, Failure> {
        let directory = parent.join(format!("quorate-bench-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&directory).map_err(|error| surroundings(&directory, &error))?;
        let mut cluster = Self { nodes: Vec::new(), directory: Some(directory.clone()) };
        let ports = quiet_ports(2 * count).map_err(|error| surroundings(&directory, &error))?;
        let (peers, admins) = ports.split_at(count);
        for (&port, &admin) in peers.iter().zip(admins) {
            let client = Client::new(SocketAddr::from(([127, 0, 0, 1], admin)));
            cluster.nodes.push(Node { client, port, child: None, is_slow: false });
        }
        for at in 0..count {
            cluster.spawn(at)?;
        }
        Ok(cluster)
    }

    fn spawn(&mut self, at: usize) -> Result<(), Failure> {
        let directory = self.directory.clone().expect("only own nodes are started");
        let peers: Vec<_> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let node = &mut self.nodes[at];
        let child =
            start(&directory, &name(at), node.port, node.client.address().port(), &peers.join(","));
        node.child = Some(child.map_err(|error| surroundings(&directory, &error))?);
        Ok(())
    }

    /// How many nodes there are, down or up.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes that are up.
    pub(super) fn up(&self) -> impl Iterator<Item = &Client> {
        self.nodes.iter().filter(|node| node.is_up()).map(|node| &node.client)
    }

    /// The nodes that clients go to, by number: those that are up and not slow.
    pub(super) fn loaded(&self) -> Vec<(usize, Client)> {
        let nodes = self.nodes.iter().enumerate();
        let loaded = nodes.filter(|(_, node)| node.is_up() && !node.is_slow);
        loaded.map(|(at, node)| (at, node.client.clone())).collect()
    }

    /// Waits until all that are up are ready, hear each other and follow one proposer. Its number, if it is one of
    /// those that are known here.
    pub(super) async fn wait_led(&mut self) -> Result<Option<usize>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(led) = self.led().await {
                return Ok(led);
            }
            self.all_run()?;
            if Instant::now() >= deadline {
                let what = format!("the nodes did not agree on a proposer within {PATIENCE:?}");
                return Err(Failure::new(Code::CheckFailed, what).hint("see node status --all"));
            }
            sleep(LOOK).await;
        }
    }

    /// Fails if a node has ended by itself.
    fn all_run(&mut self) -> Result<(), Failure> {
        for (at, node) in self.nodes.iter_mut().enumerate() {
            if let Some(Ok(Some(status))) = node.child.as_mut().map(Child::try_wait) {
                let log = self.directory.as_deref().map(|it| it.join(format!("{}.log", name(at))));
                let said = log.and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default();
                let last = said.lines().last().unwrap_or_default();
                let what = format!("{} ended with {status}: {last}", name(at));
                return Err(
                    Failure::new(Code::CheckFailed, what).hint("try again, or see node doctor")
                );
            }
        }
        Ok(())
    }

    async fn led(&self) -> Option<Option<usize>> {
        let up = self.up().count();
        let mut all: Vec<(usize, StatusResponse)> = Vec::new();
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_up()) {
            let status = node.client.status().await.ok()?;
            let first = all.first().map_or(&status, |(_, first)| first);
            let hears_all = self.directory.is_none() || status.heard == up;
            if !status.ready || !status.led || status.round != first.round || !hears_all {
                return None;
            }
            all.push((at, status));
        }
        let proposer = all.first()?.1.proposer;
        Some(all.iter().find(|(_, status)| Some(status.id) == proposer).map(|(at, _)| *at))
    }

    /// SIGKILL; returns when nothing is left of the process.
    pub(super) async fn kill(&mut self, at: usize) -> Result<(), Failure> {
        let mut child = self.nodes[at].child.take().expect("it runs");
        child.kill().await.map_err(|error| {
            Failure::new(Code::CheckFailed, format!("{} cannot be killed: {error}", name(at)))
        })
    }

    /// Starts a killed node again, and waits until it is as far as another one is then.
    pub(super) async fn bring_back(&mut self, at: usize) -> Result<Return, Failure> {
        let start = Instant::now();
        let deadline = start + PATIENCE;
        self.spawn(at)?;
        let address = self.nodes[at].client.address();
        while TcpStream::connect(address).await.is_err() {
            self.all_run()?;
            self.in_time(at, deadline)?;
            sleep(Duration::from_millis(1)).await;
        }
        let listening = start.elapsed();
        self.wait_caught_up(at).await?;
        Ok(Return { listening, caught_up: start.elapsed() })
    }

    /// Waits until a node is as far as another one is now.
    pub(super) async fn wait_caught_up(&self, at: usize) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        let other = self.nodes.iter().enumerate().find(|(it, node)| *it != at && node.is_up());
        let Some((_, other)) = other else { return Ok(()) };
        let told = crate::cli::ask::told(&other.client);
        let goal = other.client.status().await.map_err(told)?.committed.slot;
        loop {
            let status = self.nodes[at].client.status().await;
            if status.is_ok_and(|status| status.committed.slot >= goal) {
                return Ok(());
            }
            self.in_time(at, deadline)?;
            sleep(LOOK).await;
        }
    }

    fn in_time(&self, at: usize, deadline: Instant) -> Result<(), Failure> {
        if Instant::now() < deadline {
            return Ok(());
        }
        let what = format!("{} did not come back within {PATIENCE:?}", name(at));
        Err(Failure::new(Code::CheckFailed, what).hint("see node status --all"))
    }

    /// Sends a signal to the process of a node.
    pub(super) fn signal(&self, at: usize, signal: Signal) -> Result<(), Failure> {
        let process = self.processes().find(|(it, _)| *it == at);
        send(process.expect("it runs").1, signal).map_err(|error| {
            Failure::new(Code::CheckFailed, format!("{} takes no signal: {error}", name(at)))
        })
    }

    /// The last nodes but the proposer, to be taken away or made slow.
    pub(super) async fn followers(&mut self, count: usize) -> Result<Vec<usize>, Failure> {
        let leads = self.wait_led().await?;
        let nodes = self.nodes.iter().enumerate().rev();
        let others = nodes.filter(|(at, node)| node.is_up() && !node.is_slow && Some(*at) != leads);
        Ok(others.map(|(at, _)| at).take(count).collect())
    }

    /// From now on no client goes to this node.
    pub(super) fn spare(&mut self, at: usize) {
        self.nodes[at].is_slow = true;
    }

    /// The processes of the nodes that were started here and are up, by node.
    pub(super) fn processes(&self) -> impl Iterator<Item = (usize, u32)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter_map(|(at, node)| Some((at, node.child.as_ref()?.id()?)))
    }

    /// Processor time that the nodes started here have used so far.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        let processes = self.processes().map(|(_, process)| machine::cpu_time(process));
        self.directory.is_some().then(|| processes.sum())
    }

    /// What the nodes started here hold, those that are up.
    pub(super) fn memory(&self) -> Vec<(usize, Memory)> {
        self.processes().map(|(at, process)| (at, Memory::of(process))).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut children: Vec<_> =
            self.nodes.iter_mut().filter_map(|node| node.child.as_mut()).collect();
        for child in &mut children {
            let _ = child.start_kill();
        }
        for child in &mut children {
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

/// What a node that was started here is called.
pub(super) fn name(at: usize) -> String {
    format!("n{}", at + 1)
}

/// Sends a signal to a process.
pub(super) fn send(process: u32, signal: Signal) -> io::Result<()> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    Ok(kill_process(process.ok_or(io::ErrorKind::NotFound)?, signal)?)
}

fn start(directory: &Path, name: &str, port: u16, admin: u16, peers: &str) -> io::Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join(name).with_extension("log"))?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--port", &port.to_string(), "--admin-port", &admin.to_string()])
        .args(["--peers", peers, "--name", name, "--cluster", "bench", "--bind", "127.0.0.1"])
        .arg("--until-stdin-ends")
        .arg("--data-dir")
        .arg(directory.join(name))
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

/// Ports that no outgoing connection takes while a killed node is away, where there are such. All are held until
/// the last is chosen, so that they differ.
fn quiet_ports(count: usize) -> io::Result<Vec<u16>> {
    const LEAST: u16 = 10_240;
    let end = machine::first_passing_port().max(LEAST);
    let [high, low, ..] = *uuid::Uuid::new_v4().as_bytes();
    let first = LEAST + u16::from_be_bytes([high, low]) % (end - LEAST).max(1);
    let quiet = (first..end).chain(LEAST..first).chain(std::iter::repeat(0));
    let mut held: Vec<TcpListener> = Vec::new();
    for port in quiet {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => held.push(listener),
            Err(error) if port == 0 => return Err(error),
            Err(_) => {}
        }
        if held.len() == count {
            break;
        }
    }
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

fn surroundings(place: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::CheckFailed, format!("no cluster can be started: {error}"))
        .at(place.display())
        .hint("it needs a writable directory (--dir) and free ports on 127.0.0.1")
}
