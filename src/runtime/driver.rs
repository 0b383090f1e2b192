//! The one task that owns the engine. Whatever happens becomes an input here, and nothing here waits
//! for a peer or the disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Address;
use crate::consensus::{Entry, EpochConfig};
use crate::engine::{Engine, Input};
use crate::runtime::alarm::Alarm;
use crate::runtime::answer::{Queues, ReadError, RelistError, Status};
use crate::runtime::command::Command;
use crate::runtime::disk::{Reading, Report};
use crate::runtime::executor::Executor;
use crate::runtime::failure::RunError;
use crate::runtime::handle::Facts;
use crate::runtime::round_trips::RoundTrips;
use crate::runtime::wording::word;
use crate::transport::Incoming;
use crate::types::{MessageId, NodeId, Time};
use crate::wire::{Payload, Pong};

/// How many arrivals are taken in one turn, under one stamp of the clock. Each may hold all the
/// messages of one read of a socket.
const ARRIVALS: usize = 16;

/// How many commands are taken in one turn.
const ORDERS: usize = 256;

/// How many ticks one turn gives at most; the alarm brings those beyond.
const TICKS: usize = 4;

/// How long links may take to send what waits when the node stops.
const GOODBYE: Duration = Duration::from_millis(500);

/// What comes in.
pub(super) struct Sources {
    /// From the sockets.
    pub(super) inbox: mpsc::Receiver<Incoming>,
    /// From clients.
    pub(super) commands: mpsc::Receiver<Command>,
    /// Who asks where the node stands. They are answered however far behind the disk is.
    pub(super) questions: mpsc::Receiver<oneshot::Sender<Status>>,
    /// From the disk.
    pub(super) reports: mpsc::Receiver<Report>,
    /// The wish to stop.
    pub(super) stop: CancellationToken,
}

/// The task.
pub(super) struct Driver {
    pub(super) facts: Arc<Facts>,
    /// Which life of the node this is.
    pub(super) start: u64,
    pub(super) engine: Engine,
    pub(super) executor: Executor,
    pub(super) sources: Sources,
    /// The start of the clock.
    pub(super) started: Instant,
    pub(super) alarm: Alarm,
    /// Names read barriers.
    pub(super) tokens: u64,
    pub(super) round_trips: RoundTrips,
}

impl Driver {
    /// Runs until asked to stop, or until the node must.
    ///
    /// # Errors
    /// [`RunError`] if it must.
    pub(super) async fn run(mut self) -> Result<(), RunError> {
        let ended = match self.drive().await {
            Ok(()) => self.input(Input::Leave).and_then(|()| self.executor.persist()),
            Err(error) => Err(error),
        };
        self.close(ended).await
    }

    async fn drive(&mut self) -> Result<(), RunError> {
        let mut arrived = Vec::with_capacity(ARRIVALS);
        let mut commands = Vec::with_capacity(ORDERS);
        while !self.sources.stop.is_cancelled() {
            let awake = self.set_alarm();
            // While the disk is behind, peers and clients wait in their own queues, which are bounded.
            let open = !self.executor.is_full();
            let (sources, alarm) = (&mut self.sources, &mut self.alarm);
            tokio::select! {
                () = sources.stop.cancelled() => return Ok(()),
                report = sources.reports.recv() => match report {
                    Some(report) => self.report(report)?,
                    // Its last words were read; `close` finds out what ended it.
                    None => return Ok(()),
                },
                1.. = sources.inbox.recv_many(&mut arrived, ARRIVALS), if open => {
                    let now = self.now();
                    for incoming in arrived.drain(..) {
                        self.hear(now, incoming)?;
                    }
                }
                1.. = sources.commands.recv_many(&mut commands, ORDERS), if open => {
                    let now = self.now();
                    for command in commands.drain(..) {
                        self.obey(now, command)?;
                    }
                }
                Some(asking) = sources.questions.recv() => {
                    // Who asked may have gone.
                    let _ = asking.send(self.status(self.now()));
                }
                () = alarm.ring(), if awake => {
                    if !open {
                        self.input(Input::Deaf)?;
                    }
                    self.input(Input::Tick)?;
                }
            }
            if self.is_due() {
                // Sockets and clients bring what they have: one record and one message serve it all.
                tokio::task::yield_now().await;
                self.take_waiting()?;
                self.tick_what_is_due()?;
            }
            self.executor.end_turn(self.now())?;
            self.executor.publisher().count();
            self.ask_peers();
        }
        Ok(())
    }

    /// Heartbeats wake this loop often enough wherever a link leads to anyone. Strangers are not asked: their
    /// answers are not heard.
    fn ask_peers(&mut self) {
        let now = self.now();
        let belongs =
            |config: &EpochConfig, peer| config.is_member(peer) || config.learners.contains(&peer);
        for peer in self.round_trips.due(now) {
            if self.engine.epoch().is_some_and(|config| !belongs(config, peer)) {
                continue;
            }
            let id = MessageId::from(Uuid::new_v4());
            self.executor.ping(id, peer);
            self.round_trips.asked(now, peer, id);
        }
    }

    /// Whether the engine wants to be woken now.
    fn is_due(&self) -> bool {
        self.engine.wake().is_some_and(|wake| wake <= self.now())
    }

    /// Takes what waits already, at most a batch of each kind.
    fn take_waiting(&mut self) -> Result<(), RunError> {
        for _ in 0..ARRIVALS {
            let Ok(report) = self.sources.reports.try_recv() else { break };
            self.report(report)?;
        }
        // Reports are stamped one by one, and the clock of the engine never goes back.
        let now = self.now();
        for _ in 0..ARRIVALS {
            if self.executor.is_full() {
                return Ok(());
            }
            let Ok(incoming) = self.sources.inbox.try_recv() else { break };
            self.hear(now, incoming)?;
        }
        for _ in 0..ORDERS {
            if self.executor.is_full() {
                return Ok(());
            }
            let Ok(command) = self.sources.commands.try_recv() else { break };
            self.obey(now, command)?;
        }
        Ok(())
    }

    /// What one turn left to be done at once is done in it: the alarm waits for a millisecond at least.
    fn tick_what_is_due(&mut self) -> Result<(), RunError> {
        for _ in 0..TICKS {
            if !self.is_due() {
                break;
            }
            self.input(Input::Tick)?;
        }
        Ok(())
    }

    /// Sets the alarm to when the engine wants to be woken; says whether it does.
    fn set_alarm(&mut self) -> bool {
        let Some(wake) = self.engine.wake() else { return false };
        self.alarm.set(self.started + wake.since_start());
        true
    }

    fn now(&self) -> Time {
        Time::from_start(self.started.elapsed())
    }

    fn input(&mut self, input: Input) -> Result<(), RunError> {
        self.take(self.now(), input)
    }

    fn take(&mut self, now: Time, input: Input) -> Result<(), RunError> {
        let effects = self.engine.handle(now, input);
        self.executor.run(now, effects)
    }

    fn hear(&mut self, now: Time, incoming: Incoming) -> Result<(), RunError> {
        match incoming {
            Incoming::Met { listed, node } => self.take(now, Input::Met { listed, node }),
            Incoming::LinkUp { peer, name, address } => {
                self.executor.publisher().met(peer, &name);
                self.round_trips.linked(peer);
                self.take(now, Input::LinkUp { peer, name, address })
            }
            Incoming::LinkDown { peer } => {
                self.round_trips.unlinked(peer);
                self.take(now, Input::LinkDown { peer })
            }
            Incoming::DialRefused { peer } => self.take(now, Input::DialRefused { peer }),
            Incoming::Doubled { by, name } => self.doubled(now, by, name),
            Incoming::Frames(messages) => {
                for message in messages {
                    if let Payload::Pong(Pong { re: Some(re), .. }) = &message.payload {
                        self.round_trips.answered(now, message.from, *re);
                    }
                    self.take(now, Input::Frame(message))?;
                }
                Ok(())
            }
        }
    }

    /// Going on beside a newer process of the same identity could break the promises of both. A stranger
    /// is not believed; before there is a cluster, the transport passes on only what is said at a listed address.
    fn doubled(&self, now: Time, by: NodeId, name: String) -> Result<(), RunError> {
        let me = self.facts.id;
        let is_member = |config: EpochConfig| config.members.contains(&by);
        if by != me && !self.engine.status(now).log.config.is_none_or(is_member) {
            return Ok(());
        }
        let witness = match by == me {
            true => format!("it has met {}", word(&name)),
            false => format!("{} ({by}) says so", word(&name)),
        };
        Err(RunError::Doubled { node: me, start: self.start, witness })
    }

    fn report(&mut self, report: Report) -> Result<(), RunError> {
        match report {
            Report::Synced { through, took } => {
                self.executor.synced(through);
                self.input(Input::Synced { through, took })
            }
            Report::Served { serve, entries } => {
                let after = entries.first().map(Entry::parent);
                let found = after.map(|after| self.engine.served(serve, after, &entries));
                self.executor.served(found)
            }
            Report::Failed(error) => Err(error.into()),
        }
    }

    fn obey(&mut self, now: Time, command: Command) -> Result<(), RunError> {
        match command {
            Command::Propose { proposal, wait, reply } => {
                let id = proposal.id;
                self.executor.publisher().await_outcome(id, reply, wait);
                self.take(now, Input::Submit(proposal))?;
                self.executor.publisher().taken(id);
            }
            Command::Read { reply } if self.engine.epoch().is_none() => {
                // Who asked may have gone.
                let _ = reply.send(Err(ReadError::NotFormed));
            }
            Command::Read { reply } => {
                self.tokens += 1;
                let token = self.tokens;
                self.executor.publisher().await_read(token, reply);
                self.take(now, Input::Read { token })?;
            }
            Command::Entries { from, through, weight_max, reply } => {
                self.executor.read(Reading::ForClient { from, through, weight_max, reply })?;
            }
            Command::Send { to, text, reply } => {
                let id = MessageId::from(Uuid::new_v4());
                self.executor.publisher().await_delivery(id, reply);
                self.take(now, Input::Send { id, to, text })?;
            }
            Command::Relist { listed, redial_min, redial_max, reply } => {
                // Who asked may have gone.
                let _ = reply.send(self.relist(listed, redial_min, redial_max));
            }
        }
        Ok(())
    }

    fn relist(
        &mut self,
        listed: Vec<Address>,
        redial_min: Duration,
        redial_max: Duration,
    ) -> Result<(), RelistError> {
        let transport = self.executor.sockets();
        if !transport.is_listed(&listed) {
            if self.engine.epoch().is_none() {
                return Err(RelistError::NotFormed);
            }
            let (old, new) = (transport.listed(), listed.len());
            if old != new {
                return Err(RelistError::OtherCount { old, new });
            }
        }
        transport.relist(listed, redial_min, redial_max);
        Ok(())
    }

    fn status(&self, now: Time) -> Status {
        Status {
            id: self.facts.id,
            name: self.facts.name.clone(),
            cluster: self.facts.cluster.clone(),
            address: self.facts.address,
            now,
            engine: self.engine.status(now),
            listed: self.facts.listed.clone(),
            transport: self.executor.transport(),
            queues: Queues {
                inbox: self.sources.inbox.len(),
                commands: self.sources.commands.len(),
                disk: self.executor.handed(),
            },
            round_trips: self.round_trips.known(),
        }
    }

    /// Lets the links say goodbye, and the disk finish what waits; one that hangs is left behind, with its threads.
    async fn close(self, ended: Result<(), RunError>) -> Result<(), RunError> {
        let Self { executor, sources, .. } = self;
        let Sources { inbox, commands, questions, mut reports, .. } = sources;
        // Whoever waits is told at once that no answer comes.
        drop((inbox, commands, questions));
        let hangs = executor.hangs();
        let patience = match ended {
            Err(RunError::DiskStalled { .. }) => GOODBYE,
            Ok(()) | Err(_) => executor.hangs_after(),
        };
        let (disk, transport) = executor.into_parts();
        let threads = disk.close();
        transport.close(GOODBYE).await;
        let mut written = Ok(());
        loop {
            match tokio::time::timeout(patience, reports.recv()).await {
                Ok(Some(Report::Failed(error))) => written = Err(error.into()),
                Ok(Some(Report::Synced { .. } | Report::Served { .. })) => {}
                Ok(None) => break,
                Err(_) => return ended.and(Err(hangs)),
            }
        }
        // Their reports have ended, so they are at their end.
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        ended.and(written)
    }
}

#[cfg(test)]
#[path = "driver/hanging.rs"]
mod hanging;
