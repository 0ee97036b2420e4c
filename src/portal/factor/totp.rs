//! The authenticator app.

use zeroize::Zeroizing;

use super::codes;
use super::methods::{Proved, Typed};
use super::scene::{Scene, Shown};
use crate::gate::policy::FactorMethod;
use crate::pages;
use crate::portal::answer::page;
use crate::portal::fields::Fields;
use crate::portal::language::words;
use crate::portal::trouble::{Answer, Trouble};

pub fn show(scene: &Scene<'_>, shown: Shown) -> Answer {
    if scene.enrols() {
        return enrol(scene, shown);
    }
    page(&pages::Factor {
        frame: scene.frame(),
        notice: shown.notice,
        error: shown.error,
        issuer: scene.state.title.clone(),
        hidden: scene.hidden(),
        remember: scene.remember(),
        other: scene.other(),
        restart: scene.restart(),
    })
}

fn enrol(scene: &Scene<'_>, shown: Shown) -> Answer {
    let key = new_key(scene)?;
    let issuer = &scene.state.title;
    let account = scene.current.attempt.login.to_string();
    let qr = codes::qr(&key, &account, issuer).ok_or_else(|| Trouble::internal("qr"))?;
    let mut hidden = scene.hidden();
    if shown.typed_key {
        hidden.push(("key", String::from("typed")));
    }
    page(&pages::Enroll {
        frame: scene.frame(),
        notice: shown.notice,
        error: shown.error,
        account,
        qr,
        key: shown.typed_key.then(|| codes::typed_key(&key)),
        hidden,
        trouble: scene
            .errand
            .on_with_all(scene.path(), &[("method", "totp"), ("key", "typed")]),
        scan: scene.href(FactorMethod::Totp),
        other: scene.other(),
        restart: scene.errand.on("/login"),
    })
}

pub fn read(fields: &Fields) -> Result<Typed, &'static str> {
    codes::read(fields.text("code"))
        .map(Zeroizing::new)
        .ok_or(words().type_the_digits())
}

pub async fn prove(scene: &Scene<'_>, code: &str) -> Result<Proved, Trouble> {
    if scene.enrols() {
        return enrolled(scene, code).await;
    }
    let directory = &scene.state.directory;
    for factor in scene.mine() {
        let Some(key) = directory.factor_secret(&factor.id).await? else {
            continue;
        };
        if let Some(step) = codes::matched_step(&key, code, scene.now)
            && directory
                .spend_totp_step(&factor.id, step, scene.now)
                .await?
        {
            return Ok(Proved::Right);
        }
    }
    Ok(Proved::Wrong)
}

async fn enrolled(scene: &Scene<'_>, code: &str) -> Result<Proved, Trouble> {
    let key = new_key(scene)?;
    let Some(step) = codes::matched_step(&key, code, scene.now) else {
        return Ok(Proved::Wrong);
    };
    let added = scene
        .state
        .directory
        .add_first_factor(&scene.person.id, FactorMethod::Totp, &key, step, scene.now)
        .await?;
    Ok(match added {
        Some(_) => Proved::Right,
        None => Proved::Moot("enrolled"),
    })
}

fn new_key(scene: &Scene<'_>) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let sealed = scene.current.attempt.new_key.as_deref();
    sealed
        .and_then(|sealed| scene.state.keys.open(sealed, &scene.current.cookie))
        .ok_or_else(|| Trouble::internal("seal"))
}
