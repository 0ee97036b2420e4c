//! The gateway's own pages: sign-in on the portal's host, and `/.vestibule/` on every product's.
//! No rule lives here: forms are read, the gate is asked, answers are written.
//!
//! The proxy puts three things into a request's extensions: `Arc<Facts>`, [`Known`] and
//! [`RequestId`](crate::pages::RequestId). Without them a request is refused.
//!
//! [`Known`]: crate::gate::session::Known

mod account;
mod account_keys;
mod accounts;
mod answer;
mod apps;
mod attempt;
mod bar;
mod companies;
mod company;
mod connect;
mod cookies;
mod courier;
mod credentials;
mod devices;
mod elsewhere;
mod enter;
mod errand;
mod factor;
mod fields;
mod finish;
mod forgot;
mod form;
mod kept;
mod keys;
mod known;
mod language;
mod letters;
pub mod locks;
mod login;
mod message_caps;
mod new_password;
mod on_record;
mod own;
mod own_password;
mod passkeys;
mod password;
mod product_password;
mod recovery;
mod renewal;
mod scim;
mod sign_out;
mod single_sign_on;
mod throttles;
mod tickets;
mod trouble;
mod user_agent;
mod visit;
mod when;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::directory::Directory;
use crate::directory::passwords::Hasher;
use crate::directory::scim::RolesByGroup;
use crate::gate::name::{CompanyId, PersonId, SessionId};
use crate::gate::policy::Policies;
use crate::gate::product::Products;
use crate::gate::trail::TrailEvent;
use crate::legacy::Legacy;
use crate::messages::Messages;
use crate::providers::Providers;
use crate::sessions::kept::KeptForms;
use crate::sessions::tokens::Random;
use crate::sessions::{Clock, Sessions};

pub use keys::Keys;
pub use letters::Letter;

/// The largest form that is read, in bytes.
const LARGEST_FORM: usize = 16 * 1024;

/// The public keys of assertions, as JSON (RFC 7517).
pub type Jwks = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// Everything that the pages need, handed in.
pub struct State {
    pub sessions: Arc<Sessions>,
    pub kept: Arc<KeptForms>,
    pub directory: Directory,
    /// Who keeps passwords that the directory does not.
    pub legacy: Arc<Legacy>,
    /// Sends mails and text messages: see [`Messages::mail_soon`], [`Messages::send`].
    pub messages: Arc<Messages>,
    /// Who else vouches for people.
    pub providers: Arc<Providers>,
    /// Which roles the groups of a company's directory give.
    pub scim_roles: HashMap<CompanyId, RolesByGroup>,
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
    /// Seconds of `clock` in one of the browser's: 1, but in a demo that runs faster.
    pub pace: u32,
}

/// Hears what happened; asked nothing.
pub trait Observer: Send + Sync {
    /// `ok`, `refused`, `throttled`, `busy`, `unreachable`, `factor_wanted`, `expired`,
    /// `provider_failed`.
    fn sign_in(&self, result: &'static str);
    /// `ok`, `refused`, `throttled`.
    fn factor_challenge(&self, method: &'static str, result: &'static str);
    fn audit(&self, event: Audit<'_>);
    fn administered(&self, act: Act<'_>);
    /// Whether lines of the trail can be written at the moment.
    fn can_record(&self) -> bool {
        true
    }
}

/// A line of the audit trail about what one person did to another's access.
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    pub event: TrailEvent,
    pub who: &'a PersonId,
    pub whom: &'a PersonId,
    pub company: &'a CompanyId,
    pub session: SessionId,
    pub address: IpAddr,
    pub request_id: &'a str,
    /// Why, in the words of who did it.
    pub reason: &'a str,
    pub detail: &'a str,
}

/// A line of the audit trail; the observer adds the time.
#[derive(Debug, Clone, Copy)]
pub struct Audit<'a> {
    pub event: TrailEvent,
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
        .route("/login/with", get(elsewhere::find))
        .route("/login/with/{provider}", get(elsewhere::begin))
        .route("/login/with/{provider}/back", get(elsewhere::back))
        .route("/login/with/{provider}/ended", post(elsewhere::ended))
        .route("/apps", get(apps::apps))
        .route("/account", get(account::page))
        .route("/account/factors", post(account::factors::remove))
        .route(
            "/account/authenticator",
            get(account::factors::replace_page).post(account::factors::replace),
        )
        .route(
            "/account/sms",
            get(account::sent::sms_page).post(account::sent::sms),
        )
        .route(
            "/account/email",
            get(account::sent::email_page).post(account::sent::email),
        )
        .route("/account/sessions", post(account::sessions::end))
        .route(
            "/account/passkey",
            get(account_keys::passkey_page).post(account_keys::passkey),
        )
        .route(
            "/account/recovery",
            get(account_keys::recovery_page).post(account_keys::renew),
        )
        .route("/account/devices", get(devices::list).post(devices::forget))
        .route(
            "/company/settings",
            get(company::settings::settings_page).post(company::settings::settings),
        )
        .route("/company/users", get(company::users::page))
        .route(
            "/company/users/{person}",
            get(company::user::page).post(company::user::save),
        )
        .route(
            "/company/sessions",
            get(company::sessions::page).post(company::sessions::end),
        )
        .route("/company/audit", get(company::audit::page))
        .route("/company/audit/export", get(company::audit::export))
        .route("/apps/company", post(companies::submit))
        .route(
            "/login/expired",
            get(renewal::opened).post(renewal::submitted),
        )
        .route(
            "/connect/{product}",
            get(connect::opened).post(connect::submitted),
        )
        .route(
            "/connect/{product}/password",
            get(product_password::opened).post(product_password::submitted),
        )
        .route("/account/default", post(single_sign_on::save))
        .route("/account/reset-sso", post(single_sign_on::reset_own))
        .route(
            "/account/password",
            get(own_password::opened).post(own_password::submitted),
        )
        .route("/password/expiring", get(own_password::expiring))
        .route("/password/forgot", get(forgot::asked).post(forgot::ask))
        .route(
            "/password/reset",
            get(forgot::opened).post(forgot::submitted),
        )
        .route("/logout", get(sign_out::portal_page).post(sign_out::portal))
        .route("/.well-known/vestibule/jwks.json", get(apps::jwks))
        .route("/assets/{name}", get(answer::asset))
        .merge(scim::routes())
        .layer(from_fn_with_state(Arc::clone(&state), on_record::demand));
    finished(routes, state)
}

/// `/.vestibule/` on a product's host.
pub fn own_router(state: Arc<State>) -> Router {
    let routes = Router::new()
        .route("/.vestibule/enter", get(enter::enter))
        .route("/.vestibule/bar.js", get(bar::script))
        .route("/.vestibule/bar", get(bar::view))
        .route("/.vestibule/kept", get(kept::page).post(kept::deed))
        .route("/.vestibule/lost", get(kept::lost))
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
