//! `node bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::args::AskedMany;

/// By which way values are proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Via {
    /// Frames, many proposals under way on a connection.
    Frames,
    /// HTTP, one kept connection for each proposal in flight.
    Http,
}

impl Via {
    /// As it is typed.
    pub(in crate::cli) fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Http => "http",
        }
    }
}

/// `node bench`.
#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    /// How many nodes to start on this machine, where none are named; several numbers: a cluster for each
    #[arg(
        long,
        value_name = "COUNT,…",
        value_delimiter = ',',
        default_value = "3",
        help_heading = "Cluster"
    )]
    pub(in crate::cli) nodes: Vec<usize>,
    /// So many followers are killed before the load and stay away
    #[arg(long, value_name = "COUNT", default_value_t = 0, help_heading = "Cluster")]
    pub(in crate::cli) down: usize,
    /// So many followers stand still half of the time: stopped for 50 ms of every 100 ms by signals (SIGSTOP,
    /// SIGCONT), which is no slow disk and no slow network. No client goes to them
    #[arg(long, value_name = "COUNT", default_value_t = 0, help_heading = "Cluster")]
    pub(in crate::cli) slow: usize,
    /// First bring the log to so many entries of --size bytes; then a follower is killed and its start is timed.
    /// Several numbers: the load is measured at each length
    #[arg(long, value_name = "ENTRIES,…", value_delimiter = ',', help_heading = "Cluster")]
    pub(in crate::cli) fill: Vec<u64>,
    /// Below which directory the logs of nodes that are started lie [default: that for temporary files]
    #[arg(long, value_name = "DIR", help_heading = "Cluster")]
    pub(in crate::cli) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) asked: AskedMany,

    /// By which way: frames, http
    #[arg(
        long,
        value_name = "WAY,…",
        value_delimiter = ',',
        default_value = "frames",
        help_heading = "Load"
    )]
    pub(in crate::cli) via: Vec<Via>,
    /// Closed loop: so many proposals are in flight, each followed by the next once it is answered
    /// [default: 1,16,64,256; none with --kills, --pauses or --broadcasts]
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',', help_heading = "Load")]
    pub(in crate::cli) in_flight: Vec<usize>,
    /// Open loop instead: so many proposals a second, each timed from when it was due, whatever became of others
    #[arg(
        long,
        value_name = "COUNT,…",
        value_delimiter = ',',
        conflicts_with = "in_flight",
        help_heading = "Load"
    )]
    pub(in crate::cli) rate: Vec<u32>,
    /// Bytes of a value
    #[arg(
        long,
        value_name = "BYTES,…",
        value_delimiter = ',',
        default_value = "256",
        help_heading = "Load"
    )]
    pub(in crate::cli) size: Vec<usize>,
    /// Connections of frames to each node; a node takes 1,024 undecided proposals from one, and 4,096 from all
    #[arg(long, value_name = "COUNT", default_value_t = 1, help_heading = "Load")]
    pub(in crate::cli) connections: usize,

    /// Afterwards send so many texts to everyone, and time each until all others have said that they have it
    #[arg(long, value_name = "TIMES", default_value_t = 0, help_heading = "Load")]
    pub(in crate::cli) broadcasts: usize,

    /// Afterwards kill the proposer so often (kill -9), and time each until the next commit at a survivor, and
    /// until all survivors say that it is gone
    #[arg(long, value_name = "TIMES", default_value_t = 0, help_heading = "Faults")]
    pub(in crate::cli) kills: usize,
    /// The same with a proposer that is stopped (SIGSTOP) and continued once the others go on
    #[arg(long, value_name = "TIMES", default_value_t = 0, help_heading = "Faults")]
    pub(in crate::cli) pauses: usize,

    /// How long each run is measured
    #[arg(long, value_name = "DURATION", default_value = "5s", help_heading = "Measuring")]
    pub(in crate::cli) duration: String,
    /// How long each run goes before it is measured
    #[arg(long, value_name = "DURATION", default_value = "1s", help_heading = "Measuring")]
    pub(in crate::cli) warm_up: String,
    /// How often each run is repeated; the median is shown, with the least and the most
    #[arg(long, value_name = "COUNT", default_value_t = 3, help_heading = "Measuring")]
    pub(in crate::cli) repeat: usize,
    /// Print JSON, every run by itself
    #[arg(long, help_heading = "Measuring")]
    pub(in crate::cli) json: bool,
    /// Also write a page with tables and plots, complete in itself
    #[arg(long, value_name = "FILE", help_heading = "Measuring")]
    pub(in crate::cli) html: Option<PathBuf>,
}
