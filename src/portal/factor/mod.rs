//! `/login/factor` and `/login/enroll`: the second step. What is shown follows from the attempt in
//! the store, never from the address.
//!
//! Here is what all methods have in common; [`methods`] says which file answers for which.

pub mod codes;
mod device;
pub mod extras;
mod methods;
mod passkey;
mod recovery;
mod scene;
pub mod sent;
pub mod sent_pages;
mod totp;

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use self::extras::Extras;
use self::methods::Proved;
use self::scene::{Missing, Scene, Shown};
use super::answer::see_other;
use super::attempt::{self, Current};
use super::errand::Errand;
use super::fields::Fields;
use super::finish::finish;
use super::form::{Form, Sent};
use super::letters::{self, Letter};
use super::throttles::Counted;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, throttles};
use crate::gate::ceremony::{Event, Next, Remark, Step, advance};
use crate::gate::contact::Address;
use crate::gate::name::PersonId;
use crate::gate::policy::FactorMethod;
use crate::gate::session::SecretHash;
use crate::gate::throttle::FACTOR_CODES;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::messages::Channel;
use crate::portal::language::{self, words};
use crate::sessions::EndCause;

pub use self::codes::KEY_LENGTH;
pub use self::methods::name;
pub use self::scene::ready;

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

pub async fn challenge(state: Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    submitted(state.0, visit, form, "/login/factor").await
}

pub async fn enroll(state: Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    submitted(state.0, visit, form, "/login/enroll").await
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
    let scene = match Scene::set(&state, &visit, &errand, &current, &fields, now).await? {
        Ok(scene) => scene,
        Err(missing) => return without(&state, &current, &errand, missing, now).await,
    };
    if fields.of("method") == Some("other") {
        let left = fields.of("from").and_then(FactorMethod::parse);
        return methods::list(&scene, left);
    }
    let shown = Shown {
        typed_key: fields.of("key") == Some("typed"),
        anew: fields.of("to") == Some("new"),
        ..Shown::default()
    };
    methods::show(&scene, shown).await
}

async fn submitted(state: Arc<State>, visit: Visit, form: Form, path: &'static str) -> Answer {
    let now = (state.clock)();
    let errand = Errand::of(form.unproved());
    let Some(current) = attempt::current(&state, &visit, now).await? else {
        return see_other(&errand.on("/login"));
    };
    // A form of another attempt or another step proves nothing about this one.
    let here = page_of(&current.attempt.step);
    let sent = form.of_cookie(&state, Some(&current.cookie), now);
    let Some(sent) = sent.filter(|_| here == path) else {
        return see_other(&errand.on(here));
    };
    if let Next::Ask(Step::Password, _) = advance(current.attempt.step.clone(), Event::Nothing, now)
    {
        return ended(&state, &current, &errand, "late", now).await;
    }
    let scene = match Scene::set(&state, &visit, &errand, &current, &sent, now).await? {
        Ok(scene) => scene,
        Err(missing) => return without(&state, &current, &errand, missing, now).await,
    };
    // A form for a method that can't be asked for any more is not read as another's.
    if sent
        .of("method")
        .is_some_and(|word| word != scene.method.as_str())
    {
        return see_other(&errand.on(path));
    }
    if let Some(answer) = methods::act(&scene, &sent).await? {
        return answer;
    }
    answered(&scene, &sent).await
}

/// The form brings a proof, or should.
async fn answered(scene: &Scene<'_>, sent: &Sent<'_>) -> Answer {
    let Scene {
        state,
        visit,
        errand,
        current,
        person,
        method,
        now,
        ..
    } = scene;
    let (method, now) = (*method, *now);
    let typed_key = sent.of("key") == Some("typed");
    let typed = match methods::read(method, sent) {
        Ok(typed) => typed,
        Err(error) => return shown_again(scene, typed_key, error, StatusCode::BAD_REQUEST).await,
    };
    let in_a_row = match throttles::count_code(state, &person.id, method, now).await? {
        Counted::Go(in_a_row) => in_a_row,
        Counted::Wait(wait) => {
            heard(scene, "throttled");
            let link = scene.href(method);
            return Err(throttles::too_many(wait).with_link(link, words().back_to_the_code()));
        }
        Counted::Stopped => {
            heard(scene, "throttled");
            return Err(stopped(scene));
        }
    };
    let proved = methods::prove(scene, &typed, sent).await;
    // The count has been here once: whoever comes next is stopped, whatever became of this one.
    if FACTOR_CODES.hard_stop == Some(in_a_row) && !matches!(proved, Ok(Proved::Right)) {
        // Whoever typed them may be anybody.
        let theirs = language::words_of(state, &person.id).await;
        let told = async { lock_told(scene) };
        language::speaking(theirs.unwrap_or(words()), told).await;
    }
    let event = match proved? {
        Proved::Right => Event::FactorRight(method),
        Proved::Wrong => Event::FactorWrong(method),
        Proved::Moot(reason) => return ended(state, current, errand, reason, now).await,
    };
    match advance(current.attempt.step.clone(), event, now) {
        Next::Done(proof) => {
            // First on record: a factor that was added is there, whatever fails after this.
            heard(scene, "ok");
            if scene.enrols() {
                added(scene).await;
            }
            throttles::code_succeeded(state, &person.id, method, now).await?;
            if !current.close(state, now).await? {
                return see_other(&errand.on("/login"));
            }
            let attempt = &current.attempt;
            let extras = Extras {
                enrolled: scene.enrols(),
                remember: sent.of("remember") == Some("on"),
            };
            let proved = (proof, extras);
            let answer = finish(state, visit, errand, proved, &attempt.login, now).await?;
            let answer = extras.given(&scene.newcomer(), answer).await?;
            undone(state, &person.id, (attempt.epoch, scene.enrols()), answer).await
        }
        Next::Ask(step, remark) => {
            heard(scene, "refused");
            // Whoever typed the password may not be its owner (ASVS 5.0, 6.3.5).
            if in_a_row == FACTOR_CODES.free && !scene.enrols() {
                tell_owner(scene, Letter::CodesGuessed).await;
            }
            refused(scene, (step, remark), typed_key).await
        }
    }
}

/// For who was reset while a sign-in was being finished: the session begun, the factor added and the
/// device remembered may have come too late for the reset to find. Looked at after all are written, so that one of
/// the two sees the other.
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
    } else {
        state.directory.forget_devices(person).await?;
    }
    state
        .sessions
        .end_person(person, EndCause::FactorReset)
        .await?;
    see_other(&Errand::default().because("ended").on("/login"))
}

async fn refused(
    scene: &Scene<'_>,
    (step, remark): (Step, Option<Remark>),
    typed_key: bool,
) -> Answer {
    let Scene {
        state,
        errand,
        current,
        now,
        ..
    } = scene;
    if step == Step::Password {
        let reason = if remark == Some(Remark::TooManyCodes) {
            "codes"
        } else {
            "late"
        };
        return ended(state, current, errand, reason, *now).await;
    }
    // When another tab's answer was written first, this one is still counted for the person.
    current.advance(state, step, *now).await?;
    let error = methods::wrong(scene.method);
    shown_again(scene, typed_key, error, StatusCode::FORBIDDEN).await
}

async fn shown_again(
    scene: &Scene<'_>,
    typed_key: bool,
    error: &str,
    status: StatusCode,
) -> Answer {
    let shown = Shown {
        error: Some(error.to_owned()),
        typed_key,
        ..Shown::default()
    };
    let response = methods::show(scene, shown).await?;
    Ok((status, response).into_response())
}

async fn without(
    state: &State,
    current: &Current,
    errand: &Errand,
    missing: Missing,
    now: Moment,
) -> Answer {
    match missing {
        // Reset by a user manager meanwhile: the password leads to a new enrolment.
        Missing::Ended => ended(state, current, errand, "ended", now).await,
        Missing::Unusable => Err(Trouble::new(503, "factor_unusable")
            .saying(
                words().factor_unusable(),
                words().factor_unusable_what(),
                words().factor_unusable_remedy(),
            )
            .with_link("/login", words().back_to_log_in())),
    }
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

/// After too many wrong codes in a row. Other methods have counts of their own.
fn stopped(scene: &Scene<'_>) -> Trouble {
    let remedy = words().ask_to_reset();
    let trouble = Trouble::new(429, "factor_stopped").retry_after(FACTOR_CODES.longest_wait);
    if scene.choices.len() < 2 {
        return trouble.saying(
            words().too_many_wrong_codes(),
            words().no_more_codes(),
            remedy,
        );
    }
    trouble
        .saying(
            words().too_many_wrong_codes(),
            words().no_more_codes_of_method(),
            words().other_method_or_ask_to_reset(),
        )
        .with_link(scene.other(), words().try_another_method())
}

/// Tells the owner that a factor was locked: it takes the password to do that.
fn lock_told(scene: &Scene<'_>) {
    audit(scene, TrailEvent::FactorLocked, scene.method.as_str());
    let messages = &scene.state.messages;
    let owner = Address::parse(&scene.person.email);
    if let (Some(owner), true) = (owner, messages.can(Channel::Email)) {
        let (subject, text) = sent_pages::locked_message(scene);
        messages.mail_soon(&owner, &subject, text);
    }
}

/// The password was right: what the person's method sends by itself goes out now. When that fails,
/// its page says so.
pub async fn greet(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    attempt: SecretHash,
    now: Moment,
) {
    let greeting = async {
        let Some(current) = attempt::of(state, attempt, now).await? else {
            return Ok(());
        };
        let fields = Fields::parse(b"");
        match Scene::set(state, visit, errand, &current, &fields, now).await? {
            Ok(scene) => methods::greet(&scene).await,
            Err(_) => Ok::<(), Trouble>(()),
        }
    };
    if greeting.await.is_err() {
        tracing::warn!("a code could not be sent after the password");
    }
}

fn heard(scene: &Scene<'_>, result: &'static str) {
    let method = scene.method.as_str();
    scene.state.observer.factor_challenge(method, result);
    audit(scene, TrailEvent::Factor, &format!("{method} {result}"));
}

/// Tells the owner as well: whoever knew the password may have been somebody else.
async fn added(scene: &Scene<'_>) {
    audit(scene, TrailEvent::FactorAdded, scene.method.as_str());
    tell_owner(scene, Letter::FactorAdded).await;
}

/// In their own language: who asks for this page may be somebody else.
async fn tell_owner(scene: &Scene<'_>, letter: Letter) {
    let theirs = language::words_of(scene.state, &scene.person.id).await;
    let told: (&State, &Visit) = (scene.state, scene.visit);
    letters::tell_in(theirs.unwrap_or(words()), told, &scene.person, letter);
}

fn audit(scene: &Scene<'_>, event: TrailEvent, detail: &str) {
    scene
        .state
        .observer
        .audit(Audit::about(&scene.person, scene.visit, event, detail));
}
