//! What goes with a session: for who has a store alone, and for [`Sessions`](super::Sessions).

use crate::gate::name::{PersonId, ProductId, SessionId};
use crate::gate::policy::FactorMethod;
use crate::gate::throttle::factor_key;
use crate::gate::time::Moment;

use super::store::{Store, StoreError};

/// Ends a session and what is kept for it at applications; false when it had ended before.
///
/// # Errors
/// When the store does not answer; the session may have ended all the same.
pub async fn end(store: &dyn Store, id: SessionId, now: Moment) -> Result<bool, StoreError> {
    let known = match store.load(id, now).await {
        Ok(known) => known,
        // Ended like any other.
        Err(StoreError::Corrupt(_)) => None,
        // All the same: a store that remembers what it could not end has to hear of it.
        Err(error) => {
            let ended = store.end(id).await?;
            tracing::warn!(%error, "an ended session's cookies of applications stay until their time");
            return Ok(ended);
        }
    };
    let ended = store.end(id).await?;
    if let Some((session, _)) = known {
        forget_sign_on(store, id, session.entries.keys(), now).await;
    }
    Ok(ended)
}

/// Where the application's cookies of this session stand, if the gateway signs in there.
pub fn sign_on_key(session: SessionId, product: &ProductId) -> String {
    format!("sign-on:{session}:{product}")
}

/// Nobody can use them any more; without this they would stand there until their time is up.
pub(super) async fn forget_sign_on(
    store: &dyn Store,
    session: SessionId,
    products: impl Iterator<Item = &ProductId>,
    now: Moment,
) {
    for product in products {
        let key = sign_on_key(session, product);
        if let Err(error) = store.take_state(&key, now).await {
            tracing::warn!(%error, "an ended session's cookies of an application stay until their time");
            return;
        }
    }
}

/// Wrong codes of a person's factors count no more: part of resetting the factors.
pub async fn forget_wrong_codes(
    store: &dyn Store,
    person: &PersonId,
    now: Moment,
) -> Result<(), StoreError> {
    for method in FactorMethod::ALL {
        store.take_state(&factor_key(person, method), now).await?;
    }
    Ok(())
}
