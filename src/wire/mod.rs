//! Bytes to messages and back. Pure.

mod codec;
mod direct;
mod error;
mod frame;
mod hello;
mod hex;
mod message;
mod strict;

pub use codec::{Decoded, decode, encode};
pub use error::DecodeError;
pub use frame::{FrameDecoder, FrameError, HEAD_BYTES};
pub use hello::{
    Hello, PROTOCOL, ProtocolRange, Refusal, RefusalCode, Side, is_presentable, proof_bytes,
};
pub use hex::{Hex, HexError};
pub use message::{HeartBeat, Message, MessageType, Payload, Ping, Pong};
