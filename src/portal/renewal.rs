//! `/login/expired`: whoever proved an expired password, and the factor where one is asked for,
//! chooses a new one and goes on to where they wanted to go.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::answer::{page, see_other};
use super::apps::frame;
use super::attempt::{fresh_secret, has_passed};
use super::errand::Errand;
use super::factor::extras::{Extras, Newcomer};
use super::factor::undone;
use super::fields::Fields;
use super::finish::finish;
use super::form::Form;
use super::letters::{self, Letter};
use super::new_password::{Owner, Wish};
use super::password::enabled;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, accounts, cookies};
use crate::directory::{Account, Person};
use crate::gate::ceremony::{LIFE, Proof};
use crate::gate::decide::found;
use crate::gate::name::{Login, PersonId};
use crate::gate::session::SecretHash;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages;
use crate::sessions::EndCause;

const PATH: &str = "/login/expired";

/// A sign-in that waits for the new password, kept under the hash of the browser's login cookie.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    proof: Proof,
    login: Login,
    /// Of the password that was proved: who knew an old one can't replace the one after it.
    password_set_at: Moment,
    /// The person's number when it began to wait: see `Directory::epoch`.
    #[serde(default)]
    epoch: i64,
    /// The person's factors when it began to wait, by their ids.
    #[serde(default)]
    factors: BTreeSet<String>,
    /// What goes with the proof.
    #[serde(default)]
    extras: Extras,
}

/// One that was found.
struct Found {
    waiting: Waiting,
    cookie: SecretHash,
    account: Account,
    person: Person,
}

fn key(cookie: &SecretHash) -> String {
    format!("renewal:{}", cookie.to_text())
}

/// Keeps what was proved and shows the page.
pub async fn ask(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    (proof, extras): (Proof, Extras),
    account: &Account,
    now: Moment,
) -> Answer {
    state.observer.sign_in("expired");
    state.observer.audit(Audit {
        event: TrailEvent::SignIn,
        person: Some(proof.person()),
        company: None,
        session: None,
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail: "password expired",
    });
    // Whoever was reset before this is sent away by `factor::undone`, without the cookie.
    let epoch = state.directory.epoch(proof.person()).await?;
    let factors = factors_of(state, proof.person()).await?;
    let secret = fresh_secret(state);
    let waiting = Waiting {
        proof,
        login: account.login.clone(),
        password_set_at: account.password_set_at,
        epoch: epoch.unwrap_or_default(),
        factors,
        extras,
    };
    let written = serde_json::to_vec(&waiting).map_err(|_| Trouble::internal("renewal"))?;
    state
        .sessions
        .store()
        .swap_state(&key(&secret.hash()), None, Some(&written), LIFE, now)
        .await?;
    let mut response = see_other(&errand.on(PATH))?;
    cookies::set_login(&mut response, &secret);
    Ok(response)
}

/// Which factors somebody has: another in the place of one is another.
async fn factors_of(state: &State, person: &PersonId) -> Result<BTreeSet<String>, Trouble> {
    let factors = state.directory.factors(person).await?;
    Ok(factors.into_iter().map(|factor| factor.id).collect())
}

async fn waiting(state: &State, visit: &Visit, now: Moment) -> Result<Option<Found>, Trouble> {
    let Some(secret) = visit.login_cookie() else {
        return Ok(None);
    };
    let cookie = secret.hash();
    let written = state.sessions.store().state(&key(&cookie), now).await?;
    let Some(waiting) = written.and_then(|bytes| serde_json::from_slice::<Waiting>(&bytes).ok())
    else {
        return Ok(None);
    };
    let primary = &state.products.primary().id;
    let Some(account) = state.directory.account(primary, &waiting.login).await? else {
        return Ok(None);
    };
    let person = waiting.proof.person();
    if account.password_set_at != waiting.password_set_at
        || has_passed(state, person, waiting.epoch).await?
    {
        return Ok(None);
    }
    let person = enabled(state, &account).await?;
    Ok(person
        .filter(|person| person.id == *waiting.proof.person())
        .map(|person| Found {
            waiting,
            cookie,
            account,
            person,
        }))
}

pub async fn opened(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let errand = Errand::of(&fields);
    match waiting(&state, &visit, now).await? {
        Some(found) => show(&state, &errand, &found, None, now),
        None => see_other(&errand.on("/login")),
    }
}

pub async fn submitted(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let errand = Errand::of(form.unproved());
    let Some(found) = waiting(&state, &visit, now).await? else {
        return see_other(&errand.because("late").on("/login"));
    };
    let Some(sent) = form.of_cookie(&state, Some(&found.cookie), now) else {
        return see_other(&errand.on(PATH));
    };
    let tenancy = accounts::tenancy(&found.account, &found.person.company);
    let owner = Owner::of_person(&found.person, &tenancy.current);
    let wish = Wish::of(&sent);
    let hash = match wish.judged(&state, &found.account, &owner, now).await? {
        Ok(hash) => hash,
        Err(reason) => {
            let shown = show(&state, &errand, &found, Some(reason), now)?;
            return Ok((StatusCode::FORBIDDEN, shown).into_response());
        }
    };
    // Exactly one of many who send this page goes on.
    let store = state.sessions.store();
    if store.take_state(&key(&found.cookie), now).await?.is_none()
        || !state
            .directory
            .change_password(&found.account, &hash, now)
            .await?
    {
        return see_other(&errand.because("ended").on("/login"));
    }
    changed(&state, &visit, &found.person, &found.account).await?;
    let Waiting {
        proof,
        login,
        epoch,
        factors,
        mut extras,
        ..
    } = found.waiting;
    // What stands in for a factor ends with it, also when that was while this waited.
    if extras.remember && factors != factors_of(&state, &found.person.id).await? {
        extras.remember = false;
    }
    let whose = (&found.person, &login);
    let newcomer = Newcomer::of(&state, &visit, &errand, whose, now).await?;
    let finished = finish(&state, &visit, &errand, (proof, extras), &login, now).await?;
    let answer = extras.given(&newcomer, finished).await?;
    // The new password has raised the number by one.
    let began = (epoch.saturating_add(1), extras.enrolled);
    undone(&state, &found.person.id, began, answer).await
}

/// Who knew the old password is out: every session ends but this browser's own.
pub async fn changed(
    state: &State,
    visit: &Visit,
    person: &Person,
    account: &Account,
) -> Result<(), Trouble> {
    let kept = found(&visit.known)
        .filter(|found| found.session.person.id == person.id)
        .map(|found| found.session.id);
    // First on record and told: it is done, whether or not the sessions can be ended.
    state.observer.audit(Audit {
        event: TrailEvent::PasswordChanged,
        person: Some(&person.id),
        company: Some(&person.company),
        session: kept,
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail: &format!("{} {}", account.product, account.login),
    });
    letters::tell(state, visit, person, Letter::PasswordChanged);
    state
        .sessions
        .end_others(&person.id, kept, EndCause::PasswordChanged)
        .await?;
    Ok(())
}

fn show(
    state: &State,
    errand: &Errand,
    found: &Found,
    error: Option<String>,
    now: Moment,
) -> Answer {
    let tenancy = accounts::tenancy(&found.account, &found.person.company);
    let owner = Owner::of_person(&found.person, &tenancy.current);
    page(&pages::Expired {
        frame: frame(state, None, "/login"),
        product: state.products.primary().name.clone(),
        login: found.account.login.to_string(),
        shortest: owner.shortest(state),
        error,
        hidden: errand.hidden(state.keys.form_token(&found.cookie, now)),
    })
}
