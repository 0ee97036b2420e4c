//! What every answer of ours carries.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Request, State as Shared};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use tracing::Instrument as _;

use super::State;
use super::language::{self, words};
use super::trouble::{Answer, Trouble};
use crate::gate::facts::{Asks, Facts};
use crate::pages;
use crate::pages::{RequestId, Words};

const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Around every route: troubles become pages or JSON, and the headers that make a page safe to
/// show are set unless the handler set its own.
pub async fn dress(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let asks = request
        .extensions()
        .get::<Arc<Facts>>()
        .map(|facts| facts.asks);
    let request_id = request
        .extensions()
        .get::<RequestId>()
        .cloned()
        .unwrap_or_default();
    let words = language::of_reader(request.headers(), asks);
    // Whatever is logged on the way names the request, as its page does.
    let span = tracing::error_span!("page", request_id = %request_id.0);
    let answered = language::speaking(words, next.run(request)).instrument(span);
    let mut response = answered.await;
    if let Some(trouble) = response.extensions_mut().remove::<Trouble>() {
        response = told(trouble, &state, asks, &request_id.0);
    }
    tell_language(response.headers_mut(), words);
    protect(response.headers_mut(), &state);
    response
}

fn told(trouble: Trouble, state: &State, asks: Option<Asks>, request_id: &str) -> Response {
    let retry_after = trouble.retry_secs();
    let problem = trouble.problem(state, request_id);
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match asks {
        Some(Asks::Program | Asks::Upgrade) => {
            (status, [(CONTENT_TYPE, "application/json")], problem.json()).into_response()
        }
        Some(Asks::Navigation) | None => (
            status,
            [(CONTENT_SECURITY_POLICY, pages::problem_policy())],
            Html(problem.html()),
        )
            .into_response(),
    };
    if let Some(secs) = retry_after {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}

/// Pages are no-store already; whoever keeps one all the same keeps it for this language alone.
fn tell_language(headers: &mut HeaderMap, words: Words) {
    let is_page = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page {
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(words.tag()));
        headers.append(VARY, HeaderValue::from_static("accept-language"));
    }
}

fn protect(headers: &mut HeaderMap, state: &State) {
    let mut set = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    set(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    set(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // Not `no-referrer`: browsers would send `Origin: null` with our own forms, which is refused.
    set(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    set(COOP, HeaderValue::from_static("same-origin"));
    set(CORP, HeaderValue::from_static("same-origin"));
    set(
        STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=31536000"),
    );
    if let Ok(policy) = HeaderValue::from_str(&content_policy(state)) {
        set(CONTENT_SECURITY_POLICY, policy);
    }
}

/// Chromium applies `form-action` to the redirects after a form as well, and a sign-in ends on a
/// product's host: so those are named.
fn content_policy(state: &State) -> String {
    let mut policy = String::from(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; \
         object-src 'none'; frame-ancestors 'none'; form-action 'self' ",
    );
    policy.push_str(&state.portal_origin);
    for product in state.products.iter() {
        policy.push(' ');
        policy.push_str(&product.origin);
    }
    policy
}

/// A page with the portal's own script: the only ones that may run any.
pub fn page_with_script(state: &State, template: &impl Template) -> Answer {
    let policy = format!("script-src 'self'; {}", content_policy(state));
    let policy = HeaderValue::from_str(&policy).map_err(|_| Trouble::internal("policy"))?;
    let html = Html(template.render()?);
    Ok(([(CONTENT_SECURITY_POLICY, policy)], html).into_response())
}

/// The script's address on the portal.
pub fn passkey_script() -> String {
    format!("{}{}", pages::STYLE_PATH, pages::passkey_script_name())
}

pub fn page(template: &impl Template) -> Answer {
    Ok(Html(template.render()?).into_response())
}

/// 303: whatever the request was, the next one is a GET.
pub fn see_other(location: &str) -> Answer {
    redirect(StatusCode::SEE_OTHER, location)
}

pub fn found(location: &str) -> Answer {
    redirect(StatusCode::FOUND, location)
}

fn redirect(status: StatusCode, location: &str) -> Answer {
    let location = HeaderValue::from_str(location).map_err(|_| Trouble::internal("location"))?;
    Ok((status, [(LOCATION, location)]).into_response())
}

pub async fn nothing_here() -> Trouble {
    Trouble::new(404, "not_found").with_link("/", words().go_to_start_page())
}

pub async fn not_so() -> Trouble {
    Trouble::new(405, "method")
}

/// The stylesheet and the script, under names with their hash: they may be kept for ever.
pub async fn asset(Path(name): Path<String>) -> Answer {
    let (kind, text) = if name == pages::style_name() {
        ("text/css; charset=utf-8", pages::style())
    } else if name == pages::passkey_script_name() {
        ("text/javascript; charset=utf-8", pages::passkey_script())
    } else {
        return Err(nothing_here().await);
    };
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, text).into_response())
}
