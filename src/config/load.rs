//! File, then environment, then flags: one tree, and what it comes to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::acme::{Acme, ChallengeKind, acme};
use super::change::Source;
use super::operation::{limits, log, messages, rollout, telemetry};
use super::problem::{Place, Problem, Problems};
use super::product::{self, ProductIds, backend_tls};
use super::reader::{Field, Fields, Report};
use super::settings::{
    Backend, CertificateFiles, Listen, Portal, Settings, SignOn, Tls, TlsMinimum,
};
use super::sketch;
use super::store::store;
use super::tree::{self, Node};
use super::values::{certificate_files, list_of, network, origin, owned, socket};
use crate::gate::host::Host;
use crate::gate::name::ProductId;
use crate::gate::policy::SessionLimits;
use crate::gate::product::Products;

const TABLES: [&str; 14] = [
    "authz",
    "listen",
    "tls",
    "portal",
    "store",
    "session",
    "products",
    "policies_dir",
    "messages",
    "providers",
    "scim",
    "rollout",
    "limits",
    "log",
];

/// A configuration larger than this is none.
const LARGEST_FILE: u64 = 4 << 20;

/// Reads `file`, puts `VESTIBULE_*` of `variables` over it and then `flags` (dotted keys).
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(
    file: &Path,
    variables: impl Iterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<Settings, Problems> {
    read(&read_file(file)?, file, variables, flags)
}

/// The environment's variables, without those that are not UTF-8: `std::env::vars` would panic at
/// any of them, also at one that is not ours.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text)
}

/// The text of a configuration or policy file, if it has the size of one.
pub fn read_file(file: &Path) -> Result<String, Problems> {
    let read = || {
        let metadata = std::fs::metadata(file)?;
        if metadata.len() > LARGEST_FILE {
            return Err(std::io::Error::other("it is larger than 4 MiB"));
        }
        std::fs::read_to_string(file)
    };
    read().map_err(|error| Problems::unreadable(file, &error))
}

/// [`load`] for a text that stands, or could stand, in `file`.
pub fn read(
    text: &str,
    file: &Path,
    variables: impl Iterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<Settings, Problems> {
    let mut root = tree::parse(text, file)?;
    let variables: Vec<(String, String)> = variables
        .filter(|(name, _)| name.starts_with(tree::PREFIX))
        .collect();
    let source = Source::new(file, &variables, flags);
    let top: Vec<&str> = TABLES.iter().copied().chain(["telemetry"]).collect();
    let ignored = tree::overlay_variables(&mut root, variables.into_iter(), &top);
    tree::overlay_flags(&mut root, flags);

    let report = Report::default();
    let settings = Field::root(&root, &report).table(|fields| settings(fields, file, source));
    report.finish(MEANINGS)?;
    let mut settings = settings.ok_or_else(|| unexplained(file))?;
    settings
        .notices
        .extend(ignored.into_iter().map(|name| Problem {
            place: Place::Variable(name),
            key: String::new(),
            message: String::from("sets nothing: there is no such key"),
        }));
    Ok(settings)
}

/// The JSON Schema of gateway.toml, drawn by [`read`]'s own code.
pub fn schema() -> serde_json::Value {
    sketch::schema("Vestibule: gateway.toml", ask_all)
}

/// Every key of gateway.toml, found by [`read`]'s own code.
pub fn keys() -> Vec<sketch::Key> {
    sketch::keys(ask_all)
}

fn ask_all(field: &Field<'_>) {
    let file = Path::new("gateway.toml");
    field.table(|fields| settings(fields, file, Source::new(file, &[], &[])));
}

/// What each key means, one a line.
pub const MEANINGS: &str = include_str!("meanings.txt");

/// What a configuration with problems can still tell: `check` goes on with the policies and the
/// certificates all the same.
pub struct Survey {
    pub policies_dir: PathBuf,
    /// Which products policies may name.
    pub products: ProductIds,
    pub certificates: Vec<CertificateFiles>,
    /// Files with the certificates of authorities.
    pub authorities: Vec<PathBuf>,
}

pub fn survey(
    file: &Path,
    variables: impl Iterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Survey {
    let beside = file.parent().unwrap_or(Path::new("")).join("policies");
    let nothing = || Survey {
        policies_dir: beside.clone(),
        products: ProductIds::any(),
        certificates: Vec::new(),
        authorities: Vec::new(),
    };
    let Ok(mut root) = read_file(file).and_then(|text| tree::parse(&text, file)) else {
        return nothing();
    };
    tree::overlay_variables(&mut root, variables, &["policies_dir"]);
    tree::overlay_flags(&mut root, flags);
    let report = Report::default();
    let found = Field::root(&root, &report).table(|fields| Some(surveyed(fields, &beside)));
    found.unwrap_or_else(nothing)
}

fn surveyed(fields: &Fields<'_>, beside: &Path) -> Survey {
    let ours = fields.optional("tls").and_then(|field| field.table(tls));
    let acme = ours.as_ref().and_then(|tls| tls.acme.as_ref());
    let mut authorities: Vec<PathBuf> = acme.and_then(|acme| acme.ca.clone()).into_iter().collect();
    let mut certificates = ours.map_or_else(Vec::new, |tls| tls.certificates);
    let each = fields.optional("products").and_then(|field| {
        field.map(|key, field| {
            let tls = field.table(|fields| fields.optional("tls").map(|field| backend_tls(&field)));
            Some((ProductId::parse(key).ok(), tls.flatten()))
        })
    });
    let products = match each {
        None => ProductIds::any(),
        Some(each) => {
            let (ids, tls): (Vec<_>, Vec<_>) = each.into_iter().unzip();
            for tls in tls.into_iter().flatten() {
                certificates.extend(tls.client);
                authorities.extend(tls.ca);
            }
            ProductIds::of(ids.into_iter().flatten())
        }
    };
    Survey {
        policies_dir: fields.or("policies_dir", beside.to_owned(), |field| field.file_path()),
        products,
        certificates,
        authorities,
    }
}

/// Nothing was said and nothing was made: a mistake in here, which must not pass as a success.
fn unexplained(file: &Path) -> Problems {
    Problems(vec![Problem {
        place: Place::Whole { file: file.into() },
        key: String::new(),
        message: String::from("can't be used"),
    }])
}

fn settings(fields: &Fields<'_>, file: &Path, source: Source) -> Option<Settings> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let nothing = Node {
        data: tree::Data::Table(Vec::new()),
        place: fields.place.clone(),
    };
    let listen = fields
        .required("listen")
        .and_then(|field| field.table(listen));
    let tls = fields.or("tls", plain_tls(), |field| field.table(tls));
    let portal = fields
        .required("portal")
        .and_then(|field| field.table(portal));
    let store = match fields.optional("store") {
        Some(field) => field.table(|fields| store(fields, folder)),
        None => fields
            .nested("store", &nothing)
            .table(|fields| store(fields, folder)),
    };
    let (session, keep_form) = fields.or("session", (SESSION, KEEP_FORM), |field| {
        field.table(session)
    });
    let products = fields.required("products");
    let (hosts, read) = products
        .as_ref()
        .map_or((Vec::new(), None), product::read_all);
    let policies_dir = fields.or("policies_dir", folder.join("policies"), |field| {
        field.file_path()
    });
    let messages = fields.or("messages", Default::default(), messages);
    let providers = fields.or("providers", Vec::new(), super::providers::providers);
    let scim_roles = fields.or("scim", HashMap::new(), super::providers::scim);
    let rollout = fields.or("rollout", Default::default(), rollout);
    let authz_peers = fields.or("authz", Vec::new(), |field| {
        field.table(|fields| Some(list_of(fields, "peers", network)))
    });
    let limits = fields.or("limits", super::settings::Limits::SOUND, limits);
    let log = fields.or("log", super::operation::plain_log(), log);
    let telemetry = fields
        .optional("telemetry")
        .and_then(|field| telemetry(&field));

    // Said with what is wrong otherwise: what can't be used hides nothing.
    if let Some(products) = products.as_ref().filter(|products| !products.is_drawn()) {
        check_hosts(products, portal.as_ref(), &hosts);
    }
    if let (Some(acme), Some(listen)) = (&tls.acme, &listen) {
        check_challenge(fields, acme, listen);
    }
    let (all, backends) = read?;
    let mut notices = notices(fields, listen.as_ref(), &all, &backends);
    if authz_peers.iter().any(|net| net.prefix_len() == 0) {
        notices.push(Problem {
            place: fields.place.clone(),
            key: String::from("authz.peers"),
            message: String::from("lets anybody ask in anybody's name, from any address"),
        });
    }
    let products = products?;
    if let (Some(_), Some(portal)) = (&tls.acme, &portal) {
        let hosts = std::iter::once(&portal.host).chain(all.iter().map(|product| &product.host));
        notices.extend(uncertified(fields, hosts));
    }
    let count = all.iter().filter(|product| product.primary).count();
    let products = match (Products::new(all.clone()), count) {
        (Some(products), _) => Some(products),
        (None, 0) if products.is_wrong_below() => None,
        (None, 0) => products.wrong(
            "no product is primary; people sign in with exactly one: give it primary = true",
        ),
        (None, _) => {
            let primaries: Vec<&str> = all
                .iter()
                .filter(|product| product.primary)
                .map(|p| p.id.as_str())
                .collect();
            let names = primaries.join(", ");
            products.wrong(format!(
                "several products are primary ({names}); people sign in with exactly one"
            ))
        }
    };
    Some(Settings {
        listen: listen?,
        tls,
        portal: portal?,
        store: store?,
        session,
        keep_form,
        products: products?,
        backends,
        policies_dir,
        rollout,
        authz_peers,
        messages,
        providers,
        scim_roles,
        limits,
        log,
        telemetry,
        notices,
        source,
        pace: 1,
    })
}

const SESSION: SessionLimits = SessionLimits {
    maximum: Duration::from_secs(12 * 3600),
    idle: Duration::from_secs(8 * 3600),
};

const KEEP_FORM: u64 = 1 << 20;

fn listen(fields: &Fields<'_>) -> Option<Listen> {
    let https = fields
        .required("https")
        .and_then(|field| field.list_of_some("at least one address is needed", socket));
    let http = list_of(fields, "http", socket);
    let admin = fields.optional("admin");
    let admin_address = admin.as_ref().and_then(socket);
    let trusted_proxies = list_of(fields, "trusted_proxies", network);
    let https = https?;
    let mut taken: Vec<SocketAddr> = Vec::new();
    for address in https.iter().chain(&http).chain(&admin_address) {
        // Port 0 is a different one each time.
        if address.port() != 0 && taken.contains(address) {
            return fields.wrong(format!("{address} is given twice"));
        }
        taken.push(*address);
    }
    Some(Listen {
        https,
        http,
        admin: admin_address,
        trusted_proxies,
    })
}

fn plain_tls() -> Tls {
    Tls {
        certificates: Vec::new(),
        acme: None,
        minimum: TlsMinimum::V1_2,
    }
}

fn tls(fields: &Fields<'_>) -> Option<Tls> {
    Some(Tls {
        certificates: list_of(fields, "certificates", certificate_files),
        acme: fields.optional("acme").and_then(|field| acme(&field)),
        minimum: fields.or("minimum", TlsMinimum::V1_2, |field| {
            field.word(&[("1.2", TlsMinimum::V1_2), ("1.3", TlsMinimum::V1_3)])
        }),
    })
}

fn portal(fields: &Fields<'_>) -> Option<Portal> {
    let url = fields.required("url").and_then(|field| origin(&field));
    let title = fields.or("title", String::from("Sign-in"), owned);
    let (origin, host) = url?;
    Some(Portal {
        origin,
        host,
        title,
    })
}

fn session(fields: &Fields<'_>) -> Option<(SessionLimits, u64)> {
    let span = |field: &Field<'_>| field.span_above_zero();
    let limits = SessionLimits {
        maximum: fields.or("maximum", SESSION.maximum, span),
        idle: fields.or("idle", SESSION.idle, span),
    };
    Some((
        limits,
        fields.or("keep_form", KEEP_FORM, |field| field.size()),
    ))
}

/// Hosts are told apart by name alone, so two things on one name could not be.
fn check_hosts(field: &Field<'_>, portal: Option<&Portal>, hosts: &[(String, Host)]) {
    let mut taken: HashMap<&Host, String> = HashMap::new();
    if let Some(portal) = portal {
        taken.insert(&portal.host, String::from("the portal"));
    }
    for (product, host) in hosts {
        if let Some(other) = taken.get(host) {
            field.wrong_below::<()>(
                &[product.as_str(), "url"],
                format!(
                    "the host {} is already that of {other}; each needs its own",
                    host.as_str()
                ),
            );
        }
        taken.insert(host, format!("the product {product}"));
    }
}

/// Where nobody listens, nobody can be asked.
fn check_challenge(fields: &Fields<'_>, acme: &Acme, listen: &Listen) {
    if acme.challenge == ChallengeKind::Http01
        && listen.http.is_empty()
        && let Some(tls) = fields.optional("tls")
    {
        tls.wrong_below::<()>(
            &["acme", "challenge"],
            "\"http-01\" is answered on listen.http, which is not given; \"tls-alpn-01\" needs listen.https alone",
        );
    }
}

/// Hosts that no authority gives a certificate for.
fn uncertified<'a>(fields: &Fields<'_>, hosts: impl Iterator<Item = &'a Host>) -> Vec<Problem> {
    let hosts = hosts.filter(|host| !host.is_certifiable());
    let noticed = hosts.map(|host| Problem {
        place: fields.place.clone(),
        key: String::from("tls.acme"),
        message: format!(
            "no certificate is ordered for {host}: it is an address, or this machine's own name"
        ),
    });
    noticed.collect()
}

/// What is allowed and may still surprise.
fn notices(
    fields: &Fields<'_>,
    listen: Option<&Listen>,
    products: &[std::sync::Arc<crate::gate::product::Product>],
    backends: &[Backend],
) -> Vec<Problem> {
    let mut notices = Vec::new();
    let mut note = |key: String, message: &str| {
        notices.push(Problem {
            place: fields.place.clone(),
            key,
            message: message.to_owned(),
        });
    };
    if let Some(listen) = listen {
        if listen
            .admin
            .is_some_and(|address| address.ip().is_unspecified())
        {
            note(
                String::from("listen.admin"),
                "listens on every address; keep it from the public",
            );
        }
        if listen
            .trusted_proxies
            .iter()
            .any(|net| net.prefix_len() == 0)
        {
            note(
                String::from("listen.trusted_proxies"),
                "believes anybody's X-Forwarded-For, so that no address can be trusted",
            );
        }
    }
    for (product, backend) in products.iter().zip(backends) {
        let signs_in = backend.sign_on != SignOn::Headers;
        let away = backend
            .addresses
            .iter()
            .any(|address| !address.tls && !address.is_here());
        if signs_in && away {
            note(
                format!("products.{}.sign_on", product.id),
                "passwords travel to the backend without TLS",
            );
        }
    }
    notices
}
