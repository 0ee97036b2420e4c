//! `/login`: the one page through which everybody comes, with or without a session.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;

use super::answer::{found, page as answered, see_other};
use super::apps::frame;
use super::attempt;
use super::errand::{Errand, Landing};
use super::factor;
use super::fields::Fields;
use super::language::words;
use super::throttles::in_words;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{State, cookies, elsewhere, tickets};
use crate::gate::arrival::{Again, Arrival, Over, Place, arrive};
use crate::gate::ceremony::{Step, from_session};
use crate::gate::decide::found as known_session;
use crate::gate::name::{CompanyId, Login, PersonId};
use crate::gate::product::Product;
use crate::gate::session::{Found, Known, SecretHash, Session, Stranger};
use crate::gate::time::Moment;
use crate::pages::{self, Notice};

/// What the form shows.
#[derive(Default)]
pub struct Shown {
    pub notice: Option<Notice>,
    pub error: Option<Cow<'static, str>>,
    pub username: String,
    /// The same person must prove themselves again.
    pub fixed: bool,
    /// Whose provider is offered alone; `None`: those that everybody is shown.
    pub company: Option<CompanyId>,
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
            let notice = match over {
                Some(over) => Some(over_notice(over)),
                None => reason_notice(&because(state, visit, errand, now).await),
            };
            form(
                state,
                visit,
                errand,
                Shown {
                    notice,
                    ..Shown::default()
                },
                now,
            )
        }
        Arrival::PasswordAgain(found, again) => {
            let notice = again_notice(again, &landing);
            same_person(state, visit, errand, &found.session, notice, now).await
        }
        Arrival::Factor(found) => ask_factor(state, visit, errand, found, now).await,
    }
}

/// Who comes with an ended session's cookie and without a reason: what its end was.
async fn because(state: &State, visit: &Visit, errand: &Errand, now: Moment) -> Errand {
    if errand.reason.is_some() || !matches!(visit.known, Known::Nobody(Stranger::Ended)) {
        return errand.clone();
    }
    let why = state.sessions.why_ended(&visit.facts.cookie, now).await;
    match why {
        Ok(Some(cause)) => errand.because(cause.as_str()),
        Ok(None) => errand.clone(),
        Err(error) => {
            tracing::warn!(%error, "why a sign-in ended could not be asked");
            errand.clone()
        }
    }
}

async fn landing_of(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
) -> Result<Landing, Trouble> {
    let default = match known_session(&visit.known) {
        Some(found) if !errand.has_rd() => {
            super::single_sign_on::default_product(state, &found.session).await?
        }
        _ => None,
    };
    Ok(errand.landing(state, default.as_ref()))
}

/// The last activity of this browser's session in `product`; `None` when it never entered.
pub async fn last_here(
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
    let seen = state
        .sessions
        .store()
        .last_seen(found.session.id)
        .await?
        .unwrap_or_default();
    let seen = seen
        .products
        .get(&product.id)
        .copied()
        .unwrap_or(Moment::EPOCH);
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
    let epoch = state.directory.epoch(&session.person.id).await?;
    if let Some(current) = attempt::current(state, visit, now).await?
        && current
            .attempt
            .step
            .pending()
            .is_some_and(|p| *p.person() == session.person.id)
    {
        return see_other(&errand.on(factor::page_of(&current.attempt.step)));
    }
    let enrolled = has_factor(state, &session.person.id).await?;
    let step = from_session(session.person.id.clone(), session.id, enrolled, now);
    if step == Step::Password {
        let notice = Notice::news(words().factor_needed_here());
        return same_person(state, visit, errand, session, notice, now).await;
    }
    let login = primary_login(state, session)
        .await?
        .ok_or_else(|| Trouble::new(403, "no_account"))?;
    let begun = (login, epoch.unwrap_or_default());
    let (response, _) = begin_step(state, visit, errand, step, begun, now).await?;
    Ok(response)
}

/// Keeps the step under a new cookie and leads to its page; with what the cookie hashes to. `begun`:
/// see [`attempt::begin`].
pub async fn begin_step(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    step: Step,
    begun: (Login, i64),
    now: Moment,
) -> Result<(Response, SecretHash), Trouble> {
    let mut response = see_other(&errand.on(factor::page_of(&step)))?;
    let secret = attempt::begin(state, visit, step, begun, now).await?;
    cookies::set_login(&mut response, &secret);
    Ok((response, secret.hash()))
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
    let person = state.directory.person(&session.person.id).await?;
    let home = person.map(|person| person.company);
    let shown = Shown {
        notice: Some(notice),
        fixed: login.is_some(),
        username: login.map(|login| login.to_string()).unwrap_or_default(),
        error: None,
        company: home,
    };
    form(state, visit, errand, shown, now)
}

async fn primary_login(state: &Arc<State>, session: &Session) -> Result<Option<Login>, Trouble> {
    super::accounts::login_in(state, &session.person.id, state.products.primary()).await
}

/// Whether there is a factor to ask for, whatever its method.
pub async fn has_factor(state: &State, person: &PersonId) -> Result<bool, Trouble> {
    Ok(!state.directory.factors(person).await?.is_empty())
}

pub fn form(state: &State, visit: &Visit, errand: &Errand, shown: Shown, now: Moment) -> Answer {
    let old = visit.login_cookie();
    let secret = old.clone().unwrap_or_else(|| attempt::fresh_secret(state));
    let token = state.keys.form_token(&secret.hash(), now);
    let mut response = answered(&pages::Login {
        frame: frame(state, None, "/login"),
        destination: errand.wanted(state).map(|product| product.name.clone()),
        notice: with_form(state, errand, shown.notice),
        error: shown.error.map(Cow::into_owned),
        username: shown.username,
        fixed: shown.fixed,
        elsewhere: elsewhere::links(state, errand, shown.company.as_ref()),
        finder: elsewhere::finder(state, errand).filter(|_| !shown.fixed),
        hidden: errand.hidden(token),
    })?;
    if old.is_none() {
        cookies::set_login(&mut response, &secret);
    }
    Ok(response)
}

/// Who was in the middle of a form is told at once whether it is lost.
fn with_form(state: &State, errand: &Errand, notice: Option<Notice>) -> Option<Notice> {
    let (text, wrong) = if errand.has_form(state) {
        (words().form_is_safe_after_log_in(), false)
    } else if errand.has_lost_form(state) {
        (words().form_is_lost_after_log_in(), true)
    } else {
        return notice;
    };
    Some(match notice {
        Some(notice) => Notice {
            text: format!("{} {text}", notice.text),
            wrong: notice.wrong || wrong,
        },
        None if wrong => Notice::wrong(text),
        None => Notice::news(text),
    })
}

fn over_notice(over: Over) -> Notice {
    match over {
        Over::Idle(idle) => Notice::news(words().signed_out_after(&in_words(idle))),
        Over::Maximum(maximum) => Notice::news(words().sign_in_lasts(&in_words(maximum))),
    }
}

fn again_notice(again: Again, landing: &Landing) -> Notice {
    let Again::ProductIdle(idle) = again;
    let name = match landing {
        Landing::Product { product, .. } => product.name.as_str(),
        Landing::Portal { .. } => words().this_page(),
    };
    Notice::news(words().closed_after(name, &in_words(idle)))
}

/// For the words that we put into addresses ourselves; any other says nothing.
fn reason_notice(errand: &Errand) -> Option<Notice> {
    let text = match errand.reason.as_deref()? {
        "ended" => words().sign_in_ended(),
        "idle" => words().signed_out_idle(),
        "maximum" => words().sign_in_too_long(),
        "codes" => {
            return Some(Notice::wrong(words().codes_wrong_too_often()));
        }
        "changed" => words().password_is_changed(),
        "late" => words().code_came_late(),
        "enrolled" => words().enrolled_already(),
        _ => return None,
    };
    Some(Notice::news(text))
}
