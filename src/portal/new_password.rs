//! A new password, wherever it is asked for: judged, compared with the ones before, hashed.

use zeroize::Zeroizing;

use super::form::Sent;
use super::language::words;
use super::throttles::count_deed;
use super::trouble::Trouble;
use super::{State, accounts};
use crate::directory::passwords::{HashError, Verdict};
use crate::directory::{Account, PasswordHash, Person};
use crate::gate::name::{CompanyId, PersonId};
use crate::gate::password::{self, Age, Weakness};
use crate::gate::session::Session;
use crate::gate::time::Moment;

/// Whose password it is, for the words that a guesser knows.
pub struct Owner<'a> {
    pub id: &'a PersonId,
    pub name: &'a str,
    pub email: &'a str,
    /// Whose policy holds.
    pub company: &'a CompanyId,
}

impl<'a> Owner<'a> {
    pub fn of_session(session: &'a Session) -> Owner<'a> {
        Owner {
            id: &session.person.id,
            name: &session.person.name,
            email: &session.person.email,
            company: &session.company,
        }
    }

    pub fn of_person(person: &'a Person, company: &'a CompanyId) -> Owner<'a> {
        Owner {
            id: &person.id,
            name: &person.name,
            email: &person.email,
            company,
        }
    }

    /// How few characters are enough: more where nothing stands beside the password.
    pub fn shortest(&self, state: &State) -> usize {
        password::shortest(self.is_only_factor(state))
    }

    fn is_only_factor(&self, state: &State) -> bool {
        !state.policies.load().wants_factor(self.company, self.id)
    }
}

/// How an account's password stands to the longest life that its company gives it. `home` is the
/// company of an account that names none.
/// A password that another system keeps has no age here.
pub fn age(state: &State, account: &Account, home: &CompanyId, now: Moment) -> Age {
    let product = state.products.by_id(account.product.as_str());
    if product.is_some_and(|product| state.legacy.lives_elsewhere(product)) {
        return Age::Good;
    }
    let company = accounts::tenancy(account, home).current;
    let maximum = state.policies.load().of(&company).password.maximum_age;
    password::age(account.password_set_at, maximum, now)
}

/// What was typed into "New password" and "Confirm new password".
pub struct Wish<'a> {
    new: &'a str,
    confirm: &'a str,
}

impl<'a> Wish<'a> {
    pub fn of(sent: &'a Sent<'_>) -> Wish<'a> {
        Wish {
            new: sent.text("new"),
            confirm: sent.text("confirm"),
        }
    }

    /// The hash to store, or the reason against it, for the person.
    pub async fn judged(
        &self,
        state: &State,
        account: &Account,
        owner: &Owner<'_>,
        now: Moment,
    ) -> Result<Result<PasswordHash, String>, Trouble> {
        if self.new.is_empty() {
            return Ok(Err(words().type_new_password_twice().to_owned()));
        }
        if self.new != self.confirm {
            return Ok(Err(words().passwords_differ().to_owned()));
        }
        if let Err(weakness) = self.weakness(state, account, owner).await? {
            return Ok(Err(reason(&weakness)));
        }
        // Each of the hashes below takes a slot of the pool for a while.
        count_deed(state, "new password", owner.id, now).await?;
        if let Some(reason) = self.known(state, account, owner).await? {
            return Ok(Err(reason));
        }
        match state.hasher.hash(self.secret()).await {
            Ok(hash) => Ok(Ok(hash)),
            Err(HashError::TooLong) => Ok(Err(reason(&Weakness::Long))),
            Err(HashError::Busy) => Err(Trouble::unavailable("busy")),
            Err(HashError::Failed) => Err(Trouble::internal("hash")),
        }
    }

    async fn weakness(
        &self,
        state: &State,
        account: &Account,
        owner: &Owner<'_>,
    ) -> Result<Result<(), Weakness>, Trouble> {
        let company = state.directory.company(owner.company).await?;
        let products = state
            .products
            .iter()
            .flat_map(|product| [product.name.as_str(), product.id.as_str()]);
        let words = products.chain([
            state.title.as_str(),
            "vestibule",
            account.login.as_str(),
            owner.id.as_str(),
            owner.name,
            owner.email,
            owner.company.as_str(),
            company.as_ref().map_or("", |company| company.name.as_str()),
        ]);
        Ok(password::judge(
            self.new,
            owner.is_only_factor(state),
            words,
        ))
    }

    /// Whether it is the present password, or one of those before where passwords expire.
    async fn known(
        &self,
        state: &State,
        account: &Account,
        owner: &Owner<'_>,
    ) -> Result<Option<String>, Trouble> {
        if self.opens(state, &account.password_hash).await? {
            return Ok(Some(words().password_you_have().to_owned()));
        }
        let policies = state.policies.load_full();
        let company = accounts::tenancy(account, owner.company).current;
        if policies.of(&company).password.maximum_age.is_none() {
            return Ok(None);
        }
        for former in state.directory.former_passwords(account).await? {
            if self.opens(state, &former).await? {
                return Ok(Some(
                    words().one_of_your_last_passwords(password::REMEMBERED + 1),
                ));
            }
        }
        Ok(None)
    }

    async fn opens(&self, state: &State, hash: &PasswordHash) -> Result<bool, Trouble> {
        let verdict = state.hasher.verify(Some(hash.clone()), self.secret()).await;
        match verdict {
            Ok(Verdict { correct, .. }) => Ok(correct),
            Err(_) => Err(Trouble::unavailable("busy")),
        }
    }

    fn secret(&self) -> Zeroizing<String> {
        Zeroizing::new(self.new.to_owned())
    }
}

fn reason(weakness: &Weakness) -> String {
    match weakness {
        Weakness::Short(shortest) => words().password_too_short(shortest),
        Weakness::Long => words().password_too_long(password::LONGEST),
        Weakness::Common => words().password_is_common().to_owned(),
        Weakness::Context(word) => words().password_is_little_more_than(word),
        Weakness::Control => words().password_cannot_be_typed().to_owned(),
    }
}
