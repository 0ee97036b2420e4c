//! Hosts: one spelling for each, and one table.

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use foldhash::fast::FixedState;

use super::facts::Malformed;

/// A host name or address, canonical: lower case, no trailing dot, no port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Box<str>);

impl Host {
    /// `Host`/`:authority` value: `name[:port]`. The port is checked and left out: hosts are told
    /// apart by name alone.
    ///
    /// # Errors
    /// [`Malformed::Host`] for anything else, such as lists, user names, spaces and slashes.
    pub fn parse_authority(raw: &[u8]) -> Result<Host, Malformed> {
        read_authority(raw).ok_or(Malformed::Host)
    }

    /// A host in a configuration, without a port; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Host, String> {
        canonical(text.as_bytes()).ok_or_else(|| {
            format!("{text:?} is not a host name (letters, digits, '-', '_', '.') or an address")
        })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an authority could certify it: a name, and not this machine's own (RFC 6761, 6.3).
    pub fn is_certifiable(&self) -> bool {
        let is_address = self.0.starts_with('[') || self.0.parse::<Ipv4Addr>().is_ok();
        let is_here = &*self.0 == "localhost" || self.0.ends_with(".localhost");
        !is_address && !is_here
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest name that DNS can carry, in characters.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

fn read_authority(raw: &[u8]) -> Option<Host> {
    // The colons of an IPv6 address stand in brackets.
    let name_end = match raw.first()? {
        b'[' => raw.iter().position(|&b| b == b']')? + 1,
        _ => raw.iter().position(|&b| b == b':').unwrap_or(raw.len()),
    };
    let (name, port) = raw.split_at_checked(name_end)?;
    match port {
        [] => {}
        [b':', digits @ ..] => check_port(digits)?,
        _ => return None,
    }
    canonical(name)
}

fn check_port(digits: &[u8]) -> Option<()> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let port: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (1..=65_535).contains(&port).then_some(())
}

fn canonical(name: &[u8]) -> Option<Host> {
    let name = std::str::from_utf8(name).ok()?;
    if let Some(inner) = name.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(Host(format!("[{address}]").into()));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let fine =
        |label: &str| (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(allowed);
    if name.len() > LONGEST_NAME || !name.split('.').all(fine) {
        return None;
    }
    // `127.1`, `0x7f.0x1` and `017700000001` are addresses to some and names to others: only
    // dotted quads.
    if is_number(name.rsplit('.').next()?) && name.parse::<Ipv4Addr>().is_err() {
        return None;
    }
    Some(Host(name.to_ascii_lowercase().into()))
}

/// By the browsers' rules for the end of a host (WHATWG URL, 3.5).
fn is_number(label: &str) -> bool {
    let hex = label
        .get(..2)
        .filter(|head| head.eq_ignore_ascii_case("0x"));
    match hex.and_then(|head| label.get(head.len()..)) {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => label.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// What belongs to each host. There is no default: an unknown host is nobody's.
#[derive(Debug, Clone)]
pub struct HostTable<T> {
    // The keys are the operator's, not a client's.
    entries: HashMap<Host, T, FixedState>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the host {0} is given twice")]
pub struct DuplicateHost(pub Host);

impl<T> HostTable<T> {
    pub fn new() -> HostTable<T> {
        HostTable {
            entries: HashMap::default(),
        }
    }

    pub fn insert(&mut self, host: Host, value: T) -> Result<(), DuplicateHost> {
        if self.entries.contains_key(&host) {
            return Err(DuplicateHost(host));
        }
        self.entries.insert(host, value);
        Ok(())
    }

    pub fn get(&self, host: &Host) -> Option<&T> {
        self.entries.get(host)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Host, &T)> {
        self.entries.iter()
    }
}

impl<T> Default for HostTable<T> {
    fn default() -> HostTable<T> {
        HostTable::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_host_are_one_host() {
        for (raw, host) in [
            ("emr.localhost", "emr.localhost"),
            ("EMR.LocalHost", "emr.localhost"),
            ("emr.localhost.", "emr.localhost"),
            ("emr.localhost:8443", "emr.localhost"),
            ("A.:80", "a"),
            ("my_host-1:1", "my_host-1"),
            ("127.0.0.1:65535", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[0:0::0:1]:443", "[::1]"),
            ("[FE80::A]", "[fe80::a]"),
        ] {
            assert_eq!(
                Host::parse_authority(raw.as_bytes()).unwrap().as_str(),
                host,
                "{raw}"
            );
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = format!("{}a", "a.".repeat(127));
        let label = "a".repeat(64);
        for raw in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a..",
            "a b",
            " a",
            "a ",
            "a,b",
            "a, b",
            "a/b",
            "a\\b",
            "u@a",
            "u:p@a",
            "a:",
            "a:0",
            "a:65536",
            "a:99999",
            "a:+1",
            "a:-1",
            "a:abc",
            "a:80:80",
            "a:000080",
            ":80",
            "a?b",
            "a#b",
            "a%41",
            "[",
            "[]",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[::1%25lo]",
            "[127.0.0.1]",
            "127.1",
            "1",
            "256.0.0.1",
            "0127.0.0.1",
            "é.example",
            "a\0",
            "a\r\n",
            "a\t",
            "*",
            "a;b",
            long.as_str(),
            label.as_str(),
        ] {
            assert_eq!(
                Host::parse_authority(raw.as_bytes()),
                Err(Malformed::Host),
                "{raw:?}"
            );
        }
        assert!(Host::parse_authority(b"a\xff").is_err());
    }

    #[test]
    fn a_configured_host_has_no_port() {
        assert_eq!(
            Host::parse("EMR.localhost.").unwrap().as_str(),
            "emr.localhost"
        );
        assert!(
            Host::parse("emr.localhost:8443")
                .unwrap_err()
                .contains("emr.localhost:8443")
        );
    }

    #[test]
    fn the_table_knows_every_spelling_and_takes_none_twice() {
        let mut table = HostTable::new();
        table
            .insert(Host::parse("emr.localhost").unwrap(), 1)
            .unwrap();
        let again = Host::parse_authority(b"EMR.localhost.:443").unwrap();
        assert_eq!(table.get(&again), Some(&1));
        assert_eq!(
            table.insert(again.clone(), 2),
            Err(DuplicateHost(again.clone()))
        );
        assert_eq!(table.get(&again), Some(&1));
        assert_eq!(table.get(&Host::parse("billing.localhost").unwrap()), None);
    }

    proptest! {
        #[test]
        fn canonical_once_is_canonical(raw in "[a-zA-Z0-9._\\[\\]:@, -]{0,24}") {
            if let Ok(host) = Host::parse_authority(raw.as_bytes()) {
                prop_assert_eq!(Host::parse_authority(host.as_str().as_bytes()), Ok(host.clone()));
                prop_assert_eq!(Host::parse(host.as_str()), Ok(host));
            }
        }
    }
}
