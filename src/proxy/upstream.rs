//! A product's backends: which are well, which is next, and how to talk to them.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use pingora::lb::LoadBalancer;
use pingora::lb::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};
use pingora::lb::selection::RoundRobin;
use pingora::services::background::BackgroundService;
use pingora::tls::CertificateDer;
use pingora::upstreams::peer::{H1UpgradePolicy, HttpPeer};
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::backend::{self, Encryption};
use crate::config::settings::{Backend, BackendAddress, BackendTls, CertificateFiles};
use crate::gate::time::Moment;
use crate::legacy::tls_config;

/// How often a request is tried on another backend when one can't be connected to.
pub const MOST_TRIES: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("{address}: the name can't be resolved: {source}")]
    Resolve { address: String, source: io::Error },
    #[error("{path}: {reason}", path = path.display())]
    File { path: PathBuf, reason: String },
    #[error("encryption: {0}")]
    Tls(String),
}

/// Turns a name and a port into addresses. Handed in, so that tests say what a name means.
pub type Names = Arc<
    dyn Fn(String, u16) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>
        + Send
        + Sync,
>;

/// What the system's resolver says.
pub fn system_names() -> Names {
    Arc::new(|host, port| {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    })
}

/// The longest wait for a name.
const RESOLVING: Duration = Duration::from_secs(5);

pub struct Upstream {
    balancer: Arc<LoadBalancer<RoundRobin>>,
    members: Vec<Member>,
    made_of: Making,
    /// Of the files with authorities and the client's certificate, from before they were read.
    stamps: Vec<Option<Stamp>>,
    /// When the client's certificate ends.
    expiry: Option<Moment>,
    /// Ends the watch over health with the backends that it is about.
    health: Mutex<Option<AbortHandle>>,
}

/// One of the backends: templates, of which a request gets a copy.
struct Member {
    socket: SocketAddr,
    peer: HttpPeer,
    for_websocket: HttpPeer,
}

impl Member {
    /// To pingora it speaks plain HTTP: encryption is [`backend`]'s.
    fn new(socket: SocketAddr, made_of: &Making, encryption: Option<Encryption>) -> Member {
        let timeouts = made_of.backend.timeouts;
        let mut peer = HttpPeer::new(socket, false, String::new());
        peer.options.write_timeout = Some(timeouts.write);
        if !made_of.websockets {
            peer.options.http_upstream_request_policy.h1_upgrade = H1UpgradePolicy::Deny;
        }
        let mut for_websocket = peer.clone();
        backend::connect_here(&mut peer, made_of.group, timeouts, encryption.clone());
        backend::connect_for_websocket(&mut for_websocket, timeouts, encryption);
        Member {
            socket,
            peer,
            for_websocket,
        }
    }
}

#[derive(Clone)]
struct Making {
    group: u64,
    backend: Backend,
    websockets: bool,
}

/// When all of it is the same, the file was not touched.
type Stamp = (SystemTime, u64, u64);

impl Drop for Upstream {
    fn drop(&mut self) {
        let health = self
            .health
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = health.take() {
            watch.abort();
        }
    }
}

impl Upstream {
    /// Resolves the addresses and reads the certificates. `group` keeps this product's pooled
    /// connections apart from others', whose trust may differ (pingora's pool key does not contain
    /// the authorities).
    pub async fn new(
        group: u64,
        backend: &Backend,
        websockets: bool,
        names: &Names,
    ) -> Result<Upstream, UpstreamError> {
        let mut sockets = Vec::with_capacity(backend.addresses.len());
        for address in &backend.addresses {
            sockets.push(resolve(address, names, None).await?);
        }
        let made_of = Making {
            group,
            backend: backend.clone(),
            websockets,
        };
        Upstream::at(made_of, &sockets)
    }

    /// Whether this is what these settings come to.
    pub fn is(&self, backend: &Backend, websockets: bool) -> bool {
        self.made_of.backend == *backend && self.made_of.websockets == websockets
    }

    /// The same backends where their names lead now, with the certificates that are in their files now.
    /// `None`: all as before, which is also assumed of a name that can't be resolved at the moment.
    /// `group`: another than any that was given before, for connections that other certificates vouch for.
    ///
    /// # Errors
    /// When a certificate can't be read any more.
    pub async fn moved(
        &self,
        names: &Names,
        group: impl FnOnce() -> u64,
    ) -> Result<Option<Upstream>, UpstreamError> {
        let before = self.sockets();
        let mut sockets = before.clone();
        for (address, socket) in self.made_of.backend.addresses.iter().zip(&mut sockets) {
            match resolve(address, names, Some(*socket)).await {
                Ok(now) => *socket = now,
                Err(error) => tracing::debug!(%error, "a backend's name can't be resolved again"),
            }
        }
        let mut made_of = self.made_of.clone();
        if stamps(&made_of.backend) != self.stamps {
            made_of.group = group();
        } else if sockets == before {
            return Ok(None);
        }
        Upstream::at(made_of, &sockets).map(Some)
    }

    /// When the certificate ends by which backends know this gateway.
    pub fn expiry(&self) -> Option<Moment> {
        self.expiry
    }

    fn at(made_of: Making, sockets: &[SocketAddr]) -> Result<Upstream, UpstreamError> {
        let backend = &made_of.backend;
        let stamps = stamps(backend);
        let client = match &backend.tls.client {
            Some(files) => Some(client_certificate(files)?),
            None => None,
        };
        let expiry = client.as_ref().map(|(_, expiry)| *expiry);
        let is_encrypted = backend.addresses.iter().any(|address| address.tls);
        let config = is_encrypted.then(|| encryption(&backend.tls)).transpose()?;
        let config = config.map(Arc::new);
        let mut members = Vec::with_capacity(sockets.len());
        for (address, socket) in backend.addresses.iter().zip(sockets) {
            let config = config.as_ref().filter(|_| address.tls);
            let encryption = config.map(|config| {
                Ok::<_, UpstreamError>(Encryption {
                    config: Arc::clone(config),
                    name: server_name(&backend.tls, address)?,
                })
            });
            members.push(Member::new(*socket, &made_of, encryption.transpose()?));
        }
        let mut balancer =
            LoadBalancer::try_from_iter(sockets).map_err(|source| UpstreamError::Resolve {
                address: format!("{sockets:?}"),
                source,
            })?;
        if let (Some(first), Some(socket)) = (backend.addresses.first(), sockets.first()) {
            let client = client.map(|(certificate, _)| Arc::new(certificate));
            balancer.set_health_check(health_check(backend, first, *socket, client)?);
        }
        balancer.health_check_frequency = Some(backend.health.interval);
        balancer.parallel_health_check = true;
        Ok(Upstream {
            balancer: Arc::new(balancer),
            members,
            made_of,
            stamps,
            expiry,
            health: Mutex::default(),
        })
    }

    /// Checks the backends' health until `shutdown`, or until nobody uses them any more.
    pub fn watch_health(&self, shutdown: watch::Receiver<bool>) {
        let balancer = Arc::clone(&self.balancer);
        let watch = tokio::spawn(async move { balancer.start(shutdown).await });
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = health.replace(watch.abort_handle()) {
            before.abort();
        }
    }

    /// The next backend that was not tried yet: a healthy one, or, when none is, any. A check may
    /// be a moment behind, and trying costs less than refusing. `for_websocket`: the request asks for
    /// one.
    pub fn choose(&self, tried: &[SocketAddr], for_websocket: bool) -> Option<Box<HttpPeer>> {
        let member = self.next(tried)?;
        let peer = match for_websocket {
            true => &member.for_websocket,
            false => &member.peer,
        };
        Some(Box::new(peer.clone()))
    }

    fn next(&self, tried: &[SocketAddr]) -> Option<&Member> {
        if let [only] = self.members.as_slice() {
            return (!tried.contains(&only.socket)).then_some(only);
        }
        let most = self.members.len().saturating_mul(4).max(8);
        let address = |backend: &pingora::lb::Backend| backend.addr.as_inet().copied();
        let untried = |backend: &pingora::lb::Backend| {
            address(backend).is_some_and(|socket| !tried.contains(&socket))
        };
        let chosen = self
            .balancer
            .select_with(b"", most, |backend, healthy| healthy && untried(backend))
            .or_else(|| {
                self.balancer
                    .select_with(b"", most, |backend, _| untried(backend))
            })?;
        let socket = address(&chosen)?;
        self.members.iter().find(|member| member.socket == socket)
    }

    /// Whether [`Self::choose`] would find one.
    pub fn has_untried(&self, tried: &[SocketAddr]) -> bool {
        let mut members = self.members.iter();
        members.any(|member| !tried.contains(&member.socket))
    }

    /// Where the backends are.
    pub fn sockets(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.socket).collect()
    }

    /// How many backends there are.
    #[allow(clippy::len_without_is_empty)] // there is always one
    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn healthy(&self) -> usize {
        let backends = self.balancer.backends();
        backends
            .get_backend()
            .iter()
            .filter(|backend| backends.ready(backend))
            .count()
    }
}

/// The first address of a name, or the one that it had `before` while it still has it: resolvers
/// like to give the same ones in another order each time.
async fn resolve(
    address: &BackendAddress,
    names: &Names,
    before: Option<SocketAddr>,
) -> Result<SocketAddr, UpstreamError> {
    let fail = |source| UpstreamError::Resolve {
        address: address.host.clone(),
        source,
    };
    if let Ok(plain) = address.host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(plain, address.port));
    }
    let found = timeout(RESOLVING, names(address.host.clone(), address.port))
        .await
        .map_err(|_| fail(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))?
        .map_err(fail)?;
    before
        .filter(|before| found.contains(before))
        .or_else(|| found.first().copied())
        .ok_or_else(|| fail(io::Error::new(io::ErrorKind::NotFound, "no address")))
}

/// Reads the same files as the gateway's own sign-in does, for the same application.
fn encryption(tls: &BackendTls) -> Result<ClientConfig, UpstreamError> {
    let mut config = tls_config(tls).map_err(|error| UpstreamError::Tls(error.to_string()))?;
    // What comes over it is for pingora's HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// For an address that is an IP the name to verify is that IP.
fn name_of<'a>(tls: &'a BackendTls, address: &'a BackendAddress) -> &'a str {
    tls.server_name.as_deref().unwrap_or(&address.host)
}

fn server_name(
    tls: &BackendTls,
    address: &BackendAddress,
) -> Result<ServerName<'static>, UpstreamError> {
    let name = name_of(tls, address);
    ServerName::try_from(name.to_owned())
        .map_err(|_| UpstreamError::Tls(format!("no certificate can be for {name:?}")))
}

fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, UpstreamError> {
    let fail = |reason: String| UpstreamError::File {
        path: path.to_owned(),
        reason,
    };
    let pem = fs::read(path).map_err(|error| fail(error.to_string()))?;
    let certificates: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&pem)
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| fail(error.to_string()))?;
    for der in &certificates {
        // `parse_x509` panics on what it can't read: look first.
        x509_parser::parse_x509_certificate(der).map_err(|error| fail(error.to_string()))?;
    }
    if certificates.is_empty() {
        return Err(fail(String::from("holds no certificate")));
    }
    Ok(certificates)
}

/// The certificate and its end. One whose key does not fit is refused: the files may be half replaced.
fn client_certificate(files: &CertificateFiles) -> Result<(CertKey, Moment), UpstreamError> {
    let fail = |path: &Path, reason: String| UpstreamError::File {
        path: path.to_owned(),
        reason,
    };
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| fail(&files.key, error.to_string()))?;
    let chain = read_certificates(&files.certificate)?;
    let first = chain.first().map(Vec::as_slice).unwrap_or_default();
    let (_, parsed) = x509_parser::parse_x509_certificate(first)
        .map_err(|error| fail(&files.certificate, error.to_string()))?;
    let expiry = Moment::from_secs(parsed.validity().not_after.timestamp());
    let shown = chain.iter().cloned().map(CertificateDer::from).collect();
    CertifiedKey::from_der(shown, key.clone_key(), &aws_lc_rs::default_provider())
        .map_err(|error| fail(&files.key, format!("does not fit its certificate: {error}")))?;
    Ok((CertKey::new(chain, key.secret_der().to_vec()), expiry))
}

fn stamps(backend: &Backend) -> Vec<Option<Stamp>> {
    let client = backend.tls.client.iter();
    let client = client.flat_map(|files| [&files.certificate, &files.key]);
    let files = backend.tls.ca.iter().chain(client);
    files.map(|file| stamp(file)).collect()
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

/// By pingora's own connections, which nobody's requests take.
fn health_check(
    backend: &Backend,
    first: &BackendAddress,
    socket: SocketAddr,
    client: Option<Arc<CertKey>>,
) -> Result<Box<dyn HealthCheck + Send + Sync>, UpstreamError> {
    let health = &backend.health;
    let Some(path) = &health.path else {
        let mut check = TcpHealthCheck::new();
        check.consecutive_success = health.healthy_after;
        check.consecutive_failure = health.unhealthy_after;
        check.peer_template.options.connection_timeout = Some(health.timeout);
        return Ok(check);
    };
    let host = match first.tls {
        true => name_of(&backend.tls, first),
        false => "localhost",
    };
    let mut check = HttpHealthCheck::new(host, first.tls);
    check.consecutive_success = health.healthy_after;
    check.consecutive_failure = health.unhealthy_after;
    check.reuse_connection = true;
    let name = if first.tls { host } else { "" };
    check.peer_template = HttpPeer::new(socket, first.tls, String::from(name));
    if first.tls {
        check.peer_template.client_cert_key = client;
    }
    let options = &mut check.peer_template.options;
    options.connection_timeout = Some(health.timeout);
    options.total_connection_timeout = Some(health.timeout);
    options.read_timeout = Some(health.timeout);
    options.idle_timeout = Some(health.interval.saturating_add(Duration::from_secs(1)));
    if let Some(ca) = backend.tls.ca.as_ref().filter(|_| first.tls) {
        let authorities: Vec<WrappedX509> = read_certificates(ca)?
            .into_iter()
            .map(|der| WrappedX509::new(der, parse_x509))
            .collect();
        options.ca = Some(authorities.into());
    }
    check
        .req
        .set_raw_path(path.as_bytes())
        .map_err(|error| UpstreamError::File {
            path: PathBuf::from(path),
            reason: format!("is no path to check: {error}"),
        })?;
    check.validator = Some(Box::new(|answer| {
        if answer.status.is_success() || answer.status.is_redirection() {
            return Ok(());
        }
        pingora::Error::e_explain(
            pingora::CustomCode("health", answer.status.as_u16()),
            "unhealthy answer",
        )
    }));
    Ok(Box::new(check))
}
