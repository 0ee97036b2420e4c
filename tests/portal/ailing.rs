//! A session store with moments of weakness: what a page does when something fails in the middle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::{Barrier, broadcast};

use vestibule::gate::name::{CompanyId, PersonId, SessionId};
use vestibule::gate::session::{LastSeen, Session};
use vestibule::gate::time::Moment;
use vestibule::sessions::store::{Event, Stamp, Store, StoreError};

type Interruption = (&'static str, BoxFuture<'static, ()>);

pub struct Ailing {
    store: Arc<dyn Store>,
    /// Nobody's sessions can be found, and so not be ended; everything else goes on.
    pub loses_people: AtomicBool,
    /// This one can't be ended or changed; all others can.
    pub clings_to: Mutex<Option<SessionId>>,
    /// No session can be read.
    pub is_illegible: AtomicBool,
    /// Whoever opens a page of the portal waits here until so many have come.
    pub meeting: Mutex<Option<Arc<Barrier>>>,
    /// It gives no sign of life.
    pub is_silent: AtomicBool,
    /// Happens once, before a state whose key begins so is taken.
    interruption: Mutex<Option<Interruption>>,
}

impl Ailing {
    pub fn around(store: Arc<dyn Store>) -> Arc<Ailing> {
        Arc::new(Ailing {
            store,
            loses_people: AtomicBool::new(false),
            clings_to: Mutex::default(),
            is_illegible: AtomicBool::new(false),
            meeting: Mutex::default(),
            is_silent: AtomicBool::new(false),
            interruption: Mutex::default(),
        })
    }

    pub fn interrupt(&self, key: &'static str, deed: impl Future<Output = ()> + Send + 'static) {
        *self.interruption.lock().unwrap() = Some((key, Box::pin(deed)));
    }

    pub fn was_interrupted(&self) -> bool {
        self.interruption.lock().unwrap().is_none()
    }

    fn clings(&self, id: SessionId) -> bool {
        *self.clings_to.lock().unwrap() == Some(id)
    }

    async fn taking(&self, key: &str) {
        let due = {
            let mut waiting = self.interruption.lock().unwrap();
            waiting.take_if(|(prefix, _)| key.starts_with(*prefix))
        };
        if let Some((_, deed)) = due {
            deed.await;
        }
    }
}

fn away() -> StoreError {
    StoreError::Unavailable(String::from("as the test wants it"))
}

#[async_trait]
impl Store for Ailing {
    async fn create(
        &self,
        session: &Session,
        now: Moment,
        life: Duration,
    ) -> Result<(), StoreError> {
        self.store.create(session, now, life).await
    }

    async fn load(
        &self,
        id: SessionId,
        now: Moment,
    ) -> Result<Option<(Session, LastSeen)>, StoreError> {
        if self.is_illegible.load(Ordering::SeqCst) {
            return Err(away());
        }
        self.store.load(id, now).await
    }

    async fn replace(&self, session: &Session, now: Moment) -> Result<bool, StoreError> {
        if self.clings(session.id) {
            return Err(away());
        }
        self.store.replace(session, now).await
    }

    async fn end(&self, id: SessionId) -> Result<bool, StoreError> {
        if self.clings(id) {
            return Err(away());
        }
        self.store.end(id).await
    }

    async fn last_seen(&self, id: SessionId) -> Result<Option<LastSeen>, StoreError> {
        self.store.last_seen(id).await
    }

    async fn touch(&self, stamps: &[Stamp]) -> Result<(), StoreError> {
        let meeting = self.meeting.lock().unwrap().clone();
        if let Some(meeting) = meeting {
            meeting.wait().await;
        }
        self.store.touch(stamps).await
    }

    async fn of_person(
        &self,
        person: &PersonId,
        now: Moment,
    ) -> Result<Vec<SessionId>, StoreError> {
        if self.loses_people.load(Ordering::SeqCst) {
            return Err(away());
        }
        self.store.of_person(person, now).await
    }

    async fn of_company(
        &self,
        company: &CompanyId,
        now: Moment,
    ) -> Result<Vec<SessionId>, StoreError> {
        self.store.of_company(company, now).await
    }

    async fn count(&self, now: Moment) -> Result<u64, StoreError> {
        self.store.count(now).await
    }

    async fn state(&self, key: &str, now: Moment) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.state(key, now).await
    }

    async fn swap_state(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        life: Duration,
        now: Moment,
    ) -> Result<bool, StoreError> {
        self.store.swap_state(key, expected, new, life, now).await
    }

    async fn take_state(&self, key: &str, now: Moment) -> Result<Option<Vec<u8>>, StoreError> {
        self.taking(key).await;
        self.store.take_state(key, now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        if self.is_silent.load(Ordering::SeqCst) {
            return Err(away());
        }
        self.store.ping().await
    }

    async fn purge(&self, now: Moment) -> Result<(), StoreError> {
        self.store.purge(now).await
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.store.events()
    }
}
