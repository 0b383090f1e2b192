//! The command line as typed. Nothing is checked here but its grammar: the settings of a node go
//! through `config` with all others, so that every fault is told at once.

mod ask;
mod bench;
mod help;
mod local;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

use crate::config::{Key, Layer, Origin};
use crate::sim::{Faults, Shape};

pub(super) use ask::{
    Asked, AskedMany, LogArgs, LogShape, PingArgs, ProposeArgs, SendArgs, StatusArgs, WatchArgs,
    Watched,
};
pub(super) use bench::{BenchArgs, Via};
pub(super) use local::{
    CompletionsArgs, ConfigCommand, DoctorArgs, InitArgs, ManArgs, ShowArgs, VersionArgs,
};

/// Machines that agree. Without a command, a node runs
///
/// Every setting can also stand in the environment (QUORATE_PORT for --port) or in a file
/// (--config); flags win over the environment, that over the file. `node config init` prints a
/// file that explains every setting.
#[derive(Debug, Parser)]
#[command(
    name = "node",
    version,
    args_conflicts_with_subcommands = true,
    after_help = help::MORE,
    after_long_help = help::NODE,
    max_term_width = 100
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) run: RunArgs,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// What can be done besides running a node.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Proposes a value through a running node and waits for what becomes of it
    #[command(after_help = help::MORE, after_long_help = help::PROPOSE)]
    Propose(ProposeArgs),
    /// Shows where a running node stands, or several, and whether they agree
    #[command(after_help = help::MORE, after_long_help = help::STATUS)]
    Status(StatusArgs),
    /// Shows the peers that a running node knows
    #[command(after_help = help::MORE, after_long_help = help::PEERS)]
    Peers(PeersArgs),
    /// Prints the log that the cluster agreed on
    #[command(after_help = help::MORE, after_long_help = help::LOG)]
    Log(LogArgs),
    /// Shows what happens at a running node, as it happens
    #[command(after_help = help::MORE, after_long_help = help::WATCH)]
    Watch(WatchArgs),
    /// Sends a text to one node, or to all that are online, and waits until they have it
    #[command(after_help = help::MORE, after_long_help = help::SEND)]
    Send(SendArgs),
    /// Measures the way through a running node to its peers and back
    #[command(after_help = help::MORE, after_long_help = help::PING)]
    Ping(PingArgs),
    /// Writes, checks and shows settings
    #[command(subcommand, after_help = help::MORE, after_long_help = help::CONFIG)]
    Config(ConfigCommand),
    /// Checks this machine, the settings and the way to every peer, before a node runs or beside it
    #[command(after_help = help::MORE, after_long_help = help::DOCTOR)]
    Doctor(DoctorArgs),
    /// Shows three processes agree, lose one, agree again and recover; takes seconds
    #[command(after_help = help::MORE, after_long_help = help::DEMO)]
    Demo,
    /// Runs whole clusters under faults drawn from a seed, in virtual time
    #[command(after_help = help::MORE, after_long_help = help::SIMULATE)]
    Simulate(SimulateArgs),
    /// Measures commits a second and how long one takes, here or at a running cluster
    #[command(after_help = help::MORE, after_long_help = help::BENCH)]
    Bench(BenchArgs),
    /// Prints what a shell needs to complete commands and flags
    #[command(after_help = help::MORE, after_long_help = help::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Prints the manual page, or writes one for every command
    #[command(after_help = help::MORE, after_long_help = help::MAN)]
    Man(ManArgs),
    /// Prints the version, the build, and the formats that it speaks
    #[command(after_help = help::MORE, after_long_help = help::VERSION)]
    Version(VersionArgs),
}

/// `node` without a command.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) settings: SettingArgs,

    /// Propose this value once the cluster is formed; @FILE reads a file, - standard input (one line end
    /// at the end is dropped), @@ stands for one @; may be repeated
    #[arg(
        long,
        value_name = "VALUE|@FILE|-",
        allow_hyphen_values = true,
        help_heading = "Proposing"
    )]
    pub(super) propose: Vec<String>,
    /// The id of the proposal, so that the same request can be repeated safely; once per --propose, in order
    #[arg(long, value_name = "UUID", requires = "propose", help_heading = "Proposing")]
    pub(super) request_id: Vec<String>,
    /// Leave when all own values are committed (without any: when one is), and nothing new was for half a second
    #[arg(long, help_heading = "Proposing")]
    pub(super) exit_after_commit: bool,

    /// Run this command for every committed value, in order, at least once, also after a restart
    ///
    /// `sh -c COMMAND` gets the value on standard input, and QUORATE_COMMIT_SLOT, QUORATE_COMMIT_ID (of
    /// the proposal) and QUORATE_COMMIT_HASH in its environment. It must end with 0, or it is run again,
    /// with growing pauses; the next value waits, the node does not. In a directory where no such command
    /// ran before, it begins with the first slot. After a kill the last value may come twice, and
    /// a value proposed twice under one id may come twice: the id tells.
    #[arg(long, value_name = "COMMAND", help_heading = "Proposing")]
    pub(super) on_commit: Option<String>,
    /// Leave when standard input ends, so that the node does not outlive who started it
    #[arg(long, hide = true)]
    pub(super) until_stdin_ends: bool,
}

/// Settings, as typed.
#[derive(Debug, Args)]
pub(super) struct SettingArgs {
    /// The port for peers [default: 8001]
    #[arg(long, value_name = "PORT", help_heading = "Cluster")]
    port: Option<String>,
    /// Every node of the cluster, the same list on every machine: a:8001,b:8001,[2001:db8::1]:8001
    /// [default: none, a cluster of one]
    #[arg(long, value_name = "HOST:PORT,…", help_heading = "Cluster")]
    peers: Option<String>,
    /// The cluster's name; peers of another are refused [default: quorate]
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    cluster: Option<String>,
    /// This node's name, for people [default: the machine's name and the port]
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    name: Option<String>,
    /// Where identity and log live; one directory per node, never copied [default: quorate-data/PORT]
    #[arg(long, value_name = "DIR", help_heading = "Cluster")]
    data_dir: Option<String>,

    /// The IP address to listen on [default: all]
    #[arg(long, value_name = "IP", help_heading = "Addresses")]
    bind: Option<String>,
    /// Where others dial this node, if not where it listens
    #[arg(long, value_name = "HOST:PORT", help_heading = "Addresses")]
    advertise: Option<String>,
    /// The port of the HTTP interface [default: port + 1000]
    #[arg(long, value_name = "PORT", help_heading = "Addresses")]
    admin_port: Option<String>,
    /// The IP address of the HTTP interface; beyond loopback a token is needed [default: 127.0.0.1]
    #[arg(long, value_name = "IP", help_heading = "Addresses")]
    admin_bind: Option<String>,
    /// The file of the token that clients of the HTTP interface must show [default: none]
    #[arg(long, value_name = "FILE", help_heading = "Addresses")]
    admin_token_file: Option<String>,
    /// Serve no HTTP interface
    #[arg(long, conflicts_with = "admin_port", help_heading = "Addresses")]
    no_admin: bool,

    /// How often a heartbeat is sent [default: 100ms]
    #[arg(long, value_name = "DURATION", help_heading = "Times")]
    heartbeat_interval: Option<String>,
    /// Silence that makes a peer suspect, and its round one to be taken over [default: 600ms]
    #[arg(long, value_name = "DURATION", help_heading = "Times")]
    suspect_after: Option<String>,
    /// The shortest wait between two dials of one address [default: 250ms]
    #[arg(long, value_name = "DURATION", help_heading = "Times")]
    redial_min: Option<String>,
    /// The longest wait between two dials of one address [default: 10s]
    #[arg(long, value_name = "DURATION", help_heading = "Times")]
    redial_max: Option<String>,

    /// A TOML file of settings; `node config init` writes one with all of them
    #[arg(long, value_name = "FILE", help_heading = "Settings and logs")]
    pub(super) config: Option<PathBuf>,
    /// Which log lines are printed: error, warn, info, debug, trace, off; commits always are [default: info]
    #[arg(long, value_name = "LEVEL", help_heading = "Settings and logs")]
    log_level: Option<String>,
    /// How log lines are printed: text or json [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = "Settings and logs")]
    log_format: Option<String>,
}

impl SettingArgs {
    /// The settings among the flags.
    pub(super) fn layer(&self) -> Layer {
        let mut layer = Layer::default();
        let flags = [
            (Key::Port, "--port", &self.port),
            (Key::Peers, "--peers", &self.peers),
            (Key::Cluster, "--cluster", &self.cluster),
            (Key::Name, "--name", &self.name),
            (Key::DataDir, "--data-dir", &self.data_dir),
            (Key::Bind, "--bind", &self.bind),
            (Key::Advertise, "--advertise", &self.advertise),
            (Key::AdminPort, "--admin-port", &self.admin_port),
            (Key::AdminBind, "--admin-bind", &self.admin_bind),
            (Key::AdminTokenFile, "--admin-token-file", &self.admin_token_file),
            (Key::HeartbeatInterval, "--heartbeat-interval", &self.heartbeat_interval),
            (Key::SuspectAfter, "--suspect-after", &self.suspect_after),
            (Key::RedialMin, "--redial-min", &self.redial_min),
            (Key::RedialMax, "--redial-max", &self.redial_max),
            (Key::LogLevel, "--log-level", &self.log_level),
            (Key::LogFormat, "--log-format", &self.log_format),
        ];
        for (key, flag, text) in flags {
            if let Some(text) = text {
                layer.set(key, text, Origin::Flag(flag));
            }
        }
        if self.no_admin {
            layer.set(Key::Admin, "false", Origin::Flag("--no-admin"));
        } else if self.admin_port.is_some() {
            // A port typed here overrules an interface switched off in a file.
            layer.set(Key::Admin, "true", Origin::Flag("--admin-port"));
        }
        layer
    }
}

/// `node peers`.
#[derive(Debug, Args)]
pub(super) struct PeersArgs {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) asked: Asked,
}

/// `node simulate`.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// How many nodes [default: drawn from the seed]
    #[arg(long, value_name = "COUNT")]
    pub(super) nodes: Option<usize>,
    /// The first seed; the same seed runs the same, step by step
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(super) seed: u64,
    /// How many seeds, counted from the first
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(super) seeds: u64,
    /// Which faults strike: none, network, crashes, all
    #[arg(long, value_name = "KIND", default_value = "all")]
    pub(super) faults: Faults,
    /// Split the network for a while, whatever else is drawn: halves, minority, bridge, ring, chain, star,
    /// mute, deaf, shattered
    #[arg(long, value_name = "SHAPE")]
    pub(super) partition: Option<Shape>,
    /// Print what happened, line by line
    #[arg(long, conflicts_with = "seeds")]
    pub(super) transcript: bool,
    /// Draw what happened, a lane per node: a picture that any browser shows (.svg), or a text for Mermaid (.mmd)
    #[arg(long, value_name = "FILE", conflicts_with = "seeds", help_heading = "Chart")]
    pub(super) chart: Option<PathBuf>,
    /// Draw at most so many deeds, the last ones
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 200,
        requires = "chart",
        help_heading = "Chart"
    )]
    pub(super) last: usize,
    /// Draw this stretch of virtual time only, in milliseconds
    #[arg(long, value_name = "FROM..TO", requires = "chart", help_heading = "Chart")]
    pub(super) window: Option<Stretch>,
    /// Draw heartbeats, too
    #[arg(long, requires = "chart", help_heading = "Chart")]
    pub(super) heartbeats: bool,
}

/// A stretch of virtual time in milliseconds: `100..250`, `100..` or `..250`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Its beginning.
    pub(super) from: u64,
    /// Its end; that of the run if none.
    pub(super) to: Option<u64>,
}

impl FromStr for Stretch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unreadable =
            || format!("{text:?} is no stretch of time: write 100..250, 100.. or ..250");
        let (from, to) = text.split_once("..").ok_or_else(unreadable)?;
        let number = |word: &str| match word {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| unreadable()),
        };
        let (from, to) = (number(from)?.unwrap_or(0), number(to)?);
        if to.is_some_and(|to| to < from) {
            return Err(format!("{text:?} ends before it begins"));
        }
        Ok(Self { from, to })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_stretch_of_time_may_be_open_at_either_end() {
        assert_eq!("100..250".parse(), Ok(Stretch { from: 100, to: Some(250) }));
        assert_eq!("..250".parse(), Ok(Stretch { from: 0, to: Some(250) }));
        assert_eq!("100..".parse(), Ok(Stretch { from: 100, to: None }));
        for wrong in ["", "100", "a..b", "9..1", "-1..2"] {
            assert!(wrong.parse::<Stretch>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_default_told_in_help_is_that_of_the_settings() {
        let help = Cli::command().render_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for key in Key::ALL.into_iter().filter(|key| *key != Key::Admin) {
            let Some(default) = key.default() else { continue };
            let told = format!("[default: {default}]");
            assert!(help.contains(&told), "{} is not told as {told}", key.name());
        }
    }

    #[test]
    fn every_setting_can_stand_in_a_flag() {
        for key in Key::ALL {
            let flag = format!("--{}", key.name().replace('_', "-"));
            let typed = match key {
                Key::Admin => vec!["node", "--no-admin"],
                _ => vec!["node", &flag, "7"],
            };
            let cli = Cli::try_parse_from(typed).unwrap_or_else(|error| panic!("{error}"));
            let layer = cli.run.settings.layer();
            let written = layer.get(key).unwrap_or_else(|| panic!("{flag} is not {key:?}"));
            assert_eq!(written.texts, [if key == Key::Admin { "false" } else { "7" }], "{key:?}");
        }
    }
}
