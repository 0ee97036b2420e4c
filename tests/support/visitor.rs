//! A browser without a window: cookies by host, redirects followed as told, the headers that a
//! browser sends of itself. Hosts under `.test` are the gateway's.

#![allow(dead_code)] // every test program uses another part of this

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Client, ClientBuilder, Method, StatusCode};
use url::Url;
use vestibule::gate::time::Moment;

use super::gateway::{Gateway, password};

/// One person's browser. A clone is another tab: it starts with the cookies of that moment.
#[derive(Clone)]
pub struct Visitor {
    client: Client,
    cookies: HashMap<String, BTreeMap<String, String>>,
    port: u16,
}

/// What came back, body read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn location(&self) -> &str {
        self.headers
            .get(LOCATION)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// Where the link with these words leads.
    pub fn link(&self, words: &str) -> String {
        let end = self.body.find(&format!(">{words}</a>")).expect(words);
        let tag = self.body[..end].rsplit("<a ").next().unwrap();
        let href = tag.split("href=\"").nth(1).unwrap();
        let href = href.split('"').next().unwrap();
        href.replace("&#38;", "&").replace("&amp;", "&")
    }

    /// The value of a form's field.
    pub fn field(&self, name: &str) -> Option<String> {
        let at = self.body.find(&format!("name=\"{name}\""))?;
        let tag = &self.body[self.body[..at].rfind('<')?..];
        let tag = &tag[..tag.find('>')?];
        let value = tag.split("value=\"").nth(1)?;
        Some(
            value
                .split('"')
                .next()?
                .replace("&#38;", "&")
                .replace("&amp;", "&"),
        )
    }
}

const HOSTS: [&str; 5] = [
    "login.test",
    "emr.test",
    "billing.test",
    "analytics.test",
    "notes.test",
];

/// A client that finds the gateway under every host and believes its certificate.
pub fn client(gateway: SocketAddr) -> Client {
    builder(gateway).build().unwrap()
}

fn builder(gateway: SocketAddr) -> ClientBuilder {
    let mut builder = Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .redirect(reqwest::redirect::Policy::none());
    for host in HOSTS {
        builder = builder.resolve(host, gateway);
    }
    builder
}

/// The code that an authenticator shows for a key as it is typed.
pub fn code(key: &str, now: Moment) -> String {
    let key = totp_rs::Secret::try_from_base32(key.replace(' ', "")).unwrap();
    let totp = totp_rs::Builder::new()
        .with_algorithm(totp_rs::Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(30)
        .with_secret(key)
        .build()
        .unwrap();
    totp.generate(u64::try_from(now.secs()).unwrap())
        .to_string()
}

impl Visitor {
    pub fn new(gateway: &Gateway) -> Visitor {
        Visitor {
            client: client(gateway.address),
            cookies: HashMap::new(),
            port: gateway.address.port(),
        }
    }

    /// The same browser at another node of the same site.
    pub fn at(&self, gateway: &Gateway) -> Visitor {
        Visitor {
            client: client(gateway.address),
            port: gateway.address.port(),
            ..self.clone()
        }
    }

    /// Somebody whose connections come from another address of this machine.
    pub fn from(gateway: &Gateway, address: &str) -> Visitor {
        let address = address.parse().unwrap();
        Visitor {
            client: builder(gateway.address)
                .local_address(Some(address))
                .build()
                .unwrap(),
            ..Visitor::new(gateway)
        }
    }

    /// The same site through a proxy of somebody else's, on another address and the same port.
    pub fn through(proxy: SocketAddr) -> Visitor {
        Visitor {
            client: client(proxy),
            cookies: HashMap::new(),
            port: proxy.port(),
        }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn cookie(&self, host: &str) -> Option<&str> {
        self.cookies
            .get(host)?
            .get("__Host-vestibule")
            .map(String::as_str)
    }

    pub fn set_cookie(&mut self, host: &str, value: &str) {
        let jar = self.cookies.entry(host.to_owned()).or_default();
        jar.insert(String::from("__Host-vestibule"), value.to_owned());
    }

    /// Loses all cookies of a host.
    pub fn forget(&mut self, host: &str) {
        self.cookies.remove(host);
    }

    /// Takes over the cookies that another tab got.
    pub fn share(&mut self, other: &Visitor) {
        for (host, jar) in &other.cookies {
            self.cookies
                .entry(host.clone())
                .or_default()
                .extend(jar.clone());
        }
    }

    /// Has what the same browser has at another node, and nothing else.
    pub fn adopt_cookies(&mut self, other: &Visitor) {
        self.cookies.clone_from(&other.cookies);
    }

    pub fn url(&self, host: &str, path: &str) -> Url {
        format!("https://{host}.test:{}{path}", self.port)
            .parse()
            .unwrap()
    }

    /// One request, no redirect followed. `extra` headers come last.
    pub async fn send(
        &mut self,
        method: Method,
        url: Url,
        extra: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        self.try_send(method, url, extra, body).await.unwrap()
    }

    async fn try_send(
        &mut self,
        method: Method,
        url: Url,
        extra: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Answer, reqwest::Error> {
        let host = url.host_str().unwrap().to_owned();
        let mut request = self.client.request(method.clone(), url.clone());
        if let Some(jar) = self.cookies.get(&host) {
            let line: Vec<String> = jar
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            if !line.is_empty() {
                request = request.header(COOKIE, line.join("; "));
            }
        }
        for (name, value) in extra {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        for cookie in headers.get_all(SET_COOKIE) {
            self.keep(&host, cookie.to_str().unwrap());
        }
        Ok(Answer {
            status,
            url,
            headers,
            body: answer.text().await.unwrap_or_default(),
        })
    }

    fn keep(&mut self, host: &str, line: &str) {
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let (name, value) = pair.split_once('=').unwrap();
        if name.starts_with("__Host-") {
            for attribute in ["Secure", "HttpOnly", "Path=/", "SameSite=Lax"] {
                assert!(
                    attributes.contains(attribute),
                    "{name} lacks {attribute}: {line}"
                );
            }
            assert!(!attributes.contains("Domain"), "{line}");
        }
        let jar = self.cookies.entry(host.to_owned()).or_default();
        if attributes.contains("Max-Age=0") {
            jar.remove(name);
        } else {
            jar.insert(name.to_owned(), value.to_owned());
        }
    }

    pub const NAVIGATION: [(&'static str, &'static str); 4] = [
        ("accept", "text/html,application/xhtml+xml"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-site", "same-origin"),
    ];

    /// Goes to a page, following redirects.
    pub async fn open(&mut self, url: Url) -> Answer {
        let mut answer = self
            .send(Method::GET, url, &Visitor::NAVIGATION, None)
            .await;
        for _ in 0..12 {
            if !answer.status.is_redirection() {
                return answer;
            }
            let next = answer.url.join(answer.location()).unwrap();
            answer = self
                .send(Method::GET, next, &Visitor::NAVIGATION, None)
                .await;
        }
        panic!("too many redirects, at {}", answer.url);
    }

    /// Goes to a page, and no further.
    pub async fn look(&mut self, url: Url) -> Answer {
        self.send(Method::GET, url, &Visitor::NAVIGATION, None)
            .await
    }

    pub const SCRIPT: [(&'static str, &'static str); 3] = [
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-site", "same-origin"),
    ];

    /// Asks as a script does.
    pub async fn fetch(&mut self, method: Method, url: Url) -> Answer {
        self.send(method, url, &Visitor::SCRIPT, None).await
    }

    /// Submits the form of `page` with its hidden fields, and follows.
    pub async fn submit(&mut self, page: &Answer, fields: &[(&str, &str)]) -> Answer {
        let answer = self.submit_only(page, fields).await;
        if answer.status.is_redirection() {
            let next = answer.url.join(answer.location()).unwrap();
            return self.open(next).await;
        }
        answer
    }

    pub async fn submit_only(&mut self, page: &Answer, fields: &[(&str, &str)]) -> Answer {
        let mut pairs: Vec<(&str, String)> = fields
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        for name in [
            "rd", "bind", "reason", "need", "within", "again", "key", "step", "token", "csrf",
            "was",
        ] {
            if let Some(value) = page.field(name)
                && !fields.iter().any(|(given, _)| *given == name)
            {
                pairs.push((name, value));
            }
        }
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&pairs)
            .finish();
        let origin = page.url.origin().ascii_serialization();
        let mut headers = Visitor::NAVIGATION.to_vec();
        headers.push(("origin", &origin));
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        let mut action = page.url.clone();
        action.set_query(None);
        self.send(Method::POST, action, &headers, Some(body)).await
    }

    /// Opens `url` and signs in on the way.
    pub async fn sign_in(&mut self, login: &str, url: Url) -> Answer {
        let page = self.open(url).await;
        assert!(
            page.url.path() == "/login",
            "no sign-in asked for at {}",
            page.url
        );
        self.submit(
            &page,
            &[("username", login), ("password", &password(login))],
        )
        .await
    }

    /// What a script's GET is answered with: 200 with a session that is worth something. 0: cut,
    /// since the session ended while it was asked.
    pub async fn worth(&mut self, product: &str) -> u16 {
        let url = self.url(product, "/worth");
        let answer = self
            .try_send(Method::GET, url, &Visitor::SCRIPT, None)
            .await;
        answer.map_or(0, |answer| answer.status.as_u16())
    }

    /// Enrols on the page shown, with the key under 'Trouble Scanning?'; the key and where it led.
    pub async fn enrol(&mut self, page: &Answer, now: Moment) -> (String, Answer) {
        assert_eq!(page.url.path(), "/login/enroll", "{}", page.body);
        let typed = page.url.join(&page.link("Trouble Scanning?")).unwrap();
        let page = self.look(typed).await;
        let (_, rest) = page.body.split_once("<code>").expect("the key");
        let key = rest.split('<').next().unwrap().to_owned();
        let answer = self.submit(&page, &[("code", &code(&key, now))]).await;
        (key, answer)
    }
}
