//! Remembering a device: asked at the challenge, worth something at the next sign-in.

use axum::response::Response;
use http::header::SET_COOKIE;

use super::audit;
use super::scene::Scene;
use crate::gate::cookies::SESSION_COOKIE;
use crate::gate::trail::TrailEvent;
use crate::portal::attempt::fresh_secret;
use crate::portal::cookies;
use crate::portal::form::Sent;
use crate::portal::throttles::in_words;
use crate::portal::trouble::{Answer, Trouble};

impl Scene<'_> {
    /// How long this device could be remembered, in words for the box beside the code; `None`
    /// where there is none. Not at enrolment: a first factor is proved again at least once.
    pub fn remember(&self) -> Option<String> {
        let span = self.policy.mfa.remember_device;
        (!self.enrols() && !span.is_zero()).then(|| in_words(span))
    }
}

/// Remembers the browser that `response` goes to, if its person asked for that and the company
/// lets them.
pub async fn remembered(scene: &Scene<'_>, sent: &Sent<'_>, mut response: Response) -> Answer {
    if sent.of("remember") != Some("on") || scene.remember().is_none() {
        return Ok(response);
    }
    keep(scene, &mut response).await?;
    Ok(response)
}

async fn keep(scene: &Scene<'_>, response: &mut Response) -> Result<(), Trouble> {
    let secret = fresh_secret(scene.state);
    let old = scene.visit.device_cookie().map(|old| old.hash());
    let (address, user_agent) = (
        scene.visit.facts.address.to_string(),
        scene.visit.user_agent(),
    );
    scene
        .state
        .directory
        .remember_device(
            &scene.person.id,
            (old.as_ref(), &secret.hash()),
            (&address, &user_agent),
            scene.now,
        )
        .await?;
    cookies::set_device(response, &secret, scene.policy.mfa.remember_device);
    audit(scene, TrailEvent::DeviceRemembered, "");
    Ok(())
}

/// Whether the answer carries a session: what came between (the account disabled, the session
/// over) remembers nobody.
pub fn signs_in(response: &Response) -> bool {
    let mark = format!("{SESSION_COOKIE}=");
    let cookies = response.headers().get_all(SET_COOKIE);
    cookies
        .iter()
        .filter_map(|cookie| cookie.to_str().ok())
        .any(|cookie| cookie.starts_with(&mark))
}
