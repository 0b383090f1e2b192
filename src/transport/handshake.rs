//! Each side proves that it holds the key of the id it claims, before anything else is heard from it.
//!
//! ```text
//! dialer                              listener
//!   Ping{hello}           ->
//!                         <-  Pong{hello, proof}     or Pong{refused}
//!   Pong{proof}           ->                         or Pong{refused}
//!   the link is up            the link is up         or Pong{refused}
//! ```
//! A proof signs both nonces, so none of an earlier connection fits; and the side of its signer,
//! so none can be thrown back.

use bytes::Bytes;
use ed25519_dalek::{Signature, VerifyingKey};

use crate::mutant::{self, Mutant};
use crate::transport::config::TransportConfig;
use crate::transport::connection::{Connection, ReadError};
use crate::transport::identity::{Identity, id_of, random};
use crate::transport::wall::wall_clock;
use crate::transport::words::{fit, fit_refusal};
use crate::types::{MessageId, NodeId};
use crate::wire::{
    Decoded, Hello, Hex, Message, Payload, Ping, Pong, ProtocolRange, Refusal, RefusalCode, Side,
    encode, proof_bytes,
};

/// What this node says of itself.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) identity: Identity,
    pub(crate) cluster: String,
    name: String,
    host: Option<String>,
    port: u16,
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error(transparent)]
    Read(#[from] ReadError),
    /// This node refuses; the other side is to be told.
    #[error("{reason}")]
    Refuse { code: RefusalCode, reason: String },
    /// The other side refuses.
    #[error("refused by the peer ({}): {}", .0.code, .0.reason)]
    Refused(Refusal),
    /// Both ends are this process.
    #[error("this node's own address")]
    Myself,
    /// The other end has proven that it is a newer process under this node's identity.
    #[error("{name} is a newer process under this node's identity")]
    Doubled { name: String },
}

impl HandshakeError {
    /// A stable name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Read(error) => error.name(),
            Self::Refuse { code, .. } => code.as_str(),
            Self::Refused(_) => "refused",
            Self::Myself => "self",
            Self::Doubled { .. } => RefusalCode::DuplicateIdentity.as_str(),
        }
    }
}

fn refuse<T>(code: RefusalCode, reason: impl Into<String>) -> Result<T, HandshakeError> {
    Err(HandshakeError::Refuse { code, reason: reason.into() })
}

impl Local {
    /// `port` is the one that is listened on.
    pub(crate) fn new(identity: Identity, config: &TransportConfig, port: u16) -> Self {
        Self {
            identity,
            cluster: config.cluster.clone(),
            name: config.name.clone(),
            host: config.advertise.as_ref().map(|address| address.host.clone()),
            port: config.advertise.as_ref().map_or(port, |address| address.port),
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.identity.node()
    }

    fn hello(&self, dial: u64) -> Hello {
        Hello {
            protocol: ProtocolRange::OURS,
            cluster: self.cluster.clone(),
            node: self.node(),
            key: self.identity.public_key(),
            nonce: Hex(random()),
            boot: self.identity.boot(),
            instance: self.identity.instance(),
            dial,
            name: self.name.clone(),
            host: self.host.clone(),
            port: self.port,
            capabilities: Vec::new(),
        }
    }

    /// A frame of the handshake.
    fn frame(&self, payload: Payload) -> Bytes {
        encode(&Message {
            id: MessageId::from_bytes(random()),
            from: self.node(),
            to: None,
            timestamp: wall_clock(),
            payload,
        })
        .expect("a hello is far shorter than a frame may be")
    }

    /// The frame that tells the other side why it is refused.
    pub(crate) fn refusal(&self, code: RefusalCode, reason: &str) -> Bytes {
        let refused = Some(Refusal { code: code.as_str().into(), reason: reason.into() });
        self.frame(Payload::Pong(Pong { refused, ..Pong::default() }))
    }

    /// The dialer's part. Gives the peer's hello and the frame that proves this node, yet to be sent:
    /// with it the link is up.
    pub(crate) async fn dial(
        &self,
        connection: &mut Connection,
        dial: u64,
    ) -> Result<(Hello, Bytes), HandshakeError> {
        let ours = self.hello(dial);
        let ping = Ping { hello: Some(Box::new(ours.clone())) };
        send(connection, self.frame(Payload::Ping(ping))).await?;
        let (from, pong) = next_pong(connection).await?;
        let (Some(theirs), Some(proof)) = (pong.hello, pong.proof) else {
            return refuse(RefusalCode::BadHello, "a Pong with hello and proof is due first");
        };
        self.check(from, &theirs)?;
        verify(Side::Listener, &theirs, &proof, &ours, &theirs)?;
        if theirs.node == self.node() && theirs.instance == self.identity.instance() {
            return Err(HandshakeError::Myself);
        }
        let proof = Some(self.identity.sign(&proof_bytes(Side::Dialer, &ours, &theirs)));
        let proof = self.frame(Payload::Pong(Pong { proof, ..Pong::default() }));
        if theirs.node == self.node() {
            // The older of the two believes nobody without a proof.
            send(connection, proof).await?;
            return self.meet_double(&theirs);
        }
        Ok((*theirs, proof))
    }

    /// The dialer's first words and the listener's answer, proven; nothing is proven in turn, so no link
    /// comes of it. With the answer comes the other side's clock, in seconds since 1970.
    pub(crate) async fn greet(
        &self,
        connection: &mut Connection,
    ) -> Result<(Hello, u64), HandshakeError> {
        let ours = self.hello(0);
        let ping = Ping { hello: Some(Box::new(ours.clone())) };
        send(connection, self.frame(Payload::Ping(ping))).await?;
        let Message { from, timestamp, payload, .. } = next_message(connection).await?;
        let (theirs, proof) = match payload {
            Payload::Pong(Pong { refused: Some(refusal), .. }) => {
                return Err(HandshakeError::Refused(fit_refusal(refusal)));
            }
            Payload::Pong(Pong { hello: Some(hello), proof: Some(proof), .. }) => (hello, proof),
            _ => return refuse(RefusalCode::BadHello, "a Pong with hello and proof is due first"),
        };
        self.check(from, &theirs)?;
        verify(Side::Listener, &theirs, &proof, &ours, &theirs)?;
        Ok((*theirs, timestamp))
    }

    /// What a dialer says first.
    pub(crate) async fn overhear(connection: &mut Connection) -> Result<Hello, HandshakeError> {
        match next_message(connection).await?.payload {
            Payload::Ping(Ping { hello: Some(hello) }) => Ok(*hello),
            _ => refuse(RefusalCode::BadHello, "a Ping with a hello is due first"),
        }
    }

    /// The listener's part. Gives the peer's hello, proven: the link is up.
    pub(crate) async fn accept(
        &self,
        connection: &mut Connection,
    ) -> Result<Hello, HandshakeError> {
        let message = next_message(connection).await?;
        let Payload::Ping(Ping { hello: Some(theirs) }) = message.payload else {
            return refuse(RefusalCode::BadHello, "a Ping with a hello is due first");
        };
        self.check(message.from, &theirs)?;
        let ours = self.hello(0);
        let proof = Some(self.identity.sign(&proof_bytes(Side::Listener, &theirs, &ours)));
        let hello = Some(Box::new(ours.clone()));
        let pong = Pong { re: Some(message.id), hello, proof, refused: None };
        send(connection, self.frame(Payload::Pong(pong))).await?;
        if theirs.node == self.node() && theirs.instance == self.identity.instance() {
            return Err(HandshakeError::Myself);
        }
        let (from, pong) = next_pong(connection).await?;
        let Some(proof) = pong.proof else {
            return refuse(RefusalCode::BadHello, "a Pong with a proof is due second");
        };
        if from != theirs.node {
            return refuse(
                RefusalCode::BadId,
                format!("the hello is of {}, the proof of {from}", theirs.node),
            );
        }
        verify(Side::Dialer, &theirs, &proof, &theirs, &ours)?;
        if theirs.node == self.node() {
            return self.meet_double(&theirs);
        }
        Ok(*theirs)
    }

    /// What can be said of a hello before its sender has proven anything.
    fn check(&self, from: NodeId, theirs: &Hello) -> Result<(), HandshakeError> {
        if !theirs.is_presentable() {
            return refuse(
                RefusalCode::BadHello,
                "a name, cluster or host is empty, too long or has control characters",
            );
        }
        if theirs.cluster != self.cluster {
            return refuse(
                RefusalCode::WrongCluster,
                format!(
                    "{} belongs to the cluster {:?}, {} to {:?}: give both the same --cluster, or take \
                     one off the other's list of peers",
                    theirs.name, theirs.cluster, self.name, self.cluster
                ),
            );
        }
        if !theirs.protocol.overlaps(ProtocolRange::OURS) {
            return refuse(
                RefusalCode::WrongProtocol,
                format!(
                    "{} speaks protocol {}, {} speaks {}: bring both to versions that share one",
                    theirs.name,
                    theirs.protocol,
                    self.name,
                    ProtocolRange::OURS
                ),
            );
        }
        let id = id_of(&theirs.key);
        if theirs.node != id || from != id {
            return refuse(
                RefusalCode::BadId,
                format!(
                    "{} says it is {} in a message of {from}, but its key belongs to {id}: its identity \
                     file is damaged, or it lies",
                    theirs.name, theirs.node
                ),
            );
        }
        Ok(())
    }

    /// Another process has proven this node's own identity: the older of the two gives way.
    fn meet_double<T>(&self, theirs: &Hello) -> Result<T, HandshakeError> {
        // The order of lives by which peers choose too: see `links::choose`.
        let ours = (self.identity.boot(), self.identity.instance().0);
        if (theirs.boot, theirs.instance.0) > ours {
            return Err(HandshakeError::Doubled { name: theirs.name.clone() });
        }
        refuse(
            RefusalCode::DuplicateIdentity,
            format!(
                "two processes run as {}: {} (start {}) and the older {} (start {}), which stops: a \
                 copied data directory must not run beside its original",
                theirs.node,
                self.name,
                self.identity.boot(),
                theirs.name,
                theirs.boot
            ),
        )
    }
}

/// Checks a signature strictly: no second form of it and no weak key passes.
fn verify(
    signer: Side,
    of: &Hello,
    proof: &Hex<64>,
    dialer: &Hello,
    listener: &Hello,
) -> Result<(), HandshakeError> {
    let is_good = VerifyingKey::from_bytes(&of.key.0).is_ok_and(|key| {
        let bytes = proof_bytes(signer, dialer, listener);
        key.verify_strict(&bytes, &Signature::from_bytes(&proof.0)).is_ok()
    });
    if is_good || mutant::is(Mutant::ProofNotChecked) {
        return Ok(());
    }
    refuse(
        RefusalCode::BadProof,
        format!(
            "the signature of {} ({}) does not fit its key and this connection",
            of.name, of.node
        ),
    )
}

async fn send(connection: &mut Connection, frame: Bytes) -> Result<(), HandshakeError> {
    connection.writer.write(&[frame]).await.map_err(|error| ReadError::Io(error).into())
}

async fn next_message(connection: &mut Connection) -> Result<Message, HandshakeError> {
    match connection.reader.next().await? {
        Decoded::Message(message) => Ok(message),
        Decoded::UnknownKind { message_type, .. } => {
            refuse(RefusalCode::BadHello, format!("a hello is due, not {:?}", fit(&message_type)))
        }
    }
}

async fn next_pong(connection: &mut Connection) -> Result<(NodeId, Pong), HandshakeError> {
    let message = next_message(connection).await?;
    match message.payload {
        Payload::Pong(Pong { refused: Some(refusal), .. }) => {
            Err(HandshakeError::Refused(fit_refusal(refusal)))
        }
        Payload::Pong(pong) => Ok((message.from, pong)),
        payload => refuse(
            RefusalCode::BadHello,
            format!("a Pong is due, not {:?}", payload.message_type()),
        ),
    }
}
