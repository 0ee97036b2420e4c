//! The bar's script, and what it asks for. The time that is left is asked of `/.vestibule/session`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::IntoResponse;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;

use super::State;
use super::accounts::is_granted;
use super::apps::{COMPANY_ADMIN, USER_MANAGER};
use super::language;
use super::own::signed_in;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use crate::gate::name::CompanyId;
use crate::gate::session::Session;
use crate::pages::{BarWords, Words};

#[derive(Serialize)]
struct BarView<'a> {
    person: &'a str,
    portal: &'a str,
    product: &'a str,
    products: Vec<Place>,
    company: Place,
    /// To switch to.
    companies: Vec<Place>,
    /// What their role lets them look after: pages of the portal.
    offices: Vec<Office>,
    /// Seconds of the gateway's clock in one of the browser's.
    pace: u32,
    words: BarWords,
}

#[derive(Serialize)]
struct Place {
    id: String,
    name: String,
}

#[derive(Serialize)]
struct Office {
    path: &'static str,
    name: &'static str,
}

/// For everybody: there is nothing in it.
pub async fn script() -> Answer {
    let headers = [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=600"),
    ];
    Ok((headers, include_str!("../../templates/bar.js")).into_response())
}

/// Never counts as activity: nothing here stamps.
pub async fn view(Shared(state): Shared<Arc<State>>, visit: Visit, headers: HeaderMap) -> Answer {
    let now = (state.clock)();
    let (product, found) = signed_in(&state, &visit, now)?;
    let session = &found.session;
    let policies = state.policies.load_full();
    let products = state
        .products
        .iter()
        .filter(|product| {
            // As on the launch page: what was not released to them has no name here.
            let company = session.company_in(&product.id);
            is_granted(&session.person, product)
                && policies.single_sign_on_reaches(company, product)
        })
        .map(|product| Place {
            id: product.id.to_string(),
            name: product.name.clone(),
        })
        .collect();
    let mut companies = Vec::new();
    for company in session.companies_in(&product.id) {
        companies.push(place(&state, company).await?);
    }
    let words = language::of_headers(&headers);
    let view = BarView {
        person: &session.person.name,
        portal: &state.portal_origin,
        product: product.id.as_str(),
        products,
        company: place(&state, session.company_in(&product.id)).await?,
        companies,
        offices: offices(session, words),
        pace: state.pace,
        words: words.of_bar(),
    };
    Ok(Json(view).into_response())
}

/// By the session's roles; the pages themselves ask the directory.
fn offices(session: &Session, words: Words) -> Vec<Office> {
    let all = [
        (COMPANY_ADMIN, "/company/settings", words.company_settings()),
        (USER_MANAGER, "/company/users", words.user_manager()),
    ];
    all.into_iter()
        .filter(|(role, ..)| session.has_role(role))
        .map(|(_, path, name)| Office { path, name })
        .collect()
}

async fn place(state: &State, company: &CompanyId) -> Result<Place, Trouble> {
    let known = state.directory.company(company).await?;
    Ok(Place {
        id: company.to_string(),
        name: known.map_or_else(|| company.to_string(), |known| known.name),
    })
}
