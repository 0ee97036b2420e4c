//! What every one of the three applications has at its entrance: sign-in and sign-out by itself,
//! a guard before its rooms, files up and down, style, script and health.

use std::sync::Arc;

use aws_lc_rs::constant_time;
use axum::extract::{DefaultBodyLimit, Form, Multipart, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;

use super::door::{self, Caller, Door};
use super::files;
use super::frame::{FilesPage, House, NewPasswordPage, SignInPage};
use super::visitor::Visitor;

/// Asked for by scripts, which can do nothing with a sign-in page.
const FOR_SCRIPTS: [&str; 3] = ["/poll/", "/live", "/events"];

pub struct Reception {
    pub house: House,
    pub door: Door,
    /// The cookie that a sign-in form's hidden field must agree with, in applications that ask
    /// for one.
    pub form_token: Option<&'static str>,
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    pass: String,
    #[serde(default)]
    csrf: String,
}

impl Reception {
    /// The whole application: `rooms` and files for visitors, the rest for everybody.
    pub fn guard(self: Arc<Reception>, rooms: Router, what: &'static str) -> Router {
        let style = self.house.style;
        let files = Router::new()
            .route("/files", get(files_page).post(upload))
            .layer(DefaultBodyLimit::disable())
            .layer(Extension(What(what)))
            .with_state(self.clone());
        let inside = rooms
            .merge(files)
            .route("/archive/visits.csv", get(files::archive))
            .route_layer(from_fn_with_state(self.clone(), admit));
        Router::new()
            .route("/login", get(sign_in_page).post(sign_in))
            .route("/logout", post(sign_out))
            .route("/password", get(new_password_page).post(change_password))
            .with_state(self)
            .route("/health", get(|| async { "ok\n" }))
            .route(
                "/static/style.css",
                get(move || text("text/css; charset=utf-8", style)),
            )
            .route(
                "/static/legacy.js",
                get(|| text("text/javascript; charset=utf-8", SCRIPT)),
            )
            .merge(inside)
            .layer(from_fn(careful))
    }

    fn sign_in_answer(&self, status: StatusCode, headers: &HeaderMap, login: &str) -> Response {
        let token = self.form_token.and_then(|name| {
            // A second tab must not make the first one's form worthless.
            let known = door::cookie(headers, name).filter(|text| door::is_token(text));
            Some((name, known.map(str::to_owned).or_else(door::token)?))
        });
        let csrf = token.as_ref().map(|(_, token)| token.as_str());
        let wrong = status != StatusCode::OK;
        let page = SignInPage {
            house: &self.house,
            login,
            wrong,
            csrf,
        };
        let answer = self.house.page_with(status, "Sign in", None, &page);
        let cookie = token.and_then(|(name, token)| {
            let cookie = format!("{name}={token}; Path=/login; HttpOnly; SameSite=Lax");
            HeaderValue::from_str(&cookie).ok()
        });
        (cookie.map(|cookie| [(header::SET_COOKIE, cookie)]), answer).into_response()
    }

    /// Who is signed in, and has to choose a new password.
    fn expired(&self, headers: &HeaderMap) -> Option<Visitor> {
        match self.door.recognise(headers) {
            Caller::Visitor(visitor, _) => {
                Some(visitor).filter(|visitor| self.door.has_expired(&visitor.login))
            }
            Caller::Stranger(_) | Caller::Nobody => None,
        }
    }

    fn new_password(&self, status: StatusCode, visitor: &Visitor) -> Response {
        let page = NewPasswordPage {
            wrong: status != StatusCode::OK,
        };
        self.house
            .page_with(status, "Your password has expired", Some(visitor), &page)
    }

    /// Whether the form is one that this application gave to this browser.
    fn own_form(&self, headers: &HeaderMap, given: &str) -> bool {
        self.form_token.is_none_or(|name| {
            door::cookie(headers, name).is_some_and(|wanted| {
                constant_time::verify_slices_are_equal(wanted.as_bytes(), given.as_bytes()).is_ok()
            })
        })
    }
}

const SCRIPT: &str = include_str!("assets/legacy.js");

#[derive(Clone, Copy)]
struct What(&'static str);

fn is_for_scripts(path: &str) -> bool {
    FOR_SCRIPTS.iter().any(|begins| path.starts_with(begins))
}

async fn admit(
    State(reception): State<Arc<Reception>>,
    mut request: Request,
    next: Next,
) -> Response {
    match reception.door.recognise(request.headers()) {
        Caller::Visitor(visitor, _) if reception.door.has_expired(&visitor.login) => {
            if is_for_scripts(request.uri().path()) {
                return StatusCode::FORBIDDEN.into_response();
            }
            Redirect::to("/password").into_response()
        }
        Caller::Visitor(visitor, cookie) => {
            request.extensions_mut().insert(visitor);
            let answer = next.run(request).await;
            (cookie.map(|cookie| [(header::SET_COOKIE, cookie)]), answer).into_response()
        }
        Caller::Stranger(login) => {
            let text = format!("There is no user {login} here.");
            reception.house.notice(StatusCode::FORBIDDEN, None, &text)
        }
        Caller::Nobody if is_for_scripts(request.uri().path()) => {
            StatusCode::UNAUTHORIZED.into_response()
        }
        Caller::Nobody => Redirect::to("/login").into_response(),
    }
}

async fn sign_in_page(State(reception): State<Arc<Reception>>, headers: HeaderMap) -> Response {
    reception.sign_in_answer(StatusCode::OK, &headers, "")
}

async fn sign_in(
    State(reception): State<Arc<Reception>>,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Response {
    if !reception.own_form(&headers, &given.csrf) {
        return reception.house.notice(
            StatusCode::FORBIDDEN,
            None,
            "This form is out of date. Open the page again.",
        );
    }
    let visitor = reception.door.check(&given.user, &given.pass);
    match visitor.and_then(|visitor| reception.door.open(visitor)) {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        None => reception.sign_in_answer(StatusCode::UNAUTHORIZED, &headers, &given.user),
    }
}

#[derive(Deserialize)]
struct NewPassword {
    new: String,
    confirm: String,
}

async fn new_password_page(
    State(reception): State<Arc<Reception>>,
    headers: HeaderMap,
) -> Response {
    match reception.expired(&headers) {
        Some(visitor) => reception.new_password(StatusCode::OK, &visitor),
        None => Redirect::to("/").into_response(),
    }
}

async fn change_password(
    State(reception): State<Arc<Reception>>,
    headers: HeaderMap,
    Form(given): Form<NewPassword>,
) -> Response {
    let Some(visitor) = reception.expired(&headers) else {
        return Redirect::to("/").into_response();
    };
    let same = given.new == given.confirm;
    if same && reception.door.change_password(&visitor.login, &given.new) {
        return Redirect::to("/").into_response();
    }
    reception.new_password(StatusCode::BAD_REQUEST, &visitor)
}

async fn sign_out(State(reception): State<Arc<Reception>>, headers: HeaderMap) -> Response {
    let cleared = reception
        .door
        .close(&headers)
        .map(|cookie| [(header::SET_COOKIE, cookie)]);
    (cleared, Redirect::to("/login")).into_response()
}

async fn files_page(
    State(reception): State<Arc<Reception>>,
    Extension(What(what)): Extension<What>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    reception.house.page(
        "Files",
        Some(&visitor),
        &FilesPage {
            received: &[],
            what,
        },
    )
}

async fn upload(
    State(reception): State<Arc<Reception>>,
    Extension(What(what)): Extension<What>,
    Extension(visitor): Extension<Visitor>,
    form: Multipart,
) -> Response {
    match files::receive(form).await {
        Ok(received) => reception.house.page(
            "Files",
            Some(&visitor),
            &FilesPage {
                received: &received,
                what,
            },
        ),
        Err(problem) => reception.house.notice(
            problem.status(),
            Some(&visitor),
            "The upload did not arrive whole.",
        ),
    }
}

async fn text(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

/// A page's own scripts and styles and no others; and no copy of a patient's page left behind.
async fn careful(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 3] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; object-src 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
