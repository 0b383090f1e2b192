//! Many proposals of one client, each answered as it is decided, in whatever order that comes.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::consensus::Proposal;
use crate::runtime::answer::{Outcome, Stopped};
use crate::runtime::command::{Command, Reply};
use crate::runtime::metrics::Metrics;
use crate::types::ProposalId;

/// The end at which proposals go in. See [`Handle::proposing`](crate::runtime::Handle::proposing).
#[derive(Debug)]
pub struct Proposing {
    commands: mpsc::Sender<Command>,
    answers: mpsc::Sender<(ProposalId, Outcome)>,
}

/// The end at which outcomes come out.
#[derive(Debug)]
pub struct Outcomes {
    answers: mpsc::Receiver<(ProposalId, Outcome)>,
    metrics: Arc<Metrics>,
}

/// Both ends, with room for so many proposals whose outcomes were not taken yet.
pub(super) fn proposing(
    commands: mpsc::Sender<Command>,
    metrics: Arc<Metrics>,
    in_flight_max: usize,
) -> (Proposing, Outcomes) {
    let (told, answers) = mpsc::channel(in_flight_max);
    (Proposing { commands, answers: told }, Outcomes { answers, metrics })
}

impl Proposing {
    /// Hands a proposal in. Waits while there is no room for its outcome, or the node has more to do than it takes.
    ///
    /// # Errors
    /// [`Stopped`], when nothing will be decided here any more, or nobody takes outcomes.
    pub async fn offer(&self, proposal: Proposal) -> Result<(), Stopped> {
        let place = self.answers.clone().reserve_owned().await.map_err(|_| Stopped)?;
        let reply = Reply::Among(place, self.answers.clone());
        let command = Command::Propose { proposal, wait: true, reply };
        self.commands.send(command).await.map_err(|_| Stopped)
    }
}

impl Outcomes {
    /// Waits for an outcome, then takes what is there, at most `limit`, behind what `into` holds. Gives how many; 0 once
    /// none will come any more: what was offered and not decided by then is unknown.
    pub async fn next(&mut self, into: &mut Vec<(ProposalId, Outcome)>, limit: usize) -> usize {
        let from = into.len();
        let count = self.answers.recv_many(into, limit).await;
        for (_, outcome) in &into[from..] {
            self.metrics.proposed(outcome);
        }
        count
    }
}
