//! The hostile end of a connection: raw bytes, or a proven identity that says what no honest node says.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ed25519_dalek::{Signer, SigningKey};
use quorate::limits;
use quorate::types::{MessageId, NodeId};
use quorate::wire::{
    Decoded, FrameDecoder, HeartBeat, Hello, Hex, Message, Payload, Ping, Pong, ProtocolRange,
    Side, decode, encode, proof_bytes,
};
use quorate::{consensus, peers};
use sha2::{Digest, Sha256};
use socket2::{Domain, Socket, Type};

use crate::process::PATIENCE;

/// The cluster that nodes belong to where none is named.
pub(crate) const CLUSTER: &str = "quorate";

/// Numbers dials, messages and nonces: the newest dial wins, and nothing is the same twice.
static NEXT: AtomicU64 = AtomicU64::new(1);

pub(crate) fn number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn nonce() -> Hex<32> {
    Hex(Sha256::digest(number().to_be_bytes()).into())
}

/// Who holds a key and lies.
pub(crate) struct Attacker {
    pub(crate) key: SigningKey,
    pub(crate) hello: Hello,
}

impl Attacker {
    /// Nobody that the cluster knows; its key follows from `seed`.
    pub(crate) fn stranger(seed: u64) -> Self {
        let seed = Sha256::digest([b"stranger".as_slice(), &seed.to_be_bytes()].concat());
        Self::with_key(SigningKey::from_bytes(&seed.into()), 1)
    }

    /// The member whose data directory this is, in a life after its last.
    pub(crate) fn member(directory: &Path) -> Self {
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).expect("a file");
        let identity = read("identity");
        let key: Hex<32> = identity.lines().nth(1).expect("a key").parse().expect("hex digits");
        let boot = read("boot");
        let boot: u64 =
            boot.split(' ').next().and_then(|count| count.parse().ok()).expect("a count");
        Self::with_key(SigningKey::from_bytes(&key.0), boot + 1)
    }

    fn with_key(key: SigningKey, boot: u64) -> Self {
        let public = Hex(key.verifying_key().to_bytes());
        let hello = Hello {
            protocol: ProtocolRange::OURS,
            cluster: CLUSTER.to_owned(),
            node: NodeId::from_key_hash(&Sha256::digest(public.0).into()),
            key: public,
            nonce: nonce(),
            boot,
            instance: Hex([7; 16]),
            dial: 0,
            name: "mallory".to_owned(),
            host: None,
            port: 1,
            capabilities: Vec::new(),
        };
        Self { key, hello }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.hello.node
    }

    pub(crate) fn message(&self, payload: Payload) -> Message {
        let id = MessageId::from_u128(u128::from(number()));
        Message { id, from: self.id(), to: None, timestamp: 0, payload }
    }

    /// A statement about the log in the first epoch.
    pub(crate) fn says(&self, body: consensus::Body) -> Message {
        let epoch = quorate::types::Epoch(1);
        self.message(Payload::Consensus(consensus::Message { epoch, body }))
    }

    /// A heartbeat that wants to found a cluster of these.
    pub(crate) fn founding(&self, founders: Vec<NodeId>) -> Message {
        let peers = peers::Beat { founders: Some(founders), ..peers::Beat::default() };
        self.message(Payload::HeartBeat(HeartBeat { peers, log: None }))
    }

    fn ping(&self) -> (Hello, Message) {
        let hello = Hello { nonce: nonce(), dial: number(), ..self.hello.clone() };
        let ping = Ping { hello: Some(Box::new(hello.clone())) };
        (hello, self.message(Payload::Ping(ping)))
    }

    pub(crate) fn proof(&self, ours: &Hello, theirs: &Hello) -> Message {
        let bytes = proof_bytes(Side::Dialer, ours, theirs);
        let proof = Some(Hex(self.key.sign(&bytes).to_bytes()));
        self.message(Payload::Pong(Pong { proof, ..Pong::default() }))
    }

    /// Says hello, and gives both hellos; none if it is refused, with the code.
    pub(crate) fn greet(&self, port: u16) -> Result<(Wire, Hello, Hello), String> {
        let mut wire = Wire::open(port);
        let (ours, ping) = self.ping();
        wire.send(&ping);
        let pong = match wire.next() {
            Some(Message { payload: Payload::Pong(pong), .. }) => pong,
            other => panic!("a Pong is due, not {other:?}"),
        };
        match (pong.hello, pong.refused) {
            (Some(theirs), _) => Ok((wire, ours, *theirs)),
            (None, refused) => Err(refused.expect("a hello or a refusal").code),
        }
    }

    /// An honest handshake.
    pub(crate) fn link(&self, port: u16) -> Wire {
        let (mut wire, ours, theirs) = self.greet(port).expect("an honest hello is answered");
        wire.send(&self.proof(&ours, &theirs));
        wire
    }
}

/// One connection to a node.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
    decoder: FrameDecoder,
}

impl Wire {
    pub(crate) fn open(port: u16) -> Self {
        Self::open_from(Ipv4Addr::LOCALHOST.into(), port)
    }

    /// From one of the addresses that all lead to this machine.
    pub(crate) fn open_from(source: u32, port: u16) -> Self {
        let address = |host: u32, port: u16| SocketAddr::from((Ipv4Addr::from(host), port));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&address(source, 0).into()).expect("an address of this machine");
        let to = address(Ipv4Addr::LOCALHOST.into(), port);
        socket.connect_timeout(&to.into(), PATIENCE).expect("a connection");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("it takes timeouts");
        stream.set_write_timeout(Some(PATIENCE)).expect("it takes timeouts");
        let decoder = FrameDecoder::new(limits::FRAME_BYTES_MAX);
        Self { stream, buffer: BytesMut::new(), decoder }
    }

    pub(crate) fn send(&mut self, message: &Message) {
        self.bytes(&encode(message).expect("it fits in a frame"));
    }

    /// A node that has closed already is no fault of the test.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Any JSON as a frame.
    pub(crate) fn json(&mut self, json: &[u8]) {
        self.bytes(&framed(json));
    }

    /// The next message; none if the node closes.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer).expect("frames") {
                match decode(&frame).expect("the node speaks its own protocol") {
                    Decoded::Message(message) => return Some(message),
                    Decoded::UnknownKind { message_type, .. } => panic!("{message_type}?"),
                }
            }
            match self.stream.read(&mut chunk) {
                // A reset is a close, too: the node left bytes unread.
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if is_timeout(&error) => panic!("neither an answer nor a close in time"),
                Err(_) => return None,
            }
        }
    }

    /// The next message that fits; the node must not close before.
    pub(crate) fn until<T>(&mut self, mut fits: impl FnMut(Message) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.next().expect("the link stays");
            if let Some(found) = fits(message) {
                return found;
            }
            assert!(Instant::now() < deadline, "what was waited for did not come");
        }
    }

    /// The link is up: the node has said its first heartbeat.
    pub(crate) fn up(mut self) -> Self {
        self.until(|message| matches!(message.payload, Payload::HeartBeat(_)).then_some(()));
        self
    }

    /// Everything sent before was read: the node has answered a `Ping` behind it.
    pub(crate) fn settled(&mut self, attacker: &Attacker) {
        let ping = attacker.message(Payload::Ping(Ping::default()));
        self.send(&ping);
        self.until(|message| match message.payload {
            Payload::Pong(pong) => (pong.re == Some(ping.id)).then_some(()),
            _ => None,
        });
    }

    /// Waits for the node to close.
    pub(crate) fn closed(mut self) {
        while self.next().is_some() {}
    }

    /// Reads and forgets beside the writing, until the node closes.
    pub(crate) fn drain(&self) -> std::thread::JoinHandle<u64> {
        let mut stream = self.stream.try_clone().expect("a second handle");
        std::thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            let mut total = 0;
            while let Ok(count @ 1..) = stream.read(&mut chunk) {
                total += count as u64;
            }
            total
        })
    }

    /// Writes a byte of `bytes` a second until the node closes; says how long that took.
    pub(crate) fn trickle(mut self, bytes: &[u8]) -> Duration {
        let started = Instant::now();
        self.stream.set_read_timeout(Some(Duration::from_secs(1))).expect("it takes timeouts");
        for byte in bytes {
            self.bytes(&[*byte]);
            match self.stream.read(&mut [0; 64]) {
                Err(error) if is_timeout(&error) => {}
                Ok(0) | Err(_) => return started.elapsed(),
                Ok(_) => panic!("an answer to half a frame"),
            }
        }
        panic!("the node waits for ever");
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// A frame around any bytes.
pub(crate) fn framed(json: &[u8]) -> Vec<u8> {
    let length = u32::try_from(json.len()).expect("shorter than 4 GiB");
    [&length.to_be_bytes(), json].concat()
}
