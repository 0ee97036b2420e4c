//! SCIM 2.0 at `/scim/v2`: a company's directory keeps its people and groups here. It comes with a
//! bearer token, which says for which company it speaks; there is nothing of another's to see.

mod answer;
mod contact;
mod filter;
mod groups;
mod person;
mod users;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::routing::get;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::visit::Visit;
use super::{Audit, State};
use crate::directory::scim::{Overdue, RolesByGroup, ScimToken, TOKEN_PREFIX};
use crate::gate::name::{CompanyId, PersonId};
use crate::gate::session::Secret;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::sessions::EndCause;

use answer::Wrong;

/// A group with thousands of members, in bytes.
const LARGEST: usize = 1 << 20;

/// People whose sessions are ended before the next are read.
const AT_ONCE: u32 = 100;

pub fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/scim/v2/ServiceProviderConfig", get(words::provider))
        .route("/scim/v2/ResourceTypes", get(words::types))
        .route("/scim/v2/Schemas", get(words::schemas))
        .route("/scim/v2/Users", get(users::list).post(users::make))
        .route(
            "/scim/v2/Users/{id}",
            get(users::read)
                .put(users::replace)
                .patch(users::patch)
                .delete(users::remove),
        )
        .route("/scim/v2/Groups", get(groups::list).post(groups::make))
        .route(
            "/scim/v2/Groups/{id}",
            get(groups::read)
                .put(groups::replace)
                .patch(groups::patch)
                .delete(groups::remove),
        )
        .layer(DefaultBodyLimit::max(LARGEST))
}

/// Who asks: the directory of one company.
pub struct Client {
    pub company: CompanyId,
    pub now: Moment,
    token: ScimToken,
    visit: Visit,
}

impl FromRequestParts<Arc<State>> for Client {
    type Rejection = Wrong;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Client, Wrong> {
        let now = (state.clock)();
        let visit = Visit::from_request_parts(parts, state)
            .await
            .map_err(|_| Wrong::unavailable())?;
        let secret = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(secret_of);
        let Some(secret) = secret else {
            return Err(Wrong::unauthorized());
        };
        let token = state.directory.scim_token(&secret.hash()).await?;
        let token = token.ok_or_else(Wrong::unauthorized)?;
        // Once in a while is enough for a list of tokens that nobody uses any more.
        let stale = token
            .last_used_at
            .is_none_or(|at| now.since(at).as_secs() >= 60);
        if stale {
            state.directory.use_scim_token(&token.id, now).await?;
        }
        // What changes somebody ends their sessions, and a second request that finds it changed would
        // not: nothing is changed while they could not be ended.
        if !parts.method.is_safe() {
            let heard = state.sessions.store().ping().await;
            heard.map_err(|_| Wrong::unavailable())?;
        }
        Ok(Client {
            company: token.company.clone(),
            now,
            token,
            visit,
        })
    }
}

fn secret_of(value: &str) -> Option<Secret> {
    let (scheme, token) = value.split_once(' ')?;
    let written = token.trim().strip_prefix(TOKEN_PREFIX)?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| Secret::parse(written.as_bytes()))
        .flatten()
}

impl Client {
    /// A line of the audit trail: which token did what, to whom.
    fn tell(&self, state: &State, event: TrailEvent, person: Option<&PersonId>, what: &str) {
        let detail = if what.is_empty() {
            format!("token {}", self.token.id)
        } else {
            format!("token {}, {what}", self.token.id)
        };
        state.observer.audit(Audit {
            event,
            person,
            company: Some(&self.company),
            session: None,
            address: self.visit.facts.address,
            request_id: &self.visit.request_id,
            detail: &detail,
        });
    }

    /// Which roles this company's groups give.
    fn roles<'a>(&self, state: &'a State) -> &'a RolesByGroup {
        static NONE: RolesByGroup = RolesByGroup::new();
        state.scim_roles.get(&self.company).unwrap_or(&NONE)
    }
}

/// Ends what carries an old state, of everybody of the company for whom that is to be done: sessions,
/// and sign-ins that are not finished. Before the answer: when the company's directory hears that it
/// is done, it is done. When it isn't, the answer is an error, and the request that is sent again finds
/// here what is left, though it changes nothing more itself.
async fn end_overdue(state: &State, client: &Client) -> Result<(), Wrong> {
    let (mut after, mut tried) = (None, Ok(()));
    loop {
        let overdue = state
            .directory
            .scim_overdue(&client.company, after.as_ref(), AT_ONCE)
            .await?;
        let Some(last) = overdue.last() else {
            return tried;
        };
        after = Some(last.person.clone());
        for one in &overdue {
            // Everybody's turn, even when one fails.
            tried = tried.and(end(state, one).await);
        }
    }
}

async fn end(state: &State, overdue: &Overdue) -> Result<(), Wrong> {
    let cause = match overdue.disabled {
        true => EndCause::PersonDisabled,
        false => EndCause::Revoked,
    };
    state.directory.void_beginnings(&overdue.person).await?;
    let ended = state.sessions.end_person(&overdue.person, cause).await;
    ended.map_err(|_| Wrong::unavailable())?;
    Ok(state.directory.scim_ended(overdue).await?)
}
