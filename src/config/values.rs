//! The values that stand in more than one table: addresses, origins, secrets.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::Url;

use super::reader::{Field, Fields};
use super::settings::{CertificateFiles, SecretText};
use crate::gate::host::Host;
use crate::gate::pattern::Pattern;

/// A secret file larger than this is none.
const LARGEST_SECRET: u64 = 64 << 10;

pub fn owned(field: &Field<'_>) -> Option<String> {
    field.shaped("text", "\\S", |text| match text.trim() {
        "" => Err(String::from("can't be empty")),
        _ => Ok(text.to_owned()),
    })
}

pub fn socket(field: &Field<'_>) -> Option<SocketAddr> {
    field.parsed("an address such as \"[::]:8443\"", |text| {
        text.parse().map_err(|_| {
            format!("{text:?} is not an address with a port, such as \"[::]:8443\" or \"127.0.0.1:9901\"")
        })
    })
}

/// A CIDR, or one address.
pub fn network(field: &Field<'_>) -> Option<IpNet> {
    field.parsed("a network such as \"10.0.0.0/8\"", |text| {
        let net = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let net = net.ok_or_else(|| {
            format!("{text:?} is not a network such as \"10.0.0.0/8\" or \"fd00::/8\"")
        })?;
        if net.addr() != net.network() {
            return Err(format!(
                "{text:?} has bits outside of its network; {} is meant?",
                net.trunc()
            ));
        }
        Ok(net)
    })
}

pub fn pattern(field: &Field<'_>) -> Option<Pattern> {
    field.parsed("a path pattern such as \"/payments/**\"", Pattern::parse)
}

/// `https://host[:port]`, without more.
pub fn origin(field: &Field<'_>) -> Option<(String, Host)> {
    field.parsed("a URL such as \"https://login.example.org\"", |text| {
        let url = Url::parse(text)
            .map_err(|_| format!("{text:?} is not a URL such as \"https://login.example.org\""))?;
        if url.scheme() != "https" {
            return Err(format!(
                "{text:?} must begin with https://: the cookies are for https alone"
            ));
        }
        let bare = url.username().is_empty() && url.password().is_none();
        if !bare || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "{text:?} must be https://host or https://host:port, without more"
            ));
        }
        let name = url.host_str().unwrap_or_default();
        let host = Host::parse_authority(name.as_bytes())
            .map_err(|_| format!("{name:?} is not the name of a host"))?;
        let port = url
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        Ok((format!("https://{}{port}", host.as_str()), host))
    })
}

/// The value itself, or `{ file = "path" }` to read it from.
pub fn secret(field: &Field<'_>) -> Option<SecretText> {
    const WANTED: &str = "text, or { file = \"path\" },";
    if !field.is_table() {
        return field
            .text(WANTED)
            .map(|text| SecretText::new(text.to_owned()));
    }
    if field.is_drawn() {
        // In a table that stands where a word may stand, tables are all that is drawn.
        field.text(WANTED);
    }
    field.table(|fields| {
        let file = fields.required("file")?;
        let path = file.file_path()?;
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() > LARGEST_SECRET => {
                return file.wrong(format!("{} is larger than a secret", path.display()));
            }
            _ => {}
        }
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => SecretText::new(text),
            Err(error) => return file.wrong(format!("{} can't be read: {error}", path.display())),
        };
        match text.expose().trim_end_matches(['\r', '\n']) {
            "" => file.wrong(format!("{} is empty", path.display())),
            line => Some(SecretText::new(line.to_owned())),
        }
    })
}

/// `{ certificate = "…", key = "…" }`.
pub fn certificate_files(field: &Field<'_>) -> Option<CertificateFiles> {
    field.table(|fields| {
        let certificate = fields
            .required("certificate")
            .and_then(|field| field.file_path());
        let key = fields.required("key").and_then(|field| field.file_path());
        Some(CertificateFiles {
            certificate: certificate?,
            key: key?,
        })
    })
}

/// A list that says nothing when it is not there.
pub fn list_of<T>(
    fields: &Fields<'_>,
    key: &'static str,
    read: impl Fn(&Field<'_>) -> Option<T>,
) -> Vec<T> {
    fields.or(key, Vec::new(), |field| field.list(&read))
}
