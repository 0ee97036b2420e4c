//! `[providers.…]`: the OpenID Connect providers that vouch for the people of a company.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::reader::{Field, Fields};
use super::settings::SecretText;
use super::values::{list_of, owned, secret};
use crate::gate::name::CompanyId;

/// The longest that a browser waits for a provider, whatever is configured.
const LONGEST_DEADLINE: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_secs(5);
/// Domains of one provider, and scopes.
const MOST: usize = 100;

/// One company's provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSettings {
    /// The key of its table: it stands in the addresses of its sign-in.
    pub name: String,
    /// It vouches for people of this company and of no other.
    pub company: CompanyId,
    /// To the letter as the provider writes it.
    pub issuer: String,
    pub client_id: String,
    /// `None`: a public client, which PKCE alone protects.
    pub client_secret: Option<SecretText>,
    /// "Continue with …".
    pub label: String,
    pub scopes: Vec<String>,
    /// A person without an identity yet is found by their verified mail address.
    pub link_by_email: bool,
    /// Whether the provider's `amr` is believed when it shows a second factor.
    pub believe_factor: bool,
    /// Whether the button stands on the sign-in page for everybody.
    pub button: bool,
    /// Passwords of the company's people are not accepted.
    pub only: bool,
    /// Mail domains by which somebody finds their company.
    pub domains: Vec<String>,
    /// The person must have proved themselves there within this time.
    pub max_age: Option<Duration>,
    /// For each call.
    pub deadline: Duration,
    /// Who signed the provider's certificate; `None`: one of the system's authorities.
    pub ca: Option<PathBuf>,
}

/// Reads every provider, also after one that is wrong.
pub fn providers(field: &Field<'_>) -> Option<Vec<ProviderSettings>> {
    let all = field.map(|key, field| {
        if !is_name(key) {
            field.wrong::<()>(format!(
                "{key:?} can't be a provider's name: 1 to 40 of a-z, 0-9 and '-', it stands in addresses"
            ));
        }
        field.table(|fields| provider(key, fields))
    })?;
    let mut companies: HashMap<&CompanyId, &str> = HashMap::new();
    let mut domains: HashMap<&str, &str> = HashMap::new();
    for one in &all {
        if let Some(other) = companies.insert(&one.company, &one.name) {
            field.wrong_below::<()>(
                &[&one.name, "company"],
                format!(
                    "the company {} has the provider {other:?} already",
                    one.company
                ),
            );
        }
        for domain in &one.domains {
            if let Some(other) = domains.insert(domain, &one.name) {
                field.wrong_below::<()>(
                    &[&one.name, "domains"],
                    format!("{domain:?} leads to the provider {other:?} already"),
                );
            }
        }
    }
    Some(all)
}

fn provider(name: &str, fields: &Fields<'_>) -> Option<ProviderSettings> {
    let company = fields.required("company").and_then(|field| {
        field.parsed("a company's id", |text| {
            CompanyId::parse(text).map_err(|error| error.to_string())
        })
    });
    let issuer = fields.required("issuer").and_then(|field| issuer(&field));
    let client_id = fields.required("client_id").and_then(|field| owned(&field));
    let client_secret = fields.optional("client_secret").map(|field| secret(&field));
    let label = fields.required("label").and_then(|field| owned(&field));
    let sound = vec![
        String::from("openid"),
        String::from("profile"),
        String::from("email"),
    ];
    let scopes = fields.or("scopes", sound, scopes);
    let domains = list_of(fields, "domains", domain);
    if domains.len() > MOST {
        fields.wrong::<()>(format!("at most {MOST} domains lead to one provider"));
    }
    let deadline = fields.or("deadline", DEADLINE, |field| {
        field.span_at_most(LONGEST_DEADLINE)
    });
    let flag = |key, otherwise| fields.or(key, otherwise, |field| field.boolean());
    let (link_by_email, believe_factor, button, only) = (
        flag("link_by_email", false),
        flag("believe_factor", true),
        flag("button", true),
        flag("only", false),
    );
    let max_age = fields
        .optional("max_age")
        .and_then(|field| field.span_above_zero());
    let ca = fields.optional("ca").and_then(|field| field.file_path());
    Some(ProviderSettings {
        name: name.to_owned(),
        company: company?,
        issuer: issuer?,
        client_id: client_id?,
        client_secret: match client_secret {
            Some(secret) => Some(secret?),
            None => None,
        },
        label: label?,
        scopes,
        link_by_email,
        believe_factor,
        button,
        only,
        domains,
        max_age,
        deadline,
        ca,
    })
}

/// `[scim.COMPANY]`: which roles its directory's groups give.
pub fn scim(field: &Field<'_>) -> Option<HashMap<CompanyId, BTreeMap<String, Vec<String>>>> {
    let all = field.map(|key, field| {
        let company = match CompanyId::parse(key) {
            Ok(company) => Some(company),
            Err(error) => field.wrong(error.to_string()),
        };
        let roles = field.table(|fields| {
            Some(fields.or("roles", BTreeMap::new(), |field| {
                let groups = field.map(|group, field| Some((group.to_owned(), field.list(role)?)));
                Some(groups?.into_iter().collect())
            }))
        });
        Some((company?, roles?))
    })?;
    Some(all.into_iter().collect())
}

/// Roles are sent to backends with commas between them.
fn role(field: &Field<'_>) -> Option<String> {
    field.parsed("a role such as \"user_manager\"", |text| {
        match text.trim() {
            "" => Err(String::from("a role can't be empty")),
            role if role.contains(',') || role.chars().any(char::is_control) => Err(format!(
                "{role:?}: a role has no comma and no control character"
            )),
            role => Ok(role.to_owned()),
        }
    })
}

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=40).contains(&text.len()) && text.bytes().all(plain)
}

/// Secrets go there, so it is https; this machine itself may be asked in the clear, for tests.
fn issuer(field: &Field<'_>) -> Option<String> {
    field.parsed("a URL such as \"https://acme.okta.example\"", |text| {
        let url = Url::parse(text)
            .map_err(|_| format!("{text:?} is not a URL such as \"https://acme.okta.example\""))?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(format!(
                "{text:?}: an issuer has no query, fragment or user (OpenID Connect Discovery 1.0)"
            ));
        }
        if is_secure(&url) {
            Ok(text.to_owned())
        } else {
            Err(format!(
                "{text:?} must begin with https://: a secret and people's identities go there"
            ))
        }
    })
}

/// Whether what is sent there can't be read on the way.
pub fn is_secure(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(_)) | None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

fn scopes(field: &Field<'_>) -> Option<Vec<String>> {
    let scopes = field.list(|field| {
        field.parsed("a scope such as \"openid\"", |text| {
            let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
            if text.is_empty() || !text.bytes().all(plain) {
                return Err(format!("{text:?} is not a scope (RFC 6749, section 3.3)"));
            }
            Ok(text.to_owned())
        })
    })?;
    if scopes.len() > MOST {
        return field.wrong(format!("at most {MOST} scopes"));
    }
    if scopes.iter().any(|scope| scope == "openid") {
        Some(scopes)
    } else {
        field.wrong("\"openid\" is missing: without it the provider does not say who somebody is")
    }
}

fn domain(field: &Field<'_>) -> Option<String> {
    field.parsed("a domain such as \"acme.example\"", |text| {
        let domain = text.to_ascii_lowercase();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
        let sound = domain.contains('.') && domain.len() <= 253 && domain.bytes().all(plain);
        if sound && !domain.starts_with('.') && !domain.ends_with('.') {
            Ok(domain)
        } else {
            Err(format!("{text:?} is not a domain such as \"acme.example\""))
        }
    })
}
