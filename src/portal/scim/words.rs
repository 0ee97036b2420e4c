//! What we say of ourselves (RFC 7643, sections 5 to 7).

use std::sync::Arc;

use axum::extract::State as Shared;
use serde_json::{Value, json};

use super::Client;
use super::answer::{Answer, list, said};
use crate::portal::State;

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0";

pub async fn provider(Shared(_): Shared<Arc<State>>, _: Client) -> Answer {
    let no = json!({ "supported": false });
    Ok(said(
        200,
        &json!({
            "schemas": [format!("{CORE}:ServiceProviderConfig")],
            "patch": { "supported": true },
            "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
            "filter": { "supported": true, "maxResults": 200 },
            "changePassword": no,
            "sort": no,
            "etag": no,
            "authenticationSchemes": [{
                "type": "oauthbearertoken",
                "name": "Bearer token",
                "description": "A token of this gateway, for one company",
                "primary": true,
            }],
        }),
    ))
}

pub async fn types(Shared(state): Shared<Arc<State>>, _: Client) -> Answer {
    let kind = |name: &str, endpoint: &str| {
        json!({
            "schemas": [format!("{CORE}:ResourceType")],
            "id": name,
            "name": name,
            "endpoint": endpoint,
            "schema": format!("{CORE}:{name}"),
            "meta": {
                "resourceType": "ResourceType",
                "location": format!("{}/scim/v2/ResourceTypes/{name}", state.portal_origin),
            },
        })
    };
    Ok(list(
        vec![kind("User", "/Users"), kind("Group", "/Groups")],
        1,
        2,
    ))
}

pub async fn schemas(Shared(_): Shared<Arc<State>>, _: Client) -> Answer {
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": format!("{CORE}:User"),
        "name": "User",
        "attributes": [
            attribute("userName", "string", true, "server"),
            attribute("displayName", "string", false, "none"),
            attribute("active", "boolean", false, "none"),
            complex("name", false, &["formatted", "givenName", "familyName"]),
            complex("emails", true, &["value", "type"]),
            complex("phoneNumbers", true, &["value", "type"]),
        ],
    });
    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": format!("{CORE}:Group"),
        "name": "Group",
        "attributes": [
            attribute("displayName", "string", true, "server"),
            complex("members", true, &["value", "type"]),
        ],
    });
    Ok(list(vec![user, group], 1, 2))
}

fn attribute(name: &str, kind: &str, required: bool, uniqueness: &str) -> Value {
    json!({
        "name": name, "type": kind, "multiValued": false, "required": required,
        "caseExact": false, "mutability": "readWrite", "returned": "default",
        "uniqueness": uniqueness,
    })
}

fn complex(name: &str, several: bool, parts: &[&str]) -> Value {
    let mut whole = attribute(name, "complex", false, "none");
    let parts: Vec<Value> = parts
        .iter()
        .map(|part| attribute(part, "string", false, "none"))
        .collect();
    if let Some(object) = whole.as_object_mut() {
        object.insert(String::from("multiValued"), json!(several));
        object.insert(String::from("subAttributes"), Value::Array(parts));
    }
    whole
}
