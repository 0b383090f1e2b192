//! From layers to settings: the highest layer wins key by key, and every fault is told at once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{
    Address, AdminConfig, Fault, Key, Layer, LogFormat, NodeConfig, Origin, Settings, Written,
    parse_duration,
};
use crate::limits;

/// How far the HTTP port is from the port for peers, where it is not given.
const ADMIN_PORT_OFFSET: u16 = 1_000;

/// A peer cannot be told from a dead one by less than this many lost heartbeats.
const BEATS_TO_SUSPECT: u32 = 3;

/// The port of the HTTP interface that belongs to a port for peers; none beyond 65535.
pub fn admin_port(port: u16) -> Option<u16> {
    port.checked_add(ADMIN_PORT_OFFSET)
}

/// Merges `layers`, the highest first, and checks every setting alone and against the others.
/// `host` names this machine in the default of `name`.
///
/// # Errors
/// All faults, in the order of the settings.
pub fn resolve(layers: &[Layer], host: Option<&str>) -> Result<Settings, Vec<Fault>> {
    let defaults = Layer::defaults();
    let mut reader = Reader { layers, defaults: &defaults, faults: Vec::new() };

    let cluster = reader.one(Key::Cluster, word);
    let port = reader.one(Key::Port, port_number);
    let name = match (reader.one(Key::Name, word), port) {
        (None, Some(port)) => Some(default_name(host, port)),
        (name, _) => name,
    };
    let bind = reader.one(Key::Bind, bind_address);
    let advertise = reader
        .one(Key::Advertise, |text| text.parse::<Address>().map_err(|error| error.to_string()));
    let peers = reader.peers();
    let data_dir = match (reader.one(Key::DataDir, directory), port) {
        (None, Some(port)) => Some(PathBuf::from(format!("quorate-data/{port}"))),
        (directory, _) => directory,
    };
    let admin = reader.admin(port);
    let heartbeat_interval = reader.span(Key::HeartbeatInterval, TEN_MS..=TEN_S);
    let suspect_after = reader.span(Key::SuspectAfter, TEN_MS..=TEN_S * 6);
    let redial_min = reader.span(Key::RedialMin, TEN_MS..=TEN_S * 6);
    let redial_max = reader.span(Key::RedialMax, TEN_MS..=TEN_S * 360);
    let log_level = reader.one(Key::LogLevel, log_filter);
    let log_format = reader.one(Key::LogFormat, |text| match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("\"{text}\" is neither text nor json")),
    });

    if let (Some(beat), Some(suspect)) = (heartbeat_interval, suspect_after)
        && beat * BEATS_TO_SUSPECT > suspect
    {
        reader.clash(
            Key::SuspectAfter,
            format!("suspect_after = {suspect:?} is less than {BEATS_TO_SUSPECT} × heartbeat_interval = {beat:?}"),
            format!("raise suspect_after to at least {:?}: one lost heartbeat is no death", beat * BEATS_TO_SUSPECT),
        );
    }
    if let (Some(min), Some(max)) = (redial_min, redial_max)
        && min > max
    {
        reader.clash(
            Key::RedialMax,
            format!("redial_max = {max:?} is less than redial_min = {min:?}"),
            format!("raise redial_max to {min:?} or more, or lower redial_min"),
        );
    }

    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    const READ: &str = "a setting without a fault has a value";
    Ok(Settings {
        node: NodeConfig {
            cluster: cluster.expect(READ),
            name: name.expect(READ),
            bind: bind.flatten(),
            port: port.expect(READ),
            advertise,
            peers,
            data_dir: data_dir.expect(READ),
            admin,
            heartbeat_interval: heartbeat_interval.expect(READ),
            suspect_after: suspect_after.expect(READ),
            redial_min: redial_min.expect(READ),
            redial_max: redial_max.expect(READ),
        },
        log_level: log_level.expect(READ),
        log_format: log_format.expect(READ),
    })
}

impl NodeConfig {
    /// The default of every setting, for a node in another program: it lives in `data_dir`, lists no
    /// peers and has no HTTP interface. Change what differs.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let defaults = resolve(&[], None).expect("the defaults have no fault");
        Self { data_dir: data_dir.into(), admin: None, ..defaults.node }
    }
}

const TEN_MS: Duration = Duration::from_millis(10);
const TEN_S: Duration = Duration::from_secs(10);

struct Reader<'l> {
    layers: &'l [Layer],
    defaults: &'l Layer,
    faults: Vec<Fault>,
}

impl<'l> Reader<'l> {
    fn written(&self, key: Key) -> Option<&'l Written> {
        self.layers.iter().find_map(|layer| layer.get(key)).or_else(|| self.defaults.get(key))
    }

    fn fault(&mut self, key: Key, origin: &Origin, what: &str) {
        let hint = hint(key).to_owned();
        let what = format!("{}: {what}", key.name());
        self.faults.push(Fault { what, origin: origin.clone(), hint });
    }

    /// A fault between two settings, told where the first of them is written.
    fn clash(&mut self, key: Key, what: String, hint: String) {
        let origin = self.written(key).map_or(Origin::Default, |written| written.origin.clone());
        self.faults.push(Fault { what, origin, hint });
    }

    /// The value of a setting; none if it is written nowhere, or wrong (then the fault is noted).
    fn one<T>(&mut self, key: Key, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let written = self.written(key)?;
        let text = written.texts.first()?.trim();
        match parse(text) {
            Ok(value) => Some(value),
            Err(what) => {
                self.fault(key, &written.origin, &what);
                None
            }
        }
    }

    fn span(&mut self, key: Key, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.one(key, |text| {
            let span = parse_duration(text)?;
            if range.contains(&span) {
                return Ok(span);
            }
            Err(format!("{text} is not between {:?} and {:?}", range.start(), range.end()))
        })
    }

    fn peers(&mut self) -> Vec<Address> {
        let Some(written) = self.written(Key::Peers) else { return Vec::new() };
        let mut seen = BTreeMap::new();
        let mut peers = Vec::new();
        for (index, text) in written.texts.iter().enumerate() {
            match text.parse::<Address>() {
                Err(error) => self.fault(Key::Peers, &written.origin, &error.to_string()),
                Ok(peer) => match seen.insert(peer.clone(), index) {
                    Some(first) => {
                        let what = format!(
                            "{peer} stands twice, as number {} and {}",
                            first + 1,
                            index + 1
                        );
                        self.fault(Key::Peers, &written.origin, &what);
                    }
                    None => peers.push(peer),
                },
            }
        }
        if written.texts.len() > limits::MEMBERS_MAX {
            let what = format!(
                "{} nodes are listed, at most {} can vote",
                written.texts.len(),
                limits::MEMBERS_MAX
            );
            self.fault(Key::Peers, &written.origin, &what);
        }
        peers
    }

    fn admin(&mut self, port: Option<u16>) -> Option<AdminConfig> {
        let wanted = self.one(Key::Admin, |text| {
            text.parse::<bool>().map_err(|_| format!("\"{text}\" is neither true nor false"))
        });
        let given = self.one(Key::AdminPort, port_number);
        let bind = self.one(Key::AdminBind, |text| {
            text.parse::<IpAddr>().map_err(|_| format!("\"{text}\" is not an IP address"))
        });
        let token_file = self.one(Key::AdminTokenFile, directory);
        if wanted != Some(true) {
            return None;
        }
        if bind.is_some_and(|bind| !bind.is_loopback())
            && self.written(Key::AdminTokenFile).is_none()
        {
            let what = "admin_bind leads beyond this machine, and there is no admin_token_file";
            let hint =
                "name a file that holds a token for clients to show: openssl rand -hex 32 > FILE";
            self.clash(Key::AdminBind, what.to_owned(), hint.to_owned());
            return None;
        }
        let (port, bind) = (port?, bind?);
        let admin_port = match given {
            Some(given) if given != 0 && given == port => {
                let what = format!("admin_port and port are both {port}");
                let hint = "give the HTTP interface a port of its own".to_owned();
                self.clash(Key::AdminPort, what, hint);
                return None;
            }
            Some(given) => given,
            // The system chooses both.
            None if port == 0 => 0,
            None => match admin_port(port) {
                Some(admin_port) => admin_port,
                None => {
                    let what = format!(
                        "port = {port} leaves no port for the HTTP interface: {port} + {ADMIN_PORT_OFFSET} is over 65535"
                    );
                    let hint = "give --admin-port PORT, or --no-admin to do without".to_owned();
                    self.clash(Key::Port, what, hint);
                    return None;
                }
            },
        };
        Some(AdminConfig { bind, port: admin_port, token_file })
    }
}

/// What to write instead, for each setting.
fn hint(key: Key) -> &'static str {
    match key {
        Key::Cluster | Key::Name => "use 1 to 64 letters, digits, dots, dashes or underscores",
        Key::Bind => "write an IP address of this machine, or :: for all of them",
        Key::Port | Key::AdminPort => {
            "write a number from 1 to 65535, or 0 to let the system choose"
        }
        Key::Advertise => "write the host:port at which the other machines reach this one",
        Key::Peers => {
            "list every node once, the same list on every machine: a:8001,b:8001,[2001:db8::1]:8001"
        }
        Key::DataDir => "name a directory on a local disk",
        Key::AdminBind => "write an IP address of this machine, or 0.0.0.0 for all of them",
        Key::AdminTokenFile => "name the file that holds the token",
        Key::Admin => "write true or false",
        Key::HeartbeatInterval | Key::SuspectAfter | Key::RedialMin | Key::RedialMax => {
            "write a whole number and its unit, for example 500ms or 10s"
        }
        Key::LogLevel => {
            "write error, warn, info, debug or trace, or pairs such as info,quorate::transport=debug"
        }
        Key::LogFormat => "write text or json",
    }
}

fn word(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if fits { Ok(text.to_owned()) } else { Err(format!("\"{text}\" is not a name")) }
}

fn port_number(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("\"{text}\" is not a port"))
}

fn bind_address(text: &str) -> Result<Option<IpAddr>, String> {
    let address: IpAddr = text.parse().map_err(|_| format!("\"{text}\" is not an IP address"))?;
    // `::` is what nothing written means: every address, IPv6 and IPv4.
    let every = address == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
    Ok((!every).then_some(address))
}

fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("the path is empty".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    for directive in text.split(',') {
        let level = directive.rsplit('=').next().unwrap_or(directive);
        if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            return Err(format!("\"{level}\" is not a level"));
        }
        if directive.contains(char::is_whitespace) {
            return Err(format!("\"{directive}\" has a space in it"));
        }
    }
    Ok(text.to_owned())
}

/// The machine and the port: what tells nodes apart in a log, wherever they run.
fn default_name(host: Option<&str>, port: u16) -> String {
    host.and_then(|host| word(&format!("{}-{port}", host.trim())).ok())
        .unwrap_or_else(|| format!("node-{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus;

    fn layer(settings: &[(Key, &str)]) -> Layer {
        let mut layer = Layer::default();
        for &(key, text) in settings {
            layer.set(key, text, Origin::Flag("--test"));
        }
        layer
    }

    fn faults(settings: &[(Key, &str)]) -> Vec<String> {
        let faults = resolve(&[layer(settings)], None).expect_err("a fault is expected");
        faults.into_iter().map(|fault| fault.what).collect()
    }

    #[test]
    fn nothing_written_is_a_cluster_of_one() {
        let node = resolve(&[], Some("venus\n")).unwrap().node;
        assert_eq!(node.name, "venus-8001");
        assert_eq!(node.data_dir, PathBuf::from("quorate-data/8001"));
        assert_eq!(node.admin.unwrap().port, 9001);
        assert_eq!(node.peers, []);
        assert_eq!(node.suspect_after, consensus::Settings::default().suspect_after);
    }

    #[test]
    fn the_highest_layer_wins_key_by_key() {
        let flags = layer(&[(Key::Port, "7001")]);
        let environment = layer(&[(Key::Port, "7002"), (Key::Name, "blue")]);
        let file = layer(&[(Key::Name, "red"), (Key::Cluster, "green")]);
        let node = resolve(&[flags, environment, file], None).unwrap().node;
        assert_eq!((node.port, node.name.as_str(), node.cluster.as_str()), (7001, "blue", "green"));
        assert_eq!(node.admin.unwrap().port, 8001);
    }

    #[test]
    fn an_overruled_value_is_not_looked_at() {
        let flags = layer(&[(Key::Port, "7001")]);
        let environment = layer(&[(Key::Port, "tcp://10.0.0.1:8001")]);
        assert!(resolve(&[flags, environment], None).is_ok());
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let found = faults(&[
            (Key::Cluster, "two words"),
            (Key::Port, "65536"),
            (Key::Bind, "localhost"),
            (Key::Advertise, "a"),
            (Key::Peers, "a:8001,b,A:8001,"),
            (Key::DataDir, " "),
            (Key::Admin, "yes"),
            (Key::HeartbeatInterval, "100"),
            (Key::SuspectAfter, "2h"),
            (Key::LogLevel, "loud"),
            (Key::LogFormat, "xml"),
        ]);
        assert_eq!(
            found,
            [
                "cluster: \"two words\" is not a name",
                "port: \"65536\" is not a port",
                "bind: \"localhost\" is not an IP address",
                "advertise: \"a\" has no port: write a:8001",
                "peers: \"b\" has no port: write b:8001",
                "peers: a:8001 stands twice, as number 1 and 3",
                "peers: an address is empty",
                "data_dir: the path is empty",
                "admin: \"yes\" is neither true nor false",
                "heartbeat_interval: \"100\" has no unit: write 100ms or 100s",
                "suspect_after: 2h is not between 10ms and 60s",
                "log_level: \"loud\" is not a level",
                "log_format: \"xml\" is neither text nor json",
            ]
        );
        let spaced = faults(&[(Key::LogLevel, "info, quorate=debug")]);
        assert_eq!(spaced, ["log_level: \" quorate=debug\" has a space in it"]);
    }

    #[test]
    fn settings_are_checked_against_each_other() {
        let found = faults(&[(Key::HeartbeatInterval, "201ms"), (Key::RedialMax, "100ms")]);
        assert_eq!(
            found,
            [
                "suspect_after = 600ms is less than 3 × heartbeat_interval = 201ms",
                "redial_max = 100ms is less than redial_min = 250ms",
            ]
        );
        assert!(resolve(&[layer(&[(Key::HeartbeatInterval, "200ms")])], None).is_ok());
    }

    #[test]
    fn the_http_port_must_exist_and_be_another() {
        assert!(faults(&[(Key::Port, "64536")])[0].contains("leaves no port"));
        assert!(faults(&[(Key::Port, "9000"), (Key::AdminPort, "9000")])[0].contains("both 9000"));
        for (settings, admin) in [
            (&[(Key::Port, "64535")][..], Some(65535)),
            (&[(Key::Port, "64536"), (Key::AdminPort, "1")][..], Some(1)),
            (&[(Key::Port, "64536"), (Key::Admin, "false")][..], None),
            (&[(Key::Port, "0")][..], Some(0)),
        ] {
            let node = resolve(&[layer(settings)], None).unwrap().node;
            assert_eq!(node.admin.map(|admin| admin.port), admin, "{settings:?}");
        }
    }

    #[test]
    fn more_nodes_than_can_vote_are_refused() {
        let list = |n: usize| (1..=n).map(|i| format!("h{i}:1")).collect::<Vec<_>>().join(",");
        assert!(resolve(&[layer(&[(Key::Peers, &list(limits::MEMBERS_MAX))])], None).is_ok());
        assert!(faults(&[(Key::Peers, &list(limits::MEMBERS_MAX + 1))])[0].contains("at most 64"));
    }
}
