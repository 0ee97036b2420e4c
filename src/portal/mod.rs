//! The gateway's own pages: sign-in on the portal's host, and `/.vestibule/` on every product's.
//! No rule lives here: forms are read, the gate is asked, answers are written.
//!
//! The proxy puts three things into a request's extensions: `Arc<Facts>`, [`Known`] and
//! [`RequestId`](crate::pages::RequestId). Without them a request is refused.
//!
//! [`Known`]: crate::gate::session::Known

mod accounts;
mod admin;
mod answer;
mod apps;
mod attempt;
mod bar;
mod codes;
mod cookies;
mod enter;
mod errand;
mod factor;
mod fields;
mod finish;
mod kept;
mod keys;
mod login;
mod own;
mod password;
mod sign_out;
mod throttles;
mod tickets;
mod trouble;
mod visit;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::directory::Directory;
use crate::directory::passwords::Hasher;
use crate::gate::name::{CompanyId, PersonId, SessionId};
use crate::gate::policy::Policies;
use crate::gate::product::Products;
use crate::sessions::kept::KeptForms;
use crate::sessions::tokens::Random;
use crate::sessions::{Clock, Sessions};

pub use keys::Keys;

/// The largest form that is read, in bytes.
const LARGEST_FORM: usize = 16 * 1024;

/// The public keys of assertions, as JSON (RFC 7517).
pub type Jwks = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// Everything that the pages need, handed in.
pub struct State {
    pub sessions: Arc<Sessions>,
    pub kept: Arc<KeptForms>,
    pub directory: Directory,
    pub hasher: Arc<Hasher>,
    pub policies: Arc<ArcSwap<Policies>>,
    pub products: Products,
    /// `https://host[:port]`, without a trailing slash.
    pub portal_origin: String,
    pub title: String,
    pub clock: Clock,
    pub random: Random,
    pub keys: Keys,
    pub observer: Arc<dyn Observer>,
    pub jwks: Jwks,
}

/// Hears what happened; asked nothing.
pub trait Observer: Send + Sync {
    /// `ok`, `refused`, `throttled`, `busy`, `factor_wanted`.
    fn sign_in(&self, result: &'static str);
    /// `ok`, `refused`, `throttled`.
    fn factor_challenge(&self, method: &'static str, result: &'static str);
    fn audit(&self, event: Audit<'_>);
}

/// A line of the audit trail; the observer adds the time.
#[derive(Debug, Clone, Copy)]
pub struct Audit<'a> {
    pub event: &'static str,
    pub person: Option<&'a PersonId>,
    pub company: Option<&'a CompanyId>,
    pub session: Option<SessionId>,
    pub address: IpAddr,
    pub request_id: &'a str,
    /// What else there is to know; never a secret, never what was typed as one.
    pub detail: &'a str,
}

/// The portal's host.
pub fn router(state: Arc<State>) -> Router {
    let routes = Router::new()
        .route("/", get(apps::root))
        .route("/login", get(login::page).post(password::submit))
        .route(
            "/login/factor",
            get(factor::challenge_page).post(factor::challenge),
        )
        .route(
            "/login/enroll",
            get(factor::enroll_page).post(factor::enroll),
        )
        .route("/apps", get(apps::apps))
        .route("/account", get(apps::account))
        .route(
            "/company/settings",
            get(admin::settings_page).post(admin::settings),
        )
        .route("/connect/{product}", get(apps::connect))
        .route("/password/forgot", get(apps::forgot))
        .route("/logout", get(sign_out::portal_page).post(sign_out::portal))
        .route("/.well-known/vestibule/jwks.json", get(apps::jwks))
        .route("/assets/{name}", get(answer::asset));
    finished(routes, state)
}

/// `/.vestibule/` on a product's host.
pub fn own_router(state: Arc<State>) -> Router {
    let routes = Router::new()
        .route("/.vestibule/enter", get(enter::enter))
        .route("/.vestibule/bar.js", get(bar::script))
        .route("/.vestibule/bar", get(bar::view))
        .route("/.vestibule/kept", get(kept::page).post(kept::deed))
        .route("/.vestibule/session", get(own::session))
        .route("/.vestibule/session/extend", post(own::extend))
        .route(
            "/.vestibule/sign_out",
            get(sign_out::own_page).post(sign_out::own),
        )
        .route("/.vestibule/switch", get(own::switch))
        .route("/.vestibule/company", post(own::company))
        .route("/.vestibule/assets/{name}", get(answer::asset));
    finished(routes, state)
}

fn finished(routes: Router<Arc<State>>, state: Arc<State>) -> Router {
    routes
        .fallback(answer::nothing_here)
        .method_not_allowed_fallback(answer::not_so)
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .layer(from_fn_with_state(Arc::clone(&state), answer::dress))
        .with_state(state)
}
