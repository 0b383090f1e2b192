//! The commands that ask a running node.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Which running node is asked.
#[derive(Debug, Args)]
pub(in crate::cli) struct Asked {
    /// Where the HTTP interface of the node is [default: 127.0.0.1:9001, or as QUORATE_ADMIN_PORT or
    /// QUORATE_PORT say]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "port")]
    pub(in crate::cli) admin: Option<String>,
    /// The port for peers of a node on this machine; its HTTP interface is 1000 above
    #[arg(long, value_name = "PORT")]
    pub(in crate::cli) port: Option<String>,
    /// The file of the token to show, where the node wants one [default: what QUORATE_ADMIN_TOKEN_FILE names]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) token_file: Option<PathBuf>,
}

/// Which running nodes are asked.
#[derive(Debug, Args)]
pub(in crate::cli) struct AskedMany {
    /// Where the HTTP interface of the node is; several, separated by commas, are asked together
    /// [default: 127.0.0.1:9001, or as QUORATE_ADMIN_PORT or QUORATE_PORT say]
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',', conflicts_with = "port")]
    pub(in crate::cli) admin: Vec<String>,
    /// The port for peers of a node on this machine, or several; its HTTP interface is 1000 above
    #[arg(long, value_name = "PORT,…", value_delimiter = ',')]
    pub(in crate::cli) port: Vec<String>,
    /// The file of the token to show, where the nodes want one [default: what QUORATE_ADMIN_TOKEN_FILE names]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) token_file: Option<PathBuf>,
}

/// `node propose`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ProposeArgs {
    /// The value; @FILE reads a file, - standard input (one line end at the end is dropped), @@ stands for one @
    #[arg(value_name = "VALUE|@FILE|-", allow_hyphen_values = true)]
    pub(in crate::cli) value: String,
    /// The id of the proposal, so that the same request can be repeated safely [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub(in crate::cli) request_id: Option<String>,
    /// The last slot in which it may take effect; a repetition must name the same
    #[arg(long, value_name = "SLOT")]
    pub(in crate::cli) until: Option<u64>,
    /// How long to wait for the outcome, at most 300s
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub(in crate::cli) timeout: String,
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) asked: Asked,
}

/// `node status`.
#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArgs {
    /// Ask every node that can be found, and compare their logs
    ///
    /// Those given by --admin or --port, and members of the same machine: a member whose address is on
    /// loopback is asked 1000 above its port, and counts only if it says that it is that member. Every
    /// HTTP interface listens on its own machine's loopback: name others by --admin, through a tunnel.
    #[arg(long)]
    pub(in crate::cli) all: bool,
    /// Ask again every second, until interrupted
    #[arg(long)]
    pub(in crate::cli) watch: bool,
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) asked: AskedMany,
}

/// How `node log` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LogShape {
    /// One line an entry, for people.
    Text,
    /// One JSON object a line.
    Json,
    /// The values alone, each followed by a line end.
    Raw,
}

/// `node log`.
#[derive(Debug, Args)]
pub(in crate::cli) struct LogArgs {
    /// The first slot
    #[arg(long, value_name = "SLOT", default_value_t = 1)]
    pub(in crate::cli) from: u64,
    /// At most so many entries [default: all]
    #[arg(long, value_name = "COUNT")]
    pub(in crate::cli) limit: Option<u64>,
    /// Go on with what is committed from now on
    #[arg(long)]
    pub(in crate::cli) follow: bool,
    /// Print what this node knows, without asking a quorum what is newest
    #[arg(long)]
    pub(in crate::cli) local: bool,
    /// Compute every entry's hash here, and fail at the first that does not follow from the one before
    ///
    /// From slot 1 this proves that the hash of the last entry names exactly what was printed. From a
    /// later slot the hash of the entry before it is taken as the node says it.
    #[arg(long)]
    pub(in crate::cli) verify: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = LogShape::Text)]
    pub(in crate::cli) format: LogShape,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) asked: Asked,
}

/// `node send`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SendArgs {
    /// The text; @FILE reads a file, - standard input
    #[arg(value_name = "TEXT|@FILE|-", allow_hyphen_values = true)]
    pub(in crate::cli) text: String,
    /// The id or the name of one node [default: everyone online]
    #[arg(long, value_name = "NODE")]
    pub(in crate::cli) to: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) asked: Asked,
}

/// `node ping`.
#[derive(Debug, Args)]
pub(in crate::cli) struct PingArgs {
    /// The id or the name of one node [default: everyone online]
    #[arg(value_name = "NODE")]
    pub(in crate::cli) to: Option<String>,
    /// How often to ask each
    #[arg(long, value_name = "COUNT", default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(in crate::cli) count: u32,
    /// How long to wait for one answer
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub(in crate::cli) timeout: String,
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) asked: Asked,
}

/// What `node watch` can be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Watched {
    /// Entries that are final.
    Commits,
    /// Peers that come and go.
    Peers,
    /// The quorum heard, and no longer.
    Quorum,
    /// Rounds and who leads them.
    Rounds,
    /// Another set of members.
    Epochs,
    /// Texts from other nodes.
    Messages,
}

/// `node watch`.
#[derive(Debug, Args)]
pub(in crate::cli) struct WatchArgs {
    /// Only these kinds of events, separated by commas
    #[arg(long, value_name = "KIND,…", value_enum, value_delimiter = ',')]
    pub(in crate::cli) only: Vec<Watched>,
    /// Begin with the commit of this slot [default: the next one]
    #[arg(long, value_name = "SLOT")]
    pub(in crate::cli) from: Option<u64>,
    /// Leave after so many events [default: never]
    #[arg(long, value_name = "COUNT")]
    pub(in crate::cli) limit: Option<u64>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) asked: Asked,
}
