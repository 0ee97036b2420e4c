//! A code in a text message or in a mail, at a sign-in: asked for, sent, typed. Methods `sms` and
//! `email`. What happens to the code itself is the [courier](crate::portal::courier)'s.

use std::time::Duration;

use axum::response::IntoResponse;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use zeroize::Zeroizing;

use super::methods::{Proved, Typed};
use super::scene::{Scene, Shown};
use super::{codes, sent_pages, stopped};
use crate::gate::sent_code::{Delivery, SentCode};
use crate::pages::Notice;
use crate::portal::answer::see_other;
use crate::portal::courier::{Courier, Target, parse};
use crate::portal::fields::Fields;
use crate::portal::form::Sent;
use crate::portal::language::words;
use crate::portal::throttles::{self, in_words};
use crate::portal::trouble::{Answer, Trouble};

fn courier<'a>(scene: &'a Scene<'_>) -> Courier<'a> {
    Courier {
        state: scene.state,
        visit: scene.visit,
        person: &scene.person,
        company: &scene.company,
        policy: &scene.policy,
        method: scene.method,
        cookie: scene.current.cookie,
        proves_new: scene.enrols(),
        session: None,
        now: scene.now,
    }
}

pub async fn show(scene: &Scene<'_>, shown: Shown) -> Answer {
    match courier(scene).pending().await? {
        Some(code) if code.delivery != Delivery::Failed && !shown.anew => {
            let target = target_of(scene, Some(&code)).await?;
            let to = target.as_ref().map(|target| &target.to);
            sent_pages::typed_in(scene, shown, to).await
        }
        Some(code) if code.delivery == Delivery::Failed && shown.notice.is_none() => {
            let shown = Shown {
                notice: Some(unsent()),
                ..shown
            };
            ask(scene, shown, "").await
        }
        _ => ask(scene, shown, "").await,
    }
}

/// No provider took the message.
pub fn unsent() -> Notice {
    Notice::wrong(words().message_not_sent())
}

async fn ask(scene: &Scene<'_>, shown: Shown, typed: &str) -> Answer {
    let known = match scene.enrols() {
        true => courier(scene).on_file(),
        false => target_of(scene, None).await?.map(|target| target.to),
    };
    sent_pages::asked_for(scene, shown, known.as_ref(), typed)
}

/// `do=send`: a code is asked for.
pub async fn act(scene: &Scene<'_>, sent: &Sent<'_>) -> Result<Option<Answer>, Trouble> {
    if sent.of("do") != Some("send") {
        return Ok(None);
    }
    if is_locked(scene).await? {
        return Ok(Some(Err(stopped(scene))));
    }
    Ok(Some(sent_where_asked(scene, sent).await))
}

async fn sent_where_asked(scene: &Scene<'_>, sent: &Sent<'_>) -> Answer {
    let courier = courier(scene);
    let target = match (scene.enrols(), sent.of("to")) {
        (true, Some("typed")) => match courier.destination(sent.text("typed")) {
            Ok(to) => Some(Target::new(to)),
            Err(error) => return refuse(scene, error, sent.text("typed")).await,
        },
        (true, Some("file")) => courier.on_file().map(Target::new),
        (true, _) | (false, _) => target_of(scene, courier.pending().await?.as_ref()).await?,
    };
    let Some(target) = target else {
        return see_other(&scene.href(scene.method));
    };
    match courier.send(&target).await? {
        None => see_other(&scene.href(scene.method)),
        Some(wait) => later(scene, wait).await,
    }
}

async fn refuse(scene: &Scene<'_>, error: String, typed: &str) -> Answer {
    let shown = Shown {
        error: Some(error),
        ..Shown::default()
    };
    let response = ask(scene, shown, typed).await?;
    Ok((StatusCode::BAD_REQUEST, response).into_response())
}

async fn later(scene: &Scene<'_>, wait: Duration) -> Answer {
    let shown = Shown {
        notice: Some(Notice::wrong(
            words().another_code_or_method_in(&in_words(wait)),
        )),
        ..Shown::default()
    };
    let response = show(scene, shown).await?;
    let secs = HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    Ok((
        StatusCode::TOO_MANY_REQUESTS,
        [(RETRY_AFTER, secs)],
        response,
    )
        .into_response())
}

/// At a challenge, where the person's factor leads; at enrolment, where the code went.
async fn target_of(scene: &Scene<'_>, code: Option<&SentCode>) -> Result<Option<Target>, Trouble> {
    if scene.enrols() {
        return Ok(courier(scene).opened(code));
    }
    let Some(factor) = scene.mine().next() else {
        return Ok(None);
    };
    let secret = scene.state.directory.factor_secret(&factor.id).await?;
    let to = secret.and_then(|text| parse(scene.method, &text));
    Ok(to.map(|to| Target::of_factor(&factor.id, to)))
}

/// Whether no code of this method is taken any more: none is sent then.
async fn is_locked(scene: &Scene<'_>) -> Result<bool, Trouble> {
    throttles::is_locked(scene.state, &scene.person.id, scene.method, scene.now).await
}

/// After the password: the code goes out at once, unless one did just now.
pub async fn greet(scene: &Scene<'_>) -> Result<(), Trouble> {
    if scene.enrols() || is_locked(scene).await? {
        return Ok(());
    }
    let courier = courier(scene);
    if let Some(before) = scene.visit.login_cookie()
        && courier.take_along(&before.hash()).await?
    {
        return Ok(());
    }
    if let Some(target) = target_of(scene, None).await? {
        courier.send(&target).await?;
    }
    Ok(())
}

pub fn read(fields: &Fields) -> Result<Typed, &'static str> {
    codes::read(fields.text("code"))
        .map(Zeroizing::new)
        .ok_or(words().type_the_digits())
}

pub async fn prove(scene: &Scene<'_>, typed: &str) -> Result<Proved, Trouble> {
    let known = match scene.enrols() {
        true => None,
        false => match target_of(scene, None).await? {
            Some(target) => Some(target),
            None => return Ok(Proved::Wrong),
        },
    };
    let Some(target) = courier(scene).prove(typed, known).await? else {
        return Ok(Proved::Wrong);
    };
    let (directory, now) = (&scene.state.directory, scene.now);
    if !scene.enrols() {
        if let Some(factor) = scene.mine().next() {
            directory.used_factor(&factor.id, now).await?;
        }
        return Ok(Proved::Right);
    }
    let secret = target.to.expose().as_bytes();
    let added = directory
        .add_first_factor(&scene.person.id, scene.method, secret, 0, now)
        .await?;
    Ok(match added {
        Some(_) => Proved::Right,
        None => Proved::Moot("enrolled"),
    })
}
