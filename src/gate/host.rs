//! Hosts.

use super::facts::Malformed;

/// A host name or address, canonical: lower case, no trailing dot, no port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Box<str>);

impl Host {
    /// `Host`/`:authority` value: `name[:port]`.
    pub fn parse_authority(raw: &[u8]) -> Result<Host, Malformed> {
        Ok(Host(String::from_utf8_lossy(raw).to_lowercase().into()))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
