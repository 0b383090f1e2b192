//! `node bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::args::AskedMany;

/// By which way values are proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Via {
    /// Frames, one connection a node, many proposals under way.
    Frames,
    /// HTTP, one kept connection for each proposal in flight.
    Http,
}

/// `node bench`.
#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    /// How many nodes to start on this machine, where none are named
    #[arg(long, value_name = "COUNT", default_value_t = 3, help_heading = "Cluster")]
    pub(in crate::cli) nodes: usize,
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
    #[arg(
        long,
        value_name = "COUNT,…",
        value_delimiter = ',',
        default_value = "1,16,64,256",
        help_heading = "Load"
    )]
    pub(in crate::cli) in_flight: Vec<usize>,
    /// Open loop instead: so many proposals a second, each timed from when it was due
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
}
