//! `[products.…]`: each becomes a [`Product`] for the rules and a [`Backend`] for the proxy.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;
use url::Url;

use super::credentials::{credentials, natural, sign_on};
use super::reader::{Field, Fields, hint};
use super::settings::{Backend, BackendAddress, BackendTls, Health, SignOn, Timeouts};
use super::values::{certificate_files, list_of, origin, owned, pattern};
use crate::gate::host::Host;
use crate::gate::identity::ValueTemplate;
use crate::gate::name::ProductId;
use crate::gate::product::{
    Access, Accounts, ActivityRules, IdentityHeaders, OpenAccess, Product, Unauthenticated,
};

/// A product as it stands in the file; its index comes with the others.
pub struct Read {
    pub product: Product,
    pub backend: Backend,
}

/// The products that a policy may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductIds(Option<Vec<ProductId>>);

impl ProductIds {
    pub fn of(ids: impl IntoIterator<Item = ProductId>) -> ProductIds {
        ProductIds(Some(ids.into_iter().collect()))
    }

    /// While nobody can tell: for looking at policies, never for serving by them.
    pub fn any() -> ProductIds {
        ProductIds(None)
    }

    /// # Errors
    /// Says that there is no such product, and which one may be meant.
    pub fn parse(&self, text: &str) -> Result<ProductId, String> {
        let id = ProductId::parse(text).map_err(|error| error.to_string())?;
        match &self.0 {
            Some(ids) if !ids.contains(&id) => {
                let known: Vec<&str> = ids.iter().map(ProductId::as_str).collect();
                Err(format!(
                    "gateway.toml has no product {text:?}{}",
                    hint(text, &known)
                ))
            }
            Some(_) | None => Ok(id),
        }
    }
}

const OPEN_ACCESS: [(&str, OpenAccess); 3] = [
    ("required", OpenAccess::Required),
    ("optional", OpenAccess::Optional),
    ("public", OpenAccess::Public),
];

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    read: Duration::from_secs(60),
    write: Duration::from_secs(60),
    idle: Duration::from_secs(60),
};

/// Each product's host that could be read, also those of products that are wrong otherwise.
pub type Hosts = Vec<(String, Host)>;

/// All of them, if none is wrong.
pub type All = Option<(Vec<Arc<Product>>, Vec<Backend>)>;

/// Reads every product, also after one that is wrong.
pub fn read_all(field: &Field<'_>) -> (Hosts, All) {
    let hosts = RefCell::default();
    let all = read_each(field, &hosts);
    (hosts.into_inner(), all)
}

fn read_each(field: &Field<'_>, hosts: &RefCell<Hosts>) -> All {
    let all = field.map(|key, field| {
        let id = match ProductId::parse(key) {
            Ok(id) => Some(id),
            Err(error) => field.wrong(error.to_string()),
        };
        // A name that is wrong must not keep the keys under it from being read.
        let stand_in = || ProductId::parse("unnamed").ok();
        let found = |host: &Host| hosts.borrow_mut().push((key.to_owned(), host.clone()));
        field.table(|fields| read_one(fields, id.or_else(stand_in)?, found))
    })?;
    let mut products = Vec::new();
    let mut backends = Vec::new();
    for (index, read) in all.into_iter().enumerate() {
        products.push(Arc::new(Product {
            index,
            ..read.product
        }));
        backends.push(read.backend);
    }
    Some((products, backends))
}

fn read_one(fields: &Fields<'_>, id: ProductId, found: impl FnOnce(&Host)) -> Option<Read> {
    let name = fields.or("name", id.to_string(), owned);
    let url = fields.required("url").and_then(|field| origin(&field));
    if let Some((_, host)) = &url {
        found(host);
    }
    let product = |url: (String, Host)| Product {
        id,
        index: 0,
        name,
        host: url.1,
        origin: url.0,
        primary: fields.or("primary", false, |field| field.boolean()),
        needs_grant: fields.or("needs_grant", false, |field| field.boolean()),
        accounts: fields.or("accounts", Accounts::Own, |field| {
            field.word(&[("own", Accounts::Own), ("primary", Accounts::Primary)])
        }),
        access: fields.or("access", Access::Required, access),
        idle: fields
            .optional("idle")
            .and_then(|field| field.span_above_zero()),
        activity: fields.or("activity", ActivityRules::default(), activity),
        identity: fields.or("identity", IdentityHeaders::Forwarded, identity),
        unauthenticated: fields.or("unauthenticated", Unauthenticated::Auto, unauthenticated),
        websockets: fields.or("websockets", true, |field| field.boolean()),
    };
    // A URL that is wrong must not keep the other keys from being read.
    let url_is_right = url.is_some();
    let stand_in = || Some((String::new(), Host::parse_authority(b"localhost").ok()?));
    let product = product(url.or_else(stand_in)?);
    let backend = backend(fields);
    let sign_on = backend.as_ref().map(|backend| &backend.sign_on);
    if matches!(sign_on, Some(SignOn::Basic(_))) && names_authorization(&product.identity) {
        return fields.wrong("identity can't name Authorization: sign_on sets it");
    }
    url_is_right.then_some(())?;
    let backend = backend?;
    Some(Read { product, backend })
}

fn names_authorization(identity: &IdentityHeaders) -> bool {
    match identity {
        IdentityHeaders::Custom(headers) => headers.iter().any(|(name, _)| *name == AUTHORIZATION),
        IdentityHeaders::Forwarded | IdentityHeaders::Remote => false,
    }
}

fn access(field: &Field<'_>) -> Option<Access> {
    if field.is_table() {
        let table = field.map(|text, field| {
            let pattern = match crate::gate::pattern::Pattern::parse(text) {
                Ok(pattern) => Some(pattern),
                Err(error) => field.wrong(error),
            };
            let access = field.word(&OPEN_ACCESS);
            Some((pattern?, access?))
        });
        return Some(Access::ByPath(table?));
    }
    Some(match field.word(&OPEN_ACCESS)? {
        OpenAccess::Required => Access::Required,
        OpenAccess::Optional => Access::Optional,
        OpenAccess::Public => Access::Public,
    })
}

fn activity(field: &Field<'_>) -> Option<ActivityRules> {
    field.table(|fields| {
        Some(ActivityRules {
            ignore: list_of(fields, "ignore", pattern),
            count: list_of(fields, "count", pattern),
        })
    })
}

fn identity(field: &Field<'_>) -> Option<IdentityHeaders> {
    if !field.is_table() {
        return Some(
            match field.word(&[("forwarded", true), ("remote", false)])? {
                true => IdentityHeaders::Forwarded,
                false => IdentityHeaders::Remote,
            },
        );
    }
    let headers = field.map(|text, field| {
        let name = match header_name(text) {
            Ok(name) => Some(name),
            Err(message) => field.wrong(message),
        };
        let value = field.parsed("text such as \"{account.login}\"", ValueTemplate::parse);
        Some((name?, value?))
    })?;
    if headers.is_empty() {
        return field
            .wrong("an empty table tells the backend nothing; leave the key out or name a header");
    }
    Some(IdentityHeaders::Custom(headers))
}

/// Headers that frame or route the message: set as identity they would break it.
const NOT_FOR_IDENTITY: [&str; 14] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "expect",
    "cookie",
    "forwarded",
    "via",
];

fn header_name(text: &str) -> Result<HeaderName, String> {
    let name: HeaderName = text
        .parse()
        .map_err(|_| format!("{text:?} is not the name of a header"))?;
    if NOT_FOR_IDENTITY.contains(&name.as_str()) {
        return Err(format!(
            "{text:?} can't carry an identity: the message itself needs it"
        ));
    }
    Ok(name)
}

fn unauthenticated(field: &Field<'_>) -> Option<Unauthenticated> {
    // 401 may be written as a number too.
    if field.is_integer(401) {
        return Some(Unauthenticated::Refuse);
    }
    field.word(&[
        ("auto", Unauthenticated::Auto),
        ("redirect", Unauthenticated::Redirect),
        ("401", Unauthenticated::Refuse),
    ])
}

fn backend(fields: &Fields<'_>) -> Option<Backend> {
    let addresses = fields
        .required("backends")
        .and_then(|field| field.list_of_some("at least one backend is needed", backend_address));
    let tls = fields.optional("tls");
    let sign_on = fields.or("sign_on", SignOn::Headers, sign_on);
    let backend = Backend {
        addresses: Vec::new(),
        health: fields.or("health", health_without(None), health),
        timeouts: fields.or("timeouts", TIMEOUTS, timeouts),
        body_limit: fields.optional("body_limit").and_then(|field| field.size()),
        tls: tls.as_ref().and_then(backend_tls).unwrap_or_default(),
        credentials: fields.or("credentials", natural(&sign_on), |field| {
            credentials(field, &sign_on)
        }),
        sign_on,
        bar: fields.or("bar", false, |field| field.boolean()),
    };
    let addresses = addresses?;
    if let Some(tls) = tls.filter(|_| !addresses.iter().any(|address| address.tls)) {
        return tls.wrong("none of this product's backends is https: leave the table out, or write https:// in backends");
    }
    Some(Backend {
        addresses,
        ..backend
    })
}

fn backend_address(field: &Field<'_>) -> Option<BackendAddress> {
    field.parsed("a URL such as \"http://127.0.0.1:9001\"", |text| {
        let url = Url::parse(text)
            .map_err(|_| format!("{text:?} is not a URL such as \"http://127.0.0.1:9001\""))?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(format!("{text:?} must begin with http:// or https://")),
        };
        let bare = url.username().is_empty() && url.password().is_none();
        if !bare || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "{0:?} must be http://{0}:PORT or https://{0}:PORT, without path, query or user",
                url.host_str().unwrap_or_default()
            ));
        }
        let host = url
            .host_str()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_owned();
        let port = url
            .port_or_known_default()
            .unwrap_or(if tls { 443 } else { 80 });
        if port == 0 {
            return Err(format!("{text:?} names port 0"));
        }
        Ok(BackendAddress { tls, host, port })
    })
}

fn health_without(path: Option<String>) -> Health {
    Health {
        path,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        healthy_after: 1,
        unhealthy_after: 2,
    }
}

fn health(field: &Field<'_>) -> Option<Health> {
    field.table(|fields| {
        let sound = health_without(None);
        let times = |field: &Field<'_>| usize::try_from(field.integer(1, 100)?).ok();
        Some(Health {
            path: fields.optional("path").and_then(|field| path(&field)),
            interval: fields.or("interval", sound.interval, |field| field.span_above_zero()),
            timeout: fields.or("timeout", sound.timeout, |field| field.span_above_zero()),
            healthy_after: fields.or("healthy_after", sound.healthy_after, times),
            unhealthy_after: fields.or("unhealthy_after", sound.unhealthy_after, times),
        })
    })
}

pub fn path(field: &Field<'_>) -> Option<String> {
    field.parsed("a path such as \"/healthz\"", |text| {
        let plain = text.bytes().all(|b| b.is_ascii_graphic());
        if text.starts_with('/') && plain {
            Ok(text.to_owned())
        } else {
            Err(format!("{text:?} is not a path such as \"/healthz\""))
        }
    })
}

fn timeouts(field: &Field<'_>) -> Option<Timeouts> {
    field.table(|fields| {
        let span = |field: &Field<'_>| field.span_above_zero();
        Some(Timeouts {
            connect: fields.or("connect", TIMEOUTS.connect, span),
            read: fields.or("read", TIMEOUTS.read, span),
            write: fields.or("write", TIMEOUTS.write, span),
            idle: fields.or("idle", TIMEOUTS.idle, span),
        })
    })
}

pub(super) fn backend_tls(field: &Field<'_>) -> Option<BackendTls> {
    field.table(|fields| {
        Some(BackendTls {
            ca: fields.optional("ca").and_then(|field| field.file_path()),
            client: fields
                .optional("client")
                .and_then(|field| certificate_files(&field)),
            server_name: fields
                .optional("server_name")
                .and_then(|field| owned(&field)),
        })
    })
}
