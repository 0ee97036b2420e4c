//! What a provider says of itself (OpenID Connect Discovery 1.0).

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::fetch;
use super::{Provider, ProviderError};
use crate::config::providers::is_secure;
use crate::gate::time::Moment;

const WHAT: &str = "the provider's discovery document";
/// Read again after so long.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// While the provider is away, what is known serves for so long.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// After a failure the next try is not sooner: a crowd at the door must not become one at the
/// provider's.
const PAUSE: Duration = Duration::from_secs(5);

/// The parts that are used, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    pub authorization_endpoint: Url,
    pub token_endpoint: Url,
    pub jwks_uri: Url,
    pub userinfo_endpoint: Option<Url>,
    pub end_session_endpoint: Option<Url>,
    /// The secret goes into the form and not into a header.
    pub secret_in_form: bool,
    /// RFC 9207: an answer without `iss` is none.
    pub names_itself: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    response_types_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// # Errors
    /// The first thing that is wrong: another issuer, an address in the clear, no PKCE.
    pub fn read(body: &[u8], issuer: &str) -> Result<Metadata, ProviderError> {
        let document: Document = fetch::read(WHAT, body)?;
        let wrong = |problem: String| ProviderError::Answer {
            what: WHAT,
            problem,
        };
        if document.issuer != issuer {
            return Err(wrong(format!(
                "it is of the issuer {:?}, and {issuer:?} is configured: both must be the same to the letter",
                document.issuer.chars().take(120).collect::<String>()
            )));
        }
        let types = &document.response_types_supported;
        if !types.is_empty() && !types.iter().any(|kind| kind == "code") {
            return Err(wrong(String::from(
                "response_types_supported has no \"code\"",
            )));
        }
        if let Some(methods) = &document.code_challenge_methods_supported
            && !methods.iter().any(|method| method == "S256")
        {
            return Err(wrong(String::from(
                "code_challenge_methods_supported has no \"S256\": PKCE is wanted (RFC 9700, 2.1.1)",
            )));
        }
        let address = |key: &str, text: &str| match Url::parse(text) {
            Ok(url) if is_secure(&url) => Ok(url),
            Ok(_) => Err(wrong(format!("{key} does not begin with https://"))),
            Err(error) => Err(wrong(format!("{key} is not a URL: {error}"))),
        };
        let optional = |key: &str, text: &Option<String>| {
            text.as_deref().map(|text| address(key, text)).transpose()
        };
        let methods = &document.token_endpoint_auth_methods_supported;
        let takes = |method: &str| methods.iter().any(|known| known == method);
        Ok(Metadata {
            authorization_endpoint: address(
                "authorization_endpoint",
                &document.authorization_endpoint,
            )?,
            token_endpoint: address("token_endpoint", &document.token_endpoint)?,
            jwks_uri: address("jwks_uri", &document.jwks_uri)?,
            userinfo_endpoint: optional("userinfo_endpoint", &document.userinfo_endpoint)?,
            end_session_endpoint: optional("end_session_endpoint", &document.end_session_endpoint)?,
            secret_in_form: takes("client_secret_post") && !takes("client_secret_basic"),
            names_itself: document.authorization_response_iss_parameter_supported,
        })
    }
}

impl Provider {
    /// What it says of itself, read at most once an hour.
    pub async fn metadata(&self, now: Moment) -> Result<Arc<Metadata>, ProviderError> {
        // Held over the call: of a hundred who come at once, one asks and all hear the answer.
        let mut kept = self.metadata.lock().await;
        if let Some((metadata, at)) = &kept.value
            && now.since(*at) < FRESH
        {
            return Ok(Arc::clone(metadata));
        }
        if let Some((at, error)) = &kept.tried
            && now.since(*at) < PAUSE
        {
            return kept.served(now).ok_or_else(|| error.clone());
        }
        match self.fetch_metadata().await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                kept.value = Some((Arc::clone(&metadata), now));
                kept.tried = None;
                Ok(metadata)
            }
            Err(error) => {
                tracing::warn!(provider = %self.settings.name, %error, "a provider says nothing of itself");
                kept.tried = Some((now, error.clone()));
                kept.served(now).ok_or(error)
            }
        }
    }

    async fn fetch_metadata(&self) -> Result<Metadata, ProviderError> {
        let issuer = &self.settings.issuer;
        let url = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let body = fetch::bytes(WHAT, self.client.get(url)).await?;
        Metadata::read(&body, issuer)
    }
}

impl super::Kept<Metadata> {
    fn served(&self, now: Moment) -> Option<Arc<Metadata>> {
        let (metadata, at) = self.value.as_ref()?;
        (now.since(*at) < STALE).then(|| Arc::clone(metadata))
    }
}
