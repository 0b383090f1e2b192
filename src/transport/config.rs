//! What the transport is told at its start, and why it may not start.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::Address;
use crate::limits;

/// How a node reaches its peers and is reached.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// The cluster; peers of another name are refused.
    pub cluster: String,
    /// This node's name, for people.
    pub name: String,
    /// Where it listens; none for every address of the machine, IPv6 and IPv4.
    pub bind: Option<IpAddr>,
    /// The port it listens on; 0 lets the system choose.
    pub port: u16,
    /// Where others dial it, if that differs from where they see it.
    pub advertise: Option<Address>,
    /// The addresses to dial, for ever; the own one may be among them.
    pub listed: Vec<Address>,
    /// The shortest wait between two dials of one address.
    pub redial_min: Duration,
    /// The longest wait between two dials of one address.
    pub redial_max: Duration,
    /// How long a handshake may take.
    pub handshake_deadline: Duration,
    /// Silence after which a link is closed. Must be a multiple of the heartbeat's interval.
    pub link_silence_max: Duration,
    /// Feeds the jitter of redials; should differ between nodes.
    pub seed: u64,
}

impl TransportConfig {
    /// With the bounds of [`limits`] and the default redials; nothing is listed.
    pub fn new(cluster: impl Into<String>, name: impl Into<String>, port: u16) -> Self {
        Self {
            cluster: cluster.into(),
            name: name.into(),
            bind: None,
            port,
            advertise: None,
            listed: Vec::new(),
            redial_min: Duration::from_millis(250),
            redial_max: Duration::from_secs(10),
            handshake_deadline: limits::HANDSHAKE_DEADLINE,
            link_silence_max: limits::LINK_SILENCE_MAX,
            seed: 0,
        }
    }
}

/// Why the transport cannot start. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another program listens there.
    #[error("{address} is in use by another program: stop it, or choose another port with --port")]
    AddressInUse {
        /// Where.
        address: SocketAddr,
    },
    /// Listening failed otherwise.
    #[error(
        "cannot listen on {address}: {source}; check that the address belongs to this machine and the port is allowed"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A name that peers would refuse.
    #[error(
        "the {what} {value:?} cannot be announced: 1 to {} bytes without control characters are expected",
        limits::NAME_BYTES_MAX
    )]
    BadName {
        /// Which name.
        what: &'static str,
        /// What it is.
        value: String,
    },
}
