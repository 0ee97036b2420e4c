//! An OpenID Connect provider of the demo's own, so that one clinic's people can come from elsewhere:
//! discovery, one key, the code flow with PKCE. Whoever opens its page says who they are and is
//! believed: for the demo, on 127.0.0.1, only.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use super::door::{Remembered, token};
use super::people::{Person, people_of};

/// Whose people it knows.
pub const COMPANY: &str = "acme-rehab";
/// How the gateway is known here. All of it is made up, and worth nothing outside this machine.
pub const CLIENT: (&str, &str) = ("vestibule-demo", "of-the-demo");

const KID: &str = "demo";
/// A code and an id token are good for so long.
const CODE_SECS: i64 = 60;
const TOKEN_SECS: i64 = 300;

const STYLE: &str = include_str!("assets/outbox.css");
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// Seconds since 1970: the gateway's own clock, which may run faster than the wall's.
pub type Seconds = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Where people come back to, from here.
#[derive(Debug, Clone)]
pub struct Client {
    pub redirect_uri: String,
}

struct Provider {
    issuer: String,
    client: Client,
    key: EcdsaKeyPair,
    clock: Seconds,
    codes: Mutex<Remembered<Granted>>,
}

/// What a code stands for, once.
struct Granted {
    person: &'static Person,
    nonce: String,
    challenge: String,
    at: i64,
}

/// What the gateway asks by the browser (OpenID Connect Core 1.0, 3.1.2.1).
#[derive(Deserialize)]
struct Question {
    #[serde(default)]
    response_type: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    code_challenge: String,
    #[serde(default)]
    code_challenge_method: String,
    /// Of the page's own form: who somebody says that they are.
    #[serde(default)]
    person: String,
}

#[derive(Deserialize)]
struct Exchange {
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    code_verifier: String,
}

#[derive(Template)]
#[template(path = "demo/provider.html")]
struct Page<'a> {
    question: &'a Question,
    people: &'a [&'static Person],
}

/// Serves until dropped. `issuer` is its own address, without a slash at the end.
///
/// # Errors
/// When the listener fails, or there is no randomness for a key.
pub async fn serve(
    listener: TcpListener,
    issuer: String,
    client: Client,
    clock: Seconds,
) -> io::Result<()> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
        .map_err(|_| io::Error::other("no key could be made"))?;
    let provider = Arc::new(Provider {
        issuer,
        client,
        key,
        clock,
        codes: Mutex::default(),
    });
    let app = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(jwks))
        .route("/authorize", get(ask).post(answer))
        .route("/token", post(exchange))
        .route(
            "/style.css",
            get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }),
        )
        .with_state(provider);
    axum::serve(listener, app).await
}

async fn discovery(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let issuer = &provider.issuer;
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "scopes_supported": ["openid", "profile", "email"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn jwks(State(provider): State<Arc<Provider>>) -> Json<Value> {
    // 0x04, then both coordinates (SEC 1, 2.3.3).
    let point = provider.key.public_key().as_ref();
    let coordinates = point.get(1..).unwrap_or_default();
    let (x, y) = coordinates.split_at_checked(32).unwrap_or_default();
    Json(json!({"keys": [{
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KID,
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    }]}))
}

async fn ask(State(provider): State<Arc<Provider>>, Query(question): Query<Question>) -> Response {
    match provider.is_proper(&question) {
        Ok(()) => page(&question),
        Err(problem) => refused(problem),
    }
}

async fn answer(State(provider): State<Arc<Provider>>, Form(question): Form<Question>) -> Response {
    if let Err(problem) = provider.is_proper(&question) {
        return refused(problem);
    }
    let all = people_of(COMPANY);
    let Some(person) = all.into_iter().find(|known| known.id == question.person) else {
        return page(&question);
    };
    match provider.way_back(person, question) {
        Some(url) => (HEADERS, Redirect::to(url.as_str())).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn exchange(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    Form(exchange): Form<Exchange>,
) -> Response {
    let (status, body) = match provider.exchange(&headers, &exchange) {
        Ok(body) => (StatusCode::OK, body),
        Err(error @ "invalid_client") => (StatusCode::UNAUTHORIZED, json!({ "error": error })),
        Err(error) => (StatusCode::BAD_REQUEST, json!({ "error": error })),
    };
    (status, HEADERS, Json(body)).into_response()
}

fn page(question: &Question) -> Response {
    let people = people_of(COMPANY);
    let page = Page {
        question,
        people: &people,
    };
    match page.render() {
        Ok(html) => (HEADERS, Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Told here, since nobody may be sent to an address that is not the client's (RFC 6749, 4.1.2.1).
fn refused(problem: &'static str) -> Response {
    (StatusCode::BAD_REQUEST, HEADERS, problem).into_response()
}

impl Provider {
    fn is_proper(&self, question: &Question) -> Result<(), &'static str> {
        if question.client_id != CLIENT.0 {
            return Err("the demo's provider knows no such client");
        }
        if question.redirect_uri != self.client.redirect_uri {
            return Err("that is not where this client's people come back to");
        }
        let with_pkce =
            question.code_challenge_method == "S256" && question.code_challenge.len() == 43;
        if question.response_type != "code" || !with_pkce {
            return Err("the demo's provider knows the code flow with PKCE (S256) only");
        }
        Ok(())
    }

    /// Where the browser goes with a new code.
    fn way_back(&self, person: &'static Person, question: Question) -> Option<Url> {
        let code = token()?;
        let granted = Granted {
            person,
            nonce: question.nonce,
            challenge: question.code_challenge,
            at: (self.clock)(),
        };
        let mut url = Url::parse(&self.client.redirect_uri).ok()?;
        url.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &question.state)
            .append_pair("iss", &self.issuer);
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.insert(code, granted);
        Some(url)
    }

    /// The token endpoint's answer, or the word for what is wrong (RFC 6749, 5.2).
    fn exchange(&self, headers: &HeaderMap, asked: &Exchange) -> Result<Value, &'static str> {
        if !is_client(headers) {
            return Err("invalid_client");
        }
        if asked.grant_type != "authorization_code" {
            return Err("unsupported_grant_type");
        }
        let granted = {
            let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
            codes.remove(&asked.code)
        };
        let granted = granted.ok_or("invalid_grant")?;
        let now = (self.clock)();
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, asked.code_verifier.as_bytes()));
        if challenge != granted.challenge
            || asked.redirect_uri != self.client.redirect_uri
            || now - granted.at > CODE_SECS
        {
            return Err("invalid_grant");
        }
        let id_token = self.id_token(&granted, now).ok_or("server_error")?;
        let access_token = token().ok_or("server_error")?;
        Ok(json!({
            "id_token": id_token, "access_token": access_token,
            "token_type": "Bearer", "expires_in": TOKEN_SECS,
        }))
    }

    fn id_token(&self, granted: &Granted, now: i64) -> Option<String> {
        let person = granted.person;
        let head = json!({"alg": "ES256", "typ": "JWT", "kid": KID});
        // No `amr`: nothing was proved here, and a company that asks for a factor asks for it.
        let claims = json!({
            "iss": self.issuer, "sub": person.id, "aud": CLIENT.0, "nonce": granted.nonce,
            "iat": now, "exp": now + TOKEN_SECS, "auth_time": granted.at,
            "name": person.name, "email": person.email, "email_verified": true,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&head), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes());
        Some(format!(
            "{message}.{}",
            URL_SAFE_NO_PAD.encode(signature.ok()?)
        ))
    }
}

/// By the header alone, as discovery says (RFC 6749, 2.3.1).
fn is_client(headers: &HeaderMap) -> bool {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
        .and_then(|text| STANDARD.decode(text).ok());
    given.is_some_and(|given| given == format!("{}:{}", CLIENT.0, CLIENT.1).into_bytes())
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
