//! WebAuthn's two ceremonies: adding a passkey, and proving one. What was asked waits in the
//! session store and is taken by the one answer that comes for it: a challenge works once, for
//! five minutes, for the browser, the person and the ceremony it was made for.
//!
//! User verification is required at both: what signs has itself seen a fingerprint, a face or a
//! PIN, so that a key that was found or stolen opens nothing (NIST SP 800-63B-4, AAL2). Origin,
//! host, challenge, flags, signature and counter are the library's to check.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;
use webauthn_rs::prelude::{
    Credential, Passkey, PasskeyAuthentication, PasskeyRegistration, Uuid, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use super::State;
use super::form::Sent;
use super::trouble::Trouble;
use crate::directory::{Factor, StoredPasskey};
use crate::gate::name::PersonId;
use crate::gate::session::SecretHash;
use crate::gate::time::Moment;

/// How long a challenge waits for its answer.
const LIFE: Duration = Duration::from_secs(5 * 60);

/// A page that is opened again so soon shows the same challenge: two tabs don't spoil each other's.
const SHOWN_AGAIN: Duration = Duration::from_secs(2 * 60);

/// The longest name of one, in characters.
const LONGEST_NAME: usize = 40;

/// So many a person may have.
const MOST: usize = 10;

/// What the browser is asked, and what is needed to judge its answer.
#[derive(Serialize, Deserialize)]
struct Asked<S> {
    person: PersonId,
    /// For `navigator.credentials`.
    options: serde_json::Value,
    state: S,
    at: Moment,
}

/// What came of an answer.
#[derive(Debug)]
pub enum Answered<T> {
    Right(T),
    /// Not proved; why, for the audit trail.
    Wrong(&'static str),
    /// Nothing was asked, or too long ago: it is asked again.
    Late,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ceremony {
    Add,
    Prove,
}

/// The address of the portal as WebAuthn sees it; `None` where there can't be passkeys, since the
/// portal has no host name but a number.
fn relying_party(state: &State) -> Option<Webauthn> {
    let origin = Url::parse(&state.portal_origin).ok()?;
    let host = origin.domain()?.to_owned();
    WebauthnBuilder::new(&host, &origin)
        .ok()?
        .rp_name(&state.title)
        .timeout(LIFE)
        .build()
        .ok()
}

/// Whether passkeys can be used here at all.
pub fn possible(state: &State) -> bool {
    Url::parse(&state.portal_origin).is_ok_and(|origin| origin.domain().is_some())
}

/// The question for a new passkey, as JSON for the page; `None` when the person has enough.
///
/// `cookie` is that of the attempt or of the session in which it is asked; `login` is the name
/// that the authenticator shows.
pub async fn ask_to_add(
    state: &State,
    cookie: &SecretHash,
    person: &PersonId,
    login: &str,
    now: Moment,
) -> Result<Option<String>, Trouble> {
    let known = open(&state.directory.passkeys(person).await?)?;
    if known.len() >= MOST {
        return Ok(None);
    }
    let known = known
        .iter()
        .map(|passkey| passkey.cred_id().clone())
        .collect();
    let handle = Uuid::from_bytes(state.keys.user_handle(person));
    let party = relying_party(state).ok_or_else(|| Trouble::internal("passkey_host"))?;
    ask(state, Ceremony::Add, cookie, person, now, || {
        let (options, asked) =
            party.start_passkey_registration(handle, login, login, Some(known))?;
        Ok((serde_json::to_value(options), asked))
    })
    .await
    .map(Some)
}

/// The question for a passkey that the person has, as JSON; `None` when there is none.
pub async fn ask_to_prove(
    state: &State,
    cookie: &SecretHash,
    person: &PersonId,
    now: Moment,
) -> Result<Option<String>, Trouble> {
    let known = open(&state.directory.passkeys(person).await?)?;
    if known.is_empty() {
        return Ok(None);
    }
    let party = relying_party(state).ok_or_else(|| Trouble::internal("passkey_host"))?;
    ask(state, Ceremony::Prove, cookie, person, now, || {
        let (options, asked) = party.start_passkey_authentication(&known)?;
        Ok((serde_json::to_value(options), asked))
    })
    .await
    .map(Some)
}

/// Judges the answer to [`ask_to_add`] and keeps the new passkey. `first`: only if the person has
/// no factor yet.
pub async fn add(
    state: &State,
    cookie: &SecretHash,
    person: &PersonId,
    answer: &str,
    first: bool,
    now: Moment,
) -> Result<Answered<Factor>, Trouble> {
    let asked = take::<PasskeyRegistration>(state, Ceremony::Add, cookie, person, now).await?;
    let Some(asked) = asked else {
        return Ok(Answered::Late);
    };
    let Ok(answer) = serde_json::from_str(answer) else {
        return Ok(Answered::Wrong("malformed"));
    };
    let party = relying_party(state).ok_or_else(|| Trouble::internal("passkey_host"))?;
    let passkey = match party.finish_passkey_registration(&answer, &asked) {
        Ok(passkey) => passkey,
        Err(error) => return Ok(Answered::Wrong(word(&error))),
    };
    let record = write(&passkey)?;
    let credential = passkey.cred_id();
    let added = state
        .directory
        .add_passkey(person, (credential, &record), first, now)
        .await?;
    Ok(added.map_or(Answered::Wrong("taken"), Answered::Right))
}

/// Gives a new passkey the name that was typed with it, cut to a line of a list. The passkey is there
/// already and stays, whether or not it gets its name.
pub async fn called(state: &State, person: &PersonId, factor: &str, sent: &Sent<'_>) {
    let typed = sent.text("called").trim().chars();
    let name: String = typed
        .filter(|letter| !letter.is_control())
        .take(LONGEST_NAME)
        .collect();
    if name.is_empty() {
        return;
    }
    if let Err(error) = state.directory.name_factor(person, factor, &name).await {
        tracing::warn!(%error, "a new passkey could not be given its name");
    }
}

/// Judges the answer to [`ask_to_prove`].
pub async fn prove(
    state: &State,
    cookie: &SecretHash,
    person: &PersonId,
    answer: &str,
    now: Moment,
) -> Result<Answered<()>, Trouble> {
    let asked = take::<PasskeyAuthentication>(state, Ceremony::Prove, cookie, person, now).await?;
    let Some(asked) = asked else {
        return Ok(Answered::Late);
    };
    let Ok(answer) = serde_json::from_str(answer) else {
        return Ok(Answered::Wrong("malformed"));
    };
    let party = relying_party(state).ok_or_else(|| Trouble::internal("passkey_host"))?;
    let proof = match party.finish_passkey_authentication(&answer, &asked) {
        Ok(proof) => proof,
        Err(error) => return Ok(Answered::Wrong(word(&error))),
    };
    // Read again: it may have been removed, or used elsewhere, since the question was asked.
    let known = state.directory.passkeys(person).await?;
    let found = known
        .iter()
        .zip(open(&known)?)
        .find(|(_, passkey)| passkey.cred_id() == proof.cred_id());
    let Some((stored, mut passkey)) = found else {
        return Ok(Answered::Wrong("removed"));
    };
    // The library compared with what stood when the question was asked: another answer may have
    // been given since (WebAuthn 3, section 7.2, step 25).
    let counter = Credential::from(passkey.clone()).counter;
    if (proof.counter() > 0 || counter > 0) && proof.counter() <= counter {
        return Ok(Answered::Wrong("counter"));
    }
    passkey.update_credential(&proof);
    let record = write(&passkey)?;
    let kept = state
        .directory
        .use_passkey(person, stored, &record, now)
        .await?;
    Ok(if kept {
        Answered::Right(())
    } else {
        Answered::Wrong("raced")
    })
}

/// Whether a question waits for this browser's answer.
pub async fn waits(
    state: &State,
    cookie: &SecretHash,
    adds: bool,
    now: Moment,
) -> Result<bool, Trouble> {
    let ceremony = if adds { Ceremony::Add } else { Ceremony::Prove };
    let key = key(ceremony, cookie);
    Ok(state.sessions.store().state(&key, now).await?.is_some())
}

fn key(ceremony: Ceremony, cookie: &SecretHash) -> String {
    let word = match ceremony {
        Ceremony::Add => "add",
        Ceremony::Prove => "prove",
    };
    format!("passkey:{word}:{}", cookie.to_text())
}

/// Shows what is asked already, or asks anew.
async fn ask<S: Serialize + DeserializeOwned>(
    state: &State,
    ceremony: Ceremony,
    cookie: &SecretHash,
    person: &PersonId,
    now: Moment,
    begin: impl FnOnce() -> Result<(serde_json::Result<serde_json::Value>, S), WebauthnError>,
) -> Result<String, Trouble> {
    let store = state.sessions.store();
    let key = key(ceremony, cookie);
    let before = store.state(&key, now).await?;
    if let Some(before) = &before
        && let Ok(asked) = serde_json::from_slice::<Asked<S>>(before)
        && asked.person == *person
        && now.since(asked.at) < SHOWN_AGAIN
    {
        return Ok(asked.options.to_string());
    }
    let (options, asked) = begin().map_err(|error| {
        tracing::error!(%error, "a passkey could not be asked for");
        Trouble::internal("passkey")
    })?;
    let options = options.map_err(|_| Trouble::internal("passkey"))?;
    let text = options.to_string();
    let written = serde_json::to_vec(&Asked {
        person: person.clone(),
        options,
        state: asked,
        at: now,
    })
    .map_err(|_| Trouble::internal("passkey"))?;
    // Whoever loses this race to another tab shows a challenge that leads to a second try.
    store
        .swap_state(&key, before.as_deref(), Some(&written), LIFE, now)
        .await?;
    Ok(text)
}

async fn take<S: DeserializeOwned>(
    state: &State,
    ceremony: Ceremony,
    cookie: &SecretHash,
    person: &PersonId,
    now: Moment,
) -> Result<Option<S>, Trouble> {
    let store = state.sessions.store();
    let taken = store.take_state(&key(ceremony, cookie), now).await?;
    let asked = taken.and_then(|bytes| serde_json::from_slice::<Asked<S>>(&bytes).ok());
    Ok(asked
        .filter(|asked| asked.person == *person && now.since(asked.at) <= LIFE)
        .map(|asked| asked.state))
}

fn open(stored: &[StoredPasskey]) -> Result<Vec<Passkey>, Trouble> {
    stored
        .iter()
        .map(|stored| {
            serde_json::from_slice(&stored.record).map_err(|_| Trouble::internal("passkey_record"))
        })
        .collect()
}

fn write(passkey: &Passkey) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec(passkey).map_err(|_| Trouble::internal("passkey_record"))
}

/// What the audit trail says of a refused answer.
fn word(error: &WebauthnError) -> &'static str {
    match error {
        WebauthnError::CredentialPossibleCompromise => "counter",
        WebauthnError::CredentialBackupEligibilityInconsistent
        | WebauthnError::CredentialMayNotBeHardwareBound => "backup_state",
        WebauthnError::InvalidRPOrigin => "origin",
        WebauthnError::InvalidRPIDHash => "host",
        WebauthnError::MismatchedChallenge => "challenge",
        WebauthnError::UserNotPresent | WebauthnError::UserNotVerified => "user_not_verified",
        WebauthnError::CredentialNotFound => "unknown",
        _ => "invalid",
    }
}
