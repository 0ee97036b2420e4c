//! Which account somebody has in a product, and whether they may enter it.

use super::State;
use super::trouble::Trouble;
use crate::gate::name::{Login, PersonId};
use crate::gate::product::{Accounts, Product};
use crate::gate::session::Profile;

/// The person's login in this product; `None` when none is linked.
pub async fn login_in(
    state: &State,
    person: &PersonId,
    product: &Product,
) -> Result<Option<Login>, Trouble> {
    let source = match product.accounts {
        Accounts::Own => &product.id,
        Accounts::Primary => &state.products.primary().id,
    };
    let accounts = state.directory.accounts_of(person).await?;
    Ok(accounts
        .into_iter()
        .find(|account| account.product == *source)
        .map(|account| account.login))
}

/// Whether the product is granted to this person, where it has to be.
pub fn is_granted(person: &Profile, product: &Product) -> bool {
    !product.needs_grant || person.grants.contains(&product.id)
}

pub fn not_linked(state: &State, product: &Product) -> Trouble {
    Trouble::new(403, "no_account")
        .saying(
            "No linked account",
            format!("You have no linked account for {} yet.", product.name),
            format!(
                "Ask your user manager to link your {} account.",
                product.name
            ),
        )
        .with_link(format!("{}/apps", state.portal_origin), "Your applications")
}

pub fn not_granted(state: &State, product: &Product) -> Trouble {
    Trouble::new(403, "not_granted")
        .saying(
            &format!("{} is not open to you", product.name),
            format!(
                "{} is given to people one by one, and you don't have it yet.",
                product.name
            ),
            format!(
                "A user manager of your company can grant you {}.",
                product.name
            ),
        )
        .with_link(format!("{}/apps", state.portal_origin), "Your applications")
}
