//! The client's side, in two halves: one submits, one is answered.

use std::io;

use bytes::BytesMut;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::admin::frames::{Answer, Letter, Names, Submit, put};
use crate::consensus::Proposal;
use crate::limits;
use crate::types::NodeId;
use crate::wire::{FrameDecoder, Refusal};

/// How much is read from a socket at once.
const READ_BYTES: usize = 64 * 1024;

/// Why a connection for frames brings no more answers.
#[derive(Debug, thiserror::Error)]
pub enum FrameClientError {
    /// It broke. What was not answered may still commit: asking again under the same id is safe.
    #[error(
        "the connection to the node broke: {0}; what was not answered may still commit, ask again under the same ids"
    )]
    Io(#[from] io::Error),
    /// The node does not understand this client.
    #[error("refused by the node ({}): {}", .0.code, .0.reason)]
    Refused(Refusal),
    /// What came is no frame of a node.
    #[error("the node said what is no frame: {0}")]
    Strange(String),
    /// Too much for one frame.
    #[error(
        "the proposals are longer than a frame may be, {} bytes: submit them in parts",
        limits::FRAME_BYTES_MAX
    )]
    TooLong,
}

/// A connection for frames. See [`Client::frames`](crate::admin::Client::frames).
#[derive(Debug)]
pub struct FrameClient {
    submitter: Submitter,
    answers: Answers,
}

/// The half that submits.
#[derive(Debug)]
pub struct Submitter {
    half: OwnedWriteHalf,
    me: NodeId,
    names: Names,
    bytes: Vec<u8>,
}

/// The half that is answered.
#[derive(Debug)]
pub struct Answers {
    half: OwnedReadHalf,
    buffer: BytesMut,
    decoder: FrameDecoder,
}

impl FrameClient {
    /// Over a connection that speaks frames from now on; `early` was read from it already.
    pub(in crate::admin) fn over(stream: TcpStream, early: &[u8]) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let me = NodeId::from_u128(uuid::Uuid::new_v4().as_u128());
        let (buffer, decoder) = (BytesMut::from(early), FrameDecoder::new(limits::FRAME_BYTES_MAX));
        Ok(Self {
            submitter: Submitter { half: writer, me, names: Names::new(), bytes: Vec::new() },
            answers: Answers { half: reader, buffer, decoder },
        })
    }

    /// Its halves, for two tasks.
    pub fn into_split(self) -> (Submitter, Answers) {
        (self.submitter, self.answers)
    }
}

impl Submitter {
    /// Sends all of it in one frame.
    ///
    /// # Errors
    /// [`FrameClientError::Io`], [`FrameClientError::TooLong`].
    pub async fn submit(&mut self, proposals: Vec<Proposal>) -> Result<(), FrameClientError> {
        self.bytes.clear();
        if !put(&mut self.bytes, &mut self.names, self.me, None, &Submit { submit: proposals }) {
            return Err(FrameClientError::TooLong);
        }
        Ok(self.half.write_all(&self.bytes).await?)
    }

    /// Says that nothing follows; what is under way is still answered.
    ///
    /// # Errors
    /// [`FrameClientError::Io`].
    pub async fn finish(&mut self) -> Result<(), FrameClientError> {
        Ok(self.half.shutdown().await?)
    }
}

/// What a node may say.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    outcome: Vec<Answer>,
    #[serde(default)]
    refused: Option<Refusal>,
}

impl Answers {
    /// The answers of the next frame; none once the node has ended the connection in good order.
    ///
    /// # Errors
    /// [`FrameClientError`].
    pub async fn next(&mut self) -> Result<Option<Vec<Answer>>, FrameClientError> {
        let strange = |what: String| FrameClientError::Strange(what);
        loop {
            let frame = self.decoder.decode(&mut self.buffer);
            if let Some(frame) = frame.map_err(|error| strange(error.to_string()))? {
                let letter: Letter<Said> =
                    serde_json::from_slice(&frame).map_err(|error| strange(error.to_string()))?;
                return match letter.payload {
                    Said { refused: Some(refusal), .. } => Err(FrameClientError::Refused(refusal)),
                    Said { outcome, refused: None } => Ok(Some(outcome)),
                };
            }
            if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 4 {
                self.buffer.reserve(READ_BYTES);
            }
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}
