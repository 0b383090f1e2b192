//! One run: a cluster, its clients, its nemesis, and the check of all that happened; with the figures.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quorate::admin::Client;
use quorate::admin::api::{LogContent, LogEntry};
use quorate::types::Slot;
use tokio_util::sync::CancellationToken;

use crate::checks::check;
use crate::clients::Caller;
use crate::cluster::{Cluster, Net};
use crate::dice::{Dice, seed};
use crate::door::Room;
use crate::fault::{Kind, Schedule};
use crate::history::{Answer, At, History, Isolation, Recorder};
use crate::nemesis::{Nemesis, RECOVERY_MAX, hold};
use crate::program::eventually;

/// How many ask at once.
const CALLERS: usize = 8;

/// How long a page of a log may take.
const PAGE_MAX: Duration = Duration::from_secs(10);

/// Strikes a cluster of this size: with each of `kinds` once, or with all that are there for as long as
/// `QUORATE_TEST_SECONDS` says. Fails if a law is broken.
pub(crate) fn run(name: &str, size: usize, net: Net, kinds: &[Kind]) {
    let seconds: Option<u64> = std::env::var("QUORATE_TEST_SECONDS")
        .ok()
        .map(|text| text.parse().expect("QUORATE_TEST_SECONDS is a number"));
    let seed = seed();
    println!("{name}: QUORATE_TEST_SEED={seed}");
    let with_disk_faults = matches!(net, Net::Proxies(..)) || seconds.is_some();
    let cluster = Cluster::start(size, net, with_disk_faults);
    let recorder = Arc::new(Recorder::new());
    let (room, stop) = (Room::open(None), CancellationToken::new());
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (doors, recorder, stop) = (cluster.doors.clone(), recorder.clone(), stop.clone());
            let caller = Caller::new(number, doors, recorder, seed, stop);
            room.handle().spawn(caller.run())
        })
        .collect();

    let mut nemesis = Nemesis::new(cluster, recorder.clone());
    let (there, dice) = (nemesis.kinds(), Dice::of(seed, size as u64));
    let wanted: Vec<_> = match seconds {
        Some(_) => there,
        None => there.into_iter().filter(|kind| kinds.contains(kind)).collect(),
    };
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (once, started) = (wanted.len(), Instant::now());
    for (number, strike) in
        Schedule::new(wanted, hold(end.is_some()), dice, end.is_some()).enumerate()
    {
        let is_over = end.map_or(number == once, |end| Instant::now() >= end);
        if is_over {
            break;
        }
        nemesis.strike(&strike);
    }
    let struck_for = started.elapsed();

    stop.cancel();
    for caller in callers {
        let (sender, ended) = std::sync::mpsc::sync_channel(1);
        room.handle().spawn(async move { sender.send(caller.await) });
        ended.recv().expect("the room is open").expect("a caller ends well");
    }
    let logs = at_rest(&nemesis.cluster);
    recorder.with(|history| history.logs = logs);
    let codes: Vec<_> = (0..size).map(|node| nemesis.cluster.leave(node)).collect();
    let history = recorder.with(std::mem::take);
    println!("{}", figures(name, &nemesis, &history, struck_for));
    let violations = check(&history);
    assert!(
        violations.is_empty(),
        "{} broken:\n{:#?}",
        violations.len(),
        &violations[..violations.len().min(20)]
    );
    assert_eq!(codes, vec![Some(0); size], "they leave in good order");
    assert!(history.attempts.iter().any(|attempt| attempt.answer.slot().is_some()));
    if let Net::Proxies(proxies, _) = &nemesis.cluster.net {
        assert!(proxies.meter.frames.load(Ordering::Relaxed) > 0, "traffic goes past the proxies");
    }
}

/// Waits until no node knows more than another, and reads all logs.
fn at_rest(cluster: &Cluster) -> Vec<Vec<LogEntry>> {
    let start = Instant::now();
    let positions = || -> Option<Vec<_>> {
        let status =
            |node| cluster.status(node).filter(|it| it.pending == 0 && it.last == it.committed);
        (0..cluster.nodes()).map(|node| status(node).map(|it| it.committed)).collect()
    };
    eventually("all logs are the same", || {
        let positions = positions()?;
        positions.iter().all(|position| *position == positions[0]).then_some(())
    });
    assert!(start.elapsed() < RECOVERY_MAX, "logs became the same after {:?}", start.elapsed());
    (0..cluster.nodes()).map(|node| whole_log(cluster, node)).collect()
}

fn whole_log(cluster: &Cluster, node: usize) -> Vec<LogEntry> {
    let mut entries: Vec<LogEntry> = Vec::new();
    loop {
        let from = entries.last().map_or(Slot(1), |entry| entry.slot.next());
        let ask = async move |client: Client| client.log(from, 1_000, false).await;
        let page =
            cluster.doors[node].ask_now(PAGE_MAX, ask).expect("it runs").expect("it answers");
        if page.entries.is_empty() {
            return entries;
        }
        entries.extend(page.entries);
    }
}

/// What there is to say of a run.
fn figures(name: &str, nemesis: &Nemesis, history: &History, struck_for: Duration) -> String {
    let count = |wanted: &dyn Fn(Answer) -> bool| {
        history.attempts.iter().filter(|attempt| wanted(attempt.answer)).count()
    };
    let log = history.logs.first().map_or(&[][..], Vec::as_slice);
    let values =
        log.iter().filter(|entry| matches!(entry.content, LogContent::Value { .. })).count();
    let linearizable = history.reads.iter().filter(|read| read.linearizable).count();
    let lonely = history
        .attempts
        .iter()
        .filter(|attempt| {
            let during = |it: &Isolation| {
                it.node == attempt.node && it.from < attempt.invoked && attempt.completed < it.to
            };
            history.isolations.iter().any(during)
        })
        .count();
    let strikes: usize = nemesis.struck.values().sum();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{name}: {} nodes, struck for {:.0} s\n  faults: {strikes}, {} disks that failed ended their node; {:?}\n  \
         proposals: {} ids, {} attempts: {} committed, {} duplicates, {} rejected, {} expired, {} unknown\n  \
         reads: {linearizable} linearizable, {} local\n  log: {} entries, {values} values, {} shown\n  \
         without a quorum: {} times a node, asked {lonely} times, none of them answered\n  \
         longest gap between acknowledgements {:.2} s, longest recovery {:.2} s of {:.0} s",
        nemesis.cluster.nodes(),
        struck_for.as_secs_f64(),
        nemesis.disk_ends,
        nemesis.struck,
        history.offers.len(),
        history.attempts.len(),
        count(&|answer| matches!(answer, Answer::Committed { .. })),
        count(&|answer| matches!(answer, Answer::Duplicate { .. })),
        count(&|answer| answer == Answer::Rejected),
        count(&|answer| answer == Answer::Expired),
        count(&|answer| answer == Answer::Unknown),
        history.reads.len() - linearizable,
        log.len(),
        history.shown.len(),
        history.isolations.len(),
        longest_gap(history).as_secs_f64(),
        nemesis.longest_recovery.as_secs_f64(),
        RECOVERY_MAX.as_secs_f64(),
    );
    if let Net::Proxies(proxies, _) = &nemesis.cluster.net {
        let (frames, harmed) = (&proxies.meter.frames, &proxies.meter.harmed);
        let (frames, harmed) = (frames.load(Ordering::Relaxed), harmed.load(Ordering::Relaxed));
        let _ = writeln!(text, "  proxies: {frames} frames, {harmed} of them harmed");
    }
    text
}

fn longest_gap(history: &History) -> Duration {
    let acknowledged = history.attempts.iter().filter(|attempt| attempt.answer.slot().is_some());
    let mut moments: Vec<At> = acknowledged.map(|attempt| attempt.completed).collect();
    moments.sort_unstable();
    moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}
