//! One legacy application, as a browser of ours: requests to its backends and to nobody else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
    LOCATION, ORIGIN, REFERER, SET_COOKIE, USER_AGENT,
};
use reqwest::{Client, Method, Url, redirect};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;

use super::jar::Jar;
use super::{Failure, OpenError};
use crate::config::settings::{Backend, BackendAddress, BackendTls};
use crate::gate::product::Product;
use crate::gate::time::Moment;

/// The longest page that is read, in bytes.
const LONGEST_PAGE: usize = 1024 * 1024;
/// The most redirects in a row.
const MOST_REDIRECTS: usize = 5;
/// How many conversations with one application there are at a time.
const MOST_AT_ONCE: usize = 32;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// For whom the gateway speaks: an application may tie its session to these.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    pub user_agent: String,
    pub address: Option<IpAddr>,
}

/// An application's backends, and its name as browsers see it.
pub struct Site {
    doors: Vec<Door>,
    next: AtomicUsize,
    origin: Url,
    authority: HeaderValue,
    room: Semaphore,
}

/// One backend. Each has a client of its own, so that a name resolves to its address alone.
struct Door {
    client: Client,
    url: Url,
}

/// An answer, read.
pub struct Answer {
    pub status: u16,
    /// Where a redirect leads, on this site.
    pub location: Option<Url>,
    /// `Content-Type`.
    pub kind: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn is_redirect(&self) -> bool {
        matches!(self.status, 301..=303 | 307 | 308)
    }
}

/// A conversation: one backend, one jar.
pub struct Talk<'a> {
    site: &'a Site,
    door: usize,
    caller: &'a Caller,
    now: Moment,
    pub jar: Jar,
    /// `Authorization`, on each request.
    pub basic: Option<HeaderValue>,
}

impl Site {
    pub async fn open(product: &Product, backend: &Backend) -> Result<Site, OpenError> {
        let wrong = || OpenError::Address(product.origin.clone());
        let mut doors = Vec::with_capacity(backend.addresses.len());
        for address in &backend.addresses {
            doors.push(Door::open(address, backend).await?);
        }
        Ok(Site {
            doors,
            next: AtomicUsize::new(0),
            origin: Url::parse(&product.origin).map_err(|_| wrong())?,
            authority: HeaderValue::from_str(product.authority_text()).map_err(|_| wrong())?,
            room: Semaphore::new(MOST_AT_ONCE),
        })
    }

    /// Host, and port where it is not the usual one.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Begins a conversation; at most so many at a time. The caller sets the deadline.
    pub async fn talk<'a>(
        &'a self,
        caller: &'a Caller,
        now: Moment,
    ) -> Result<(Talk<'a>, tokio::sync::SemaphorePermit<'a>), Failure> {
        let place = self.room.acquire().await.map_err(|_| Failure::Busy)?;
        Ok((self.begin(caller, now), place))
    }

    /// The same where there is a place, without a wait for one: for questions that can be left.
    pub fn talk_at_once<'a>(
        &'a self,
        caller: &'a Caller,
        now: Moment,
    ) -> Result<(Talk<'a>, tokio::sync::SemaphorePermit<'a>), Failure> {
        let place = self.room.try_acquire().map_err(|_| Failure::Busy)?;
        Ok((self.begin(caller, now), place))
    }

    fn begin<'a>(&'a self, caller: &'a Caller, now: Moment) -> Talk<'a> {
        Talk {
            site: self,
            door: self.next.fetch_add(1, Ordering::Relaxed),
            caller,
            now,
            jar: Jar::default(),
            basic: None,
        }
    }

    /// The address of a path, or path and query, on this site.
    pub fn at(&self, path: &str) -> Option<Url> {
        // Joined text may name another host ("//other"): what is written is a path.
        let mut url = self.origin.clone();
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        url.set_path(path);
        url.set_query(query);
        Some(url)
    }

    /// Where a written address leads from a page of this site; `None` when it is another's.
    pub fn resolve(&self, from: &Url, written: &str) -> Option<Url> {
        let to = from.join(written.trim()).ok()?;
        if !matches!(to.scheme(), "http" | "https") {
            return None;
        }
        let same_host = to.host_str() == self.origin.host_str();
        // Applications that know nothing of a proxy name the address they listen on.
        let backend = self
            .doors
            .iter()
            .any(|door| door.url.origin() == to.origin());
        if !same_host && !backend {
            return None;
        }
        let mut here = self.origin.clone();
        here.set_path(to.path());
        here.set_query(to.query());
        Some(here)
    }
}

impl Door {
    async fn open(address: &BackendAddress, backend: &Backend) -> Result<Door, OpenError> {
        let socket = resolve(address).await?;
        let name = match (&backend.tls.server_name, address.tls) {
            (Some(name), true) => name,
            _ => &address.host,
        };
        let written = match name.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => name.clone(),
        };
        let scheme = if address.tls { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{written}:{}/", address.port))
            .map_err(|_| OpenError::Address(address.host.clone()))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls_config(&backend.tls)?)
            .redirect(redirect::Policy::none())
            .http1_only()
            .no_proxy()
            .resolve(name, socket)
            .connect_timeout(backend.timeouts.connect)
            .pool_max_idle_per_host(4)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| OpenError::Client(error.to_string()))?;
        Ok(Door { client, url })
    }
}

async fn resolve(address: &BackendAddress) -> Result<SocketAddr, OpenError> {
    let fail = |source| OpenError::Resolve {
        address: address.host.clone(),
        source,
    };
    tokio::net::lookup_host((address.host.as_str(), address.port))
        .await
        .map_err(fail)?
        .next()
        .ok_or_else(|| fail(io::Error::new(io::ErrorKind::NotFound, "no address")))
}

/// Who is believed: the authorities of `ca`, or the system's.
pub fn tls_config(tls: &BackendTls) -> Result<ClientConfig, OpenError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| OpenError::File {
                    path: path.clone(),
                    reason: error.to_string(),
                })?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                tracing::warn!(
                    "the system has no authorities: no certificate is believed without tls.ca"
                );
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OpenError::Client(error.to_string()))?
        .with_root_certificates(roots);
    let Some(files) = &tls.client else {
        return Ok(builder.with_no_client_auth());
    };
    let wrong = |reason: String| OpenError::File {
        path: files.key.clone(),
        reason,
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(error.to_string()))?;
    builder
        .with_client_auth_cert(certificates(&files.certificate)?, key)
        .map_err(|error| wrong(error.to_string()))
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let fail = |reason: String| OpenError::File {
        path: path.to_owned(),
        reason,
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| fail(error.to_string()))?
        .collect();
    match read.map_err(|error| fail(error.to_string()))? {
        none if none.is_empty() => Err(fail(String::from("holds no certificate"))),
        some => Ok(some),
    }
}

impl Talk<'_> {
    pub fn site(&self) -> &Site {
        self.site
    }

    /// Goes to a page and follows its redirects; the page's address comes back with it.
    pub async fn open(&mut self, page: &Url) -> Result<(Url, Answer), Failure> {
        let answer = self.ask(Method::GET, page, None).await?;
        self.follow(page.clone(), answer).await
    }

    /// Follows redirects, as long as they stay on the site.
    pub async fn follow(&mut self, at: Url, answer: Answer) -> Result<(Url, Answer), Failure> {
        let (mut at, mut answer) = (at, answer);
        for _ in 0..MOST_REDIRECTS {
            let Some(next) = answer.location.take() else {
                return Ok((at, answer));
            };
            answer = self.ask(Method::GET, &next, None).await?;
            at = next;
        }
        Err(Failure::unusable("too many redirects in a row"))
    }

    pub async fn get(&mut self, page: &Url) -> Result<Answer, Failure> {
        self.ask(Method::GET, page, None).await
    }

    pub async fn post(&mut self, from: &Url, to: &Url, body: String) -> Result<Answer, Failure> {
        self.ask(Method::POST, to, Some((from, body))).await
    }

    async fn ask(
        &mut self,
        method: Method,
        to: &Url,
        form: Option<(&Url, String)>,
    ) -> Result<Answer, Failure> {
        let headers = self.headers(to, form.as_ref().map(|(from, _)| *from));
        let body = form.map(|(_, body)| body);
        let doors = self.site.doors.len().max(1);
        let mut failed = None;
        // Nothing was sent to a backend that can't be connected to: the next is asked.
        for _ in 0..doors {
            let Some(door) = self.site.doors.get(self.door % doors) else {
                break;
            };
            let mut url = door.url.clone();
            url.set_path(to.path());
            url.set_query(to.query());
            let mut request = door
                .client
                .request(method.clone(), url)
                .headers(headers.clone());
            if let Some(body) = &body {
                request = request.body(body.clone());
            }
            match request.send().await {
                Ok(answer) => return self.read(to, answer).await,
                Err(error) if error.is_connect() => {
                    self.door = self.door.wrapping_add(1);
                    failed = Some(error);
                }
                Err(error) => return Err(Failure::unreachable(&error)),
            }
        }
        Err(failed.map_or(Failure::Busy, |error| Failure::unreachable(&error)))
    }

    fn headers(&self, to: &Url, from: Option<&Url>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, self.site.authority.clone());
        headers.insert(X_FORWARDED_HOST, self.site.authority.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),
        );
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        if let Some(address) = self.caller.address {
            set(X_FORWARDED_FOR, &address.to_string());
        }
        set(
            USER_AGENT,
            match self.caller.user_agent.as_str() {
                "" => "vestibule",
                agent => agent,
            },
        );
        if let Some(line) = self.jar.line(to.path()) {
            set(COOKIE, &line);
        }
        if let Some(from) = from {
            set(CONTENT_TYPE, "application/x-www-form-urlencoded");
            set(ORIGIN, &self.site.origin.origin().ascii_serialization());
            set(REFERER, from.as_str());
        }
        if let Some(basic) = &self.basic {
            headers.insert(AUTHORIZATION, basic.clone());
        }
        headers
    }

    async fn read(&mut self, at: &Url, mut answer: reqwest::Response) -> Result<Answer, Failure> {
        let status = answer.status().as_u16();
        for line in answer.headers().get_all(SET_COOKIE) {
            if let Ok(line) = line.to_str() {
                self.jar.take(line, at.path(), self.now);
            }
        }
        let written = answer.headers().get(LOCATION);
        let kind = answer.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok());
        let mut read = Answer {
            status,
            location: None,
            kind: kind.map(str::to_owned),
            body: Vec::new(),
        };
        if read.is_redirect() {
            let written = written
                .and_then(|written| written.to_str().ok())
                .ok_or_else(|| Failure::unusable("a redirect that leads nowhere"))?;
            let to = self.site.resolve(at, written);
            read.location = Some(to.ok_or_else(|| Failure::unusable("it leads to another site"))?);
            return Ok(read);
        }
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| Failure::unreachable(&error))?
        {
            if read.body.len() + chunk.len() > LONGEST_PAGE {
                return Err(Failure::unusable("a page of more than 1 MiB"));
            }
            read.body.extend_from_slice(&chunk);
        }
        Ok(read)
    }
}
