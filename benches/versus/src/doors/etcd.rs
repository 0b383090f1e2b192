//! etcd's gRPC: one HTTP/2 connection, a stream for each `Put`.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::uri::Uri;
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Trouble, garbled};

/// A connection; the task that serves it ends with it.
pub(crate) struct Streams {
    send: SendRequest<Bytes>,
    uri: Uri,
    task: JoinHandle<()>,
}

impl Streams {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (send, connection) = h2::client::handshake(stream).await.map_err(as_io)?;
        let task = tokio::task::spawn_local(async move {
            // Each stream tells its own end.
            let _ = connection.await;
        });
        let uri = format!("http://{address}/etcdserverpb.KV/Put");
        let uri = uri.parse().map_err(|_| garbled(uri))?;
        Ok(Self { send, uri, task })
    }

    pub(crate) async fn write(&self, client: usize, value: &str) -> Result<(), Trouble> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        let body = put_request(&format!("versus-{client}"), value);

        let mut send = self.send.clone();
        poll_fn(|context| send.poll_ready(context)).await.map_err(as_io)?;
        let (answer, mut stream) = send.send_request(request, false).map_err(as_io)?;
        stream.send_data(body, true).map_err(as_io)?;
        let (head, mut body) = answer.await.map_err(as_io)?.into_parts();
        if head.headers.contains_key("grpc-status") {
            return verdict(&head.headers);
        }
        while let Some(part) = body.data().await {
            let part = part.map_err(as_io)?;
            body.flow_control().release_capacity(part.len()).map_err(as_io)?;
        }
        let trailers = body.trailers().await.map_err(as_io)?;
        verdict(&trailers.unwrap_or_default())
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn as_io(error: h2::Error) -> io::Error {
    io::Error::other(error)
}

/// What gRPC says at the end of a call.
fn verdict(trailers: &HeaderMap) -> Result<(), Trouble> {
    let said = |name| trailers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    match said("grpc-status") {
        Some(status) if status == "0" => Ok(()),
        Some(status) => {
            let message = said("grpc-message").unwrap_or_default();
            Err(Trouble::Refused(format!("gRPC status {status}: {message}")))
        }
        None => Err(garbled("an answer without a gRPC status").into()),
    }
}

/// The message `PutRequest`, key and value, as gRPC frames it: not compressed, its length, its bytes.
fn put_request(key: &str, value: &str) -> Bytes {
    const KEY: u8 = 1;
    const VALUE: u8 = 2;
    let mut out = BytesMut::with_capacity(5 + 12 + key.len() + value.len());
    out.put_slice(&[0; 5]);
    put_field(&mut out, KEY, key.as_bytes());
    put_field(&mut out, VALUE, value.as_bytes());
    let length = (out.len() - 5) as u32;
    out[1..5].copy_from_slice(&length.to_be_bytes());
    out.freeze()
}

/// A field of bytes, in the wire format of protocol buffers.
fn put_field(out: &mut BytesMut, number: u8, bytes: &[u8]) {
    const LENGTH_DELIMITED: u8 = 2;
    out.put_u8(number << 3 | LENGTH_DELIMITED);
    let mut rest = bytes.len();
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_is_framed_for_grpc() {
        let bytes = put_request("k", &"v".repeat(256));
        assert_eq!(bytes[..5], [0, 0, 0, 1, 6]);
        assert_eq!(bytes[5..8], [0x0a, 1, b'k']);
        assert_eq!(bytes[8..11], [0x12, 0x80, 0x02]);
        assert_eq!(bytes.len(), 11 + 256);
    }

    #[test]
    fn only_a_status_of_zero_is_an_acknowledgement() {
        let trailers = |status: &'static str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                HeaderValue::from_static(status),
            )])
        };
        assert!(verdict(&trailers("0")).is_ok());
        assert!(matches!(verdict(&trailers("14")), Err(Trouble::Refused(_))));
        assert!(matches!(verdict(&HeaderMap::new()), Err(Trouble::Broken(_))));
    }
}
