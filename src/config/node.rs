//! A node's settings, checked: below this nothing is optional that must be given.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Address;

/// All settings of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Of the node.
    pub node: NodeConfig,
    /// Which log lines are printed: a level, or `target=level` pairs separated by commas.
    pub log_level: String,
    /// How they are printed.
    pub log_format: LogFormat,
}

/// How log lines are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: time, level, event, `key=value` pairs.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// All settings of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// The cluster it belongs to; peers of another name are refused.
    pub cluster: String,
    /// Its name, for people.
    pub name: String,
    /// Where it listens; none for every address of the machine, IPv6 and IPv4.
    pub bind: Option<IpAddr>,
    /// The port it listens on; 0 lets the system choose.
    pub port: u16,
    /// Where others dial it, if that differs from what they were told.
    pub advertise: Option<Address>,
    /// Every node of the cluster; the own address may stand among them.
    pub peers: Vec<Address>,
    /// Where its identity and its log live.
    pub data_dir: PathBuf,
    /// The HTTP interface; none to do without.
    pub admin: Option<AdminConfig>,
    /// How often a heartbeat is sent.
    pub heartbeat_interval: Duration,
    /// Silence after which a peer is suspected.
    pub suspect_after: Duration,
    /// The shortest wait between two dials of one address.
    pub redial_min: Duration,
    /// The longest wait between two dials of one address.
    pub redial_max: Duration,
}

/// The HTTP interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it listens.
    pub bind: IpAddr,
    /// The port it listens on; 0 lets the system choose.
    pub port: u16,
    /// The file that holds the token that clients must show; none to ask for none, which is
    /// allowed on loopback only.
    pub token_file: Option<PathBuf>,
}

impl AdminConfig {
    /// On 127.0.0.1, without a token.
    pub const fn loopback(port: u16) -> Self {
        Self { bind: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port, token_file: None }
    }
}
