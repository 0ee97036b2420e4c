//! What this node holds of the sign-ons of sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, MutexGuard};

use super::Grip;
use crate::gate::name::SessionId;

/// The most sessions and products for which something is held. Losing one costs a look into the
/// store.
const MOST: usize = 20_000;

/// One session's place at one application.
#[derive(Default)]
pub struct Held {
    turn: Turn<()>,
    current: Mutex<Option<Arc<Grip>>>,
}

impl Held {
    pub fn current(&self) -> Option<Arc<Grip>> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn put(&self, grip: Option<Arc<Grip>>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = grip;
    }

    /// One at a time changes what is held.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }
}

/// By session and product.
#[derive(Default)]
pub struct Shelf {
    places: Mutex<HashMap<(SessionId, usize), Arc<Held>>>,
}

impl Shelf {
    pub fn of(&self, session: SessionId, product: usize) -> Arc<Held> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MOST && !places.contains_key(&(session, product)) {
            // Those that nobody is busy with.
            places.retain(|_, held| Arc::strong_count(held) > 1);
        }
        Arc::clone(places.entry((session, product)).or_default())
    }
}
