//! From the command line as typed to what is used: settings, values, ids and addresses, checked once.

use std::fs;
use std::io::{self, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use uuid::Uuid;

use crate::admin::{Client, Token};
use crate::cli::args::{Asked, RunArgs};
use crate::cli::failure::{Code, Failure};
use crate::config::{self, Address, Fault, Key, Layer, Origin, Settings};
use crate::types::{ProposalId, Value};

/// What running a node needs.
pub(super) struct Plan {
    pub(super) settings: Settings,
    /// To be proposed in this order.
    pub(super) proposals: Vec<(ProposalId, Value)>,
}

/// Everything that the flags, the environment and the file say, or all that is wrong with it.
pub(super) fn plan(args: &RunArgs) -> Result<Plan, Failure> {
    let variables = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
    let (environment, mut faults) = Layer::environment(variables);
    let named = args.config.clone().or_else(|| std::env::var_os("QUORATE_CONFIG").map(Into::into));
    let file = named.map(|path| config::read_file(&path)).map(|(layer, found)| {
        faults.extend(found);
        layer
    });
    let layers = [args.layer(), environment, file.unwrap_or_default()];
    let settings = config::resolve(&layers, host().as_deref());
    let proposals = proposals(args, &mut faults);
    match settings {
        Ok(settings) if faults.is_empty() => Ok(Plan { settings, proposals }),
        Ok(_) => Err(faults.into()),
        Err(found) => {
            faults.extend(found);
            Err(faults.into())
        }
    }
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
        let value =
            text(written).and_then(|text| Value::new(text).map_err(|error| error.to_string()));
        let value =
            value.map_err(|what| fault("--propose", what, "propose 1 byte to 256 KiB of UTF-8"));
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

/// A text as written on the command line: itself, the content of `@FILE`, standard input for `-`; `@@`
/// stands for one `@`. One line end at the end of what is read is dropped.
pub(super) fn text(written: &str) -> Result<String, String> {
    let bytes = if written == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|error| format!("standard input cannot be read: {error}"))?
    } else if let Some(rest) = written.strip_prefix("@@") {
        return Ok(format!("@{rest}"));
    } else if let Some(path) = written.strip_prefix('@') {
        fs::read(Path::new(path)).map_err(|error| format!("{path} cannot be read: {error}"))?
    } else {
        return Ok(written.to_owned());
    };
    let mut text =
        String::from_utf8(bytes).map_err(|error| format!("{written} is no UTF-8: {error}"))?;
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
    let client = Client::new(admin_address(asked)?);
    let named = std::env::var_os(Key::AdminTokenFile.variable()).filter(|path| !path.is_empty());
    let Some(path) = asked.token_file.clone().or_else(|| named.map(Into::into)) else {
        return Ok(client);
    };
    let token =
        Token::read(&path).map_err(|error| Failure::new(Code::Configuration, error.to_string()))?;
    Ok(client.with_token(token))
}

/// Where the node that is asked serves HTTP.
fn admin_address(asked: &Asked) -> Result<SocketAddr, Failure> {
    let wrong = |flag: &str, what: String| {
        Failure::new(Code::Configuration, what).at(format!("{flag} on the command line"))
    };
    if let Some(port) = &asked.port {
        let admin = port.parse::<u16>().ok().filter(|port| *port > 0).and_then(config::admin_port);
        let admin = admin.ok_or_else(|| {
            wrong("--port", format!("\"{port}\" is not a port with an HTTP port 1000 above it"))
                .hint("write the node's --port, or --admin HOST:PORT for its HTTP interface")
        })?;
        return Ok(SocketAddr::from(([127, 0, 0, 1], admin)));
    }
    let Some(written) = &asked.admin else { return Ok(SocketAddr::from(([127, 0, 0, 1], 9001))) };
    let address: Address = written.parse().map_err(|error: config::AddressError| {
        wrong("--admin", error.to_string()).hint("write host:port, for example 127.0.0.1:9001")
    })?;
    let found = (address.host.as_str(), address.port).to_socket_addrs();
    found.ok().and_then(|mut found| found.next()).ok_or_else(|| {
        Failure::new(Code::Unreachable, format!("{} is not a known name", address.host))
            .at("--admin on the command line")
            .hint("check the name, or write the IP address")
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
        assert!(text(&written).unwrap_err().contains("no UTF-8"));
        assert!(text("@no/such/file").unwrap_err().contains("no/such/file cannot be read"));
    }
}
