//! A store whose calls are measured: the cache's and everybody else's alike.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::gate::name::{CompanyId, PersonId, SessionId};
use crate::gate::session::{LastSeen, Session};
use crate::gate::time::Moment;

use super::Observer;
use super::store::{Event, Stamp, Store, StoreError};

pub struct Watched {
    store: Arc<dyn Store>,
    observer: Arc<dyn Observer>,
}

impl Watched {
    pub fn new(store: Arc<dyn Store>, observer: Arc<dyn Observer>) -> Watched {
        Watched { store, observer }
    }

    async fn timed<T>(&self, operation: &'static str, call: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let answer = call.await;
        self.observer.store_call(operation, begun.elapsed());
        answer
    }
}

#[async_trait]
impl Store for Watched {
    async fn create(
        &self,
        session: &Session,
        now: Moment,
        life: Duration,
    ) -> Result<(), StoreError> {
        self.timed("create", self.store.create(session, now, life))
            .await
    }

    async fn load(
        &self,
        id: SessionId,
        now: Moment,
    ) -> Result<Option<(Session, LastSeen)>, StoreError> {
        self.timed("load", self.store.load(id, now)).await
    }

    async fn replace(&self, session: &Session, now: Moment) -> Result<bool, StoreError> {
        self.timed("replace", self.store.replace(session, now))
            .await
    }

    async fn end(&self, id: SessionId) -> Result<bool, StoreError> {
        self.timed("end", self.store.end(id)).await
    }

    async fn last_seen(&self, id: SessionId) -> Result<Option<LastSeen>, StoreError> {
        self.timed("last_seen", self.store.last_seen(id)).await
    }

    async fn touch(&self, stamps: &[Stamp]) -> Result<(), StoreError> {
        self.timed("touch", self.store.touch(stamps)).await
    }

    async fn of_person(
        &self,
        person: &PersonId,
        now: Moment,
    ) -> Result<Vec<SessionId>, StoreError> {
        self.timed("of_person", self.store.of_person(person, now))
            .await
    }

    async fn of_company(
        &self,
        company: &CompanyId,
        now: Moment,
    ) -> Result<Vec<SessionId>, StoreError> {
        self.timed("of_company", self.store.of_company(company, now))
            .await
    }

    async fn count(&self, now: Moment) -> Result<u64, StoreError> {
        self.timed("count", self.store.count(now)).await
    }

    async fn state(&self, key: &str, now: Moment) -> Result<Option<Vec<u8>>, StoreError> {
        self.timed("state", self.store.state(key, now)).await
    }

    async fn swap_state(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        life: Duration,
        now: Moment,
    ) -> Result<bool, StoreError> {
        self.timed(
            "swap_state",
            self.store.swap_state(key, expected, new, life, now),
        )
        .await
    }

    async fn take_state(&self, key: &str, now: Moment) -> Result<Option<Vec<u8>>, StoreError> {
        self.timed("take_state", self.store.take_state(key, now))
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.timed("ping", self.store.ping()).await
    }

    async fn purge(&self, now: Moment) -> Result<(), StoreError> {
        self.timed("purge", self.store.purge(now)).await
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.store.events()
    }
}
