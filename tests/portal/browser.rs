//! A browser with a cookie jar, and what the proxy does between it and the routers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{HeaderMap, Method, Request};
use tower::ServiceExt as _;

use vestibule::gate::cookies::presented;
use vestibule::gate::decide::{Decision, decide};
use vestibule::gate::facts::{Asks, Facts, Presented, Site};
use vestibule::gate::handover::Handover;
use vestibule::gate::session::{Known, Secret, Token};
use vestibule::gate::target::Target;
use vestibule::pages::RequestId;

use crate::clinic::{Clinic, PASSWORD, PORTAL, origin_of};

/// One answer.
pub struct Page {
    pub url: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    pub fn set_cookies(&self) -> Vec<&str> {
        self.headers
            .get_all("set-cookie")
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }

    pub fn hidden(&self) -> Vec<(String, String)> {
        self.body
            .split("<input type=\"hidden\" ")
            .skip(1)
            .map(|tag| (attribute(tag, "name"), attribute(tag, "value")))
            .collect()
    }

    pub fn action(&self) -> String {
        let (_, form) = self.body.split_once("<form ").expect("a form");
        attribute(form, "action")
    }

    /// The first attribute of this name.
    pub fn attribute(&self, name: &str) -> String {
        attribute(&self.body, name)
    }

    /// The address of the link with this text.
    pub fn link(&self, text: &str) -> String {
        let before = self.body.split(&format!(">{text}</a>")).next().unwrap();
        assert_ne!(
            before.len(),
            self.body.len(),
            "no link {text:?} in {}",
            self.body
        );
        attribute(before.rsplit("<a ").next().unwrap(), "href")
    }

    /// The text without what differs each time.
    pub fn plain(&self) -> String {
        let mut text = self.body.clone();
        for (_, value) in self.hidden() {
            text = text.replace(&value, "");
        }
        text
    }
}

fn attribute(tag: &str, name: &str) -> String {
    let (_, rest) = tag
        .split_once(&format!("{name}=\""))
        .unwrap_or_else(|| panic!("no {name} in {tag}"));
    let value = rest.split('"').next().unwrap();
    value
        .replace("&#38;", "&")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
}

pub struct Browser<'a> {
    pub clinic: &'a Clinic,
    jar: Mutex<HashMap<(String, String), String>>,
    pub address: IpAddr,
    pub keeps_cookies: bool,
    pub store_is_away: bool,
    /// `Accept-Language`.
    pub language: Option<&'static str>,
}

pub struct Sent<'a> {
    pub method: Method,
    pub url: &'a str,
    pub form: Option<String>,
    pub headers: Vec<(&'static str, String)>,
    pub asks: Asks,
}

impl<'a> Browser<'a> {
    pub fn new(clinic: &'a Clinic, address: IpAddr) -> Browser<'a> {
        Browser {
            clinic,
            jar: Mutex::default(),
            address,
            keeps_cookies: true,
            store_is_away: false,
            language: None,
        }
    }

    pub fn cookie(&self, origin: &str, name: &str) -> Option<String> {
        self.jar
            .lock()
            .unwrap()
            .get(&(origin.to_owned(), name.to_owned()))
            .cloned()
    }

    pub fn set_cookie(&self, origin: &str, name: &str, value: &str) {
        self.jar
            .lock()
            .unwrap()
            .insert((origin.to_owned(), name.to_owned()), value.to_owned());
    }

    pub async fn get(&self, url: &str) -> Page {
        self.send(Sent {
            method: Method::GET,
            url,
            form: None,
            headers: Vec::new(),
            asks: Asks::Navigation,
        })
        .await
    }

    pub async fn fetch(&self, method: Method, url: &str) -> Page {
        let headers = vec![
            ("sec-fetch-site", String::from("same-origin")),
            ("origin", origin_of(url).to_owned()),
        ];
        self.send(Sent {
            method,
            url,
            form: None,
            headers,
            asks: Asks::Program,
        })
        .await
    }

    /// A form of our own page, as a browser posts it.
    pub async fn post(&self, url: &str, fields: &[(String, String)]) -> Page {
        let headers = vec![
            ("sec-fetch-site", String::from("same-origin")),
            ("origin", origin_of(url).to_owned()),
        ];
        self.post_from(url, fields, headers).await
    }

    pub async fn post_from(
        &self,
        url: &str,
        fields: &[(String, String)],
        headers: Vec<(&'static str, String)>,
    ) -> Page {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.send(Sent {
            method: Method::POST,
            url,
            form: Some(form),
            headers,
            asks: Asks::Navigation,
        })
        .await
    }

    /// Fills the page's form and posts it, without following.
    pub async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let mut all = page.hidden();
        // A field that the page's script fills is the page's own, not a second one.
        all.retain(|(name, _)| !fields.iter().any(|(filled, _)| filled == name));
        all.extend(
            fields
                .iter()
                .map(|(name, value)| (String::from(*name), String::from(*value))),
        );
        self.post(&format!("{}{}", origin_of(&page.url), page.action()), &all)
            .await
    }

    /// Presses another button of the page than its first form's: posts these fields with its token.
    pub async fn press(&self, page: &Page, url: &str, fields: &[(&str, &str)]) -> Page {
        let csrf = page.hidden().into_iter().find(|(name, _)| name == "csrf");
        let mut all: Vec<(String, String)> = csrf.into_iter().collect();
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        all.extend(fields);
        self.post(url, &all).await
    }

    /// Posts these fields, as from a page of our own, without its token.
    pub async fn submit_to(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let fields: Vec<(String, String)> = fields.collect();
        self.post(&format!("{PORTAL}{path}"), &fields).await
    }

    pub async fn submit_login(&self, page: &Page, login: &str, password: &str) -> Page {
        self.submit(page, &[("username", login), ("password", password)])
            .await
    }

    /// Opens a page and follows where it leads.
    pub async fn open(&self, url: &str) -> Page {
        let page = self.get(url).await;
        self.follow(page).await
    }

    pub async fn follow(&self, mut page: Page) -> Page {
        for _ in 0..25 {
            if !(300..400).contains(&page.status) {
                return page;
            }
            let next = page.location().to_owned();
            let next = if next.starts_with('/') {
                format!("{}{next}", origin_of(&page.url))
            } else {
                next
            };
            page = self.get(&next).await;
        }
        panic!("redirects without end, last {}", page.url);
    }

    /// From a product's page through the sign-in form, and on.
    pub async fn log_in(&self, url: &str, login: &str) -> Page {
        let form = self.open(url).await;
        let answer = self.submit_login(&form, login, PASSWORD).await;
        self.follow(answer).await
    }

    pub async fn send(&self, sent: Sent<'_>) -> Page {
        let origin = origin_of(sent.url).to_owned();
        let path = match &sent.url[origin.len()..] {
            "" => "/",
            path => path,
        };
        let cookies = self.cookies_for(&origin);
        let site = self.site(&origin);
        let facts = Arc::new(Facts {
            site: site.clone(),
            method: sent.method.clone(),
            target: Target::parse(path.as_bytes()).unwrap(),
            address: self.address,
            asks: sent.asks,
            background: false,
            foreign_origin: false,
            cookie: presented(std::iter::once(cookies.as_bytes())),
        });
        let policies = self.clinic.policies.load_full();
        let now = self.clinic.now();
        let known = if self.store_is_away {
            Known::Unavailable
        } else {
            self.clinic
                .sessions
                .look_up(&facts.cookie, &site, &policies, now)
                .await
                .known
        };
        let decision = decide(&facts, &known, &policies, now);
        let router = match decision {
            Decision::Portal(_) => &self.clinic.portal,
            Decision::Own(_) => &self.clinic.own,
            other => return self.at_product(sent.url, &facts, other).await,
        };
        let mut request = Request::builder()
            .method(sent.method)
            .uri(path)
            .header("cookie", cookies);
        for (name, value) in sent.headers {
            request = request.header(name, value);
        }
        if let Some(language) = self.language {
            request = request.header("accept-language", language);
        }
        if sent.form.is_some() {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        let mut request = request
            .body(Body::from(sent.form.unwrap_or_default()))
            .unwrap();
        request.extensions_mut().insert(Arc::clone(&facts));
        request.extensions_mut().insert(known);
        request
            .extensions_mut()
            .insert(RequestId(String::from("request-1")));
        let response = router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let page = Page {
            url: sent.url.to_owned(),
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        self.keep_cookies(&origin, &page);
        page
    }

    fn site(&self, origin: &str) -> Site {
        match self
            .clinic
            .products
            .iter()
            .find(|product| product.origin == origin)
        {
            Some(product) => Site::Product(Arc::clone(product)),
            None => Site::Portal,
        }
    }

    /// What the proxy does there.
    async fn at_product(&self, url: &str, facts: &Facts, decision: Decision) -> Page {
        let page = |status, location: Option<String>, body: String| {
            let mut headers = HeaderMap::new();
            if let Some(location) = location {
                headers.insert("location", location.parse().unwrap());
            }
            Page {
                url: url.to_owned(),
                status,
                headers,
                body,
            }
        };
        match decision {
            Decision::Forward(permit) => {
                let session = permit.session().unwrap();
                if permit.counts_as_activity() {
                    self.clinic
                        .sessions
                        .stamp(session, permit.product(), self.clinic.now())
                        .await;
                }
                let login = &session.entries.get(&permit.product().id).unwrap().login;
                let amr = session.amr().join(",");
                page(
                    200,
                    None,
                    format!(
                        "{} for {login} by {amr} in {}",
                        permit.product().name,
                        session.company_in(&permit.product().id)
                    ),
                )
            }
            Decision::SignIn(sign_in) => {
                let bind = match &facts.cookie {
                    Presented::Token(Token::Visitor(secret) | Token::Session { secret, .. }) => {
                        secret.hash()
                    }
                    Presented::Nothing | Presented::Malformed => {
                        let mut bytes = [0; 32];
                        aws_lc_rs::rand::fill(&mut bytes).unwrap();
                        let secret = Secret::from_bytes(bytes);
                        let bind = secret.hash();
                        if self.keeps_cookies {
                            let token = Token::Visitor(secret);
                            self.set_cookie(origin_of(url), "__Host-vestibule", &token.expose());
                        }
                        bind
                    }
                };
                let bind = bind.to_text();
                let handover = Handover {
                    wanted: url,
                    bind: Some(&bind),
                    reason: Some(sign_in.reason),
                    within: sign_in.within,
                };
                let location = handover.login_url(PORTAL);
                page(302, Some(location), String::new())
            }
            Decision::Deny(denial) => page(403, None, denial.reason.as_str().to_owned()),
            Decision::Unavailable(_) => page(503, None, String::new()),
            Decision::Portal(_) | Decision::Own(_) => unreachable!(),
        }
    }

    fn cookies_for(&self, origin: &str) -> String {
        let jar = self.jar.lock().unwrap();
        let mine: Vec<String> = jar
            .iter()
            .filter(|((of, _), _)| of == origin)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        mine.join("; ")
    }

    fn keep_cookies(&self, origin: &str, page: &Page) {
        if !self.keeps_cookies {
            return;
        }
        let mut jar = self.jar.lock().unwrap();
        for cookie in page.set_cookies() {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            let key = (origin.to_owned(), name.to_owned());
            if cookie.contains("Max-Age=0") {
                jar.remove(&key);
            } else {
                jar.insert(key, value.to_owned());
            }
        }
    }
}
