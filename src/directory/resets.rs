//! Taking back what somebody began or holds: one number per person tells old from new.

use super::pool::Value;
use super::{Directory, DirectoryError, sql};
use crate::gate::name::PersonId;

impl Directory {
    /// The number that a sign-in notes when it begins; `None` when there is no such person. Counted,
    /// not timed: the clocks of two nodes may differ. It rises when the person is disabled, reset or
    /// signed out by somebody else, and when one of their passwords is changed.
    pub async fn epoch(&self, person: &PersonId) -> Result<Option<i64>, DirectoryError> {
        let values = [Value::Text(person.as_str())];
        let row = self.pool().row(sql::PERSON_EPOCH, &values).await?;
        row.map(|row| row.value("epoch")).transpose()
    }

    /// Makes void what was begun for this person and not finished, on every node. The caller ends
    /// the sessions, afterwards: who finishes meanwhile looks at the number again.
    pub async fn void_beginnings(&self, person: &PersonId) -> Result<(), DirectoryError> {
        let values = [Value::Text(person.as_str())];
        self.pool().write(sql::PERSON_EPOCH_RAISE, &values).await?;
        Ok(())
    }

    /// Removes every factor and all that stands in for one, and makes void what was begun; returns
    /// how many factors there were. The caller ends the person's sessions, and then removes the factors
    /// that one of them added meanwhile ([`remove_factors`](Directory::remove_factors)).
    pub async fn reset_factors(&self, person: &PersonId) -> Result<u64, DirectoryError> {
        // In this order: a factor that is proved in between is removed too, or finds itself void.
        self.void_beginnings(person).await?;
        self.remove_factors(person).await
    }
}
