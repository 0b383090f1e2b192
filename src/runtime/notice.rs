//! What subscribers are shown, and how they are told that they missed some of it.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::consensus::{Commit, EpochConfig};
use crate::peers::NodeInfo;
use crate::runtime::metrics::Metrics;
use crate::types::{MessageId, NodeId, Round};

/// How many notices wait for the slowest subscriber. Beyond it the oldest are dropped, and the
/// subscriber is told how many; what it missed of the log can be read again.
pub(super) const NOTICES: usize = 1_024;

/// Something that happened at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An entry is final and durable here; in slot order.
    Committed(Arc<Commit>),
    /// A text from another node.
    Received {
        /// Its name.
        id: MessageId,
        /// Who sent it.
        from: NodeId,
        /// What it says.
        text: Arc<str>,
    },
    /// A peer is seen in another state than before, or for the first time.
    Peer(NodeInfo),
    /// The quorum is heard again, or no longer.
    Quorum {
        /// Members heard, this one included.
        heard: usize,
        /// Members needed.
        needed: usize,
    },
    /// Another round is under way as seen from here, or it is led now.
    Round {
        /// The round.
        round: Round,
        /// Its proposer.
        proposer: NodeId,
        /// Whether the proposer is known to lead it.
        led: bool,
    },
    /// An epoch starts.
    Epoch(EpochConfig),
    /// This subscriber was too slow: so many notices are lost to it.
    Missed(u64),
}

/// A view of what happens at a node, from the moment of subscribing.
#[derive(Debug)]
pub struct Subscription {
    notices: broadcast::Receiver<Notice>,
    metrics: Arc<Metrics>,
}

impl Subscription {
    pub(super) fn new(notices: broadcast::Receiver<Notice>, metrics: Arc<Metrics>) -> Self {
        Self { notices, metrics }
    }

    /// The next notice; none when the node has stopped. Nothing is lost if the wait is abandoned.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.notices.recv().await {
            Ok(notice) => Some(notice),
            Err(RecvError::Lagged(missed)) => {
                self.metrics.notices_missed(missed);
                Some(Notice::Missed(missed))
            }
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_subscriber_is_told_how_much_it_missed() {
        let (notices, receiver) = broadcast::channel(2);
        let mut subscription = Subscription::new(receiver, Arc::new(Metrics::new()));
        for heard in 1..=5 {
            notices.send(Notice::Quorum { heard, needed: 1 }).unwrap();
        }
        drop(notices);
        assert_eq!(subscription.next().await, Some(Notice::Missed(3)));
        assert_eq!(subscription.next().await, Some(Notice::Quorum { heard: 4, needed: 1 }));
        assert_eq!(subscription.next().await, Some(Notice::Quorum { heard: 5, needed: 1 }));
        assert_eq!(subscription.next().await, None);
    }
}
