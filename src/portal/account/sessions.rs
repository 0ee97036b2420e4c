//! One's own sessions: where one is signed in, and signing out there.

use std::sync::Arc;

use axum::extract::State as Shared;
use jiff::tz::TimeZone;

use crate::gate::name::SessionId;
use crate::gate::session::Session;
use crate::gate::trail::TrailEvent;
use crate::pages::SessionRow;
use crate::portal::answer::see_other;
use crate::portal::apps::signed_in;
use crate::portal::form::Form;
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::visit::Visit;
use crate::portal::{Audit, State, user_agent, when};
use crate::sessions::EndCause;

/// `here`: the session that looks at the list.
pub async fn row(
    state: &State,
    session: &Session,
    here: SessionId,
    timezone: &TimeZone,
) -> Result<SessionRow, Trouble> {
    let seen = state.sessions.store().last_seen(session.id).await?;
    let seen = seen.and_then(|seen| seen.products.values().copied().max().max(seen.anywhere));
    let last_seen = seen.unwrap_or(session.started_at).max(session.started_at);
    Ok(SessionRow {
        id: session.id.to_string(),
        device: user_agent::words(&session.user_agent),
        address: session.address.clone(),
        started: when::words(session.started_at, timezone),
        last_seen: when::words(last_seen, timezone),
        here: session.id == here,
    })
}

/// Ends one of one's own, or all but this one.
pub async fn end(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let current = match signed_in(&state, &visit, super::PATH, now).await? {
        Ok(found) => &found.session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let Some(sent) = form.of_session(&state, current, now) else {
        return see_other("/account?done=again");
    };
    let mine = state.sessions.of_person(&current.person.id).await?;
    let one = SessionId::parse(sent.text("session")).ok();
    let chosen = |session: &SessionId| match sent.of("which") {
        Some("others") => true,
        Some("one") => one == Some(*session),
        _ => false,
    };
    let others: Vec<SessionId> = mine
        .iter()
        .map(|session| session.id)
        .filter(|id| *id != current.id && chosen(id))
        .collect();
    let (ended, tried) = state.sessions.end_each(&others, EndCause::Revoked).await;
    for id in &ended {
        state.observer.audit(Audit {
            event: TrailEvent::SessionEnded,
            person: Some(&current.person.id),
            company: Some(&current.company),
            session: Some(*id),
            address: visit.facts.address,
            request_id: &visit.request_id,
            detail: "in My Profile",
        });
    }
    tried?;
    see_other(match (sent.of("which"), ended.len()) {
        (Some("others"), _) => "/account?done=others",
        (_, 0) => "/account?done=gone",
        _ => "/account?done=session",
    })
}
