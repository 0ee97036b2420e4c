//! The password step: `POST /login`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::answer::see_other;
use super::attempt::{self, Current};
use super::credentials::{self, Proof, prove, remember, typed};
use super::devices;
use super::errand::Errand;
use super::factor;
use super::finish::proceed;
use super::form::{Form, Sent, Worth};
use super::language::words;
use super::login::{Shown, form as show, has_factor};
use super::throttles::PasswordAttempt;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, accounts, elsewhere};
use crate::directory::{Account, Person};
use crate::gate::arrival::inside;
use crate::gate::ceremony::{Event, Need, Step, advance, need, with_device};
use crate::gate::decide::found as known_session;
use crate::gate::name::{CompanyId, Login, PersonId};
use crate::gate::product::Product;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::Notice;

pub async fn submit(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let errand = Errand::of(form.unproved());
    let cookie = visit.login_cookie().map(|secret| secret.hash());
    let worth = form.worth(&state, cookie.as_ref(), now);
    if let Worth::Bound(sent) = &worth {
        return password(&state, &visit, &errand, sent, now).await;
    }
    if let Some(on) = went_on(&state, &visit, &errand, now).await? {
        return Ok(on);
    }
    if let Worth::Vouched(sent) = &worth {
        return password(&state, &visit, &errand, sent, now).await;
    }
    let username = form.unproved().text("username").chars();
    let shown = Shown {
        notice: Some(Notice::news(words().page_was_open_log_in())),
        username: username.take(Login::LONGEST).collect(),
        ..Shown::default()
    };
    show(&state, &visit, &errand, shown, now)
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
    sent: &Sent<'_>,
    now: Moment,
) -> Answer {
    let (username, password) = (sent.text("username"), sent.text("password"));
    let refuse = |error: Cow<'static, str>| {
        let shown = Shown {
            error: Some(error),
            username: username.to_owned(),
            ..Shown::default()
        };
        let response = show(state, visit, errand, shown, now)?;
        Ok((StatusCode::FORBIDDEN, response).into_response())
    };
    if username.trim().is_empty() || password.is_empty() || username.len() > Login::LONGEST {
        return refuse(words().type_username_and_password().into());
    }
    let login = Login::parse(username).ok();
    let counted = login.as_ref().map_or(username, Login::as_str);
    let attempt = PasswordAttempt::new(state, visit, counted, now);
    if let Err(trouble) = attempt.count(state, now).await {
        let tried = match attempt.is_told_first(state, now).await {
            true => holder(state, login.as_ref()).await,
            false => None,
        };
        heard(state, visit, "throttled", tried.as_ref(), None);
        return Err(trouble.with_link(errand.on("/login"), words().back_to_log_in()));
    }
    let asked = (username, login.as_ref());
    let proved = proved(state, visit, asked, password, &attempt, now).await?;
    let (account, person, epoch) = match proved {
        Proved::Right(proved) => *proved,
        Proved::Wrong(tried) => {
            heard(state, visit, "refused", tried.as_ref(), None);
            // The same for an unknown name, a wrong password, a disabled person: it tells nothing else.
            return refuse(words().username_and_password_wrong().into());
        }
        Proved::Expired(person) => {
            let (id, company) = (&person.id, &person.company);
            heard(state, visit, "expired", Some(id), Some(company));
            let reason = credentials::refusal(&Proof::Expired, state.products.primary());
            return refuse(reason.into());
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
        let response = show(state, visit, errand, shown, now)?;
        return Ok((StatusCode::FORBIDDEN, response).into_response());
    }

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
    let next = advance(Step::Password, event, now);
    proceed(state, visit, errand, next, (account, &person, epoch), now).await
}

/// Whose account it is, for the audit trail; nobody's when the directory can't say.
async fn holder(state: &State, login: Option<&Login>) -> Option<PersonId> {
    let primary = &state.products.primary().id;
    let account = state.directory.account(primary, login?).await;
    account.ok().flatten()?.person
}

enum Proved {
    /// With the person's number as it was before the password was read: who changes it while the
    /// hash is computed is seen by [`factor::undone`].
    Right(Box<(Account, Person, i64)>),
    /// Whose account was tried, if there is one: for the audit trail, not for the page.
    Wrong(Option<PersonId>),
    /// Another system says that it has to be changed there.
    Expired(Box<Person>),
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
    let holder = account.as_ref().and_then(|account| account.person.as_ref());
    let epoch = epoch_of(state, holder).await?;
    let credentials = typed(username, password);
    let asked = (&**primary, account.as_ref());
    let vouched = state.legacy.lives_elsewhere(primary);
    let silent = if vouched { "unreachable" } else { "busy" };
    let proof = prove(state, visit, asked, &credentials, attempt, now)
        .await
        .inspect_err(|_| heard(state, visit, silent, None, None))?;
    let tried = account.as_ref().and_then(|account| account.person.clone());
    let expired = matches!(proof, Proof::Expired);
    let upgrade = match proof {
        Proof::Ours(upgrade) => upgrade,
        Proof::Theirs(_) | Proof::Expired => None,
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
    if expired {
        return Ok(Proved::Expired(Box::new(person)));
    }
    remember(state, &account, &person, &credentials, now).await?;
    if let Some(upgrade) = upgrade {
        // Somebody else's newer hash wins; nothing is lost when this one can't be stored.
        if let Err(error) = state.directory.upgrade_hash(&account, &upgrade).await {
            tracing::warn!(%error, "a password hash could not be upgraded");
        }
    }
    Ok(Proved::Right(Box::new((account, person, epoch))))
}

/// Asked for a name that nobody has too: the time of an answer must not tell.
async fn epoch_of(state: &State, holder: Option<&PersonId>) -> Result<i64, Trouble> {
    let nobody = PersonId::parse("nobody").ok();
    let epoch = match holder.or(nobody.as_ref()) {
        Some(person) => state.directory.epoch(person).await?,
        None => None,
    };
    Ok(epoch.unwrap_or_default())
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
        event: TrailEvent::SignIn,
        person,
        company,
        session: None,
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail: result,
    });
}
