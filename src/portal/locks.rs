//! Who is locked out, by which throttle and until when: for who is asked by somebody at the telephone.

use std::net::IpAddr;

use serde::Serialize;

use super::throttles::{PasswordAttempt, known_browsers};
use super::visit::network_of;
use crate::gate::name::{Login, PersonId, ProductId};
use crate::gate::policy::FactorMethod;
use crate::gate::throttle::{
    ACCOUNT_AND_ADDRESS, ACCOUNT_FROM_STRANGERS, ADDRESS, Attempts, FACTOR_CODES, KNOWN_BROWSERS,
    Rule, Verdict, attempt, factor_key,
};
use crate::gate::time::Moment;
use crate::sessions::store::{Store, StoreError};

/// One throttle that holds somebody at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// `codes`, `password_from_strangers`, `password_from_address`, `password_from_known_browsers`,
    /// `address`.
    pub throttle: &'static str,
    /// Of which method, product or address.
    pub of: String,
    /// `None`: until somebody resets it.
    #[serde(serialize_with = "rfc3339")]
    pub until: Option<Moment>,
}

fn rfc3339<S: serde::Serializer>(at: &Option<Moment>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.serialize_str(&at.to_rfc3339()),
        None => serializer.serialize_none(),
    }
}

/// Those that hold this person. What is counted by address is kept under a hash of it: it is looked
/// at for an address that is named, and for no other. What is counted by one browser can't be found
/// without that browser's cookie.
///
/// # Errors
/// When the store does not answer.
pub async fn of_person(
    store: &dyn Store,
    person: &PersonId,
    (primary, accounts): (&ProductId, &[(ProductId, Login)]),
    address: Option<IpAddr>,
    now: Moment,
) -> Result<Vec<Lock>, StoreError> {
    let mut locks = Vec::new();
    for method in FactorMethod::ALL {
        let key = factor_key(person, method);
        let found = held(store, &key, &FACTOR_CODES, now).await?;
        locks.extend(found.map(|until| Lock {
            throttle: "codes",
            of: method.as_str().to_owned(),
            until,
        }));
    }
    let network = address.map(network_of);
    for (product, login) in accounts {
        let network = network.as_deref();
        let counted = network.unwrap_or_default();
        let counts = match product == primary {
            true => PasswordAttempt::of_strangers(login.as_str(), counted),
            false => PasswordAttempt::at(product, login.as_str(), counted),
        };
        let known = known_browsers(login.as_str());
        let by_address = [
            (&counts.pair, &ACCOUNT_AND_ADDRESS, "password_from_address"),
            (&counts.address, &ADDRESS, "address"),
        ];
        let from_strangers = (
            &counts.account,
            &ACCOUNT_FROM_STRANGERS,
            "password_from_strangers",
        );
        let by_address = by_address.into_iter().filter(|_| network.is_some());
        let from_known = (&known, &KNOWN_BROWSERS, "password_from_known_browsers");
        let from_known = (product == primary).then_some(from_known);
        let all = by_address.chain([from_strangers]).chain(from_known);
        for (key, rule, throttle) in all {
            let found = held(store, key, rule, now).await?;
            locks.extend(found.map(|until| Lock {
                throttle,
                of: format!("{product} {login}"),
                until,
            }));
        }
    }
    Ok(locks)
}

/// Until when; asked of the rule itself, and counted nowhere.
async fn held(
    store: &dyn Store,
    key: &str,
    rule: &Rule,
    now: Moment,
) -> Result<Option<Option<Moment>>, StoreError> {
    let known = store.state(key, now).await?;
    let known = known.as_deref().and_then(Attempts::from_json);
    Ok(match attempt(known, rule, now).0 {
        Verdict::Go => None,
        Verdict::Wait(wait) => Some(Some(now.plus(wait))),
        Verdict::Stopped => Some(None),
    })
}
