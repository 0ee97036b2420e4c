//! Remembered devices: what one is worth at a sign-in, and the page that lists and forgets them.

use std::sync::Arc;

use axum::extract::State as Shared;

use super::answer::{page, see_other};
use super::apps::{frame, signed_in};
use super::fields::Fields;
use super::form::Form;
use super::language::words;
use super::throttles::in_words;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, accounts, user_agent, when};
use crate::directory::{Account, Person};
use crate::gate::device;
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::{DeviceRow, Devices, Notice};

const PATH: &str = "/account/devices";

/// Whether this browser stands in for the person's second factor in the company that they will work
/// for.
pub async fn stands_in(
    state: &State,
    visit: &Visit,
    account: &Account,
    person: &Person,
    now: Moment,
) -> Result<bool, Trouble> {
    let company = accounts::tenancy(account, &person.company).current;
    let span = state.policies.load().of(&company).mfa.remember_device;
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
        state.observer.audit(Audit::about(
            person,
            visit,
            TrailEvent::DeviceUsed,
            &found.id,
        ));
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

pub async fn forget(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let session = match signed_in(&state, &visit, PATH, now).await? {
        Ok(found) => &found.session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let Some(sent) = form.of_session(&state, session, now) else {
        let notice = Notice::wrong(words().page_was_open_choose());
        return show(&state, session, Some(notice), now).await;
    };
    let person = &session.person.id;
    let forgotten = match sent.text("device") {
        "all" => state.directory.forget_devices(person).await? > 0,
        id => state.directory.forget_device(person, id).await?,
    };
    if forgotten {
        let line = Audit::of(session, &visit, TrailEvent::DeviceForgotten, "");
        state.observer.audit(line);
    }
    see_other("/account/devices?forgotten=1")
}
