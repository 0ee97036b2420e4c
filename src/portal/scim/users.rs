//! `/Users`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use serde_json::{Value, json};

use super::answer::{Answer, Wrong, list as listed, made, nothing_left, object, said};
use super::filter::{Filter, page};
use super::person::Sketch;
use super::{Client, end_overdue};
use crate::directory::scim::{PersonDraft, ScimPerson, Wanted};
use crate::gate::name::{Login, PersonId};
use crate::gate::trail::TrailEvent;
use crate::portal::State;
use crate::portal::fields::Fields;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const KNOWN: [&str; 3] = ["userName", "externalId", "id"];

pub async fn list(Shared(state): Shared<Arc<State>>, client: Client, fields: Fields) -> Answer {
    let filter = Filter::of(&fields, &KNOWN)?;
    let (start, count) = page(&fields)?;
    let value = filter.as_ref().map_or("", |filter| filter.value.as_str());
    // Logins are compared in their canonical form, so in any case (RFC 7643, section 4.1.1).
    let login = Login::parse(value).map(|login| login.to_string());
    let wanted = match filter.as_ref().map(|filter| filter.attribute.as_str()) {
        None => Wanted::default(),
        // Nothing can have an empty one.
        Some(_) if value.is_empty() => return Ok(listed(Vec::new(), start, 0)),
        Some("username") => Wanted {
            name: login.as_deref().unwrap_or("\u{1}"),
            ..Wanted::default()
        },
        Some("externalid") => Wanted {
            external_id: value,
            ..Wanted::default()
        },
        Some(_) => Wanted {
            id: value,
            ..Wanted::default()
        },
    };
    let primary = &state.products.primary().id;
    let (people, total) = state
        .directory
        .scim_people(&client.company, primary, wanted, (start - 1, count))
        .await?;
    let resources = people.iter().map(|person| resource(&state, person));
    Ok(listed(resources.collect(), start, total))
}

pub async fn read(
    Shared(state): Shared<Arc<State>>,
    client: Client,
    Path(id): Path<String>,
) -> Answer {
    let person = found(&state, &client, &id).await?;
    Ok(said(200, &resource(&state, &person)))
}

pub async fn make(Shared(state): Shared<Arc<State>>, client: Client, body: Bytes) -> Answer {
    let draft = Sketch::whole(&object(&body)?)?.finished()?;
    let primary = &state.products.primary().id;
    let id = state
        .directory
        .add_scim_person(&client.company, primary, &draft, client.now)
        .await?;
    client.tell(&state, TrailEvent::PersonMade, Some(&id), "");
    let person = found(&state, &client, id.as_str()).await?;
    Ok(made(&resource(&state, &person)))
}

pub async fn replace(
    Shared(state): Shared<Arc<State>>,
    client: Client,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let sketch = Sketch::whole(&object(&body)?)?;
    change(&state, &client, &id, |person| sketch.finished_over(person)).await
}

pub async fn patch(
    Shared(state): Shared<Arc<State>>,
    client: Client,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let body = object(&body)?;
    let patched = |person: &ScimPerson| Sketch::from(person).patched(&body)?.finished();
    change(&state, &client, &id, patched).await
}

/// People are disabled, never removed: what they did stands in the audit trail under their id.
pub async fn remove(
    Shared(state): Shared<Arc<State>>,
    client: Client,
    Path(id): Path<String>,
) -> Answer {
    let person = found(&state, &client, &id).await?;
    state
        .directory
        .remove_scim_person(&client.company, &person.id, client.roles(&state))
        .await?
        .ok_or_else(|| Wrong::nothing("user", &id))?;
    client.tell(&state, TrailEvent::PersonDisabled, Some(&person.id), "");
    end_overdue(&state, &client).await?;
    Ok(nothing_left())
}

async fn found(state: &State, client: &Client, id: &str) -> Result<ScimPerson, Wrong> {
    let nobody = || Wrong::nothing("user", id);
    let parsed = PersonId::parse(id).map_err(|_| nobody())?;
    let primary = &state.products.primary().id;
    let person = state
        .directory
        .scim_person(&client.company, primary, &parsed)
        .await?;
    person.ok_or_else(nobody)
}

async fn change(
    state: &State,
    client: &Client,
    id: &str,
    change: impl FnOnce(&ScimPerson) -> Result<PersonDraft, Wrong>,
) -> Answer {
    let nobody = || Wrong::nothing("user", id);
    let person = PersonId::parse(id).map_err(|_| nobody())?;
    let primary = &state.products.primary().id;
    let change = state
        .directory
        .change_scim_person(&client.company, primary, &person, change, client.now)
        .await?
        .ok_or_else(nobody)?;
    for (event, happened, what) in [
        (TrailEvent::PersonDisabled, change.disabled, String::new()),
        (
            TrailEvent::PersonChanged,
            !change.attributes.is_empty(),
            change.attributes.join(", "),
        ),
        (TrailEvent::PersonEnabled, change.enabled, String::new()),
    ] {
        if happened {
            client.tell(state, event, Some(&person), &what);
        }
    }
    end_overdue(state, client).await?;
    let person = found(state, client, id).await?;
    Ok(said(200, &resource(state, &person)))
}

fn resource(state: &State, person: &ScimPerson) -> Value {
    let mut user = json!({
        "schemas": [USER],
        "id": person.id.as_str(),
        "userName": person.user_name,
        "name": { "formatted": person.name },
        "displayName": person.name,
        "emails": [{ "value": person.email, "type": "work", "primary": true }],
        "active": person.active,
        "meta": {
            "resourceType": "User",
            "location": format!("{}/scim/v2/Users/{}", state.portal_origin, person.id),
        },
    });
    let mut put = |at: &str, key: &str, value: Option<Value>| {
        if let (Some(value), Some(object)) =
            (value, user.pointer_mut(at).and_then(Value::as_object_mut))
        {
            object.insert(key.to_owned(), value);
        }
    };
    // Of somebody from an import nobody knows when, and no moment is better than a wrong one.
    for (key, at) in [
        ("created", person.made_at),
        ("lastModified", person.changed_at),
    ] {
        put("/meta", key, at.map(|at| json!(at.to_rfc3339())));
    }
    put(
        "",
        "externalId",
        person.external_id.as_ref().map(|id| json!(id)),
    );
    put(
        "/name",
        "givenName",
        person.given_name.as_ref().map(|name| json!(name)),
    );
    put(
        "/name",
        "familyName",
        person.family_name.as_ref().map(|name| json!(name)),
    );
    let phone = person.phone.as_ref();
    let kind = if person.mobile { "mobile" } else { "work" };
    put(
        "",
        "phoneNumbers",
        phone.map(|phone| json!([{ "value": phone, "type": kind, "primary": true }])),
    );
    user
}
