//! Honest nodes under attack: what it costs them, and whether honest clients are served meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quorate::admin::api::{ProposeOutcome, ProposeRequest};
use quorate::admin::{Client, ClientError};
use quorate::types::Slot;
use serde_json::Value as Json;

use crate::attacker::{Attacker, number};
use crate::process::{Machines, PATIENCE};

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;

/// What any node may gain by honest work alone in this time: the entries and ids that it keeps (see
/// `limits::RETAINED_BYTES` and `limits::PROPOSAL_IDS_SLOTS`), and what the allocator does not give back.
pub(crate) const HONEST_WORK: u64 = 12 * MIB;

/// How many nodes stay honest and up: a majority of three. The third one may be the liar, or be killed.
const HONEST: usize = 2;

/// Nodes, of which the first is attacked.
pub(crate) struct Siege {
    pub(crate) machines: Machines,
    title: &'static str,
    rows: Vec<String>,
}

/// What a process holds.
#[derive(Clone, Debug)]
struct Held {
    rss: u64,
    peak: u64,
    sockets: Vec<String>,
}

impl Siege {
    pub(crate) fn start(title: &'static str, count: usize) -> Self {
        Self { machines: Machines::start(count), title, rows: Vec::new() }
    }

    /// The port at which the attacked node listens for peers.
    pub(crate) fn port(&self) -> u16 {
        self.machines.ports[0]
    }

    /// Runs one attack. The nodes must live through it, gain at most `bound` bytes beyond
    /// [`HONEST_WORK`], serve honest clients all the while and let go of every descriptor. The attack
    /// gives the line that the operator was shown.
    pub(crate) fn case(
        &mut self,
        name: &str,
        bound: u64,
        attack: impl FnOnce(&mut Machines) -> String,
    ) {
        commit(&self.machines.admins[0], "before").expect("a commit before the attack");
        let honest = self.machines.processes.iter().take(HONEST);
        let pids: Vec<u32> = honest.map(|process| process.child.id()).collect();
        for pid in &pids {
            // From now on the peak is that of this attack.
            std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the process is ours");
        }
        let before: Vec<Held> = pids.iter().map(|pid| held(*pid)).collect();
        let doors = self.machines.admins.iter().take(HONEST);
        let clients = Clients::start(doors);
        let told = attack(&mut self.machines);
        println!("{name}: told {told}");
        let (commits, worst) = clients.stop();
        let last = commit(&self.machines.admins[0], "after").unwrap_or_else(|why| {
            panic!("{name}: {why} instead of a commit after the attack");
        });
        let mut row = format!("| {name} |");
        for (at, (pid, before)) in pids.iter().zip(&before).enumerate() {
            let mut after = held(*pid);
            let deadline = Instant::now() + PATIENCE;
            while after.sockets.len() > before.sockets.len() {
                let (has, had) = (&after.sockets, &before.sockets);
                assert!(
                    Instant::now() < deadline,
                    "{name}: node {at} holds {has:?}, before {had:?}"
                );
                thread::park_timeout(Duration::from_millis(10));
                after = held(*pid);
            }
            let gained = after.peak.saturating_sub(before.rss);
            assert!(
                gained <= HONEST_WORK + bound,
                "{name}: node {at} gained {gained} bytes at its peak, {} are explained: {before:?} {after:?}",
                HONEST_WORK + bound
            );
            if at == 0 {
                let mib = |bytes: u64| format!("{:.1}", bytes as f64 / MIB as f64);
                let (rss, now) = (mib(before.rss), mib(after.rss));
                let (peak, bound) = (mib(gained), mib(HONEST_WORK + bound));
                row += &format!(" {rss} → {now} | {peak} of {bound} |");
            }
        }
        row += &format!(
            " {commits}, slowest {} ms, then {} ms | {told} |",
            worst.as_millis(),
            last.as_millis()
        );
        self.rows.push(row);
        for process in self.machines.processes.iter_mut().take(HONEST) {
            assert!(process.child.try_wait().expect("a child").is_none(), "{name}: a node ended");
        }
    }

    /// The third node leaves; what speaks in its name from now on is the attacker.
    pub(crate) fn turn_coat(&mut self) -> Attacker {
        let mut gone = self.machines.processes.pop().expect("a third node");
        assert_eq!(gone.leave(), 0);
        Attacker::member(&self.machines.data(HONEST))
    }

    /// Everyone leaves in good order, and the table is printed.
    pub(crate) fn end(mut self) {
        for process in &mut self.machines.processes {
            assert_eq!(process.leave(), 0);
        }
        println!(
            "\n{}\n| attack | RSS, MiB | peak gained, MiB | commits meanwhile | told |\n|---|---|---|---|---|\n{}",
            self.title,
            self.rows.join("\n")
        );
    }
}

/// Honest clients, one at each node, that propose one value after the other.
struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<(usize, Duration)>>,
}

impl Drop for Clients {
    /// An attack that fails ends its clients, too.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Clients {
    fn start<'a>(doors: impl Iterator<Item = &'a String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |door: &String| {
            let (stop, door) = (stop.clone(), door.clone());
            thread::spawn(move || {
                let (mut commits, mut worst) = (0, Duration::ZERO);
                while commits == 0 || !stop.load(Ordering::Relaxed) {
                    let took = commit(&door, "meanwhile").expect("a commit during the attack");
                    worst = worst.max(took);
                    commits += 1;
                    thread::park_timeout(Duration::from_millis(20));
                }
                (commits, worst)
            })
        };
        let threads = doors.map(client).collect();
        Self { stop, threads }
    }

    /// How many commits there were, and how long the slowest took.
    fn stop(mut self) -> (usize, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.threads.drain(..).map(|thread| thread.join().expect("it is served"));
        ended.fold((0, Duration::ZERO), |(all, slowest), (commits, worst)| {
            (all + commits, slowest.max(worst))
        })
    }
}

/// Proposes a value of its own and waits for its commit, which must come within [`PATIENCE`].
///
/// # Errors
/// What came instead.
pub(crate) fn commit(door: &str, what: &str) -> Result<Duration, String> {
    let started = Instant::now();
    match propose(door, format!("{what} {}", number())) {
        Ok(ProposeOutcome::Committed { .. }) => Ok(started.elapsed()),
        other => Err(format!("{other:?}")),
    }
}

/// Proposes this value and waits for its commit; gives its slot.
pub(crate) fn commit_value(door: &str, value: &str) -> Slot {
    match propose(door, value.to_owned()) {
        Ok(ProposeOutcome::Committed { slot, .. }) => slot,
        other => panic!("{other:?}"),
    }
}

fn propose(door: &str, value: String) -> Result<ProposeOutcome, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let timeout = Some(format!("{}s", PATIENCE.as_secs()));
    let request = ProposeRequest { value, request_id: None, wait: true, timeout, until: None };
    let client = Client::new(door.parse().expect("an address"));
    runtime.block_on(client.propose(&request, PATIENCE)).map(|answer| answer.outcome)
}

/// How many lines of this name the node has written by now that fit: it has said what it had to
/// say before the commit that is made here.
pub(crate) fn count_lines(
    machines: &mut Machines,
    at: usize,
    event: &str,
    fits: impl Fn(&Json) -> bool,
) -> usize {
    let mark = format!("mark {}", number());
    commit_value(&machines.admins[at], &mark);
    let process = &mut machines.processes[at];
    process.line("value.committed", |line| line["value"] == mark.as_str());
    process.count(|line| line["event"] == event && fits(line))
}

fn held(pid: u32) -> Held {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let status = std::fs::read_to_string(proc.join("status")).expect("it runs");
    let kib = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a figure");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    let links = std::fs::read_dir(proc.join("fd")).expect("it is ours");
    // One that is closed in this moment leads nowhere any more.
    let links = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
    // Files of the log come with honest work.
    let links = links.map(|link| link.to_string_lossy().into_owned());
    let sockets = links.filter(|link| link.starts_with("socket:")).collect();
    Held { rss: kib("VmRSS:") * KIB, peak: kib("VmHWM:") * KIB, sockets }
}
