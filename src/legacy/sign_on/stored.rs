//! What all nodes share of the sign-ons: states in the session store.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Claim, NotReady, SignOns};
use crate::directory::seal::RowName;
use crate::gate::name::Login;
use crate::gate::throttle::{Attempts, Rule, Verdict, attempt};
use crate::legacy::Failure;
use crate::legacy::jar::Jar;
use crate::sessions::store::StoreError;

/// How long cookies are kept without a new sign-in.
pub const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// A lease outlives the longest deadline.
const LEASE: Duration = Duration::from_secs(90);
/// How often a count is tried to be written when somebody else was first.
const ROUNDS: usize = 16;

/// Sign-ins to one account of an application that have not been seen to help: a broken
/// application, or one that locks accounts, must not be stormed by every request of a page.
const TRIES: Rule = Rule {
    free: 5,
    window: Duration::from_secs(15 * 60),
    first_wait: Duration::from_secs(5),
    longest_wait: Duration::from_secs(5 * 60),
    hard_stop: None,
};

/// What the store keeps, sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    /// Names this sign-in and no later one.
    pub id: u64,
    pub login: Login,
    pub jar: Jar,
}

impl SignOns {
    pub(super) async fn stored(&self, claim: &Claim) -> Result<Option<Stored>, NotReady> {
        let key = claim.key();
        let sealed = self.store().state(&key, self.now()).await.map_err(away)?;
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let stored = self.open(&key, &sealed);
        let Some(stored) = stored.filter(|stored| stored.login == claim.login) else {
            return Ok(None);
        };
        if !self.parts.directory.seal().is_current(&sealed) {
            // Another master key has taken over, and the one before will be let go of.
            self.keep(claim, &stored, true).await?;
        }
        Ok(Some(stored))
    }

    fn open(&self, key: &str, sealed: &[u8]) -> Option<Stored> {
        let seal = self.parts.directory.seal();
        let plain = seal.open(sealed, &state_row(key)).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    /// Writes a sign-in for all nodes. `update`: unless another one stands there by now.
    pub(super) async fn keep(
        &self,
        claim: &Claim,
        stored: &Stored,
        update: bool,
    ) -> Result<(), NotReady> {
        let broken = |_| NotReady::Failure(Failure::unusable("its cookies can't be kept"));
        let key = claim.key();
        let plain = serde_json::to_vec(stored)
            .map(zeroize::Zeroizing::new)
            .map_err(|_| broken(()))?;
        let seal = self.parts.directory.seal();
        let sealed = seal
            .seal(&plain, &state_row(&key))
            .map_err(|_| broken(()))?;
        let now = self.now();
        for _ in 0..ROUNDS {
            let before = self.store().state(&key, now).await.map_err(away)?;
            let there = before.as_deref().and_then(|before| self.open(&key, before));
            if update && there.is_none_or(|there| there.id != stored.id) {
                return Ok(());
            }
            let swapped = self
                .store()
                .swap_state(&key, before.as_deref(), Some(&sealed), LIFE, now)
                .await;
            if swapped.map_err(away)? {
                return Ok(());
            }
        }
        Err(NotReady::Failure(Failure::Busy))
    }

    pub(super) async fn take_lease(&self, claim: &Claim) -> Result<bool, NotReady> {
        self.store()
            .swap_state(&claim.lease(), None, Some(b"1"), LEASE, self.now())
            .await
            .map_err(away)
    }

    pub(super) async fn give_lease(&self, claim: &Claim) {
        if let Err(error) = self.store().take_state(&claim.lease(), self.now()).await {
            tracing::warn!(%error, "a lease runs on until its end");
        }
    }

    /// Counts a try, before anything is sent.
    pub(super) async fn count(&self, claim: &Claim) -> Result<(), NotReady> {
        let (key, now) = (claim.tries(), self.now());
        for _ in 0..ROUNDS {
            let before = self.store().state(&key, now).await.map_err(away)?;
            let known = before.as_deref().and_then(Attempts::from_json);
            let (verdict, after) = attempt(known, &TRIES, now);
            let wait = match verdict {
                Verdict::Go => None,
                Verdict::Wait(wait) => Some(wait),
                Verdict::Stopped => Some(TRIES.longest_wait),
            };
            if let Some(wait) = wait {
                let failure = Failure::Waiting(wait);
                self.tell(claim, failure.word());
                return Err(NotReady::Failure(failure));
            }
            let swapped = self
                .store()
                .swap_state(
                    &key,
                    before.as_deref(),
                    Some(&after.to_json()),
                    TRIES.life(),
                    now,
                )
                .await;
            if swapped.map_err(away)? {
                return Ok(());
            }
        }
        Err(NotReady::Failure(Failure::Busy))
    }
}

fn state_row(key: &str) -> RowName<'_> {
    RowName {
        table: "state",
        column: "sign-on",
        key,
    }
}

pub(super) fn away(error: StoreError) -> NotReady {
    tracing::warn!(%error, "the session store failed a sign-on");
    NotReady::Failure(Failure::Busy)
}
