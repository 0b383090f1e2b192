//! The listener of the HTTP interface: bounded connections, bounded patience, a prompt end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::admin::impatient::{Impatient, PATIENCE};
use crate::admin::places::{Asking, Place, Places};
use crate::admin::routes;
use crate::admin::shared::Shared;
use crate::admin::token::{Token, TokenError};
use crate::config::AdminConfig;
use crate::runtime::{FailureClass, Handle, NODE_TARGET};

/// Connections served at once. For a further one the one makes room that was idle longest; if all are answered just
/// now, it waits for the first that is not any more.
const CONNECTIONS_MAX: usize = 256;

/// How long a client may take for the head of a request, waiting for the next one included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long requests under way, and proposals of clients of frames, may still take when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// How long to wait after the system refused a connection, which it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the HTTP interface cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another process listens there.
    #[error(
        "{address} is taken by another process: stop that one, or choose another port with --admin-port"
    )]
    AddressInUse {
        /// Where it should listen.
        address: SocketAddr,
    },
    /// Anyone who reaches it could propose.
    #[error(
        "{address} can be reached from other machines, and there is no token to be shown: name a file that holds \
         one with --admin-token-file, or listen on 127.0.0.1"
    )]
    Exposed {
        /// Where it should listen.
        address: SocketAddr,
    },
    /// There is no token to compare with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The system does not allow it.
    #[error(
        "cannot listen on {address}: {source}; choose an address of this machine and a port that this user may open"
    )]
    Listen {
        /// Where it should listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl ServeError {
    /// Its class.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::AddressInUse { .. } => FailureClass::AddressInUse,
            Self::Exposed { .. } | Self::Token(_) | Self::Listen { .. } => {
                FailureClass::Configuration
            }
        }
    }
}

/// The HTTP interface of one node. Ends when it is dropped, without grace.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens, and serves what `handle` leads to.
    ///
    /// # Errors
    /// [`ServeError`] if it cannot listen there.
    pub async fn start(handle: Handle, config: &AdminConfig) -> Result<Self, ServeError> {
        let wanted = SocketAddr::new(config.bind, config.port);
        let token = config.token_file.as_deref().map(Token::read).transpose()?;
        if token.is_none() && !config.bind.is_loopback() {
            return Err(ServeError::Exposed { address: wanted });
        }
        let listen = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::AddressInUse { address: wanted },
            _ => ServeError::Listen { address: wanted, source },
        };
        let listener = TcpListener::bind(wanted).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let stop = CancellationToken::new();
        let shared = Shared::new(handle, address, token, routes::requests(), stop.clone());
        let upgraded = (shared.upgraded.clone(), shared.cut.clone().drop_guard());
        let router = routes::router(shared);
        let places = Places::new(CONNECTIONS_MAX);
        let task = tokio::spawn(accept(listener, router, stop.clone(), upgraded, places, PATIENCE));
        tracing::info!(target: NODE_TARGET, %address, "admin.listening");
        if !address.ip().is_loopback() {
            tracing::warn!(
                target: NODE_TARGET,
                %address,
                hint = "requests and their token travel in the clear: let only a network that you trust, or a proxy \
                        that speaks TLS, reach it",
                "admin.exposed"
            );
        }
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and proposals, ends open streams, and lets short requests finish and outcomes be told.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // It can only end by itself: nobody else aborts it, and it does not panic.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    // Connections that were upgraded: those that live, and their end with that of this.
    (upgraded, _cut): (TaskTracker, DropGuard),
    mut places: Places,
    patience: Duration,
) {
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let place = places.next().await;
            // One that has ended already takes no options.
            if let Ok(stream) = Impatient::new(stream, patience, place.clone()) {
                connections.spawn(serve(stream, router.clone(), stop.clone(), place));
            }
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop.cancelled() => {}
    }
    drop(listener);
    let finished = async {
        while connections.join_next().await.is_some() {}
        upgraded.close();
        upgraded.wait().await;
    };
    // What is still open after the grace is cut off with the set and the guard.
    let _ = tokio::time::timeout(STOP_GRACE, finished).await;
}

/// One connection, until its client or the server ends it. A client's mistakes concern nobody else.
async fn serve(stream: Impatient, router: Router, stop: CancellationToken, place: Arc<Place>) {
    let router = TowerToHyperService::new(router);
    let asked = place.clone();
    let answer = service_fn(move |request| {
        let asking = asked.asks();
        let answer = router.call(request);
        async move { answer.await.map(|answer| answer.map(|body| Answer { body, _asking: asking })) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = place.ends() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// The body of an answer: its request is under way until all of it is on its way.
struct Answer {
    body: Body,
    _asking: Asking,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::Ipv4Addr;

    use axum::routing::get;
    use futures_util::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    /// A server of two paths, one of which has no end. Ends with what is given.
    async fn server(places: usize, patience: Duration) -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let endless = || async {
            Body::from_stream(stream::repeat(Ok::<_, Infallible>(vec![b'x'; 64 * 1024])))
        };
        let router =
            Router::new().route("/", get(|| async { "here" })).route("/endless", get(endless));
        let mut serving = JoinSet::new();
        let stop = CancellationToken::new();
        let upgraded = (TaskTracker::new(), CancellationToken::new().drop_guard());
        serving.spawn(accept(listener, router, stop, upgraded, Places::new(places), patience));
        (address, serving)
    }

    /// Asks, and reads the answer, or the beginning of one that has no end.
    async fn ask(stream: &mut TcpStream, path: &str) -> io::Result<()> {
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(if path == "/" { b"here" } else { b"xxxx" }) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    async fn connect(address: SocketAddr) -> TcpStream {
        TcpStream::connect(address).await.expect("a connection")
    }

    /// Less than the system takes to give up a client by itself, and far beyond any real need.
    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENCE / 2, future).await.expect("it happens in time")
    }

    #[tokio::test]
    async fn who_asks_again_and_again_makes_room_and_who_takes_a_stream_does_not() {
        let (address, _serving) = server(2, PATIENCE).await;
        let (mut greedy, mut streaming) = (connect(address).await, connect(address).await);
        ask(&mut greedy, "/").await.expect("an answer");
        ask(&mut streaming, "/endless").await.expect("a stream");
        let mut newcomer = connect(address).await;
        let asking = async { while ask(&mut greedy, "/").await.is_ok() {} };
        let (answer, ()) = soon(async { tokio::join!(ask(&mut newcomer, "/"), asking) }).await;
        answer.expect("an answer");
        assert!(streaming.read(&mut [0]).await.expect("more") > 0);
    }

    #[tokio::test]
    async fn who_takes_in_nothing_of_a_stream_loses_its_place() {
        let (address, _serving) = server(1, Duration::from_millis(50)).await;
        let mut deaf = connect(address).await;
        ask(&mut deaf, "/endless").await.expect("a stream");
        let mut newcomer = connect(address).await;
        soon(ask(&mut newcomer, "/")).await.expect("an answer");
    }
}
