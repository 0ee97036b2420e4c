//! What people read of codes that are sent at a sign-in.

use super::methods::words;
use super::scene::{Scene, Shown};
use crate::gate::contact::Destination;
use crate::gate::policy::FactorMethod;
use crate::pages::{Link, SendCode, SentCode, TypedDestination};
use crate::portal::answer::page;
use crate::portal::message_caps::wait_left;
use crate::portal::throttles::in_words;
use crate::portal::trouble::Answer;

/// Where a code is asked for: `known` is where it can go without typing.
pub fn asked_for(
    scene: &Scene<'_>,
    shown: Shown,
    known: Option<&Destination>,
    typed: &str,
) -> Answer {
    let is_sms = scene.method == FactorMethod::Sms;
    let title = match (scene.enrols(), is_sms) {
        (true, true) => "Get codes by text message",
        (true, false) => "Get codes by mail",
        (false, true) => "Get a code by text message",
        (false, false) => "Get a code by mail",
    };
    let lead = match (scene.enrols(), is_sms) {
        (true, true) => {
            "At each sign-in you get a text message with a one-time code. First we check that it reaches you."
        }
        (true, false) => {
            "At each sign-in you get a mail with a one-time code. First we check that it reaches you."
        }
        (false, true) => "We send you a text message with a one-time code.",
        (false, false) => "We send you a mail with a one-time code.",
    };
    page(&SendCode {
        frame: scene.frame(),
        notice: shown.notice,
        error: shown.error,
        title,
        lead,
        action: scene.path(),
        known: known.map(|to| format!("The code goes to {}.", to.masked())),
        typed: scene
            .enrols()
            .then(|| typed_field(is_sms, known.is_some(), typed)),
        hidden: scene.hidden(),
        other: Some(scene.other()),
        restart: scene.restart(),
    })
}

/// The field for a number or an address, besides one that is `known` or alone.
pub fn typed_field(is_sms: bool, known: bool, typed: &str) -> TypedDestination {
    let label = match (is_sms, known) {
        (true, true) => "Another mobile number",
        (true, false) => "Mobile number",
        (false, true) => "Another mail address",
        (false, false) => "Mail address",
    };
    let (hint, mode) = if is_sms {
        ("With its area code, such as 555 010 0001.", "tel")
    } else {
        ("One that you can read now.", "email")
    };
    TypedDestination {
        label,
        hint,
        value: typed.chars().take(254).collect(),
        mode,
    }
}

/// Where the code is typed.
pub async fn typed_in(scene: &Scene<'_>, shown: Shown, target: Option<&Destination>) -> Answer {
    let wait = wait_left(scene.state, &scene.person.id, scene.method, scene.now).await?;
    let again = if wait.is_zero() {
        String::from("Nothing there yet?")
    } else {
        format!(
            "Nothing there yet? Another can be sent in {}.",
            in_words(wait)
        )
    };
    let what = match scene.method {
        FactorMethod::Sms => "a text message",
        _ => "a mail",
    };
    let lead = match target {
        Some(target) => format!("We sent {what} with a code to {}.", target.masked()),
        None => format!("We sent you {what} with a code."),
    };
    let elsewhere = scene.enrols().then(|| Link {
        href: scene.errand.on_with_all(
            scene.path(),
            &[("method", scene.method.as_str()), ("to", "new")],
        ),
        text: match scene.method {
            FactorMethod::Sms => String::from("Use another number"),
            _ => String::from("Use another address"),
        },
    });
    page(&SentCode {
        frame: scene.frame(),
        notice: shown.notice,
        error: shown.error,
        lead,
        action: scene.path(),
        remember: scene.remember(),
        again,
        elsewhere,
        hidden: scene.hidden(),
        other: Some(scene.other()),
        restart: scene.restart(),
    })
}

/// To the owner, when a factor was locked.
pub fn locked_message(scene: &Scene<'_>) -> (String, String) {
    let title = &scene.state.title;
    let (method, _) = words(scene.method);
    let subject = format!("{title}: one of your sign-in methods was locked");
    let text = format!(
        "Hello {},\n\nsomebody who knows your password typed {} wrong codes in a row. Codes for your \
         method \"{method}\" are not accepted any more; other methods that you set up still work.\n\n\
         If it was not you, change your password. Your user manager can reset your multi-factor \
         authentication.\n",
        scene.person.name,
        crate::gate::throttle::FACTOR_CODES.hard_stop.unwrap_or(100),
    );
    (subject, text)
}
