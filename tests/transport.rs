//! Two and three transports on loopback: they meet, keep one link, pass messages, part and return.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quorate::config::Address;
use quorate::consensus;
use quorate::storage::{RealDisk, count_start};
use quorate::transport::{Identity, Incoming, SendError, StartError, Transport, TransportConfig};
use quorate::types::{Epoch, MessageId, NodeId, Round};
use quorate::wire::{HeartBeat, Payload};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    transport: Transport,
    inbox: mpsc::Receiver<Incoming>,
}

fn config(port: u16, listed: &[u16]) -> TransportConfig {
    let mut config = TransportConfig::new("demo", "n", port);
    config.bind = Some([127, 0, 0, 1].into());
    config.listed =
        listed.iter().map(|port| Address { host: "127.0.0.1".into(), port: *port }).collect();
    config.redial_min = Duration::from_millis(20);
    config.redial_max = Duration::from_millis(100);
    config
}

/// Who lives in `dir`, started once more.
fn identity(dir: &Path) -> Identity {
    let disk = RealDisk::open(dir).unwrap();
    Identity::open(&disk).unwrap().in_life(count_start(&disk, 0).unwrap())
}

fn try_start(dir: &Path, config: TransportConfig) -> Result<Node, StartError> {
    let (told, inbox) = mpsc::channel(64);
    Ok(Node { transport: Transport::start(identity(dir), config, told)?, inbox })
}

fn start(dir: &Path, config: TransportConfig) -> Node {
    try_start(dir, config).unwrap()
}

fn start_as(identity: Identity, config: TransportConfig) -> Node {
    let (told, inbox) = mpsc::channel(64);
    Node { transport: Transport::start(identity, config, told).unwrap(), inbox }
}

impl Node {
    fn id(&self) -> NodeId {
        self.transport.node()
    }

    fn port(&self) -> u16 {
        self.transport.local_addr().port()
    }

    async fn next(&mut self) -> Incoming {
        tokio::time::timeout(PATIENCE, self.inbox.recv())
            .await
            .expect("something happens in time")
            .expect("the transport lives")
    }

    /// All that is told up to what `is_it`, that included.
    async fn until(&mut self, is_it: impl Fn(&Incoming) -> bool) -> Vec<Incoming> {
        let mut told = Vec::new();
        let work = async {
            loop {
                told.push(self.inbox.recv().await.expect("the transport lives"));
                if is_it(told.last().expect("just added")) {
                    return;
                }
            }
        };
        // Of all together: links that come and go for ever are no progress.
        tokio::time::timeout(PATIENCE, work).await.expect("it is told in time");
        told
    }

    async fn until_up(&mut self, with: NodeId) {
        self.until(|told| matches!(told, Incoming::LinkUp { peer, .. } if *peer == with)).await;
    }

    /// Who says that a newer process runs under this identity.
    async fn doubled(&mut self) -> (NodeId, String) {
        let told = self.until(|told| matches!(told, Incoming::Doubled { .. })).await;
        let Some(Incoming::Doubled { by, name }) = told.into_iter().last() else { unreachable!() };
        (by, name)
    }

    fn send(&self, to: Option<NodeId>, payload: Payload) -> Result<(), SendError> {
        self.transport.send(MessageId::from_u128(7), to, payload, 1)
    }

    /// The texts of the next `n` messages.
    async fn texts(&mut self, n: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < n {
            if let Incoming::Frames(messages) = self.next().await {
                texts.extend(messages.into_iter().map(|message| match message.payload {
                    Payload::Data(text) => text.to_string(),
                    other => format!("{:?}", other.message_type()),
                }));
            }
        }
        texts
    }
}

/// A port that nobody else can have.
fn held_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn start_on(listener: TcpListener, dir: &Path, config: TransportConfig) -> Node {
    let (told, inbox) = mpsc::channel(64);
    let transport = Transport::start_on(listener, identity(dir), config, told).unwrap();
    Node { transport, inbox }
}

fn data(text: &str) -> Payload {
    Payload::Data(Arc::from(text))
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn two_nodes_meet_and_pass_messages() {
    let (a_dir, b_dir) = (dir(), dir());
    let mut a = start(a_dir.path(), config(0, &[]));
    let mut b = start(b_dir.path(), config(0, &[a.port()]));
    let told = b.until(|told| matches!(told, Incoming::Met { .. })).await;
    assert_eq!(told.last(), Some(&Incoming::Met { listed: 0, node: a.id() }));
    a.until_up(b.id()).await;
    b.send(Some(a.id()), data("one")).unwrap();
    b.send(None, data("two")).unwrap();
    assert_eq!(a.texts(2).await, ["one", "two"]);
    a.send(None, data("three")).unwrap();
    assert_eq!(b.texts(1).await, ["three"]);
    let status = a.transport.status();
    assert_eq!(status.links.len(), 1);
    assert_eq!(status.links[0].peer, b.id());
    assert_eq!(status.links[0].address, format!("127.0.0.1:{}", b.port()));
    assert_eq!(
        a.send(Some(NodeId::from_u128(1)), data("x")),
        Err(SendError::NotLinked(NodeId::from_u128(1)))
    );
}

#[tokio::test]
async fn an_own_address_in_the_list_is_recognised() {
    let node_dir = dir();
    let (listener, port) = held_port();
    let mut node = start_on(listener, node_dir.path(), config(port, &[port]));
    assert_eq!(node.next().await, Incoming::Met { listed: 0, node: node.id() });
    assert!(node.transport.status().links.is_empty());
}

/// Says something again and again, over whatever link there is, until the other end hears it.
async fn hear(one: &Node, other: &mut Node) {
    let exchange = async {
        loop {
            // No link yet, or one that is about to be replaced.
            let _ = one.send(None, data("hello"));
            if tokio::time::timeout(Duration::from_millis(20), other.texts(1)).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap();
}

#[tokio::test]
async fn nodes_that_dial_each_other_at_once_keep_one_link() {
    for _ in 0..10 {
        let (a_dir, b_dir) = (dir(), dir());
        let ((a_listener, a_port), (b_listener, b_port)) = (held_port(), held_port());
        let mut a = start_on(a_listener, a_dir.path(), config(a_port, &[a_port, b_port]));
        let mut b = start_on(b_listener, b_dir.path(), config(b_port, &[a_port, b_port]));
        let (a_id, b_id) = (a.id(), b.id());
        hear(&a, &mut b).await;
        hear(&b, &mut a).await;
        for (node, peer) in [(&a, b_id), (&b, a_id)] {
            let status = node.transport.status();
            assert_eq!(status.links.iter().map(|link| link.peer).collect::<Vec<_>>(), [peer]);
        }
    }
}

#[tokio::test]
async fn a_lost_peer_is_known_at_once_and_refused_twice() {
    let (a_dir, b_dir) = (dir(), dir());
    let mut a = start(a_dir.path(), config(0, &[]));
    let mut b = start(b_dir.path(), config(0, &[a.port()]));
    a.until_up(b.id()).await;
    b.until_up(a.id()).await;
    let gone = a.id();
    drop(a);
    let told = b.until(|told| matches!(told, Incoming::DialRefused { .. })).await;
    assert!(told.contains(&Incoming::LinkDown { peer: gone }), "{told:?}");
    assert_eq!(b.next().await, Incoming::DialRefused { peer: gone });
}

#[tokio::test]
async fn a_restarted_peer_is_linked_again() {
    let (a_dir, b_dir) = (dir(), dir());
    let mut a = start(a_dir.path(), config(0, &[]));
    let mut b = start(b_dir.path(), config(0, &[a.port()]));
    a.until_up(b.id()).await;
    b.until_up(a.id()).await;
    let (port, id) = (a.port(), a.id());
    a.transport.close(PATIENCE).await;
    let mut a = start(a_dir.path(), config(port, &[]));
    assert_eq!(a.id(), id);
    let told = b.until(|told| matches!(told, Incoming::LinkUp { .. })).await;
    assert_eq!(told.iter().filter(|told| matches!(told, Incoming::LinkDown { .. })).count(), 1);
    a.until_up(b.id()).await;
    b.send(None, data("again")).unwrap();
    assert_eq!(a.texts(1).await, ["again"]);
}

#[tokio::test]
async fn a_kicked_link_returns_as_down_then_up() {
    let (a_dir, b_dir) = (dir(), dir());
    let mut a = start(a_dir.path(), config(0, &[]));
    let mut b = start(b_dir.path(), config(0, &[a.port()]));
    a.until_up(b.id()).await;
    a.transport.kick(b.id());
    let told = a.until(|told| matches!(told, Incoming::LinkUp { .. })).await;
    assert_eq!(told[0], Incoming::LinkDown { peer: b.id() });
    assert_eq!(told.len(), 2);
    b.until_up(a.id()).await;
}

#[tokio::test]
async fn a_close_sends_what_waits() {
    let (a_dir, b_dir) = (dir(), dir());
    let mut a = start(a_dir.path(), config(0, &[]));
    let mut b = start(b_dir.path(), config(0, &[a.port()]));
    a.until_up(b.id()).await;
    b.until_up(a.id()).await;
    let long = "x".repeat(100_000);
    // The other way round it would be too long for a stranger: `a` has met nobody.
    for _ in 0..20 {
        a.send(None, data(&long)).unwrap();
    }
    a.send(None, data("last")).unwrap();
    let (texts, ()) = tokio::join!(b.texts(21), a.transport.close(PATIENCE));
    assert_eq!(texts.last().map(String::as_str), Some("last"));
}

/// Waits until something stands against a link with somebody, or nothing does.
async fn until_obstacles(node: &Node, are_there: bool) {
    let work = async {
        while node.transport.status().obstacles.is_empty() == are_there {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, work).await.expect("it is so in time");
}

#[tokio::test]
async fn nothing_stands_against_a_peer_that_came_by_itself() {
    let (a_dir, b_dir) = (dir(), dir());
    let b = start(b_dir.path(), config(0, &[]));
    let mut a = start(a_dir.path(), config(0, &[b.port()]));
    let id = b.id();
    a.until_up(id).await;
    b.transport.close(PATIENCE).await;
    until_obstacles(&a, true).await;
    // Where it is listed nobody listens any more.
    let _b = start(b_dir.path(), config(0, &[a.port()]));
    a.until_up(id).await;
    until_obstacles(&a, false).await;
}

#[tokio::test]
async fn nothing_stands_against_an_address_that_is_listed_no_more() {
    let node_dir = dir();
    // Bound, and nobody listens.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = nobody.local_addr().unwrap().port();
    let mut node = start(node_dir.path(), config(0, &[port]));
    until_obstacles(&node, true).await;
    node.transport.relist(Vec::new(), Duration::from_millis(20), Duration::from_millis(100));
    until_obstacles(&node, false).await;
}

/// Cuts the next dials, each once it has said hello.
async fn cut(listener: &tokio::net::TcpListener, dials: usize) {
    let work = async {
        for _ in 0..dials {
            let (stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, work).await.expect("it is dialled in time");
}

#[tokio::test]
async fn who_comes_soon_after_another_is_dialled_soon() {
    let (a_dir, b_dir, c_dir) = (dir(), dir(), dir());
    let places = [held_port(), held_port()];
    let mut patient = config(0, &places.each_ref().map(|(_, port)| *port));
    patient.redial_min = Duration::from_secs(1);
    patient.redial_max = 100 * PATIENCE;
    let mut a = start(a_dir.path(), patient);
    let [b_listener, c_listener] = places.map(|(listener, _)| {
        listener.set_nonblocking(true).unwrap();
        tokio::net::TcpListener::from_std(listener).unwrap()
    });
    // After so many that follow each other soon, the waits are long.
    tokio::join!(cut(&b_listener, 7), cut(&c_listener, 7));
    let b = start_on(b_listener.into_std().unwrap(), b_dir.path(), config(0, &[a.port()]));
    let met = Incoming::Met { listed: 0, node: b.id() };
    a.until(|told| *told == met).await;
    // Who came may have lived at the other address, too.
    cut(&c_listener, 1).await;
    let c = start_on(c_listener.into_std().unwrap(), c_dir.path(), config(0, &[a.port()]));
    let met = Incoming::Met { listed: 1, node: c.id() };
    a.until(|told| *told == met).await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let (a_dir, b_dir) = (dir(), dir());
    let a = start(a_dir.path(), config(0, &[]));
    let error = try_start(b_dir.path(), config(a.port(), &[])).err().unwrap();
    assert!(matches!(error, StartError::AddressInUse { address } if address.port() == a.port()));
}

#[tokio::test]
async fn names_and_both_families_are_dialled() {
    let (a_dir, b_dir) = (dir(), dir());
    let mut everywhere = config(0, &[]);
    everywhere.bind = None;
    let a = start(a_dir.path(), everywhere);
    for host in ["localhost", "127.0.0.1"] {
        let mut with_name = config(0, &[]);
        with_name.listed = vec![Address { host: host.into(), port: a.port() }];
        let mut b = start(b_dir.path(), with_name);
        assert_eq!(
            b.until(|told| matches!(told, Incoming::Met { .. })).await.last(),
            Some(&Incoming::Met { listed: 0, node: a.id() })
        );
    }
}

#[tokio::test]
async fn the_older_of_two_processes_is_told_by_a_peer_and_the_newer_goes_on() {
    let (a_dir, b_dir) = (dir(), dir());
    let mut a = start(a_dir.path(), config(0, &[]));
    let mut older = start(b_dir.path(), config(0, &[a.port()]));
    a.until_up(older.id()).await;
    let newer = start(b_dir.path(), config(0, &[a.port()]));
    assert_eq!(older.doubled().await, (a.id(), "n".to_owned()));
    older.transport.close(PATIENCE).await;
    goes_on(newer, &mut a).await;
}

#[tokio::test]
async fn of_two_processes_of_one_count_exactly_one_goes_on() {
    let (a_dir, b_dir, copy_dir) = (dir(), dir(), dir());
    let mut a = start(a_dir.path(), config(0, &[]));
    let mut b = start(b_dir.path(), config(0, &[a.port()]));
    a.until_up(b.id()).await;
    std::fs::copy(b_dir.path().join("identity"), copy_dir.path().join("identity")).unwrap();
    std::fs::write(copy_dir.path().join("boot"), "0\n").unwrap();
    let mut copy = start(copy_dir.path(), config(0, &[a.port()]));
    assert_eq!(copy.id(), b.id());
    let (by, is_copy) = tokio::select! {
        (by, _) = b.doubled() => (by, false),
        (by, _) = copy.doubled() => (by, true),
    };
    assert_eq!(by, a.id());
    let (gone, stays) = if is_copy { (copy, b) } else { (b, copy) };
    gone.transport.close(PATIENCE).await;
    goes_on(stays, &mut a).await;
}

#[tokio::test]
async fn two_processes_that_meet_know_which_is_the_older() {
    for dials in ["older", "newer"] {
        let b_dir = dir();
        let identities = [(); 2].map(|()| identity(b_dir.path()));
        let [older, newer] = identities;
        let (mut older, mut newer) = if dials == "newer" {
            let older = start_as(older, config(0, &[]));
            let newer = start_as(newer, config(0, &[older.port()]));
            (older, newer)
        } else {
            let newer = start_as(newer, config(0, &[]));
            (start_as(older, config(0, &[newer.port()])), newer)
        };
        assert_eq!(older.doubled().await, (older.id(), "n".to_owned()), "the {dials} one dials");
        assert!(newer.inbox.try_recv().is_err(), "the {dials} one dials");
    }
}

/// This one was told nothing, and `other` hears it.
async fn goes_on(mut node: Node, other: &mut Node) {
    hear(&node, other).await;
    while let Ok(told) = node.inbox.try_recv() {
        assert!(!matches!(told, Incoming::Doubled { .. }), "{told:?}");
    }
}

fn vote(round: u64) -> Payload {
    Payload::Consensus(consensus::Message {
        epoch: Epoch(1),
        body: consensus::Body::Prepare(consensus::Prepare { round: Round(round) }),
    })
}

#[tokio::test]
async fn a_peer_that_does_not_read_gets_data_refused_and_loses_its_link_to_consensus() {
    let (a_dir, b_dir) = (dir(), dir());
    let mut slow = config(0, &[]);
    slow.link_silence_max = PATIENCE;
    let mut a = start(a_dir.path(), slow);
    let mut b = start(b_dir.path(), config(0, &[a.port()]));
    a.until_up(b.id()).await;
    b.until_up(a.id()).await;
    // Nobody empties the inbox of `b`, so it stops reading.
    let long = "x".repeat(256 * 1024);
    let mut sent = 0;
    let full = loop {
        match a.send(None, data(&long)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 10_000, "a queue without a bound");
        tokio::task::yield_now().await;
    };
    assert_eq!(full, SendError::Full(vec![b.id()]));
    for _ in 0..1_000 {
        a.send(None, Payload::HeartBeat(HeartBeat::default())).unwrap();
    }
    while a.send(None, vote(1)).is_ok() && !a.transport.status().links.is_empty() {}
    assert_eq!(a.next().await, Incoming::LinkDown { peer: b.id() });
}
