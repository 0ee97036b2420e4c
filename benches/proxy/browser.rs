//! One browser that signs in: password, then the authenticator's code, over a connection of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::header::{COOKIE, ORIGIN, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use vestibule::gate::cookies::SESSION_COOKIE;

use super::PORTAL;
use super::visits::{PASSWORD, code_now, login};

/// The longest that one step takes.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long it took, from the first byte sent to the session's cookie.
pub async fn sign_in(gateway: SocketAddr, number: usize) -> Result<Duration, String> {
    let client = Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .redirect(reqwest::redirect::Policy::none())
        .resolve(PORTAL, gateway)
        .timeout(PATIENCE)
        .build()
        .map_err(|error| error.to_string())?;
    let mut browser = Browser {
        client,
        port: gateway.port(),
        cookies: BTreeMap::new(),
    };
    let begun = Instant::now();
    let page = browser.open("/login").await?;
    let (csrf, login) = (field(&page, "csrf")?, login(number));
    let asked = [
        ("username", login.as_str()),
        ("password", PASSWORD),
        ("csrf", &csrf),
    ];
    browser.submit("/login", &asked).await?;
    let page = browser.open("/login/factor").await?;
    let (csrf, code) = (field(&page, "csrf")?, code_now()?);
    let asked = [("method", "totp"), ("code", code.as_str()), ("csrf", &csrf)];
    browser.submit("/login/factor", &asked).await?;
    if !browser.cookies.contains_key(SESSION_COOKIE) {
        return Err(String::from("no session at the end"));
    }
    Ok(begun.elapsed())
}

struct Browser {
    client: Client,
    port: u16,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn url(&self, path: &str) -> String {
        format!("https://{PORTAL}:{}{path}", self.port)
    }

    async fn send(&mut self, request: RequestBuilder) -> Result<Response, String> {
        let mut request = request
            .header("accept", "text/html")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", "same-origin");
        for (name, value) in &self.cookies {
            request = request.header(COOKIE, format!("{name}={value}"));
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().ok().and_then(|line| line.split(';').next());
            if let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }

    async fn open(&mut self, path: &str) -> Result<String, String> {
        let request = self.client.get(self.url(path));
        let answer = self.send(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{path}: {}", answer.status()));
        }
        answer.text().await.map_err(|error| error.to_string())
    }

    async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<(), String> {
        let request = self
            .client
            .post(self.url(path))
            .header(ORIGIN, format!("https://{PORTAL}"))
            .form(fields);
        let answer = self.send(request).await?;
        if answer.status() != StatusCode::SEE_OTHER {
            return Err(format!("{path} was answered with {}", answer.status()));
        }
        Ok(())
    }
}

/// A hidden field of the form.
fn field(page: &str, name: &str) -> Result<String, String> {
    let missing = || format!("no field {name:?}");
    let (_, rest) = page
        .split_once(&format!("name=\"{name}\" value=\""))
        .ok_or_else(missing)?;
    Ok(rest.split('"').next().ok_or_else(missing)?.to_owned())
}
