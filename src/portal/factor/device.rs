//! Remembering a device: asked at the challenge, worth something at the next sign-in.

use axum::response::Response;

use super::extras::Newcomer;
use super::scene::Scene;
use crate::gate::trail::TrailEvent;
use crate::portal::attempt::fresh_secret;
use crate::portal::cookies;
use crate::portal::throttles::in_words;
use crate::portal::trouble::Answer;

impl Scene<'_> {
    /// How long this device could be remembered, in words for the box beside the code; `None`
    /// where there is none. Not at enrolment: a first factor is proved again at least once.
    pub fn remember(&self) -> Option<String> {
        let span = self.policy.mfa.remember_device;
        (!self.enrols() && !span.is_zero()).then(|| in_words(span))
    }
}

/// Remembers the browser that `response` goes to, if the company lets it.
pub async fn remembered(newcomer: &Newcomer<'_>, mut response: Response) -> Answer {
    let Newcomer {
        state,
        visit,
        person,
        policy,
        now,
        ..
    } = newcomer;
    let span = policy.mfa.remember_device;
    if span.is_zero() {
        return Ok(response);
    }
    let secret = fresh_secret(state);
    let old = visit.device_cookie().map(|old| old.hash());
    let (address, user_agent) = (visit.facts.address.to_string(), visit.user_agent());
    state
        .directory
        .remember_device(
            &person.id,
            (old.as_ref(), &secret.hash()),
            (&address, &user_agent),
            *now,
        )
        .await?;
    cookies::set_device(&mut response, &secret, span);
    newcomer.audit(TrailEvent::DeviceRemembered);
    Ok(response)
}
