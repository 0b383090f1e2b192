//! What clients ask of the driver.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{OwnedPermit, Sender};
use tokio::sync::oneshot;

use crate::config::Address;
use crate::consensus::{Entry, Proposal};
use crate::runtime::answer::{Delivery, Outcome, ReadError, RelistError, SendError};
use crate::types::{NodeId, Position, ProposalId, Slot};

/// What a client asks of the driver. Who gave up waiting has dropped the other end of `reply`.
pub(super) enum Command {
    Propose {
        proposal: Proposal,
        /// Whether to answer only when it is decided, or as soon as it is taken.
        wait: bool,
        reply: Reply,
    },
    Read {
        reply: oneshot::Sender<Result<Position, ReadError>>,
    },
    Entries {
        from: Slot,
        through: Slot,
        weight_max: usize,
        reply: oneshot::Sender<Vec<Entry>>,
    },
    Send {
        to: Option<NodeId>,
        text: Arc<str>,
        reply: oneshot::Sender<Result<Delivery, SendError>>,
    },
    Relist {
        listed: Vec<Address>,
        redial_min: Duration,
        redial_max: Duration,
        reply: oneshot::Sender<Result<(), RelistError>>,
    },
}

/// How one who proposed is told what became of it.
pub(super) enum Reply {
    /// It waits for this proposal alone.
    Alone(oneshot::Sender<Outcome>),
    /// It has a place for this answer among those of all that it proposed, and this leads to all of them.
    Among(OwnedPermit<(ProposalId, Outcome)>, Sender<(ProposalId, Outcome)>),
}

impl Reply {
    /// Tells it. Whoever gave up waiting is not there to be told.
    pub(super) fn tell(self, id: ProposalId, outcome: Outcome) {
        match self {
            Self::Alone(reply) => {
                let _ = reply.send(outcome);
            }
            Self::Among(place, _) => {
                place.send((id, outcome));
            }
        }
    }

    /// Whether it is known to have given up waiting.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Alone(reply) => reply.is_closed(),
            Self::Among(_, answers) => answers.is_closed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn who_takes_no_answers_any_more_is_gone() {
        let (answers, taken) = mpsc::channel(1);
        let place = answers.clone().reserve_owned().await.expect("there is room");
        let reply = Reply::Among(place, answers);
        assert!(!reply.is_gone());
        drop(taken);
        assert!(reply.is_gone());
    }
}
