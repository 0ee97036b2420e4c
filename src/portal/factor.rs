//! `/login/factor` and `/login/enroll`: the second step. What is shown follows from the attempt in
//! the store, never from the address.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use zeroize::Zeroizing;

use super::answer::{page as answered, see_other};
use super::apps::frame;
use super::attempt::{self, Current};
use super::errand::Errand;
use super::fields::{Fields, Form};
use super::finish::finish;
use super::keys::FormToken;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, codes, throttles};
use crate::gate::ceremony::{Event, Ground, Next, Pending, Remark, Step, advance, offered};
use crate::gate::name::PersonId;
use crate::gate::policy::FactorMethod;
use crate::gate::time::Moment;
use crate::pages::{self, Link, MethodLink};
use crate::sessions::EndCause;

const METHOD: &str = FactorMethod::Totp.as_str();

/// The page on which a step is answered.
pub fn page_of(step: &Step) -> &'static str {
    match step {
        Step::Password => "/login",
        Step::Challenge(_) => "/login/factor",
        Step::Enrol(_) => "/login/enroll",
    }
}

pub async fn challenge_page(state: Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    opened(state.0, visit, fields, "/login/factor").await
}

pub async fn enroll_page(state: Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    opened(state.0, visit, fields, "/login/enroll").await
}

pub async fn challenge(state: Shared<Arc<State>>, visit: Visit, Form(fields): Form) -> Answer {
    submitted(state.0, visit, fields, "/login/factor").await
}

pub async fn enroll(state: Shared<Arc<State>>, visit: Visit, Form(fields): Form) -> Answer {
    submitted(state.0, visit, fields, "/login/enroll").await
}

async fn opened(state: Arc<State>, visit: Visit, fields: Fields, path: &'static str) -> Answer {
    let now = (state.clock)();
    let errand = Errand::of(&fields);
    let Some(current) = attempt::current(&state, &visit, now).await? else {
        return see_other(&errand.on("/login"));
    };
    if page_of(&current.attempt.step) != path {
        return see_other(&errand.on(page_of(&current.attempt.step)));
    }
    if fields.of("method") == Some("other") {
        return methods(&state, &current, &errand, path).await;
    }
    let typed = fields.of("key") == Some("typed");
    show(&state, &current, &errand, typed, None, now)
}

async fn submitted(state: Arc<State>, visit: Visit, fields: Fields, path: &'static str) -> Answer {
    let now = (state.clock)();
    visit.sender(&state.portal_origin)?;
    let errand = Errand::of(&fields);
    let Some(current) = attempt::current(&state, &visit, now).await? else {
        return see_other(&errand.on("/login"));
    };
    let token = state
        .keys
        .judge_form_token(fields.text("csrf"), Some(&current.cookie), now);
    // A form of another attempt or another step proves nothing about this one.
    if token != FormToken::Bound || page_of(&current.attempt.step) != path {
        return see_other(&errand.on(page_of(&current.attempt.step)));
    }
    let Some(pending) = current.attempt.step.pending() else {
        return see_other(&errand.on("/login"));
    };
    let person = pending.person().clone();
    if let Next::Ask(Step::Password, _) = advance(current.attempt.step.clone(), Event::Nothing, now)
    {
        return ended(&state, &current, &errand, "late", now).await;
    }
    let typed = fields.of("key") == Some("typed");
    let Some(code) = codes::read(fields.text("code")) else {
        let response = show(
            &state,
            &current,
            &errand,
            typed,
            Some("Type the 6 digits of the code."),
            now,
        )?;
        return Ok((StatusCode::BAD_REQUEST, response).into_response());
    };
    if let Err(trouble) = throttles::count_code(&state, &person, now).await {
        heard(&state, &visit, &person, "throttled");
        return Err(trouble.with_link(errand.on(path), "Back to the code"));
    }
    let event = match prove(&state, &current, &person, &code, now).await? {
        Proved::Right => Event::CodeRight,
        Proved::Wrong => Event::CodeWrong,
        Proved::Moot(reason) => return ended(&state, &current, &errand, reason, now).await,
    };
    match advance(current.attempt.step.clone(), event, now) {
        Next::Done(proof) => {
            throttles::code_succeeded(&state, &person, now).await?;
            heard(&state, &visit, &person, "ok");
            if !current.close(&state, now).await? {
                return see_other(&errand.on("/login"));
            }
            let epoch = current.attempt.epoch;
            let login = &current.attempt.login;
            let finished = finish(&state, &visit, &errand, proof, login, now).await?;
            let enrolled = matches!(current.attempt.step, Step::Enrol(_));
            undone(&state, &person, (epoch, enrolled), finished).await
        }
        Next::Ask(step, remark) => {
            heard(&state, &visit, &person, "refused");
            refused(&state, &current, &errand, (step, remark), typed, now).await
        }
    }
}

/// Who was reset while this sign-in was being finished: the session begun here, and the factor
/// added here, may have come too late for the reset to find. Looked at after both are written, so
/// that one of the two sees the other.
pub async fn undone(
    state: &State,
    person: &PersonId,
    (epoch, enrolled): (i64, bool),
    finished: Response,
) -> Answer {
    if !attempt::has_passed(state, person, epoch).await? {
        return Ok(finished);
    }
    if enrolled {
        state.directory.remove_factors(person).await?;
    }
    state
        .sessions
        .end_person(person, EndCause::FactorReset)
        .await?;
    see_other(&Errand::default().because("ended").on("/login"))
}

async fn refused(
    state: &Arc<State>,
    current: &Current,
    errand: &Errand,
    (step, remark): (Step, Option<Remark>),
    typed: bool,
    now: Moment,
) -> Answer {
    if step == Step::Password {
        let reason = if remark == Some(Remark::TooManyCodes) {
            "codes"
        } else {
            "late"
        };
        return ended(state, current, errand, reason, now).await;
    }
    // When another tab's answer was written first, this one is still counted for the person.
    current.advance(state, step, now).await?;
    let error = "That code is not right. Wait for the next one and try again.";
    let response = show(state, current, errand, typed, Some(error), now)?;
    Ok((StatusCode::FORBIDDEN, response).into_response())
}

async fn ended(
    state: &State,
    current: &Current,
    errand: &Errand,
    reason: &str,
    now: Moment,
) -> Answer {
    current.close(state, now).await?;
    see_other(&errand.because(reason).on("/login"))
}

enum Proved {
    Right,
    Wrong,
    /// There is nothing to prove any more; the word for the notice.
    Moot(&'static str),
}

/// Whether the code is right and was spent here, by this request, for the first time.
async fn prove(
    state: &Arc<State>,
    current: &Current,
    person: &PersonId,
    code: &str,
    now: Moment,
) -> Result<Proved, Trouble> {
    match &current.attempt.step {
        Step::Password => Ok(Proved::Moot("ended")),
        Step::Enrol(_) => {
            let key = new_key(state, current)?;
            let Some(step) = codes::matched_step(&key, code, now) else {
                return Ok(Proved::Wrong);
            };
            let added = state.directory.add_totp(person, &key, step, now).await?;
            Ok(if added.is_some() {
                Proved::Right
            } else {
                Proved::Moot("enrolled")
            })
        }
        Step::Challenge(_) => challenged(state, person, code, now).await,
    }
}

async fn challenged(
    state: &Arc<State>,
    person: &PersonId,
    code: &str,
    now: Moment,
) -> Result<Proved, Trouble> {
    let mut factors = state.directory.factors(person).await?;
    factors.retain(|factor| factor.kind == FactorMethod::Totp);
    if factors.is_empty() {
        // Reset by a user manager meanwhile: the password leads to a new enrolment.
        return Ok(Proved::Moot("ended"));
    }
    for factor in factors {
        let Some(key) = state.directory.factor_secret(&factor.id).await? else {
            continue;
        };
        if let Some(step) = codes::matched_step(&key, code, now)
            && state
                .directory
                .spend_totp_step(&factor.id, step, now)
                .await?
        {
            return Ok(Proved::Right);
        }
    }
    Ok(Proved::Wrong)
}

fn new_key(state: &State, current: &Current) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let sealed = current.attempt.new_key.as_deref();
    sealed
        .and_then(|sealed| state.keys.open(sealed, &current.cookie))
        .ok_or_else(|| Trouble::internal("seal"))
}

fn show(
    state: &Arc<State>,
    current: &Current,
    errand: &Errand,
    typed: bool,
    error: Option<&str>,
    now: Moment,
) -> Answer {
    let mut hidden = errand.hidden(state.keys.form_token(&current.cookie, now));
    let frame = frame(state, None, "/login");
    let error = error.map(str::to_owned);
    let restart = errand.on("/login");
    let path = page_of(&current.attempt.step);
    let other = errand.on_with(path, "method", "other");
    let issuer = state.title.clone();
    if let Step::Enrol(_) = current.attempt.step {
        let key = new_key(state, current)?;
        let account = current.attempt.login.to_string();
        let qr = codes::qr(&key, &account, &issuer).ok_or_else(|| Trouble::internal("qr"))?;
        if typed {
            hidden.push(("key", String::from("typed")));
        }
        return answered(&pages::Enroll {
            frame,
            notice: None,
            error,
            account,
            qr,
            key: typed.then(|| codes::typed_key(&key)),
            hidden,
            trouble: errand.on_with(path, "key", "typed"),
            scan: errand.on(path),
            other,
            restart,
        });
    }
    let restart = match current.attempt.step.pending().map(Pending::ground) {
        // A session waits behind this step: whoever can't take it can leave.
        Some(Ground::Session(_)) => Link {
            href: String::from("/logout"),
            text: String::from("Sign out"),
        },
        Some(Ground::Password) | None => Link {
            href: restart,
            text: String::from("Start again"),
        },
    };
    answered(&pages::Factor {
        frame,
        notice: None,
        error,
        issuer,
        hidden,
        other,
        restart,
    })
}

/// "Try another method": what the company offers and what is built.
async fn methods(state: &Arc<State>, current: &Current, errand: &Errand, path: &str) -> Answer {
    let person = current
        .attempt
        .step
        .pending()
        .map(|pending| pending.person());
    let company = match person {
        Some(person) => state
            .directory
            .person(person)
            .await?
            .map(|person| person.company),
        None => None,
    };
    let policies = state.policies.load();
    let policy = company.map_or(&policies.default, |company| policies.of(&company));
    let methods = offered(policy)
        .into_iter()
        .filter(|method| *method == FactorMethod::Totp)
        .map(|_| MethodLink {
            href: errand.on(path),
            text: "Authenticator app",
            about: "A one-time code from an app on your phone",
        })
        .collect();
    answered(&pages::Methods {
        frame: frame(state, None, "/login"),
        methods,
    })
}

fn heard(state: &State, visit: &Visit, person: &PersonId, result: &'static str) {
    state.observer.factor_challenge(METHOD, result);
    state.observer.audit(Audit {
        event: "factor",
        person: Some(person),
        company: None,
        session: None,
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail: result,
    });
}
