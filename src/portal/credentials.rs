//! Whether a user name and a password are a product's, whoever keeps its passwords: the directory,
//! the application itself, or an LDAP directory.

use zeroize::Zeroizing;

use super::State;
use super::accounts;
use super::language::words;
use super::throttles::PasswordAttempt;
use super::trouble::Trouble;
use super::visit::Visit;
use crate::directory::passwords::Verdict as Compared;
use crate::directory::{Account, PasswordHash, Person, SignOnPlace, TypedCredentials};
use crate::gate::name::{Login, PersonId};
use crate::gate::product::Product;
use crate::gate::time::Moment;
use crate::legacy::{Caller, Failure, Said, Verdict};

/// What is known of typed credentials.
pub enum Proof {
    /// The directory's, with a better hash to keep.
    Ours(Option<PasswordHash>),
    /// Another system's word, and who it is there, where it says so.
    Theirs(Option<String>),
    Wrong,
    /// It would be right, and has to be changed where it is kept.
    Expired,
    /// Wrong, and the system says that it knows nobody of this name: for the trail only.
    Unknown,
}

impl Proof {
    pub fn is_right(&self) -> bool {
        matches!(self, Proof::Ours(_) | Proof::Theirs(_))
    }
}

pub fn typed(username: &str, password: &str) -> TypedCredentials {
    TypedCredentials {
        username: username.trim().to_owned(),
        password: Zeroizing::new(password.to_owned()),
    }
}

fn caller(visit: &Visit) -> Caller {
    Caller {
        user_agent: visit.user_agent(),
        address: Some(visit.facts.address),
    }
}

/// Asks whoever keeps the product's passwords. With the directory one hash is computed whoever is
/// asked for, so that the time tells nothing.
///
/// # Errors
/// 503 when nobody can say; `attempt` is not counted then.
pub async fn prove(
    state: &State,
    visit: &Visit,
    (product, account): (&Product, Option<&Account>),
    credentials: &TypedCredentials,
    attempt: &PasswordAttempt,
    now: Moment,
) -> Result<Proof, Trouble> {
    let asked = state
        .legacy
        .ask(product, credentials, &caller(visit), now)
        .await;
    match asked {
        Ok(Some(said)) => proof(state, attempt, said, now).await,
        Ok(None) => compared(state, account, credentials).await,
        Err(failure) => Err(nobody_says(state, product, attempt, &failure, now).await),
    }
}

/// The same for what the gateway will type into the application itself.
///
/// # Errors
/// 503 when nobody can say; `attempt` is not counted then.
pub async fn prove_for_sign_on(
    state: &State,
    visit: &Visit,
    product: &Product,
    credentials: &TypedCredentials,
    attempt: &PasswordAttempt,
    now: Moment,
) -> Result<Proof, Trouble> {
    let asked = state
        .legacy
        .try_sign_on(product, credentials, &caller(visit), now)
        .await;
    match asked {
        Ok(Some(verdict)) => proof(state, attempt, verdict.into(), now).await,
        Ok(None) => Ok(Proof::Wrong),
        Err(failure) => Err(nobody_says(state, product, attempt, &failure, now).await),
    }
}

async fn proof(
    state: &State,
    attempt: &PasswordAttempt,
    said: Said,
    now: Moment,
) -> Result<Proof, Trouble> {
    Ok(match said.verdict {
        Verdict::Right => Proof::Theirs(said.name),
        Verdict::Wrong => Proof::Wrong,
        Verdict::Expired => {
            // No wrong guess.
            attempt.give_back(state, now).await?;
            Proof::Expired
        }
        Verdict::Unknown => Proof::Unknown,
    })
}

/// What is said to whoever typed a password that does not let them in.
pub fn refusal(proof: &Proof, product: &Product) -> String {
    match proof {
        Proof::Expired => words().password_has_expired_there(&product.name),
        _ => words().username_and_password_wrong().to_owned(),
    }
}

async fn compared(
    state: &State,
    account: Option<&Account>,
    credentials: &TypedCredentials,
) -> Result<Proof, Trouble> {
    let stored = account.map(|account| account.password_hash.clone());
    let password = credentials.password.clone();
    match state.hasher.verify(stored, password).await {
        Ok(Compared {
            correct: true,
            upgrade,
        }) => Ok(Proof::Ours(upgrade)),
        Ok(Compared { correct: false, .. }) => Ok(Proof::Wrong),
        Err(_) => Err(Trouble::unavailable("busy").saying(
            words().many_are_logging_in(),
            words().many_are_logging_in_what(),
            words().many_are_logging_in_remedy(),
        )),
    }
}

/// Nobody's fault who typed: the attempt is given back.
async fn nobody_says(
    state: &State,
    product: &Product,
    attempt: &PasswordAttempt,
    failure: &Failure,
    now: Moment,
) -> Trouble {
    tracing::warn!(product = product.id.as_str(), %failure, "credentials could not be checked");
    if let Err(trouble) = attempt.give_back(state, now).await {
        return trouble;
    }
    let name = &product.name;
    Trouble::unavailable("credentials_unreachable").saying(
        &words().cannot_be_asked_now(name),
        words().cannot_be_asked_what(name),
        words().cannot_be_asked_remedy(),
    )
}

/// Keeps what was proved for the products that the gateway has to sign in to with it: those of this
/// account. What the application took before stays, unless it has refused it since.
pub async fn remember(
    state: &State,
    account: &Account,
    person: &Person,
    credentials: &TypedCredentials,
    now: Moment,
) -> Result<(), Trouble> {
    for product in state.products.iter() {
        let source = accounts::source(state, product);
        if *source != account.product || !state.legacy.needs_password(product) {
            continue;
        }
        let place = place(state, product, &account.login, &person.id);
        let known = state.directory.sign_on_secret(&place).await?;
        let keeps = match &known {
            None => true,
            Some(known) => known.refused && known.credentials != *credentials,
        };
        if keeps {
            state
                .directory
                .keep_sign_on_secret(&place, credentials, now)
                .await?;
        }
    }
    Ok(())
}

/// Where a person's password for `product` is kept.
pub fn place(state: &State, product: &Product, login: &Login, person: &PersonId) -> SignOnPlace {
    SignOnPlace {
        product: product.id.clone(),
        login: login.clone(),
        account_of: accounts::source(state, product).clone(),
        person: person.clone(),
    }
}
