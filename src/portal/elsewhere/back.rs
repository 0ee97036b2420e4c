//! Back from the provider: whoever comes is judged before anything they bring is used.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use zeroize::Zeroizing;

use super::begin::{Flow, away, count, key, uncount};
use super::who::{self, Stranger};
use super::{link, redirect_uri};
use crate::directory::{Account, Person};
use crate::gate::arrival::inside;
use crate::gate::ceremony::{Event, Need, Step, advance, need, with_device};
use crate::gate::session::Secret;
use crate::gate::time::Moment;
use crate::gate::vouching::{SKEW, Vouched};
use crate::portal::answer::see_other;
use crate::portal::errand::Errand;
use crate::portal::fields::Fields;
use crate::portal::finish::proceed;
use crate::portal::language::words;
use crate::portal::login::has_factor;
use crate::portal::password::{heard, wants_factor};
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::visit::Visit;
use crate::portal::{State, devices, throttles};
use crate::providers::{Provider, Question};

pub async fn back(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    visit: Visit,
    fields: Fields,
) -> Answer {
    let now = (state.clock)();
    let Some(provider) = state.providers.named(&name) else {
        return Err(Trouble::new(404, "not_found").with_link("/login", words().log_in()));
    };
    let provider = Arc::clone(provider);
    let flow = match taken(&state, &visit, &fields, now).await? {
        Some(flow) if flow.provider == name => flow,
        // Another tab finished meanwhile, or the page was reloaded: a state is worth something once.
        _ if inside(&visit.known, &state.policies.load(), now).is_some() => {
            return see_other("/login");
        }
        _ => return Err(begin_again(&state, &visit, &provider, now).await),
    };
    let errand = Errand::of(&Fields::parse(
        flow.errand.trim_start_matches('?').as_bytes(),
    ));
    let code = match code(&provider, &fields, now).await {
        Ok(code) => code,
        Err(reason) => return turned_away(&state, &visit, &provider, &errand, reason),
    };
    let verifier = state
        .keys
        .open(&flow.verifier, &flow.cookie)
        .ok_or_else(|| Trouble::internal("seal"))?;
    let verifier = Zeroizing::new(String::from_utf8_lossy(&verifier).into_owned());
    let question = Question {
        redirect_uri: &redirect_uri(&state, &provider),
        state: "",
        nonce: &flow.nonce,
        verifier: &verifier,
        again: flow.again,
    };
    let since = match (flow.again, provider.settings.max_age) {
        (true, _) => Some(flow.began_at),
        (false, Some(max_age)) => Some(flow.began_at.minus(max_age)),
        (false, None) => None,
    };
    let answered = provider.answer(&code, &question, since, now).await;
    let answered = answered.map_err(|error| away(&state, &visit, &provider, &errand, &error))?;
    uncount(&state, &visit, now).await?;
    let vouched = answered
        .claims
        .vouched(provider.settings.believe_factor, now);
    match who::of(&state, &visit, &provider, &answered, now).await? {
        Ok((account, person)) => {
            enter(&state, &visit, &errand, (account, person, vouched), now).await
        }
        Err(stranger) => Err(unknown(&state, &visit, &provider, &errand, &stranger)),
    }
}

/// What was begun under this `state`, for one who asks, if it was begun in this browser.
async fn taken(
    state: &State,
    visit: &Visit,
    fields: &Fields,
    now: Moment,
) -> Result<Option<Flow>, Trouble> {
    let (Some(asked), Some(cookie)) = (
        fields
            .of("state")
            .and_then(|text| Secret::parse(text.as_bytes())),
        visit.login_cookie(),
    ) else {
        return Ok(None);
    };
    let Some(written) = state
        .sessions
        .store()
        .take_state(&key(&asked.hash()), now)
        .await?
    else {
        return Ok(None);
    };
    let flow: Flow = serde_json::from_slice(&written).map_err(|_| Trouble::internal("flow"))?;
    // Login CSRF: an answer to somebody else's question would sign this browser in as them.
    Ok((flow.cookie == cookie.hash()).then_some(flow))
}

/// The code, if this provider says that it answers.
async fn code(
    provider: &Provider,
    fields: &Fields,
    now: Moment,
) -> Result<Zeroizing<String>, &'static str> {
    // RFC 9207: another provider's answer, brought here by a mix-up.
    let metadata = provider
        .metadata(now)
        .await
        .map_err(|_| "provider_unavailable")?;
    match fields.of("iss") {
        Some(iss) if iss != provider.settings.issuer => return Err("provider_mixed_up"),
        None if metadata.names_itself => return Err("provider_mixed_up"),
        Some(_) | None => {}
    }
    if let Some(error) = fields.of("error") {
        let known = ["access_denied", "login_required", "interaction_required"];
        let word: String = error
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
            .take(40)
            .collect();
        tracing::info!(provider = %provider.settings.name, error = %word, "a provider let nobody in");
        return Err(if known.contains(&error) {
            "provider_denied"
        } else {
            "provider_answer"
        });
    }
    let code = fields.of("code").filter(|code| !code.is_empty());
    code.map(|code| Zeroizing::new(code.to_owned()))
        .ok_or("provider_answer")
}

async fn enter(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    (account, person, vouched): (Account, Person, Vouched),
    now: Moment,
) -> Answer {
    let epoch = state.directory.epoch(&person.id).await?.unwrap_or_default();
    let need = needed(state, visit, errand, (&account, &person, &vouched), now).await?;
    let event = Event::ProviderVouched {
        person: person.id.clone(),
        need,
        vouched,
    };
    let next = advance(Step::Password, event, now);
    proceed(state, visit, errand, next, (account, &person, epoch), now).await
}

/// The second factor is asked for here when the company wants one and the provider shows none.
async fn needed(
    state: &Arc<State>,
    visit: &Visit,
    errand: &Errand,
    (account, person, vouched): (&Account, &Person, &Vouched),
    now: Moment,
) -> Result<Need, Trouble> {
    let fresh = errand.fresh_factor();
    let wanted = fresh.is_some() || wants_factor(state, visit, account, person);
    let shown = vouched
        .factor_at
        .is_some_and(|at| fresh.is_none_or(|within| now.since(at) <= within.max(SKEW)));
    let enrolled = wanted && has_factor(state, &person.id).await?;
    let need = need(wanted && !shown, enrolled);
    if need != Need::Challenge {
        return Ok(need);
    }
    let stands_in = devices::stands_in(state, visit, account, person, now).await?;
    Ok(with_device(need, fresh.is_some(), stands_in))
}

/// Anybody can come here with nothing: not without end, and not with a line in the company's trail for
/// each time.
async fn begin_again(state: &State, visit: &Visit, provider: &Provider, now: Moment) -> Trouble {
    let company = &provider.settings.company;
    if let Err(trouble) = count(state, visit, "elsewhere-back", now).await {
        state.observer.sign_in("throttled");
        return trouble;
    }
    let told = throttles::key("elsewhere-back-told", &[company.as_str()]);
    if throttles::is_first(state, &told, now).await {
        heard(state, visit, "refused", None, Some(company));
    } else {
        state.observer.sign_in("refused");
    }
    let again = link(provider, &Errand::default());
    Trouble::new(403, "begun_elsewhere")
        .saying(
            words().please_start_again(),
            words().begun_elsewhere(),
            words().start_from_here(),
        )
        .with_link(again.href, &again.text)
}

fn turned_away(
    state: &State,
    visit: &Visit,
    provider: &Provider,
    errand: &Errand,
    reason: &'static str,
) -> Answer {
    let (settings, label) = (&provider.settings, &provider.settings.label);
    heard(state, visit, "refused", None, Some(&settings.company));
    let what = match reason {
        "provider_denied" => words().provider_denied(label),
        "provider_mixed_up" => words().provider_mixed_up(label),
        _ => words().provider_answer(label),
    };
    let remedy = words().provider_remedy();
    Err(Trouble::new(403, reason)
        .saying(words().you_are_not_signed_in(), what, remedy)
        .with_link(errand.on("/login"), words().back_to_log_in()))
}

fn unknown(
    state: &State,
    visit: &Visit,
    provider: &Provider,
    errand: &Errand,
    stranger: &Stranger,
) -> Trouble {
    let settings = &provider.settings;
    tracing::info!(
        provider = %settings.name,
        reason = stranger.reason,
        request_id = %visit.request_id,
        "a provider vouched for somebody who has no place here"
    );
    heard(
        state,
        visit,
        "refused",
        stranger.person.as_ref(),
        Some(&settings.company),
    );
    Trouble::new(403, stranger.reason)
        .saying(
            words().no_place_for_you(),
            words().no_place_for_you_what(&settings.label),
            words().no_place_for_you_remedy(),
        )
        .with_link(errand.on("/login"), words().back_to_log_in())
}
