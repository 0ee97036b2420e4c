//! What a session store must do: the same for the embedded one and for Redis, one suite over both.

use std::time::Duration;

use async_trait::async_trait;

use crate::gate::name::{CompanyId, PersonId, ProductId, SessionId};
use crate::gate::session::{LastSeen, Session};
use crate::gate::time::Moment;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the session store does not answer: {0}")]
    Unavailable(String),
    #[error("the session store holds a record that can't be read: {0}")]
    Corrupt(String),
}

/// Something that changed, as every node hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// This session's record changed or ended: forget what was cached.
    Changed(SessionId),
    /// Announcements may have been missed: trust nothing that is cached.
    Lost,
    /// Announcements are heard again.
    Connected,
}

/// One person's activity in one product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub session: SessionId,
    pub product: Option<ProductId>,
    pub at: Moment,
}

#[async_trait]
pub trait Store: Send + Sync + 'static {
    async fn create(
        &self,
        session: &Session,
        now: Moment,
        life: Duration,
    ) -> Result<(), StoreError>;

    async fn load(
        &self,
        id: SessionId,
        now: Moment,
    ) -> Result<Option<(Session, LastSeen)>, StoreError>;

    /// Writes the record if the stored one still has the version before it, and announces it.
    async fn replace(&self, session: &Session, now: Moment) -> Result<bool, StoreError>;

    /// Removes the record and announces it; false when there was none.
    async fn end(&self, id: SessionId) -> Result<bool, StoreError>;

    async fn last_seen(&self, id: SessionId) -> Result<Option<LastSeen>, StoreError>;

    /// Moves last-seen forward, never back, and never brings back what has ended. Announces nothing.
    async fn touch(&self, stamps: &[Stamp]) -> Result<(), StoreError>;

    async fn of_person(&self, person: &PersonId, now: Moment)
    -> Result<Vec<SessionId>, StoreError>;

    async fn of_company(
        &self,
        company: &CompanyId,
        now: Moment,
    ) -> Result<Vec<SessionId>, StoreError>;

    /// How many sessions there are: `vestibule_sessions_active`.
    async fn count(&self, now: Moment) -> Result<u64, StoreError>;

    /// A small state: a ticket, an attempt, a throttle.
    async fn state(&self, key: &str, now: Moment) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes `new` (or removes, with `None`) if the state is still `expected`: what a transition
    /// means is a pure function elsewhere, that it happens once is decided here.
    async fn swap_state(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        life: Duration,
        now: Moment,
    ) -> Result<bool, StoreError>;

    /// Removes and returns: of many who ask, one gets it.
    async fn take_state(&self, key: &str, now: Moment) -> Result<Option<Vec<u8>>, StoreError>;

    async fn ping(&self) -> Result<(), StoreError>;

    /// Lets go of what is past its time. For stores that don't do so by themselves; nothing that
    /// expired is ever returned, purged or not.
    async fn purge(&self, _now: Moment) -> Result<(), StoreError> {
        Ok(())
    }

    fn events(&self) -> tokio::sync::broadcast::Receiver<Event>;
}
