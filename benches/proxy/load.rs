//! The people: keep-alive TLS connections that ask for a page as soon as they have the last one.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vestibule::gate::cookies::SESSION_COOKIE;

use super::backend::PAGE;
use super::{HOST, Result};

/// The longest that paced requests may take beyond their span.
const PACED_LATE: Duration = Duration::from_secs(30);

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

pub struct Load {
    tls: TlsConnector,
    connections: usize,
}

impl Load {
    pub fn new(certificate: &Certificate, connections: usize) -> Result<Load> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der.clone())?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Load {
            tls: TlsConnector::from(Arc::new(config)),
            connections,
        })
    }

    /// Opens the connections; `cookies` are dealt out among them. Who has none sends one of the
    /// same size that says nothing, so that requests are equally long.
    pub async fn connect(&self, address: SocketAddr, cookies: &[String]) -> Result<Lanes> {
        let mut lanes = Vec::with_capacity(self.connections);
        for index in 0..self.connections {
            let own = cookies.iter().skip(index).step_by(self.connections);
            let mut requests: Vec<Vec<u8>> = own.map(|cookie| request(address, cookie)).collect();
            if requests.is_empty() {
                let nothing = format!("{SESSION_COOKIE}={}", ".".repeat(66));
                requests.push(request(address, cookies.first().unwrap_or(&nothing)));
            }
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream = self
                .tls
                .connect(ServerName::try_from(HOST)?, stream)
                .await?;
            lanes.push(Lane {
                stream,
                requests,
                next: 0,
                buffer: vec![0; 16 * 1024],
            });
        }
        Ok(Lanes { lanes })
    }
}

/// What a browser sends, more or less.
fn request(address: SocketAddr, cookie: &str) -> Vec<u8> {
    let port = address.port();
    format!(
        "GET /patients/174411/notes HTTP/1.1\r\nHost: {HOST}:{port}\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
         Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, br\r\n\
         Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Site: same-origin\r\n\
         Cookie: theme=dark; {cookie}\r\n\r\n"
    )
    .into_bytes()
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

struct Lane {
    stream: TlsStream<TcpStream>,
    requests: Vec<Vec<u8>>,
    next: usize,
    buffer: Vec<u8>,
}

impl Lane {
    async fn visit(&mut self) -> std::result::Result<(), String> {
        let request = &self.requests[self.next % self.requests.len()];
        self.next += 1;
        self.stream
            .write_all(request)
            .await
            .map_err(|error| error.to_string())?;
        let mut filled = 0;
        let mut wanted = None;
        while wanted.is_none_or(|wanted| filled < wanted) {
            let read = self.stream.read(&mut self.buffer[filled..]).await;
            match read.map_err(|error| error.to_string())? {
                0 => return Err(String::from("the connection was closed in the middle")),
                read => filled += read,
            }
            if wanted.is_none() {
                wanted = length(&self.buffer[..filled])?;
            }
        }
        Ok(())
    }
}

/// The length of the whole answer, once its head is there.
fn length(answer: &[u8]) -> std::result::Result<Option<usize>, String> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    let body = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    if !head.starts_with("HTTP/1.1 200") || body != Some(PAGE) {
        return Err(format!("not the page:\n{head}"));
    }
    Ok(Some(end + 4 + PAGE))
}
