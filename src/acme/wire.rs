//! One call to an authority: within a deadline, within a size, over TLS, to where it was meant to go.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::fmt::rfc2822;
use reqwest::{Client, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::AcmeError;
use crate::config::providers::is_secure;
use crate::gate::time::Moment;
use crate::sessions::Clock;

/// For one call.
const DEADLINE: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes: chains have some thousands.
const LONGEST_ANSWER: usize = 256 * 1024;

/// The way to an authority, and how long it asked us to wait when it last answered.
#[derive(Clone)]
pub struct Wire {
    client: Client,
    clock: Clock,
    wait: Arc<Mutex<Option<Duration>>>,
}

/// Why an answer is none. Never with the address in it, which may be an account's.
#[derive(Debug, thiserror::Error)]
enum WireError {
    #[error("no answer in time")]
    Late,
    #[error("no connection (the name, the network or the certificate)")]
    Unreachable,
    #[error("the answer broke off")]
    BrokenOff,
    #[error("the answer is longer than {LONGEST_ANSWER} bytes")]
    Long,
    #[error("it answered {0}")]
    Status(u16),
    #[error("it sends us where there is no TLS")]
    Insecure,
}

impl Wire {
    /// # Errors
    /// When `ca` can't be read.
    pub fn new(ca: Option<&Path>, clock: Clock) -> Result<Wire, AcmeError> {
        let failed = |problem: String| AcmeError::Unavailable(problem);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(roots(ca)?)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .connect_timeout(DEADLINE)
            .timeout(DEADLINE)
            // A connection that was closed meanwhile would fail an order.
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Wire {
            client,
            clock,
            wait: Arc::default(),
        })
    }

    /// How long the authority asked us to wait when it last answered (`Retry-After`).
    pub fn wait(&self) -> Option<Duration> {
        *self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wished(&self, wait: Option<Duration>) {
        *self.wait.lock().unwrap_or_else(PoisonError::into_inner) = wait;
    }

    async fn call(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, WireError> {
        let (parts, body) = request.into_parts();
        self.wished(None);
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| WireError::Insecure)?;
        if !is_secure(&url) {
            return Err(WireError::Insecure);
        }
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let sent = self
            .client
            .request(parts.method, url)
            .headers(parts.headers)
            .body(body)
            .send();
        let mut answer = sent.await.map_err(|error| kind(&error))?;
        let now = (self.clock)();
        self.wished(retry_after(answer.headers(), now));
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| kind(&error))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(WireError::Long);
            }
            body.extend_from_slice(&chunk);
        }
        let status = answer.status();
        // A balancer's page is no problem document (RFC 7807), and would be told as broken JSON.
        if !status.is_success() && body.first() != Some(&b'{') {
            return Err(WireError::Status(status.as_u16()));
        }
        let mut whole = Response::new(Full::new(Bytes::from(body)));
        *whole.status_mut() = status;
        *whole.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(BytesResponse::from(whole))
    }
}

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let call = self.clone().call(request);
        Box::pin(async move { call.await.map_err(|error| Error::Other(Box::new(error))) })
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, AcmeError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let told = |problem: String| AcmeError::File {
        path: file.to_owned(),
        problem,
    };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| told(error.to_string()))?;
    if certificates.is_empty() {
        return Err(told(String::from("holds no certificate")));
    }
    roots.add_parsable_certificates(certificates);
    Ok(roots)
}

fn kind(error: &reqwest::Error) -> WireError {
    if error.is_timeout() {
        WireError::Late
    } else if error.is_connect() {
        WireError::Unreachable
    } else {
        WireError::BrokenOff
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: Moment) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Moment::from_millis(date.as_millisecond()).since(now))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_wait_is_told_in_seconds_or_by_a_date() {
        let now = Moment::parse_rfc3339("2026-11-21T14:05:00Z").unwrap();
        for (text, wait) in [
            ("120", Some(120)),
            ("Sat, 21 Nov 2026 14:06:00 GMT", Some(60)),
            ("Sat, 21 Nov 2026 13:06:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            let told = retry_after(&headers, now).map(|wait| wait.as_secs());
            assert_eq!(told, wait, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
