//! Forms that are kept over a sign-in, sealed, in the store that all nodes share.
//!
//! | state | holds |
//! |---|---|
//! | `kept:NAME` | the head: whose, what, when. Taking it is what makes a form go on once |
//! | `kept-body:NAME` | the body, byte for byte |
//! | `kept-list:SESSION:KIND` | names of what a session has kept, so that it is bounded |
//! | `kept-noted:COOKIE` | secrets of what scripts sent with a cookie, sealed with that cookie |
//!
//! `NAME` is the hash of a secret that stands in the address of the person's browser. The key of
//! each form is made of that secret and of the master key: who has only one of the two, or the
//! store, reads nothing.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::gate::kept::{LIFE, Owner};
use crate::gate::name::{ProductId, SessionId};
use crate::gate::session::{Secret, SecretHash};
use crate::gate::time::Moment;

use super::Sessions;
use super::store::{Store, StoreError};
use super::tokens::{Random, fresh_secret};

/// How many forms of a person, and how many requests of scripts, one session has kept at a time.
/// With one more the oldest goes.
const MOST: usize = 8;

/// How often a list is tried to be written when somebody else was first.
const ROUNDS: u32 = 16;

/// A kept request without its body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Form {
    pub owner: Owner,
    pub product: ProductId,
    pub method: String,
    /// Path and query, as they were judged.
    pub target: String,
    /// End to end, without cookies.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Of the body, in bytes.
    pub length: u64,
    pub kept_at: Moment,
    /// Sent by a script, not by a person's button.
    pub by_script: bool,
}

/// Keeps forms and gives them back, once.
pub struct KeptForms {
    sessions: Arc<Sessions>,
    key: hmac::Key,
    random: Random,
}

impl KeptForms {
    /// `key` is derived from the master key, the same on every node.
    pub fn new(sessions: Arc<Sessions>, key: &[u8; 32], random: Random) -> KeptForms {
        KeptForms {
            sessions,
            key: hmac::Key::new(HMAC_SHA256, key),
            random,
        }
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.sessions.store()
    }

    /// Keeps a form of this session; the secret is what gives it back.
    pub async fn keep(
        &self,
        session: SessionId,
        form: &Form,
        body: Vec<u8>,
        now: Moment,
    ) -> Result<Secret, StoreError> {
        let secret = fresh_secret(&self.random);
        self.write(&secret, form, body, now).await?;
        self.list(session, form.by_script, &secret.hash(), now)
            .await?;
        Ok(secret)
    }

    /// Notes that a form came with this cookie. Whoever has the cookie finds it again, and nobody who
    /// has the store and the master key alone.
    pub async fn note(
        &self,
        cookie: &Secret,
        form: &Secret,
        now: Moment,
    ) -> Result<(), StoreError> {
        let name = noted_name(cookie);
        for _ in 0..ROUNDS {
            let before = self.store().state(&name, now).await?;
            let mut forms = before
                .clone()
                .map_or_else(Vec::new, |sealed| self.read_noted(cookie, &name, sealed));
            forms.push(form.clone());
            let over = forms.len().saturating_sub(MOST);
            forms.drain(..over);
            let written: Zeroizing<String> = Zeroizing::new(
                forms
                    .iter()
                    .map(Secret::expose)
                    .collect::<Vec<_>>()
                    .join("."),
            );
            let sealed = self.seal(cookie, &name, written.as_bytes().to_vec())?;
            if self
                .store()
                .swap_state(&name, before.as_deref(), Some(&sealed), LIFE, now)
                .await?
            {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable(String::from(
            "too many forms of one cookie at once",
        )))
    }

    /// What was noted for a cookie, the newest first; some of it may be gone.
    pub async fn noted(&self, cookie: &Secret, now: Moment) -> Result<Vec<Secret>, StoreError> {
        let name = noted_name(cookie);
        let sealed = self.store().state(&name, now).await?;
        let mut forms =
            sealed.map_or_else(Vec::new, |sealed| self.read_noted(cookie, &name, sealed));
        forms.reverse();
        Ok(forms)
    }

    fn read_noted(&self, cookie: &Secret, name: &str, sealed: Vec<u8>) -> Vec<Secret> {
        let written = self.open(cookie, name, sealed).map(Zeroizing::new);
        let written = written.as_deref().map_or(&[][..], Vec::as_slice);
        written
            .split(|byte| *byte == b'.')
            .filter_map(Secret::parse)
            .collect()
    }

    /// What is kept, without taking it.
    pub async fn look(&self, secret: &Secret, now: Moment) -> Result<Option<Form>, StoreError> {
        let name = head_name(&secret.hash());
        let head = self.store().state(&name, now).await?;
        Ok(head.and_then(|head| self.read_head(secret, &name, head)))
    }

    /// Takes the form: of many who ask, one gets it.
    pub async fn take(
        &self,
        secret: &Secret,
        now: Moment,
    ) -> Result<Option<(Form, Vec<u8>)>, StoreError> {
        let hash = secret.hash();
        let (head_name, body_name) = (head_name(&hash), body_name(&hash));
        let Some(head) = self.store().take_state(&head_name, now).await? else {
            return Ok(None);
        };
        let body = self.store().take_state(&body_name, now).await?;
        let form = self.read_head(secret, &head_name, head);
        let body = body.and_then(|body| self.open(secret, &body_name, body));
        Ok(form.zip(body))
    }

    /// Keeps again, under the same secret and no longer than before, what was taken and could not
    /// be sent.
    pub async fn put_back(
        &self,
        secret: &Secret,
        form: &Form,
        body: Vec<u8>,
        now: Moment,
    ) -> Result<(), StoreError> {
        self.write(secret, form, body, now).await
    }

    pub async fn throw_away(&self, secret: &Secret, now: Moment) -> Result<(), StoreError> {
        self.forget(&secret.hash(), now).await
    }

    async fn forget(&self, hash: &SecretHash, now: Moment) -> Result<(), StoreError> {
        self.store().take_state(&head_name(hash), now).await?;
        self.store().take_state(&body_name(hash), now).await?;
        Ok(())
    }

    async fn write(
        &self,
        secret: &Secret,
        form: &Form,
        body: Vec<u8>,
        now: Moment,
    ) -> Result<(), StoreError> {
        let left = LIFE.saturating_sub(now.since(form.kept_at));
        if left.is_zero() {
            return Ok(());
        }
        let hash = secret.hash();
        let head =
            serde_json::to_vec(form).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        // The head last: who finds it finds the body.
        for (name, plain) in [(body_name(&hash), body), (head_name(&hash), head)] {
            let sealed = self.seal(secret, &name, plain)?;
            self.store()
                .swap_state(&name, None, Some(&sealed), left, now)
                .await?;
        }
        Ok(())
    }

    /// Adds to the session's list, and forgets what is too much.
    async fn list(
        &self,
        session: SessionId,
        by_script: bool,
        hash: &SecretHash,
        now: Moment,
    ) -> Result<(), StoreError> {
        // Apart: a script that tries again and again must not push a person's form out.
        let kind = if by_script { "script" } else { "person" };
        let key = format!("kept-list:{session}:{kind}");
        for _ in 0..ROUNDS {
            let before = self.store().state(&key, now).await?;
            let mut names: Vec<SecretHash> = before
                .as_deref()
                .and_then(|list| serde_json::from_slice(list).ok())
                .unwrap_or_default();
            names.push(*hash);
            let over = names.len().saturating_sub(MOST);
            let oldest: Vec<SecretHash> = names.drain(..over).collect();
            let after = serde_json::to_vec(&names)
                .map_err(|error| StoreError::Corrupt(error.to_string()))?;
            if self
                .store()
                .swap_state(&key, before.as_deref(), Some(&after), LIFE, now)
                .await?
            {
                for hash in &oldest {
                    self.forget(hash, now).await?;
                }
                return Ok(());
            }
        }
        // So many at once are no person's: this one goes rather than being counted nowhere.
        self.forget(hash, now).await?;
        Err(StoreError::Unavailable(String::from(
            "too many forms of one session at once",
        )))
    }

    fn read_head(&self, secret: &Secret, name: &str, sealed: Vec<u8>) -> Option<Form> {
        let head = self.open(secret, name, sealed)?;
        serde_json::from_slice(&head).ok()
    }

    fn aead(&self, secret: &Secret) -> Option<LessSafeKey> {
        let written = Zeroizing::new(secret.expose());
        let key = hmac::sign(&self.key, written.as_bytes());
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).ok()?;
        Some(LessSafeKey::new(key))
    }

    /// `ciphertext ‖ tag ‖ nonce`, so that a large body is sealed where it stands.
    fn seal(&self, secret: &Secret, name: &str, mut plain: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let broken = || StoreError::Unavailable(String::from("a form could not be sealed"));
        let mut nonce = [0; NONCE_LEN];
        (self.random)(&mut nonce);
        self.aead(secret)
            .ok_or_else(broken)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut plain,
            )
            .map_err(|_| broken())?;
        plain.extend_from_slice(&nonce);
        Ok(plain)
    }

    fn open(&self, secret: &Secret, name: &str, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = sealed.split_off(sealed.len().checked_sub(NONCE_LEN)?);
        let nonce = Nonce::try_assume_unique_for_key(&nonce).ok()?;
        let length = self
            .aead(secret)?
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(length);
        Some(sealed)
    }
}

fn noted_name(cookie: &Secret) -> String {
    format!("kept-noted:{}", cookie.hash().to_text())
}

fn head_name(hash: &SecretHash) -> String {
    format!("kept:{}", hash.to_text())
}

fn body_name(hash: &SecretHash) -> String {
    format!("kept-body:{}", hash.to_text())
}
