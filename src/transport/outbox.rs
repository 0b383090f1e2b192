//! Frames that wait for one peer to read: bounded, with a policy for each kind when it is full. What the writer has
//! taken out and writes at the moment comes on top: as much again at most.
//!
//! | kind | when there is no room |
//! |---|---|
//! | heartbeat | never: only the newest waits, at its place in the order |
//! | consensus | the link is closed; the peers catch up by what they announce on the next one |
//! | data | the caller is told; half the room is kept free for consensus |
//! | ping, pong | dropped and counted: whoever asked asks again |

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::limits;
use crate::mutant::{self, Mutant};
use crate::wire::MessageType;

/// Why a frame does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The link ends.
    Closed,
    /// The peer reads too slowly.
    Full,
}

/// The frames that wait for one link's writer.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    ready: Notify,
    frames_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    /// In order; an empty one stands where an older heartbeat was.
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// The frames that were ever taken out, so that `heartbeat` stays valid.
    taken: u64,
    /// The number of the heartbeat that waits, counted over all frames.
    heartbeat: Option<u64>,
    /// No further frames are taken in.
    is_finished: bool,
}

impl Outbox {
    /// With the bounds of [`limits`].
    pub(crate) fn new() -> Self {
        Self::bounded(limits::OUTBOX_FRAMES_MAX, limits::OUTBOX_BYTES_MAX)
    }

    fn bounded(frames_max: usize, bytes_max: usize) -> Self {
        Self { queue: Mutex::default(), ready: Notify::new(), frames_max, bytes_max }
    }

    /// Adds a frame, if the policy of its kind finds room.
    pub(crate) fn push(&self, kind: MessageType, frame: Bytes) -> Result<(), NoRoom> {
        let mut queue = self.queue.lock().expect("no holder of this lock panics");
        if queue.is_finished {
            return Err(NoRoom::Closed);
        }
        let share = match kind {
            MessageType::HeartBeat => {
                queue.drop_heartbeat();
                queue.heartbeat = Some(queue.taken + queue.frames.len() as u64);
                None
            }
            MessageType::Consensus => Some(1),
            MessageType::Data | MessageType::Ping | MessageType::Pong => Some(2),
        };
        if let Some(share) = share
            && (queue.frames.len() >= self.frames_max / share
                || queue.bytes + frame.len() > self.bytes_max / share)
            && !mutant::is(Mutant::OutboxUnbounded)
        {
            return Err(NoRoom::Full);
        }
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        drop(queue);
        self.ready.notify_one();
        Ok(())
    }

    /// Moves all that waits into `batch`, as soon as something does. False when nothing will any more.
    pub(crate) async fn take(&self, batch: &mut Vec<Bytes>) -> bool {
        loop {
            {
                let mut queue = self.queue.lock().expect("no holder of this lock panics");
                if !queue.frames.is_empty() {
                    queue.taken += queue.frames.len() as u64;
                    queue.bytes = 0;
                    queue.heartbeat = None;
                    batch.extend(queue.frames.drain(..).filter(|frame| !frame.is_empty()));
                    return true;
                }
                if queue.is_finished {
                    return false;
                }
            }
            self.ready.notified().await;
        }
    }

    /// Takes nothing in any more; what waits is still handed out.
    pub(crate) fn finish(&self) {
        self.queue.lock().expect("no holder of this lock panics").is_finished = true;
        self.ready.notify_one();
    }

    /// Frames and bytes that wait.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let queue = self.queue.lock().expect("no holder of this lock panics");
        (queue.frames.len(), queue.bytes)
    }
}

impl Queue {
    /// Takes out the heartbeat that waits. Its place stays, empty, until it is the last one: then a peer
    /// that reads nothing gathers no empty places either.
    fn drop_heartbeat(&mut self) {
        let Some(number) = self.heartbeat.take() else { return };
        let index = usize::try_from(number - self.taken).expect("it waits in memory");
        self.bytes -= self.frames[index].len();
        self.frames[index] = Bytes::new();
        while self.frames.back().is_some_and(Bytes::is_empty) {
            self.frames.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    async fn taken(outbox: &Outbox) -> Vec<Bytes> {
        let mut batch = Vec::new();
        outbox.take(&mut batch).await;
        batch
    }

    #[tokio::test]
    async fn only_the_newest_heartbeat_waits_and_nothing_overtakes_it() {
        let outbox = Outbox::bounded(4, 100);
        outbox.push(MessageType::HeartBeat, frame("old")).unwrap();
        outbox.push(MessageType::Consensus, frame("vote")).unwrap();
        outbox.push(MessageType::HeartBeat, frame("new")).unwrap();
        outbox.push(MessageType::Consensus, frame("last")).unwrap();
        assert_eq!(taken(&outbox).await, ["vote", "new", "last"]);
    }

    #[tokio::test]
    async fn a_peer_that_reads_nothing_gathers_one_heartbeat() {
        let outbox = Outbox::bounded(4, 100);
        outbox.push(MessageType::Consensus, frame("vote")).unwrap();
        for _ in 0..1_000 {
            outbox.push(MessageType::HeartBeat, frame("beat")).unwrap();
        }
        assert_eq!(outbox.depth(), (2, 8));
        assert_eq!(taken(&outbox).await, ["vote", "beat"]);
        outbox.push(MessageType::HeartBeat, frame("next")).unwrap();
        assert_eq!(taken(&outbox).await, ["next"]);
    }

    #[test]
    fn data_leaves_room_for_consensus() {
        let outbox = Outbox::bounded(4, 100);
        for _ in 0..2 {
            outbox.push(MessageType::Data, frame("text")).unwrap();
        }
        assert_eq!(outbox.push(MessageType::Data, frame("text")), Err(NoRoom::Full));
        assert_eq!(outbox.push(MessageType::Pong, frame("pong")), Err(NoRoom::Full));
        for _ in 0..2 {
            outbox.push(MessageType::Consensus, frame("vote")).unwrap();
        }
        assert_eq!(outbox.push(MessageType::Consensus, frame("vote")), Err(NoRoom::Full));
        outbox.push(MessageType::HeartBeat, frame("beat")).unwrap();
    }

    #[test]
    fn bytes_are_bounded_too() {
        let outbox = Outbox::bounded(100, 10);
        outbox.push(MessageType::Consensus, frame("123456789")).unwrap();
        assert_eq!(outbox.push(MessageType::Consensus, frame("12")), Err(NoRoom::Full));
        outbox.push(MessageType::Consensus, frame("1")).unwrap();
    }

    #[tokio::test]
    async fn a_finished_outbox_hands_out_what_waits() {
        let outbox = Outbox::bounded(4, 100);
        outbox.push(MessageType::Consensus, frame("vote")).unwrap();
        outbox.finish();
        assert_eq!(outbox.push(MessageType::Consensus, frame("late")), Err(NoRoom::Closed));
        let mut batch = Vec::new();
        assert!(outbox.take(&mut batch).await);
        assert!(!outbox.take(&mut batch).await);
        assert_eq!(batch, ["vote"]);
    }
}
