//! What subscribers are shown, and how they are told that they missed some of it.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::consensus::{Commit, EpochConfig};
use crate::peers::NodeInfo;
use crate::types::{MessageId, NodeId};

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
    /// An epoch starts.
    Epoch(EpochConfig),
    /// This subscriber was too slow: so many notices are lost to it.
    Missed(u64),
}

/// A view of what happens at a node, from the moment of subscribing.
#[derive(Debug)]
pub struct Subscription(pub(super) broadcast::Receiver<Notice>);

impl Subscription {
    /// The next notice; none when the node has stopped. Nothing is lost if the wait is abandoned.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.0.recv().await {
            Ok(notice) => Some(notice),
            Err(RecvError::Lagged(missed)) => Some(Notice::Missed(missed)),
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
        let mut subscription = Subscription(receiver);
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
