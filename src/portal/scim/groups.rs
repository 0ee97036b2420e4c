//! `/Groups`: their members get the roles that the operator gave the group's name.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Wrong, list as listed, made, nothing_left, object, said};
use super::filter::{Filter, bare, page};
use super::person::{Operation, operations, text};
use super::{Client, end_overdue};
use crate::directory::scim::{GroupDraft, ScimGroup, Wanted};
use crate::gate::name::PersonId;
use crate::gate::trail::TrailEvent;
use crate::portal::State;
use crate::portal::fields::Fields;

const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const KNOWN: [&str; 3] = ["displayName", "externalId", "id"];

pub async fn list(Shared(state): Shared<Arc<State>>, client: Client, fields: Fields) -> Answer {
    let filter = Filter::of(&fields, &KNOWN)?;
    let (start, count) = page(&fields)?;
    let value = filter.as_ref().map_or("", |filter| filter.value.as_str());
    let mut wanted = Wanted::default();
    match filter.as_ref().map(|filter| filter.attribute.as_str()) {
        None => {}
        Some(_) if value.is_empty() => return Ok(listed(Vec::new(), start, 0)),
        Some("displayname") => wanted.name = value,
        Some("externalid") => wanted.external_id = value,
        Some(_) => wanted.id = value,
    }
    let (groups, total) = state
        .directory
        .scim_groups(&client.company, wanted, (start - 1, count))
        .await?;
    let members = !without_members(&fields);
    let resources = groups.iter().map(|group| resource(&state, group, members));
    Ok(listed(resources.collect(), start, total))
}

pub async fn read(
    Shared(state): Shared<Arc<State>>,
    client: Client,
    Path(id): Path<String>,
    fields: Fields,
) -> Answer {
    let group = found(&state, &client, &id).await?;
    Ok(said(
        200,
        &resource(&state, &group, !without_members(&fields)),
    ))
}

pub async fn make(Shared(state): Shared<Arc<State>>, client: Client, body: Bytes) -> Answer {
    let draft = whole(&object(&body)?)?;
    let roles = client.roles(&state);
    let (id, changed) = state
        .directory
        .add_scim_group(&client.company, &draft, roles, client.now)
        .await?;
    let group = written(&state, &client, &id, &changed).await?;
    Ok(made(&resource(&state, &group, true)))
}

pub async fn replace(
    Shared(state): Shared<Arc<State>>,
    client: Client,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let draft = whole(&object(&body)?)?;
    change(&state, &client, &id, |_| Ok(draft)).await
}

pub async fn patch(
    Shared(state): Shared<Arc<State>>,
    client: Client,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let body = object(&body)?;
    let patched = |group: &ScimGroup| {
        let mut draft = GroupDraft {
            name: group.name.clone(),
            external_id: group.external_id.clone(),
            members: group.members.clone(),
        };
        for (index, operation) in operations(&body)?.iter().enumerate() {
            apply(&mut draft, operation).map_err(|wrong| wrong.in_operation(index + 1))?;
        }
        Ok(draft)
    };
    change(&state, &client, &id, patched).await
}

pub async fn remove(
    Shared(state): Shared<Arc<State>>,
    client: Client,
    Path(id): Path<String>,
) -> Answer {
    let changed = state
        .directory
        .remove_scim_group(&client.company, &id, client.roles(&state))
        .await?
        .ok_or_else(|| Wrong::nothing("group", &id))?;
    client.tell(
        &state,
        TrailEvent::GroupRemoved,
        None,
        &format!("group {id}"),
    );
    roles_changed(&state, &client, &changed, &id).await?;
    Ok(nothing_left())
}

async fn found(state: &State, client: &Client, id: &str) -> Result<ScimGroup, Wrong> {
    if id.is_empty() {
        return Err(Wrong::nothing("group", id));
    }
    let wanted = Wanted {
        id,
        ..Wanted::default()
    };
    let found = state
        .directory
        .scim_groups(&client.company, wanted, (0, 1))
        .await?;
    let group = found.0.into_iter().next();
    group.ok_or_else(|| Wrong::nothing("group", id))
}

async fn change(
    state: &State,
    client: &Client,
    id: &str,
    change: impl FnOnce(&ScimGroup) -> Result<GroupDraft, Wrong>,
) -> Answer {
    let roles = client.roles(state);
    let changed = state
        .directory
        .change_scim_group(&client.company, id, change, roles, client.now)
        .await?
        .ok_or_else(|| Wrong::nothing("group", id))?;
    let group = written(state, client, id, &changed).await?;
    Ok(said(200, &resource(state, &group, true)))
}

async fn written(
    state: &State,
    client: &Client,
    id: &str,
    changed: &BTreeSet<PersonId>,
) -> Result<ScimGroup, Wrong> {
    let what = format!("group {id}");
    client.tell(state, TrailEvent::GroupChanged, None, &what);
    roles_changed(state, client, changed, id).await?;
    found(state, client, id).await
}

/// Sessions carry roles: whose changed signs in anew.
async fn roles_changed(
    state: &State,
    client: &Client,
    people: &BTreeSet<PersonId>,
    group: &str,
) -> Result<(), Wrong> {
    for person in people {
        let what = format!("group {group}");
        client.tell(state, TrailEvent::RolesChanged, Some(person), &what);
    }
    end_overdue(state, client).await
}

fn whole(object: &Map<String, Value>) -> Result<GroupDraft, Wrong> {
    let mut draft = GroupDraft::default();
    put_all(&mut draft, object)?;
    if draft.name.is_empty() {
        return Err(Wrong::value(
            "displayName is missing: it is the group's name",
        ));
    }
    Ok(draft)
}

fn put_all(draft: &mut GroupDraft, object: &Map<String, Value>) -> Result<(), Wrong> {
    for (key, value) in object {
        match bare(key).to_ascii_lowercase().as_str() {
            "displayname" => draft.name = text("displayName", value)?.unwrap_or_default(),
            "externalid" => draft.external_id = text("externalId", value)?,
            "members" => draft.members = members(value)?,
            _ => {}
        }
    }
    Ok(())
}

fn apply(draft: &mut GroupDraft, operation: &Operation<'_>) -> Result<(), Wrong> {
    let Some(path) = operation.path.map(bare) else {
        return match operation.value {
            Value::Object(object) if operation.adds && object.contains_key("members") => {
                let mut object = object.clone();
                let more = object.remove("members").unwrap_or_default();
                draft.members.extend(members(&more)?);
                put_all(draft, &object)
            }
            Value::Object(object) if !operation.removes => put_all(draft, object),
            _ if operation.removes => {
                let detail = "remove needs a path, such as \"members\"";
                Err(Wrong::of(400, "noTarget", detail))
            }
            _ => Err(Wrong::value("without a path, value must be an object")),
        };
    };
    let lower = path.to_ascii_lowercase();
    if lower == "members" {
        match (operation.removes, operation.adds, operation.value) {
            (true, _, Value::Null) => draft.members.clear(),
            (true, _, value) => {
                let gone = members(value)?;
                draft.members.retain(|member| !gone.contains(member));
            }
            (false, true, value) => draft.members.extend(members(value)?),
            (false, false, value) => draft.members = members(value)?,
        }
        return Ok(());
    }
    // `members[value eq "…"]`
    if let (Some(rest), true) = (path.get("members[".len()..), lower.starts_with("members[")) {
        let inner = rest.strip_suffix(']').unwrap_or(rest);
        let filter = Filter::parse(inner, &["value"])
            .map_err(|wrong| Wrong::of(400, "invalidPath", wrong.detail))?;
        if !operation.removes {
            return Err(Wrong::of(
                400,
                "invalidPath",
                "a member can be removed so, nothing else",
            ));
        }
        draft
            .members
            .retain(|member| member.as_str() != filter.value);
        return Ok(());
    }
    let value = if operation.removes {
        &Value::Null
    } else {
        operation.value
    };
    let one = Map::from_iter([(path.to_owned(), value.clone())]);
    put_all(draft, &one)?;
    if draft.name.is_empty() {
        return Err(Wrong::value("displayName can't be empty"));
    }
    Ok(())
}

fn members(value: &Value) -> Result<BTreeSet<PersonId>, Wrong> {
    let all = match value {
        Value::Null => return Ok(BTreeSet::new()),
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let one = |member: &Value| {
        let id = member.get("value").unwrap_or(member).as_str();
        let id = id.ok_or_else(|| {
            Wrong::value("members: each needs a value, the id of a user, as text")
        })?;
        PersonId::parse(id).map_err(|_| {
            let id: String = id.chars().take(64).collect();
            Wrong::value(format!(
                "members: {id:?} is no user's id; value is the \"id\" that GET /Users tells"
            ))
        })
    };
    all.iter().map(one).collect()
}

fn without_members(fields: &Fields) -> bool {
    let excluded = fields.text("excludedAttributes");
    excluded
        .split(',')
        .any(|name| name.trim().eq_ignore_ascii_case("members"))
}

fn resource(state: &State, group: &ScimGroup, with_members: bool) -> Value {
    let location = format!("{}/scim/v2/Groups/{}", state.portal_origin, group.id);
    let mut resource = json!({
        "schemas": [GROUP],
        "id": group.id,
        "displayName": group.name,
        "meta": {
            "resourceType": "Group",
            "created": group.made_at.to_rfc3339(),
            "lastModified": group.changed_at.to_rfc3339(),
            "location": location,
        },
    });
    if let Some(object) = resource.as_object_mut() {
        if let Some(external_id) = &group.external_id {
            object.insert(String::from("externalId"), json!(external_id));
        }
        if with_members {
            let members: Vec<Value> = group
                .members
                .iter()
                .map(|id| {
                    let user = format!("{}/scim/v2/Users/{id}", state.portal_origin);
                    json!({ "value": id.as_str(), "type": "User", "$ref": user })
                })
                .collect();
            object.insert(String::from("members"), Value::Array(members));
        }
    }
    resource
}
