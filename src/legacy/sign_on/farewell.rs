//! What is left of sign-ons when a session of ours ends, or leaves a product: nothing.
//!
//! Whoever ends a session takes its cookies out of the store (`sessions::ending`). Here each node lets
//! go of its own copy, and tells the application, where `sign_out` says how: its session would go on
//! otherwise until it falls idle there.

use std::sync::{Arc, Weak};

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::held::Held;
use super::{Grip, SignOns};
use crate::config::settings::SignOn;
use crate::gate::name::SessionId;
use crate::legacy::form;
use crate::sessions::store::Event;

/// Ends with the sign-ons, or with the store.
pub async fn watch(sign_ons: Weak<SignOns>, mut events: Receiver<Event>) {
    loop {
        let event = events.recv().await;
        let Some(sign_ons) = sign_ons.upgrade() else {
            return;
        };
        match event {
            Ok(Event::Changed(session)) => sign_ons.look_after(session).await,
            Ok(Event::Lost) => {}
            // What was announced in between is not known.
            Ok(Event::Connected) | Err(RecvError::Lagged(_)) => {
                for session in sign_ons.shelf.sessions() {
                    sign_ons.look_after(session).await;
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

impl SignOns {
    /// Lets go of what is held for a session at products where it is no more.
    async fn look_after(self: &Arc<SignOns>, session: SessionId) {
        let held = self.shelf.products(session);
        if held.is_empty() {
            return;
        }
        let known = match self.store().load(session, self.now()).await {
            Ok(known) => known,
            Err(error) => {
                tracing::debug!(%error, "whether a session goes on could not be asked");
                return;
            }
        };
        for index in held {
            let goes_on = self.parts.legacy.at(index).is_some_and(|ways| {
                let session = known.as_ref().map(|(session, _)| session);
                session.is_some_and(|session| session.entries.get(&ways.product).is_some())
            });
            if !goes_on && let Some(held) = self.shelf.take(session, index) {
                // Applications are slow, and the next announcement may be a revocation.
                tokio::spawn(Arc::clone(self).part(index, held));
            }
        }
    }

    async fn part(self: Arc<SignOns>, index: usize, held: Arc<Held>) {
        // A sign-in that is under way puts down what it got first.
        let turn = held.turn().await;
        let grip = held.current();
        held.put(None);
        drop(turn);
        if let Some(grip) = grip {
            self.sign_out(index, &grip, &held).await;
        }
    }

    async fn sign_out(&self, index: usize, grip: &Grip, held: &Held) {
        let Some(ways) = self.parts.legacy.at(index) else {
            return;
        };
        let (SignOn::Form(described), Some(site)) = (&ways.sign_on, &ways.site) else {
            return;
        };
        let jar = grip.jar();
        form::sign_out(site, described, jar, &held.caller(), self.now()).await;
    }
}
