//! How a client writes to each product: its own protocol behind one call, the same for all.
//!
//! A door is one connection to one node, shared by all clients there; each of them has one request in flight.
//! What many clients want at the same moment leaves in one write, whatever the protocol is. Two doors differ by
//! need: HTTP/1.1 carries one request at a time, so it keeps a connection per client; HTTP/2 is spoken by a
//! library, which gathers by itself.

pub(crate) mod etcd;
pub(crate) mod frames;
pub(crate) mod http;
pub(crate) mod nats;
pub(crate) mod pipeline;
#[cfg(test)]
mod tests;
pub(crate) mod zookeeper;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use pipeline::Pipeline;

/// How long a connection may take until it can be used.
const OPENED_WITHIN: Duration = Duration::from_secs(2);

/// Which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// etcd's gRPC: `Put`.
    Etcd,
    /// ZooKeeper's binary protocol: `setData`.
    ZooKeeper,
    /// The text protocol of NATS: publish, acknowledged by JetStream.
    Nats,
    /// The frames of this program, for clients.
    Frames,
    /// The HTTP interface of this program.
    Http,
}

/// Why a write was not acknowledged.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The node says no, and the connection goes on.
    Refused(String),
    /// The connection is of no use any more.
    Broken(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// A connection to one node.
pub(crate) enum Door {
    Etcd(etcd::Streams),
    ZooKeeper(Pipeline<zookeeper::Session>),
    Nats(Pipeline<nats::Talk>),
    Frames(Pipeline<frames::Frames>),
    Http(http::Pool),
}

impl Door {
    /// Connects, and does what the protocol wants first. Runs on a `LocalSet` alone: tasks of its own serve it.
    ///
    /// # Errors
    /// When the node is not there, does not answer in time, or wants none of this.
    pub(crate) async fn open(protocol: Protocol, address: SocketAddr) -> io::Result<Self> {
        let open = async {
            Ok(match protocol {
                Protocol::Etcd => Self::Etcd(etcd::Streams::open(address).await?),
                Protocol::ZooKeeper => Self::ZooKeeper(Pipeline::open(address).await?),
                Protocol::Nats => Self::Nats(Pipeline::open(address).await?),
                Protocol::Frames => Self::Frames(Pipeline::open(address).await?),
                Protocol::Http => Self::Http(http::Pool::open(address).await?),
            })
        };
        tokio::time::timeout(OPENED_WITHIN, open).await?
    }

    /// Writes a value and waits for the acknowledgement. `client` says whose key, znode or subject it is.
    ///
    /// # Errors
    /// Whenever it was not acknowledged; it may have been written all the same.
    pub(crate) async fn write(&self, client: usize, value: &str) -> Result<(), Trouble> {
        match self {
            Self::Etcd(door) => door.write(client, value).await,
            Self::ZooKeeper(door) => door.write(client, value).await,
            Self::Nats(door) => door.write(client, value).await,
            Self::Frames(door) => door.write(client, value).await,
            Self::Http(door) => door.write(value).await,
        }
    }
}

/// Where the answer's body starts and how long it is, once all of the head of an HTTP answer is there.
pub(crate) fn head_of(bytes: &[u8]) -> Option<(&str, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, end + 4))
}

/// The value of a header field, by its name in lower case.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The answer is not what the protocol allows.
pub(crate) fn garbled(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// A number that no other process or connection draws.
pub(crate) fn drawn() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
