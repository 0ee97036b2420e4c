//! `[tls.acme]`: the authority that certificates are ordered from (RFC 8555).

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;

use super::providers::is_secure;
use super::reader::{Field, Fields};
use super::settings::SecretText;
use super::values::{list_of, owned, secret};

/// Whom an authority writes to; more are a mistake.
const MOST_CONTACTS: usize = 10;

/// Where certificates come from. The terms of service are agreed to: without that there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The URL of the authority's directory.
    pub directory: String,
    /// Mail addresses.
    pub contact: Vec<String>,
    pub challenge: ChallengeKind,
    pub external_account: Option<ExternalAccount>,
    /// Who signed the authority's own certificate; `None`: one of the system's authorities.
    pub ca: Option<PathBuf>,
}

/// How it is proven that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeKind {
    /// Asked for over plain HTTP, on port 80 (RFC 8555, 8.3).
    Http01,
    /// Asked for in a TLS handshake, on port 443 (RFC 8737).
    TlsAlpn01,
}

impl ChallengeKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            ChallengeKind::Http01 => "http-01",
            ChallengeKind::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// An account that somebody has with the authority already (RFC 8555, 7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    pub key_id: String,
    /// Base64url, as authorities give it out.
    pub key: SecretText,
}

impl ExternalAccount {
    /// The key's bytes.
    pub fn key_bytes(&self) -> Option<Vec<u8>> {
        decoded(self.key.expose())
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
    bytes.ok().filter(|bytes| !bytes.is_empty())
}

pub fn acme(field: &Field<'_>) -> Option<Acme> {
    field.table(|fields| {
        let directory = fields.required("directory").and_then(|f| directory(&f));
        let contact = list_of(fields, "contact", address);
        if contact.len() > MOST_CONTACTS {
            fields.wrong::<()>(format!("at most {MOST_CONTACTS} addresses to write to"));
        }
        let agreed = fields.required("terms_agreed").and_then(|f| agreed(&f));
        let challenge = fields.or("challenge", ChallengeKind::Http01, |field| {
            field.word(&[
                ("http-01", ChallengeKind::Http01),
                ("tls-alpn-01", ChallengeKind::TlsAlpn01),
            ])
        });
        let external_account = fields
            .optional("external_account")
            .map(|field| field.table(external_account));
        let ca = fields.optional("ca").and_then(|field| field.file_path());
        agreed?;
        Some(Acme {
            directory: directory?,
            contact,
            challenge,
            external_account: match external_account {
                Some(account) => Some(account?),
                None => None,
            },
            ca,
        })
    })
}

/// Certificates are believed because of what is said there, so it is https; this machine itself may be
/// asked in the clear, for tests.
fn directory(field: &Field<'_>) -> Option<String> {
    const WANTED: &str = "a URL such as \"https://acme-v02.api.letsencrypt.org/directory\"";
    field.parsed(WANTED, |text| match Url::parse(text) {
        Ok(url) if is_secure(&url) && url.username().is_empty() && url.password().is_none() => {
            Ok(text.to_owned())
        }
        _ => Err(format!("{text:?} is not {WANTED}")),
    })
}

fn address(field: &Field<'_>) -> Option<String> {
    const WANTED: &str = "a mail address such as \"ops@example.org\"";
    field.parsed(WANTED, |text| match text.parse::<lettre::Address>() {
        // It is sent as a URL (RFC 8555, 7.3), in which these would begin something else.
        Ok(_) if !text.contains(['?', '#', '%', ',']) => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is not {WANTED}")),
    })
}

fn agreed(field: &Field<'_>) -> Option<()> {
    match field.boolean()? {
        true => Some(()),
        false => field.wrong(
            "must be true: the authority gives certificates to those alone who agree to its terms of service",
        ),
    }
}

fn external_account(fields: &Fields<'_>) -> Option<ExternalAccount> {
    let key_id = fields.required("key_id").and_then(|field| owned(&field));
    let key = fields.required("key").and_then(|field| {
        let key = secret(&field)?;
        match decoded(key.expose()) {
            Some(_) => Some(key),
            None => field.wrong("the key must be base64url, as the authority gives it out"),
        }
    });
    Some(ExternalAccount {
        key_id: key_id?,
        key: key?,
    })
}
