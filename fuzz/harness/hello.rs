//! The first words of a link: what is made of a hello, a proof and a refusal before anyone is trusted.

use ed25519_dalek::{Signature, VerifyingKey};
use quorate::limits;
use quorate::types::NodeId;
use quorate::wire::{
    Decoded, Hello, Hex, Payload, ProtocolRange, Side, decode, encode, is_presentable, proof_bytes,
};

/// The input is the JSON of a frame of the handshake.
pub fn run(input: &[u8]) {
    let Ok(Decoded::Message(message)) =
        decode(&input[..input.len().min(limits::HELLO_FRAME_BYTES_MAX)])
    else {
        return;
    };
    let _ = encode(&message).expect("whatever fits a hello's frame can be said again");
    let (hello, proof) = match message.payload {
        Payload::Ping(ping) => (ping.hello, None),
        Payload::Pong(pong) => {
            if let Some(refused) = &pong.refused {
                assert!(refused.reason.len() <= limits::HELLO_FRAME_BYTES_MAX);
            }
            (pong.hello, pong.proof)
        }
        Payload::Data(_) | Payload::HeartBeat(_) | Payload::Consensus(_) => return,
    };
    if let Some(hello) = hello {
        meet(&hello, proof);
    }
}

fn meet(hello: &Hello, proof: Option<Hex<64>>) {
    let names = [&hello.cluster, &hello.name];
    if hello.is_presentable() {
        for name in names {
            assert!(is_presentable(name) && name.len() <= limits::NAME_BYTES_MAX);
            assert!(!name.chars().any(char::is_control), "a name cannot forge a log line");
        }
    }
    let _ = hello.protocol.overlaps(ProtocolRange::OURS);
    let _ = hello.protocol.to_string();
    let _ = hello.node == NodeId::from_key_hash(&hello.key.0);
    let ours = proof_bytes(Side::Dialer, hello, hello);
    assert_ne!(ours, proof_bytes(Side::Listener, hello, hello), "no proof can be thrown back");
    if let (Ok(key), Some(proof)) = (VerifyingKey::from_bytes(&hello.key.0), proof) {
        let signature = Signature::from_bytes(&proof.0);
        assert!(key.verify_strict(b"something else", &signature).is_err(), "nobody can forge this");
    }
}
