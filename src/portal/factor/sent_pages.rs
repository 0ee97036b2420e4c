//! What people read of codes that are sent at a sign-in.

use std::time::Duration;

use super::methods::name;
use super::scene::{Scene, Shown};
use crate::gate::contact::Destination;
use crate::gate::policy::FactorMethod;
use crate::pages::{Link, SendCode, SentCode, TypedDestination};
use crate::portal::answer::page;
use crate::portal::language::words;
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
        (true, true) => words().get_codes_by_sms(),
        (true, false) => words().get_codes_by_mail(),
        (false, true) => words().get_code_by_sms(),
        (false, false) => words().get_code_by_mail(),
    };
    let lead = match (scene.enrols(), is_sms) {
        (true, true) => words().sms_at_each_sign_in(),
        (true, false) => words().mail_at_each_sign_in(),
        (false, true) => words().we_send_sms(),
        (false, false) => words().we_send_mail(),
    };
    page(&SendCode {
        frame: scene.frame(),
        notice: shown.notice,
        error: shown.error,
        title,
        lead,
        action: scene.path(),
        known: known.map(goes_to),
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
        (true, true) => words().another_mobile_number(),
        (true, false) => words().mobile_number(),
        (false, true) => words().another_mail_address(),
        (false, false) => words().mail_address(),
    };
    let (hint, mode) = if is_sms {
        (words().mobile_number_hint(), "tel")
    } else {
        (words().mail_address_hint(), "email")
    };
    TypedDestination {
        label,
        hint,
        value: typed.chars().take(254).collect(),
        mode,
    }
}

/// Where the code goes: enough to know it by, and no more.
pub fn goes_to(to: &Destination) -> String {
    match to {
        Destination::Sms(number) => words().code_goes_to_number(number.ending()),
        Destination::Email(address) => words().code_goes_to_address(&address.masked()),
    }
}

/// Where it went.
pub fn sent_to(method: FactorMethod, to: Option<&Destination>) -> String {
    match (to, method) {
        (Some(Destination::Sms(number)), _) => words().sms_sent_to_number(number.ending()),
        (Some(Destination::Email(address)), _) => words().mail_sent_to(&address.masked()),
        (None, FactorMethod::Sms) => words().sms_sent_to_you().to_owned(),
        (None, _) => words().mail_sent_to_you().to_owned(),
    }
}

/// When another can be sent.
pub fn another_in(wait: Duration) -> String {
    if wait.is_zero() {
        words().nothing_there_yet().to_owned()
    } else {
        words().another_can_be_sent_in(&in_words(wait))
    }
}

/// Where the code is typed.
pub async fn typed_in(scene: &Scene<'_>, shown: Shown, target: Option<&Destination>) -> Answer {
    let wait = wait_left(scene.state, &scene.person.id, scene.method, scene.now).await?;

    let elsewhere = scene.enrols().then(|| Link {
        href: scene.errand.on_with_all(
            scene.path(),
            &[("method", scene.method.as_str()), ("to", "new")],
        ),
        text: match scene.method {
            FactorMethod::Sms => words().use_another_number().to_owned(),
            _ => words().use_another_address().to_owned(),
        },
    });
    page(&SentCode {
        frame: scene.frame(),
        notice: shown.notice,
        error: shown.error,
        lead: sent_to(scene.method, target),
        action: scene.path(),
        remember: scene.remember(),
        again: another_in(wait),
        elsewhere,
        hidden: scene.hidden(),
        other: Some(scene.other()),
        restart: scene.restart(),
    })
}

/// To the owner, when a factor was locked.
pub fn locked_message(scene: &Scene<'_>) -> (String, String) {
    let title = &scene.state.title;
    let (method, _) = name(scene.method);
    let subject = words().locked_subject(title);
    let count = crate::gate::throttle::FACTOR_CODES.hard_stop.unwrap_or(100);
    let text = words().locked_mail(&scene.person.name, count, method);
    (subject, text)
}
