//! An OpenID Connect provider of the tests' own, which misbehaves on demand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use vestibule::config::providers::ProviderSettings;
use vestibule::config::settings::SecretText;
use vestibule::gate::name::CompanyId;

pub const SECRET: &str = "s3cret & more";

/// What it does wrong, or says otherwise than it should.
#[derive(Clone, Default)]
pub struct Manner {
    /// Put over the id token's claims; null takes one out.
    pub claims: Value,
    /// Put over the discovery document.
    pub discovery: Value,
    /// The header's `alg` when it is not ES256.
    pub alg: Option<&'static str>,
    /// The name of the signing key; each has a key of its own.
    pub kid: String,
    /// The keys that are published, by name.
    pub published: Vec<String>,
    pub userinfo: Option<Value>,
    pub silent_at: Option<&'static str>,
    pub huge_at: Option<&'static str>,
    pub status_at: Option<(&'static str, u16)>,
}

struct Asked {
    nonce: String,
    challenge: String,
    redirect_uri: String,
}

struct Inner {
    issuer: String,
    manner: Mutex<Manner>,
    keys: Mutex<HashMap<String, Arc<EcdsaKeyPair>>>,
    codes: Mutex<HashMap<String, Asked>>,
    calls: Mutex<Vec<String>>,
    now: Box<dyn Fn() -> i64 + Send + Sync>,
}

/// Listens until it is dropped.
pub struct TestProvider {
    inner: Arc<Inner>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for TestProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl TestProvider {
    /// `now` in seconds: the clock that the tests set.
    pub async fn start(now: impl Fn() -> i64 + Send + Sync + 'static) -> TestProvider {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Arc::new(Inner {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            manner: Mutex::new(Manner {
                kid: String::from("k1"),
                published: vec![String::from("k1")],
                ..Manner::default()
            }),
            keys: Mutex::default(),
            codes: Mutex::default(),
            calls: Mutex::default(),
            now: Box::new(now),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .with_state(Arc::clone(&inner));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        TestProvider { inner, server }
    }

    pub fn settings(&self, company: &str) -> ProviderSettings {
        ProviderSettings {
            name: format!("{company}-id"),
            company: CompanyId::parse(company).unwrap(),
            issuer: self.inner.issuer.clone(),
            client_id: String::from("vestibule"),
            client_secret: Some(SecretText::new(SECRET.to_owned())),
            label: String::from("Acme"),
            scopes: vec![String::from("openid"), String::from("email")],
            link_by_email: true,
            believe_factor: true,
            button: true,
            only: false,
            domains: vec![format!("{company}.test")],
            max_age: None,
            deadline: std::time::Duration::from_secs(10),
            ca: None,
        }
    }

    pub fn issuer(&self) -> &str {
        &self.inner.issuer
    }

    pub fn behave(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.inner.manner.lock().unwrap());
    }

    /// How often an address was asked for.
    pub fn calls(&self, path: &str) -> usize {
        let calls = self.inner.calls.lock().unwrap();
        calls.iter().filter(|call| call.starts_with(path)).count()
    }

    pub fn last_call(&self, path: &str) -> String {
        let calls = self.inner.calls.lock().unwrap();
        let mut fitting = calls.iter().filter(|call| call.starts_with(path));
        fitting.next_back().unwrap().clone()
    }

    /// The person went there and came back: where their browser is sent.
    pub fn answer_to(&self, location: &str) -> String {
        let url = url::Url::parse(location).unwrap();
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["client_id"], "vestibule");
        let code = format!("code-{}", self.inner.codes.lock().unwrap().len());
        let kept = Asked {
            nonce: asked["nonce"].clone(),
            challenge: asked["code_challenge"].clone(),
            redirect_uri: asked["redirect_uri"].clone(),
        };
        self.inner.codes.lock().unwrap().insert(code.clone(), kept);
        let back = url::Url::parse_with_params(
            &asked["redirect_uri"],
            [("code", code.as_str()), ("state", &asked["state"])],
        );
        back.unwrap().to_string()
    }

    /// A token that this provider signed, about whatever is given.
    pub fn sign(&self, claims: &Value) -> String {
        self.inner.sign(claims)
    }
}

impl Inner {
    fn heard(&self, call: String) -> Manner {
        self.calls.lock().unwrap().push(call);
        self.manner.lock().unwrap().clone()
    }

    fn key(&self, kid: &str) -> Arc<EcdsaKeyPair> {
        let mut keys = self.keys.lock().unwrap();
        let made = || Arc::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
        Arc::clone(keys.entry(kid.to_owned()).or_insert_with(made))
    }

    fn sign(&self, claims: &Value) -> String {
        let manner = self.manner.lock().unwrap().clone();
        let alg = manner.alg.unwrap_or("ES256");
        let head = json!({"alg": alg, "kid": manner.kid, "typ": "JWT"}).to_string();
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", encode(&head), encode(&claims.to_string()));
        let key = self.key(&manner.kid);
        let signature = match alg {
            "none" => String::new(),
            // The public key, which everybody has, as the shared secret.
            "HS256" => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, key.public_key().as_ref());
                URL_SAFE_NO_PAD.encode(hmac::sign(&secret, message.as_bytes()))
            }
            _ => {
                let signed = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
                URL_SAFE_NO_PAD.encode(signed)
            }
        };
        format!("{message}.{signature}")
    }
}

fn put_over(under: &mut Value, over: &Value) {
    if let Some(over) = over.as_object() {
        for (key, value) in over {
            if value.is_null() {
                under.as_object_mut().unwrap().remove(key);
            } else {
                under[key] = value.clone();
            }
        }
    }
}

/// What is wrong with an answer at this place, before its content.
async fn spoilt(manner: &Manner, place: &'static str) -> Option<Response> {
    if manner.silent_at == Some(place) {
        std::future::pending::<()>().await;
    }
    if manner.huge_at == Some(place) {
        return Some("x".repeat(1 << 20).into_response());
    }
    match manner.status_at {
        Some((at, status)) if at == place => {
            let status = http::StatusCode::from_u16(status).unwrap();
            Some((status, Json(json!({"error": "invalid_grant"}))).into_response())
        }
        _ => None,
    }
}

async fn discovery(State(inner): State<Arc<Inner>>) -> Response {
    let manner = inner.heard(String::from("discovery"));
    if let Some(spoilt) = spoilt(&manner, "discovery").await {
        return spoilt;
    }
    let issuer = &inner.issuer;
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize?tenant=1"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "end_session_endpoint": format!("{issuer}/end"),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
    });
    put_over(&mut document, &manner.discovery);
    Json(document).into_response()
}

async fn keys(State(inner): State<Arc<Inner>>) -> Response {
    let manner = inner.heard(String::from("keys"));
    if let Some(spoilt) = spoilt(&manner, "keys").await {
        return spoilt;
    }
    let keys: Vec<Value> = manner
        .published
        .iter()
        .map(|kid| {
            let key = inner.key(kid);
            let point = key.public_key().as_ref();
            json!({
                "kty": "EC", "crv": "P-256", "use": "sig", "kid": kid,
                "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
                "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
            })
        })
        .collect();
    // One that nobody can read spoils nothing.
    let all = [keys, vec![json!({"kty": "moon"})]].concat();
    Json(json!({ "keys": all })).into_response()
}

async fn token(
    State(inner): State<Arc<Inner>>,
    headers: http::HeaderMap,
    form: axum::body::Bytes,
) -> Response {
    let text = String::from_utf8(form.to_vec()).unwrap();
    let authorization = headers
        .get("authorization")
        .map_or("", |v| v.to_str().unwrap());
    let manner = inner.heard(format!("token {authorization} {text}"));
    if let Some(spoilt) = spoilt(&manner, "token").await {
        return spoilt;
    }
    let fields: HashMap<String, String> = url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect();
    let refused = || {
        let body = Json(json!({"error": "invalid_grant"}));
        (http::StatusCode::BAD_REQUEST, body).into_response()
    };
    let Some(asked) = inner.codes.lock().unwrap().remove(&fields["code"]) else {
        return refused();
    };
    let proof = URL_SAFE_NO_PAD.encode(digest(&SHA256, fields["code_verifier"].as_bytes()));
    if proof != asked.challenge || fields["redirect_uri"] != asked.redirect_uri {
        return refused();
    }
    let now = (inner.now)();
    let mut claims = json!({
        "iss": inner.issuer, "sub": "subject-1", "aud": "vestibule", "nonce": asked.nonce,
        "iat": now, "exp": now + 300, "auth_time": now, "amr": ["pwd"],
    });
    put_over(&mut claims, &manner.claims);
    let body = json!({
        "token_type": "Bearer", "access_token": "at", "expires_in": 300,
        "id_token": inner.sign(&claims),
    });
    Json(body).into_response()
}

async fn userinfo(State(inner): State<Arc<Inner>>) -> Response {
    let manner = inner.heard(String::from("userinfo"));
    match manner.userinfo {
        Some(info) => Json(info).into_response(),
        None => http::StatusCode::FORBIDDEN.into_response(),
    }
}
