//! One run from one seed: faults while clients work, then calm, and then everything must come right.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::consensus;
use crate::engine::Settings;
use crate::sim::checker::{Invariant, Violation};
use crate::sim::clock::Moment;
use crate::sim::cluster::{Cluster, Setup};
use crate::sim::counters::Counters;
use crate::sim::doom::Doom;
use crate::sim::fault::{self, Fault, Faults, Shape};
use crate::sim::finale::{self, Finale};
use crate::sim::happening::Happening;
use crate::sim::network::Weather;
use crate::sim::rng::{Rng, mix};
use crate::sim::story::Story;
use crate::sim::transcript::Transcript;
use crate::storage;
use crate::types::{Digest, NodeId, Slot};

/// What a run is to be; the rest is drawn from the seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// How many nodes, 1 to 64; drawn if none.
    pub nodes: Option<usize>,
    /// Which faults may strike.
    pub faults: Faults,
    /// A partition of this shape is among them, whatever else is drawn.
    pub partition: Option<Shape>,
    /// Whether to keep a transcript.
    pub transcript: bool,
    /// Invariants that are not looked at: what else would find a mistake that these find.
    pub unseen: &'static [Invariant],
    /// Whether to keep what a chart is drawn from.
    pub story: bool,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// Replays it.
    pub seed: u64,
    /// How many nodes took part.
    pub nodes: usize,
    /// The invariant that broke, if one did.
    pub violation: Option<Violation>,
    /// How many entries were chosen.
    pub chosen: Slot,
    /// What all logs amount to in the end.
    pub digest: Digest,
    /// How long it lasted in the world's own time.
    pub lasted: Duration,
    /// How much of that the cluster needed to come right after the last fault.
    pub recovered_in: Duration,
    /// How many things happened.
    pub steps: u64,
    /// A number that only an equal run has.
    pub fingerprint: u64,
    /// How often rare branches were taken.
    pub counters: Counters,
    /// What happened, line by line, if it was asked for.
    pub transcript: Vec<String>,
    /// What a chart is drawn from, if it was asked for.
    pub story: Option<Story>,
}

/// Which drawing this is: the same seed means the same run as long as this number stays. It grows with every
/// change of what is drawn, or in which order.
pub const DRAWING: u32 = 3;

/// T of these runs. Small, so that a run has room for several round changes.
const SUSPECT_AFTER: Duration = Duration::from_millis(120);

/// Within how many T everything must come right once faults have stopped. A candidate may have doubled
/// its patience up to 8 T before, and a client waits before it asks again.
const CALM_TIMEOUTS: u32 = 60;

/// How often it is looked at whether everything came right.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Runs one seed to its end.
pub fn run(options: &Options) -> Report {
    let mut rng = Rng::new(mix(options.seed, 0, 1));
    let setup = draw_setup(options, &mut rng);
    let size = setup.size;
    let mut transcript = if options.transcript { Transcript::on() } else { Transcript::off() };
    if options.story {
        transcript.tell_story(size);
    }
    let mut cluster = Cluster::new(setup, transcript);
    cluster.checker.overlook(options.unseen);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let (calm_from, finale) = draw_schedule(options, &mut rng, &mut cluster);
        cluster.run_until(calm_from);
        if cluster.violation.is_none() {
            cluster.calm_down();
        }
        let took = come_right(&mut cluster, calm_from);
        match finale {
            Some(finale)
                if cluster.violation.is_none() && finale::play(finale, &mut rng, &mut cluster) =>
            {
                let again_from = cluster.now;
                took.max(come_right(&mut cluster, again_from))
            }
            Some(_) | None => took,
        }
    }));
    let recovered_in = outcome.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        cluster.judge(None, Err((Invariant::Assertion, said.unwrap_or_default())));
        Duration::ZERO
    });
    Report {
        seed: options.seed,
        nodes: size,
        violation: cluster.violation.clone(),
        chosen: cluster.checker.chosen().slot,
        digest: cluster.checker.chosen().hash,
        lasted: cluster.now.since_start(),
        recovered_in,
        steps: cluster.steps,
        fingerprint: cluster.fingerprint(),
        counters: cluster.counters,
        transcript: cluster.transcript.take(),
        story: cluster.transcript.take_story(),
    }
}

fn draw_setup(options: &Options, rng: &mut Rng) -> Setup {
    let drawn = *rng.pick(&[3, 3, 3, 3, 3, 5, 5, 5, 4, 2, 1, 3, 5, 7, 3, 4]);
    let size = options.nodes.unwrap_or(drawn);
    let window_slots = *rng.pick(&[2, 8, 64, 4096]);
    let retained_slots = *rng.pick(&[0, 2, 16, 1024]);
    let micros = Duration::from_micros;
    let network = options.faults.network();
    let mut per_mille = |odds: u64, most: u64| {
        if network && rng.chance(odds) { rng.within(1..=most) } else { 0 }
    };
    let weather = Weather {
        loss: per_mille(400, 150),
        duplication: per_mille(400, 100),
        reordering: per_mille(400, 100),
        latency: micros(100)..=micros(600),
    };
    let slowest = rng.within(200..=8_000);
    Setup {
        seed: options.seed,
        size,
        engine: Settings {
            heartbeat_interval: Duration::from_millis(30),
            listed: size,
            consensus: consensus::Settings {
                suspect_after: SUSPECT_AFTER,
                takeover_step: Duration::from_millis(8),
                window_slots,
                retained_slots,
                ..consensus::Settings::default()
            },
        },
        storage: storage::Settings {
            journal_bytes: *rng.pick(&[4_096, 16_384]),
            segment_bytes: *rng.pick(&[512, 4_096]),
            retained_slots,
            ..storage::Settings::new(NodeId::from_u128(0))
        },
        weather: Weather { latency: micros(50)..=micros(slowest), ..weather },
        sync: micros(100)..=micros(rng.within(150..=6_000)),
        redial: Duration::from_millis(5)..=Duration::from_millis(40),
        downtime: Some(Duration::from_millis(1)..=Duration::from_millis(rng.within(2..=400))),
        drift_ppm: if rng.chance(300) { 50_000 } else { 100 },
        must_form: rng.chance(100),
    }
}

/// Draws what clients ask and what goes wrong when. Gives the moment at which faults stop.
///
/// Most schedules strike anywhere. A succession strikes one proposer after another while clients
/// ask: that leaves tails of several rounds behind, which chance alone hardly ever does.
fn draw_schedule(
    options: &Options,
    rng: &mut Rng,
    cluster: &mut Cluster,
) -> (Moment, Option<Finale>) {
    if options.faults.network() && cluster.setup.size > 1 && rng.chance(300) {
        cluster.counters.lopsided_networks += 1;
        let factor = u32::try_from(rng.within(3..=30)).expect("small");
        cluster.network.slow_some_ways(rng, factor);
    }
    let is_succession = options.faults == Faults::All && cluster.setup.size > 2 && rng.chance(300);
    let lasts = if is_succession {
        draw_succession(rng, cluster)
    } else {
        draw_anywhere(options, rng, cluster)
    };
    if rng.chance(300) {
        for _ in 0..rng.within(1..=5) {
            let at = Moment::ZERO + rng.span(Duration::ZERO..=lasts);
            let node = rng.index(cluster.setup.size);
            let to = rng.chance(500).then(|| rng.index(cluster.setup.size));
            cluster.plan_text(at, node, to);
        }
    }
    let finale = finale::draw(options.faults, rng, cluster, lasts);
    (Moment::ZERO + lasts, finale)
}

fn draw_anywhere(options: &Options, rng: &mut Rng, cluster: &mut Cluster) -> Duration {
    let lasts = Duration::from_millis(rng.within(200..=700));
    let some_time = |rng: &mut Rng| Moment::ZERO + rng.span(Duration::ZERO..=lasts);
    for _ in 0..rng.within(3..=14) {
        let at = some_time(rng);
        draw_proposal(rng, cluster, at);
    }
    for _ in 0..rng.below(4) {
        let at = some_time(rng);
        cluster.plan_read(at);
    }
    let mut faults = Vec::new();
    for _ in 0..rng.within(0..=6) {
        faults.extend(fault::draw(rng, options.faults, cluster.setup.size));
    }
    faults.extend(options.partition.map(|shape| (Fault::Split(shape), Some(Fault::Heal))));
    for (fault, end) in faults {
        let strikes = some_time(rng);
        cluster.queue.plan(strikes, Happening::Fault(fault));
        if let Some(end) = end {
            let ends = strikes + rng.span(Duration::from_millis(20)..=Duration::from_millis(500));
            if ends < Moment::ZERO + lasts {
                cluster.queue.plan(ends, Happening::Fault(end));
            }
        }
    }
    lasts
}

fn draw_succession(rng: &mut Rng, cluster: &mut Cluster) -> Duration {
    let gap = Duration::from_millis(rng.within(140..=300));
    let near = Duration::from_millis(rng.within(2..=12));
    let strikes = u32::try_from(rng.within(3..=6)).expect("a few");
    for strike in 1..=strikes {
        let at = Moment::ZERO + gap * strike;
        let is_cut = strike % 2 == 1;
        let fault = match (is_cut, rng.below(8)) {
            (_, 0) => Fault::Split(*rng.pick(&Shape::ALL)),
            (true, _) => Fault::CutLeader,
            (false, 1) => Fault::KillLeader(None),
            (false, _) => Fault::KillLeader(Some(*rng.pick(&Doom::ALL))),
        };
        cluster.queue.plan(at, Happening::Fault(fault));
        // Who was cut off comes back just when its successor goes, with the tail that it kept.
        if !is_cut {
            let heals = Moment::ZERO + (gap * strike - near) + rng.span(Duration::ZERO..=near * 3);
            cluster.queue.plan(heals, Happening::Fault(Fault::Heal));
        }
        for _ in 0..rng.within(2..=7) {
            let asks = Moment::ZERO + (gap * strike - near) + rng.span(Duration::ZERO..=near * 2);
            draw_proposal(rng, cluster, asks);
        }
    }
    cluster.plan_read(Moment::ZERO + gap * strikes);
    gap * (strikes + 1)
}

fn draw_proposal(rng: &mut Rng, cluster: &mut Cluster, at: Moment) {
    let until = rng.chance(100).then(|| Slot(rng.within(1..=12)));
    let answers_lost = u32::from(rng.chance(200));
    cluster.plan_proposal(at, until, answers_lost);
}

/// Waits until one proposer leads, everything is decided and all logs are equal, and says how long it took.
fn come_right(cluster: &mut Cluster, calm_from: Moment) -> Duration {
    let deadline = calm_from + SUSPECT_AFTER * CALM_TIMEOUTS;
    let mut look = calm_from;
    loop {
        if cluster.violation.is_some() {
            return Duration::ZERO;
        }
        if cluster.open_requests() == 0
            && cluster.checker.at_rest().is_ok()
            && cluster.leaders().len() == 1
        {
            cluster.judge_rest();
            return cluster.now.since(calm_from);
        }
        if look >= deadline {
            let why = match cluster.checker.at_rest() {
                Err((invariant, what)) => (invariant, what),
                Ok(()) => {
                    let leaders = cluster.leaders().len();
                    (
                        Invariant::Liveness,
                        format!("{leaders} lead, {} requests are open", cluster.open_requests()),
                    )
                }
            };
            let what = format!("{CALM_TIMEOUTS} timeouts after the last fault: {}", why.1);
            cluster.judge(None, Err((Invariant::Liveness, what)));
            return Duration::ZERO;
        }
        look = look + LOOK_EVERY;
        cluster.run_until(look);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.transcript {
            writeln!(f, "{line}")?;
        }
        writeln!(
            f,
            "seed {} of drawing {DRAWING}: {} nodes, {} slots chosen, {} steps in {:?} of simulated time, trace {:016x}",
            self.seed, self.nodes, self.chosen, self.steps, self.lasted, self.fingerprint
        )?;
        match &self.violation {
            Some(violation) => writeln!(f, "VIOLATION: {violation}"),
            None => writeln!(
                f,
                "all invariants held; all logs equal, digest {}, {:?} after the last fault",
                self.digest.short(),
                self.recovered_in
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;
    use crate::sim::trace::Trace;

    /// What the first seeds plan, as one number.
    fn drawn() -> u64 {
        let mut trace = Trace::new();
        for seed in 0..100 {
            let options = Options { seed, ..Options::default() };
            let mut rng = Rng::new(mix(seed, 0, 1));
            let setup = draw_setup(&options, &mut rng);
            let mut cluster = Cluster::new(setup, Transcript::off());
            draw_schedule(&options, &mut rng, &mut cluster);
            let mut plans: Vec<_> = cluster
                .queue
                .planned()
                .filter(|(_, what)| {
                    matches!(
                        what,
                        Happening::Fault(_)
                            | Happening::Ask(_)
                            | Happening::Text { .. }
                            | Happening::Copy { .. }
                    )
                })
                .map(|(at, what)| (at, format!("{what:?}")))
                .collect();
            plans.sort();
            for (at, what) in plans {
                trace.write_u64(at.nanos());
                trace.write(what.as_bytes());
            }
            trace.write_u64(rng.bits());
        }
        trace.finish()
    }

    /// `UPDATE=1` writes it down anew: together with a higher [`DRAWING`], and other known seeds in
    /// `tests/simulation.rs`.
    #[test]
    fn a_seed_draws_what_it_drew_before() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drawing.txt");
        let is = format!("drawing {DRAWING}: {:016x}\n", drawn());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &is).unwrap();
        }
        let was = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            was, is,
            "seeds mean other runs now: raise DRAWING, and look at the known seeds"
        );
    }
}
