//! What nodes must know of each other's orders, in the store that they share: who tries, what failed, how
//! long the authority wants to be left alone, and what came. So one of many nodes orders, a restart forgets
//! no failure, and the others take the certificate that came.
//!
//! | state | holds |
//! |---|---|
//! | `acme-attempts:AUTHORITY:HOST` | failures in a row, and when to try again; swapped before each attempt |
//! | `acme-pause:AUTHORITY` | until when the authority wants no order |
//! | `acme-bundle:AUTHORITY:HOST` | key and chain, sealed |
//!
//! `AUTHORITY` is [`Shelf::name`](super::Shelf::name).

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::Bundle;
use crate::directory::seal::{RowName, Seal};
use crate::gate::host::Host;
use crate::gate::renewal::{Attempts, bounded};
use crate::gate::time::Moment;
use crate::sessions::store::{Store, StoreError};

/// Failures are forgotten after so long without another one.
const LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// What seals at this moment: another one after the master key has changed.
pub type Sealing = Arc<dyn Fn() -> Arc<Seal> + Send + Sync>;

pub struct Notes {
    store: Arc<dyn Store>,
    sealing: Sealing,
}

/// Attempts as they were read: they are changed only if nobody else did meanwhile.
#[derive(Debug, Clone)]
pub struct Noted {
    key: String,
    raw: Option<Vec<u8>>,
    pub attempts: Attempts,
}

impl Notes {
    pub fn new(store: Arc<dyn Store>, sealing: Sealing) -> Notes {
        Notes { store, sealing }
    }

    pub async fn attempts(
        &self,
        authority: &str,
        host: &Host,
        now: Moment,
    ) -> Result<Noted, StoreError> {
        let key = format!("acme-attempts:{authority}:{host}");
        let raw = self.store.state(&key, now).await?;
        let attempts = match &raw {
            None => Attempts::NONE,
            Some(raw) => serde_json::from_slice(raw)
                .map_err(|error| StoreError::Corrupt(error.to_string()))?,
        };
        Ok(Noted { key, raw, attempts })
    }

    /// Notes `attempts` if they are still as they were read. `None`: somebody else was first.
    pub async fn swap(
        &self,
        noted: &Noted,
        attempts: Attempts,
        now: Moment,
    ) -> Result<Option<Noted>, StoreError> {
        let raw = serde_json::to_vec(&attempts)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let swapped = self
            .store
            .swap_state(&noted.key, noted.raw.as_deref(), Some(&raw), LIFE, now)
            .await?;
        Ok(swapped.then(|| Noted {
            key: noted.key.clone(),
            raw: Some(raw),
            attempts,
        }))
    }

    /// It came: nothing has failed any more.
    pub async fn clear(&self, noted: &Noted, now: Moment) -> Result<(), StoreError> {
        self.store.take_state(&noted.key, now).await.map(drop)
    }

    /// Until when nothing is ordered there.
    pub async fn paused(&self, authority: &str, now: Moment) -> Result<Option<Moment>, StoreError> {
        let found = self.store.state(&pause_key(authority), now).await?;
        let until = found.and_then(|raw| serde_json::from_slice::<Moment>(&raw).ok());
        Ok(until.filter(|until| *until > now))
    }

    /// Nobody orders there for as long as the authority wishes.
    pub async fn pause(
        &self,
        authority: &str,
        wish: Duration,
        now: Moment,
    ) -> Result<(), StoreError> {
        let wish = bounded(wish);
        let raw = serde_json::to_vec(&now.plus(wish))
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        self.put(&pause_key(authority), &raw, wish, now).await
    }

    /// Leaves what came for the other nodes, until it ends.
    pub async fn share(
        &self,
        authority: &str,
        host: &Host,
        bundle: &Bundle,
        now: Moment,
    ) -> Result<(), StoreError> {
        let key = bundle_key(authority, host);
        let sealed = (self.sealing)()
            .seal(bundle.expose().as_bytes(), &row(&key))
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let life = bundle.term().ends.since(now);
        self.put(&key, &sealed, life, now).await
    }

    /// What another node left. One that was sealed under another master key is none.
    pub async fn shared(
        &self,
        authority: &str,
        host: &Host,
        now: Moment,
    ) -> Result<Option<Bundle>, StoreError> {
        let key = bundle_key(authority, host);
        let Some(sealed) = self.store.state(&key, now).await? else {
            return Ok(None);
        };
        let opened = (self.sealing)().open(&sealed, &row(&key)).ok();
        let text = opened.and_then(|plain| std::str::from_utf8(&plain).ok().map(str::to_owned));
        let bundle = text.and_then(|text| Bundle::read(Zeroizing::new(text), host).ok());
        Ok(bundle.filter(|bundle| bundle.holds(now)))
    }

    async fn put(
        &self,
        key: &str,
        value: &[u8],
        life: Duration,
        now: Moment,
    ) -> Result<(), StoreError> {
        let before = self.store.state(key, now).await?;
        let written = self
            .store
            .swap_state(key, before.as_deref(), Some(value), life, now);
        // Another node was quicker: what it wrote is as new.
        written.await.map(drop)
    }
}

fn pause_key(authority: &str) -> String {
    format!("acme-pause:{authority}")
}

fn bundle_key(authority: &str, host: &Host) -> String {
    format!("acme-bundle:{authority}:{host}")
}

fn row(key: &str) -> RowName<'_> {
    RowName {
        table: "states",
        column: "value",
        key,
    }
}
