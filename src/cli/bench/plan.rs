//! What is to be run, checked before anything starts.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::args::{BenchArgs, Via};
use crate::cli::bench::load::{Load, UNDECIDED_MAX};
use crate::cli::failure::{Code, Failure};
use crate::cli::settings;
use crate::limits;

/// Proposals in flight, where nothing is said.
const IN_FLIGHT: [usize; 4] = [1, 16, 64, 256];

/// How many connections a node serves at once, with some left for others.
const KEPT_MAX: usize = 200;

/// How many connections of frames a node serves at once, with as many left for others.
const CONNECTIONS_MAX: usize = 32;

/// The smallest value: it is told apart from others by its first bytes.
const SIZE_MIN: usize = 8;

/// What is to be run.
pub(super) struct Plan {
    /// The nodes of each cluster that is started; none where nodes are named.
    pub(super) nodes: Vec<usize>,
    pub(super) down: usize,
    pub(super) slow: usize,
    pub(super) fill: Vec<u64>,
    pub(super) ways: Vec<Via>,
    pub(super) loads: Vec<Load>,
    pub(super) sizes: Vec<usize>,
    pub(super) connections: usize,
    pub(super) kills: usize,
    pub(super) pauses: usize,
    pub(super) broadcasts: usize,
    pub(super) warm_up: Duration,
    pub(super) span: Duration,
    pub(super) repeat: usize,
    pub(super) directory: PathBuf,
    pub(super) json: bool,
    /// Where the page goes; it is there already, and empty.
    pub(super) html: Option<(PathBuf, File)>,
}

impl Plan {
    /// `named` is how many nodes are named, if they are.
    pub(super) fn new(args: &BenchArgs, named: Option<usize>) -> Result<Self, Failure> {
        let plan = Self {
            nodes: if named.is_some() { Vec::new() } else { args.nodes.clone() },
            down: args.down,
            slow: args.slow,
            fill: args.fill.clone(),
            ways: args.via.clone(),
            loads: loads(args),
            sizes: args.size.clone(),
            connections: args.connections,
            kills: args.kills,
            pauses: args.pauses,
            broadcasts: args.broadcasts,
            warm_up: settings::duration("--warm-up", &args.warm_up)?,
            span: settings::duration("--duration", &args.duration)?,
            repeat: args.repeat,
            directory: args.dir.clone().unwrap_or_else(std::env::temp_dir),
            json: args.json,
            html: None,
        };
        match named {
            Some(_) => plan.check_named()?,
            None => plan.check_clusters()?,
        }
        plan.check_loads(named)?;
        // The last check: it leaves something behind.
        let page = args.html.as_ref().map(|path| {
            let file = File::create(path).map_err(|error| {
                wrong(
                    &format!("--html cannot be written: {error}"),
                    "name a file in a directory that is there",
                )
                .at(path.display())
            });
            file.map(|file| (path.clone(), file))
        });
        Ok(Self { html: page.transpose()?, ..plan })
    }

    fn check_named(&self) -> Result<(), Failure> {
        let own = [
            ("--down", self.down > 0),
            ("--slow", self.slow > 0),
            ("--fill", !self.fill.is_empty()),
            ("--kills", self.kills > 0),
            ("--pauses", self.pauses > 0),
        ];
        match own.into_iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => Err(wrong(
                &format!(
                    "{flag} is for nodes that this command starts, not for those that are named"
                ),
                "leave --admin and --port away",
            )),
            None => Ok(()),
        }
    }

    fn check_clusters(&self) -> Result<(), Failure> {
        for &nodes in &self.nodes {
            if !(1..=limits::MEMBERS_MAX).contains(&nodes) {
                let what = format!("--nodes {nodes} is not within 1 to {}", limits::MEMBERS_MAX);
                return Err(wrong(&what, "an odd number is usual"));
            }
            let (down, slow, quorum) = (self.down, self.slow, nodes / 2 + 1);
            if nodes < quorum + down {
                let what = format!("--down {down} leaves no majority of {nodes} nodes");
                return Err(wrong(&what, "take fewer away, or start more --nodes"));
            }
            if nodes <= down + slow && slow > 0 {
                let what = format!("--slow {slow} leaves no node of {nodes} for the clients");
                return Err(wrong(&what, "slow fewer down, or start more --nodes"));
            }
            for (flag, times) in [("--kills", self.kills), ("--pauses", self.pauses)] {
                if times > 0 && nodes < quorum + down + 1 {
                    let what =
                        format!("{flag} leaves no majority of {nodes} nodes, {down} of them down");
                    return Err(wrong(&what, "start more --nodes: 3 can lose one"));
                }
            }
            if !self.fill.is_empty() && nodes < 2 {
                return Err(wrong(
                    "--fill kills a follower, and one node has none",
                    "start more --nodes",
                ));
            }
        }
        if !self.fill.is_empty() && self.sizes.len() > 1 {
            return Err(wrong(
                "--fill goes with one --size",
                "give one size, or leave --fill away",
            ));
        }
        if !self.fill.is_sorted() {
            return Err(wrong(
                "--fill goes up: a log never gets shorter",
                "give the lengths in order",
            ));
        }
        Ok(())
    }

    fn check_loads(&self, named: Option<usize>) -> Result<(), Failure> {
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            let what =
                format!("--connections {} is not within 1 to {CONNECTIONS_MAX}", self.connections);
            return Err(wrong(&what, "one carries 1,024 proposals"));
        }
        let least = named.or(self.nodes.iter().min().copied()).unwrap_or(1);
        let by_http = self.ways.contains(&Via::Http);
        let each = if by_http { KEPT_MAX } else { self.connections * UNDECIDED_MAX };
        let most = (least - self.down - self.slow) * each;
        for load in &self.loads {
            match load {
                Load::Closed(count) if !(1..=most).contains(count) => {
                    let what = format!("--in-flight {count} is not within 1 to {most}");
                    let hint = "more nodes and --connections take more, and frames more than http";
                    return Err(wrong(&what, hint));
                }
                Load::Open(0) => return Err(wrong("--rate 0 proposes nothing", "give at least 1")),
                Load::Open(_) if by_http => {
                    let hint = "leave --via away, or give --in-flight";
                    return Err(wrong("--rate goes by frames alone", hint));
                }
                Load::Closed(_) | Load::Open(_) => {}
            }
        }
        let sizes = SIZE_MIN..=limits::VALUE_BYTES_MAX;
        if let Some(size) = self.sizes.iter().find(|size| !sizes.contains(size)) {
            let what =
                format!("--size {size} is not within {SIZE_MIN} to {}", limits::VALUE_BYTES_MAX);
            return Err(wrong(&what, "a value is told apart from others by its first bytes"));
        }
        if self.span.is_zero() || self.repeat == 0 {
            let hint = "give --duration and --repeat more than 0";
            return Err(wrong("nothing is to be measured", hint));
        }
        Ok(())
    }
}

/// The loads as typed. Whoever asks for kills, pauses or broadcasts and for no load wants none.
fn loads(args: &BenchArgs) -> Vec<Load> {
    let is_else = args.kills + args.pauses + args.broadcasts > 0;
    match (args.rate.as_slice(), args.in_flight.as_slice()) {
        ([], []) if is_else => Vec::new(),
        ([], []) => IN_FLIGHT.map(Load::Closed).to_vec(),
        ([], counts) => counts.iter().map(|count| Load::Closed(*count)).collect(),
        (rates, _) => rates.iter().map(|rate| Load::Open(*rate)).collect(),
    }
}

fn wrong(what: &str, hint: &str) -> Failure {
    Failure::new(Code::Configuration, what).hint(hint)
}
