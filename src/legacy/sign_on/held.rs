//! What this node holds of the sign-ons of sessions.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turn, MutexGuard as TurnGuard};

use super::Grip;
use super::probed::Probed;
use crate::gate::name::SessionId;
use crate::legacy::Caller;

/// The most sessions and products for which something is held. Losing one costs a look into the
/// store.
const MOST: usize = 20_000;

/// One session's place at one application.
#[derive(Default)]
pub struct Held {
    turn: Turn<()>,
    current: Mutex<Option<Arc<Grip>>>,
    /// As whom the application knows who comes: it may tie its session to that.
    caller: Mutex<Caller>,
    probed: Turn<Probed>,
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

    /// Lets go of this grip and of no later one; true once.
    pub fn drop_it(&self, id: u64) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let there = current.as_ref().is_some_and(|grip| grip.id == id);
        if there {
            *current = None;
        }
        there
    }

    pub fn caller(&self) -> Caller {
        self.caller
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn called_by(&self, caller: &Caller) {
        let mut known = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone_from(caller);
    }

    /// One at a time asks the application whether it knows the session, and the others hear of it.
    pub async fn probed(&self) -> TurnGuard<'_, Probed> {
        self.probed.lock().await
    }

    /// One at a time changes what is held.
    pub async fn turn(&self) -> TurnGuard<'_, ()> {
        self.turn.lock().await
    }
}

/// By session and product.
#[derive(Default)]
pub struct Shelf {
    places: Mutex<HashMap<(SessionId, usize), Arc<Held>>>,
}

impl Shelf {
    fn places(&self) -> MutexGuard<'_, HashMap<(SessionId, usize), Arc<Held>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sessions for which anything is held.
    pub fn sessions(&self) -> HashSet<SessionId> {
        self.places().keys().map(|(session, _)| *session).collect()
    }

    /// The products at which anything is held for this session.
    pub fn products(&self, session: SessionId) -> Vec<usize> {
        let places = self.places();
        let of = |(of, product): &(SessionId, usize)| (*of == session).then_some(*product);
        places.keys().filter_map(of).collect()
    }

    pub fn take(&self, session: SessionId, product: usize) -> Option<Arc<Held>> {
        self.places().remove(&(session, product))
    }

    pub fn of(&self, session: SessionId, product: usize) -> Arc<Held> {
        let mut places = self.places();
        if places.len() >= MOST && !places.contains_key(&(session, product)) {
            // Those that nobody is busy with.
            places.retain(|_, held| Arc::strong_count(held) > 1);
        }
        Arc::clone(places.entry((session, product)).or_default())
    }
}
