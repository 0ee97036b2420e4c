//! A code in a text message or in a mail: asked for, sent, typed. Methods `sms` and `email`.

use std::time::Duration;

use axum::response::IntoResponse;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use zeroize::Zeroizing;

use super::methods::{Proved, Typed};
use super::scene::{Scene, Shown};
use super::{audit, codes, sent_pages};
use crate::gate::contact::{Address, Destination, Number};
use crate::gate::policy::FactorMethod;
use crate::gate::sent_code::{Delivery, LIFE, SentCode, Verdict, digits, judge};
use crate::gate::session::SecretHash;
use crate::messages::Channel;
use crate::pages::Notice;
use crate::portal::answer::see_other;
use crate::portal::fields::Fields;
use crate::portal::message_caps::Asked;
use crate::portal::throttles::in_words;
use crate::portal::trouble::{Answer, Trouble};

/// How often a state is read again when others write it at the same moment.
const ROUNDS: usize = 16;

/// Where a code goes, and what it then proves.
pub struct Target {
    pub to: Destination,
    /// The factor's id; at enrolment, a word that is none.
    proves: String,
}

const NEW: &str = "new";

pub async fn show(scene: &Scene<'_>, shown: Shown) -> Answer {
    let pending = match read_state(scene).await? {
        (Some(code), _) if code.open_for(&scene.current.cookie, scene.now) => Some(code),
        _ => None,
    };
    match pending {
        Some(code) if code.delivery != Delivery::Failed && !shown.anew => {
            let target = target_of(scene, Some(&code)).await?;
            sent_pages::typed_in(scene, shown, target.as_ref()).await
        }
        Some(code) if code.delivery == Delivery::Failed && shown.notice.is_none() => {
            let notice = Notice::wrong(
                "The message could not be sent just now. Try again, or try another method.",
            );
            let shown = Shown {
                notice: Some(notice),
                ..shown
            };
            ask(scene, shown, "").await
        }
        _ => ask(scene, shown, "").await,
    }
}

async fn ask(scene: &Scene<'_>, shown: Shown, typed: &str) -> Answer {
    let known = match scene.enrols() {
        true => on_file(scene),
        false => target_of(scene, None).await?.map(|target| target.to),
    };
    sent_pages::asked_for(scene, shown, known.as_ref(), typed)
}

/// The number or address that the directory has, if a code can go there.
fn on_file(scene: &Scene<'_>) -> Option<Destination> {
    let text = match scene.method {
        FactorMethod::Sms => scene.person.phone.as_deref()?,
        _ => scene.person.email.as_str(),
    };
    destination(scene, text).ok()
}

/// # Errors
/// What to say at the field.
fn destination(scene: &Scene<'_>, text: &str) -> Result<Destination, String> {
    if scene.method != FactorMethod::Sms {
        return Address::parse(text)
            .map(Destination::Email)
            .ok_or_else(|| String::from("Type a mail address, such as kim@example.org."));
    }
    let number = Number::parse(text).ok_or_else(|| {
        String::from("Type a mobile number with its area code, such as 555 010 0001.")
    })?;
    let prefixes = &scene.policy.mfa.messages.sms_prefixes;
    if number.begins_with_one_of(prefixes) {
        return Ok(Destination::Sms(number));
    }
    let known: Vec<&str> = prefixes.iter().map(|prefix| prefix.as_str()).collect();
    Err(format!(
        "Codes go to numbers that begin with {} only.",
        known.join(" or ")
    ))
}

/// `do=send`: a code is asked for.
pub async fn act(scene: &Scene<'_>, fields: &Fields) -> Result<Option<Answer>, Trouble> {
    if fields.of("do") != Some("send") {
        return Ok(None);
    }
    Ok(Some(sent_where_asked(scene, fields).await))
}

async fn sent_where_asked(scene: &Scene<'_>, fields: &Fields) -> Answer {
    let target = match (scene.enrols(), fields.of("to")) {
        (true, Some("typed")) => match destination(scene, fields.text("typed")) {
            Ok(to) => Some(enrolling(to)),
            Err(error) => return refuse(scene, error, fields.text("typed")).await,
        },
        (true, Some("file")) => on_file(scene).map(enrolling),
        (true, _) | (false, _) => {
            let known = read_state(scene).await?.0;
            let mine = known.filter(|code| code.open_for(&scene.current.cookie, scene.now));
            target_of(scene, mine.as_ref()).await?
        }
    };
    let Some(target) = target else {
        return see_other(&scene.href(scene.method));
    };
    match send(scene, &target).await? {
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
        notice: Some(Notice::wrong(format!(
            "Another code can be sent in {}. Until then, try another method.",
            in_words(wait)
        ))),
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

fn enrolling(to: Destination) -> Target {
    Target {
        to,
        proves: String::from(NEW),
    }
}

/// At a challenge, where the person's factor leads; at enrolment, where the code went.
async fn target_of(scene: &Scene<'_>, code: Option<&SentCode>) -> Result<Option<Target>, Trouble> {
    let state = scene.state;
    if scene.enrols() {
        let opened = code
            .and_then(|code| code.to.as_deref())
            .and_then(|sealed| state.keys.open(sealed, &scene.current.cookie));
        return Ok(opened
            .and_then(|text| parse(scene.method, &text))
            .map(enrolling));
    }
    let Some(factor) = scene.mine().next() else {
        return Ok(None);
    };
    let secret = state.directory.factor_secret(&factor.id).await?;
    let to = secret.and_then(|text| parse(scene.method, &text));
    Ok(to.map(|to| Target {
        to,
        proves: factor.id.clone(),
    }))
}

/// What was accepted once, whatever the policy says today.
fn parse(method: FactorMethod, text: &[u8]) -> Option<Destination> {
    let text = std::str::from_utf8(text).ok()?;
    if method == FactorMethod::Sms {
        Number::parse(text).map(Destination::Sms)
    } else {
        Address::parse(text).map(Destination::Email)
    }
}

/// After the password: the code goes out at once, unless one did just now.
pub async fn greet(scene: &Scene<'_>) -> Result<(), Trouble> {
    if scene.enrols() {
        return Ok(());
    }
    if take_along(scene).await? {
        return Ok(());
    }
    if let Some(target) = target_of(scene, None).await? {
        send(scene, &target).await?;
    }
    Ok(())
}

/// The same browser began again: the code that it waits for stays good.
async fn take_along(scene: &Scene<'_>) -> Result<bool, Trouble> {
    let Some(before) = scene.visit.login_cookie().map(|secret| secret.hash()) else {
        return Ok(false);
    };
    let (Some(code), written) = read_state(scene).await? else {
        return Ok(false);
    };
    if !code.open_for(&before, scene.now) || code.delivery == Delivery::Failed {
        return Ok(false);
    }
    let moved = SentCode {
        attempt: scene.current.cookie,
        ..code
    };
    write_state(scene, written.as_deref(), Some(&moved)).await
}

/// Sends a new code, and with it makes older ones worthless; how long to wait when it may not go.
async fn send(scene: &Scene<'_>, target: &Target) -> Result<Option<Duration>, Trouble> {
    let state = scene.state;
    let network = scene.visit.network();
    let asked = asked(scene, &target.to, &network);
    if let Some(wait) = asked.admit(state, scene.now).await? {
        told(scene, "refused");
        return Ok(Some(wait));
    }
    let code = fresh_code(scene)?;
    let kept = SentCode {
        tag: tag(scene, &target.proves, &code),
        attempt: scene.current.cookie,
        sent_at: scene.now,
        tries: 0,
        to: sealed(scene, &target.to, &scene.current.cookie)?,
        delivery: Delivery::UnderWay,
    };
    replace(scene, &kept).await?;
    let (subject, text) = sent_pages::message(scene, &code);
    let sent = state.messages.send(&target.to, &subject, &text).await;
    told(scene, if sent.is_ok() { "sent" } else { "failed" });
    let after = SentCode {
        delivery: match sent {
            Ok(()) => Delivery::Taken,
            Err(_) => Delivery::Failed,
        },
        ..kept.clone()
    };
    // Lost when it was typed or sent again meanwhile, and rightly so.
    write_state(scene, Some(&kept.to_json()), Some(&after)).await?;
    Ok(None)
}

fn asked<'a>(scene: &'a Scene<'_>, to: &'a Destination, network: &'a str) -> Asked<'a> {
    Asked {
        person: &scene.person.id,
        company: &scene.person.company,
        method: scene.method,
        to,
        network,
        per_day: scene.policy.mfa.messages.per_day,
    }
}

/// Only at enrolment: a factor keeps its own.
fn sealed(
    scene: &Scene<'_>,
    to: &Destination,
    attempt: &SecretHash,
) -> Result<Option<String>, Trouble> {
    if !scene.enrols() {
        return Ok(None);
    }
    let state = scene.state;
    let sealed = state
        .keys
        .seal(to.expose().as_bytes(), attempt, &state.random);
    sealed.map(Some).ok_or_else(|| Trouble::internal("seal"))
}

fn fresh_code(scene: &Scene<'_>) -> Result<Zeroizing<String>, Trouble> {
    // One in four thousand draws is not fair.
    for _ in 0..ROUNDS {
        let mut bytes = [0; 4];
        (scene.state.random)(&mut bytes);
        if let Some(code) = digits(bytes) {
            return Ok(Zeroizing::new(code));
        }
    }
    Err(Trouble::internal("random"))
}

fn tag(scene: &Scene<'_>, proves: &str, code: &str) -> Vec<u8> {
    let of = [scene.person.id.as_str(), scene.method.as_str(), proves];
    scene.state.keys.code_tag(&of, code)
}

pub fn read(fields: &Fields) -> Result<Typed, &'static str> {
    codes::read(fields.text("code"))
        .map(Zeroizing::new)
        .ok_or("Type the 6 digits of the code.")
}

pub async fn prove(scene: &Scene<'_>, typed: &str) -> Result<Proved, Trouble> {
    let (code, written) = match read_state(scene).await? {
        (Some(code), written) => (code, written),
        (None, _) => return Ok(Proved::Wrong),
    };
    let Some(target) = target_of(scene, Some(&code)).await? else {
        return Ok(Proved::Wrong);
    };
    if !spent(scene, (code, written), &tag(scene, &target.proves, typed)).await? {
        return Ok(Proved::Wrong);
    }
    let state = scene.state;
    let network = scene.visit.network();
    let asked = asked(scene, &target.to, &network);
    asked.verified(state, scene.now).await?;
    state.messages.verified(channel(scene.method));
    let (directory, now) = (&state.directory, scene.now);
    if !scene.enrols() {
        directory.used_factor(&target.proves, now).await?;
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

/// Judges against the newest code. What it comes to is written before anybody goes on: of many who
/// bring the right code at once, on whatever node, one writes first.
async fn spent(
    scene: &Scene<'_>,
    (mut code, mut written): (SentCode, Option<Vec<u8>>),
    tag: &[u8],
) -> Result<bool, Trouble> {
    for _ in 0..ROUNDS {
        let (verdict, after) = judge(&code, &scene.current.cookie, tag, scene.now);
        if write_state(scene, written.as_deref(), after.as_ref()).await? {
            return Ok(verdict == Verdict::Right);
        }
        match read_state(scene).await? {
            (Some(newer), now_written) => (code, written) = (newer, now_written),
            (None, _) => return Ok(false),
        }
    }
    Ok(false)
}

fn state_key(scene: &Scene<'_>) -> String {
    format!("sent:{}:{}", scene.method.as_str(), scene.person.id)
}

async fn read_state(scene: &Scene<'_>) -> Result<(Option<SentCode>, Option<Vec<u8>>), Trouble> {
    let store = scene.state.sessions.store();
    let written = store.state(&state_key(scene), scene.now).await?;
    let code = written.as_deref().and_then(SentCode::from_json);
    Ok((code, written))
}

async fn write_state(
    scene: &Scene<'_>,
    before: Option<&[u8]>,
    after: Option<&SentCode>,
) -> Result<bool, Trouble> {
    let store = scene.state.sessions.store();
    let after = after.map(SentCode::to_json);
    Ok(store
        .swap_state(&state_key(scene), before, after.as_deref(), LIFE, scene.now)
        .await?)
}

async fn replace(scene: &Scene<'_>, code: &SentCode) -> Result<(), Trouble> {
    for _ in 0..ROUNDS {
        let (_, written) = read_state(scene).await?;
        if write_state(scene, written.as_deref(), Some(code)).await? {
            return Ok(());
        }
    }
    Err(Trouble::unavailable("store"))
}

pub fn channel(method: FactorMethod) -> Channel {
    match method {
        FactorMethod::Sms => Channel::Sms,
        FactorMethod::Email
        | FactorMethod::Totp
        | FactorMethod::Passkey
        | FactorMethod::Recovery => Channel::Email,
    }
}

fn told(scene: &Scene<'_>, result: &str) {
    let detail = format!("{} {result}", scene.method.as_str());
    audit(scene, "code_sent", &detail);
}
