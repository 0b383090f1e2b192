//! A listener for peers, honest or not, that looks at what a client says to it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use bytes::BytesMut;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use quorate::limits;
use quorate::types::{MessageId, NodeId};
use quorate::wire::{
    Decoded, FrameDecoder, Hello, Hex, Message, Payload, Ping, Pong, ProtocolRange, Side, decode,
    encode, proof_bytes,
};
use sha2::{Digest, Sha256};

use crate::process::PATIENCE;

/// How the listener shakes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    SignsWithAnotherKey,
    NamesAnotherId,
    SpeaksAsAnother,
    IsOfAnotherCluster,
    SpeaksAnotherVersion,
}

/// The listener.
pub(crate) struct Host(TcpListener);

impl Host {
    pub(crate) fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    pub(crate) fn address(&self) -> String {
        self.0.local_addr().expect("it is bound").to_string()
    }

    /// Takes a connection and answers the hello that comes.
    pub(crate) fn greet(&self, manner: Manner) -> Guest {
        let (stream, _) = self.0.accept().expect("a client");
        stream.set_read_timeout(Some(PATIENCE)).expect("it takes timeouts");
        let (key, other) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32]));
        let own = hello(&key, manner);
        let decoder = FrameDecoder::new(limits::HELLO_FRAME_BYTES_MAX);
        let mut guest =
            Guest { stream, buffer: BytesMut::new(), decoder, dialer: own.clone(), listener: own };
        let Some(Message { id, from, payload: Payload::Ping(Ping { hello: Some(hello) }), .. }) =
            guest.next()
        else {
            panic!("a hello is due")
        };
        assert_eq!((from, hello.cluster.as_str()), (hello.node, "quorate"));
        assert_eq!(hello.node, id_of(&hello.key.0));
        guest.dialer = *hello;
        let signer = if manner == Manner::SignsWithAnotherKey { &other } else { &key };
        let signed = proof_bytes(Side::Listener, &guest.dialer, &guest.listener);
        let pong = Pong {
            re: Some(id),
            hello: Some(Box::new(guest.listener.clone())),
            proof: Some(Hex(signer.sign(&signed).to_bytes())),
            refused: None,
        };
        let speaker = if manner == Manner::SpeaksAsAnother {
            id_of(other.verifying_key().as_bytes())
        } else {
            guest.listener.node
        };
        guest.send(&Message { from: speaker, ..guest.message(1, Payload::Pong(pong)) });
        guest
    }
}

fn id_of(key: &[u8; 32]) -> NodeId {
    NodeId::from_key_hash(&Sha256::digest(key).into())
}

fn hello(key: &SigningKey, manner: Manner) -> Hello {
    let public = key.verifying_key().to_bytes();
    let another = manner == Manner::NamesAnotherId;
    let cluster = if manner == Manner::IsOfAnotherCluster { "another" } else { "quorate" };
    let version = if manner == Manner::SpeaksAnotherVersion { 2 } else { 1 };
    Hello {
        protocol: ProtocolRange { min: version, max: version },
        cluster: cluster.to_owned(),
        node: if another { NodeId::from_u128(1) } else { id_of(&public) },
        key: Hex(public),
        nonce: Hex([9; 32]),
        boot: 1,
        instance: Hex([1; 16]),
        dial: 0,
        name: "host".to_owned(),
        host: None,
        port: 8001,
        capabilities: Vec::new(),
    }
}

/// The client at the other end.
pub(crate) struct Guest {
    stream: TcpStream,
    buffer: BytesMut,
    decoder: FrameDecoder,
    dialer: Hello,
    listener: Hello,
}

impl Guest {
    /// The next message; none if the client closes.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer).expect("frames") {
                match decode(&frame).expect("the client speaks the protocol") {
                    Decoded::Message(message) => return Some(message),
                    Decoded::UnknownKind { message_type, .. } => panic!("{message_type}?"),
                }
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                // A machine that was suspended for a moment.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("neither a message nor a close: {error}"),
            }
        }
    }

    /// Takes the client's proof, which must hold.
    pub(crate) fn met(mut self) -> Self {
        let Some(Message { payload: Payload::Pong(Pong { proof: Some(proof), .. }), .. }) =
            self.next()
        else {
            panic!("a proof is due")
        };
        let signed = proof_bytes(Side::Dialer, &self.dialer, &self.listener);
        let key = VerifyingKey::from_bytes(&self.dialer.key.0).expect("a key");
        key.verify_strict(&signed, &Signature::from_bytes(&proof.0)).expect("the proof holds");
        self.decoder = FrameDecoder::new(limits::FRAME_BYTES_MAX);
        self
    }

    /// The next answer to a message.
    pub(crate) fn answered(&mut self) -> MessageId {
        loop {
            match self.next().expect("the link stays").payload {
                Payload::Pong(Pong { re: Some(id), .. }) => return id,
                Payload::HeartBeat(_) => {}
                other => panic!("an answer is due, not {other:?}"),
            }
        }
    }

    /// A message of the listener under a number.
    pub(crate) fn message(&self, number: u128, payload: Payload) -> Message {
        Message {
            id: MessageId::from_u128(number),
            from: self.listener.node,
            to: None,
            timestamp: 1_750_000_000,
            payload,
        }
    }

    pub(crate) fn send(&mut self, message: &Message) {
        self.bytes(&encode(message).expect("it fits in a frame"));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the client reads");
    }
}
