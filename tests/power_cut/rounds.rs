//! Clients propose, power goes and comes back, and what was acknowledged is looked for.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use quorate::admin::Client;
use quorate::admin::api::{LogContent, LogEntry, ProposeOutcome, ProposeRequest};
use quorate::types::{ProposalId, Slot};

use crate::machine::{Syncs, Workshop};
use crate::process::{PATIENCE, Process, eventually, free_ports, program};

const NODES: usize = 3;
const CLIENTS_PER_NODE: usize = 4;

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Story {
    seed: u64,
    pub(crate) cuts_of_all: usize,
    cuts_of_two: usize,
    pub(crate) cuts_of_one: usize,
    pub(crate) acknowledged: usize,
    pub(crate) lost: usize,
    /// Starts that found, and cut, a batch that had not been synced.
    torn: usize,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: power cut {} times for all, {} for two, {} for one; {} values acknowledged, \
             {} lost; {} starts cut a torn batch",
            self.seed,
            self.cuts_of_all,
            self.cuts_of_two,
            self.cuts_of_one,
            self.acknowledged,
            self.lost,
            self.torn
        )
    }
}

/// `QUORATE_POWER_CUT_SEED`, or one of the clock. It draws whose power goes and when; the machine adds its own chance.
pub(crate) fn seed() -> u64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    std::env::var("QUORATE_POWER_CUT_SEED")
        .map_or(now.as_secs(), |text| text.parse().expect("QUORATE_POWER_CUT_SEED is a number"))
}

/// A value that a client was told is committed.
type Acknowledged = (Slot, String);

struct Cluster {
    // Before the workshop: disks cannot be unmounted under a process.
    nodes: Vec<Process>,
    doors: Arc<Mutex<Vec<String>>>,
    ports: Vec<u16>,
    syncs: Syncs,
    workshop: Workshop,
}

/// Cuts power again and again for `span`; ends early once something is lost.
pub(crate) fn play(span: Duration, syncs: Syncs, seed: u64) -> Story {
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut cluster = Cluster::start(syncs);
    let clients = Clients::start(&cluster.doors);
    let mut story = Story { seed, ..Story::default() };
    let end = Instant::now() + span;
    while Instant::now() < end && story.lost == 0 {
        let before = clients.count.load(Ordering::Relaxed);
        let wanted = before + 5 + dice.below(300);
        eventually("values are acknowledged", || {
            (clients.count.load(Ordering::Relaxed) >= wanted).then_some(())
        });
        let first = dice.below(NODES as u64) as usize;
        let victims: Vec<_> = match (syncs, dice.below(4)) {
            (Syncs::Faked, _) | (_, 0 | 1) => (0..NODES).collect(),
            (_, 2) => vec![first, (first + 1) % NODES],
            (_, _) => vec![first],
        };
        match victims.len() {
            1 => story.cuts_of_one += 1,
            2 => story.cuts_of_two += 1,
            _ => story.cuts_of_all += 1,
        }
        cluster.lose_power(&victims, dice.below(2) == 0);
        let acknowledged = clients.take();
        story.torn += cluster.power_on(&victims);
        story.acknowledged += acknowledged.len();
        story.lost += cluster.lost(&acknowledged);
    }
    clients.end();
    for node in &mut cluster.nodes {
        assert_eq!(node.leave(), 0);
    }
    story
}

impl Cluster {
    fn start(syncs: Syncs) -> Self {
        loop {
            let workshop = Workshop::open(NODES);
            let mut cluster = Self {
                nodes: Vec::new(),
                doors: Arc::default(),
                ports: free_ports(NODES),
                syncs,
                workshop,
            };
            cluster.nodes = (0..NODES).map(|at| cluster.node(at)).collect();
            let doors: Option<Vec<_>> = cluster.nodes.iter_mut().map(Process::admin).collect();
            // Another process took a port in between.
            let Some(doors) = doors else { continue };
            for node in &mut cluster.nodes {
                node.line("epoch.formed", |_| true);
            }
            *cluster.doors.lock().unwrap() = doors;
            // What makes a cluster is safe in any case: what may be lost is what comes now.
            cluster.workshop.disks.iter().for_each(|disk| disk.flush());
            return cluster;
        }
    }

    fn node(&self, at: usize) -> Process {
        let peers: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut command = program();
        if self.syncs == Syncs::Faked {
            command.env("LD_PRELOAD", self.workshop.lie());
        }
        let (port, name) = (self.ports[at].to_string(), format!("n{}", at + 1));
        let arguments = ["--port", &port, "--peers", &peers.join(","), "--name", &name];
        Process::start_by(command, &self.workshop.disks[at].path.join("data"), &arguments)
    }

    /// In one order or the other; in truth both at once.
    fn lose_power(&mut self, victims: &[usize], processes_first: bool) {
        if !processes_first {
            self.workshop.cut(victims);
        }
        for at in victims {
            // A node whose disk fails stops by itself, too.
            let _ = self.nodes[*at].child.kill();
            self.nodes[*at].child.wait().expect("it is a child");
        }
        if processes_first {
            self.workshop.cut(victims);
        }
    }

    /// Starts the nodes again, and counts those that say that they cut something.
    fn power_on(&mut self, victims: &[usize]) -> usize {
        let mut torn = 0;
        for at in victims {
            self.workshop.disks[*at].restore();
        }
        let started: Vec<_> = victims.iter().map(|at| (*at, self.node(*at))).collect();
        for (at, mut node) in started {
            let door = node.admin().unwrap_or_else(|| {
                eventually("its port is free again", || {
                    node = self.node(at);
                    node.admin()
                })
            });
            torn += usize::from(node.line("log.recovered", |_| true)["cut"].is_string());
            self.doors.lock().unwrap()[at] = door;
            self.nodes[at] = node;
        }
        torn
    }

    /// How many of these are not where they were acknowledged, at any node. All logs are the same up to the
    /// last of them: a hash names all that stands before it.
    fn lost(&self, acknowledged: &[Acknowledged]) -> usize {
        let (Some(first), Some(last)) = (
            acknowledged.iter().map(|(slot, _)| *slot).min(),
            acknowledged.iter().map(|(slot, _)| *slot).max(),
        ) else {
            return 0;
        };
        let doors = self.doors.lock().unwrap().clone();
        let logs: Vec<_> = doors.iter().map(|door| entries(door, first, last)).collect();
        for log in &logs {
            assert_eq!(log.last(), logs[0].last(), "logs differ");
        }
        let value_at = |slot: Slot| {
            let index = usize::try_from(slot.0 - first.0).expect("a short log");
            match &logs[0][index].content {
                LogContent::Value { value, .. } => Some(value.as_str()),
                LogContent::Config { .. } | LogContent::Noop => None,
            }
        };
        acknowledged.iter().filter(|(slot, value)| value_at(*slot) != Some(value)).count()
    }
}

/// Entries of this node from `first` to `last`, once it has them.
fn entries(door: &str, first: Slot, last: Slot) -> Vec<LogEntry> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::new(door.parse().expect("an address"));
    let mut entries: Vec<LogEntry> = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let next = entries.last().map_or(first, |entry| entry.slot.next());
        let page = runtime.block_on(client.log(next, 1_000, false)).expect("it runs");
        entries.extend(page.entries);
        entries.retain(|entry| entry.slot <= last);
        if entries.last().is_some_and(|entry| entry.slot == last) {
            return entries;
        }
        assert!(Instant::now() < deadline, "{door} does not reach slot {last}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Many that propose one value after the other, whatever happens.
struct Clients {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Clients {
    fn start(doors: &Arc<Mutex<Vec<String>>>) -> Self {
        let mut clients = Self {
            stop: Arc::default(),
            count: Arc::default(),
            acknowledged: Arc::default(),
            threads: Vec::new(),
        };
        for number in 0..NODES * CLIENTS_PER_NODE {
            let (stop, count) = (clients.stop.clone(), clients.count.clone());
            let (told, doors) = (clients.acknowledged.clone(), doors.clone());
            clients
                .threads
                .push(thread::spawn(move || propose(number, &doors, &stop, &count, &told)));
        }
        clients
    }

    /// What was acknowledged since the last call.
    fn take(&self) -> Vec<Acknowledged> {
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }

    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|client| client.join().expect("it ends"));
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn propose(
    client: usize,
    doors: &Mutex<Vec<String>>,
    stop: &AtomicBool,
    count: &AtomicU64,
    acknowledged: &Mutex<Vec<Acknowledged>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for number in 0_u64.. {
        let value = format!("client {client}, value {number}");
        let id = ProposalId::from_u128((client as u128) << 64 | u128::from(number));
        let timeout = Some("1s".to_owned());
        let request = ProposeRequest {
            value: value.clone(),
            request_id: Some(id),
            wait: true,
            timeout,
            until: None,
        };
        loop {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let door = doors.lock().unwrap()[client % NODES].parse().expect("an address");
            let answer =
                runtime.block_on(Client::new(door).propose(&request, Duration::from_secs(1)));
            match answer.map(|answer| answer.outcome) {
                Ok(ProposeOutcome::Committed { slot, .. } | ProposeOutcome::Duplicate { slot }) => {
                    acknowledged.lock().unwrap().push((slot, value));
                    count.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                // Without power, without a quorum, or undecided: the same again under the same id.
                _ => thread::park_timeout(Duration::from_millis(5)),
            }
        }
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % most
    }
}
