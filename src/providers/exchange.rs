//! The question that a browser carries to the provider, and the answer that it brings back.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::RequestBuilder;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::fetch;
use super::keys::Brought;
use super::metadata::Metadata;
use super::tokens::unsigned;
use super::{Provider, ProviderError};
use crate::gate::time::Moment;
use crate::gate::vouching::{Asked, Claims, Contact, LogoutClaims};

const TOKEN: &str = "the provider's token endpoint";
const USERINFO: &str = "the provider's UserInfo";

/// What one sign-in asks of a provider.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub redirect_uri: &'a str,
    pub state: &'a str,
    pub nonce: &'a str,
    /// RFC 7636: 43 characters of base64url.
    pub verifier: &'a str,
    /// The person must prove themselves there now, signed in or not.
    pub again: bool,
}

/// What became of a code.
#[derive(Debug)]
pub struct Answered {
    pub claims: Claims,
    access_token: Option<Zeroizing<String>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    contact: Contact,
}

impl Provider {
    /// Where the browser goes.
    pub fn address(&self, metadata: &Metadata, question: &Question<'_>) -> Url {
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, question.verifier.as_bytes()));
        let mut url = metadata.authorization_endpoint.clone();
        {
            let mut pairs = url.query_pairs_mut();
            pairs
                .append_pair("response_type", "code")
                .append_pair("client_id", &self.settings.client_id)
                .append_pair("redirect_uri", question.redirect_uri)
                .append_pair("scope", &self.settings.scopes.join(" "))
                .append_pair("state", question.state)
                .append_pair("nonce", question.nonce)
                .append_pair("code_challenge", &challenge)
                .append_pair("code_challenge_method", "S256");
            let max_age = self.settings.max_age.map(|span| span.as_secs());
            if question.again {
                // With max_age the id token must say when (OpenID Connect Core 1.0, 3.1.2.1).
                pairs.append_pair("prompt", "login");
                pairs.append_pair("max_age", "0");
            } else if let Some(secs) = max_age {
                pairs.append_pair("max_age", &secs.to_string());
            }
        }
        url
    }

    /// Turns a code into claims that were signed by this provider, for this question, at `now`.
    /// `proved_since`: see [`Asked`].
    pub async fn answer(
        &self,
        code: &str,
        question: &Question<'_>,
        proved_since: Option<Moment>,
        now: Moment,
    ) -> Result<Answered, ProviderError> {
        let metadata = self.metadata(now).await?;
        let body = self.exchange(&metadata, code, question).await?;
        let answer: TokenAnswer = fetch::read(TOKEN, &body)?;
        let payload = self
            .signed(&answer.id_token, Brought::ByProvider, now)
            .await?;
        let claims = Claims::read(&payload)?;
        let asked = Asked {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: question.nonce,
            proved_since,
        };
        claims.judge(&asked, now)?;
        Ok(Answered {
            claims,
            access_token: answer.access_token.map(Zeroizing::new),
        })
    }

    /// Whose sign-in ended at the provider, in its own words.
    pub async fn signed_out(&self, token: &str, now: Moment) -> Result<String, ProviderError> {
        let settings = &self.settings;
        let judged = |payload: &[u8]| {
            let claims = LogoutClaims::read(payload)?;
            let subject = claims.judge(&settings.issuer, &settings.client_id, now)?;
            Ok::<String, ProviderError>(subject.to_owned())
        };
        // Anybody can post one: for what would not be believed anyway no key is looked for.
        judged(&unsigned(token)?)?;
        judged(&self.signed(token, Brought::ByAnybody, now).await?)
    }

    async fn exchange(
        &self,
        metadata: &Metadata,
        code: &str,
        question: &Question<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let (request, form) = self.form(metadata, code, question);
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(form);
        fetch::bytes(TOKEN, request).await.map(Zeroizing::new)
    }

    fn form(
        &self,
        metadata: &Metadata,
        code: &str,
        question: &Question<'_>,
    ) -> (RequestBuilder, String) {
        let client_id = &self.settings.client_id;
        let secret = self.settings.client_secret.as_ref();
        let mut request = self.client.post(metadata.token_endpoint.clone());
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", question.redirect_uri)
            .append_pair("code_verifier", question.verifier);
        match secret {
            Some(secret) if metadata.secret_in_form => {
                form.append_pair("client_id", client_id)
                    .append_pair("client_secret", secret.expose());
            }
            // RFC 6749, section 2.3.1: both are form-encoded before they become a header.
            Some(secret) => {
                request = request.basic_auth(encoded(client_id), Some(encoded(secret.expose())));
            }
            None => {
                form.append_pair("client_id", client_id);
            }
        }
        (request, form.finish())
    }

    /// How the person can be reached: from the id token, or where the provider keeps it (OpenID
    /// Connect Core 1.0, section 5.4).
    pub async fn contact(
        &self,
        answered: &Answered,
        now: Moment,
    ) -> Result<Contact, ProviderError> {
        let told = &answered.claims.contact;
        let metadata = self.metadata(now).await?;
        let (None, Some(url), Some(token)) = (
            &told.email,
            &metadata.userinfo_endpoint,
            &answered.access_token,
        ) else {
            return Ok(told.clone());
        };
        let request = self.client.get(url.clone()).bearer_auth(token.as_str());
        let body = fetch::bytes(USERINFO, request).await?;
        let info: UserInfo = fetch::read(USERINFO, &body)?;
        // Section 5.3.2: another subject's answer must not be used.
        if info.sub != answered.claims.sub {
            return Err(ProviderError::Answer {
                what: USERINFO,
                problem: String::from("its sub is another than the id token's"),
            });
        }
        Ok(info.contact)
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
