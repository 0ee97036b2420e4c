//! The passkey, at a sign-in.

use zeroize::Zeroizing;

use super::audit;
use super::methods::{Proved, Typed};
use super::scene::{Scene, Shown};
use crate::gate::trail::TrailEvent;
use crate::pages;
use crate::pages::Notice;
use crate::portal::answer::{page_with_script, passkey_script};
use crate::portal::fields::Fields;
use crate::portal::form::Sent;
use crate::portal::language::words;
use crate::portal::passkeys::{self, Answered};
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::user_agent;

pub async fn show(scene: &Scene<'_>, shown: Shown) -> Answer {
    let Scene {
        state,
        current,
        person,
        now,
        ..
    } = scene;
    let adds = scene.enrols();
    let asked = if adds {
        let login = current.attempt.login.as_str();
        passkeys::ask_to_add(state, &current.cookie, &person.id, login, *now).await?
    } else {
        passkeys::ask_to_prove(state, &current.cookie, &person.id, *now).await?
    };
    let options = asked.ok_or_else(|| Trouble::internal("passkey"))?;
    let (title, lead, button) = if adds {
        (
            words().set_up_a_passkey(),
            words().set_up_passkey_lead(),
            words().set_up_passkey(),
        )
    } else {
        (
            words().use_your_passkey(),
            words().use_passkey_lead(),
            words().use_passkey(),
        )
    };
    let page = pages::Passkey {
        frame: scene.frame(),
        notice: shown.notice,
        error: shown.error,
        title,
        lead: String::from(lead),
        action: scene.path(),
        called: adds.then(|| user_agent::words(&scene.visit.user_agent())),
        options,
        script: passkey_script(),
        button,
        hidden: scene.hidden(),
        remember: scene.remember(),
        other: Some(scene.other()),
        restart: scene.restart(),
    };
    page_with_script(state, &page)
}

/// An answer to a question that waits no more proves nothing, and counts nothing: asked again.
pub async fn act(scene: &Scene<'_>) -> Result<Option<Answer>, Trouble> {
    let adds = scene.enrols();
    if passkeys::waits(scene.state, &scene.current.cookie, adds, scene.now).await? {
        return Ok(None);
    }
    let shown = Shown {
        notice: Some(Notice::wrong(words().passkey_too_late())),
        ..Shown::default()
    };
    Ok(Some(show(scene, shown).await))
}

pub fn read(fields: &Fields) -> Result<Typed, &'static str> {
    match fields.text("answer") {
        "" => Err(words().passkey_not_confirmed()),
        answer => Ok(Zeroizing::new(answer.to_owned())),
    }
}

pub async fn prove(scene: &Scene<'_>, answer: &str, sent: &Sent<'_>) -> Result<Proved, Trouble> {
    let Scene {
        state,
        current,
        person,
        now,
        ..
    } = scene;
    let (cookie, person) = (&current.cookie, &person.id);
    let answered = if scene.enrols() {
        match passkeys::add(state, cookie, person, answer, true, *now).await? {
            Answered::Right(factor) => {
                passkeys::called(state, person, &factor.id, sent).await;
                Answered::Right(())
            }
            Answered::Wrong("taken") => return Ok(Proved::Moot("enrolled")),
            Answered::Wrong(why) => Answered::Wrong(why),
            Answered::Late => Answered::Late,
        }
    } else {
        passkeys::prove(state, cookie, person, answer, *now).await?
    };
    Ok(match answered {
        Answered::Right(()) => Proved::Right,
        Answered::Wrong(why) => {
            audit(scene, TrailEvent::PasskeyRefused, why);
            Proved::Wrong
        }
        // Another request of this browser took the question since it was looked for.
        Answered::Late => Proved::Wrong,
    })
}
