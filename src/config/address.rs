//! `host:port`, as people write it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Where a node can be dialled: `host:port`, the host a DNS name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// A name or an address, without brackets; names in lower case.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// Why a text is no address. Each says the text and the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing between two commas, or nothing at all.
    #[error("an address is empty")]
    Empty,
    /// No `:port` at the end.
    #[error("\"{0}\" has no port: write {0}:8001")]
    NoPort(String),
    /// A colon too many outside of brackets.
    #[error(
        "\"{0}\" is an IPv6 address without brackets: write [{0}]:8001 or move the port out of them"
    )]
    NoBrackets(String),
    /// No host before the port.
    #[error("\"{0}\" has no host: write the name or the IP address before the colon")]
    NoHost(String),
    /// The port is no number from 1 to 65535.
    #[error("the port in \"{0}\" is not a number from 1 to 65535")]
    BadPort(String),
    /// The host is neither a name nor an address.
    #[error("the host in \"{0}\" is neither a DNS name nor an IP address")]
    BadHost(String),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let owned = || text.to_owned();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let (host, rest) =
                inner.split_once(']').ok_or_else(|| AddressError::BadHost(owned()))?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err(AddressError::BadHost(owned()));
            }
            let port = rest.strip_prefix(':').ok_or_else(|| AddressError::NoPort(owned()))?;
            return Ok(Self { host: host.to_ascii_lowercase(), port: port_of(port, text)? });
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(AddressError::NoBrackets(owned()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| AddressError::NoPort(owned()))?;
        if host.is_empty() {
            return Err(AddressError::NoHost(owned()));
        }
        let is_name = host.len() <= 253
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        if !is_name {
            return Err(AddressError::BadHost(owned()));
        }
        Ok(Self { host: host.to_ascii_lowercase(), port: port_of(port, text)? })
    }
}

fn port_of(port: &str, text: &str) -> Result<u16, AddressError> {
    match port.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(AddressError::BadPort(text.to_owned())),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_read_and_written_alike() {
        for text in
            ["a:8001", "node-1.example.org:1", "127.0.0.1:65535", "[::1]:8001", "[fe80::2]:9"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!(" Host:1 ".parse::<Address>().unwrap().host, "host");
    }

    #[test]
    fn what_is_no_address_says_why() {
        let cases = [
            ("", "an address is empty"),
            ("b", "has no port: write b:8001"),
            ("[::1]", "has no port: write [::1]:8001"),
            (":8001", "has no host"),
            ("::1", "without brackets: write [::1]:8001"),
            ("fe80::1:8001", "without brackets"),
            ("b:0", "not a number from 1 to 65535"),
            ("b:65536", "not a number from 1 to 65535"),
            ("b:http", "not a number from 1 to 65535"),
            ("a b:1", "neither a DNS name nor an IP address"),
            ("[b]:1", "neither a DNS name nor an IP address"),
        ];
        for (text, why) in cases {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
