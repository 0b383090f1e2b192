//! The node's side: takes proposals as they come, answers them as they are decided.

use std::sync::OnceLock;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::admin::frames::{Answer, Letter, Names, Outcomes, PROTOCOL, Submit, put};
use crate::admin::impatient::{Impatient, PATIENCE, write_all};
use crate::admin::problem::{Problem, cut};
use crate::admin::shared::{Shared, WAIT_MAX};
use crate::limits;
use crate::runtime;
use crate::transport::wall_clock;
use crate::types::{MessageId, NodeId};
use crate::wire::{FrameDecoder, Message, MessageType, Payload, Pong, Refusal, encode};

/// Proposals of one connection that are not decided and told. Beyond it nothing more is read from it.
const IN_FLIGHT_MAX: usize = 1_024;

/// How much is read from a socket at once.
const READ_BYTES: usize = 64 * 1024;

/// `GET /v1/frames`.
pub(in crate::admin) async fn frames(
    State(shared): State<Shared>,
    mut request: Request,
) -> Result<Response, Problem> {
    if !(asks(&request, header::CONNECTION, "upgrade") && asks(&request, header::UPGRADE, PROTOCOL))
    {
        let problem = Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "this path speaks frames",
            "send the headers connection: upgrade and upgrade: quorate/1, then frames as docs/PROTOCOL.md has them",
        );
        return Ok(upgrading(problem.into_response()));
    }
    let permit = shared.stream()?;
    let serving = serve(shared.clone(), hyper::upgrade::on(&mut request), permit);
    shared.upgraded.spawn(shared.cut.clone().run_until_cancelled_owned(serving));
    Ok(upgrading(StatusCode::SWITCHING_PROTOCOLS.into_response()))
}

/// The answer names what this path speaks.
fn upgrading(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}

/// Whether `word` stands in a header's list.
fn asks(request: &Request, name: HeaderName, word: &str) -> bool {
    let values = request.headers().get_all(name);
    let mut words = values.iter().filter_map(|value| value.to_str().ok());
    words.any(|words| words.split(',').any(|it| it.trim().eq_ignore_ascii_case(word)))
}

/// One connection, until its client, the server or the node ends it. A client that ends its side is answered what it
/// has under way; so is every client when the server stops, until it is cut off.
async fn serve(shared: Shared, upgrade: OnUpgrade, _permit: OwnedSemaphorePermit) {
    let Ok(upgraded) = upgrade.await else { return };
    let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Impatient>>() else { return };
    let stream = io.into_inner().into_stream();
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (mut reader, writer) = stream.into_split();
    let (proposing, outcomes) = shared.handle.proposing(IN_FLIGHT_MAX);
    let client = OnceLock::new();
    let (refuse, refused) = oneshot::channel();
    let taking = async {
        let taking = take(&mut reader, read_buf, proposing, &client);
        // What a stop leaves untaken is told by the end of the connection.
        let left = shared.stop.run_until_cancelled(taking).await.unwrap_or(Ok(Left::ItsSide));
        left.unwrap_or_else(|reason| {
            // The other half may have found the connection broken.
            let _ = refuse.send(cut(reason));
            Left::ItsSide
        })
    };
    let answering = answer(writer, outcomes, shared.handle.id(), &client, refused);
    answering_ends(taking, answering, WAIT_MAX).await;
    if shared.stop.is_cancelled() {
        // Closed with bytes unread, it would be reset, and the last outcomes might be lost: the client ends it.
        let _ = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
    }
}

/// How a client has stopped talking.
enum Left {
    /// It has ended its side, and may still listen. Or it is gone: that is not seen until something is written to it.
    ItsSide,
    /// The connection is broken, or what was ended long ago is not waited for any more.
    ForGood,
}

/// What is read matters only as long as it can be answered; who says no more is answered no longer than `patience`.
async fn answering_ends(
    taking: impl Future<Output = Left>,
    answering: impl Future<Output = ()>,
    patience: Duration,
) {
    let mut answering = std::pin::pin!(answering);
    let left = tokio::select! {
        () = &mut answering => return,
        left = taking => left,
    };
    match left {
        // What is not told by then is unknown, as behind every connection that ends.
        Left::ItsSide => _ = tokio::time::timeout(patience, answering).await,
        Left::ForGood => {}
    }
}

/// Takes what the client says, until it says no more.
///
/// # Errors
/// What it said that is no frame of a client.
async fn take(
    reader: &mut OwnedReadHalf,
    early: Bytes,
    proposing: runtime::Proposing,
    client: &OnceLock<NodeId>,
) -> Result<Left, String> {
    let mut buffer = BytesMut::from(early);
    let mut decoder = FrameDecoder::new(limits::FRAME_BYTES_MAX);
    loop {
        while let Some(frame) = decoder.decode(&mut buffer).map_err(|error| error.to_string())? {
            let letter: Letter<Submit> =
                serde_json::from_slice(&frame).map_err(|error| error.to_string())?;
            if letter.message_type != MessageType::Consensus {
                return Err(format!("a client says Consensus, not {:?}", letter.message_type));
            }
            if *client.get_or_init(|| letter.from) != letter.from {
                return Err("one connection is one client: `from` has changed".to_owned());
            }
            for proposal in letter.payload.submit {
                if proposal.until.is_some_and(|until| until.0 > limits::INTEGER_MAX) {
                    return Err("until is beyond 2^53 − 1, and no slot is".to_owned());
                }
                match unless_over(proposing.offer(proposal), reader, WAIT_MAX).await {
                    Some(Ok(())) => {}
                    Some(Err(_)) => return Ok(Left::ItsSide),
                    None => return Ok(Left::ForGood),
                }
            }
        }
        if buffer.capacity() - buffer.len() < READ_BYTES / 4 {
            buffer.reserve(READ_BYTES);
        }
        match reader.read_buf(&mut buffer).await {
            Ok(0) => return Ok(Left::ItsSide),
            Err(_) => return Ok(Left::ForGood),
            Ok(_) => {}
        }
    }
}

/// What `waiting` brings; none if that takes longer than `patience`, and the client has ended its side or is gone.
async fn unless_over<T>(
    waiting: impl Future<Output = T>,
    reader: &OwnedReadHalf,
    patience: Duration,
) -> Option<T> {
    let mut waiting = std::pin::pin!(waiting);
    // Most often there is nothing to wait for, and no need to ask the clock.
    if let Some(done) = waiting.as_mut().now_or_never() {
        return Some(done);
    }
    loop {
        if let Ok(done) = tokio::time::timeout(patience, &mut waiting).await {
            return Some(done);
        }
        let ready = reader.ready(Interest::READABLE).now_or_never();
        if ready.is_some_and(|ready| ready.map_or(true, |ready| ready.is_read_closed())) {
            return None;
        }
    }
}

/// Tells what is decided, all that there is in one frame; at last, why the client is refused, if it is.
async fn answer(
    mut writer: OwnedWriteHalf,
    mut outcomes: runtime::Outcomes,
    me: NodeId,
    client: &OnceLock<NodeId>,
    mut refused: oneshot::Receiver<String>,
) {
    let mut decided = Vec::with_capacity(IN_FLIGHT_MAX);
    let mut bytes = Vec::new();
    let mut names = Names::new();
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            reason = &mut refused, if is_open => match reason {
                Ok(reason) => {
                    // It has broken off already, or reads it.
                    let _ = write_all(&mut writer, &refusal(me, reason), PATIENCE).await;
                    break;
                }
                Err(_) => is_open = false,
            },
            count = outcomes.next(&mut decided, IN_FLIGHT_MAX) => if count == 0 { break },
        }
        if decided.is_empty() {
            continue;
        }
        let outcome = decided.drain(..).map(|(id, outcome)| Answer::new(id, &outcome)).collect();
        bytes.clear();
        let fits = put(&mut bytes, &mut names, me, client.get().copied(), &Outcomes { outcome });
        assert!(fits, "so many answers are far shorter than a frame may be");
        if write_all(&mut writer, &bytes, PATIENCE).await.is_err() {
            return;
        }
    }
    // It may be gone.
    let _ = writer.shutdown().await;
}

/// Why the connection ends, in few words.
fn refusal(me: NodeId, reason: String) -> Bytes {
    let refused = Some(Refusal { code: "bad_frame".into(), reason });
    encode(&Message {
        id: MessageId::from(uuid::Uuid::new_v4()),
        from: me,
        to: None,
        timestamp: wall_clock(),
        payload: Payload::Pong(Pong { refused, ..Pong::default() }),
    })
    .expect("a reason is far shorter than a frame may be")
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::net::Ipv4Addr;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn who_says_no_more_is_not_waited_for_without_end() {
        answering_ends(ready(Left::ForGood), pending(), WAIT_MAX).await;
        answering_ends(ready(Left::ItsSide), pending(), Duration::from_millis(1)).await;
        answering_ends(pending(), ready(()), WAIT_MAX).await;
    }

    #[tokio::test]
    async fn a_place_among_the_undecided_is_waited_for_as_long_as_the_client_is_there() {
        let short = Duration::from_millis(1);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let mut client = TcpStream::connect(address).await.expect("a connection");
        let (reader, _) = listener.accept().await.expect("a connection").0.into_split();
        client.write_all(b"more").await.expect("it takes bytes");
        let long = tokio::time::sleep(Duration::from_millis(30));
        assert_eq!(unless_over(long, &reader, short).await, Some(()));
        drop(client);
        assert_eq!(unless_over(pending::<()>(), &reader, short).await, None);
    }
}
