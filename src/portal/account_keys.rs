//! My Profile: adding a passkey, and new recovery codes. Both want the person's own fresh factor,
//! or a browser that was left open would let anybody add a key of theirs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;

use super::account::factors::tell;
use super::answer::{page, page_with_script, passkey_script, see_other};
use super::apps::{frame, signed_in};
use super::errand::Errand;
use super::fields::{Fields, Form};
use super::keys::FormToken;
use super::letters::Letter;
use super::passkeys::{self, Answered};
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, accounts, courier, recovery, user_agent};
use crate::gate::arrival::{Arrival, Place, arrive};
use crate::gate::policy::FactorMethod;
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::pages::{self, Link, Notice};

const PASSKEY: &str = "/account/passkey";
const RECOVERY: &str = "/account/recovery";

/// No older may the factor be with which somebody changes their factors.
const FRESH: Duration = Duration::from_secs(15 * 60);

pub async fn passkey_page(Shared(state): Shared<Arc<State>>, visit: Visit) -> Answer {
    let now = (state.clock)();
    match owner(&state, &visit, FactorMethod::Passkey, PASSKEY, now).await? {
        Ok(session) => show_passkey(&state, &visit, session, None, now).await,
        Err(elsewhere) => Ok(elsewhere),
    }
}

async fn show_passkey(
    state: &Arc<State>,
    visit: &Visit,
    session: &Session,
    notice: Option<Notice>,
    now: Moment,
) -> Answer {
    let login = accounts::login_in(state, &session.person.id, state.products.primary()).await?;
    let name = login.map_or_else(|| session.person.name.clone(), |login| login.to_string());
    let person = &session.person.id;
    let Some(options) = passkeys::ask_to_add(state, &session.portal, person, &name, now).await?
    else {
        return Err(Trouble::new(409, "passkeys_full").saying(
            "You have many passkeys",
            "No more passkeys can be added to your account.",
            "Remove one that you don't use any more, then try again.",
        ));
    };
    let page = pages::Passkey {
        frame: frame(state, Some(session), "/account"),
        notice,
        error: None,
        title: "Add a passkey",
        lead: String::from(
            "With it you log in by your fingerprint, your face, your screen lock, or a security key.",
        ),
        action: PASSKEY,
        called: Some(user_agent::words(&visit.user_agent())),
        options,
        script: passkey_script(),
        button: "Add passkey",
        hidden: vec![("csrf", state.keys.form_token(&session.portal, now))],
        remember: None,
        other: None,
        restart: to_profile(),
    };
    page_with_script(state, &page)
}

pub async fn passkey(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Form(fields): Form,
) -> Answer {
    let now = (state.clock)();
    visit.sender(&state.portal_origin)?;
    let session = match owner(&state, &visit, FactorMethod::Passkey, PASSKEY, now).await? {
        Ok(session) => session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    if !is_bound(&state, session, &fields, now) {
        return show_passkey(&state, &visit, session, Some(stale()), now).await;
    }
    let (cookie, person) = (&session.portal, &session.person.id);
    let answer = fields.text("answer");
    let added = passkeys::add(&state, cookie, person, answer, false, now).await?;
    let wrong = match added {
        Answered::Right(factor) => {
            passkeys::called(&state, person, &factor.id, &fields).await?;
            heard(&state, &visit, session, "factor_added", "passkey");
            tell(&state, &visit, session, Letter::FactorAdded).await?;
            return with_codes(&state, &visit, session, now).await;
        }
        Answered::Late => "That took too long. Please try again.",
        Answered::Wrong("taken") => "That passkey is in use already.",
        Answered::Wrong(why) => {
            heard(&state, &visit, session, "passkey_refused", why);
            "That passkey was not accepted. Please try again."
        }
    };
    show_passkey(&state, &visit, session, Some(Notice::wrong(wrong)), now).await
}

/// Whoever never had recovery codes gets them with the new factor.
async fn with_codes(state: &Arc<State>, visit: &Visit, session: &Session, now: Moment) -> Answer {
    let left = state
        .directory
        .recovery_codes_left(&session.person.id)
        .await?;
    if left.is_none() && offers(state, session, FactorMethod::Recovery) {
        return show_codes(state, visit, session, now).await;
    }
    page(&pages::Message {
        frame: frame(state, Some(session), "/account"),
        title: String::from("Your passkey is added"),
        paragraphs: vec![String::from("You can log in with it from now on.")],
        link: Some(to_profile()),
    })
}

pub async fn recovery_page(Shared(state): Shared<Arc<State>>, visit: Visit) -> Answer {
    let now = (state.clock)();
    match owner(&state, &visit, FactorMethod::Recovery, RECOVERY, now).await? {
        Ok(session) => show_left(&state, session, None, now).await,
        Err(elsewhere) => Ok(elsewhere),
    }
}

async fn show_left(
    state: &Arc<State>,
    session: &Session,
    notice: Option<Notice>,
    now: Moment,
) -> Answer {
    let left = match state
        .directory
        .recovery_codes_left(&session.person.id)
        .await?
    {
        None => String::from("You have no recovery codes yet."),
        Some(1) => String::from("You have 1 recovery code left."),
        Some(left) => format!("You have {left} recovery codes left."),
    };
    page(&pages::RecoveryRenew {
        frame: frame(state, Some(session), "/account"),
        notice,
        left,
        hidden: vec![("csrf", state.keys.form_token(&session.portal, now))],
    })
}

pub async fn renew(Shared(state): Shared<Arc<State>>, visit: Visit, Form(fields): Form) -> Answer {
    let now = (state.clock)();
    visit.sender(&state.portal_origin)?;
    let session = match owner(&state, &visit, FactorMethod::Recovery, RECOVERY, now).await? {
        Ok(session) => session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    if !is_bound(&state, session, &fields, now) {
        return show_left(&state, session, Some(stale()), now).await;
    }
    show_codes(&state, &visit, session, now).await
}

async fn show_codes(state: &Arc<State>, visit: &Visit, session: &Session, now: Moment) -> Answer {
    let codes = recovery::make(&state.random);
    state
        .directory
        .replace_recovery_codes(&session.person.id, &codes, now)
        .await?;
    heard(state, visit, session, "recovery_codes_made", "");
    let login = accounts::login_in(state, &session.person.id, state.products.primary()).await?;
    page(&pages::RecoveryCodes {
        frame: frame(state, Some(session), "/account"),
        account: login.map_or_else(|| session.person.name.clone(), |login| login.to_string()),
        codes: codes.iter().map(|code| recovery::shown(code)).collect(),
        next: Link {
            href: String::from("/account"),
            text: String::from("I have kept them, go on"),
        },
    })
}

/// Who is signed in with a fresh factor, in a company that offers the method; else where they are
/// sent.
///
/// # Errors
/// 403 where the method is not offered.
pub async fn owner<'a>(
    state: &Arc<State>,
    visit: &'a Visit,
    method: FactorMethod,
    path: &'static str,
    now: Moment,
) -> Result<Result<&'a Session, Response>, Trouble> {
    let found = match signed_in(state, visit, path, now).await? {
        Ok(found) => found,
        Err(elsewhere) => return Ok(Err(elsewhere)),
    };
    let possible = match method {
        FactorMethod::Passkey => passkeys::possible(state),
        FactorMethod::Sms | FactorMethod::Email => state.messages.can(courier::channel(method)),
        FactorMethod::Totp | FactorMethod::Recovery => true,
    };
    if !possible || !offers(state, &found.session, method) {
        return Err(not_offered());
    }
    let policies = state.policies.load();
    match arrive(&visit.known, &policies, Place::Portal, Some(FRESH), now) {
        Arrival::Enter(_) => Ok(Ok(&found.session)),
        Arrival::Unavailable
        | Arrival::SignIn(_)
        | Arrival::PasswordAgain(..)
        | Arrival::Factor(_) => {
            let errand = Errand::to_portal(state, path).needing(FRESH);
            see_other(&errand.on("/login")).map(Err)
        }
    }
}

pub fn not_offered() -> Trouble {
    Trouble::new(403, "method_not_offered")
        .saying(
            "Not offered by your company",
            "Your company does not use this for multi-factor authentication.",
            "",
        )
        .with_link("/account", "My Profile")
}

pub fn offers(state: &State, session: &Session, method: FactorMethod) -> bool {
    let policies = state.policies.load();
    policies.of(&session.company).mfa.methods.contains(&method)
}

pub fn is_bound(state: &State, session: &Session, fields: &Fields, now: Moment) -> bool {
    let token = fields.text("csrf");
    state
        .keys
        .judge_form_token(token, Some(&session.portal), now)
        == FormToken::Bound
}

pub fn stale() -> Notice {
    Notice::wrong("This page was open for a while. Nothing was changed: please try again.")
}

pub fn to_profile() -> Link {
    Link {
        href: String::from("/account"),
        text: String::from("My Profile"),
    }
}

fn heard(state: &State, visit: &Visit, session: &Session, event: &'static str, detail: &str) {
    state
        .observer
        .audit(Audit::of(session, visit, event, detail));
}
