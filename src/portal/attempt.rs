//! A sign-in that is not finished, kept in the session store under the hash of a cookie. One
//! cookie serves any number of tabs, and each step forward replaces it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::State;
use super::trouble::Trouble;
use super::visit::Visit;
use crate::gate::ceremony::{LIFE, Step};
use crate::gate::name::{Login, PersonId};
use crate::gate::session::{Secret, SecretHash};
use crate::gate::time::Moment;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    pub step: Step,
    /// The account that the password was proved for.
    pub login: Login,
    /// At enrolment, the new authenticator's key, sealed: a reload shows the same QR code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_key: Option<String>,
    /// The person's number when it began: see `Directory::epoch`.
    #[serde(default)]
    pub epoch: i64,
}

/// An attempt as it was read: changes apply to exactly this.
pub struct Current {
    pub attempt: Attempt,
    pub cookie: SecretHash,
    written: Vec<u8>,
}

fn key(cookie: &SecretHash) -> String {
    format!("attempt:{}", cookie.to_text())
}

fn written(attempt: &Attempt) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec(attempt).map_err(|_| Trouble::internal("attempt"))
}

pub fn fresh_secret(state: &State) -> Secret {
    let mut bytes = [0; 32];
    (state.random)(&mut bytes);
    Secret::from_bytes(bytes)
}

/// The attempt of this browser that waits for a second factor.
pub async fn current(
    state: &Arc<State>,
    visit: &Visit,
    now: Moment,
) -> Result<Option<Current>, Trouble> {
    match visit.login_cookie() {
        Some(secret) => of(state, secret.hash(), now).await,
        None => Ok(None),
    }
}

/// The attempt that a cookie leads to.
pub async fn of(
    state: &Arc<State>,
    cookie: SecretHash,
    now: Moment,
) -> Result<Option<Current>, Trouble> {
    let Some(written) = state.sessions.store().state(&key(&cookie), now).await? else {
        return Ok(None);
    };
    let attempt: Attempt =
        serde_json::from_slice(&written).map_err(|_| Trouble::internal("attempt"))?;
    if is_void(state, &attempt).await? {
        state
            .sessions
            .store()
            .take_state(&key(&cookie), now)
            .await?;
        return Ok(None);
    }
    Ok(Some(Current {
        attempt,
        cookie,
        written,
    }))
}

/// Whether the person was reset, disabled or signed out by a user manager since it began.
async fn is_void(state: &State, attempt: &Attempt) -> Result<bool, Trouble> {
    match attempt.step.pending() {
        Some(pending) => has_passed(state, pending.person(), attempt.epoch).await,
        None => Ok(false),
    }
}

/// Whether what began with this number is void.
pub async fn has_passed(state: &State, person: &PersonId, epoch: i64) -> Result<bool, Trouble> {
    Ok(state.directory.epoch(person).await? != Some(epoch))
}

/// Keeps a new attempt and returns its cookie; what the browser's old cookie led to is forgotten.
/// `epoch` is the person's number from before anything was proved in it.
pub async fn begin(
    state: &Arc<State>,
    visit: &Visit,
    step: Step,
    (login, epoch): (Login, i64),
    now: Moment,
) -> Result<Secret, Trouble> {
    let secret = fresh_secret(state);
    let cookie = secret.hash();
    let new_key = match &step {
        Step::Enrol(_) => {
            let mut bytes = zeroize::Zeroizing::new([0; super::factor::KEY_LENGTH]);
            (state.random)(bytes.as_mut_slice());
            let sealed = state.keys.seal(bytes.as_slice(), &cookie, &state.random);
            Some(sealed.ok_or_else(|| Trouble::internal("seal"))?)
        }
        Step::Password | Step::Challenge(_) => None,
    };
    let written = written(&Attempt {
        step,
        login,
        new_key,
        epoch,
    })?;
    let store = state.sessions.store();
    store
        .swap_state(&key(&cookie), None, Some(&written), LIFE, now)
        .await?;
    if let Some(old) = visit.login_cookie() {
        store.take_state(&key(&old.hash()), now).await?;
    }
    Ok(secret)
}

impl Current {
    /// Writes the next step; false when another request of this browser went first.
    pub async fn advance(&self, state: &State, step: Step, now: Moment) -> Result<bool, Trouble> {
        let next = written(&Attempt {
            step,
            ..self.attempt.clone()
        })?;
        let store = state.sessions.store();
        Ok(store
            .swap_state(
                &key(&self.cookie),
                Some(&self.written),
                Some(&next),
                LIFE,
                now,
            )
            .await?)
    }

    /// Ends it; true for exactly one of many who finish it at once.
    pub async fn close(&self, state: &State, now: Moment) -> Result<bool, Trouble> {
        Ok(state
            .sessions
            .store()
            .take_state(&key(&self.cookie), now)
            .await?
            .is_some())
    }
}
