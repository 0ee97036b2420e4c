//! What people read of codes that are sent: the two pages, and the messages themselves.

use super::methods::words;
use super::scene::{Scene, Shown};
use super::sent::Target;
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
        typed: scene.enrols().then(|| typed_field(is_sms, known, typed)),
        hidden: scene.hidden(),
        other: scene.other(),
        restart: scene.restart(),
    })
}

fn typed_field(is_sms: bool, known: Option<&Destination>, typed: &str) -> TypedDestination {
    let label = match (is_sms, known.is_some()) {
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
pub async fn typed_in(scene: &Scene<'_>, shown: Shown, target: Option<&Target>) -> Answer {
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
        Some(target) => format!("We sent {what} with a code to {}.", target.to.masked()),
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
        again,
        elsewhere,
        hidden: scene.hidden(),
        other: scene.other(),
        restart: scene.restart(),
    })
}

/// Subject and text. The last line of a text message is what phones read to fill the code into
/// this site's page and no other's.
pub fn message(scene: &Scene<'_>, code: &str) -> (String, String) {
    let title = &scene.state.title;
    let host = host_of(&scene.state.portal_origin);
    let text = match scene.method {
        FactorMethod::Sms => format!(
            "{title}: your one-time code is {code}. It works for 10 minutes. Nobody will ask you for it.\n\n@{host} #{code}"
        ),
        _ => format!(
            "Your one-time code is\n\n    {code}\n\nIt works once, for 10 minutes, at {host} only. \
             Nobody from your clinic will ask you for it.\n\nYou did not log in just now? Then somebody \
             knows your password: change it, and tell your user manager.\n"
        ),
    };
    (format!("{title}: your one-time code"), text)
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

fn host_of(origin: &str) -> &str {
    let host = origin.strip_prefix("https://").unwrap_or(origin);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}
