//! Dials one listed address, for ever: whenever no link leads to who lives there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::config::Address;
use crate::limits;
use crate::transport::backoff::{Backoff, Ended};
use crate::transport::connection::{Connection, ReadError};
use crate::transport::handshake::HandshakeError;
use crate::transport::incoming::Incoming;
use crate::transport::link::count;
use crate::transport::shared::{Offer, Request, Shared, Verdict, no_place};
use crate::types::NodeId;
use crate::wire::{RefusalCode, Side};

/// How long a refused listener gets to read why.
const PARTING: Duration = Duration::from_secs(1);

/// How an attempt ended.
enum Outcome {
    /// This node answered, or has a link to who lives there.
    Met(NodeId),
    /// Nobody listens there.
    Refused,
    /// Connected, and cut before a hello: as by a process that is being killed.
    Cut(String),
    /// Anything else: what, and the sentence about it.
    Failed(&'static str, String),
}

/// Dials line `listed` until the transport closes, `stop` is cancelled, for the address is listed no more, or it turns
/// out to be this node's own.
pub(crate) async fn run(
    shared: Arc<Shared>,
    listed: usize,
    address: Address,
    stop: CancellationToken,
) {
    let label = format!("{}:{}", address.host, address.port);
    tokio::select! {
        () = shared.closing.cancelled() => {}
        () = stop.cancelled() => {
            shared.obstacles.overcome(&label);
            shared.known.forget(&label);
        }
        () = keep_linked(&shared, listed, &address, &label) => {}
    }
}

async fn keep_linked(shared: &Arc<Shared>, listed: usize, address: &Address, label: &str) {
    let seed = shared.seed.wrapping_add((listed as u64) << 32);
    let mut waits = shared.redial.subscribe();
    let mut redial = *waits.borrow_and_update();
    let mut backoff = Backoff::new(redial.min, redial.max, seed);
    let mut linked = shared.linked.subscribe();
    let mut met: Option<NodeId> = None;
    let mut at_once = None;
    let mut woken: Option<Instant> = None;
    let mut ended = Ended::Otherwise;
    loop {
        if let Some(node) = met
            && linked.borrow_and_update().contains(&node)
        {
            // It may be the other end that dialled.
            shared.obstacles.overcome(label);
            if linked.wait_for(|linked| !linked.contains(&node)).await.is_err() {
                return;
            }
            // At once, but links that end as soon as they begin are not dialled in a circle.
            if is_over(at_once, redial.min) {
                at_once = Some(Instant::now());
                backoff.reset();
            }
            ended = Ended::Otherwise;
        }
        let wanted = *waits.borrow_and_update();
        if wanted != redial {
            redial = wanted;
            backoff = Backoff::new(redial.min, redial.max, seed);
        }
        let wait = backoff.next(ended);
        if !wait.is_zero() {
            let up = async {
                match met {
                    Some(node) => linked.wait_for(|linked| linked.contains(&node)).await.is_ok(),
                    // Somebody came: it may well be who lives here. But an address that nobody was met at is not
                    // dialled for every link that comes and goes: all that did so since the last time count once.
                    None => {
                        if let Some(woken) = woken {
                            let rest = redial.min.saturating_sub(woken.elapsed());
                            tokio::time::sleep(rest).await;
                        }
                        linked.changed().await.is_ok()
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = waits.changed() => continue,
                _ = up => {
                    if met.is_some() {
                        continue;
                    }
                    woken = Some(Instant::now());
                }
            }
        }
        let outcome = attempt(shared, address, label).await;
        ended = match &outcome {
            Outcome::Refused => Ended::Refused,
            Outcome::Cut(_) => Ended::Cut,
            Outcome::Met(_) | Outcome::Failed(..) => Ended::Otherwise,
        };
        match outcome {
            Outcome::Met(node) => {
                shared.obstacles.overcome(label);
                if met.replace(node) != Some(node) {
                    shared.tell(Incoming::Met { listed, node }).await;
                }
                if node == shared.local.node() {
                    tracing::info!(listed, address = %label, hint = "this node's own address is not dialled", "peer.self");
                    return;
                }
            }
            Outcome::Refused => {
                if let Some(peer) = met {
                    let why = "nobody listens there";
                    shared.obstacles.note(label, why, true, Instant::now());
                    // The owner says in its own words that a peer is gone.
                    shared.tell(Incoming::DialRefused { peer }).await;
                } else {
                    let reason =
                        "nobody listens there: start the node, or correct the list of peers";
                    warn(shared, label, "refused", reason);
                }
            }
            Outcome::Cut(reason) => warn(shared, label, "cut", &reason),
            Outcome::Failed(what, reason) => warn(shared, label, what, &reason),
        }
    }
}

/// Whether this long has passed since then, if it ever happened.
fn is_over(since: Option<Instant>, span: Duration) -> bool {
    since.is_none_or(|since| since.elapsed() >= span)
}

fn warn(shared: &Shared, address: &str, what: &'static str, reason: &str) {
    let now = Instant::now();
    shared.obstacles.note(address, reason, true, now);
    if let Some(suppressed) = shared.notices.admit(address, what, now) {
        tracing::warn!(address, what, reason, suppressed, "dial.failed");
    }
}

/// Asks for the addresses anew, since machines move, and tries each.
async fn attempt(shared: &Arc<Shared>, address: &Address, label: &str) -> Outcome {
    let lookup = lookup_host((address.host.as_str(), address.port));
    let found: Vec<SocketAddr> = match tokio::time::timeout(limits::CONNECT_DEADLINE, lookup).await
    {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => {
            return Outcome::Failed(
                "unresolved",
                format!("the name {} has no address: {error}; check it and the DNS", address.host),
            );
        }
        Err(_) => {
            return Outcome::Failed("unresolved", "the DNS does not answer in time".to_owned());
        }
    };
    let mut failed = None;
    for remote in found {
        match attempt_at(shared, remote, label).await {
            Outcome::Met(node) => return Outcome::Met(node),
            Outcome::Refused => {}
            outcome => failed = Some(outcome),
        }
    }
    failed.unwrap_or(Outcome::Refused)
}

async fn attempt_at(shared: &Arc<Shared>, remote: SocketAddr, label: &str) -> Outcome {
    let stream = match tokio::time::timeout(limits::CONNECT_DEADLINE, connect(remote)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return not_connected(remote, &error),
        Err(_) => {
            return Outcome::Failed(
                "timeout",
                format!(
                    "{remote} does not answer within {:?}: the machine is off, or a firewall is silent",
                    limits::CONNECT_DEADLINE
                ),
            );
        }
    };
    let Ok(mut connection) = Connection::new(stream) else {
        return Outcome::Failed("broken", format!("{remote} closed at once"));
    };
    // Both ends call the greater number the newer one.
    let dial = shared.dials.fetch_add(1, Ordering::Relaxed) + 1;
    let handshake = shared.local.dial(&mut connection, dial);
    let (hello, proof) = match tokio::time::timeout(shared.handshake_deadline, handshake).await {
        Ok(Ok(proven)) => proven,
        Ok(Err(HandshakeError::Myself)) => return Outcome::Met(shared.local.node()),
        Ok(Err(HandshakeError::Doubled { name })) => {
            shared.tell(Incoming::Doubled { by: shared.local.node(), name }).await;
            return Outcome::Met(shared.local.node());
        }
        Ok(Err(HandshakeError::Refuse { code, reason })) => {
            count(&shared.refused, 1);
            let last = shared.local.refusal(code, &reason);
            shared.tasks.spawn(async move { connection.part(&last, PARTING).await });
            return Outcome::Failed(code.as_str(), reason);
        }
        Ok(Err(HandshakeError::Read(error @ (ReadError::Closed | ReadError::Io(_))))) => {
            return Outcome::Cut(format!("{remote}: {error}"));
        }
        Ok(Err(error)) => return Outcome::Failed(error.name(), error.to_string()),
        Err(_) => {
            return Outcome::Failed(
                "deadline",
                format!(
                    "{remote} is connected but says no hello within {:?}",
                    shared.handshake_deadline
                ),
            );
        }
    };
    let node = hello.node;
    // Before anything is heard from it on the link.
    shared.known.meet(label, node);
    let (verdict, decided) = oneshot::channel();
    let offer =
        Offer { hello, side: Side::Dialer, dial, connection, first: Some(proof.clone()), verdict };
    if shared.keeper.send(Request::Offer(Box::new(offer))).await.is_err() {
        return Outcome::Met(node);
    }
    match decided.await {
        Ok(Verdict::Duplicate(connection, boot)) => {
            let reason = format!(
                "two processes run as {node}: start {boot} has a link, the older one at {remote} stops; a \
                 copied data directory must not run beside its original"
            );
            count(&shared.refused, 1);
            // The other side stops for it, so it must know who says so.
            let last = shared.local.refusal(RefusalCode::DuplicateIdentity, &reason);
            let last = [proof, last].concat().into();
            shared.tasks.spawn(async move { connection.part(&last, PARTING).await });
            Outcome::Failed(RefusalCode::DuplicateIdentity.as_str(), reason)
        }
        Ok(Verdict::Full(_)) => Outcome::Failed(RefusalCode::Full.as_str(), no_place()),
        Ok(Verdict::Kept | Verdict::Unneeded(_)) | Err(_) => Outcome::Met(node),
    }
}

/// What it means that a connection did not come about.
fn not_connected(remote: SocketAddr, error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::Refused,
        // It was there and went before it could be used: whoever listened is going away.
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::NotConnected => Outcome::Cut(format!("{remote}: {error}")),
        _ => {
            Outcome::Failed("unreachable", format!("{remote}: {error}; check network and firewall"))
        }
    }
}

async fn connect(remote: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(remote).await?;
    // TCP lets a socket connect to itself when its own port happens to be the one dialled.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_reset_as_it_is_made_is_cut_and_not_called_unreachable() {
        let means = |kind: io::ErrorKind| {
            not_connected(SocketAddr::from(([127, 0, 0, 1], 1)), &io::Error::from(kind))
        };
        assert!(matches!(means(io::ErrorKind::ConnectionRefused), Outcome::Refused));
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::NotConnected] {
            assert!(matches!(means(kind), Outcome::Cut(_)), "{kind}");
        }
        for kind in [io::ErrorKind::HostUnreachable, io::ErrorKind::NetworkUnreachable] {
            assert!(matches!(means(kind), Outcome::Failed("unreachable", _)), "{kind}");
        }
    }
}
