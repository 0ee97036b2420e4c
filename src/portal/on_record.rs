//! What changes somebody's access is on record or is not done: while the audit trail can't be written,
//! administration, own factors, pairing, a new password by a link and provisioning wait. Signing in goes
//! on, and out: the ends of sessions are never kept waiting.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::State;
use super::language::words;
use super::trouble::Trouble;

/// Where people's access, factors and links are changed.
const ON_RECORD: [&str; 6] = [
    "/company/",
    "/account/",
    "/connect/",
    "/login/enroll",
    "/password/reset",
    "/scim/",
];
/// A door can be shut at any time.
const ENDS: [&str; 2] = ["/account/sessions", "/company/sessions"];

/// Lets through what changes nothing, and what can be written down.
pub async fn demand(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let bound = !request.method().is_safe()
        && !ENDS.contains(&path)
        && ON_RECORD.iter().any(|prefix| path.starts_with(prefix));
    if bound && !state.observer.can_record() {
        return Trouble::unavailable("audit")
            .saying(
                words().not_on_record(),
                words().not_on_record_what(),
                words().not_on_record_remedy(),
            )
            .into_response();
    }
    next.run(request).await
}
