//! A stranger's look at a node: its first words, and nothing after them.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use tokio::net::{TcpListener, TcpStream};

use crate::limits;
use crate::transport::config::{StartError, TransportConfig};
use crate::transport::connection::Connection;
use crate::transport::handshake::{HandshakeError, Local};
use crate::transport::identity::{Identity, random};
use crate::transport::listener;
use crate::types::NodeId;
use crate::wire::{Hello, Hex};

/// Who answers at an address.
#[derive(Clone, Debug)]
pub struct Met {
    /// Who it has proven to be.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// How long its hello took, connecting included.
    pub took: Duration,
    /// Its clock, in seconds since 1970.
    pub clock: u64,
}

/// Why nobody was met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The machine answers, and nobody listens there.
    #[error("nobody listens there")]
    Refused,
    /// No connection.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// A connection, and no node of this cluster behind it.
    #[error("{0}")]
    Stranger(String),
}

/// Says hello to who listens at `remote`, under an identity of the moment, and leaves. The node there
/// keeps and counts nothing of it.
///
/// # Errors
/// [`ProbeError`].
pub async fn probe(remote: SocketAddr, cluster: &str, name: &str) -> Result<Met, ProbeError> {
    let started = Instant::now();
    let stream = tokio::time::timeout(limits::CONNECT_DEADLINE, TcpStream::connect(remote)).await;
    let stream = match stream {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(ProbeError::Refused);
        }
        Ok(Err(error)) => return Err(ProbeError::Unreachable(error.to_string())),
        Err(_) => {
            return Err(ProbeError::Unreachable(format!(
                "no answer within {:?}: the machine is off, or a firewall is silent",
                limits::CONNECT_DEADLINE
            )));
        }
    };
    let mut connection =
        Connection::new(stream).map_err(|error| ProbeError::Unreachable(error.to_string()))?;
    let identity = Identity::from_key(SigningKey::from_bytes(&random()), 1, Hex(random()));
    // The port of the hello is told to nobody: no link comes of it.
    let local =
        Local::new(identity, &TransportConfig::new(cluster, name, remote.port()), remote.port());
    let greeting = local.greet(&mut connection);
    match tokio::time::timeout(limits::HANDSHAKE_DEADLINE, greeting).await {
        Ok(Ok((Hello { node, name, .. }, clock))) => {
            Ok(Met { node, name, took: started.elapsed(), clock })
        }
        Ok(Err(HandshakeError::Refused(refusal))) => Err(ProbeError::Stranger(refusal.reason)),
        Ok(Err(error)) => {
            Err(ProbeError::Stranger(format!("what listens there is no node: {error}")))
        }
        Err(_) => Err(ProbeError::Stranger(format!(
            "what listens there says no hello within {:?}",
            limits::HANDSHAKE_DEADLINE
        ))),
    }
}

/// Listens where a node would, only to hear who dials.
#[derive(Debug)]
pub struct Ear(TcpListener);

impl Ear {
    /// Listens on `bind`; without one, on every address of the machine.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn listen(bind: Option<IpAddr>, port: u16) -> Result<Self, StartError> {
        listener::listen(bind, port).map(Self)
    }

    /// The next one that says hello: who it says it is, not proven. Everyone is hung up on.
    pub async fn hear(&self) -> (NodeId, String) {
        loop {
            let Ok((stream, _)) = self.0.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(mut connection) = Connection::new(stream) else { continue };
            let words = Local::overhear(&mut connection);
            // One that says nothing keeps nobody waiting for long.
            if let Ok(Ok(hello)) = tokio::time::timeout(Duration::from_secs(1), words).await
                && hello.is_presentable()
            {
                return (hello.node, hello.name);
            }
        }
    }
}
