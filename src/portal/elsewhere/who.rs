//! Whom a provider vouched for, among the people of its company.

use super::super::trouble::Trouble;
use super::super::visit::Visit;
use super::super::{Audit, State};
use crate::directory::{Account, Person};
use crate::gate::name::PersonId;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::providers::{Answered, Provider};

/// Somebody who can't be let in; the page says the same to all of them.
pub struct Stranger {
    /// `not_known`, `other_company`, `disabled`, `no_account`.
    pub reason: &'static str,
    pub person: Option<PersonId>,
}

/// The person, enabled, of the provider's company, with the account that they sign in with.
pub async fn of(
    state: &State,
    visit: &Visit,
    provider: &Provider,
    answered: &Answered,
    now: Moment,
) -> Result<Result<(Account, Person), Stranger>, Trouble> {
    let settings = &provider.settings;
    let subject = &answered.claims.sub;
    let refuse = |reason, person: Option<&Person>| {
        Ok(Err(Stranger {
            reason,
            person: person.map(|person| person.id.clone()),
        }))
    };
    let known = state.directory.identity(&settings.issuer, subject).await?;
    let person = match known {
        Some(id) => state.directory.person(&id).await?,
        None => by_email(state, visit, provider, answered, now).await?,
    };
    let Some(person) = person else {
        return refuse("not_known", None);
    };
    // A provider speaks for its own company, whatever identities it has linked or linked once.
    if person.company != settings.company {
        return refuse("other_company", Some(&person));
    }
    if person.disabled {
        return refuse("disabled", Some(&person));
    }
    let primary = &state.products.primary().id;
    let accounts = state.directory.accounts_of(&person.id).await?;
    match accounts
        .into_iter()
        .find(|account| account.product == *primary)
    {
        Some(account) => Ok(Ok((account, person))),
        None => refuse("no_account", Some(&person)),
    }
}

/// The first time: by an address that the provider says it verified, where the configuration says
/// that this suffices. From then on the subject alone counts.
async fn by_email(
    state: &State,
    visit: &Visit,
    provider: &Provider,
    answered: &Answered,
    now: Moment,
) -> Result<Option<Person>, Trouble> {
    let settings = &provider.settings;
    if !settings.link_by_email {
        return Ok(None);
    }
    let contact = match provider.contact(answered, now).await {
        Ok(contact) => contact,
        Err(error) => {
            tracing::warn!(provider = %settings.name, %error, "UserInfo could not be read");
            return Ok(None);
        }
    };
    let Some(email) = contact.verified_email() else {
        return Ok(None);
    };
    let found = state
        .directory
        .person_by_email(&settings.company, email)
        .await?;
    let Some(person) = found.filter(|person| !person.disabled) else {
        return Ok(None);
    };
    let subject = &answered.claims.sub;
    let linked = state
        .directory
        .link_identity(&settings.issuer, subject, &person.id, now)
        .await?;
    if !linked {
        // The person is another subject there: the address went to somebody else since. Or the same
        // subject was linked a moment ago, by another tab.
        let now_known = state.directory.identity(&settings.issuer, subject).await?;
        return Ok(now_known.filter(|id| *id == person.id).map(|_| person));
    }
    state.observer.audit(Audit::about(
        &person,
        visit,
        TrailEvent::IdentityLinked,
        &settings.name,
    ));
    Ok(Some(person))
}
