//! What pages of a product can ask the gateway about the sign-in they run in.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::IntoResponse;
use serde::Serialize;

use super::answer::{found, see_other};
use super::fields::Fields;
use super::form::{OwnForm, OwnPage};
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{State, companies, cookies};
use crate::gate::arrival::at_product;
use crate::gate::decide::SignInReason;
use crate::gate::facts::Asks;
use crate::gate::handover::Handover;
use crate::gate::name::CompanyId;
use crate::gate::policy::Limits;
use crate::gate::product::Product;
use crate::gate::return_to::ReturnTo;
use crate::gate::session::{Found, Known, Seen, Session};
use crate::gate::time::Moment;

#[derive(Serialize)]
struct SessionView<'a> {
    person: PersonView<'a>,
    company: &'a CompanyId,
    product: &'a str,
    account: &'a str,
    idle_remaining_s: u64,
    maximum_remaining_s: u64,
    /// To switch to.
    companies: Vec<&'a CompanyId>,
}

#[derive(Serialize)]
struct PersonView<'a> {
    id: &'a str,
    name: &'a str,
    email: &'a str,
}

/// Never counts as activity: nothing here stamps.
pub async fn session(Shared(state): Shared<Arc<State>>, visit: Visit) -> Answer {
    let now = (state.clock)();
    let (product, found) = signed_in(&state, &visit, now)?;
    view(&state, product, &found.session, found.seen, now)
}

pub async fn extend(Shared(state): Shared<Arc<State>>, visit: Visit, _: OwnPage) -> Answer {
    let now = (state.clock)();
    let (product, found) = signed_in(&state, &visit, now)?;
    state.sessions.stamp(&found.session, product, now).await;
    view(
        &state,
        product,
        &found.session,
        Seen {
            anywhere: now,
            here: now,
        },
        now,
    )
}

/// To another product; its own door does the rest.
pub async fn switch(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    visit.product()?;
    let to = state.products.by_id(fields.text("to"));
    let to = to.ok_or_else(|| Trouble::new(404, "no_product"))?;
    let wanted = ReturnTo::parse_at(fields.text("rd"), to, &state.products, &state.portal_origin)
        .filter(|wanted| wanted.product().is_some_and(|of| of.id == to.id));
    match wanted {
        Some(wanted) => found(wanted.url()),
        None => found(&format!("{}/", to.origin)),
    }
}

pub async fn company(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    OwnForm(fields): OwnForm,
) -> Answer {
    let now = (state.clock)();
    let (product, current) = signed_in(&state, &visit, now)?;
    let session = &current.session;
    let (switched, token) = companies::change(
        &state,
        &visit,
        session,
        product,
        fields.text("company"),
        now,
    )
    .await?;
    let mut response = if visit.facts.asks == Asks::Navigation {
        see_other(&format!("{}/", product.origin))?
    } else {
        view(&state, product, &switched, current.seen, now)?
    };
    if let Some(token) = token {
        cookies::set_session(&mut response, &token);
    }
    Ok(response)
}

/// # Errors
/// 401 without a session that is worth something here, 503 without a store.
pub fn signed_in<'a>(
    state: &State,
    visit: &'a Visit,
    now: Moment,
) -> Result<(&'a Arc<Product>, &'a Found), Trouble> {
    let product = visit.product()?;
    if matches!(visit.known, Known::Unavailable) {
        return Err(Trouble::unavailable("store"));
    }
    match at_product(&visit.known, &state.policies.load(), product, now) {
        Ok(found) => Ok((product, found)),
        Err(reason) => Err(signed_out(state, product, reason)),
    }
}

fn signed_out(state: &State, product: &Product, reason: SignInReason) -> Trouble {
    let url = Handover {
        wanted: &format!("{}/", product.origin),
        ..Handover::default()
    }
    .login_url(&state.portal_origin);
    Trouble::signed_out(reason.as_str(), url)
}

fn view(state: &State, product: &Product, session: &Session, seen: Seen, now: Moment) -> Answer {
    let company = session.company_in(&product.id);
    let limits = state.policies.load().limits(company, product);
    let account = session
        .entries
        .get(&product.id)
        .map(|entry| entry.login.as_str());
    let (idle, maximum) = remaining(session, seen, limits, now);
    let view = SessionView {
        person: PersonView {
            id: session.person.id.as_str(),
            name: &session.person.name,
            email: &session.person.email,
        },
        company,
        product: product.id.as_str(),
        account: account.unwrap_or_default(),
        idle_remaining_s: idle.as_secs(),
        maximum_remaining_s: maximum.as_secs(),
        companies: session.companies_in(&product.id).iter().collect(),
    };
    Ok(Json(view).into_response())
}

fn remaining(session: &Session, seen: Seen, limits: Limits, now: Moment) -> (Duration, Duration) {
    let left = |limit: Duration, since: Moment| limit.saturating_sub(now.since(since));
    let anywhere = left(limits.idle, seen.anywhere);
    let idle = limits
        .product_idle
        .map_or(anywhere, |idle| anywhere.min(left(idle, seen.here)));
    let maximum = left(limits.maximum, session.started_at);
    (idle.min(maximum), maximum)
}
