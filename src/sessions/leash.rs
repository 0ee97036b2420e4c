//! What cuts the open requests of a session when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Held by the cached session and by every request made with it. Pulling it ends those requests,
/// their websockets, streams and uploads, at once.
#[derive(Debug, Default)]
pub struct Leash {
    pulled: AtomicBool,
    notify: Notify,
}

impl Leash {
    pub fn pull(&self) {
        self.pulled.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    pub fn is_pulled(&self) -> bool {
        self.pulled.load(Ordering::Acquire)
    }

    /// [`Self::pulled`], of its own.
    pub async fn until_pulled(self: Arc<Self>) {
        self.pulled().await;
    }

    /// Ends when the leash is pulled, also when that was before.
    pub async fn pulled(&self) {
        let notified = self.notify.notified();
        tokio::pin!(notified);
        // Subscribe before looking: a pull in between would be missed otherwise.
        notified.as_mut().enable();
        if !self.is_pulled() {
            notified.await;
        }
    }
}
