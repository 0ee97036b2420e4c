//! A legacy application of the test's own: a sign-in page with a hidden field, users whose passwords
//! can be changed, sessions that can be forgotten, and a count of everything that was tried.

#![allow(dead_code)] // every test program uses another part of this

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use tokio::net::TcpListener;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::task::JoinHandle;

#[derive(Default)]
struct Inner {
    users: HashMap<String, String>,
    sessions: HashMap<String, String>,
    forms: HashSet<String>,
    /// User and whether the password was right.
    tries: Vec<(String, bool)>,
    asked: Vec<Asked>,
    number: u64,
    /// One session for each user: a new one ends the one before.
    jealous: bool,
    /// Answers sign-ins with 500.
    broken: bool,
    /// Whoever is signed in sees nothing but the page for a new password.
    expired: HashSet<String>,
    /// Whose right password is answered with the form again, and that it is too old.
    too_old: HashSet<String>,
    /// Wrong passwords are answered with 403 and no form.
    curt: bool,
    /// The sign-in page and what it takes are in ISO 8859-1.
    old_fashioned: bool,
    /// Sign-ins wait for this door, and are counted before it.
    door: Arc<RwLock<()>>,
    knocked: usize,
}

/// A request that somebody signed in made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub user: String,
    pub method: String,
    pub path: String,
    pub cookies: String,
    pub body: String,
    pub bytes: Vec<u8>,
}

pub struct Application {
    pub url: String,
    inner: Arc<Mutex<Inner>>,
    task: JoinHandle<()>,
}

type Shared = State<Arc<Mutex<Inner>>>;

impl Application {
    pub async fn start(users: &[(&str, &str)]) -> Application {
        let inner: Arc<Mutex<Inner>> = Arc::default();
        for (user, password) in users {
            let users = &mut inner.lock().unwrap().users;
            users.insert((*user).to_owned(), (*password).to_owned());
        }
        let app = Router::new()
            .route("/login", get(page).post(sign_in))
            .route("/open", get(|| async { Html("open to all") }))
            .route("/logout", get(sign_out))
            .route("/leave", post(sign_out))
            .route("/basic", any(basic))
            .route("/basic/closed", any(closed))
            .fallback(any(inside))
            .with_state(Arc::clone(&inner));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Application { url, inner, task }
    }

    pub fn change_password(&self, user: &str, password: &str) {
        let users = &mut self.inner.lock().unwrap().users;
        users.insert(user.to_owned(), password.to_owned());
    }

    /// The user must set a new password before anything else.
    pub fn expire(&self, user: &str) {
        self.inner.lock().unwrap().expired.insert(user.to_owned());
    }

    /// The user is not signed in before the password was changed elsewhere.
    pub fn outdate(&self, user: &str) {
        self.inner.lock().unwrap().too_old.insert(user.to_owned());
    }

    pub fn be_curt(&self) {
        self.inner.lock().unwrap().curt = true;
    }

    pub fn be_old_fashioned(&self) {
        self.inner.lock().unwrap().old_fashioned = true;
    }

    /// Everybody is signed out.
    pub fn forget(&self) {
        self.inner.lock().unwrap().sessions.clear();
    }

    pub fn break_down(&self, broken: bool) {
        self.inner.lock().unwrap().broken = broken;
    }

    pub fn be_jealous(&self) {
        self.inner.lock().unwrap().jealous = true;
    }

    /// No sign-in gets an answer until what this returns is dropped.
    pub async fn hold(&self) -> OwnedRwLockWriteGuard<()> {
        let door = Arc::clone(&self.inner.lock().unwrap().door);
        door.write_owned().await
    }

    /// Forms that came, answered or not.
    pub fn knocked(&self) -> usize {
        self.inner.lock().unwrap().knocked
    }

    pub fn tries(&self) -> Vec<(String, bool)> {
        self.inner.lock().unwrap().tries.clone()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.inner.lock().unwrap().asked.clone()
    }

    /// Names of the cookies that stand for somebody who is signed in.
    pub fn sessions(&self) -> Vec<String> {
        let inner = self.inner.lock().unwrap();
        inner.sessions.keys().cloned().collect()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inner {
    fn fresh(&mut self, what: &str) -> String {
        self.number += 1;
        format!("{what}{}", self.number)
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

fn form(token: &str) -> String {
    format!(
        "<!doctype html><title>Sign in</title><form action=/search><input name=q></form>\
         <form method=post action='/login?from=page'><input type=hidden name=csrf value=\"{token}\">\
         <input name=user><input type=password name=pass><button name=go value=in>In</button></form>"
    )
}

async fn page(State(inner): Shared) -> Response {
    let mut inner = inner.lock().unwrap();
    let token = inner.fresh("form-");
    inner.forms.insert(token.clone());
    let old_fashioned = inner.old_fashioned;
    let cookie = format!("FORM={token}; Path=/login; HttpOnly");
    let page = form(&token);
    if old_fashioned {
        // As such pages are: they say it themselves, and have letters that are no UTF-8.
        let words = "<meta charset=iso-8859-1><p>Z\u{fc}rich";
        let page: Vec<u8> = words.chars().chain(page.chars()).map(latin).collect();
        let kind = String::from("text/html");
        let headers = [(header::SET_COOKIE, cookie), (header::CONTENT_TYPE, kind)];
        return (headers, page).into_response();
    }
    ([(header::SET_COOKIE, cookie)], Html(page)).into_response()
}

fn latin(letter: char) -> u8 {
    u8::try_from(u32::from(letter)).unwrap()
}

/// The fields of a form that was posted in ISO 8859-1.
fn latin_fields(body: &str) -> HashMap<String, String> {
    let plain = |text: &str| -> String {
        let text = text.replace('+', " ");
        let bytes = percent_encoding::percent_decode_str(&text);
        bytes.map(char::from).collect()
    };
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

async fn sign_in(State(inner): Shared, headers: HeaderMap, body: String) -> Response {
    let fields: HashMap<String, String> = if inner.lock().unwrap().old_fashioned {
        latin_fields(&body)
    } else {
        url::form_urlencoded::parse(body.as_bytes())
            .into_owned()
            .collect()
    };
    let of = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let door = {
        let mut inner = inner.lock().unwrap();
        inner.knocked += 1;
        Arc::clone(&inner.door)
    };
    drop(door.read().await);
    let mut inner = inner.lock().unwrap();
    if inner.broken {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let token = of("csrf");
    let known = inner.forms.remove(&token) && cookie(&headers, "FORM") == Some(token.as_str());
    if !known || of("go") != "in" {
        return (StatusCode::FORBIDDEN, "This form is out of date.").into_response();
    }
    let right = inner.users.get(&of("user")) == Some(&of("pass"));
    inner.tries.push((of("user"), right));
    if !right && inner.curt {
        return (StatusCode::FORBIDDEN, "Access denied.").into_response();
    }
    let too_old = right && inner.too_old.contains(&of("user"));
    if !right || too_old {
        let token = inner.fresh("form-");
        inner.forms.insert(token.clone());
        let cookie = format!("FORM={token}; Path=/login; HttpOnly");
        let told = match too_old {
            true => "<p>Your password has expired.",
            false => "<p>Wrong.",
        };
        let page = Html(form(&token) + told);
        return ([(header::SET_COOKIE, cookie)], page).into_response();
    }
    let user = of("user");
    if inner.jealous {
        inner.sessions.retain(|_, holder| *holder != user);
    }
    let session = inner.fresh("session-");
    inner.sessions.insert(session.clone(), user);
    let cookie = format!("SID={session}; Path=/; HttpOnly");
    (
        StatusCode::FOUND,
        [
            (header::SET_COOKIE, cookie),
            (header::LOCATION, String::from("/")),
        ],
    )
        .into_response()
}

async fn sign_out(State(inner): Shared, headers: HeaderMap) -> Response {
    let mut inner = inner.lock().unwrap();
    if let Some(session) = cookie(&headers, "SID") {
        inner.sessions.remove(session);
    }
    (StatusCode::FOUND, [(header::LOCATION, "/login")]).into_response()
}

/// Everything else: for who is signed in.
async fn inside(
    State(inner): Shared,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut inner = inner.lock().unwrap();
    let user = cookie(&headers, "SID").and_then(|session| inner.sessions.get(session).cloned());
    let Some(user) = user else {
        if uri.path().starts_with("/api/") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        return (StatusCode::FOUND, [(header::LOCATION, "/login?next=here")]).into_response();
    };
    if uri.path() == "/api/closed" {
        return (StatusCode::UNAUTHORIZED, "Not for you.").into_response();
    }
    if inner.expired.contains(&user) {
        return new_password(&mut inner, &user, &method, uri.path(), &body);
    }
    let cookies = headers
        .get(header::COOKIE)
        .map(|line| line.to_str().unwrap().to_owned());
    inner.asked.push(Asked {
        user: user.clone(),
        method: method.to_string(),
        path: uri.path().to_owned(),
        cookies: cookies.unwrap_or_default(),
        body: String::from_utf8_lossy(&body).into_owned(),
        bytes: body.to_vec(),
    });
    let words = Html(format!("<!doctype html><p>{user} {method} {}", uri.path()));
    if uri.path() == "/rotate" {
        let old = cookie(&headers, "SID").unwrap_or_default().to_owned();
        inner.sessions.remove(&old);
        let session = inner.fresh("session-");
        inner.sessions.insert(session.clone(), user);
        let mut answer = words.into_response();
        for line in [
            format!("SID={session}; Path=/; HttpOnly"),
            String::from("theme=dark; Path=/"),
        ] {
            answer
                .headers_mut()
                .append(header::SET_COOKIE, line.parse().unwrap());
        }
        return answer;
    }
    words.into_response()
}

/// Where everything leads whose password is too old.
fn new_password(
    inner: &mut Inner,
    user: &str,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Response {
    if path != "/expired" {
        return (StatusCode::FOUND, [(header::LOCATION, "/expired")]).into_response();
    }
    let mut fields = url::form_urlencoded::parse(body);
    match fields.find(|(name, _)| name == "new") {
        Some((_, new)) if method == Method::POST => {
            inner.users.insert(user.to_owned(), new.into_owned());
            inner.expired.remove(user);
            (StatusCode::SEE_OTHER, [(header::LOCATION, "/")]).into_response()
        }
        _ => Html(
            "<p>Your password has expired.<form method=post><input type=password name=new></form>",
        )
        .into_response(),
    }
}

/// Not for anybody, whatever the password: it is answered as a wrong one is.
async fn closed() -> Response {
    let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"old\"")];
    (StatusCode::UNAUTHORIZED, ask, "Not for you.").into_response()
}

/// `Authorization: Basic`.
async fn basic(State(inner): Shared, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    use base64::Engine as _;
    let pair = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
        .and_then(|coded| base64::engine::general_purpose::STANDARD.decode(coded).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
        let door = {
            let mut inner = inner.lock().unwrap();
            inner.knocked += 1;
            Arc::clone(&inner.door)
        };
        drop(door.read().await);
        let mut inner = inner.lock().unwrap();
        let right = inner.users.get(user).map(String::as_str) == Some(password);
        inner.tries.push((user.to_owned(), right));
        if right {
            inner.asked.push(Asked {
                user: user.to_owned(),
                method: method.to_string(),
                path: String::from("/basic"),
                cookies: String::new(),
                body: String::from_utf8_lossy(&body).into_owned(),
                bytes: body.to_vec(),
            });
            return Html(format!("<p>{user} by basic")).into_response();
        }
        if inner.curt {
            return (StatusCode::FORBIDDEN, "Access denied.").into_response();
        }
    }
    let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"old\"")];
    (StatusCode::UNAUTHORIZED, ask).into_response()
}
