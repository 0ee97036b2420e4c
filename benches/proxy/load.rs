//! The people: keep-alive TLS connections that ask for a page as soon as they have the last one.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::backend::Page;
use super::lane::{Asks, Lane};
use super::visits::Visits;
use super::{HOST, Result};

/// The longest that paced requests may take beyond their span.
const PACED_LATE: Duration = Duration::from_secs(30);

/// Requests that run at once on one HTTP/2 connection.
const STREAMS: usize = 4;

/// Sessions of TLS that a client keeps.
const TICKETS: usize = 8;

/// A certificate that signs itself, in `site.pem` and `site.key`.
pub struct Certificate {
    der: CertificateDer<'static>,
}

pub fn make_certificate(folder: &Path, hosts: &[&str]) -> Result<Certificate> {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(hosts)?;
    let pem = made.cert.pem();
    fs::write(folder.join("site.pem"), &pem)?;
    fs::write(folder.join("site.key"), made.signing_key.serialize_pem())?;
    Ok(Certificate {
        der: CertificateDer::from_pem_slice(pem.as_bytes())?,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Http1 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2",
        }
    }

    const fn alpn(self) -> &'static [u8] {
        match self {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2",
        }
    }
}

/// What is asked for, and in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub protocol: Protocol,
    pub page: Page,
}

impl Shape {
    pub const PLAIN: Shape = Shape {
        protocol: Protocol::Http1,
        page: Page::Notes,
    };

    pub fn told(self) -> String {
        format!("{}, {} KiB", self.protocol.as_str(), self.page.size() >> 10)
    }
}

pub struct Load {
    config: ClientConfig,
    connections: usize,
}

impl Load {
    /// TLS 1.3 with X25519, for all candidates: what OpenSSL 3.0 and rustls have in common.
    pub fn new(certificate: &Certificate, connections: usize) -> Result<Load> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der.clone())?;
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Load {
            config,
            connections,
        })
    }

    pub const fn connections(&self) -> usize {
        self.connections
    }

    /// One that begins connections; with `resuming` from a session that it had before.
    pub fn connector(&self, protocol: Protocol, resuming: bool) -> TlsConnector {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        if resuming {
            config.resumption = Resumption::in_memory_sessions(TICKETS);
        }
        TlsConnector::from(Arc::new(config))
    }

    /// Opens the connections of HTTP/1.1 for the page.
    pub async fn connect(&self, address: SocketAddr, visits: &Visits) -> Result<Lanes> {
        self.connect_for(address, visits, Shape::PLAIN).await
    }

    /// Opens the connections; cookies are dealt out among them. All requests that run on one connection of
    /// HTTP/2 are one person's: it is a browser's. Where there is no cookie, one of the same size is sent
    /// that says nothing, so that requests are equally long.
    pub async fn connect_for(
        &self,
        address: SocketAddr,
        visits: &Visits,
        shape: Shape,
    ) -> Result<Lanes> {
        let tls = self.connector(shape.protocol, false);
        let mut lanes = Vec::with_capacity(self.connections);
        while lanes.len() < self.connections {
            let stream = open(&tls, address).await?;
            let streams = match shape.protocol {
                Protocol::Http1 => 1,
                Protocol::Http2 => STREAMS.min(self.connections - lanes.len()),
            };
            let asks = Asks {
                host: format!("{HOST}:{}", address.port()),
                page: shape.page,
                visits: visits.clone(),
                next: lanes.len(),
                step: self.connections,
            };
            let asks = vec![asks; streams];
            lanes.extend(match shape.protocol {
                Protocol::Http1 => Lane::http1(stream, asks),
                Protocol::Http2 => Lane::http2(stream, asks).await?,
            });
        }
        Ok(Lanes { lanes })
    }
}

pub async fn open(tls: &TlsConnector, address: SocketAddr) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(tls.connect(ServerName::try_from(HOST)?, stream).await?)
}

/// Open connections.
pub struct Lanes {
    lanes: Vec<Lane>,
}

impl Lanes {
    /// How many requests [`Lanes::run`] really makes of so many: every connection the same.
    pub fn rounded(&self, requests: usize) -> usize {
        requests.div_ceil(self.lanes.len()) * self.lanes.len()
    }

    /// Makes the requests; an answer that is not the page ends the run.
    pub async fn run(&mut self, requests: usize, limit: Duration) -> Result<Duration> {
        let each = requests.div_ceil(self.lanes.len());
        let begun = Instant::now();
        let mut running = JoinSet::new();
        for mut lane in self.lanes.drain(..) {
            running.spawn(async move {
                for _ in 0..each {
                    lane.visit().await?;
                }
                Ok::<Lane, String>(lane)
            });
        }
        let lanes = async {
            let mut lanes = Vec::new();
            while let Some(lane) = running.join_next().await {
                lanes.push(lane.map_err(|error| error.to_string())??);
            }
            Ok::<_, String>(lanes)
        };
        self.lanes = timeout(limit, lanes)
            .await
            .map_err(|_| "a round took too long")??;
        Ok(begun.elapsed())
    }

    /// Makes `rate` requests a second for a while, dealt out among the connections; how long each
    /// took. What had to wait for the answer before it counts from when it was due, or the slowest
    /// answers would hide the requests behind them.
    pub async fn run_paced(self, rate: usize, span: Duration) -> Result<Vec<Duration>> {
        let step = Duration::from_secs(1) / u32::try_from(rate)?;
        let apart = step * u32::try_from(self.lanes.len())?;
        let begun = Instant::now();
        let mut running = JoinSet::new();
        let mut first = Duration::ZERO;
        for mut lane in self.lanes {
            running.spawn(async move {
                let mut took = Vec::new();
                let mut due = first;
                while due < span {
                    let mut asked = begun + due;
                    if asked > Instant::now() {
                        tokio::time::sleep_until(asked.into()).await;
                        asked = Instant::now();
                    }
                    lane.visit().await?;
                    took.push(asked.elapsed());
                    due += apart;
                }
                Ok::<_, String>(took)
            });
            first += step;
        }
        let all = async {
            let mut all = Vec::new();
            while let Some(lane) = running.join_next().await {
                all.extend(lane.map_err(|error| error.to_string())??);
            }
            Ok::<_, String>(all)
        };
        Ok(timeout(span + PACED_LATE, all)
            .await
            .map_err(|_| "the requests can't be made at this rate")??)
    }
}
