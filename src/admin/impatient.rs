//! A connection that ends where its client is gone, or takes in nothing of what is written to it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::{Sleep, sleep, timeout};

use crate::admin::places::Place;

/// How long a client may take in nothing of what is written to it.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// When the system asks a silent client whether it is there. One that does not say so for [`PATIENCE`] is gone.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);

/// The connection of one client.
pub(super) struct Impatient {
    stream: TcpStream,
    patience: Duration,
    place: Arc<Place>,
    /// Runs while the client takes in nothing.
    waits: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    /// Around a stream that was accepted.
    pub(super) fn new(
        stream: TcpStream,
        patience: Duration,
        place: Arc<Place>,
    ) -> io::Result<Self> {
        let socket = SockRef::from(&stream);
        let keepalive =
            TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(PATIENCE))?;
        Ok(Self { stream, patience, place, waits: None })
    }

    /// The stream alone, and the place given up: who writes to it from now on looks after its client.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn judge(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waits = None;
            self.place.moves();
            return written;
        }
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        waits.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.judge(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// Writes all of it, unless the client takes in nothing for too long.
pub(super) async fn write_all(
    writer: &mut OwnedWriteHalf,
    mut bytes: &[u8],
    patience: Duration,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = timeout(patience, writer.write(bytes)).await;
        match written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;
    use crate::admin::places::Places;

    const SHORT: Duration = Duration::from_millis(20);

    /// Both ends of a connection.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let client = TcpStream::connect(address).await.expect("a connection");
        (listener.accept().await.expect("a connection").0, client)
    }

    #[tokio::test]
    async fn a_client_that_takes_in_nothing_is_given_up() {
        let (stream, _client) = pair().await;
        let place = Places::new(1).next().await;
        let mut impatient = Impatient::new(stream, SHORT, place).expect("a socket");
        let written = impatient.write_all(&vec![0; 64 << 20]).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (_, mut writer) = impatient.into_stream().into_split();
        let written = write_all(&mut writer, &vec![0; 64 << 20], SHORT).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn the_system_asks_silent_clients_whether_they_are_there() {
        let (stream, _client) = pair().await;
        let place = Places::new(1).next().await;
        let stream = Impatient::new(stream, SHORT, place).expect("a socket").into_stream();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("a socket"));
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().expect("a socket"), Some(PATIENCE));
    }
}
