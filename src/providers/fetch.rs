//! One call to a provider: within a deadline, within a size, to where it was meant to go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;

use super::ProviderError;

/// The longest answer that is read, in bytes: a key set with certificates has tens of thousands.
const LONGEST_ANSWER: usize = 256 * 1024;
/// How much of a provider's error word is repeated.
const LONGEST_WORD: usize = 64;

/// Follows nothing: a redirect would carry the code and the secret elsewhere.
pub fn client(deadline: Duration, ca: Option<&Path>) -> Result<Client, ProviderError> {
    let failed = |text: String| ProviderError::Client(text);
    let mut roots = RootCertStore::empty();
    match ca {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let told =
                |error: &dyn std::fmt::Display| failed(format!("{}: {error}", file.display()));
            let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect)
                .map_err(|error| told(&error))?;
            if certificates.is_empty() {
                return Err(told(&"it holds no certificate"));
            }
            roots.add_parsable_certificates(certificates);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .connect_timeout(deadline)
        .timeout(deadline)
        // A connection that the provider closed meanwhile would fail somebody's sign-in.
        .pool_max_idle_per_host(0)
        .no_proxy()
        .user_agent("vestibule")
        .build()
        .map_err(|error| failed(error.to_string()))
}

/// Sends it and reads the answer. A status that says no is an error, with the provider's own word
/// for it.
pub async fn bytes(what: &'static str, request: RequestBuilder) -> Result<Vec<u8>, ProviderError> {
    let unavailable = |problem| ProviderError::Unavailable { what, problem };
    let mut response = request
        .send()
        .await
        .map_err(|error| unavailable(kind(&error)))?;
    let status = response.status();
    let mut body = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| unavailable(kind(&error)))? else {
            break;
        };
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(ProviderError::Answer {
                what,
                problem: format!("it is longer than {LONGEST_ANSWER} bytes"),
            });
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return Ok(body);
    }
    Err(ProviderError::Status {
        what,
        status: status.as_u16(),
        said: said(&body, response.headers().get(CONTENT_TYPE).is_some()),
    })
}

pub fn read<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, ProviderError> {
    serde_json::from_slice(body).map_err(|error| {
        // The error's text may repeat values; its place does not.
        let problem = match error.classify() {
            serde_json::error::Category::Data => {
                format!("it is JSON of another form: {}", missing(&error))
            }
            _ => format!(
                "it is not JSON (line {}, column {})",
                error.line(),
                error.column()
            ),
        };
        ProviderError::Answer { what, problem }
    })
}

/// `missing field` names our own key, and `expected` what we want; anything else may hold the
/// provider's text.
fn missing(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line").next().unwrap_or_default();
    if let Some(key) = text.strip_prefix("missing field ") {
        return format!("{key} is missing");
    }
    let place = format!("line {}, column {}", error.line(), error.column());
    let wanted = match text.split_once(", expected ").map(|(_, wanted)| wanted) {
        Some("a sequence") => "a list",
        Some("a string") => "text",
        Some("a boolean") => "true or false",
        Some(wanted) if wanted.starts_with("struct ") => "an object",
        _ => return place,
    };
    format!("{wanted} is wanted at {place}")
}

/// RFC 6749, section 5.2: `error` is one of a few words.
fn said(body: &[u8], typed: bool) -> String {
    let word = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| value.get("error")?.as_str().map(str::to_owned));
    match word {
        Some(word) if typed => {
            let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            let word: String = word.chars().filter(plain).take(LONGEST_WORD).collect();
            format!(" ({word})")
        }
        _ => String::new(),
    }
}

/// Its kind alone: the error's own text has the address in it.
fn kind(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection (the name, the network or the certificate)"
    } else {
        "the answer broke off"
    }
}
