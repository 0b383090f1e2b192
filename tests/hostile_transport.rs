//! What strangers and liars send to the port, as the owner of a transport sees it: what it is told, and what is
//! counted. `tests/hostile.rs` sends the whole list to the program.

#[path = "hostile_transport/held_short.rs"]
mod held_short;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use ed25519_dalek::{Signer, SigningKey};
use quorate::limits;
use quorate::storage::MemoryDisk;
use quorate::transport::{Identity, Incoming, Transport, TransportConfig, TransportStatus};
use quorate::types::{MessageId, NodeId};
use quorate::wire::{
    Decoded, FrameDecoder, Hello, Hex, Message, Payload, Ping, Pong, ProtocolRange, Side, decode,
    encode, proof_bytes,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    transport: Transport,
    inbox: mpsc::Receiver<Incoming>,
}

impl Node {
    fn start() -> Self {
        Self::start_with(|config| config.handshake_deadline = 3 * PATIENCE)
    }

    fn start_with(change: impl FnOnce(&mut TransportConfig)) -> Self {
        let mut config = TransportConfig::new("demo", "n1", 0);
        config.bind = Some([127, 0, 0, 1].into());
        change(&mut config);
        let (told, inbox) = mpsc::channel(64);
        let identity = Identity::open(&MemoryDisk::default()).unwrap().in_life(1);
        Self { transport: Transport::start(identity, config, told).unwrap(), inbox }
    }

    async fn next(&mut self) -> Incoming {
        tokio::time::timeout(PATIENCE, self.inbox.recv()).await.expect("in time").expect("alive")
    }

    /// The node still serves an honest peer.
    async fn serves(&mut self) {
        let honest = Stranger::new(200);
        let link = honest.link(self).await;
        assert!(matches!(self.next().await, Incoming::LinkUp { peer, .. } if peer == honest.id()));
        drop(link);
        assert_eq!(self.next().await, Incoming::LinkDown { peer: honest.id() });
    }
}

/// A peer made by hand: its key follows from a number.
struct Stranger {
    key: SigningKey,
    hello: Hello,
}

/// Its connection.
struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
    decoder: FrameDecoder,
}

impl Stranger {
    fn new(seed: u8) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let public = Hex(key.verifying_key().to_bytes());
        let hello = Hello {
            protocol: ProtocolRange::OURS,
            cluster: "demo".into(),
            node: NodeId::from_key_hash(&Sha256::digest(public.0).into()),
            key: public,
            nonce: Hex([seed; 32]),
            boot: 1,
            instance: Hex([seed; 16]),
            dial: 1,
            name: format!("s{seed}"),
            host: None,
            port: 1,
            capabilities: vec!["juggling".into()],
        };
        Self { key, hello }
    }

    fn id(&self) -> NodeId {
        self.hello.node
    }

    fn message(&self, payload: Payload) -> Message {
        Message { id: MessageId::from_u128(1), from: self.id(), to: None, timestamp: 0, payload }
    }

    fn ping(&self) -> Message {
        self.message(Payload::Ping(Ping { hello: Some(Box::new(self.hello.clone())) }))
    }

    fn proof(&self, theirs: &Hello) -> Message {
        let bytes = proof_bytes(Side::Dialer, &self.hello, theirs);
        let proof = Some(Hex(self.key.sign(&bytes).to_bytes()));
        self.message(Payload::Pong(Pong { proof, ..Pong::default() }))
    }

    /// Says hello; gives the listener's.
    async fn greet(&self, node: &Node) -> (Wire, Hello) {
        let mut wire = Wire::open(node).await;
        wire.send(&self.ping()).await;
        let Payload::Pong(pong) = wire.next().await.unwrap().payload else {
            panic!("a Pong is due")
        };
        let theirs = pong.hello.expect("a hello comes first");
        (wire, *theirs)
    }

    /// An honest handshake.
    async fn link(&self, node: &Node) -> Wire {
        let (mut wire, theirs) = self.greet(node).await;
        wire.send(&self.proof(&theirs)).await;
        wire
    }
}

impl Wire {
    async fn open(node: &Node) -> Self {
        Self::around(TcpStream::connect(node.transport.local_addr()).await.unwrap())
    }

    fn around(stream: TcpStream) -> Self {
        let decoder = FrameDecoder::new(limits::FRAME_BYTES_MAX);
        Self { stream, buffer: BytesMut::new(), decoder }
    }

    async fn send(&mut self, message: &Message) {
        self.bytes(&encode(message).unwrap()).await;
    }

    async fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next message; none if the node closes.
    async fn next(&mut self) -> Option<Message> {
        let next = async {
            loop {
                if let Some(frame) = self.decoder.decode(&mut self.buffer).unwrap() {
                    match decode(&frame).unwrap() {
                        Decoded::Message(message) => return Some(message),
                        Decoded::UnknownKind { .. } => panic!("the node speaks its own version"),
                    }
                }
                // A reset is a close, too: the node left bytes unread.
                if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("an answer or a close in time")
    }

    /// The code of the refusal that must come next.
    async fn refused(&mut self) -> String {
        let Some(Message { payload: Payload::Pong(Pong { refused: Some(refusal), .. }), .. }) =
            self.next().await
        else {
            panic!("a refusal is due")
        };
        assert!(refusal.reason.len() > 10, "a reason is given: {refusal:?}");
        refusal.code
    }
}

#[tokio::test]
async fn garbage_before_the_hello_is_closed() {
    let mut node = Node::start();
    let over = (limits::HELLO_FRAME_BYTES_MAX as u32 + 1).to_be_bytes();
    let noise: Vec<u8> =
        (0..4_096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let cases: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0, 0, 0, 0],
        &[0xff; 4],
        &over,
        b"\0\0\0\x02\xff\xff",
        b"\0\0\0\x02{}",
        &noise,
    ];
    for case in cases {
        let mut wire = Wire::open(&node).await;
        wire.bytes(case).await;
        assert_eq!(wire.next().await, None, "{case:?}");
    }
    assert_eq!(node.transport.status().refused, cases.len() as u64);
    node.serves().await;
}

#[tokio::test]
async fn a_crowd_of_silent_strangers_keeps_nobody_out() {
    let mut node = Node::start();
    let mut crowd = Vec::new();
    for _ in 0..limits::HANDSHAKES_MAX + 50 {
        crowd.push(Wire::open(&node).await);
    }
    node.serves().await;
    assert!(node.transport.status().evicted >= 50);
}

#[tokio::test]
async fn a_stranger_that_makes_room_is_let_go() {
    let node = Node::start_with(|config| config.handshake_deadline = 3 * PATIENCE);
    let mut oldest = Wire::open(&node).await;
    let mut crowd = Vec::new();
    while node.transport.status().evicted == 0 {
        crowd.push(Wire::open(&node).await);
    }
    assert_eq!(oldest.next().await, None, "closed long before its deadline");
}

#[tokio::test]
async fn no_task_outlives_its_connection() {
    let mut node = Node::start();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    node.serves().await;
    let few = tasks();
    for _ in 0..20 {
        node.serves().await;
        drop(Wire::open(&node).await);
        Wire::open(&node).await.bytes(&[0xff; 4]).await;
    }
    // The last ones may still be on their way out.
    let ended = async {
        while tasks() > few {
            tokio::task::yield_now().await;
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, ended).await;
    assert!(outcome.is_ok(), "{few} tasks at first, {} in the end", tasks());
}

#[tokio::test]
async fn a_hello_that_does_not_fit_is_refused_by_code() {
    let mut node = Node::start();
    let mut cases = BTreeMap::new();
    let mut case = |code: &'static str, change: fn(&mut Hello)| {
        let mut stranger = Stranger::new(1);
        change(&mut stranger.hello);
        cases.insert(code, stranger);
    };
    case("wrong_cluster", |hello| hello.cluster = "other".into());
    case("wrong_protocol", |hello| hello.protocol = ProtocolRange { min: 2, max: 9 });
    case("bad_id", |hello| hello.node = NodeId::from_u128(5));
    case("bad_hello", |hello| hello.name = "two\nlines".into());
    for (code, stranger) in cases {
        let mut wire = Wire::open(&node).await;
        wire.send(&stranger.ping()).await;
        assert_eq!(wire.refused().await, code);
        assert_eq!(wire.next().await, None);
    }
    node.serves().await;
}

#[tokio::test]
async fn a_proof_by_another_key_is_refused() {
    let mut node = Node::start();
    let mut liar = Stranger::new(1);
    liar.key = SigningKey::from_bytes(&[2; 32]);
    let mut wire = liar.link(&node).await;
    assert_eq!(wire.refused().await, "bad_proof");
    node.serves().await;
}

#[tokio::test]
async fn a_replayed_handshake_is_refused() {
    let mut node = Node::start();
    let honest = Stranger::new(1);
    let (_first, theirs) = honest.greet(&node).await;
    let recorded = honest.proof(&theirs);
    let (mut replay, _) = honest.greet(&node).await;
    replay.send(&recorded).await;
    assert_eq!(replay.refused().await, "bad_proof");
    node.serves().await;
}

#[tokio::test]
async fn a_message_from_somebody_else_closes_the_link() {
    let mut node = Node::start();
    let liar = Stranger::new(1);
    let mut wire = liar.link(&node).await;
    assert!(matches!(node.next().await, Incoming::LinkUp { .. }));
    let mut spoofed = liar.message(Payload::Data("mine".into()));
    spoofed.from = node.transport.node();
    wire.send(&spoofed).await;
    assert_eq!(node.next().await, Incoming::LinkDown { peer: liar.id() });
    assert_eq!(wire.next().await, None);
    node.serves().await;
}

#[tokio::test]
async fn garbage_on_a_link_closes_it_and_unknown_kinds_do_not() {
    let mut node = Node::start();
    let peer = Stranger::new(1);
    for garbage in [&b"\0\0\0\0"[..], b"\0\0\0\x02[]", &u32::MAX.to_be_bytes()] {
        let mut wire = peer.link(&node).await;
        assert!(matches!(node.next().await, Incoming::LinkUp { .. }));
        let json = format!(
            r#"{{"id":"{}","from":"{}","to":null,"message_type":"Song","payload":[1],"timestamp":0,"new":{{}}}}"#,
            MessageId::from_u128(1),
            peer.id()
        );
        wire.bytes(&(json.len() as u32).to_be_bytes()).await;
        wire.bytes(json.as_bytes()).await;
        let known = peer.message(Payload::Data("known".into()));
        wire.send(&known).await;
        assert_eq!(node.next().await, Incoming::Frames(vec![known]));
        assert_eq!(node.transport.status().links[0].unknown, 1);
        wire.bytes(garbage).await;
        assert_eq!(node.next().await, Incoming::LinkDown { peer: peer.id() });
    }
    node.serves().await;
}

#[tokio::test]
async fn a_crowd_of_linked_strangers_leaves_a_member_its_place() {
    let mut node = Node::start();
    let member = Stranger::new(0);
    node.transport.expect_members([member.id()]);
    let mut crowd = Vec::new();
    for seed in 1..=limits::LINKS_TO_STRANGERS_MAX {
        let stranger = Stranger::new(u8::try_from(seed).expect("fewer than 256"));
        crowd.push(stranger.link(&node).await);
        assert!(matches!(node.next().await, Incoming::LinkUp { .. }));
    }
    let late = Stranger::new(255);
    assert_eq!(late.link(&node).await.refused().await, "full");
    let _link = member.link(&node).await;
    assert!(matches!(node.next().await, Incoming::LinkUp { peer, .. } if peer == member.id()));
}

#[tokio::test]
async fn a_restarted_peer_takes_the_place_of_its_half_open_link() {
    let mut node = Node::start();
    let mut peer = Stranger::new(1);
    let mut old = peer.link(&node).await;
    assert!(matches!(node.next().await, Incoming::LinkUp { .. }));
    peer.hello.boot += 1;
    peer.hello.instance = Hex([9; 16]);
    let _new = peer.link(&node).await;
    assert_eq!(node.next().await, Incoming::LinkDown { peer: peer.id() });
    assert!(matches!(node.next().await, Incoming::LinkUp { .. }));
    assert_eq!(old.next().await, None);
    peer.hello.boot -= 1;
    let mut stale = peer.link(&node).await;
    assert_eq!(stale.refused().await, "duplicate_identity");
    assert!(node.inbox.try_recv().is_err(), "the newer life keeps its link");
}

#[tokio::test]
async fn an_older_dial_of_the_same_life_is_refused() {
    let mut node = Node::start();
    let mut peer = Stranger::new(1);
    peer.hello.dial = 5;
    let _held = peer.link(&node).await;
    assert!(matches!(node.next().await, Incoming::LinkUp { .. }));
    peer.hello.dial = 4;
    assert_eq!(peer.link(&node).await.refused().await, "duplicate_link");
    peer.hello.dial = 6;
    let _newer = peer.link(&node).await;
    assert_eq!(node.next().await, Incoming::LinkDown { peer: peer.id() });
    assert!(matches!(node.next().await, Incoming::LinkUp { .. }));
}
