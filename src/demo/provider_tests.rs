//! The provider as a client meets it that makes mistakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::redirect;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use url::Url;

use super::{CLIENT, CODE_SECS, Client, serve};

const BACK: &str = "https://login.test/login/with/acme-id/back";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";

struct Running {
    base: String,
    client: reqwest::Client,
    clock: Arc<AtomicI64>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    async fn start() -> Running {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let clock = Arc::new(AtomicI64::new(1_795_000_000));
        let told = Arc::clone(&clock);
        let client = Client {
            redirect_uri: BACK.to_owned(),
        };
        let seconds = Arc::new(move || told.load(Ordering::SeqCst));
        let task = tokio::spawn(serve(listener, base.clone(), client, seconds));
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Running {
            base,
            client,
            clock,
            task: task.abort_handle(),
        }
    }

    /// Status, and where it leads.
    async fn choose(&self, changed: (&str, &str)) -> (u16, Option<Url>) {
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
        let form: Vec<(&str, &str)> = [
            ("response_type", "code"),
            ("client_id", CLIENT.0),
            ("redirect_uri", BACK),
            ("state", "of ours"),
            ("nonce", "once"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("person", "kim"),
        ]
        .map(|(key, value)| {
            if key == changed.0 {
                changed
            } else {
                (key, value)
            }
        })
        .to_vec();
        let sent = self.client.post(format!("{}/authorize", self.base));
        let answer = sent.form(&form).send().await.unwrap();
        let location = answer.headers().get("location");
        let location = location.map(|value| Url::parse(value.to_str().unwrap()).unwrap());
        (answer.status().as_u16(), location)
    }

    async fn code(&self) -> String {
        let (status, back) = self.choose(("", "")).await;
        assert_eq!(status, 303);
        let back = back.unwrap();
        assert!(back.as_str().starts_with(BACK), "{back}");
        let value = |key: &str| {
            let mut pairs = back.query_pairs();
            pairs.find(|(name, _)| name == key).unwrap().1.into_owned()
        };
        assert_eq!(
            (value("state"), value("iss")),
            ("of ours".to_owned(), self.base.clone())
        );
        value("code")
    }

    async fn exchange(&self, secret: &str, code: &str, verifier: &str) -> (u16, Value) {
        let sent = self.client.post(format!("{}/token", self.base));
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", BACK),
            ("code_verifier", verifier),
        ];
        let sent = sent.basic_auth(CLIENT.0, Some(secret)).form(&form);
        let answer = sent.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

#[tokio::test]
async fn a_code_is_worth_one_token_for_who_began() {
    let provider = Running::start().await;
    let code = provider.code().await;
    let (status, told) = provider.exchange(CLIENT.1, &code, VERIFIER).await;
    assert_eq!(status, 200, "{told}");
    let token = told["id_token"].as_str().unwrap();
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap());
    let claims: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
    assert_eq!(
        (claims["sub"].as_str(), claims["nonce"].as_str()),
        (Some("kim"), Some("once"))
    );
    assert_eq!(claims["amr"], Value::Null, "nothing was proved");

    let again = provider.exchange(CLIENT.1, &code, VERIFIER).await;
    assert_eq!(
        (again.0, again.1["error"].as_str()),
        (400, Some("invalid_grant"))
    );
    let other = provider
        .exchange(CLIENT.1, &provider.code().await, "another")
        .await;
    assert_eq!(
        (other.0, other.1["error"].as_str()),
        (400, Some("invalid_grant"))
    );
    let code = provider.code().await;
    let stranger = provider.exchange("guessed", &code, VERIFIER).await;
    assert_eq!(
        (stranger.0, stranger.1["error"].as_str()),
        (401, Some("invalid_client"))
    );
    provider.clock.fetch_add(CODE_SECS + 1, Ordering::SeqCst);
    let late = provider.exchange(CLIENT.1, &code, VERIFIER).await;
    assert_eq!(
        (late.0, late.1["error"].as_str()),
        (400, Some("invalid_grant"))
    );
}

#[tokio::test]
async fn nobody_is_sent_anywhere_but_back() {
    let provider = Running::start().await;
    for changed in [
        ("redirect_uri", "https://elsewhere.test/"),
        ("client_id", "another"),
        ("code_challenge_method", "plain"),
        ("response_type", "token"),
    ] {
        assert_eq!(provider.choose(changed).await, (400, None), "{changed:?}");
    }
}
