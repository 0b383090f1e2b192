//! The listener of the HTTP interface: bounded connections, bounded patience, a prompt end.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::admin::routes;
use crate::admin::shared::Shared;
use crate::admin::token::{Token, TokenError};
use crate::config::AdminConfig;
use crate::runtime::{FailureClass, Handle, NODE_TARGET};

/// Connections served at once. For a further one the oldest that has asked nothing yet makes room; if all have asked,
/// it waits until one ends.
const CONNECTIONS_MAX: usize = 256;

/// How long a client may take for the head of a request, waiting for the next one included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long requests under way may still take when the server stops.
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
        let router =
            routes::router(Shared::new(handle, address, token, routes::requests(), stop.clone()));
        let task = tokio::spawn(accept(listener, router, stop.clone()));
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

    /// Takes no more connections, ends open streams, and lets short requests finish.
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

async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let accepting = async {
        // Those that have asked nothing yet, the oldest first; not more than there are permits.
        let mut silent: VecDeque<Arc<Silent>> = VecDeque::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            silent.retain(|one| !one.is_over());
            if permits.available_permits() == 0
                && let Some(oldest) = silent.pop_front()
            {
                oldest.ends.cancel();
            }
            let permit =
                permits.clone().acquire_owned().await.expect("the semaphore is never closed");
            let one = Arc::new(Silent::default());
            silent.push_back(one.clone());
            connections.spawn(serve(stream, router.clone(), stop.clone(), one, permit));
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop.cancelled() => {}
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    // What is still open after the grace is cut off with the set.
    let _ = tokio::time::timeout(STOP_GRACE, finished).await;
}

/// A connection that has asked nothing yet.
#[derive(Default)]
struct Silent {
    has_asked: AtomicBool,
    /// It makes room for another one.
    ends: CancellationToken,
}

impl Silent {
    fn is_over(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed) || self.ends.is_cancelled()
    }
}

/// One connection, until its client or the server ends it. A client's mistakes concern nobody else.
async fn serve(
    stream: TcpStream,
    router: Router,
    stop: CancellationToken,
    silent: Arc<Silent>,
    _permit: OwnedSemaphorePermit,
) {
    let router = TowerToHyperService::new(router);
    let (asked, ends) = (silent.clone(), silent.ends.clone());
    // Ended as well when the connection is: then it makes no room any more.
    let _over = silent.ends.clone().drop_guard();
    let answer = service_fn(move |request| {
        asked.has_asked.store(true, Ordering::Relaxed);
        router.call(request)
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
        () = ends.cancelled() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
