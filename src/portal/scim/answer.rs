//! Answers in SCIM's form (RFC 7644, sections 3.4.2 and 3.12).

use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::directory::DirectoryError;
use crate::directory::scim::ScimError;

const TYPE: &str = "application/scim+json";
const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// A refusal, with a sentence by which the other side's administrator can mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub status: u16,
    /// One of RFC 7644's words; empty where it has none.
    pub kind: &'static str,
    pub detail: String,
}

pub type Answer = Result<Response, Wrong>;

impl Wrong {
    pub fn of(status: u16, kind: &'static str, detail: impl Into<String>) -> Wrong {
        Wrong {
            status,
            kind,
            detail: detail.into(),
        }
    }

    pub fn value(detail: impl Into<String>) -> Wrong {
        Wrong::of(400, "invalidValue", detail)
    }

    /// In which operation of a PATCH, counted from 1.
    pub fn in_operation(self, number: usize) -> Wrong {
        Wrong {
            detail: format!("operation {number}: {}", self.detail),
            ..self
        }
    }

    pub fn unauthorized() -> Wrong {
        let detail = "a bearer token of this gateway is needed; 'vestibule scim token' makes one";
        Wrong::of(401, "", detail)
    }

    pub fn unavailable() -> Wrong {
        Wrong::of(503, "", "the directory does not answer; try again later")
    }

    pub fn nothing(what: &str, id: &str) -> Wrong {
        let id: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
        Wrong::of(
            404,
            "",
            format!("there is no {what} {id:?} in this company"),
        )
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let mut body = json!({
            "schemas": [ERROR],
            "status": self.status.to_string(),
            "detail": self.detail,
        });
        if !self.kind.is_empty()
            && let Some(body) = body.as_object_mut()
        {
            body.insert(String::from("scimType"), json!(self.kind));
        }
        let mut response = said(self.status, &body);
        let headers = response.headers_mut();
        match self.status {
            401 => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            503 => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}

impl From<DirectoryError> for Wrong {
    fn from(error: DirectoryError) -> Wrong {
        tracing::warn!(%error, "the directory failed a SCIM request");
        Wrong::unavailable()
    }
}

impl From<ScimError> for Wrong {
    fn from(error: ScimError) -> Wrong {
        match error {
            ScimError::Taken(what) => Wrong::of(409, "uniqueness", what),
            ScimError::NoMember(_) => Wrong::value(error.to_string()),
            // Another gateway, or an import, was first.
            ScimError::Directory(DirectoryError::Conflict(_)) => {
                Wrong::of(409, "uniqueness", "somebody has this name or id already")
            }
            ScimError::Directory(error) => error.into(),
        }
    }
}

pub fn said(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, TYPE)], body.to_string()).into_response()
}

/// A new resource, with its address.
pub fn made(body: &Value) -> Response {
    let mut response = said(201, body);
    let location = body.pointer("/meta/location").and_then(Value::as_str);
    if let Some(location) = location.and_then(|url| HeaderValue::from_str(url).ok()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

pub fn nothing_left() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A page of a list; `start` counts from 1.
pub fn list(resources: Vec<Value>, start: u32, total: u64) -> Response {
    let body = json!({
        "schemas": [LIST],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    });
    said(200, &body)
}

/// The JSON object of a request's body.
pub fn object(body: &Bytes) -> Result<serde_json::Map<String, Value>, Wrong> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Wrong::of(
            400,
            "invalidSyntax",
            "the body is not a JSON object",
        )),
        Err(error) => Err(Wrong::of(
            400,
            "invalidSyntax",
            format!(
                "the body is not JSON (line {}, column {})",
                error.line(),
                error.column()
            ),
        )),
    }
}
