//! Off to the provider: what was asked is kept here, and its key goes along as `state`.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use serde::{Deserialize, Serialize};

use super::redirect_uri;
use crate::gate::arrival::{Arrival, Place, arrive};
use crate::gate::ceremony::LIFE;
use crate::gate::session::SecretHash;
use crate::gate::throttle::ADDRESS;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::Link;
use crate::portal::answer::see_other;
use crate::portal::errand::Errand;
use crate::portal::fields::Fields;
use crate::portal::language::words;
use crate::portal::throttles::{self, Limit};
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::visit::Visit;
use crate::portal::{State, attempt, cookies};
use crate::providers::{Provider, ProviderError, Question};

/// What is counted when one is begun.
const BEGUN: &str = "elsewhere";

/// What a sign-in elsewhere was begun with.
#[derive(Serialize, Deserialize)]
pub struct Flow {
    pub provider: String,
    pub nonce: String,
    /// Sealed, for this browser's cookie.
    pub verifier: String,
    /// Of the browser: nobody can be signed in with a state of somebody else's.
    pub cookie: SecretHash,
    /// As it stands in an address.
    pub errand: String,
    pub began_at: Moment,
    pub again: bool,
}

pub fn key(state: &SecretHash) -> String {
    format!("elsewhere:{}", state.to_text())
}

pub async fn begin(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    visit: Visit,
    fields: Fields,
) -> Answer {
    let now = (state.clock)();
    let errand = Errand::of(&fields);
    let provider = state
        .providers
        .named(&name)
        .ok_or_else(|| Trouble::new(404, "not_found").with_link("/login", words().log_in()))?;
    count(&state, &visit, BEGUN, now).await?;
    let metadata = provider
        .metadata(now)
        .await
        .map_err(|error| away(&state, &visit, provider, &errand, &error))?;

    let old = visit.login_cookie();
    let cookie = old.clone().unwrap_or_else(|| attempt::fresh_secret(&state));
    let [asked, nonce, verifier] = [(); 3].map(|()| attempt::fresh_secret(&state));
    let (nonce, verifier) = (nonce.expose(), verifier.expose());
    let sealed = state
        .keys
        .seal(verifier.as_bytes(), &cookie.hash(), &state.random)
        .ok_or_else(|| Trouble::internal("seal"))?;
    let flow = Flow {
        provider: name,
        nonce: nonce.clone(),
        verifier: sealed,
        cookie: cookie.hash(),
        errand: errand.on(""),
        began_at: now,
        again: errand.fresh_factor().is_some() || goes_on(&state, &visit, now),
    };
    let written = serde_json::to_vec(&flow).map_err(|_| Trouble::internal("flow"))?;
    let stored = state
        .sessions
        .store()
        .swap_state(&key(&asked.hash()), None, Some(&written), LIFE, now)
        .await?;
    if !stored {
        return Err(Trouble::internal("flow"));
    }
    let url = provider.address(
        &metadata,
        &Question {
            redirect_uri: &redirect_uri(&state, provider),
            state: &asked.expose(),
            nonce: &nonce,
            verifier: &verifier,
            again: flow.again,
        },
    );
    let mut response = see_other(url.as_str())?;
    if old.is_none() {
        cookies::set_login(&mut response, &cookie);
    }
    Ok(response)
}

/// Whoever has a session and comes here was asked to prove themselves again: that the provider
/// remembers them is no proof.
fn goes_on(state: &State, visit: &Visit, now: Moment) -> bool {
    match arrive(
        &visit.known,
        &state.policies.load(),
        Place::Portal,
        None,
        now,
    ) {
        Arrival::Enter(_) | Arrival::PasswordAgain(..) | Arrival::Factor(_) => true,
        Arrival::SignIn(_) | Arrival::Unavailable => false,
    }
}

/// Each beginning is kept for a while, and each answer is asked about: an address that begins or comes
/// back without end would fill the store and keep the provider busy.
pub async fn count(state: &State, visit: &Visit, what: &str, now: Moment) -> Result<(), Trouble> {
    use crate::gate::throttle::Verdict;
    let store = state.sessions.store().as_ref();
    let key = throttles::key(what, &[&visit.network()]);
    match throttles::count(store, &key, &Limit::Rule(&ADDRESS), now)
        .await?
        .0
    {
        Verdict::Go => Ok(()),
        Verdict::Wait(wait) => Err(throttles::too_many(wait)),
        Verdict::Stopped => Err(throttles::too_many(ADDRESS.longest_wait)),
    }
}

/// The provider vouched for somebody: it counts no more.
pub async fn uncount(state: &State, visit: &Visit, now: Moment) -> Result<(), Trouble> {
    let store = state.sessions.store().as_ref();
    let key = throttles::key(BEGUN, &[&visit.network()]);
    throttles::returned(store, &key, &Limit::Rule(&ADDRESS), now).await
}

/// The page for a provider that can't help, and the line for whoever can mend it.
pub fn away(
    state: &State,
    visit: &Visit,
    provider: &Provider,
    errand: &Errand,
    error: &ProviderError,
) -> Trouble {
    let settings = &provider.settings;
    tracing::warn!(
        provider = %settings.name,
        reason = error.reason(),
        %error,
        request_id = %visit.request_id,
        "a sign-in through a provider failed"
    );
    state.observer.sign_in("provider_failed");
    state.observer.audit(crate::portal::Audit {
        event: TrailEvent::SignIn,
        person: None,
        company: Some(&settings.company),
        session: None,
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail: error.reason(),
    });
    let back = Link {
        href: errand.on("/login"),
        text: words().back_to_log_in().to_owned(),
    };
    let trouble = if error.reason() == "provider_unavailable" {
        Trouble::new(502, error.reason()).saying(
            &words().provider_silent(&settings.label),
            words().provider_silent_what(&settings.label),
            words().try_in_a_moment(),
        )
    } else {
        Trouble::new(403, error.reason()).saying(
            words().you_are_not_signed_in(),
            words().provider_answer(&settings.label),
            words().provider_remedy(),
        )
    };
    trouble.with_link(back.href, &back.text)
}
