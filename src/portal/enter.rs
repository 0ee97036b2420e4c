//! `/.vestibule/enter`: a product's host takes a ticket and gives its own cookie.

use std::sync::Arc;

use axum::extract::State as Shared;

use super::answer::{found, see_other};
use super::attempt::fresh_secret;
use super::errand::Errand;
use super::fields::Fields;
use super::language::words;
use super::tickets::{self, Ticket};
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{State, accounts, cookies, kept};
use crate::gate::arrival::at_product;
use crate::gate::decide::found as known_session;
use crate::gate::handover::Handover;
use crate::gate::product::Product;
use crate::gate::return_to::ReturnTo;
use crate::gate::session::{Known, Token};
use crate::gate::time::Moment;
use crate::sessions::EndCause;

/// So often the hand-over begins anew before the cookies are blamed.
const MOST_ROUNDS: u8 = 3;

pub async fn enter(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let product = visit.product()?;
    if matches!(visit.known, Known::Unavailable) {
        return Err(Trouble::unavailable("store"));
    }
    let to = ReturnTo::parse_at(
        fields.text("rd"),
        product,
        &state.products,
        &state.portal_origin,
    )
    .filter(|to| to.product().is_some_and(|of| of.id == product.id));
    let url = to.map_or_else(|| format!("{}/", product.origin), |to| to.url().to_owned());
    let ticket = tickets::take(&state, fields.text("ticket"), now).await?;
    match ticket.filter(|ticket| ticket.product == product.id && is_for(ticket, &visit)) {
        Some(ticket) => admit(&state, &visit, product, &ticket, (&url, &fields), now).await,
        // A ticket that was spent (the back button, a second tab) matters to nobody who is in.
        None if is_inside(&state, &visit, product, now) => see_other(&url),
        None => again(&state, &visit, &url, &fields),
    }
}

/// Whether this browser is the one that the ticket was made for.
fn is_for(ticket: &Ticket, visit: &Visit) -> bool {
    visit
        .browser()
        .is_some_and(|browser| browser == ticket.bind)
        || known_session(&visit.known).is_some_and(|found| found.session.id == ticket.session)
}

async fn admit(
    state: &Arc<State>,
    visit: &Visit,
    product: &Product,
    ticket: &Ticket,
    (url, fields): (&str, &Fields),
    now: Moment,
) -> Answer {
    let Some((session, _)) = state.sessions.store().load(ticket.session, now).await? else {
        return again(state, visit, url, fields);
    };
    let id = &session.person.id;
    let Some(person) = state.directory.person(id).await?.filter(|p| !p.disabled) else {
        return again(state, visit, url, fields);
    };
    if !accounts::is_granted(&session.person, product) {
        return Err(accounts::not_granted(state, product, &session.person.id).await);
    }
    let Some(account) = accounts::account_in(state, id, product).await? else {
        return connect(state, product, url);
    };
    let footing = accounts::footing(state, &account, &person);
    let company = footing.tenancy.as_ref().map(|tenancy| &tenancy.current);
    if !state
        .policies
        .load()
        .single_sign_on_reaches(company.unwrap_or(&session.company), product)
    {
        return Err(accounts::not_released(state, product));
    }
    match state
        .sessions
        .enter(session.id, product, footing, false, now)
        .await?
    {
        Some(token) => {
            // Whoever unlinks ends the presences that there are: one that was made meanwhile is
            // ended here.
            let still = accounts::login_in(state, id, product).await?;
            if still.as_ref() != Some(&account.login) {
                let product = std::slice::from_ref(&product.id);
                state
                    .sessions
                    .leave(id, product, EndCause::Unlinked)
                    .await?;
                return again(state, visit, url, fields);
            }
            let to = kept::on_the_way(state, visit, (&session, product), url, now).await;
            let mut response = see_other(&to)?;
            cookies::set_session(&mut response, &token);
            Ok(response)
        }
        None => again(state, visit, url, fields),
    }
}

/// Without a link: the page that makes one, and back.
fn connect(state: &State, product: &Product, url: &str) -> Answer {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("rd", url);
    see_other(&format!(
        "{}/connect/{}?{}",
        state.portal_origin,
        product.id,
        query.finish()
    ))
}

fn is_inside(state: &State, visit: &Visit, product: &Product, now: Moment) -> bool {
    at_product(&visit.known, &state.policies.load(), product, now).is_ok()
}

/// Back to the portal for another ticket, bound to what this browser shows.
pub fn again(state: &Arc<State>, visit: &Visit, url: &str, fields: &Fields) -> Answer {
    let round = Errand::of(fields).again.saturating_add(1);
    if round > MOST_ROUNDS {
        return Err(Trouble::new(403, "no_cookies")
            .saying(
                words().no_cookies(),
                words().no_cookies_what(),
                words().no_cookies_remedy(),
            )
            .with_link(url, words().try_again()));
    }
    let fresh = visit.browser().is_none().then(|| fresh_secret(state));
    let bind = fresh
        .as_ref()
        .map(|secret| secret.hash())
        .or_else(|| visit.browser());
    let bind = bind.map(|bind| bind.to_text()).unwrap_or_default();
    let login = Handover {
        wanted: url,
        bind: Some(&bind),
        ..Handover::default()
    }
    .login_url(&state.portal_origin);
    let mut response = found(&format!("{login}&again={round}"))?;
    if let Some(secret) = fresh {
        cookies::set_session(&mut response, &Token::Visitor(secret));
    }
    Ok(response)
}
