//! Text messages, by HTTP.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;

use super::{Channel, Hushed, Message, MessagesError, Outbox, Provider, SendError, SmsProvider};

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

pub enum Texter {
    Outbox(Arc<Outbox>),
    Http {
        client: Client,
        url: Url,
        bearer: Option<HeaderValue>,
    },
    Twilio {
        client: Client,
        url: Url,
        account: String,
        token: Hushed,
        from: String,
    },
}

impl Texter {
    pub fn new(
        provider: SmsProvider,
        deadline: Duration,
        outbox: &Arc<Outbox>,
    ) -> Result<Texter, MessagesError> {
        Ok(match provider {
            SmsProvider::Outbox => Texter::Outbox(Arc::clone(outbox)),
            SmsProvider::Http { url, token } => Texter::Http {
                client: client(deadline)?,
                url: Url::parse(url.expose())
                    .map_err(|_| MessagesError::Url("messages.sms.url"))?,
                bearer: token.as_ref().map(bearer).transpose()?,
            },
            SmsProvider::Twilio {
                url,
                account,
                token,
                from,
            } => Texter::Twilio {
                client: client(deadline)?,
                url: twilio_url(&url, &account).ok_or(MessagesError::Url("messages.sms.url"))?,
                account,
                token,
                from,
            },
        })
    }
}

impl Provider for Texter {
    const CHANNEL: Channel = Channel::Sms;

    async fn hand_over(&self, message: &Message<'_>) -> Result<(), SendError> {
        match self {
            Texter::Outbox(outbox) => outbox.keep(message),
            Texter::Http {
                client,
                url,
                bearer,
            } => {
                let body = json!({"to": message.to.expose(), "text": message.text});
                let mut request = client
                    .post(url.clone())
                    .header(CONTENT_TYPE, "application/json")
                    .body(body.to_string());
                if let Some(bearer) = bearer {
                    request = request.header(AUTHORIZATION, bearer.clone());
                }
                accepted(request).await.map(|_| ())
            }
            Texter::Twilio {
                client,
                url,
                account,
                token,
                from,
            } => {
                let form = twilio_form(from, message);
                let request = client
                    .post(url.clone())
                    .basic_auth(account, Some(token.expose()))
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form);
                queued(accepted(request).await?).await
            }
        }
    }
}

/// The account stands in the path, whatever is in it: it can't leave its segment.
fn twilio_url(base: &str, account: &str) -> Option<Url> {
    let mut url = Url::parse(base).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend([
        "2010-04-01",
        "Accounts",
        account,
        "Messages.json",
    ]);
    Some(url)
}

fn twilio_form(from: &str, message: &Message<'_>) -> String {
    let sender = if from.starts_with("MG") {
        "MessagingServiceSid"
    } else {
        "From"
    };
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("To", message.to.expose())
        .append_pair(sender, from)
        .append_pair("Body", message.text)
        .finish()
}

/// Twilio answers with the message it queued. Anything else said 2xx and is not Twilio.
async fn queued(mut response: Response) -> Result<(), SendError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| kind(&error))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(SendError::Answer);
        }
        body.extend_from_slice(&chunk);
    }
    let answer: serde_json::Value = serde_json::from_slice(&body).map_err(|_| SendError::Answer)?;
    let has_id = answer.get("sid").is_some_and(serde_json::Value::is_string);
    let failed = matches!(
        answer.get("status").and_then(serde_json::Value::as_str),
        Some("failed" | "undelivered" | "canceled")
    );
    if has_id && !failed {
        Ok(())
    } else {
        Err(SendError::Answer)
    }
}

async fn accepted(request: RequestBuilder) -> Result<Response, SendError> {
    let response = request.send().await.map_err(|error| kind(&error))?;
    let status = response.status();
    if status.is_success() {
        Ok(response)
    } else {
        Err(SendError::Refused(status.as_u16()))
    }
}

/// Its kind alone: the error's own text has the address in it, which may hold a secret.
fn kind(error: &reqwest::Error) -> SendError {
    if error.is_timeout() {
        SendError::Late
    } else if error.is_connect() {
        SendError::Connection
    } else {
        SendError::Answer
    }
}

fn bearer(token: &Hushed) -> Result<HeaderValue, MessagesError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose().trim()))
        .map_err(|_| MessagesError::Url("messages.sms.token"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Follows nothing: a redirect would carry the message and the token elsewhere.
fn client(deadline: Duration) -> Result<Client, MessagesError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| MessagesError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .connect_timeout(deadline)
        .timeout(deadline)
        .pool_max_idle_per_host(8)
        .pool_idle_timeout(Duration::from_secs(30))
        .no_proxy()
        .user_agent("vestibule")
        .build()
        .map_err(|_| MessagesError::Tls)
}
