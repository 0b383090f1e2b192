//! One TCP connection that speaks frames.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::limits;
use crate::wire::{DecodeError, Decoded, FrameDecoder, FrameError, decode};

/// How much is read from a socket at once.
const READ_BYTES: usize = 64 * 1024;

/// Frames up to this size together make one write; a longer one is written as it stands.
const WRITE_BYTES: usize = 64 * 1024;

/// When the system asks a silent peer whether it is there, and how long it waits for it to take in bytes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// Why a connection cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("closed by the other side")]
    Closed,
    #[error("broke: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl ReadError {
    /// A stable name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Io(_) => "io",
            Self::Frame(error) => error.name(),
            Self::Decode(error) => error.name(),
        }
    }
}

/// A connection, before and after its handshake.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) reader: FrameReader,
    pub(crate) writer: FrameWriter,
    /// The other side, an IPv4 address as such.
    pub(crate) remote: SocketAddr,
}

impl Connection {
    /// Around a stream that is connected. Frames are held to the hello's limit.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_tcp_keepalive(
            &TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY),
        )?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
        let remote = stream.peer_addr()?;
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let (reader, writer) = stream.into_split();
        Ok(Self {
            reader: FrameReader {
                half: reader,
                buffer: BytesMut::new(),
                decoder: FrameDecoder::new(limits::HELLO_FRAME_BYTES_MAX),
            },
            writer: FrameWriter { half: writer, buffer: BytesMut::new() },
            remote,
        })
    }

    /// Sends a last frame and waits until the other side has closed, or `patience` ends: a socket closed
    /// with unread bytes in it would take back what was just sent.
    pub(crate) async fn part(mut self, last: &Bytes, patience: Duration) {
        let parting = async {
            self.writer.write(std::slice::from_ref(last)).await?;
            self.writer.finish().await?;
            self.reader.drain().await
        };
        // Whoever is refused may as well be gone: there is nobody left to tell.
        let _ = tokio::time::timeout(patience, parting).await;
    }
}

/// The half that is read.
#[derive(Debug)]
pub(crate) struct FrameReader {
    half: OwnedReadHalf,
    buffer: BytesMut,
    decoder: FrameDecoder,
}

impl FrameReader {
    /// From the next frame on, frames may be as long as this.
    pub(crate) fn expect(&mut self, bytes_max: usize) {
        self.decoder.set_bytes_max(bytes_max);
    }

    /// What the next frame says; waits for it.
    pub(crate) async fn next(&mut self) -> Result<Decoded, ReadError> {
        loop {
            if let Some((decoded, _)) = self.cut()? {
                return Ok(decoded);
            }
            self.fill().await?;
        }
    }

    /// What the next frame says and how many bytes it has, if it is there whole.
    pub(crate) fn cut(&mut self) -> Result<Option<(Decoded, usize)>, ReadError> {
        let Some(frame) = self.decoder.decode(&mut self.buffer)? else { return Ok(None) };
        Ok(Some((decode(&frame)?, frame.len())))
    }

    /// Reads what there is, at least a byte.
    pub(crate) async fn fill(&mut self) -> Result<(), ReadError> {
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 4 {
            self.buffer.reserve(READ_BYTES);
        }
        match self.half.read_buf(&mut self.buffer).await? {
            0 => Err(ReadError::Closed),
            _ => Ok(()),
        }
    }

    /// Reads and forgets until the other side closes.
    async fn drain(&mut self) -> io::Result<()> {
        self.buffer.clear();
        while self.half.read_buf(&mut self.buffer).await? > 0 {
            self.buffer.clear();
        }
        Ok(())
    }
}

/// The half that is written.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    half: OwnedWriteHalf,
    buffer: BytesMut,
}

impl FrameWriter {
    /// Writes frames in order, as few system calls as their sizes allow.
    pub(crate) async fn write(&mut self, frames: &[Bytes]) -> io::Result<()> {
        if let [frame] = frames {
            return self.half.write_all(frame).await;
        }
        for frame in frames {
            if self.buffer.len() + frame.len() > WRITE_BYTES {
                self.half.write_all(&self.buffer).await?;
                self.buffer.clear();
            }
            if frame.len() >= WRITE_BYTES {
                self.half.write_all(frame).await?;
            } else {
                self.buffer.extend_from_slice(frame);
            }
        }
        self.half.write_all(&self.buffer).await?;
        self.buffer.clear();
        Ok(())
    }

    /// Says that nothing follows.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.half.shutdown().await
    }
}
