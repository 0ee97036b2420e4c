//! My Profile: adding a passkey, and new recovery codes. Both want the person's own fresh factor,
//! or a browser that was left open would let anybody add a key of theirs.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;

use super::account::factors::{tell, told};
use super::account::unreset::{Unreset, Wrote};
use super::answer::{page, page_with_script, passkey_script, see_other};
use super::apps::{frame, signed_in};
use super::company::proved_lately;
use super::form::Form;
use super::language::words;
use super::letters::Letter;
use super::passkeys::{self, Answered};
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{State, accounts, courier, recovery, throttles, user_agent};
use crate::gate::policy::FactorMethod;
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::{self, Link, Notice};

const PASSKEY: &str = "/account/passkey";
const RECOVERY: &str = "/account/recovery";

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
            words().passkeys_full(),
            words().passkeys_full_what(),
            words().passkeys_full_remedy(),
        ));
    };
    let page = pages::Passkey {
        frame: frame(state, Some(session), "/account"),
        notice,
        error: None,
        title: words().add_a_passkey(),
        lead: words().add_passkey_lead().to_owned(),
        action: PASSKEY,
        called: Some(user_agent::words(&visit.user_agent())),
        options,
        script: passkey_script(),
        button: words().add_passkey(),
        hidden: vec![("csrf", state.keys.form_token(&session.portal, now))],
        remember: None,
        other: None,
        restart: to_profile(),
    };
    page_with_script(state, &page)
}

pub async fn passkey(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let session = match owner(&state, &visit, FactorMethod::Passkey, PASSKEY, now).await? {
        Ok(session) => session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let Some(sent) = form.of_session(&state, session, now) else {
        return show_passkey(&state, &visit, session, Some(stale()), now).await;
    };
    let Some(unreset) = Unreset::of(&state, session).await? else {
        return see_other("/account?done=gone");
    };
    let (cookie, person) = (&session.portal, &session.person.id);
    let answer = sent.text("answer");
    let added = passkeys::add(&state, cookie, person, answer, false, now).await?;
    let wrong = match added {
        Answered::Right(factor) => {
            if !unreset.still(Wrote::Factor(&factor.id)).await? {
                return see_other("/account?done=gone");
            }
            told(&state, &visit, session, TrailEvent::FactorAdded, "passkey");
            passkeys::called(&state, person, &factor.id, &sent).await;
            tell(&state, &visit, session, Letter::FactorAdded).await?;
            throttles::lock_opened(&state, person, FactorMethod::Passkey, now).await;
            return with_codes(&state, &visit, session, now).await;
        }
        Answered::Late => words().passkey_too_late(),
        Answered::Wrong("taken") => words().passkey_taken(),
        Answered::Wrong(why) => {
            told(&state, &visit, session, TrailEvent::PasskeyRefused, why);
            words().passkey_not_accepted_try()
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
        title: words().passkey_is_added().to_owned(),
        paragraphs: vec![words().log_in_with_it().to_owned()],
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
        None => words().no_recovery_codes_yet().to_owned(),
        Some(left) => words().recovery_codes_left(left),
    };
    page(&pages::RecoveryRenew {
        frame: frame(state, Some(session), "/account"),
        notice,
        left,
        hidden: vec![("csrf", state.keys.form_token(&session.portal, now))],
    })
}

pub async fn renew(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let session = match owner(&state, &visit, FactorMethod::Recovery, RECOVERY, now).await? {
        Ok(session) => session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    if form.of_session(&state, session, now).is_none() {
        return show_left(&state, session, Some(stale()), now).await;
    }
    show_codes(&state, &visit, session, now).await
}

async fn show_codes(state: &Arc<State>, visit: &Visit, session: &Session, now: Moment) -> Answer {
    let Some(unreset) = Unreset::of(state, session).await? else {
        return see_other("/account?done=gone");
    };
    let codes = recovery::make(&state.random);
    state
        .directory
        .replace_recovery_codes(&session.person.id, &codes, now)
        .await?;
    if !unreset.still(Wrote::RecoveryCodes).await? {
        return see_other("/account?done=gone");
    }
    told(state, visit, session, TrailEvent::RecoveryCodesMade, "");
    let (person, method) = (&session.person.id, FactorMethod::Recovery);
    throttles::lock_opened(state, person, method, now).await;
    let login = accounts::login_in(state, &session.person.id, state.products.primary()).await?;
    page(&pages::RecoveryCodes {
        frame: frame(state, Some(session), "/account"),
        account: login.map_or_else(|| session.person.name.clone(), |login| login.to_string()),
        codes: codes.iter().map(|code| recovery::shown(code)).collect(),
        next: Link {
            href: String::from("/account"),
            text: words().kept_them_go_on().to_owned(),
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
    match proved_lately(state, visit, path, now)? {
        None => Ok(Ok(&found.session)),
        Some(elsewhere) => Ok(Err(elsewhere)),
    }
}

pub fn not_offered() -> Trouble {
    Trouble::new(403, "method_not_offered")
        .saying(words().not_offered(), words().not_offered_what(), "")
        .with_link("/account", words().my_profile())
}

pub fn offers(state: &State, session: &Session, method: FactorMethod) -> bool {
    let policies = state.policies.load();
    policies.of(&session.company).mfa.methods.contains(&method)
}

pub fn stale() -> Notice {
    Notice::wrong(words().page_was_open_try())
}

pub fn to_profile() -> Link {
    Link {
        href: String::from("/account"),
        text: words().my_profile().to_owned(),
    }
}
