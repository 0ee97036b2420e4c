//! What was granted to a person, told to the sessions that carry it.

use crate::gate::name::{PersonId, ProductId};

use super::ending::forget_sign_on;
use super::store::StoreError;
use super::{EndCause, Sessions};

impl Sessions {
    /// Grants a product in every session of a person, or takes it back there: then their presence in
    /// it ends, with what is open, and the sign-ins go on. Returns how many presences ended; a
    /// session that can't be told keeps none of the others from it.
    ///
    /// # Errors
    /// The first of those that the store gave.
    pub async fn grant(
        &self,
        person: &PersonId,
        product: &ProductId,
        granted: bool,
    ) -> Result<usize, StoreError> {
        let now = (self.parts.clock)();
        let (mut ended, mut tried) = (0, Ok(()));
        for id in self.store.of_person(person, now).await? {
            let mut left = false;
            let changed = self.change(id, now, |session| {
                left = !granted && session.entries.get(product).is_some();
                if left {
                    session.entries.remove(product);
                }
                let grants = &mut session.person.grants;
                if grants.contains(product) == granted {
                    return left;
                }
                if granted {
                    grants.push(product.clone());
                } else {
                    grants.retain(|one| one != product);
                }
                true
            });
            if let Err(error) = changed.await {
                tried = tried.and(Err(error));
                continue;
            }
            if left {
                ended += 1;
                forget_sign_on(self.store.as_ref(), id, std::iter::once(product), now).await;
                self.parts
                    .observer
                    .ended(Some(product), EndCause::GrantTaken);
            }
        }
        tried.map(|()| ended)
    }
}
