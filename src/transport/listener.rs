//! Takes connections in, each with a deadline to prove who it is.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::limits;
use crate::mutant::{self, Mutant};
use crate::transport::config::StartError;
use crate::transport::connection::{Connection, ReadError};
use crate::transport::handshake::HandshakeError;
use crate::transport::incoming::Incoming;
use crate::transport::link::count;
use crate::transport::shared::{Offer, Request, Shared, Verdict, no_place};
use crate::wire::{Hello, RefusalCode, Side};

/// Connections that the system holds while this program does not accept.
const BACKLOG: i32 = 1_024;

/// How long a refused peer gets to read why.
const PARTING: Duration = Duration::from_secs(1);

const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Listens on `bind`; without one, on every address of the machine, both IPv6 and IPv4 where it has both.
pub(crate) fn listen(bind: Option<IpAddr>, port: u16) -> Result<TcpListener, StartError> {
    let Some(ip) = bind else {
        return match listen_on(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
            Err(StartError::Listen { .. }) => {
                listen_on(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
            }
            outcome => outcome,
        };
    };
    listen_on(SocketAddr::new(ip, port))
}

fn listen_on(address: SocketAddr) -> Result<TcpListener, StartError> {
    let open = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(address.ip() != Ipv6Addr::UNSPECIFIED)?;
        }
        // A restart must not wait for the connections of the life before to be forgotten.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse { address },
        _ => StartError::Listen { address, source },
    })
}

/// Accepts until the transport closes.
pub(crate) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let mut pause = ACCEPT_PAUSE_MIN;
    // Those that have proven nothing yet, the oldest first: at most `HANDSHAKES_MAX`.
    let mut strangers: VecDeque<(CancellationToken, IpAddr)> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            () = shared.closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                pause = ACCEPT_PAUSE_MIN;
                let source = remote.ip().to_canonical();
                strangers.retain(|(stranger, _)| !stranger.is_cancelled());
                if strangers.len() >= limits::HANDSHAKES_MAX
                    && let Some((oldest, source)) = strangers.pop_front()
                {
                    oldest.cancel();
                    count(&shared.evicted, 1);
                    tell(
                        &shared,
                        source,
                        "crowd",
                        "no link came of it yet, and as many newer connections wait as can be",
                    );
                }
                let stranger = shared.closing.child_token();
                strangers.push_back((stranger.clone(), source));
                shared.tasks.spawn(welcome(shared.clone(), stream, source, stranger));
            }
            Err(error) => {
                if shared.notices.admit("listener", "accept", Instant::now()).is_some() {
                    tracing::warn!(
                        %error,
                        hint = "too many open files? raise the limit of the process",
                        "accept.failed"
                    );
                }
                tokio::select! {
                    () = shared.closing.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }
}

/// Shakes hands with one stranger, and finds it its place, within one deadline. Its token is cancelled when it is none
/// any more, either way.
async fn welcome(
    shared: Arc<Shared>,
    stream: TcpStream,
    source: IpAddr,
    stranger: CancellationToken,
) {
    let is_evicted = stranger.clone();
    let _stranger = stranger.drop_guard();
    let Ok(mut connection) = Connection::new(stream) else { return };
    let deadline = Instant::now() + shared.handshake_deadline;
    let outcome = tokio::select! {
        () = is_evicted.cancelled(), if !mutant::is(Mutant::StrangerLeaked) => return,
        outcome = timeout_at(deadline.into(), shared.local.accept(&mut connection)) => outcome,
    };
    let (code, reason, connection) = match outcome {
        Ok(Ok(hello)) => {
            let name = hello.name.clone();
            let decided = tokio::select! {
                () = is_evicted.cancelled() => return,
                decided = timeout_at(deadline.into(), offer(&shared, hello, connection)) => decided,
            };
            match decided {
                Ok(Some(Verdict::Unneeded(connection))) => {
                    (RefusalCode::DuplicateLink, "there is a better link".to_owned(), connection)
                }
                Ok(Some(Verdict::Duplicate(connection, boot))) => (
                    RefusalCode::DuplicateIdentity,
                    format!(
                        "a newer process than {name} runs under its identity (start {boot}): stop one of \
                         the two, a copied data directory must not run beside its original"
                    ),
                    connection,
                ),
                Ok(Some(Verdict::Full(connection))) => (RefusalCode::Full, no_place(), connection),
                Ok(Some(Verdict::Kept) | None) => return,
                Err(_) => {
                    let reason = format!(
                        "{name} has proven who it is, but this node had no time for it within {:?}: look at \
                         its load and its disk",
                        shared.handshake_deadline
                    );
                    warn(&shared, source, "busy", &reason);
                    return;
                }
            }
        }
        Ok(Err(HandshakeError::Refuse { code, reason })) => (code, reason, connection),
        Ok(Err(HandshakeError::Doubled { name })) => {
            shared.tell(Incoming::Doubled { by: shared.local.node(), name }).await;
            return;
        }
        Ok(Err(error)) => {
            if !matches!(
                error,
                HandshakeError::Myself | HandshakeError::Read(ReadError::Closed | ReadError::Io(_))
            ) {
                warn(&shared, source, error.name(), &error.to_string());
            }
            return;
        }
        Err(_) => {
            let reason = format!("no hello within {:?}", shared.handshake_deadline);
            warn(&shared, source, "deadline", &reason);
            return;
        }
    };
    if code != RefusalCode::DuplicateLink {
        warn(&shared, source, code.as_str(), &reason);
    }
    let last = shared.local.refusal(code, &reason);
    tokio::select! {
        () = is_evicted.cancelled() => {}
        () = connection.part(&last, PARTING) => {}
    }
}

/// What becomes of a connection whose other side has proven who it is; none if all ends.
async fn offer(shared: &Shared, hello: Hello, connection: Connection) -> Option<Verdict> {
    let (verdict, decided) = oneshot::channel();
    let dial = hello.dial;
    let offer = Offer { hello, side: Side::Listener, dial, connection, first: None, verdict };
    shared.keeper.send(Request::Offer(Box::new(offer))).await.ok()?;
    decided.await.ok()
}

fn warn(shared: &Shared, source: IpAddr, code: &'static str, reason: &str) {
    count(&shared.refused, 1);
    shared.obstacles.note(&source.to_string(), reason, false, Instant::now());
    tell(shared, source, code, reason);
}

fn tell(shared: &Shared, source: IpAddr, code: &'static str, reason: &str) {
    if let Some(suppressed) = shared.notices.admit(&source.to_string(), code, Instant::now()) {
        tracing::warn!(%source, code, reason, suppressed, "connection.refused");
    }
}
