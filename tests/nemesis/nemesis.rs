//! Strikes a cluster, lifts what it did, and waits until all is well again.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate::limits;
use quorate::types::Slot;

use crate::cluster::{Cluster, Net, SUSPECT_AFTER};
use crate::dice::Dice;
use crate::fault::{Kind, Realm, Strike};
use crate::history::{At, Isolation, Recorder};
use crate::proxy::Noise;
use crate::shim::{EIO, ENOSPC, Orders};
use crate::wires::Cuts;

/// How long a cluster may take to be well again once nothing is wrong any more: a link that is dead and
/// does not know it, a dial and a handshake that ran into the fault, and the sixty timeouts within which
/// the simulator wants progress.
pub(crate) const RECOVERY_MAX: Duration = limits::LINK_SILENCE_MAX
    .saturating_add(limits::CONNECT_DEADLINE)
    .saturating_add(limits::HANDSHAKE_DEADLINE)
    .saturating_add(SUSPECT_AFTER.saturating_mul(60));

/// How long a node may take to notice that its disk fails while values come.
const NOTICE_MAX: Duration = Duration::from_secs(60);

/// What a node ends with when its disk refuses.
const EXIT_STORAGE: i32 = 8;

/// The nemesis of one cluster.
pub(crate) struct Nemesis {
    pub(crate) cluster: Cluster,
    recorder: Arc<Recorder>,
    cuts: Cuts,
    /// Since when each node has been without a quorum.
    alone_since: Vec<Option<At>>,
    /// Nodes that do not run now, or stand still.
    out: Vec<bool>,
    pub(crate) struck: BTreeMap<Kind, usize>,
    pub(crate) longest_recovery: Duration,
    /// Nodes whose disk was made to fail, that ended for it as they should.
    pub(crate) disk_ends: usize,
}

impl Nemesis {
    pub(crate) fn new(cluster: Cluster, recorder: Arc<Recorder>) -> Self {
        let nodes = cluster.nodes();
        Self {
            cluster,
            recorder,
            cuts: Cuts::none(nodes),
            alone_since: vec![None; nodes],
            out: vec![false; nodes],
            struck: BTreeMap::new(),
            longest_recovery: Duration::ZERO,
            disk_ends: 0,
        }
    }

    /// The kinds that this machine and this network can show; one that is missing is said loudly.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let is_there = |kind: &Kind| match kind.realm() {
            Realm::Processes | Realm::Ways => true,
            Realm::Frames => matches!(self.cluster.net, Net::Proxies(..)),
            Realm::Plugs => matches!(self.cluster.net, Net::Spaces(_)),
            Realm::Shim => self.cluster.shim.is_some(),
            Realm::SmallDisk => self.cluster.small.is_some(),
        };
        Kind::ALL.into_iter().filter(is_there).collect()
    }

    /// Applies, holds and lifts; then waits until all is well.
    pub(crate) fn strike(&mut self, strike: &Strike) {
        let mut dice = strike.dice.clone();
        let mut hits = Vec::new();
        for kind in &strike.kinds {
            if !hits.is_empty() {
                // The first one shall have shown itself.
                std::thread::park_timeout(dice.span(Duration::ZERO..=strike.hold / 2));
            }
            let order = self.order(*kind, &mut dice);
            *self.struck.entry(*kind).or_default() += 1;
            self.apply(*kind, &order, &mut dice);
            hits.push((*kind, order));
        }
        self.hold(&hits, strike.hold, &mut dice);
        for (kind, order) in &hits {
            self.lift(*kind, order);
        }
        self.revive();
        self.recover(&strike.kinds);
    }

    /// All nodes; the first are those that are hit.
    fn order(&self, kind: Kind, dice: &mut Dice) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.cluster.nodes()).collect();
        dice.shuffle(&mut order);
        if matches!(kind, Kind::KillProposer | Kind::PauseProposer | Kind::ProposerAlone)
            && let Some(proposer) = self.cluster.proposer()
        {
            let place = order.iter().position(|node| *node == proposer).expect("all are in it");
            order.swap(0, place);
        }
        order
    }

    fn apply(&mut self, kind: Kind, order: &[usize], dice: &mut Dice) {
        let nodes = order.len();
        let majority = &order[..nodes / 2 + 1];
        match kind {
            Kind::KillOne | Kind::KillProposer => self.kill(&order[..1]),
            Kind::KillMajority => self.kill(majority),
            Kind::KillAll => self.kill(order),
            Kind::Leave => {
                let code = self.cluster.leave(order[0]);
                assert!(matches!(code, Some(0) | None), "n{} left with {code:?}", order[0] + 1);
                self.change(|nemesis| nemesis.out[order[0]] = true);
            }
            Kind::PauseOne | Kind::PauseProposer => self.pause(&order[..1]),
            Kind::PauseMajority => self.pause(majority),
            Kind::Halves => self.cut(Cuts::apart(nodes, &order[..nodes / 2])),
            Kind::Minority => {
                let some = 1 + dice.below((nodes - 1) / 2);
                self.cut(Cuts::apart(nodes, &order[..some]));
            }
            Kind::ProposerAlone => self.cut(Cuts::apart(nodes, &order[..1])),
            Kind::Bridge => self.cut(Cuts::bridge(order)),
            Kind::Ring => self.cut(Cuts::ring(order)),
            Kind::OneWay => self.cut(Cuts::one_way(order, dice)),
            Kind::Shattered => self.cut(Cuts::shattered(nodes)),
            Kind::Plug => {
                self.plug(order[0], false);
            }
            Kind::Late => {
                let by = dice.span(Duration::from_millis(5)..=SUSPECT_AFTER);
                self.cluster.net.noise(Some(Noise::Late(by)));
            }
            Kind::Trickle => self.cluster.net.noise(Some(Noise::Trickle)),
            Kind::Twice => self.cluster.net.noise(Some(Noise::Twice)),
            Kind::Overtaken => self.cluster.net.noise(Some(Noise::Overtaken)),
            Kind::Lost => self.cluster.net.noise(Some(Noise::Lost)),
            Kind::Broken => self.cluster.net.noise(Some(Noise::Broken)),
            Kind::SlowSync => {
                // Beyond a timeout the node is unhealthy; below it all are merely slow.
                for node in &order[..1 + dice.below(nodes)] {
                    let sync_wait = dice.span(Duration::from_millis(5)..=2 * SUSPECT_AFTER);
                    self.cluster.order(*node, Orders { sync_wait, ..Orders::default() });
                }
            }
            Kind::ShortWrite => {
                for node in order {
                    let write_bytes_max = 1 + dice.below(700) as i64;
                    self.cluster.order(*node, Orders { write_bytes_max, ..Orders::default() });
                }
            }
            Kind::FailedSync => {
                let orders = Orders { sync_error: EIO, ..Orders::default() };
                self.cluster.order(order[0], orders);
            }
            Kind::FailedWrite => {
                let write_error = if dice.chance(50) { EIO } else { ENOSPC };
                self.cluster.order(order[0], Orders { write_error, ..Orders::default() });
            }
            Kind::FullDisk => {
                self.cluster.small.as_ref().expect("the kind is there").fill();
            }
            // Done while it holds.
            Kind::Clock | Kind::Flapping => {}
            Kind::Torn => self.cluster.net.noise(Some(Noise::Late(SUSPECT_AFTER / 3))),
        }
    }

    fn hold(&mut self, hits: &[(Kind, Vec<usize>)], hold: Duration, dice: &mut Dice) {
        let is_there = |wanted: Kind| hits.iter().any(|(kind, _)| *kind == wanted);
        // Two of those whom it hits must be replaced.
        let least = if is_there(Kind::Torn) { 8 * SUSPECT_AFTER } else { hold };
        let end = Instant::now() + hold.max(least);
        let restless = |kind: Kind| matches!(kind, Kind::Clock | Kind::Flapping | Kind::Torn);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            for (kind, order) in hits.iter().filter(|(kind, _)| restless(*kind)) {
                self.stir(*kind, order, dice);
            }
            let is_cut = self.cuts != Cuts::none(self.out.len());
            let piece = match hits.iter().any(|(kind, _)| restless(*kind)) {
                true if is_there(Kind::Torn) && is_cut => {
                    dice.span(2 * SUSPECT_AFTER..=3 * SUSPECT_AFTER)
                }
                true => dice.span(SUSPECT_AFTER / 10..=SUSPECT_AFTER / 2),
                false => left,
            };
            std::thread::park_timeout(piece.min(left));
        }
        let is_alone = hits.len() == 1;
        // A disk that fails ends its node as soon as something is to be written.
        for (kind, order) in hits {
            match kind {
                Kind::FailedSync => self.ends(order[0], is_alone, "sync", "disk errors"),
                Kind::FailedWrite => self.ends(order[0], is_alone, "", ""),
                Kind::FullDisk => self.ends(order.len() - 1, is_alone, "", "the disk is full"),
                _ => {}
            }
        }
    }

    fn stir(&mut self, kind: Kind, order: &[usize], dice: &mut Dice) {
        let nodes = order.len();
        match kind {
            Kind::Clock => {
                let century = 100 * 365 * 24 * 3_600;
                let scale = [10, 3_600, century][dice.below(3)];
                // Not before 1970: there is no such time for a node.
                let back = [scale, 3_600][usize::from(scale == century)] as i64;
                let clock_shift_seconds = dice.below(2 * scale) as i64 - back;
                let orders = Orders { clock_shift_seconds, ..Orders::default() };
                self.cluster.order(order[dice.below(nodes)], orders);
            }
            Kind::Torn if self.cuts != Cuts::none(nodes) => self.cut(Cuts::none(nodes)),
            Kind::Torn => {
                let order = self.order(Kind::ProposerAlone, dice);
                self.cut(Cuts::apart(nodes, &order[..(nodes - 1) / 2]));
            }
            _ if dice.chance(40) => self.cut(Cuts::none(nodes)),
            _ => {
                let some = 1 + dice.below(nodes - 1);
                let mut group = order.to_vec();
                dice.shuffle(&mut group);
                self.cut(Cuts::apart(nodes, &group[..some]));
            }
        }
    }

    /// A node whose disk refuses ends by itself, with its own code and a sentence. Where something else
    /// goes wrong as well it may have nothing to write.
    fn ends(&mut self, node: usize, is_alone: bool, action: &str, hint: &str) {
        let deadline = Instant::now() + if is_alone { NOTICE_MAX } else { Duration::ZERO };
        loop {
            if let Some((code, text)) = self.cluster.ended(node) {
                assert_eq!(code, Some(EXIT_STORAGE), "n{} ended with\n{text}", node + 1);
                let directory = self.cluster.data(node).display().to_string();
                for part in [
                    "node.failed",
                    "cannot ",
                    action,
                    &directory,
                    "nothing acknowledged is lost",
                    hint,
                ] {
                    assert!(text.contains(part), "no {part:?} in\n{text}");
                }
                self.disk_ends += 1;
                return self.change(|nemesis| nemesis.out[node] = true);
            }
            if Instant::now() > deadline {
                let text = self.cluster.text(node);
                assert!(!is_alone, "the disk of n{} fails, and it goes on:\n{text}", node + 1);
                // It could still notice when nothing is wrong any more.
                return self.kill(&[node]);
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    fn lift(&mut self, kind: Kind, order: &[usize]) {
        if kind == Kind::Torn {
            self.cluster.net.noise(None);
        }
        match kind.realm() {
            Realm::Ways => self.cut(Cuts::none(order.len())),
            Realm::Plugs => self.plug(order[0], true),
            Realm::Frames => self.cluster.net.noise(None),
            Realm::Shim => {
                for node in order {
                    self.cluster.order(*node, Orders::default());
                }
            }
            Realm::SmallDisk => self.cluster.small.as_ref().expect("the kind is there").clear(),
            Realm::Processes => {}
        }
    }

    /// The dead come back, whoever killed them, and who stands still goes on.
    fn revive(&mut self) {
        let out = std::mem::take(&mut self.out);
        self.out = vec![false; out.len()];
        self.change(|_| {});
        for node in (0..out.len()).filter(|node| out[*node]) {
            if self.cluster.runs(node) {
                self.cluster.go_on(node);
            } else {
                self.cluster.restart(node);
            }
        }
    }

    fn kill(&mut self, nodes: &[usize]) {
        for node in nodes {
            self.cluster.kill(*node);
        }
        self.change(|nemesis| nodes.iter().for_each(|node| nemesis.out[*node] = true));
    }

    fn pause(&mut self, nodes: &[usize]) {
        for node in nodes {
            self.cluster.pause(*node);
        }
        self.change(|nemesis| nodes.iter().for_each(|node| nemesis.out[*node] = true));
    }

    fn cut(&mut self, cuts: Cuts) {
        // Who is cut off now stays so until the first way opens.
        self.change(|nemesis| nemesis.cuts = Cuts::none(cuts.nodes()));
        self.cluster.net.cut(&cuts);
        self.change(|nemesis| nemesis.cuts = cuts);
    }

    fn plug(&mut self, node: usize, is_in: bool) {
        let nodes = self.out.len();
        self.change(|nemesis| nemesis.cuts = Cuts::none(nodes));
        if let Net::Spaces(spaces) = &self.cluster.net {
            spaces.plug(node, is_in);
        }
        if !is_in {
            self.change(|nemesis| nemesis.cuts = Cuts::apart(nodes, &[node]));
        }
    }

    /// Notes who is without a quorum: a fault is noted when it is in force, its end before it is lifted.
    fn change(&mut self, note: impl FnOnce(&mut Self)) {
        note(self);
        let runs: Vec<bool> = self.out.iter().map(|out| !out).collect();
        let now = self.recorder.now();
        for (node, is_alone) in self.cuts.without_quorum(&runs).into_iter().enumerate() {
            match (is_alone, self.alone_since[node]) {
                (true, None) => self.alone_since[node] = Some(now),
                (false, Some(from)) => {
                    let isolation = Isolation { node, from, to: now };
                    self.recorder.with(|history| history.isolations.push(isolation));
                    self.alone_since[node] = None;
                }
                _ => {}
            }
        }
    }

    /// Waits until something new is acknowledged, and every node has it.
    fn recover(&mut self, kinds: &[Kind]) {
        let (lifted, start) = (self.recorder.now(), Instant::now());
        let is_late = |what: &str, nemesis: &mut Self| {
            nemesis.nobody_ended();
            if start.elapsed() > RECOVERY_MAX {
                let texts = (0..nemesis.cluster.nodes()).map(|node| {
                    format!(
                        "n{}: {:?}\n{}",
                        node + 1,
                        nemesis.cluster.status(node),
                        nemesis.cluster.text(node)
                    )
                });
                panic!(
                    "{what}: not within {RECOVERY_MAX:?} of {kinds:?}\n{}",
                    texts.collect::<String>()
                );
            }
            std::thread::park_timeout(Duration::from_millis(5));
        };
        while !self.recorder.is_acknowledged_since(lifted) {
            is_late("nothing is acknowledged", self);
        }
        let known = self.recorder.with(|history| {
            history.attempts.iter().rev().take(100).filter_map(|it| it.answer.slot()).max()
        });
        for node in 0..self.cluster.nodes() {
            let holds = |nemesis: &Self| {
                let status = nemesis.cluster.status(node)?;
                Some(status.ready && status.committed.slot >= known.unwrap_or(Slot(0)))
            };
            while holds(self) != Some(true) {
                is_late("a node does not catch up", self);
            }
        }
        self.longest_recovery = self.longest_recovery.max(start.elapsed());
    }

    /// No node ends but by what was done to it.
    fn nobody_ended(&mut self) {
        for node in 0..self.cluster.nodes() {
            if let Some((code, text)) = self.cluster.ended(node) {
                panic!("n{} ended by itself with {code:?}:\n{text}", node + 1);
            }
        }
    }
}

/// How long strikes hold.
pub(crate) fn hold(is_long: bool) -> RangeInclusive<Duration> {
    match is_long {
        // Long enough for links to be given up, and for held connections to pile up.
        true => Duration::from_millis(200)..=limits::LINK_SILENCE_MAX + Duration::from_secs(1),
        false => Duration::from_millis(400)..=Duration::from_millis(800),
    }
}
