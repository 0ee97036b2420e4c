//! User Manager: finding one of the company's people.

use std::sync::Arc;

use axum::extract::State as Shared;
use url::form_urlencoded::Serializer;

use super::proven_official;
use crate::directory::Person;
use crate::gate::name::PersonId;
use crate::pages;
use crate::portal::State;
use crate::portal::answer::page as answered;
use crate::portal::apps::{USER_MANAGER, frame};
use crate::portal::fields::Fields;
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::visit::Visit;

pub const PATH: &str = "/company/users";

/// People on one page.
const PAGE: usize = 25;

/// The longest search, in characters.
const LONGEST: usize = 100;

pub async fn page(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let q: String = fields.text("q").trim().chars().take(LONGEST).collect();
    // What was searched for survives the way over the factor.
    let here = address(&q, None);
    let official = match proven_official(&state, &visit, (&here, USER_MANAGER), now).await? {
        Ok(official) => official,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let company = &official.company;
    let after = after(&state, &fields).await?;
    let after = after.filter(|person| person.company == company.id);
    let limit = u32::try_from(PAGE).unwrap_or(u32::MAX).saturating_add(1);
    let mut people = state
        .directory
        .find_people(&company.id, &q, after.as_ref(), limit)
        .await?;
    let more = people.len() > PAGE;
    people.truncate(PAGE);
    let next = people.last().filter(|_| more);
    answered(&pages::Users {
        frame: frame(&state, Some(&official.session), PATH),
        company: company.name.clone(),
        next: next.map(|last| address(&q, Some(&last.id))),
        first: after.is_some().then(|| address(&q, None)),
        people: people.into_iter().map(row).collect(),
        q,
    })
}

async fn after(state: &State, fields: &Fields) -> Result<Option<Person>, Trouble> {
    match PersonId::parse(fields.text("after")) {
        Ok(id) => Ok(state.directory.person(&id).await?),
        Err(_) => Ok(None),
    }
}

fn address(q: &str, after: Option<&PersonId>) -> String {
    let mut query = Serializer::new(String::new());
    if !q.is_empty() {
        query.append_pair("q", q);
    }
    if let Some(after) = after {
        query.append_pair("after", after.as_str());
    }
    let query = query.finish();
    if query.is_empty() {
        return PATH.to_owned();
    }
    format!("{PATH}?{query}")
}

fn row(person: Person) -> pages::UserRow {
    pages::UserRow {
        href: format!("{PATH}/{}", person.id),
        id: person.id.to_string(),
        name: person.name,
        email: person.email,
        disabled: person.disabled,
    }
}
