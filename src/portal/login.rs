//! `/login`: the one page through which everybody comes, with or without a session.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use zeroize::Zeroizing;

use super::answer::{found, page as answered, see_other};
use super::apps::frame;
use super::attempt::{self, Current};
use super::errand::{Errand, Landing};
use super::factor;
use super::fields::{Fields, Form};
use super::finish::finish;
use super::keys::FormToken;
use super::throttles::{PasswordAttempt, in_words};
use super::trouble::{Answer, Trouble};
use super::visit::{Sender, Visit};
use super::{Audit, State, cookies, tickets};
use crate::directory::passwords::Verdict;
use crate::directory::{Account, Person};
use crate::gate::arrival::{Again, Arrival, Over, Place, arrive, inside};
use crate::gate::ceremony::{Event, Next, Step, advance, from_session, need};
use crate::gate::decide::found as known_session;
use crate::gate::name::Login;
use crate::gate::policy::FactorMethod;
use crate::gate::product::Product;
use crate::gate::session::{Found, Session};
use crate::gate::time::Moment;
use crate::pages::{self, Notice};

/// The same for an unknown name, a wrong password, a disabled person: it tells nothing else.
const REFUSED: &str = "That username and password don't match.";

/// What the form shows.
#[derive(Default)]
struct Shown {
    notice: Option<Notice>,
    error: Option<&'static str>,
    username: String,
    fixed: bool,
}

pub async fn page(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    arrived(&state, &visit, &Errand::of(&fields), now).await
}

async fn arrived(state: &Arc<State>, visit: &Visit, errand: &Errand, now: Moment) -> Answer {
    let landing = landing_of(state, visit, errand).await?;
    let policies = state.policies.load_full();
    let here = match &landing {
        Landing::Product { product, .. } => last_here(state, visit, product).await?,
        Landing::Portal { .. } => None,
    };
    let place = match &landing {
        Landing::Product { product, .. } => Place::Product { product, here },
        Landing::Portal { .. } => Place::Portal,
    };
    match arrive(&visit.known, &policies, place, errand.fresh_factor(), now) {
        Arrival::Unavailable => Err(Trouble::unavailable("store")),
        Arrival::Enter(found) => hand_over(state, errand, &landing, found, now).await,
        Arrival::SignIn(over) => {
            let notice = over.map(over_notice).or_else(|| reason_notice(errand));
            form(state, visit, errand, Shown { notice, ..Shown::default() }, now)
        }
        Arrival::PasswordAgain(found, again) => {
            let notice = again_notice(again, &landing);
            same_person(state, visit, errand, &found.session, notice, now).await
        }
        Arrival::Factor(found) => ask_factor(state, visit, errand, found, now).await,
    }
}

async fn landing_of(state: &Arc<State>, visit: &Visit, errand: &Errand) -> Result<Landing, Trouble> {
    let default = match known_session(&visit.known) {
        Some(found) if !errand.has_rd() => {
            let person = state.directory.person(&found.session.person.id).await?;
            person.and_then(|person| person.default_product)
        }
        _ => None,
    };
    Ok(errand.landing(state, default.as_ref()))
}

/// The last activity of this browser's session in `product`; `None` when it never entered.
pub(super) async fn last_here(
    state: &Arc<State>,
    visit: &Visit,
    product: &Product,
) -> Result<Option<Moment>, Trouble> {
    let Some(found) = known_session(&visit.known) else {
        return Ok(None);
    };
    let Some(entry) = found.session.entries.get(&product.id) else {
        return Ok(None);
    };
    let seen = state.sessions.store().last_seen(found.session.id).await?.unwrap_or_default();
    let seen = seen.products.get(&product.id).copied().unwrap_or(Moment::EPOCH);
    Ok(Some(seen.max(entry.entered_at)))
}

async fn hand_over(
    state: &Arc<State>,
    errand: &Errand,
    landing: &Landing,
    inside: &Found,
    now: Moment,
) -> Answer {
    match (landing, errand.bind()) {
        (Landing::Portal { url }, _) => found(url),
        (Landing::Product { product, path, .. }, Some(bind)) => {
            let id = inside.session.id;
            found(&tickets::issue(state, id, product, *bind, (errand, path), now).await?)
        }
        // Without a bind there is no browser to bind to: the product's host sends one back here.
        (Landing::Product { url, .. }, None) => found(url),
    }
}

async fn ask_factor(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    found: &Found,
    now: Moment,
) -> Answer {
    let session = &found.session;
    if let Some(current) = attempt::current(state, visit, now).await?
        && current.attempt.step.pending().is_some_and(|p| *p.person() == session.person.id)
    {
        return see_other(&errand.on(factor::page_of(&current.attempt.step)));
    }
    let enrolled = has_totp(state, &session.person.id).await?;
    let step = from_session(session.person.id.clone(), session.id, enrolled, now);
    if step == Step::Password {
        let notice = Notice::news(
            "A second proof is needed here, and you have none yet. Please enter your password again to set it up.",
        );
        return same_person(state, visit, errand, session, notice, now).await;
    }
    let login = primary_login(state, session).await?.ok_or_else(|| Trouble::new(403, "no_account"))?;
    to_step(state, visit, errand, step, login, now).await
}

/// Keeps the step under a new cookie and shows its page.
async fn to_step(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    step: Step,
    login: Login,
    now: Moment,
) -> Answer {
    let mut response = see_other(&errand.on(factor::page_of(&step)))?;
    let secret = attempt::begin(state, visit, step, login, now).await?;
    cookies::set_login(&mut response, &secret);
    Ok(response)
}

async fn same_person(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    session: &Session,
    notice: Notice,
    now: Moment,
) -> Answer {
    let login = primary_login(state, session).await?;
    let shown = Shown {
        notice: Some(notice),
        fixed: login.is_some(),
        username: login.map(|login| login.to_string()).unwrap_or_default(),
        error: None,
    };
    form(state, visit, errand, shown, now)
}

async fn primary_login(state: &Arc<State>, session: &Session) -> Result<Option<Login>, Trouble> {
    super::accounts::login_in(state, &session.person.id, state.products.primary()).await
}

pub(super) async fn has_totp(
    state: &State,
    person: &crate::gate::name::PersonId,
) -> Result<bool, Trouble> {
    let factors = state.directory.factors(person).await?;
    Ok(factors.iter().any(|factor| factor.kind == FactorMethod::Totp))
}

pub async fn submit(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Form(fields): Form,
) -> Answer {
    let now = (state.clock)();
    let sender = visit.sender(&state.portal_origin)?;
    let errand = Errand::of(&fields);
    let cookie = visit.login_cookie().map(|secret| secret.hash());
    let token = state.keys.judge_form_token(fields.text("csrf"), cookie.as_ref(), now);
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
                notice: Some(Notice::news("This page was open for a while. Please log in now.")),
                username: fields.text("username").chars().take(Login::LONGEST).collect(),
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
        Some(Current { attempt, .. }) => see_other(&errand.on(factor::page_of(&attempt.step))).map(Some),
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
        let shown = Shown { error: Some(error), username: username.to_owned(), ..Shown::default() };
        let response = form(state, visit, errand, shown, now)?;
        Ok((StatusCode::FORBIDDEN, response).into_response())
    };
    if username.trim().is_empty() || password.is_empty() || username.len() > Login::LONGEST {
        return refuse("Type your username and your password.");
    }
    let login = Login::parse(username).ok();
    let counted = login.as_ref().map_or(username, Login::as_str);
    let attempt = PasswordAttempt::new(counted, &visit.network());
    if let Err(trouble) = attempt.count(state, now).await {
        heard(state, visit, "throttled", None);
        return Err(trouble);
    }
    let Some((account, person)) = proved(state, visit, login.as_ref(), password).await? else {
        heard(state, visit, "refused", None);
        return refuse(REFUSED);
    };
    attempt.succeed(state, now).await?;

    let wanted = wants_factor(state, visit, &account, &person) || errand.fresh_factor().is_some();
    let enrolled = wanted && has_totp(state, &person.id).await?;
    let event = Event::PasswordRight { person: person.id.clone(), need: need(wanted, enrolled) };
    match advance(Step::Password, event, now) {
        Next::Done(proof) => finish(state, visit, errand, proof, &account.login, now).await,
        Next::Ask(step, _) => {
            heard(state, visit, "factor_wanted", Some(&person));
            to_step(state, visit, errand, step, account.login, now).await
        }
    }
}

/// Whose password it is. One hash is computed whoever is asked for, so that the time tells
/// nothing either.
async fn proved(
    state: &Arc<State>,
    visit: &Visit,
    login: Option<&Login>,
    password: &str,
) -> Result<Option<(Account, Person)>, Trouble> {
    let account = match login {
        Some(login) => state.directory.account(&state.products.primary().id, login).await?,
        None => None,
    };
    let stored = account.as_ref().map(|account| account.password_hash.clone());
    let verdict = state.hasher.verify(stored, Zeroizing::new(password.to_owned())).await;
    let Ok(Verdict { correct, upgrade }) = verdict else {
        heard(state, visit, "busy", None);
        return Err(Trouble::unavailable("busy").saying(
            "Many people are logging in right now",
            "Your login could not be checked yet.",
            "Wait a few seconds, then try again.",
        ));
    };
    let Some(account) = account.filter(|_| correct) else {
        return Ok(None);
    };
    let Some(person) = enabled(state, &account).await? else {
        return Ok(None);
    };
    if let Some(upgrade) = upgrade {
        // Somebody else's newer hash wins; nothing is lost when this one can't be stored.
        if let Err(error) = state.directory.upgrade_hash(&account, &upgrade).await {
            tracing::warn!(%error, "a password hash could not be upgraded");
        }
    }
    Ok(Some((account, person)))
}

/// The person behind an account, unless disabled.
pub(super) async fn enabled(state: &State, account: &Account) -> Result<Option<Person>, Trouble> {
    let Some(id) = &account.person else {
        return Ok(None);
    };
    Ok(state.directory.person(id).await?.filter(|person| !person.disabled))
}

fn wants_factor(state: &State, visit: &Visit, account: &Account, person: &Person) -> bool {
    let policies = state.policies.load();
    let company = account.default_company.as_ref().unwrap_or(&person.company);
    let current = known_session(&visit.known)
        .filter(|found| found.session.person.id == person.id)
        .map(|found| found.session.company.clone());
    policies.wants_factor(company, &person.id)
        || current.is_some_and(|company| policies.wants_factor(&company, &person.id))
}

fn heard(state: &State, visit: &Visit, result: &'static str, person: Option<&Person>) {
    state.observer.sign_in(result);
    state.observer.audit(Audit {
        event: "sign_in",
        person: person.map(|person| &person.id),
        company: person.map(|person| &person.company),
        session: None,
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail: result,
    });
}

fn form(state: &State, visit: &Visit, errand: &Errand, shown: Shown, now: Moment) -> Answer {
    let old = visit.login_cookie();
    let secret = old.clone().unwrap_or_else(|| attempt::fresh_secret(state));
    let token = state.keys.form_token(&secret.hash(), now);
    let mut response = answered(&pages::Login {
        frame: frame(state, None, "/login"),
        destination: errand.wanted(state).map(|product| product.name.clone()),
        notice: shown.notice,
        error: shown.error.map(str::to_owned),
        username: shown.username,
        fixed: shown.fixed,
        hidden: errand.hidden(token),
    })?;
    if old.is_none() {
        cookies::set_login(&mut response, &secret);
    }
    Ok(response)
}

fn over_notice(over: Over) -> Notice {
    match over {
        Over::Idle(idle) => {
            Notice::news(format!("You were signed out after {} without activity.", in_words(idle)))
        }
        Over::Maximum(maximum) => {
            Notice::news(format!("A sign-in lasts {}. Please log in again.", in_words(maximum)))
        }
    }
}

fn again_notice(again: Again, landing: &Landing) -> Notice {
    let Again::ProductIdle(idle) = again;
    let name = match landing {
        Landing::Product { product, .. } => product.name.as_str(),
        Landing::Portal { .. } => "This page",
    };
    Notice::news(format!(
        "{name} was closed after {} without activity. Please enter your password again.",
        in_words(idle)
    ))
}

/// For the words that we put into addresses ourselves; any other says nothing.
fn reason_notice(errand: &Errand) -> Option<Notice> {
    let text = match errand.reason.as_deref()? {
        "ended" => "Your sign-in has ended. Please log in again.",
        "idle" => "You were signed out after a time without activity.",
        "maximum" => "Your sign-in has reached its longest time. Please log in again.",
        "codes" => {
            return Some(Notice::wrong(
                "That code was wrong too often. Please start again with your password.",
            ));
        }
        "late" => "The code was not entered in time. Please log in again.",
        "enrolled" => "You have an authenticator already. Please log in with it.",
        _ => return None,
    };
    Some(Notice::news(text))
}
