//! Every setting by name, with its kind and its default as one would write it.

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Peers of another cluster are refused.
    Cluster,
    /// For people.
    Name,
    /// Where peers are listened for.
    Bind,
    /// The port for peers.
    Port,
    /// Where others dial this node.
    Advertise,
    /// Every node of the cluster.
    Peers,
    /// Identity and log.
    DataDir,
    /// Whether the HTTP interface is wanted.
    Admin,
    /// The port of the HTTP interface.
    AdminPort,
    /// Where the HTTP interface listens.
    AdminBind,
    /// What clients of the HTTP interface must show.
    AdminTokenFile,
    /// How often a heartbeat is sent.
    HeartbeatInterval,
    /// Silence that makes a peer suspect.
    SuspectAfter,
    /// The shortest wait between dials.
    RedialMin,
    /// The longest wait between dials.
    RedialMax,
    /// Which log lines are printed.
    LogLevel,
    /// How they are printed.
    LogFormat,
}

/// How a setting is written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// An array of strings; separated by commas elsewhere.
    List,
}

impl Key {
    /// Every setting, in the order of `config/node.toml`.
    pub const ALL: [Self; 17] = [
        Self::Cluster,
        Self::Name,
        Self::Bind,
        Self::Port,
        Self::Advertise,
        Self::Peers,
        Self::DataDir,
        Self::Admin,
        Self::AdminPort,
        Self::AdminBind,
        Self::AdminTokenFile,
        Self::HeartbeatInterval,
        Self::SuspectAfter,
        Self::RedialMin,
        Self::RedialMax,
        Self::LogLevel,
        Self::LogFormat,
    ];

    /// Its name in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Name => "name",
            Self::Bind => "bind",
            Self::Port => "port",
            Self::Advertise => "advertise",
            Self::Peers => "peers",
            Self::DataDir => "data_dir",
            Self::Admin => "admin",
            Self::AdminPort => "admin_port",
            Self::AdminBind => "admin_bind",
            Self::AdminTokenFile => "admin_token_file",
            Self::HeartbeatInterval => "heartbeat_interval",
            Self::SuspectAfter => "suspect_after",
            Self::RedialMin => "redial_min",
            Self::RedialMax => "redial_max",
            Self::LogLevel => "log_level",
            Self::LogFormat => "log_format",
        }
    }

    /// Its name in the environment.
    pub fn variable(self) -> String {
        format!("QUORATE_{}", self.name().to_ascii_uppercase())
    }

    /// How it is written.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Port | Self::AdminPort => Kind::Number,
            Self::Admin => Kind::Switch,
            Self::Peers => Kind::List,
            Self::Cluster
            | Self::Name
            | Self::Bind
            | Self::Advertise
            | Self::DataDir
            | Self::AdminBind
            | Self::AdminTokenFile
            | Self::HeartbeatInterval
            | Self::SuspectAfter
            | Self::RedialMin
            | Self::RedialMax
            | Self::LogLevel
            | Self::LogFormat => Kind::Text,
        }
    }

    /// What it is where nobody wrote it; none if that depends on other settings.
    pub const fn default(self) -> Option<&'static str> {
        match self {
            Self::Cluster => Some("quorate"),
            Self::Port => Some("8001"),
            Self::Admin => Some("true"),
            Self::AdminBind => Some("127.0.0.1"),
            Self::HeartbeatInterval => Some("100ms"),
            Self::SuspectAfter => Some("600ms"),
            Self::RedialMin => Some("250ms"),
            Self::RedialMax => Some("10s"),
            Self::LogLevel => Some("info"),
            Self::LogFormat => Some("text"),
            Self::Name
            | Self::Bind
            | Self::Advertise
            | Self::Peers
            | Self::DataDir
            | Self::AdminPort
            | Self::AdminTokenFile => None,
        }
    }

    /// Whether a running node can take another value of it.
    pub const fn is_reloadable(self) -> bool {
        match self {
            Self::Peers | Self::RedialMin | Self::RedialMax | Self::LogLevel => true,
            Self::Cluster
            | Self::Name
            | Self::Bind
            | Self::Port
            | Self::Advertise
            | Self::DataDir
            | Self::Admin
            | Self::AdminPort
            | Self::AdminBind
            | Self::AdminTokenFile
            | Self::HeartbeatInterval
            | Self::SuspectAfter
            | Self::LogFormat => false,
        }
    }

    /// The setting of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// The setting that a misspelled name most likely means: at most two slips away.
    pub(super) fn nearest(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replace('-', "_");
        Self::ALL
            .into_iter()
            .map(|key| (slips(&name, key.name()), key))
            .filter(|&(slips, key)| slips <= 2 && slips < key.name().len())
            .min_by_key(|&(slips, _)| slips)
            .map(|(_, key)| key)
    }
}

/// How many letters must be added, dropped or replaced to get from one word to the other.
fn slips(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_name_finds_its_neighbour_and_a_foreign_one_finds_none() {
        assert_eq!(Key::nearest("prot"), Some(Key::Port));
        assert_eq!(Key::nearest("peer"), Some(Key::Peers));
        assert_eq!(Key::nearest("DATA-DIR"), Some(Key::DataDir));
        assert_eq!(Key::nearest("heartbeat_intervall"), Some(Key::HeartbeatInterval));
        assert_eq!(Key::nearest("election_timeout"), None);
        assert_eq!(Key::nearest(""), None);
    }

    #[test]
    fn slips_are_counted() {
        assert_eq!(slips("kitten", "sitting"), 3);
        assert_eq!(slips("", "ab"), 2);
        assert_eq!(slips("ab", ""), 2);
        assert_eq!(slips("same", "same"), 0);
    }
}
