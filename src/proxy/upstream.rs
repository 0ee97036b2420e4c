//! A product's backends: which are well, which is next, and how to talk to them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pingora::lb::LoadBalancer;
use pingora::lb::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};
use pingora::lb::selection::RoundRobin;
use pingora::protocols::ALPN;
use pingora::services::background::BackgroundService;
use pingora::tls::CertificateDer;
use pingora::upstreams::peer::{H1UpgradePolicy, HttpPeer};
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::watch;

use crate::config::settings::{Backend, BackendAddress, CertificateFiles, Health};

/// How often a request is tried on another backend when one can't be connected to.
pub const MOST_TRIES: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("{address}: the name can't be resolved: {source}")]
    Resolve { address: String, source: io::Error },
    #[error("{path}: {reason}", path = path.display())]
    File { path: PathBuf, reason: String },
}

pub struct Upstream {
    balancer: Arc<LoadBalancer<RoundRobin>>,
    /// One template for each address; a request gets a copy.
    peers: Vec<(SocketAddr, HttpPeer)>,
}

impl Upstream {
    /// Resolves the addresses once and reads the certificates. `group` keeps this product's pooled
    /// connections apart from others', whose trust may differ (pingora's pool key does not contain
    /// the authorities).
    pub async fn new(
        group: u64,
        backend: &Backend,
        websockets: bool,
    ) -> Result<Upstream, UpstreamError> {
        let mut peers = Vec::with_capacity(backend.addresses.len());
        for address in &backend.addresses {
            let socket = resolve(address).await?;
            peers.push((socket, peer(group, backend, address, socket, websockets)?));
        }
        let sockets: Vec<SocketAddr> = peers.iter().map(|(socket, _)| *socket).collect();
        let mut balancer = LoadBalancer::try_from_iter(sockets.as_slice()).map_err(|source| {
            UpstreamError::Resolve {
                address: format!("{sockets:?}"),
                source,
            }
        })?;
        if let Some((_, template)) = peers.first() {
            balancer.set_health_check(health_check(&backend.health, template)?);
        }
        balancer.health_check_frequency = Some(backend.health.interval);
        balancer.parallel_health_check = true;
        Ok(Upstream {
            balancer: Arc::new(balancer),
            peers,
        })
    }

    /// Checks the backends' health until `shutdown`.
    pub fn watch_health(&self, shutdown: watch::Receiver<bool>) {
        let balancer = Arc::clone(&self.balancer);
        tokio::spawn(async move { balancer.start(shutdown).await });
    }

    /// The next backend that was not tried yet: a healthy one, or, when none is, any. A check may
    /// be a moment behind, and trying costs less than refusing.
    pub fn choose(&self, tried: &[SocketAddr]) -> Option<Box<HttpPeer>> {
        if let [(socket, only)] = self.peers.as_slice() {
            return (!tried.contains(socket)).then(|| Box::new(only.clone()));
        }
        let most = self.peers.len().saturating_mul(4).max(8);
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
        let (_, peer) = self.peers.iter().find(|(known, _)| *known == socket)?;
        Some(Box::new(peer.clone()))
    }

    /// Whether [`Self::choose`] would find one.
    pub fn has_untried(&self, tried: &[SocketAddr]) -> bool {
        self.peers.iter().any(|(socket, _)| !tried.contains(socket))
    }

    /// How many backends there are.
    #[allow(clippy::len_without_is_empty)] // there is always one
    pub fn len(&self) -> usize {
        self.peers.len()
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

async fn resolve(address: &BackendAddress) -> Result<SocketAddr, UpstreamError> {
    let fail = |source| UpstreamError::Resolve {
        address: address.host.clone(),
        source,
    };
    tokio::net::lookup_host((address.host.as_str(), address.port))
        .await
        .map_err(fail)?
        .next()
        .ok_or_else(|| fail(io::Error::new(io::ErrorKind::NotFound, "no address")))
}

fn peer(
    group: u64,
    backend: &Backend,
    address: &BackendAddress,
    socket: SocketAddr,
    websockets: bool,
) -> Result<HttpPeer, UpstreamError> {
    // For an address that is an IP the name to verify is that IP: an empty one would be refused.
    let name = backend
        .tls
        .server_name
        .clone()
        .unwrap_or_else(|| address.host.clone());
    let mut peer = HttpPeer::new(
        socket,
        address.tls,
        if address.tls { name } else { String::new() },
    );
    peer.group_key = group;
    let options = &mut peer.options;
    options.connection_timeout = Some(backend.timeouts.connect);
    options.total_connection_timeout = Some(backend.timeouts.connect.saturating_mul(2));
    options.read_timeout = Some(backend.timeouts.read);
    options.write_timeout = Some(backend.timeouts.write);
    options.idle_timeout = Some(backend.timeouts.idle);
    if !websockets {
        options.http_upstream_request_policy.h1_upgrade = H1UpgradePolicy::Deny;
    }
    if address.tls {
        // A websocket needs HTTP/1.1 and shares the pool: HTTP/2 to the backend is not offered.
        options.alpn = ALPN::H1;
        if let Some(path) = &backend.tls.ca {
            let authorities: Vec<WrappedX509> = read_certificates(path)?
                .into_iter()
                .map(|der| WrappedX509::new(der, parse_x509))
                .collect();
            options.ca = Some(authorities.into());
        }
        if let Some(files) = &backend.tls.client {
            peer.client_cert_key = Some(Arc::new(client_certificate(files)?));
        }
    }
    Ok(peer)
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

fn client_certificate(files: &CertificateFiles) -> Result<CertKey, UpstreamError> {
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| UpstreamError::File {
        path: files.key.clone(),
        reason: error.to_string(),
    })?;
    Ok(CertKey::new(
        read_certificates(&files.certificate)?,
        key.secret_der().to_vec(),
    ))
}

fn health_check(
    health: &Health,
    template: &HttpPeer,
) -> Result<Box<dyn HealthCheck + Send + Sync>, UpstreamError> {
    let Some(path) = &health.path else {
        let mut check = TcpHealthCheck::new();
        check.consecutive_success = health.healthy_after;
        check.consecutive_failure = health.unhealthy_after;
        check.peer_template.options.connection_timeout = Some(health.timeout);
        return Ok(check);
    };
    let host = if template.sni.is_empty() {
        "localhost"
    } else {
        &template.sni
    };
    let mut check = HttpHealthCheck::new(host, template.is_tls());
    check.consecutive_success = health.healthy_after;
    check.consecutive_failure = health.unhealthy_after;
    check.reuse_connection = true;
    check.peer_template = template.clone();
    let options = &mut check.peer_template.options;
    options.connection_timeout = Some(health.timeout);
    options.total_connection_timeout = Some(health.timeout);
    options.read_timeout = Some(health.timeout);
    options.idle_timeout = Some(health.interval.saturating_add(Duration::from_secs(1)));
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
