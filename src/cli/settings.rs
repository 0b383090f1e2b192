//! From the command line as typed to what is used: settings, values, ids and addresses, checked once.

use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use crate::admin::{Client, Token};
use crate::cli::args::{Asked, AskedMany, RunArgs, SettingArgs};
use crate::cli::failure::{Code, Failure};
use crate::config::{self, Address, Environment, Fault, Key, Layer, Origin, Settings};
use crate::types::{ProposalId, Value};

/// What running a node needs.
pub(super) struct Plan {
    pub(super) settings: Settings,
    /// To be proposed in this order.
    pub(super) proposals: Vec<(ProposalId, Value)>,
    /// What looks like a setting in the environment and is none.
    pub(super) ignored: Vec<Fault>,
    /// Whether a file is among the places.
    pub(super) has_file: bool,
}

/// Everything that the flags, the environment and the file say, or all that is wrong with it.
pub(super) fn plan(args: &RunArgs) -> Result<Plan, Failure> {
    let mut gathered = gather(&args.settings);
    let proposals = proposals(args, &mut gathered.faults);
    let ignored = std::mem::take(&mut gathered.ignored);
    let has_file = gathered.file.is_some();
    let (settings, _) = gathered.resolve()?;
    Ok(Plan { settings, proposals, ignored, has_file })
}

/// The settings as written in all places.
pub(super) struct Gathered {
    /// The highest first.
    layers: [Layer; 3],
    faults: Vec<Fault>,
    /// What looks like a setting in the environment and is none.
    pub(super) ignored: Vec<Fault>,
    /// The file, if one is named.
    pub(super) file: Option<PathBuf>,
}

/// Reads flags, environment and file.
pub(super) fn gather(args: &SettingArgs) -> Gathered {
    let Environment { layer: environment, mut faults, ignored } = environment();
    let (file, named) = match (&args.config, std::env::var_os("QUORATE_CONFIG")) {
        (Some(path), _) => (Some(path.clone()), Origin::Flag("--config")),
        (None, Some(path)) if !path.is_empty() => {
            (Some(path.into()), Origin::Environment("QUORATE_CONFIG".to_owned()))
        }
        _ => (None, Origin::Default),
    };
    let (layer, found) = file.as_deref().map(config::read_file).unwrap_or_default();
    faults.extend(found.into_iter().map(|fault| match fault.origin {
        Origin::Flag(_) => Fault { origin: named.clone(), ..fault },
        _ => fault,
    }));
    Gathered { layers: [args.layer(), environment, layer], faults, ignored, file }
}

impl Gathered {
    /// The settings that all places together make, and the places; or all that is wrong.
    pub(super) fn resolve(self) -> Result<(Settings, [Layer; 3]), Vec<Fault>> {
        let Self { layers, mut faults, .. } = self;
        match config::resolve(&layers, host().as_deref()) {
            Ok(settings) if faults.is_empty() => return Ok((settings, layers)),
            Ok(_) => {}
            Err(found) => faults.extend(found),
        }
        // In the order in which one mends them: a file from its first line to its last.
        faults.sort_by_key(|fault| match &fault.origin {
            Origin::Flag(_) => (0, 0),
            Origin::Environment(_) => (1, 0),
            Origin::File { line, .. } => (2, *line),
            Origin::Default => (3, 0),
        });
        Err(faults)
    }
}

fn environment() -> Environment {
    let variables = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
    Layer::environment(variables)
}

/// The name of this machine, where the system tells it as a file.
fn host() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().split('.').next()?.to_owned())
}

fn proposals(args: &RunArgs, faults: &mut Vec<Fault>) -> Vec<(ProposalId, Value)> {
    let (values, ids) = (&args.propose, &args.request_id);
    if !ids.is_empty() && ids.len() != values.len() {
        faults.push(Fault {
            what: format!("{} request ids for {} proposals", ids.len(), values.len()),
            origin: Origin::Flag("--request-id"),
            hint: "give one --request-id for each --propose, in the same order, or none".to_owned(),
        });
    }
    let mut fault = |flag, what, hint: &str| {
        faults.push(Fault { what, origin: Origin::Flag(flag), hint: hint.to_owned() });
    };
    let mut proposals = Vec::new();
    for (index, written) in values.iter().enumerate() {
        let value = value(written).map_err(|Unfit { what, hint }| fault("--propose", what, hint));
        let id = match ids.get(index) {
            Some(written) => request_id(written).map_err(|what| fault("--request-id", what, UUID)),
            None => Ok(new_id()),
        };
        if let (Ok(value), Ok(id)) = (value, id) {
            proposals.push((id, value));
        }
    }
    proposals
}

const UUID: &str = "write a UUID, for example 01890a5d-ac96-774b-bcce-b302099a8057";

/// A fresh id for a proposal.
pub(super) fn new_id() -> ProposalId {
    Uuid::new_v4().into()
}

/// The id of `node propose`: as written, or a fresh one.
pub(super) fn id_or_new(written: Option<&str>) -> Result<ProposalId, Failure> {
    written.map_or_else(|| Ok(new_id()), request_id).map_err(|what| {
        Failure::new(Code::Configuration, what).at("--request-id on the command line").hint(UUID)
    })
}

fn request_id(written: &str) -> Result<ProposalId, String> {
    written.parse().map_err(|_| format!("\"{written}\" is not a request id"))
}

/// Why what was written is no text, or no value.
#[derive(Debug)]
pub(super) struct Unfit {
    what: String,
    hint: &'static str,
}

impl Unfit {
    /// As it is told of a command that came no further.
    pub(super) fn failure(self, place: &str) -> Failure {
        Failure::new(Code::Configuration, self.what).at(place).hint(self.hint)
    }
}

/// A value as written on the command line.
pub(super) fn value(written: &str) -> Result<Value, Unfit> {
    let hint = "propose 1 byte to 1 MiB of UTF-8";
    Value::new(text(written)?).map_err(|error| Unfit { what: error.to_string(), hint })
}

/// A text as written on the command line: itself, the content of `@FILE`, standard input for `-`; `@@`
/// stands for one `@`. One line end at the end of what is read is dropped.
pub(super) fn text(written: &str) -> Result<String, Unfit> {
    let unread = |what: &str, error: io::Error| Unfit {
        what: format!("{what} cannot be read: {error}"),
        hint: "@FILE stands for the content of a file, - for standard input, @@ for one @",
    };
    let bytes = if written == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|error| unread("standard input", error))?
    } else if let Some(rest) = written.strip_prefix("@@") {
        return Ok(format!("@{rest}"));
    } else if let Some(path) = written.strip_prefix('@') {
        fs::read(Path::new(path)).map_err(|error| unread(path, error))?
    } else {
        return Ok(written.to_owned());
    };
    let mut text = String::from_utf8(bytes).map_err(|error| Unfit {
        what: format!("{written} is no UTF-8: {error}"),
        hint: "store it elsewhere and name it, or write its bytes as text",
    })?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// A client of the node that is asked, with the token that it may want.
pub(super) fn client(asked: &Asked) -> Result<Client, Failure> {
    Ok(with_token(Client::new(admin_address(asked)?), token(asked.token_file.as_deref())?))
}

/// Clients of all the nodes that are asked, with the token that they may want; at least one.
pub(super) fn clients(asked: &AskedMany) -> Result<Vec<Client>, Failure> {
    let token = token(asked.token_file.as_deref())?;
    let client = |address| with_token(Client::new(address), token.clone());
    Ok(admin_addresses(asked)?.into_iter().map(client).collect())
}

fn with_token(client: Client, token: Option<Token>) -> Client {
    match token {
        Some(token) => client.with_token(token),
        None => client,
    }
}

/// The token in the file of the command line, or in that of the environment.
fn token(file: Option<&Path>) -> Result<Option<Token>, Failure> {
    let named = std::env::var_os(Key::AdminTokenFile.variable()).filter(|path| !path.is_empty());
    let (place, path) = match (file, named) {
        (Some(path), _) => ("--token-file on the command line".to_owned(), path.to_owned()),
        (None, Some(path)) => {
            (format!("{} in the environment", Key::AdminTokenFile.variable()), path.into())
        }
        (None, None) => return Ok(None),
    };
    let token = Token::read(&path);
    token.map(Some).map_err(|error| {
        Failure::new(Code::Configuration, error.to_string())
            .at(place)
            .hint("name the file that the node's admin_token_file names, or a copy of it")
    })
}

/// Where the node that is asked serves HTTP.
fn admin_address(asked: &Asked) -> Result<SocketAddr, Failure> {
    match (&asked.port, &asked.admin) {
        (Some(port), _) => loopback("--port on the command line", port),
        (None, Some(written)) => written_address(written),
        (None, None) => default_address(),
    }
}

/// Where all the nodes that are asked serve HTTP; at least one.
fn admin_addresses(asked: &AskedMany) -> Result<Vec<SocketAddr>, Failure> {
    let ports = asked.port.iter().map(|port| loopback("--port on the command line", port));
    let written = asked.admin.iter().map(|written| written_address(written));
    let mut addresses = ports.chain(written).collect::<Result<Vec<_>, _>>()?;
    if addresses.is_empty() {
        addresses.push(default_address()?);
    }
    Ok(addresses)
}

/// The environment of a node serves those who ask it, too: in a container, nothing need be typed.
fn default_address() -> Result<SocketAddr, Failure> {
    let Environment { layer, .. } = environment();
    let written = |key: Key| {
        let written = layer.get(key)?;
        Some((written.texts.first()?.trim().to_owned(), written.origin.to_string()))
    };
    match (written(Key::AdminPort), written(Key::Port)) {
        (Some((port, place)), _) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
            _ => {
                let what = format!("\"{port}\" is not the port of an HTTP interface");
                Err(Failure::new(Code::Configuration, what).at(place).hint(NAME_IT))
            }
        },
        (None, Some((port, place))) => loopback(&place, &port),
        (None, None) => Ok(SocketAddr::from(([127, 0, 0, 1], 9001))),
    }
}

const NAME_IT: &str = "write the node's --port, or --admin HOST:PORT for its HTTP interface";

/// The HTTP interface of a node on this machine, by its port for peers.
fn loopback(place: &str, port: &str) -> Result<SocketAddr, Failure> {
    let admin = port.parse::<u16>().ok().filter(|port| *port > 0).and_then(config::admin_port);
    admin.map(|admin| SocketAddr::from(([127, 0, 0, 1], admin))).ok_or_else(|| {
        let what = format!("\"{port}\" is not a port with an HTTP port 1000 above it");
        Failure::new(Code::Configuration, what).at(place).hint(NAME_IT)
    })
}

fn written_address(written: &str) -> Result<SocketAddr, Failure> {
    let place = "--admin on the command line";
    let address: Address = written.parse().map_err(|error: config::AddressError| {
        Failure::new(Code::Configuration, error.to_string())
            .at(place)
            .hint("write host:port, for example 127.0.0.1:9001")
    })?;
    let found = (address.host.as_str(), address.port).to_socket_addrs();
    found.ok().and_then(|mut found| found.next()).ok_or_else(|| {
        Failure::new(Code::Unreachable, format!("{} is not a known name", address.host))
            .at(place)
            .hint("check the name, or write the IP address")
    })
}

/// Whether this machine has the address: only then can something listen on it.
pub(super) fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || TcpListener::bind((ip, 0)).is_ok()
}

/// A span of time on the command line.
pub(super) fn duration(flag: &str, written: &str) -> Result<Duration, Failure> {
    config::parse_duration(written).map_err(|what| {
        Failure::new(Code::Configuration, what)
            .at(format!("{flag} on the command line"))
            .hint("for example 10s")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_itself_a_file_or_an_escaped_sign() {
        assert_eq!(text("blue").unwrap(), "blue");
        assert_eq!(text("@@blue").unwrap(), "@blue");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("value");
        let written = format!("@{}", path.display());
        for (bytes, read) in [(&b"a\n"[..], "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a", " a")]
        {
            fs::write(&path, bytes).unwrap();
            assert_eq!(text(&written).unwrap(), read);
        }
        fs::write(&path, b"\xff").unwrap();
        assert!(text(&written).unwrap_err().what.contains("no UTF-8"));
        assert!(text("@no/such/file").unwrap_err().what.contains("no/such/file cannot be read"));
    }
}
