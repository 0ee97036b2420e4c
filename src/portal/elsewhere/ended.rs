//! The provider says that somebody signed out there (OpenID Connect Back-Channel Logout 1.0).

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::gate::trail::TrailEvent;
use crate::portal::form::Posted;
use crate::portal::trouble::Trouble;
use crate::portal::visit::Visit;
use crate::portal::{Audit, State};
use crate::sessions::EndCause;

/// Section 2.8: 200 when it is done, 400 when the token is not believed.
pub async fn ended(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    visit: Visit,
    Posted(fields): Posted,
) -> Result<Response, Trouble> {
    let now = (state.clock)();
    let Some(provider) = state.providers.named(&name) else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let settings = &provider.settings;
    let subject = match provider.signed_out(fields.text("logout_token"), now).await {
        Ok(subject) => subject,
        Err(error) => {
            tracing::warn!(provider = %settings.name, %error, "a logout token is not believed");
            return Ok(StatusCode::BAD_REQUEST.into_response());
        }
    };
    let person = state.directory.identity(&settings.issuer, &subject).await?;
    let person = match person {
        Some(id) => state.directory.person(&id).await?,
        None => None,
    };
    // Ended twice is ended: a token that is sent again does no harm.
    if let Some(person) = person.filter(|person| person.company == settings.company) {
        state.directory.void_beginnings(&person.id).await?;
        let cause = EndCause::SignedOut;
        let ended = state.sessions.end_person(&person.id, cause).await;
        // On record whatever could not be ended: the rest was.
        state.observer.audit(Audit::about(
            &person,
            &visit,
            TrailEvent::SignedOutElsewhere,
            &settings.name,
        ));
        ended?;
    }
    Ok(StatusCode::OK.into_response())
}
