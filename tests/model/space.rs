//! What may happen next, and what follows from it.

use quorate::consensus::Input;
use quorate::types::Round;
use stateright::{Model, Property};

use super::bounds::{Bounds, Disk};
use super::cluster::Cluster;
use super::network::Wire;

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Deliver(Wire),
    /// All votes on their way to this member.
    Votes(usize),
    Lead(usize, Round),
    Offer(usize),
    Sync(usize),
    /// With this many unsynced batches on the disk nevertheless.
    Crash(usize, usize),
}

/// What becomes of the records that a step makes a member write, where disks write at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    Synced,
    /// The member crashes after this many syncs.
    Crashed(usize),
}

impl Bounds {
    /// Votes are handed over all at once: one of many decides nothing alone.
    fn are_together(&self) -> bool {
        self.members > 3 && !self.apart
    }

    /// A vote that decides nothing where it arrives is not told apart from one that is still on its way:
    /// with three members a vote counts with the own one, or not at all.
    fn waits_to_decide(&self) -> bool {
        !self.apart
    }

    fn decided(&self, before: &Cluster, after: &Cluster, seat: usize, sent: usize) -> bool {
        after.seats[seat].machine.state() != before.seats[seat].machine.state()
            || after.leads(seat) != before.leads(seat)
            || after.mail.len() != sent
            || after.oracle.broken().is_some()
    }

    /// A crash of who neither leads nor wants to is a message lost.
    fn is_at_stake(&self, cluster: &Cluster, seat: usize) -> bool {
        let own = |round| self.config().proposer(round) == self.config().members[seat];
        cluster.seats[seat].machine.state().promised.is_some_and(own)
    }

    fn act(&self, before: &Cluster, after: &mut Cluster, action: &Action) -> Option<usize> {
        match *action {
            Action::Deliver(wire) => {
                let message = after.mail.take(self.network, &wire);
                let sent = after.mail.len();
                after.hand_over(self, &wire, message);
                let decided = wire.kind != "vote"
                    || !self.waits_to_decide()
                    || self.decided(before, after, wire.to, sent);
                decided.then_some(wire.to)
            }
            Action::Votes(to) => {
                let is_one = |wire: &&Wire| wire.to == to && wire.kind == "vote";
                let wires: Vec<_> = before.mail.wires().filter(is_one).copied().collect();
                let all: Vec<_> = wires
                    .into_iter()
                    .map(|wire| (wire, after.mail.take(self.network, &wire)))
                    .collect();
                let sent = after.mail.len();
                for (wire, message) in all {
                    after.hand_over(self, &wire, message);
                }
                self.decided(before, after, to, sent).then_some(to)
            }
            Action::Lead(seat, round) => {
                after.tell(self, seat, Input::Lead { round });
                Some(seat)
            }
            Action::Offer(seat) => {
                after.offer(self, seat);
                Some(seat)
            }
            Action::Sync(seat) => {
                after.sync(self, seat);
                Some(seat)
            }
            Action::Crash(seat, batches) => {
                after.crash(self, seat, batches);
                Some(seat)
            }
        }
    }
}

impl Model for Bounds {
    type State = Cluster;
    type Action = (Action, Outcome);

    fn init_states(&self) -> Vec<Cluster> {
        vec![Cluster::new(self)]
    }

    fn actions(&self, cluster: &Cluster, actions: &mut Vec<(Action, Outcome)>) {
        let next = cluster.highest().map_or(Round(0), Round::next);
        let proposer = self.config().proposer(next);
        let are_together = self.are_together();
        let mut possible = Vec::new();
        for wire in cluster.mail.wires() {
            if !(are_together && wire.kind == "vote") {
                possible.push(Action::Deliver(*wire));
            }
        }
        for (index, seat) in cluster.seats.iter().enumerate() {
            let has_votes = || cluster.mail.wires().any(|w| w.to == index && w.kind == "vote");
            if are_together && has_votes() {
                possible.push(Action::Votes(index));
            }
            if next.0 <= self.rounds && proposer == self.config().members[index] {
                possible.push(Action::Lead(index, next));
            }
            let standing = cluster.standing(index);
            let offered = cluster.offered.get(standing.round.0 as usize).copied().unwrap_or(0);
            if standing.leading && standing.last.slot.0 < self.slots && offered < self.values {
                possible.push(Action::Offer(index));
            }
            if self.disk == Disk::Later {
                if !seat.unsynced.is_empty() {
                    possible.push(Action::Sync(index));
                }
                if cluster.crashes < self.crashes {
                    let all = 0..=seat.unsynced.len();
                    possible.extend(all.map(|batches| Action::Crash(index, batches)));
                }
            }
        }
        let may_crash = self.disk == Disk::AtOnce && cluster.crashes < self.crashes;
        for action in possible {
            if may_crash {
                actions.push((action.clone(), Outcome::Crashed(0)));
                actions.push((action.clone(), Outcome::Crashed(1)));
            }
            actions.push((action, Outcome::Synced));
        }
    }

    fn next_state(
        &self,
        before: &Cluster,
        (action, outcome): (Action, Outcome),
    ) -> Option<Cluster> {
        if before.oracle.broken().is_some() {
            return None;
        }
        let mut after = before.clone();
        let seat = self.act(before, &mut after, &action)?;
        match (self.disk, outcome) {
            (Disk::Later, _) => {}
            (Disk::AtOnce, Outcome::Synced) => after.sync_all(self, seat),
            (Disk::AtOnce, Outcome::Crashed(syncs)) => {
                for _ in 0..syncs {
                    if after.seats[seat].unsynced.is_empty() {
                        return None;
                    }
                    after.sync(self, seat);
                }
                if after.seats[seat].unsynced.is_empty() || !self.is_at_stake(&after, seat) {
                    return None;
                }
                after.crash(self, seat, 0);
                after.sync_all(self, seat);
            }
        }
        if !self.slow {
            after.pull(self);
        }
        after.renew(Some((before, self)));
        Some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("every rule", |_, cluster| cluster.oracle.broken().is_none()),
            Property::<Self>::sometimes("sometimes all slots become final", |bounds, cluster| {
                cluster.oracle.slots() == bounds.slots
            }),
            Property::<Self>::sometimes("sometimes a tail is carried over", |bounds, cluster| {
                cluster.oracle.carried() || bounds.rounds == 0
            }),
            Property::<Self>::sometimes("sometimes every round commits", |bounds, cluster| {
                (0..=bounds.rounds).all(|round| cluster.oracle.chose(Round(round)))
            }),
            Property::<Self>::sometimes("sometimes a crash strikes", |bounds, cluster| {
                cluster.crashes == bounds.crashes
            }),
        ]
    }
}
