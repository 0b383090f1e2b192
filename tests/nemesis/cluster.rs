//! The nodes of one cluster as processes: started, killed, stopped in mid-air, told to leave.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate::admin::api::StatusResponse;
use quorate::types::NodeId;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::door::{Door, Room};
use crate::netns::Spaces;
use crate::program::{eventually, program};
use crate::proxy::{Noise, Proxies};
use crate::shim::{Commander, Orders, Shim, SmallDisk};
use crate::skip;
use crate::wires::Cuts;

/// Silence that makes a peer suspect; the heartbeat is an eighth of it.
pub(crate) const SUSPECT_AFTER: Duration = Duration::from_millis(400);

/// How long a short question to a node may take before it counts as unanswered.
const ANSWER: Duration = Duration::from_secs(2);

/// Lines of a node that are kept.
const LINES_MAX: usize = 200;

/// What the nodes are wired with.
pub(crate) enum Net {
    /// Loopback; a proxy for every way.
    Proxies(Proxies, Vec<u16>),
    /// A namespace each.
    Spaces(Spaces),
}

impl Net {
    pub(crate) fn proxies(nodes: usize, seed: u64) -> Self {
        let loopback = own_loopback();
        let hold = |_| TcpListener::bind((loopback, 0)).expect("a port");
        let held: Vec<_> = (0..nodes).map(hold).collect();
        let port = |held: &TcpListener| held.local_addr().expect("it is bound").port();
        let ports: Vec<_> = held.iter().map(port).collect();
        // Held until the proxies have theirs: one address cannot be two nodes.
        let proxies = Proxies::start(loopback, &ports, seed);
        Self::Proxies(proxies, ports)
    }

    /// In force when this returns.
    pub(crate) fn cut(&self, cuts: &Cuts) {
        match self {
            Self::Proxies(proxies, _) => proxies.cut(cuts),
            Self::Spaces(spaces) => spaces.cut(cuts),
        }
    }

    pub(crate) fn noise(&self, noise: Option<Noise>) {
        if let Self::Proxies(proxies, _) = self {
            proxies.noise(noise);
        }
    }

    fn down(&self, node: usize, down: bool) {
        if let Self::Proxies(proxies, _) = self {
            proxies.down(node, down);
        }
    }

    fn room(&self, node: usize) -> Room {
        match self {
            Self::Proxies(..) => Room::open(None),
            Self::Spaces(spaces) => Room::open(Some(&spaces.path(node))),
        }
    }

    /// The flags that place a node, its own address among its peers.
    fn flags(&self, node: usize, nodes: usize) -> Vec<String> {
        let (bind, port, peers): (_, _, Vec<_>) = match self {
            Self::Proxies(proxies, ports) => {
                let port = |to| if to == node { ports[to] } else { proxies.port(node, to) };
                let loopback = proxies.loopback();
                let peers = (0..nodes).map(|to| format!("{loopback}:{}", port(to))).collect();
                (loopback.to_string(), ports[node], peers)
            }
            Self::Spaces(spaces) => {
                let peers = (0..nodes).map(|to| format!("{}:8001", spaces.address(to))).collect();
                (spaces.address(node), 8001, peers)
            }
        };
        ["--bind".to_owned(), bind, "--port".to_owned(), port.to_string()]
            .into_iter()
            .chain(["--peers".to_owned(), peers.join(",")])
            .collect()
    }

    fn command(&self, node: usize, command: Command) -> Command {
        match self {
            Self::Proxies(..) => command,
            Self::Spaces(spaces) => spaces.command(node, &command),
        }
    }
}

/// A loopback address that no other cluster has, where the system has many: a port of a node that is
/// down is then taken by nobody else.
fn own_loopback() -> Ipv4Addr {
    static NUMBER: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    match cfg!(target_os = "linux") {
        true => Ipv4Addr::new(127, 64 | high >> 2, low, NUMBER.fetch_add(1, Ordering::Relaxed)),
        false => Ipv4Addr::LOCALHOST,
    }
}

/// What a node says on its way.
#[derive(Default)]
pub(crate) struct Told {
    admin: Option<SocketAddr>,
    formed: bool,
    /// The last lines, those of commits left out.
    pub(crate) lines: VecDeque<String>,
    pub(crate) commits: u64,
    ended: bool,
}

/// One node.
pub(crate) struct Machine {
    child: Option<Child>,
    told: Arc<Mutex<Told>>,
    life: u32,
    orders: Option<Commander>,
    is_paused: bool,
}

/// All of them.
pub(crate) struct Cluster {
    machines: Vec<Machine>,
    pub(crate) doors: Arc<Vec<Door>>,
    pub(crate) net: Net,
    pub(crate) shim: Option<Shim>,
    /// The data directory of the last node, if it can be made full.
    pub(crate) small: Option<SmallDisk>,
    pub(crate) ids: Vec<NodeId>,
    directory: TempDir,
}

impl Cluster {
    /// Starts them and waits until the cluster is formed. What the tools are not there for is said
    /// loudly.
    pub(crate) fn start(nodes: usize, net: Net, with_disk_faults: bool) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let doors = (0..nodes).map(|node| Door::new(Arc::new(net.room(node)))).collect();
        let (mut shim, mut small) = (None, None);
        if with_disk_faults {
            shim = Shim::compile(directory.path())
                .map_err(|why| skip("wall clocks that jump, and disks that fail", &why))
                .ok();
            small = SmallDisk::mount(&directory.path().join(format!("n{nodes}")))
                .map_err(|why| skip("a disk that is full", &why))
                .ok();
        }
        let machines = (0..nodes).map(|_| Machine::none()).collect();
        let doors = Arc::new(doors);
        let mut cluster = Self { machines, doors, net, shim, small, ids: Vec::new(), directory };
        for node in 0..nodes {
            cluster.spawn(node);
        }
        for node in 0..nodes {
            cluster.listens(node);
        }
        for machine in &cluster.machines {
            eventually("the cluster forms", || machine.told(|told| told.formed).then_some(()));
        }
        cluster.ids =
            (0..nodes).map(|node| eventually("its status", || cluster.status(node)).id).collect();
        cluster
    }

    pub(crate) fn nodes(&self) -> usize {
        self.machines.len()
    }

    /// Its data directory.
    pub(crate) fn data(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("n{}", node + 1))
    }

    /// Starts one that does not run, and does not wait for it.
    pub(crate) fn spawn(&mut self, node: usize) {
        self.spawn_under(node, Orders::default());
    }

    /// The same, under these orders from the beginning.
    pub(crate) fn spawn_under(&mut self, node: usize, first: Orders) {
        let mut command = program();
        command
            .args(self.net.flags(node, self.nodes()))
            .args(["--name", &format!("n{}", node + 1), "--admin-port", "0"])
            .args(["--log-format", "json", "--until-stdin-ends", "--data-dir"])
            .arg(self.data(node))
            .env("QUORATE_HEARTBEAT_INTERVAL", "50ms")
            .env("QUORATE_SUSPECT_AFTER", format!("{}ms", SUSPECT_AFTER.as_millis()))
            .env("QUORATE_REDIAL_MIN", "50ms")
            .env("QUORATE_REDIAL_MAX", "1s");
        let mut orders = None;
        if let Some(shim) = &self.shim {
            let path = self.directory.path().join(format!("orders-{}", node + 1));
            let commander = shim.wrap(&mut command, &path);
            commander.order(first);
            orders = Some(commander);
        }
        let machine = &mut self.machines[node];
        machine.life += 1;
        machine.run(self.net.command(node, command));
        machine.orders = orders;
        self.net.down(node, false);
    }

    /// Waits until it answers; once more if its port was taken by another process meanwhile.
    fn listens(&mut self, node: usize) {
        let address = eventually("the node starts", || {
            let machine = &mut self.machines[node];
            if let Some(admin) = machine.told(|told| told.admin) {
                return Some(admin);
            }
            match machine.child.as_mut()?.try_wait().expect("it is a child") {
                None => None,
                Some(status) if status.code() == Some(9) => {
                    self.spawn(node);
                    None
                }
                Some(status) => panic!("n{} ended with {status}:\n{}", node + 1, machine.text()),
            }
        });
        self.doors[node].move_to(Some((address, self.machines[node].life)));
    }

    /// SIGKILL. Others find nobody there from now on.
    pub(crate) fn kill(&mut self, node: usize) {
        self.doors[node].move_to(None);
        let machine = &mut self.machines[node];
        if let Some(mut child) = machine.child.take() {
            child.kill().expect("it is a child");
            child.wait().expect("it was killed");
        }
        machine.is_paused = false;
        self.net.down(node, true);
    }

    /// Starts one that does not run.
    pub(crate) fn restart(&mut self, node: usize) {
        self.spawn(node);
        self.listens(node);
    }

    /// SIGSTOP; every thread of it stands still when this returns.
    pub(crate) fn pause(&mut self, node: usize) {
        let Some(pid) = self.machines[node].signal(Signal::STOP) else { return };
        self.machines[node].is_paused = true;
        eventually("it stands still", || stands_still(pid).then_some(()));
    }

    /// SIGCONT, if it stands still.
    pub(crate) fn go_on(&mut self, node: usize) {
        if std::mem::take(&mut self.machines[node].is_paused) {
            self.machines[node].signal(Signal::CONT);
        }
    }

    pub(crate) fn runs(&self, node: usize) -> bool {
        self.machines[node].child.is_some()
    }

    /// Tells its system what to do; nothing without the library.
    pub(crate) fn order(&self, node: usize, orders: Orders) {
        if let Some(commander) = &self.machines[node].orders {
            commander.order(orders);
        }
    }

    /// Its exit code and what it said, if it has ended by itself.
    pub(crate) fn ended(&mut self, node: usize) -> Option<(Option<i32>, String)> {
        let machine = &mut self.machines[node];
        let status = machine.child.as_mut()?.try_wait().expect("it is a child")?;
        eventually("its last line", || machine.told(|told| told.ended).then_some(()));
        machine.child = None;
        self.doors[node].move_to(None);
        self.net.down(node, true);
        Some((status.code(), self.machines[node].text()))
    }

    /// Its last lines.
    pub(crate) fn text(&self, node: usize) -> String {
        self.machines[node].text()
    }

    /// Lets it leave in good order, while clients still ask; its exit code, if it ran.
    pub(crate) fn leave(&mut self, node: usize) -> Option<i32> {
        let mut child = self.machines[node].child.take()?;
        drop(child.stdin.take());
        let status = eventually("it leaves", || child.try_wait().expect("it is a child"));
        self.doors[node].move_to(None);
        self.net.down(node, true);
        status.code()
    }

    /// What it says of itself; none if it does not answer.
    pub(crate) fn status(&self, node: usize) -> Option<StatusResponse> {
        let question = async |client: quorate::admin::Client| client.status().await;
        self.doors[node].ask_now(ANSWER, question).ok()?.ok()
    }

    /// Who proposes, as far as somebody who runs knows.
    pub(crate) fn proposer(&self) -> Option<usize> {
        let proposer = |node| self.status(node).filter(|status| status.led)?.proposer;
        let id = (0..self.nodes()).find_map(proposer)?;
        self.ids.iter().position(|it| *it == id)
    }
}

impl Machine {
    fn none() -> Self {
        Self { child: None, told: Arc::default(), life: 0, orders: None, is_paused: false }
    }

    fn run(&mut self, mut command: Command) {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        self.told = Arc::default();
        let (told, stderr) = (self.told.clone(), child.stderr.take().expect("it was asked for"));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                told.lock().expect("no holder panics").hear(line);
            }
            told.lock().expect("no holder panics").ended = true;
        });
        self.child = Some(child);
        self.is_paused = false;
    }

    fn told<T>(&self, look: impl FnOnce(&Told) -> T) -> T {
        look(&self.told.lock().expect("no holder panics"))
    }

    fn text(&self) -> String {
        self.told(|told| told.lines.iter().map(|line| format!("    {line}\n")).collect())
    }

    fn signal(&self, signal: Signal) -> Option<Pid> {
        let pid = Pid::from_child(self.child.as_ref()?);
        kill_process(pid, signal).is_ok().then_some(pid)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for machine in &mut self.machines {
            if let Some(child) = &mut machine.child {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Told {
    fn hear(&mut self, line: String) {
        // Of many thousand lines, nearly all are these.
        if line.contains("value.committed") || line.contains("value.duplicate") {
            self.commits += 1;
            return;
        }
        let json: Json = serde_json::from_str(&line).unwrap_or_default();
        match json["event"].as_str() {
            Some("admin.listening") => {
                self.admin = json["address"].as_str().and_then(|address| address.parse().ok());
            }
            Some("epoch.formed") => self.formed = true,
            _ => {}
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// Whether the kernel shows every thread of a process as stopped, or the process as dead.
fn stands_still(pid: Pid) -> bool {
    let tasks = Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join("task");
    // Where there is no such place, the signal must do.
    let Ok(tasks) = std::fs::read_dir(tasks) else { return true };
    tasks.flatten().all(|task| {
        let state = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        state
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with(['T', 't', 'Z', 'X']))
    })
}
