//! How long the log stands still when its proposer is gone.
//!
//! A client at each node proposes one value after the other, under the same id until it is committed.
//! The clock starts before the blow; it stops at the first acknowledgement, through a survivor, of a
//! value that was proposed after the proposer was surely gone.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use quorate::admin::api::ProposeOutcome;
use quorate::types::ProposalId;
use tokio_util::sync::CancellationToken;

use crate::http::Connection;
use crate::load::fresh_numbers;
use crate::nodes::{NODES, Processes, value};
use crate::stats::{percentile, shown};
use crate::worker::Worker;

/// How long a client waits before it asks again.
const PAUSE: Duration = Duration::from_millis(2);

/// Acknowledgements that wait to be looked at: far more than come while the log moves to another proposer.
const QUEUE: usize = 8_192;

/// How long all links live before a blow: a node dials in no hurry where a link ended as soon as it began.
const SETTLED: Duration = Duration::from_secs(1);

/// How long the log may stand still before this gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A value that was acknowledged.
struct Acknowledged {
    through: usize,
    proposed: Instant,
    at: Instant,
}

/// Proposes through one node until told to stop.
async fn client(through: usize, address: SocketAddr, acknowledged: SyncSender<Acknowledged>) {
    let mut connection = None;
    for number in fresh_numbers().. {
        let proposed = Instant::now();
        loop {
            if connection.is_none() {
                connection = Connection::open(address).await.ok();
            }
            if let Some(open) = &mut connection {
                match open.propose(ProposalId::from_u128(number), value(number)).await {
                    Ok(ProposeOutcome::Committed { .. } | ProposeOutcome::Duplicate { .. }) => {
                        break;
                    }
                    Ok(_) => {}
                    Err(_) => connection = None,
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        // No room only long after the last blow; who strikes the next one forgets the old ones first.
        let _ = acknowledged.try_send(Acknowledged { through, proposed, at: Instant::now() });
    }
}

/// Clients at all nodes, for as long as this lives.
struct Clients {
    acknowledged: Receiver<Acknowledged>,
    stop: CancellationToken,
    _worker: Worker,
}

impl Clients {
    fn start(nodes: &Processes) -> Self {
        let (worker, stop) = (Worker::start(), CancellationToken::new());
        let (sender, acknowledged) = sync_channel(QUEUE);
        for at in 0..NODES {
            let work = client(at, nodes.address(at), sender.clone());
            let stopped = stop.clone();
            worker.tasks.spawn(async move {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = work => {}
                }
            });
        }
        Self { acknowledged, stop, _worker: worker }
    }

    fn forget(&self) {
        while self.acknowledged.try_recv().is_ok() {}
    }

    /// When the first value was acknowledged that was proposed after `gone`, not through `victim`.
    fn next_commit(&self, gone: Instant, victim: usize) -> Instant {
        loop {
            let next = self.acknowledged.recv_timeout(PATIENCE).expect("the log goes on");
            if next.proposed >= gone && next.through != victim {
                return next.at;
            }
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// `kill -9`, so often; the killed one is started again and catches up in between.
pub(crate) fn killed(nodes: &mut Processes, times: usize) {
    let clients = Clients::start(nodes);
    let mut stood_still = Vec::new();
    for _ in 0..times {
        nodes.wait_led();
        std::thread::sleep(SETTLED);
        let victim = nodes.wait_led();
        clients.forget();
        let blow = Instant::now();
        nodes.kill(victim);
        stood_still.push(clients.next_commit(Instant::now(), victim) - blow);
        nodes.restart(victim);
        nodes.wait_caught_up(victim, (victim + 1) % NODES);
    }
    print(stood_still);
}

/// SIGSTOP, so often; SIGCONT after each.
pub(crate) fn stopped(nodes: &mut Processes, times: usize) {
    let clients = Clients::start(nodes);
    let mut stood_still = Vec::new();
    for _ in 0..times {
        nodes.wait_led();
        std::thread::sleep(SETTLED);
        let victim = nodes.wait_led();
        clients.forget();
        let blow = Instant::now();
        nodes.signal(victim, "STOP");
        stood_still.push(clients.next_commit(Instant::now(), victim) - blow);
        nodes.signal(victim, "CONT");
        nodes.wait_caught_up(victim, (victim + 1) % NODES);
    }
    print(stood_still);
}

fn print(mut stood_still: Vec<Duration>) {
    stood_still.sort_unstable();
    let (least, p50, p90, most) = (
        percentile(&stood_still, 0.0),
        percentile(&stood_still, 0.5),
        percentile(&stood_still, 0.9),
        percentile(&stood_still, 1.0),
    );
    println!(
        "  {} times: least {}, median {}, p90 {}, most {}",
        stood_still.len(),
        shown(least),
        shown(p50),
        shown(p90),
        shown(most)
    );
    let each: Vec<_> = stood_still.into_iter().map(shown).collect();
    println!("  all: {}", each.join(", "));
}
