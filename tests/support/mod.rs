//! Whole nodes in one process, over real sockets and directories.

use std::net::TcpListener;
use std::time::Duration;

use quorate::config::Address;
use quorate::runtime::{FailureClass, Status};
use quorate::{Handle, Node, NodeConfig};
use tempfile::TempDir;

/// How long anything that must happen may take before the test fails: far beyond any real need,
/// for machines that are busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Nodes that list each other.
pub(crate) struct Cluster {
    configs: Vec<NodeConfig>,
    nodes: Vec<Option<Node>>,
    _directory: TempDir,
}

impl Cluster {
    /// Starts `n` nodes and waits until all of them are ready.
    pub(crate) async fn start(n: usize) -> Self {
        Self::start_with(n, |_| ()).await
    }

    /// The same, of nodes whose settings are changed.
    pub(crate) async fn start_with(n: usize, change: impl Fn(&mut NodeConfig)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let listeners: Vec<_> = (0..n)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port of the loopback"))
            .collect();
        let ports: Vec<u16> =
            listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let address = |port: &u16| Address { host: "127.0.0.1".to_owned(), port: *port };
        let mut configs: Vec<_> = (1..)
            .zip(&ports)
            .map(|(number, port)| NodeConfig {
                name: format!("n{number}"),
                bind: Some([127, 0, 0, 1].into()),
                port: *port,
                peers: ports.iter().map(address).collect(),
                ..NodeConfig::new(directory.path().join(number.to_string()))
            })
            .collect();
        configs.iter_mut().for_each(change);
        let mut nodes = Vec::new();
        for (config, listener) in configs.iter().zip(listeners) {
            nodes.push(Some(Node::start_on(config.clone(), listener).await.expect("a start")));
        }
        let cluster = Self { configs, nodes, _directory: directory };
        for at in 0..n {
            cluster.ready(at).await;
        }
        cluster
    }

    /// The handle of a node that runs.
    pub(crate) fn handle(&self, at: usize) -> &Handle {
        self.nodes[at].as_ref().expect("it runs").handle()
    }

    /// The settings of a node.
    pub(crate) fn config(&self, at: usize) -> &NodeConfig {
        &self.configs[at]
    }

    /// Stops a node in good order.
    pub(crate) async fn stop(&mut self, at: usize) {
        let node = self.nodes[at].take().expect("it runs");
        within(node.stop()).await.expect("a good end");
    }

    /// Starts a node that was stopped, under its old port.
    pub(crate) async fn restart(&mut self, at: usize) {
        let start = async {
            loop {
                match Node::start(self.configs[at].clone()).await {
                    Ok(node) => return node,
                    // A connection of another test may have drawn the port meanwhile.
                    Err(error) if error.class() == FailureClass::AddressInUse => {
                        tokio::task::yield_now().await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        self.nodes[at] = Some(within(start).await);
    }

    /// Waits until a node can commit.
    pub(crate) async fn ready(&self, at: usize) {
        until(self.handle(at), Status::ready).await;
    }

    /// Stops all nodes that run.
    pub(crate) async fn end(mut self) {
        for at in 0..self.nodes.len() {
            if self.nodes[at].is_some() {
                self.stop(at).await;
            }
        }
    }
}

/// What `future` brings, which it must within [`PATIENCE`].
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

/// Waits until a node's status shows what is wanted.
pub(crate) async fn until(handle: &Handle, wanted: impl Fn(&Status) -> bool) -> Status {
    let mut notices = handle.subscribe();
    within(async {
        loop {
            let status = handle.status().await.expect("it runs");
            if wanted(&status) {
                return status;
            }
            notices.next().await.expect("it runs");
        }
    })
    .await
}
