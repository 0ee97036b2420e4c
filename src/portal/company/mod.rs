//! The pages of those who run a company: settings, people, sessions, audit trail. What they may touch is the
//! company that they belong to, whichever of their companies is the current one.

pub mod audit;
mod concerned;
mod deeds;
pub mod sessions;
pub mod settings;
pub mod user;
pub mod users;

use std::sync::Arc;

use axum::response::Response;

use super::State;
use super::answer::see_other;
use super::apps::signed_in;
use super::errand::Errand;
use super::fields::Fields;
use super::trouble::Trouble;
use super::visit::Visit;
use crate::directory::{Company, Person};
use crate::gate::arrival::{Arrival, FRESH_FOR_ADMINISTRATION, Place, arrive, inside};
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::pages::Notice;
use crate::portal::language::words;

/// Somebody who may do what the role allows, to their own company.
pub struct Official {
    pub session: Arc<Session>,
    pub person: Person,
    pub company: Company,
}

/// Who holds `role`, by the directory and not by the session: a role that was taken away an hour
/// ago opens nothing. Or the redirect to the sign-in page.
///
/// # Errors
/// 403 for anybody else.
pub async fn official(
    state: &Arc<State>,
    visit: &Visit,
    (path, role): (&str, &str),
    now: Moment,
) -> Result<Result<Official, Response>, Trouble> {
    let session = match signed_in(state, visit, path, now).await? {
        Ok(found) => Arc::clone(&found.session),
        Err(elsewhere) => return Ok(Err(elsewhere)),
    };
    let person = state.directory.person(&session.person.id).await?;
    let person = person.filter(|person| !person.disabled && person.roles.iter().any(|r| r == role));
    let Some(person) = person else {
        return Err(not_yours(role));
    };
    let company = state.directory.company(&person.company).await?;
    let company = company.ok_or_else(|| not_yours(role))?;
    Ok(Ok(Official {
        session,
        person,
        company,
    }))
}

/// The same, with a factor of their own that was proved in the last quarter of an hour.
pub async fn proven_official(
    state: &Arc<State>,
    visit: &Visit,
    (path, role): (&str, &str),
    now: Moment,
) -> Result<Result<Official, Response>, Trouble> {
    // Who has to sign in anyway does both on one way.
    if inside(&visit.known, &state.policies.load(), now).is_none()
        && let Some(elsewhere) = proved_lately(state, visit, path, now)?
    {
        return Ok(Err(elsewhere));
    }
    let official = match official(state, visit, (path, role), now).await? {
        Ok(official) => official,
        Err(elsewhere) => return Ok(Err(elsewhere)),
    };
    match proved_lately(state, visit, path, now)? {
        None => Ok(Ok(official)),
        Some(elsewhere) => Ok(Err(elsewhere)),
    }
}

/// `None` for who proved their factor lately; otherwise the way to prove it, and back to `path`.
pub fn proved_lately(
    state: &State,
    visit: &Visit,
    path: &str,
    now: Moment,
) -> Result<Option<Response>, Trouble> {
    let policies = state.policies.load();
    let within = Some(FRESH_FOR_ADMINISTRATION);
    match arrive(&visit.known, &policies, Place::Portal, within, now) {
        Arrival::Enter(_) => Ok(None),
        Arrival::Unavailable => Err(Trouble::unavailable("store")),
        Arrival::SignIn(_) | Arrival::PasswordAgain(..) | Arrival::Factor(_) => {
            let errand = Errand::to_portal(state, path).needing(FRESH_FOR_ADMINISTRATION);
            see_other(&errand.on("/login")).map(Some)
        }
    }
}

/// From the proof to a page that says that what was chosen on it is lost.
fn back_to(path: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}done=again")
}

fn once_more(fields: &Fields) -> Option<Notice> {
    (fields.of("done") == Some("again")).then(|| Notice::news(words().choose_once_more()))
}

fn not_yours(role: &str) -> Trouble {
    if role == super::apps::USER_MANAGER {
        return Trouble::new(403, "not_user_manager").saying(
            words().for_user_managers(),
            words().for_user_managers_what(),
            words().for_user_managers_remedy(),
        );
    }
    Trouble::new(403, "not_admin").saying(
        words().for_company_admins(),
        words().for_company_admins_what(),
        words().for_company_admins_remedy(),
    )
}
