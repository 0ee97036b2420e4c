//! What gateway.toml comes to: parsed, checked, complete. Whoever holds a [`Settings`] need not
//! ask again whether it makes sense.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::acme::Acme;
use super::change::Source;
use super::problem::Problem;
use super::providers::ProviderSettings;
use crate::gate::host::Host;
use crate::gate::name::CompanyId;
use crate::gate::policy::{Rollout, SessionLimits};
use crate::gate::product::Products;

#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: Listen,
    pub tls: Tls,
    pub portal: Portal,
    pub store: StoreSettings,
    pub session: SessionLimits,
    /// The largest request body, in bytes, that is kept over a sign-in; 0 keeps none.
    pub keep_form: u64,
    pub products: Products,
    /// By [`Product::index`](crate::gate::product::Product::index).
    pub backends: Vec<Backend>,
    pub policies_dir: PathBuf,
    pub rollout: Rollout,
    /// Proxies that may ask `/api/authz/…`; empty: none.
    pub authz_peers: Vec<IpNet>,
    pub messages: Messages,
    /// Who else vouches for people.
    pub providers: Vec<ProviderSettings>,
    /// Which roles the groups of a company's directory give, by the group's name.
    pub scim_roles: HashMap<CompanyId, BTreeMap<String, Vec<String>>>,
    pub limits: Limits,
    pub log: Log,
    /// Where traces go (OTLP over HTTP).
    pub telemetry: Option<Telemetry>,
    /// What an operator should know and that stops nothing.
    pub notices: Vec<Problem>,
    /// Where all this was read.
    pub source: Source,
    /// Seconds of the gateway's clock in one of the wall's. No file says so: 1 everywhere but in
    /// a demo that runs faster, whose pages must count down faster too.
    pub pace: u32,
}

impl Settings {
    /// Where the audit trail is kept.
    pub fn audit_trail(&self) -> PathBuf {
        let beside = || self.store.data_dir.join("audit.jsonl");
        self.log.audit_file.clone().unwrap_or_else(beside)
    }

    /// The portal's host and each product's.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        let products = self.products.iter().map(|product| &product.host);
        std::iter::once(&self.portal.host).chain(products)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Listen {
    pub https: Vec<SocketAddr>,
    /// Answers only with a redirect to https, and to an authority that asks for a proof.
    pub http: Vec<SocketAddr>,
    /// `/metrics`, `/healthz`, `/readyz`.
    pub admin: Option<SocketAddr>,
    /// Whose `X-Forwarded-For` is believed; empty: nobody's.
    pub trusted_proxies: Vec<IpNet>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// Chosen by SNI; empty: one for development is made.
    pub certificates: Vec<CertificateFiles>,
    /// Who certifies the hosts that no file of `certificates` does; `None`: nobody.
    pub acme: Option<Acme>,
    pub minimum: TlsMinimum,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMinimum {
    V1_2,
    V1_3,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Portal {
    /// `https://host[:port]`, without a trailing slash.
    pub origin: String,
    pub host: Host,
    pub title: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StoreSettings {
    pub sessions: SessionStore,
    /// `sqlite:PATH` or `postgres://…`.
    pub directory: SecretText,
    pub data_dir: PathBuf,
    /// A file of 32 bytes, made at first start.
    pub master_key: PathBuf,
    pub when_unavailable: WhenUnavailable,
    /// A cached session is asked for again after so long, whatever the store announced.
    pub recheck: Duration,
    /// The most sessions that are kept in this process.
    pub cache_capacity: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SessionStore {
    Embedded,
    /// `redis://`, `rediss://`, `redis+sentinel://` or `redis+cluster://`.
    Redis(SecretText),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnavailable {
    Refuse,
    /// Sessions that this node saw so recently go on, reads only.
    Grace(Duration),
}

/// One product's backend: what the proxy needs and rules don't.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    pub addresses: Vec<BackendAddress>,
    pub health: Health,
    pub timeouts: Timeouts,
    /// Bytes; `None` is unlimited.
    pub body_limit: Option<u64>,
    pub tls: BackendTls,
    pub sign_on: SignOn,
    pub credentials: CredentialsKind,
    /// Whether the bar is added to its pages.
    pub bar: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendAddress {
    pub tls: bool,
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
}

impl BackendAddress {
    /// Whether it is this machine.
    pub fn is_here(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Asked with GET and well with 2xx or 3xx; `None`: a connection is enough.
    pub path: Option<String>,
    pub interval: Duration,
    pub timeout: Duration,
    pub healthy_after: usize,
    pub unhealthy_after: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// For which a backend may be silent once it has the whole request.
    pub read: Duration,
    /// Between two writes.
    pub write: Duration,
    /// How long a connection waits in the pool.
    pub idle: Duration,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackendTls {
    /// PEM; `None`: the system's authorities.
    pub ca: Option<PathBuf>,
    pub client: Option<CertificateFiles>,
    /// SNI and the name that the certificate must have; `None`: the address's host.
    pub server_name: Option<String>,
}

/// How a backend that knows no identity headers is signed in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignOn {
    Headers,
    Basic(BasicForm),
    Form(SignInForm),
}

/// A legacy application's own sign-in form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInForm {
    pub page: String,
    pub username_field: String,
    pub password_field: String,
    /// A redirect to here says that the backend forgot; `None`: to `page`.
    pub signed_out: Option<String>,
    /// Asked for when the person signs out; `None`: the application is told nothing.
    pub sign_out: Option<String>,
    /// What stands in the answer to a right password that is too old; `None`: it says nothing of it.
    pub expired_text: Option<String>,
    /// What only who is signed in sees: a sign-in is believed when this opens.
    pub inside: String,
    /// For a whole sign-in.
    pub deadline: Duration,
}

/// An application that takes `Authorization: Basic`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicForm {
    /// What nobody sees without a password.
    pub inside: String,
    pub deadline: Duration,
}

/// Who knows whether a password of the product is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsKind {
    /// The gateway's own directory.
    Directory,
    Basic(BasicForm),
    Form(SignInForm),
    Ldap(LdapServer),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapServer {
    /// `ldaps://host[:port]` or `ldap://host[:port]`.
    pub url: String,
    pub start_tls: bool,
    /// PEM; `None`: the system's authorities.
    pub ca: Option<PathBuf>,
    pub look_up: LdapLookUp,
    /// For connecting, searching and binding together.
    pub deadline: Duration,
}

/// Which entry a username is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LdapLookUp {
    /// A name with `{login}` in it.
    Direct(String),
    Search(DirectorySearch),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySearch {
    pub base: String,
    /// With `{login}` in it.
    pub filter: String,
    /// Who searches; `None`: nobody in particular.
    pub reader: Option<(String, SecretText)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Messages {
    pub sms: Option<Route<Sms>>,
    pub email: Option<Route<Email>>,
    /// What mails come from.
    pub email_from: Option<String>,
}

/// Who takes messages, and who does when that fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Route<P> {
    pub first: P,
    pub second: Option<P>,
    /// For each of the two.
    pub deadline: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Sms {
    /// Kept on this machine and shown by `vestibule demo`.
    Outbox,
    Http {
        /// Some providers want their key in it.
        url: SecretText,
        token: Option<SecretText>,
    },
    Twilio {
        /// `https://api.twilio.com`.
        url: String,
        account: String,
        token: SecretText,
        from: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Email {
    Outbox,
    /// `smtp://…` or `smtps://…`.
    Smtp {
        url: SecretText,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// The collector's base URL; `/v1/traces` is added.
    pub otlp: String,
    /// `Authorization: Bearer`.
    pub token: Option<SecretText>,
    /// Of how many requests a trace is kept, from 0 to 1.
    pub sample: f64,
}

/// Every wait has an end, every buffer a cap, every queue a bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For a request's head, from its first byte.
    pub head: Duration,
    /// For a pause in a body, or in taking an answer; for each 4 KiB of a body, and for all of a form of
    /// our own pages.
    pub body: Duration,
    /// A connection without a request.
    pub idle: Duration,
    /// From SIGTERM until what is still open is cut.
    pub drain: Duration,
    pub connections: usize,
    /// From one address; 0 is no limit.
    pub connections_per_address: usize,
    /// Concurrent requests on one HTTP/2 connection.
    pub streams_per_connection: usize,
    /// All of a request's header lines together, in bytes.
    pub header_bytes: usize,
    pub header_count: usize,
    /// Path and query, in bytes.
    pub target_bytes: usize,
    /// Threads that hash passwords.
    pub password_workers: usize,
    /// Sign-ins that wait for one of them; more are told to come again.
    pub password_queue: usize,
    /// Bodies of kept forms in this process, on their way into the store and out of it, in bytes.
    pub kept_forms: u64,
}

impl Limits {
    /// What holds where `[limits]` says nothing.
    pub const SOUND: Limits = Limits {
        handshake: Duration::from_secs(10),
        head: Duration::from_secs(10),
        body: Duration::from_secs(60),
        idle: Duration::from_secs(75),
        drain: Duration::from_secs(30),
        connections: 16_384,
        connections_per_address: 256,
        streams_per_connection: 128,
        header_bytes: 32 << 10,
        header_count: 100,
        target_bytes: 8 << 10,
        password_workers: 2,
        password_queue: 256,
        kept_forms: 64 << 20,
    };
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    /// Whether each request is written down.
    pub access: bool,
    /// `error`, `warn`, `info`, `debug`, `trace`, or tracing's directives.
    pub level: String,
    /// `None`: standard output.
    pub access_file: Option<PathBuf>,
    /// `None`: `audit.jsonl` in the data folder.
    pub audit_file: Option<PathBuf>,
    /// Bytes after which the audit file is put aside and the next one begun.
    pub audit_rotate: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

/// Text that may hold a password. Prints as nothing, and is wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    pub fn new(text: String) -> SecretText {
        SecretText(Zeroizing::new(text))
    }

    /// The one place where it leaves the type.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}
