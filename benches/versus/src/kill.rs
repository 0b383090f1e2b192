//! How long nothing is acknowledged after the leader was killed.
//!
//! A write starts at each node every 2 ms, without waiting for the ones before; a lost connection is opened again.
//! The clock starts before the kill; it stops at the first acknowledgement, through a survivor, of a write that
//! was sent when nothing was left of the killed process.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::doors::{Door, Protocol, Trouble};
use crate::load::{runtime, value};
use crate::products::{Cluster, NODES};

/// A new write at each node, so often; no figure is finer than this.
const EVERY: Duration = Duration::from_millis(2);

/// Nobody waits longer for one of them. It bounds how many are under way, too.
const GIVEN_UP: Duration = Duration::from_secs(1);

/// How long a connection may take, so that a node which accepts and says nothing is tried again soon.
const OPENED_WITHIN: Duration = Duration::from_millis(250);

/// How long the nodes have been whole and under load before the next kill.
const SETTLED: Duration = Duration::from_secs(1);

/// How long nothing may be acknowledged before this gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Acknowledgements that wait to be looked at. When there is no room they are dropped: it is full only of old ones,
/// and those are taken out before a kill.
const QUEUE: usize = 1 << 16;

/// Of each write.
const VALUE_BYTES: usize = 256;

struct Acknowledged {
    through: usize,
    sent: Instant,
    at: Instant,
}

/// Kills the leader once: how long until the next acknowledged write. The killed node is back, and all three are
/// whole, when this returns.
///
/// # Errors
/// Says what did not come back.
pub(crate) fn once(cluster: &mut Cluster, protocol: Protocol) -> Result<Duration, String> {
    cluster.settled()?;
    let addresses: [_; NODES] = std::array::from_fn(|at| cluster.place.client(at));
    let (acknowledge, acknowledged) = sync_channel(QUEUE);
    let (stop, stopped) = oneshot::channel();
    let stood_still = std::thread::scope(|scope| {
        scope.spawn(move || write_at_all(protocol, addresses, &acknowledge, stopped));
        std::thread::sleep(SETTLED);
        let stood_still = strike(cluster, &acknowledged);
        let _ = stop.send(());
        stood_still
    });
    cluster.settled()?;
    stood_still
}

fn strike(
    cluster: &mut Cluster,
    acknowledged: &Receiver<Acknowledged>,
) -> Result<Duration, String> {
    let victim = cluster.settled()?;
    while acknowledged.try_recv().is_ok() {}
    let blow = Instant::now();
    cluster.kill(victim)?;
    let gone = Instant::now();
    let next = loop {
        match acknowledged.recv_timeout(PATIENCE) {
            Ok(next) if next.sent >= gone && next.through != victim => break Ok(next.at - blow),
            Ok(_) => {}
            Err(_) => break Err(format!("nothing was acknowledged for {PATIENCE:?}")),
        }
    };
    cluster.restart(victim)?;
    next
}

/// Writes at all nodes until told to stop.
fn write_at_all(
    protocol: Protocol,
    addresses: [SocketAddr; NODES],
    acknowledge: &SyncSender<Acknowledged>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    LocalSet::new().block_on(&runtime()?, async {
        for (through, address) in addresses.into_iter().enumerate() {
            tokio::task::spawn_local(write_at(protocol, through, address, acknowledge.clone()));
        }
        let _ = stopped.await;
        Ok(())
    })
}

/// Writes at one node, for ever.
async fn write_at(
    protocol: Protocol,
    through: usize,
    address: SocketAddr,
    acknowledge: SyncSender<Acknowledged>,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let Ok(Ok(door)) = timeout(OPENED_WITHIN, Door::open(protocol, address)).await else {
            continue;
        };
        let (door, broken) = (Rc::new(door), Rc::new(Cell::new(false)));
        while !broken.get() {
            let (door, broken) = (door.clone(), broken.clone());
            let acknowledge = acknowledge.clone();
            tokio::task::spawn_local(async move {
                let sent = Instant::now();
                match timeout(GIVEN_UP, door.write(through, &value(VALUE_BYTES))).await {
                    Ok(Ok(())) => {
                        let at = Instant::now();
                        let _ = acknowledge.try_send(Acknowledged { through, sent, at });
                    }
                    Ok(Err(Trouble::Broken(_))) => broken.set(true),
                    Ok(Err(Trouble::Refused(_))) | Err(_) => {}
                }
            });
            ticks.tick().await;
        }
    }
}
