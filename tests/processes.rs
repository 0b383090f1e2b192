//! Five real processes, proposals through all of them, kill -9 and restart in turns: no acknowledged
//! value is lost, none stands twice, and all logs are the same in the end.
//!
//! `QUORATE_TEST_SECONDS` says for how long; a few seconds without it.

#[path = "support/process.rs"]
mod process;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use process::{Machines, eventually};
use quorate::admin::Client;
use quorate::admin::api::{LogContent, LogEntry, ProposeOutcome, ProposeRequest};
use quorate::types::{ProposalId, Slot};

const NODES: usize = 5;

/// Where the nodes serve HTTP by now: it changes with every restart.
type Doors = Arc<Mutex<Vec<String>>>;

/// A value that a client was told is committed.
type Acknowledged = (Slot, String);

fn seconds() -> u64 {
    std::env::var("QUORATE_TEST_SECONDS")
        .map_or(8, |text| text.parse().expect("a number of seconds"))
}

/// Proposes one value after the other through one node until told to stop; what fails is asked again
/// under the same id, as a client should.
fn client(
    at: usize,
    doors: &Doors,
    stop: &AtomicBool,
    acknowledged: &AtomicUsize,
) -> Vec<Acknowledged> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut done = Vec::new();
    for number in 0_u64.. {
        let value = format!("client {at}, value {number}");
        let request = ProposeRequest {
            value: value.clone(),
            request_id: Some(ProposalId::from_u128((at as u128) << 64 | u128::from(number))),
            wait: true,
            timeout: Some("1s".to_owned()),
            until: None,
        };
        loop {
            let door = doors.lock().unwrap()[at].parse().unwrap();
            let answer =
                runtime.block_on(Client::new(door).propose(&request, Duration::from_secs(1)));
            match answer.map(|answer| answer.outcome) {
                Ok(ProposeOutcome::Committed { slot, .. } | ProposeOutcome::Duplicate { slot }) => {
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    done.push((slot, value));
                    break;
                }
                // Down, without a quorum, or undecided.
                _ if stop.load(Ordering::Relaxed) => return done,
                _ => thread::park_timeout(Duration::from_millis(10)),
            }
        }
        if stop.load(Ordering::Relaxed) {
            return done;
        }
    }
    done
}

fn log(door: &str) -> Vec<LogEntry> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::new(door.parse().unwrap());
    let mut entries: Vec<LogEntry> = Vec::new();
    loop {
        let next = entries.last().map_or(Slot(1), |entry| entry.slot.next());
        let page = runtime.block_on(client.log(next, 1_000, false)).expect("it runs");
        if page.entries.is_empty() {
            return entries;
        }
        entries.extend(page.entries);
    }
}

#[test]
fn five_processes_lose_nothing_while_they_are_killed_in_turns() {
    let mut machines = Machines::start(NODES);
    let doors: Doors = Arc::new(Mutex::new(machines.admins.clone()));
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..NODES)
        .map(|at| {
            let (doors, stop, count) = (doors.clone(), stop.clone(), count.clone());
            thread::spawn(move || client(at, &doors, &stop, &count))
        })
        .collect();

    let end = Instant::now() + Duration::from_secs(seconds());
    let mut kills = 0;
    while Instant::now() < end || kills < NODES {
        // In turns, and every third time two at once: still a majority.
        let mut down = vec![kills % NODES];
        if kills % 3 == 2 {
            down.push((kills + 2) % NODES);
        }
        for at in &down {
            machines.processes[*at].kill();
            kills += 1;
        }
        // The rest agrees on something new before anyone comes back.
        let before = count.load(Ordering::Relaxed);
        eventually("a commit without the killed", || {
            (count.load(Ordering::Relaxed) > before + NODES).then_some(())
        });
        for at in down {
            machines.restart(at);
            doors.lock().unwrap()[at] = machines.admins[at].clone();
        }
        let before = count.load(Ordering::Relaxed);
        eventually("a commit with all", || {
            (count.load(Ordering::Relaxed) > before + NODES).then_some(())
        });
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged: Vec<Acknowledged> =
        clients.into_iter().flat_map(|client| client.join().expect("it ends")).collect();

    // At rest: the same last entry everywhere.
    let longest =
        acknowledged.iter().map(|(slot, _)| *slot).max().expect("something was committed");
    let logs = eventually("all logs are the same", || {
        let logs: Vec<_> = machines.admins.iter().map(|door| log(door)).collect();
        let same = logs.iter().all(|log| {
            log.last().is_some_and(|entry| entry.slot >= longest) && log.last() == logs[0].last()
        });
        same.then_some(logs)
    });
    for log in &logs {
        assert_eq!(*log, logs[0]);
    }
    for (slot, entry) in (1..).map(Slot).zip(&logs[0]) {
        assert_eq!(entry.slot, slot, "a hole");
    }
    let value_at = |slot: Slot| match &logs[0][usize::try_from(slot.0).unwrap() - 1].content {
        LogContent::Value { value, .. } => value.as_str(),
        other => panic!("{slot} holds {other:?}"),
    };
    for (slot, value) in &acknowledged {
        assert_eq!(value_at(*slot), value, "an acknowledged value is lost");
    }
    let places: BTreeSet<_> = acknowledged.iter().map(|(slot, _)| *slot).collect();
    assert_eq!(places.len(), acknowledged.len(), "two values in one place");
    for process in &mut machines.processes {
        assert_eq!(process.leave(), 0);
    }
    println!(
        "{} kills, {} acknowledged values, {} entries",
        kills,
        acknowledged.len(),
        logs[0].len()
    );
}
