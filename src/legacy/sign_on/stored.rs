//! What all nodes share of the sign-ons: states in the session store.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Claim, NotReady, SignOns};
use crate::config::settings::SignOn;
use crate::directory::seal::RowName;
use crate::gate::name::Login;
use crate::gate::throttle::{Attempts, Rule, Verdict, attempt};
use crate::legacy::Failure;
use crate::legacy::jar::Jar;
use crate::sessions::store::StoreError;

/// How long cookies are kept without a new sign-in.
pub const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// How much longer than a sign-in may take its lease lasts: what the stores take beside it.
const LEASE_BESIDE: Duration = Duration::from_secs(5);
/// How long a refusal is noted: for longer than any session lasts that may hold the password.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
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

/// The right to type an account's password. Has a name, so that one that ran out is not given back
/// in place of the next.
pub(super) struct Lease([u8; 8]);

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

    /// `None` while somebody else has it: of all sessions on all nodes one types an account's
    /// password at a time.
    pub(super) async fn take_lease(&self, claim: &Claim) -> Result<Option<Lease>, NotReady> {
        let mut name = [0; 8];
        (self.parts.random)(&mut name);
        let taken = self
            .store()
            .swap_state(
                &claim.lease(),
                None,
                Some(&name),
                self.lease_life(claim),
                self.now(),
            )
            .await
            .map_err(away)?;
        Ok(taken.then_some(Lease(name)))
    }

    /// As long as a sign-in may take, and hardly longer: after a crash all sessions of the account wait
    /// for its end.
    fn lease_life(&self, claim: &Claim) -> Duration {
        let deadline = match self.way(&claim.product) {
            Some(SignOn::Form(form)) => form.deadline,
            Some(SignOn::Basic(basic)) => basic.deadline,
            Some(SignOn::Headers) | None => Duration::ZERO,
        };
        deadline + LEASE_BESIDE
    }

    /// Gives back this lease and no later one.
    pub(super) async fn give_lease(&self, claim: &Claim, lease: &Lease) {
        let (key, now) = (claim.lease(), self.now());
        let given = self
            .store()
            .swap_state(&key, Some(&lease.0), None, LEASE_BESIDE, now)
            .await;
        if let Err(error) = given {
            tracing::warn!(%error, "a lease runs on until its end");
        }
    }

    /// Notes for all sessions and nodes that the application does not take the password of this
    /// version. What the directory knows of it is read by sign-ins alone.
    pub(super) async fn note_refusal(&self, claim: &Claim, version: i64) {
        let (key, now) = (claim.refusal(), self.now());
        for _ in 0..ROUNDS {
            let noted = async {
                let before = self.store().state(&key, now).await?;
                let new = version.to_string();
                self.store()
                    .swap_state(
                        &key,
                        before.as_deref(),
                        Some(new.as_bytes()),
                        REMEMBERED,
                        now,
                    )
                    .await
            };
            match noted.await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "a refused password could not be noted for all nodes");
                    return;
                }
            }
        }
    }

    /// Whether somebody was told that the application does not take the password of this version.
    pub(super) async fn was_refused(
        &self,
        claim: &Claim,
        version: i64,
    ) -> Result<bool, StoreError> {
        let noted = self.store().state(&claim.refusal(), self.now()).await?;
        Ok(noted.is_some_and(|noted| noted == version.to_string().as_bytes()))
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
