//! Clients: they propose under ids of their own, ask again when they do not know, read, and hang up on
//! some of their answers.

use std::sync::Arc;
use std::time::Duration;

use quorate::admin::api::{LogResponse, ProposeOutcome, ProposeRequest};
use quorate::admin::{Client, ClientError};
use quorate::types::{ProposalId, Slot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::dice::Dice;
use crate::door::Door;
use crate::history::{Answer, Attempt, Offer, Read, Recorder};

/// How often a value is asked for before its client gives up on it.
const ATTEMPTS: usize = 15;

/// Between two requests of one client, at most.
const THINK_MAX: Duration = Duration::from_millis(25);

/// How many entries a read asks for.
const PAGE: usize = 50;

/// One of them.
pub(crate) struct Caller {
    number: usize,
    doors: Arc<Vec<Door>>,
    recorder: Arc<Recorder>,
    dice: Dice,
    stop: CancellationToken,
    /// The node that is asked first.
    at: usize,
    /// The last slot that it has heard of.
    known: Slot,
    offered: u64,
}

impl Caller {
    pub(crate) fn new(
        number: usize,
        doors: Arc<Vec<Door>>,
        recorder: Arc<Recorder>,
        seed: u64,
        stop: CancellationToken,
    ) -> Self {
        let at = number % doors.len();
        let dice = Dice::of(seed, number as u64);
        Self { number, doors, recorder, dice, stop, at, known: Slot(0), offered: 0 }
    }

    /// Asks until told to stop.
    pub(crate) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            match self.dice.below(100) {
                0..75 => self.propose().await,
                75..90 => self.read(true).await,
                _ => self.read(false).await,
            }
            sleep(self.dice.span(Duration::ZERO..=THINK_MAX)).await;
        }
    }

    async fn propose(&mut self) {
        let id =
            ProposalId::from_u128(((self.number as u128 + 1) << 64) | u128::from(self.offered));
        self.offered += 1;
        let length = match self.dice.below(1_000) {
            0..3 => 60_000,
            3..20 => 4_000,
            _ => self.dice.below(60),
        };
        let value = match self.dice.below(100) {
            // No node takes it.
            0 => String::new(),
            _ => format!("client {} value {} {}", self.number, self.offered, "x".repeat(length)),
        };
        let until = match self.dice.below(20) {
            // Passed already, most likely.
            0 => Some(Slot(1 + self.dice.below(3) as u64)),
            1..3 => Some(Slot(self.known.0 + self.dice.below(80) as u64)),
            _ => None,
        };
        let offer = Offer { value: value.clone(), until };
        self.recorder.with(|history| history.offers.insert(id, offer));
        for _ in 0..ATTEMPTS {
            let patience = self.dice.span(Duration::from_millis(100)..=Duration::from_millis(800));
            let request = ProposeRequest {
                value: value.clone(),
                request_id: Some(id),
                wait: !self.dice.chance(3),
                timeout: Some(format!("{}ms", patience.as_millis())),
                until,
            };
            // Some hang up before the answer can be there.
            let hang_up = match self.dice.chance(6) {
                true => self.dice.span(Duration::ZERO..=Duration::from_millis(15)),
                false => patience + Duration::from_millis(300),
            };
            let (node, invoked) = (self.at, self.recorder.now());
            let ask = async move |client: Client| client.propose(&request, patience).await;
            let asked = self.doors[node].ask(hang_up, ask).await;
            let completed = self.recorder.now();
            let (answer, is_there) = match asked {
                Ok((said, _)) => (answer(said), true),
                Err(_) => (Answer::Unknown, false),
            };
            let attempt = Attempt { id, node, invoked, completed, answer };
            self.recorder.with(|history| history.attempts.push(attempt));
            if let Some(slot) = answer.slot() {
                self.known = self.known.max(slot);
                return;
            }
            // Whoever does not know gives up sometimes, and the value may still come.
            let is_hopeless = answer == Answer::Expired || (is_there && value.is_empty());
            if is_hopeless || self.stop.is_cancelled() || self.dice.chance(4) {
                return;
            }
            if !is_there || self.dice.chance(50) {
                self.at = self.dice.below(self.doors.len());
            }
            sleep(self.dice.span(Duration::from_millis(2)..=2 * THINK_MAX)).await;
        }
    }

    async fn read(&mut self, linearizable: bool) {
        let node = match self.dice.chance(50) {
            true => self.dice.below(self.doors.len()),
            false => self.at,
        };
        let from = Slot(self.known.0.saturating_sub(PAGE as u64 / 2).max(1));
        let invoked = self.recorder.now();
        let ask = async move |client: Client| client.log(from, PAGE, linearizable).await;
        let patience = self.dice.span(Duration::from_millis(50)..=Duration::from_millis(1_500));
        if let Ok((Ok(page), life)) = self.doors[node].ask(patience, ask).await {
            let LogResponse { committed, entries, .. } = page;
            let (completed, slot) = (self.recorder.now(), committed.slot);
            let read = Read { node, life, linearizable, invoked, completed, committed: slot };
            self.recorder.with(|history| history.reads.push(read));
            self.recorder.show(slot, committed.hash, None);
            for entry in entries {
                self.recorder.show(entry.slot, entry.hash, Some(entry));
            }
            self.known = self.known.max(slot);
        }
    }
}

/// What an answer of the node says.
fn answer(said: Result<quorate::admin::api::ProposeResponse, ClientError>) -> Answer {
    match said.map(|response| response.outcome) {
        Ok(ProposeOutcome::Committed { slot, hash, .. }) => Answer::Committed { slot, hash },
        Ok(ProposeOutcome::Duplicate { slot }) => Answer::Duplicate { slot },
        Ok(ProposeOutcome::Rejected { why }) if why.contains("the last slot allowed") => {
            Answer::Expired
        }
        Ok(ProposeOutcome::Rejected { .. }) | Err(ClientError::Refused { .. }) => Answer::Rejected,
        Ok(ProposeOutcome::Unknown | ProposeOutcome::Pending)
        | Err(ClientError::Unreachable { .. }) => Answer::Unknown,
        Err(error @ ClientError::Strange { .. }) => panic!("{error}"),
    }
}
