//! The one task that decides which connection is the link to a peer, and tells the owner.
//!
//! A link that loses its place is closed and seen to its end before the next one starts, so that the
//! owner never hears two links of one peer at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::limits;
use crate::transport::connection::{Connection, ReadError};
use crate::transport::incoming::Incoming;
use crate::transport::link::{self, Link, LinkEnd};
use crate::transport::links::{Candidate, Keep, choose};
use crate::transport::shared::{Offer, Request, Shared, Verdict};
use crate::types::NodeId;
use crate::wire::{MessageType, RefusalCode, Side};

/// The place of one peer.
struct Place {
    link: Arc<Link>,
    /// What takes the place when the link has ended.
    next: Option<(Box<Offer>, Candidate)>,
}

/// Runs until everything ends.
pub(crate) async fn run(shared: Arc<Shared>, mut requests: mpsc::Receiver<Request>) {
    let mut places = BTreeMap::new();
    loop {
        let request = tokio::select! {
            () = shared.abort.cancelled() => return,
            request = requests.recv() => request,
        };
        match request {
            Some(Request::Offer(offer)) => consider(&shared, &mut places, offer).await,
            Some(Request::Ended(link)) => end(&shared, &mut places, &link).await,
            None => return,
        }
    }
}

async fn consider(shared: &Arc<Shared>, places: &mut BTreeMap<NodeId, Place>, offer: Box<Offer>) {
    let peer = offer.hello.node;
    let candidate = Candidate {
        boot: offer.hello.boot,
        instance: offer.hello.instance,
        initiator: match offer.side {
            Side::Dialer => shared.local.node(),
            Side::Listener => peer,
        },
        dial: offer.dial,
    };
    if shared.closing.is_cancelled() {
        return turn_away(offer, Verdict::Unneeded);
    }
    let Some(place) = places.get_mut(&peer) else {
        if !has_room(shared, places, peer) {
            return turn_away(offer, Verdict::Full);
        }
        let link = start(shared, offer, candidate).await;
        places.insert(peer, Place { link, next: None });
        return;
    };
    let held = place.next.as_ref().map_or(&place.link.candidate, |(_, candidate)| candidate);
    // A link that has ended but is not yet cleared away is no reason to stay without one.
    let is_gone = place.next.is_none() && place.link.ended().is_some();
    let (boot, is_same_life) =
        (held.boot, held.boot == candidate.boot && held.instance == candidate.instance);
    match choose(held, &candidate) {
        // Of two processes that were not alive together, the copy and then the original, none is refused.
        Keep::Duplicate if !is_gone => {
            turn_away(offer, |connection| Verdict::Duplicate(connection, boot))
        }
        // The other end has not heard of this one: it can be left without a trace.
        _ if offer.side == Side::Dialer && is_same_life && !is_gone => {
            turn_away(offer, Verdict::Unneeded);
        }
        Keep::Existing if !is_gone => turn_away(offer, Verdict::Unneeded),
        Keep::Existing | Keep::New | Keep::Duplicate => {
            place.link.close(LinkEnd::Replaced);
            if let Some((passed_over, _)) = place.next.replace((offer, candidate)) {
                turn_away(passed_over, Verdict::Unneeded);
            }
        }
    }
}

/// Strangers leave room for every member, of whom there are at most [`limits::MEMBERS_MAX`].
fn has_room(shared: &Shared, places: &BTreeMap<NodeId, Place>, peer: NodeId) -> bool {
    let strangers = shared.known.count_others(places.keys());
    places.len() < limits::LINKS_MAX
        && (shared.known.is_member(peer) || strangers < limits::LINKS_TO_STRANGERS_MAX)
}

/// Gives the connection back to whoever offered it.
fn turn_away(offer: Box<Offer>, verdict: impl FnOnce(Connection) -> Verdict) {
    // Nobody waits for the verdict once all ends.
    let _ = offer.verdict.send(verdict(offer.connection));
}

async fn start(shared: &Arc<Shared>, offer: Box<Offer>, candidate: Candidate) -> Arc<Link> {
    let Offer { hello, connection, first, verdict, .. } = *offer;
    let host = hello.host.unwrap_or_else(|| connection.remote.ip().to_string());
    let address = match host.contains(':') {
        true => format!("[{host}]:{}", hello.port),
        false => format!("{host}:{}", hello.port),
    };
    let link = Arc::new(Link::new(
        hello.node,
        hello.name.clone(),
        address.clone(),
        candidate,
        shared.abort.child_token(),
    ));
    if let Some(first) = first {
        link.push(MessageType::Pong, first).expect("a new outbox has room");
    }
    // The owner says in its own words whom it hears.
    tracing::debug!(peer = %link.peer, name = %hello.name, %address, boot = candidate.boot, "link.up");
    shared.links.lock().expect("no holder of this lock panics").insert(link.peer, link.clone());
    shared.linked.send_modify(|linked| {
        linked.insert(link.peer);
    });
    let _ = verdict.send(Verdict::Kept);
    let up = Incoming::LinkUp { peer: link.peer, name: hello.name, address };
    shared.tell(up).await;

    if shared.closing.is_cancelled() {
        link.finish();
    }
    let writer = link::write(link.clone(), connection.writer);
    let reader = link::read(
        link.clone(),
        connection.reader,
        shared.inbox.clone(),
        shared.link_silence_max,
        shared.closing.clone(),
        shared.notices.clone(),
        shared.known.clone(),
    );
    let (keeper, ended) = (shared.keeper.clone(), link.clone());
    let writer = shared.tasks.spawn(writer);
    shared.tasks.spawn(async move {
        reader.await;
        let _ = writer.await;
        let _ = keeper.send(Request::Ended(ended)).await;
    });
    link
}

async fn end(shared: &Arc<Shared>, places: &mut BTreeMap<NodeId, Place>, link: &Arc<Link>) {
    let place = places.remove(&link.peer).expect("a link keeps its place until its end");
    say_why(shared, link);
    if let Some(LinkEnd::Refused(refusal)) = link.ended()
        && refusal.code == RefusalCode::DuplicateIdentity.as_str()
        && shared.known.is_known(link.peer)
    {
        let (by, name) = (link.peer, link.name.clone());
        shared.tell(Incoming::Doubled { by, name }).await;
    }
    shared.links.lock().expect("no holder of this lock panics").remove(&link.peer);
    // Before the dialers hear of it, so that the owner hears of a refused redial after this.
    shared.tell(Incoming::LinkDown { peer: link.peer }).await;
    shared.linked.send_modify(|linked| {
        linked.remove(&link.peer);
    });
    if let Some((offer, candidate)) = place.next {
        let link = start(shared, offer, candidate).await;
        places.insert(link.peer, Place { link, next: None });
    }
}

fn say_why(shared: &Shared, link: &Link) {
    let (peer, name) = (link.peer, &link.name);
    let (what, hint) = match link.ended() {
        None => return,
        Some(LinkEnd::Replaced | LinkEnd::Kicked) => {
            tracing::debug!(%peer, %name, "link.replaced");
            return;
        }
        Some(LinkEnd::Refused(refusal)) if refusal.code == RefusalCode::DuplicateLink.as_str() => {
            tracing::debug!(%peer, %name, "link.replaced");
            return;
        }
        // The owner says in its own words whom it hears no more; what is left to say is how it ended.
        Some(
            end @ (LinkEnd::Read(ReadError::Closed | ReadError::Io(_))
            | LinkEnd::Write(_)
            | LinkEnd::Silent(_)),
        ) => {
            tracing::debug!(%peer, %name, reason = %end, "link.down");
            return;
        }
        Some(LinkEnd::Read(error)) => {
            (error.name(), "the peer speaks another protocol or is broken: look at what runs there")
        }
        Some(LinkEnd::Overflow) => {
            ("overflow", "look at the load of the peer's machine and network")
        }
        Some(LinkEnd::Refused(_)) => ("refused", "follow the reason that the peer gives"),
        Some(LinkEnd::Spoofed { .. }) => {
            ("spoofed", "the peer lies or is broken: look at what runs there")
        }
    };
    let Some(suppressed) = shared.notices.admit(&peer.to_string(), what, Instant::now()) else {
        return;
    };
    let reason = link.ended().map(ToString::to_string).unwrap_or_default();
    tracing::warn!(%peer, %name, address = %link.address, reason, suppressed, hint, "link.down");
}
