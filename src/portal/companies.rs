//! Changing the company that is worked for. What an account has is read from the directory each
//! time: a session may be older than the last import.

use std::sync::Arc;

use axum::extract::State as Shared;

use super::answer::see_other;
use super::apps::signed_in;
use super::form::Form;
use super::language::words;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, accounts};
use crate::directory::Account;
use crate::gate::facts::Site;
use crate::gate::name::CompanyId;
use crate::gate::product::Product;
use crate::gate::session::{Session, Tenancy, Token};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::CompanyChoice;

/// Makes `wanted` the current company of `session` in `product`; with the cookie that the answer has to
/// set, on a product's host.
///
/// # Errors
/// 403 when the account there does not have it, 401 when the session has ended.
pub async fn change(
    state: &State,
    visit: &Visit,
    session: &Session,
    product: &Product,
    wanted: &str,
    now: Moment,
) -> Result<(Arc<Session>, Option<Token>), Trouble> {
    let Some((account, tenancy)) = had(state, session, product).await? else {
        return Err(not_yours());
    };
    let wanted = CompanyId::parse(wanted).ok();
    let wanted = wanted.filter(|wanted| tenancy.all.contains(wanted));
    let wanted = wanted.ok_or_else(not_yours)?;
    let own = account.product != state.products.primary().id;
    let place = own.then_some(&product.id);
    let (sessions, id) = (&state.sessions, session.id);
    let switched = match &visit.facts.site {
        Site::Product(host) => {
            let to = (&wanted, &tenancy);
            sessions.work_for_from(&host.id, id, place, to, now).await?
        }
        Site::Portal => {
            let switched = sessions.work_for(id, place, &wanted, &tenancy, now).await?;
            switched.map(|switched| (switched, None))
        }
    };
    let (switched, token) = switched.ok_or_else(|| Trouble::new(401, "ended"))?;
    state.observer.audit(Audit {
        event: TrailEvent::CompanySwitched,
        person: Some(&switched.person.id),
        company: Some(&wanted),
        session: Some(switched.id),
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail: product.id.as_str(),
    });
    Ok((switched, token))
}

/// The account in this product and the companies it has, by the directory.
async fn had(
    state: &State,
    session: &Session,
    product: &Product,
) -> Result<Option<(Account, Tenancy)>, Trouble> {
    let person = &session.person.id;
    let account = accounts::account_in(state, person, product).await?;
    let home = state.directory.person(person).await?;
    Ok(match (account, home) {
        (Some(account), Some(home)) if !home.disabled => {
            let tenancy = accounts::tenancy(&account, &home.company);
            Some((account, tenancy))
        }
        _ => None,
    })
}

fn not_yours() -> Trouble {
    Trouble::new(403, "company").saying(
        words().not_your_company(),
        words().not_your_company_what(),
        words().not_your_company_remedy(),
    )
}

/// The drop-down for one account: nothing where there is nothing to choose.
pub async fn choices(
    state: &State,
    current: &CompanyId,
    all: &[CompanyId],
) -> Result<Vec<CompanyChoice>, Trouble> {
    if all.len() < 2 {
        return Ok(Vec::new());
    }
    let mut choices = Vec::with_capacity(all.len());
    for id in all {
        let known = state.directory.company(id).await?;
        choices.push(CompanyChoice {
            id: id.to_string(),
            name: known.map_or_else(|| id.to_string(), |company| company.name),
            current: id == current,
        });
    }
    Ok(choices)
}

/// `POST /apps/company`: the drop-down of the launch page.
pub async fn submit(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let session = match signed_in(&state, &visit, "/apps", now).await? {
        Ok(found) => &found.session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let Some(sent) = form.of_session(&state, session, now) else {
        return see_other("/apps");
    };
    let product = state.products.by_id(sent.text("product"));
    let product = product.ok_or_else(|| Trouble::new(404, "no_product"))?;
    place(&state, session, product, now).await?;
    change(&state, &visit, session, product, sent.text("company"), now).await?;
    see_other("/apps?company=changed")
}

/// Makes the place where the choice is kept, for a product that was not entered yet. The browser
/// gets its cookie for it when it goes there.
async fn place(
    state: &State,
    session: &Session,
    product: &Product,
    now: Moment,
) -> Result<(), Trouble> {
    if session.entries.get(&product.id).is_some() {
        return Ok(());
    }
    if !accounts::is_granted(&session.person, product) {
        return Err(not_yours());
    }
    let person = state.directory.person(&session.person.id).await?;
    let account = accounts::account_in(state, &session.person.id, product).await?;
    if let (Some(person), Some(account)) = (person, account) {
        let footing = accounts::footing(state, &account, &person);
        state
            .sessions
            .enter(session.id, product, footing, false, now)
            .await?;
    }
    Ok(())
}
