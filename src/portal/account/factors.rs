//! One's own second factors: replaced by a proven one, or removed, with a factor proved lately.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use super::unreset::{Unreset, Wrote};
use super::{PATH, sent};
use crate::directory::{Factor, Removal};
use crate::gate::contact::Destination;
use crate::gate::name::SessionId;
use crate::gate::policy::FactorMethod;
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::{self, FactorRow};
use crate::portal::account_keys::{not_offered, offers};
use crate::portal::answer::{page as answered, see_other};
use crate::portal::apps::{frame, signed_in};
use crate::portal::company::proved_lately;
use crate::portal::factor::codes;
use crate::portal::fields::Fields;
use crate::portal::form::Form;
use crate::portal::language::words;
use crate::portal::letters::{self, Letter};
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::visit::Visit;
use crate::portal::{Audit, State, accounts, courier, throttles, when};

const REPLACE: &str = "/account/authenticator";

/// How long a new key waits for its first code.
const KEY_LIFE: Duration = Duration::from_secs(15 * 60);

/// Somebody's factors, for whoever may see them.
pub async fn rows(state: &State, factors: &[Factor], timezone: &TimeZone) -> Vec<FactorRow> {
    let mut rows = Vec::with_capacity(factors.len());
    for factor in factors {
        rows.push(FactorRow {
            place: place(state, factor).await,
            ..row(factor, timezone)
        });
    }
    rows
}

/// Where its codes go: enough to know it by, and no more. Without it where the directory can't say:
/// a secret that does not open is no reason to show nothing of its owner.
async fn place(state: &State, factor: &Factor) -> Option<String> {
    if !matches!(factor.kind, FactorMethod::Sms | FactorMethod::Email) {
        return None;
    }
    let secret = state.directory.factor_secret(&factor.id).await.ok()??;
    Some(match courier::parse(factor.kind, &secret)? {
        Destination::Sms(number) => words().number_ending_in(number.ending()),
        Destination::Email(address) => words().address_masked(&address.masked()),
    })
}

fn row(factor: &Factor, timezone: &TimeZone) -> FactorRow {
    let kind = match factor.kind {
        FactorMethod::Totp => words().method_app(),
        FactorMethod::Sms => words().kind_sms(),
        FactorMethod::Email => words().kind_email(),
        FactorMethod::Passkey => words().method_passkey(),
        FactorMethod::Recovery => words().recovery_codes(),
    };
    FactorRow {
        id: factor.id.clone(),
        name: factor.name.clone().unwrap_or_else(|| kind.to_owned()),
        kind: factor.name.as_ref().map(|_| kind),
        added: when::words(factor.created_at, timezone),
        last_used: factor.last_used_at.map(|at| when::words(at, timezone)),
        is_authenticator: factor.kind == FactorMethod::Totp,
        place: None,
        replace: None,
    }
}

/// The same for the owner, who can put another in its place.
pub async fn own_rows(
    state: &State,
    session: &Session,
    factors: &[Factor],
    timezone: &TimeZone,
) -> Vec<FactorRow> {
    let mut rows = rows(state, factors, timezone).await;
    for (row, factor) in rows.iter_mut().zip(factors) {
        row.replace = match factor.kind {
            FactorMethod::Totp => Some(REPLACE),
            FactorMethod::Sms | FactorMethod::Email => {
                sent::is_possible(state, session, factor.kind).then(|| sent::path(factor.kind))
            }
            FactorMethod::Passkey | FactorMethod::Recovery => None,
        };
    }
    rows
}

/// Who may change their factors: signed in, and their factor proved lately.
async fn proven<'a>(
    state: &Arc<State>,
    visit: &'a Visit,
    back: &str,
    now: Moment,
) -> Result<Result<&'a Arc<Session>, Response>, Trouble> {
    let session = match signed_in(state, visit, back, now).await? {
        Ok(found) => &found.session,
        Err(elsewhere) => return Ok(Err(elsewhere)),
    };
    match proved_lately(state, visit, back, now)? {
        None => Ok(Ok(session)),
        Some(elsewhere) => Ok(Err(elsewhere)),
    }
}

pub fn told(state: &State, visit: &Visit, session: &Session, event: TrailEvent, detail: &str) {
    state
        .observer
        .audit(Audit::of(session, visit, event, detail));
}

pub async fn tell(
    state: &State,
    visit: &Visit,
    session: &Session,
    letter: Letter,
) -> Result<(), Trouble> {
    if let Some(person) = state.directory.person(&session.person.id).await? {
        letters::tell(state, visit, &person, letter);
    }
    Ok(())
}

/// Whether a factor is asked of them at work or at their next sign-in: then they keep their last one, or
/// whoever has their password alone could set up another.
pub async fn keeps_last(state: &State, session: &Session) -> Result<bool, Trouble> {
    let policies = state.policies.load_full();
    let id = &session.person.id;
    let mut at_work = session.companies_at_work();
    if at_work.any(|company| policies.wants_factor(company, id)) {
        return Ok(true);
    }
    let account = accounts::account_in(state, id, state.products.primary()).await?;
    let person = state.directory.person(id).await?;
    let (Some(account), Some(person)) = (account, person) else {
        return Ok(true);
    };
    let first = accounts::tenancy(&account, &person.company).current;
    Ok(policies.wants_factor(&first, id))
}

pub async fn remove(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let session = match proven(&state, &visit, "/account?done=again", now).await? {
        Ok(session) => session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let Some(sent) = form.of_session(&state, session, now) else {
        return see_other("/account?done=again");
    };
    let person = &session.person.id;
    let factors = state.directory.factors(person).await?;
    let Some(factor) = factors.iter().find(|f| f.id == sent.text("factor")) else {
        return see_other("/account?done=gone");
    };
    let stays = keeps_last(&state, session).await?;
    match state
        .directory
        .remove_factor(person, &factor.id, stays)
        .await?
    {
        Removal::Removed => {}
        Removal::Last => return see_other("/account?done=last"),
        Removal::Gone => return see_other("/account?done=gone"),
    }
    told(
        &state,
        &visit,
        session,
        TrailEvent::FactorRemoved,
        factor.kind.as_str(),
    );
    tell(&state, &visit, session, Letter::FactorRemoved).await?;
    let left = state.directory.factors(person).await?;
    if !left.iter().any(|other| other.kind == factor.kind) {
        throttles::lock_opened(&state, person, factor.kind, now).await;
    }
    see_other("/account?done=removed")
}

pub async fn replace_page(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    fields: Fields,
) -> Answer {
    let now = (state.clock)();
    let session = match proven(&state, &visit, REPLACE, now).await? {
        Ok(session) => session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let old = authenticator(&state, session).await?;
    if old.is_none() {
        offered(&state, session)?;
    }
    let typed = fields.of("key") == Some("typed");
    show(&state, session, (old.is_some(), typed), None, now).await
}

pub async fn replace(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let session = match proven(&state, &visit, REPLACE, now).await? {
        Ok(session) => session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let Some(sent) = form.of_session(&state, session, now) else {
        return see_other(REPLACE);
    };
    let old = authenticator(&state, session).await?;
    if old.is_none() {
        offered(&state, session)?;
    }
    let typed = (old.is_some(), sent.of("key") == Some("typed"));
    let Some(code) = codes::read(sent.text("code")) else {
        let error = Some(words().type_the_digits());
        let response = show(&state, session, typed, error, now).await?;
        return Ok((StatusCode::BAD_REQUEST, response).into_response());
    };
    let key = new_key(&state, session, now).await?;
    let Some(step) = codes::matched_step(&key, &code, now) else {
        let error = Some(words().app_code_wrong());
        let response = show(&state, session, typed, error, now).await?;
        return Ok((StatusCode::FORBIDDEN, response).into_response());
    };
    let Some(unreset) = Unreset::of(&state, session).await? else {
        return see_other("/account?done=gone");
    };
    let (directory, person) = (&state.directory, &session.person.id);
    let kept = match &old {
        Some(old) => {
            directory
                .replace_totp(person, &old.id, &key, step, now)
                .await?
        }
        None => {
            let added = directory.add_totp(person, &key, step, now).await?;
            added.map(|factor| factor.id)
        }
    };
    let wrote = kept.as_deref().map_or(Wrote::Nothing, Wrote::Factor);
    let stands = unreset.still(wrote).await?;
    let (event, letter, done) = match old {
        Some(_) => (
            TrailEvent::FactorReplaced,
            Letter::FactorReplaced,
            "replaced",
        ),
        None => (TrailEvent::FactorAdded, Letter::FactorAdded, "added"),
    };
    if stands {
        told(&state, &visit, session, event, FactorMethod::Totp.as_str());
        tell(&state, &visit, session, letter).await?;
        throttles::lock_opened(&state, person, FactorMethod::Totp, now).await;
    }
    let store = state.sessions.store();
    store.take_state(&key_name(session.id), now).await?;
    see_other(&format!(
        "/account?done={}",
        if stands { done } else { "gone" }
    ))
}

/// A further one is set up where the company offers it; one that is there can be replaced anywhere.
fn offered(state: &State, session: &Session) -> Result<(), Trouble> {
    if offers(state, session, FactorMethod::Totp) {
        return Ok(());
    }
    Err(not_offered())
}

async fn authenticator(state: &State, session: &Session) -> Result<Option<Factor>, Trouble> {
    let factors = state.directory.factors(&session.person.id).await?;
    Ok(factors
        .into_iter()
        .find(|factor| factor.kind == FactorMethod::Totp))
}

fn key_name(session: SessionId) -> String {
    format!("new-totp:{session}")
}

/// The key that waits to be proved; made at first, and the same at a reload. It opens for the
/// cookie that it was made for.
async fn new_key(
    state: &State,
    session: &Session,
    now: Moment,
) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let store = state.sessions.store();
    let name = key_name(session.id);
    let open = |sealed: &[u8]| {
        let sealed = std::str::from_utf8(sealed).ok()?;
        state.keys.open(sealed, &session.portal)
    };
    let waiting = store.state(&name, now).await?;
    if let Some(key) = waiting.as_deref().and_then(open) {
        return Ok(key);
    }
    let mut key = Zeroizing::new(vec![0; codes::KEY_LENGTH]);
    (state.random)(key.as_mut_slice());
    let sealed = state.keys.seal(&key, &session.portal, &state.random);
    let sealed = sealed.ok_or_else(|| Trouble::internal("seal"))?;
    let new = Some(sealed.as_bytes());
    if store
        .swap_state(&name, waiting.as_deref(), new, KEY_LIFE, now)
        .await?
    {
        return Ok(key);
    }
    // Another tab was first: its key is the one.
    let waiting = store.state(&name, now).await?;
    waiting
        .as_deref()
        .and_then(open)
        .ok_or_else(|| Trouble::unavailable("busy"))
}

async fn show(
    state: &Arc<State>,
    session: &Session,
    (replaces, typed): (bool, bool),
    error: Option<&str>,
    now: Moment,
) -> Answer {
    let key = new_key(state, session, now).await?;
    let account = session.person.name.clone();
    let mut hidden = vec![("csrf", state.keys.form_token(&session.portal, now))];
    if typed {
        hidden.push(("key", String::from("typed")));
    }
    answered(&pages::Replace {
        frame: frame(state, Some(session), PATH),
        error: error.map(str::to_owned),
        replaces,
        qr: codes::qr(&key, &account, &state.title).ok_or_else(|| Trouble::internal("qr"))?,
        account,
        key: typed.then(|| codes::typed_key(&key)),
        hidden,
    })
}
