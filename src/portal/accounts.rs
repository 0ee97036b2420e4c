//! Which account somebody has in a product, and whether they may enter it.

use super::State;
use super::language::words;
use super::trouble::Trouble;
use crate::directory::{Account, Person};
use crate::gate::name::{CompanyId, Login, PersonId, ProductId};
use crate::gate::product::{Accounts, Product};
use crate::gate::session::{Profile, Tenancy};
use crate::sessions::Footing;

/// So many of a company's user managers are named.
const NAMED: u32 = 3;

/// The product whose accounts serve in this one.
pub fn source<'a>(state: &'a State, product: &'a Product) -> &'a ProductId {
    match product.accounts {
        Accounts::Own => &product.id,
        Accounts::Primary => &state.products.primary().id,
    }
}

/// The person's account in this product; `None` when none is linked.
pub async fn account_in(
    state: &State,
    person: &PersonId,
    product: &Product,
) -> Result<Option<Account>, Trouble> {
    let source = source(state, product);
    let accounts = state.directory.accounts_of(person).await?;
    Ok(accounts
        .into_iter()
        .find(|account| account.product == *source))
}

/// The person's login in this product; `None` when none is linked.
pub async fn login_in(
    state: &State,
    person: &PersonId,
    product: &Product,
) -> Result<Option<Login>, Trouble> {
    let account = account_in(state, person, product).await?;
    Ok(account.map(|account| account.login))
}

/// The companies that an account has, its default one first in force.
pub fn tenancy(account: &Account, home: &CompanyId) -> Tenancy {
    Tenancy::of(&account.companies, account.default_company.as_ref(), home)
}

/// With what a session enters a product. Where the primary account serves, the session's own
/// companies hold, which are that account's.
pub fn footing(state: &State, account: &Account, person: &Person) -> Footing {
    let own = account.product != state.products.primary().id;
    Footing {
        login: account.login.clone(),
        tenancy: own.then(|| tenancy(account, &person.company)),
    }
}

/// Whether the product is granted to this person, where it has to be.
pub fn is_granted(person: &Profile, product: &Product) -> bool {
    !product.needs_grant || person.grants.contains(&product.id)
}

/// The page that says so, and who can change it: a user manager of the company that the person
/// belongs to, whichever they are at work for.
pub async fn not_granted(state: &State, product: &Product, person: &PersonId) -> Trouble {
    let managers = managers_of(state, person).await;
    let remedy = if managers.is_empty() {
        words().can_grant_you(&product.name)
    } else {
        words().can_grant_you_named(&product.name, &managers.join(", "))
    };
    let what = words().not_granted_what(&product.name);
    Trouble::new(403, "not_granted")
        .saying(&words().not_open_to_you(&product.name), what, remedy)
        .with_link(
            format!("{}/apps", state.portal_origin),
            words().your_applications(),
        )
}

/// Names of people who can help this one; none when the directory can't say.
pub async fn managers_of(state: &State, person: &PersonId) -> Vec<String> {
    let Ok(Some(person)) = state.directory.person(person).await else {
        return Vec::new();
    };
    let named = state.directory.user_managers(&person.company, NAMED).await;
    named.unwrap_or_default()
}

pub fn not_released(state: &State, product: &Product) -> Trouble {
    Trouble::new(403, "not_released")
        .saying(
            &words().sso_not_here_yet(&product.name),
            words().sso_being_released(&product.name),
            words().not_released_remedy(),
        )
        .with_link(
            format!("{}/apps", state.portal_origin),
            words().your_applications(),
        )
}
