//! Company Settings: what a company's admin decides.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;

use super::answer::{page, see_other};
use super::apps::{COMPANY_ADMIN, company_name, frame, signed_in};
use super::fields::{Fields, Form};
use super::keys::FormToken;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State};
use crate::gate::name::CompanyId;
use crate::gate::policy::{MfaMode, Policies};
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::pages::{Notice, Settings};

const PATH: &str = "/company/settings";

pub async fn settings_page(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    fields: Fields,
) -> Answer {
    let now = (state.clock)();
    let notice = match fields.of("saved") {
        Some("1") => Some(Notice::news("Your settings are saved.")),
        _ => None,
    };
    match admin(&state, &visit, now).await? {
        Ok(session) => show(&state, session, notice, now).await,
        Err(elsewhere) => Ok(elsewhere),
    }
}

async fn show(
    state: &Arc<State>,
    session: &Session,
    notice: Option<Notice>,
    now: Moment,
) -> Answer {
    let (decided, on) = switch_state(state, &session.company).await?;
    page(&Settings {
        frame: frame(state, Some(session), PATH),
        notice,
        company: company_name(state, session).await?,
        decided,
        on,
        hidden: vec![("csrf", state.keys.form_token(&session.portal, now))],
    })
}

/// Why the admin can't switch, if so, and how it stands.
async fn switch_state(
    state: &State,
    company: &CompanyId,
) -> Result<(Option<&'static str>, bool), Trouble> {
    let policies = state.policies.load_full();
    Ok(match policies.of(company).mfa.mode {
        MfaMode::Required => (
            Some("The operator of this service requires it for your company."),
            true,
        ),
        MfaMode::Off => (
            Some("The operator of this service has switched it off for your company."),
            false,
        ),
        MfaMode::Company if !policies.rollout.mfa_reaches(company) => (
            Some("This is being released step by step and has not reached your company yet."),
            false,
        ),
        MfaMode::Company => (
            None,
            state
                .directory
                .factor_switched_on()
                .await?
                .contains(company),
        ),
    })
}

pub async fn settings(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Form(fields): Form,
) -> Answer {
    let now = (state.clock)();
    visit.sender(&state.portal_origin)?;
    let session = match admin(&state, &visit, now).await? {
        Ok(session) => session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let token = state
        .keys
        .judge_form_token(fields.text("csrf"), Some(&session.portal), now);
    if token != FormToken::Bound {
        let notice = Notice::wrong(
            "This page was open for a while. Nothing was changed: please choose again.",
        );
        return show(&state, session, Some(notice), now).await;
    }
    let on = match fields.of("mfa") {
        Some("on") => true,
        Some("off") => false,
        _ => {
            return show(
                &state,
                session,
                Some(Notice::wrong("Choose On or Off.")),
                now,
            )
            .await;
        }
    };
    if switch_state(&state, &session.company).await?.0.is_some() {
        return Err(Trouble::new(403, "decided"));
    }
    state
        .directory
        .switch_factor(&session.company, on, &session.person.id, now)
        .await?;
    state
        .policies
        .rcu(|policies| switched(policies, &session.company, on));
    state.observer.audit(Audit {
        event: "mfa_switched",
        person: Some(&session.person.id),
        company: Some(&session.company),
        session: Some(session.id),
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail: if on { "on" } else { "off" },
    });
    see_other("/company/settings?saved=1")
}

/// In force on this node at once; the others hear of it when they read the directory again.
fn switched(policies: &Policies, company: &CompanyId, on: bool) -> Policies {
    let mut policies = policies.clone();
    if on {
        policies.factor_switched_on.insert(company.clone());
    } else {
        policies.factor_switched_on.remove(company);
    }
    policies
}

/// # Errors
/// 403 for who is no admin.
async fn admin<'a>(
    state: &Arc<State>,
    visit: &'a Visit,
    now: Moment,
) -> Result<Result<&'a Session, Response>, Trouble> {
    let found = match signed_in(state, visit, PATH, now).await? {
        Ok(found) => found,
        Err(elsewhere) => return Ok(Err(elsewhere)),
    };
    if !found.session.has_role(COMPANY_ADMIN) {
        return Err(Trouble::new(403, "not_admin").saying(
            "For company admins",
            "Only the admins of your company can open its settings.",
            "Ask one of them, or your user manager.",
        ));
    }
    Ok(Ok(&found.session))
}
