//! One link: two tasks, a reader and a writer, that end together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::limits;
use crate::mutant::{self, Mutant};
use crate::transport::connection::{FrameReader, FrameWriter, ReadError};
use crate::transport::incoming::Incoming;
use crate::transport::known::Known;
use crate::transport::links::Candidate;
use crate::transport::notices::Notices;
use crate::transport::outbox::{NoRoom, Outbox};
use crate::transport::words::fit_refusal;
use crate::types::NodeId;
use crate::wire::{Decoded, HEAD_BYTES, Message, MessageType, Payload, Refusal};

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkEnd {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot be written: {0}")]
    Write(std::io::Error),
    #[error("a message from {claimed}, who is not the peer of this link")]
    Spoofed { claimed: NodeId },
    #[error("nothing was heard for {0:?}")]
    Silent(Duration),
    #[error("the peer reads too slowly: consensus messages found no room")]
    Overflow,
    #[error("refused by the peer ({}): {}", .0.code, .0.reason)]
    Refused(Refusal),
    #[error("a newer link takes its place")]
    Replaced,
    #[error("closed by this node")]
    Kicked,
}

/// What went over a link. Read by anyone at any time, so each number stands alone.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) frames_in: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) frames_out: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) unknown: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// A link, as those who send over it and decide about it see it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: NodeId,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) candidate: Candidate,
    pub(crate) counters: Counters,
    outbox: Outbox,
    stop: CancellationToken,
    end: OnceLock<LinkEnd>,
}

impl Link {
    /// A link that ends with `stop`, or by itself.
    pub(crate) fn new(
        peer: NodeId,
        name: String,
        address: String,
        candidate: Candidate,
        stop: CancellationToken,
    ) -> Self {
        Self {
            peer,
            name,
            address,
            candidate,
            counters: Counters::default(),
            outbox: Outbox::new(),
            stop,
            end: OnceLock::new(),
        }
    }

    /// Adds a frame for the peer; closes the link where the policy of [`Outbox`] says so.
    pub(crate) fn push(&self, kind: MessageType, frame: Bytes) -> Result<(), NoRoom> {
        let outcome = self.outbox.push(kind, frame);
        if outcome == Err(NoRoom::Full) {
            count(&self.counters.dropped, 1);
            if kind == MessageType::Consensus {
                self.close(LinkEnd::Overflow);
            }
        }
        outcome
    }

    /// Ends the link now; what waits is lost. The first reason given is the one that is told.
    pub(crate) fn close(&self, why: LinkEnd) {
        let _ = self.end.set(why);
        self.stop.cancel();
    }

    /// Ends the link once what waits is sent.
    pub(crate) fn finish(&self) {
        self.outbox.finish();
    }

    /// Why the link ended, once it has.
    pub(crate) fn ended(&self) -> Option<&LinkEnd> {
        self.end.get()
    }

    /// Frames and bytes that wait for the peer to read.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        self.outbox.depth()
    }
}

/// Sends what the outbox holds, all that waits in one go, until the link ends.
pub(crate) async fn write(link: Arc<Link>, mut writer: FrameWriter) {
    let work = async {
        let mut batch = Vec::new();
        while link.outbox.take(&mut batch).await {
            writer.write(&batch).await?;
            count(&link.counters.frames_out, batch.len() as u64);
            count(&link.counters.bytes_out, batch.iter().map(|frame| frame.len() as u64).sum());
            batch.clear();
        }
        writer.finish().await
    };
    tokio::select! {
        () = link.stop.cancelled(), if !mutant::is(Mutant::WriterLeaked) => {}
        outcome = work => match outcome {
            // The reader ends the link when the peer, too, has said its last.
            Ok(()) => link.stop.cancelled().await,
            Err(error) => link.close(LinkEnd::Write(error)),
        },
    }
}

/// Delivers what the peer sends, in batches, until the link ends. After `closing` it only waits for the end.
///
/// A peer that is not known has to be brief, and to say something whole within `silence_max`; of one that is, any
/// byte is a sign.
pub(crate) async fn read(
    link: Arc<Link>,
    mut reader: FrameReader,
    inbox: mpsc::Sender<Incoming>,
    silence_max: Duration,
    closing: CancellationToken,
    notices: Arc<Notices>,
    known: Arc<Known>,
) {
    reader.expect(limits::STRANGER_FRAME_BYTES_MAX);
    let work = async {
        let mut is_known = false;
        let mut heard = Instant::now();
        loop {
            if !is_known && known.is_known(link.peer) {
                is_known = true;
                reader.expect(limits::FRAME_BYTES_MAX);
            }
            let (frames, batch) = gather(&link, &mut reader, &notices)?;
            // A full inbox stops the reading, and so the peer: that is its bound.
            if !batch.is_empty() && !closing.is_cancelled() {
                tokio::select! {
                    () = closing.cancelled() => {}
                    _ = inbox.send(Incoming::Frames(batch)) => {}
                }
            }
            if is_known || frames > 0 {
                heard = Instant::now();
            }
            match timeout_at(heard + silence_max, reader.fill()).await {
                Ok(filled) => filled?,
                Err(_) => return Err(LinkEnd::Silent(silence_max)),
            }
        }
    };
    let outcome: Result<(), LinkEnd> = tokio::select! {
        () = link.stop.cancelled() => Ok(()),
        outcome = work => outcome,
    };
    if let Err(end) = outcome {
        link.close(end);
    }
}

/// How many frames are there whole, and the messages in them.
fn gather(
    link: &Link,
    reader: &mut FrameReader,
    notices: &Notices,
) -> Result<(u64, Vec<Message>), LinkEnd> {
    let mut batch = Vec::new();
    let (mut frames, mut bytes) = (0, 0);
    let outcome = loop {
        let (decoded, length) = match reader.cut() {
            Ok(Some(cut)) => cut,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.into()),
        };
        frames += 1;
        bytes += (HEAD_BYTES + length) as u64;
        let from = match &decoded {
            Decoded::Message(message) => message.from,
            Decoded::UnknownKind { from, .. } => *from,
        };
        if from != link.peer && !mutant::is(Mutant::SpoofedFrom) {
            break Err(LinkEnd::Spoofed { claimed: from });
        }
        match decoded {
            Decoded::UnknownKind { message_type, .. } => {
                count(&link.counters.unknown, 1);
                say_unknown(link, &message_type, notices);
            }
            Decoded::Message(Message { payload: Payload::Pong(pong), .. })
                if pong.refused.is_some() =>
            {
                let refusal = pong.refused.expect("looked at above");
                break Err(LinkEnd::Refused(fit_refusal(refusal)));
            }
            Decoded::Message(message) => batch.push(message),
        }
    };
    count(&link.counters.frames_in, frames);
    count(&link.counters.bytes_in, bytes);
    outcome.map(|()| (frames, batch))
}

fn say_unknown(link: &Link, message_type: &str, notices: &Notices) {
    let peer = link.peer;
    if let Some(suppressed) = notices.admit(&peer.to_string(), "unknown", Instant::now().into_std())
    {
        let (name, hint) = (&link.name, "it was passed over; a later version may run there");
        tracing::warn!(%peer, name, message_type, suppressed, hint, "message.unknown");
    }
}
