//! Remembered devices: what one is worth at a sign-in, and the page that lists and forgets them.

use std::sync::Arc;

use axum::extract::State as Shared;

use super::answer::{page, see_other};
use super::apps::{frame, signed_in};
use super::fields::{Fields, Form};
use super::keys::FormToken;
use super::language::words;
use super::throttles::in_words;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, user_agent, when};
use crate::directory::{Account, Person};
use crate::gate::device;
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::pages::{DeviceRow, Devices, Notice};

const PATH: &str = "/account/devices";

/// Whether this browser stands in for the person's second factor: every company that asks for one
/// here must let it.
pub async fn stands_in(
    state: &State,
    visit: &Visit,
    account: &Account,
    person: &Person,
    now: Moment,
) -> Result<bool, Trouble> {
    let company = account.default_company.as_ref().unwrap_or(&person.company);
    let span = state.policies.load().of(company).mfa.remember_device;
    if span.is_zero() {
        return Ok(false);
    }
    let Some(secret) = visit.device_cookie() else {
        return Ok(false);
    };
    let found = state.directory.device(&person.id, &secret.hash()).await?;
    Ok(found
        .is_some_and(|found| device::stands_in(found.made_at, account.password_set_at, span, now)))
}

/// It did, just now.
pub async fn used(
    state: &State,
    visit: &Visit,
    person: &Person,
    now: Moment,
) -> Result<(), Trouble> {
    let Some(secret) = visit.device_cookie() else {
        return Ok(());
    };
    if let Some(found) = state.directory.device(&person.id, &secret.hash()).await? {
        state.directory.use_device(&found.id, now).await?;
        state
            .observer
            .audit(Audit::about(person, visit, "device_used", &found.id));
    }
    Ok(())
}

pub async fn list(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let notice =
        (fields.of("forgotten") == Some("1")).then(|| Notice::news(words().device_forgotten()));
    match signed_in(&state, &visit, PATH, now).await? {
        Ok(found) => show(&state, &found.session, notice, now).await,
        Err(elsewhere) => Ok(elsewhere),
    }
}

async fn show(
    state: &Arc<State>,
    session: &Session,
    notice: Option<Notice>,
    now: Moment,
) -> Answer {
    let policy = Arc::clone(state.policies.load().of(&session.company));
    let span = policy.mfa.remember_device;
    let devices = state.directory.devices(&session.person.id).await?;
    let rows = devices.into_iter().map(|device| DeviceRow {
        name: user_agent::words(&device.user_agent),
        made: when::day(device.made_at, &policy.timezone),
        used: when::day(device.last_used_at, &policy.timezone),
        address: device.address,
        id: device.id,
    });
    page(&Devices {
        frame: frame(state, Some(session), "/account"),
        notice,
        span: (!span.is_zero()).then(|| in_words(span)),
        devices: rows.collect(),
        hidden: vec![("csrf", state.keys.form_token(&session.portal, now))],
    })
}

pub async fn forget(Shared(state): Shared<Arc<State>>, visit: Visit, Form(fields): Form) -> Answer {
    let now = (state.clock)();
    visit.sender(&state.portal_origin)?;
    let session = match signed_in(&state, &visit, PATH, now).await? {
        Ok(found) => &found.session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let token = state
        .keys
        .judge_form_token(fields.text("csrf"), Some(&session.portal), now);
    if token != FormToken::Bound {
        let notice = Notice::wrong(words().page_was_open_choose());
        return show(&state, session, Some(notice), now).await;
    }
    let person = &session.person.id;
    let forgotten = match fields.text("device") {
        "all" => state.directory.forget_devices(person).await? > 0,
        id => state.directory.forget_device(person, id).await?,
    };
    if forgotten {
        state.observer.audit(Audit {
            event: "device_forgotten",
            person: Some(person),
            company: Some(&session.company),
            session: Some(session.id),
            address: visit.facts.address,
            request_id: &visit.request_id,
            detail: "",
        });
    }
    see_other("/account/devices?forgotten=1")
}
