//! The recovery code, at a sign-in: asking for one, and showing new ones once a factor was added.

use axum::response::{IntoResponse, Response};
use http::header::{LOCATION, SET_COOKIE};
use zeroize::Zeroizing;

use super::audit;
use super::extras::Newcomer;
use super::methods::{Proved, Typed};
use super::scene::{Scene, Shown};
use crate::gate::policy::FactorMethod;
use crate::gate::trail::TrailEvent;
use crate::pages;
use crate::pages::Link;
use crate::portal::answer::page;
use crate::portal::apps::frame;
use crate::portal::fields::Fields;
use crate::portal::language::words;
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::{recovery, throttles};

pub fn show(scene: &Scene<'_>, shown: Shown) -> Answer {
    page(&pages::Recovery {
        frame: scene.frame(),
        notice: shown.notice,
        error: shown.error,
        hidden: scene.hidden(),
        other: scene.other(),
        restart: scene.restart(),
    })
}

pub fn read(fields: &Fields) -> Result<Typed, &'static str> {
    recovery::read(fields.text("code")).ok_or(words().type_recovery_code())
}

pub async fn prove(scene: &Scene<'_>, code: &str) -> Result<Proved, Trouble> {
    let directory = &scene.state.directory;
    let spent = directory
        .spend_recovery_code(&scene.person.id, code, scene.now)
        .await?;
    if !spent {
        return Ok(Proved::Wrong);
    }
    // It is spent, whether or not the others can be counted.
    let left = directory.recovery_codes_left(&scene.person.id).await;
    let left = left.map_or(String::new(), |left| {
        format!("{} left", left.unwrap_or_default())
    });
    audit(scene, TrailEvent::RecoveryCodeUsed, &left);
    Ok(Proved::Right)
}

/// Somebody has just added a first factor and is signed in by `response`: where the company has
/// recovery codes, the page with theirs goes between.
pub async fn shown_first(newcomer: &Newcomer<'_>, response: Response) -> Answer {
    let Newcomer {
        state,
        person,
        policy,
        login,
        now,
        ..
    } = newcomer;
    let next = response
        .headers()
        .get(LOCATION)
        .and_then(|to| to.to_str().ok());
    let (Some(next), true) = (next, policy.mfa.methods.contains(&FactorMethod::Recovery)) else {
        return Ok(response);
    };
    let codes = recovery::make(&state.random);
    state
        .directory
        .replace_recovery_codes(&person.id, &codes, *now)
        .await?;
    newcomer.audit(TrailEvent::RecoveryCodesMade);
    throttles::lock_opened(state, &person.id, FactorMethod::Recovery, *now).await;
    let shown: Vec<Zeroizing<String>> = codes.iter().map(|code| recovery::shown(code)).collect();
    let mut with_codes = page(&pages::RecoveryCodes {
        frame: frame(state, None, "/login"),
        account: login.to_string(),
        codes: shown,
        next: Link {
            href: next.to_owned(),
            text: words().kept_them_go_on().to_owned(),
        },
    })?
    .into_response();
    for cookie in response.headers().get_all(SET_COOKIE) {
        with_codes.headers_mut().append(SET_COOKIE, cookie.clone());
    }
    Ok(with_codes)
}
