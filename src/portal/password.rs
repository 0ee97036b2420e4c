//! The password step: `POST /login`.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::answer::see_other;
use super::attempt::{self, Current};
use super::credentials::{Proof, prove, remember, typed};
use super::devices;
use super::errand::Errand;
use super::factor;
use super::fields::{Fields, Form};
use super::finish::finish;
use super::keys::FormToken;
use super::language::words;
use super::login::{Shown, begin_step, form, has_factor};
use super::throttles::PasswordAttempt;
use super::trouble::{Answer, Trouble};
use super::visit::{Sender, Visit};
use super::{Audit, State, accounts, elsewhere};
use crate::directory::{Account, Person};
use crate::gate::arrival::inside;
use crate::gate::ceremony::{Event, Need, Next, Step, advance, need, with_device};
use crate::gate::decide::found as known_session;
use crate::gate::name::{CompanyId, Login, PersonId};
use crate::gate::product::Product;
use crate::gate::time::Moment;
use crate::pages::Notice;

pub async fn submit(Shared(state): Shared<Arc<State>>, visit: Visit, Form(fields): Form) -> Answer {
    let now = (state.clock)();
    let sender = visit.sender(&state.portal_origin)?;
    let errand = Errand::of(&fields);
    let cookie = visit.login_cookie().map(|secret| secret.hash());
    let token = state
        .keys
        .judge_form_token(fields.text("csrf"), cookie.as_ref(), now);
    match (token, sender) {
        (FormToken::Bound, _) => {}
        (FormToken::Ours, Sender::Vouched) => {
            if let Some(on) = went_on(&state, &visit, &errand, now).await? {
                return Ok(on);
            }
        }
        (FormToken::Ours | FormToken::Worthless, _) => {
            if let Some(on) = went_on(&state, &visit, &errand, now).await? {
                return Ok(on);
            }
            let shown = Shown {
                notice: Some(Notice::news(words().page_was_open_log_in())),
                username: fields
                    .text("username")
                    .chars()
                    .take(Login::LONGEST)
                    .collect(),
                ..Shown::default()
            };
            return form(&state, &visit, &errand, shown, now);
        }
    }
    password(&state, &visit, &errand, &fields, now).await
}

/// Another tab was faster: on to where this one wanted to go, or to the step that waits.
async fn went_on(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    now: Moment,
) -> Result<Option<Response>, Trouble> {
    if inside(&visit.known, &state.policies.load(), now).is_some() {
        return see_other(&errand.on("/login")).map(Some);
    }
    match attempt::current(state, visit, now).await? {
        Some(Current { attempt, .. }) => {
            see_other(&errand.on(factor::page_of(&attempt.step))).map(Some)
        }
        None => Ok(None),
    }
}

async fn password(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    fields: &Fields,
    now: Moment,
) -> Answer {
    let (username, password) = (fields.text("username"), fields.text("password"));
    let refuse = |error| {
        let shown = Shown {
            error: Some(error),
            username: username.to_owned(),
            ..Shown::default()
        };
        let response = form(state, visit, errand, shown, now)?;
        Ok((StatusCode::FORBIDDEN, response).into_response())
    };
    if username.trim().is_empty() || password.is_empty() || username.len() > Login::LONGEST {
        return refuse(words().type_username_and_password());
    }
    let login = Login::parse(username).ok();
    let counted = login.as_ref().map_or(username, Login::as_str);
    let attempt = PasswordAttempt::new(counted, &visit.network());
    if let Err(trouble) = attempt.count(state, now).await {
        heard(state, visit, "throttled", None, None);
        return Err(trouble.with_link(errand.on("/login"), words().back_to_log_in()));
    }
    let asked = (username, login.as_ref());
    let (account, person) = match proved(state, visit, asked, password, &attempt, now).await? {
        Proved::Right(proved) => *proved,
        Proved::Wrong(tried) => {
            heard(state, visit, "refused", tried.as_ref(), None);
            // The same for an unknown name, a wrong password, a disabled person: it tells nothing else.
            return refuse(words().username_and_password_wrong());
        }
    };
    attempt.succeed(state, now).await?;
    if let Some(label) = elsewhere::instead_of_password(state, &person) {
        heard(
            state,
            visit,
            "refused",
            Some(&person.id),
            Some(&person.company),
        );
        let shown = Shown {
            notice: Some(Notice::news(words().company_signs_in_through(&label))),
            company: Some(person.company.clone()),
            ..Shown::default()
        };
        let response = form(state, visit, errand, shown, now)?;
        return Ok((StatusCode::FORBIDDEN, response).into_response());
    }

    let epoch = state.directory.epoch(&person.id).await?.unwrap_or_default();
    let fresh = errand.fresh_factor().is_some();
    let wanted = wants_factor(state, visit, &account, &person) || fresh;
    let enrolled = wanted && has_factor(state, &person.id).await?;
    let mut need = need(wanted, enrolled);
    if need == Need::Challenge {
        let stands_in = devices::stands_in(state, visit, &account, &person, now).await?;
        need = with_device(need, fresh, stands_in);
    }
    let event = Event::PasswordRight {
        person: person.id.clone(),
        need,
    };
    match advance(Step::Password, event, now) {
        Next::Done(proof) => {
            if proof.by_device() {
                devices::used(state, visit, &person, now).await?;
            }
            let finished = finish(state, visit, errand, proof, &account.login, now).await?;
            factor::undone(state, &person.id, (epoch, false), finished).await
        }
        Next::Ask(step, _) => {
            heard(
                state,
                visit,
                "factor_wanted",
                Some(&person.id),
                Some(&person.company),
            );
            let (response, attempt) =
                begin_step(state, visit, errand, step, account.login, now).await?;
            // Here and not where the page is opened: opening a page sends nothing.
            factor::greet(state, visit, errand, attempt, now).await;
            Ok(response)
        }
    }
}

enum Proved {
    Right(Box<(Account, Person)>),
    /// Whose account was tried, if there is one: for the audit trail, not for the page.
    Wrong(Option<PersonId>),
}

/// Whose password it is. One hash is computed whoever is asked for, so that the time tells
/// nothing either.
async fn proved(
    state: &Arc<State>,
    visit: &Visit,
    (username, login): (&str, Option<&Login>),
    password: &str,
    attempt: &PasswordAttempt,
    now: Moment,
) -> Result<Proved, Trouble> {
    let primary = state.products.primary();
    let account = match login {
        Some(login) => state.directory.account(&primary.id, login).await?,
        None => None,
    };
    let credentials = typed(username, password);
    let asked = (&**primary, account.as_ref());
    let vouched = state.legacy.lives_elsewhere(primary);
    let silent = if vouched { "unreachable" } else { "busy" };
    let proof = prove(state, visit, asked, &credentials, attempt, now)
        .await
        .inspect_err(|_| heard(state, visit, silent, None, None))?;
    let tried = account.as_ref().and_then(|account| account.person.clone());
    let upgrade = match proof {
        Proof::Ours(upgrade) => upgrade,
        Proof::Theirs => None,
        Proof::Wrong => return Ok(Proved::Wrong(tried)),
        Proof::Unknown => {
            tracing::debug!("a name that the directory of passwords does not know");
            return Ok(Proved::Wrong(tried));
        }
    };
    let Some(account) = account.filter(|account| !vouched || account.person.is_some()) else {
        return Err(not_set_up(state, visit, attempt, primary, now).await);
    };
    let Some(person) = enabled(state, &account).await? else {
        return Ok(Proved::Wrong(tried));
    };
    remember(state, &account, &person, &credentials, now).await?;
    if let Some(upgrade) = upgrade {
        // Somebody else's newer hash wins; nothing is lost when this one can't be stored.
        if let Err(error) = state.directory.upgrade_hash(&account, &upgrade).await {
            tracing::warn!(%error, "a password hash could not be upgraded");
        }
    }
    Ok(Proved::Right(Box::new((account, person))))
}

/// Whoever keeps the passwords vouches for somebody whom the directory does not know. It is told
/// only to who has proved it.
async fn not_set_up(
    state: &State,
    visit: &Visit,
    attempt: &PasswordAttempt,
    primary: &Product,
    now: Moment,
) -> Trouble {
    if let Err(trouble) = attempt.succeed(state, now).await {
        return trouble;
    }
    heard(state, visit, "refused", None, None);
    Trouble::new(403, "not_set_up").saying(
        words().not_set_up(),
        words().not_set_up_what(&primary.name),
        words().not_set_up_remedy(),
    )
}

/// The person behind an account, unless disabled.
pub async fn enabled(state: &State, account: &Account) -> Result<Option<Person>, Trouble> {
    let Some(id) = &account.person else {
        return Ok(None);
    };
    Ok(state
        .directory
        .person(id)
        .await?
        .filter(|person| !person.disabled))
}

pub fn wants_factor(state: &State, visit: &Visit, account: &Account, person: &Person) -> bool {
    let policies = state.policies.load();
    let company = accounts::tenancy(account, &person.company).current;
    let current = known_session(&visit.known)
        .filter(|found| found.session.person.id == person.id)
        .map(|found| Arc::clone(&found.session));
    policies.wants_factor(&company, &person.id)
        || current.is_some_and(|session| {
            let mut companies = session.companies_at_work();
            companies.any(|company| policies.wants_factor(company, &person.id))
        })
}

pub fn heard(
    state: &State,
    visit: &Visit,
    result: &'static str,
    person: Option<&PersonId>,
    company: Option<&CompanyId>,
) {
    state.observer.sign_in(result);
    state.observer.audit(Audit {
        event: "sign_in",
        person,
        company,
        session: None,
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail: result,
    });
}
