//! What the portal signs and seals with.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::gate::name::PersonId;
use crate::gate::session::SecretHash;
use crate::gate::time::Moment;
use crate::sessions::tokens::Random;

/// Keys derived from one that was derived for the portal.
pub struct Keys {
    form: hmac::Key,
    code: hmac::Key,
    handle: hmac::Key,
    known: hmac::Key,
    seal: [u8; 32],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// What a form's token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormToken {
    /// Made for the cookie that came with it.
    Bound,
    /// Made by us, not long ago, for a cookie that this browser has replaced meanwhile: other
    /// tabs went on. Good enough where the browser itself vouches for the sender.
    Ours,
    Worthless,
}

/// A page left open for longer is shown anew.
const OURS_FOR: Duration = Duration::from_secs(12 * 60 * 60);

impl Keys {
    pub fn new(key: [u8; 32]) -> Keys {
        let root = hmac::Key::new(HMAC_SHA256, &key);
        let mut seal = [0; 32];
        seal.copy_from_slice(hmac::sign(&root, b"portal attempt seal").as_ref());
        let form = hmac::Key::new(HMAC_SHA256, hmac::sign(&root, b"portal form").as_ref());
        let code = hmac::Key::new(HMAC_SHA256, hmac::sign(&root, b"portal sent code").as_ref());
        let handle = hmac::sign(&root, b"portal user handle");
        let known = hmac::sign(&root, b"portal known browser");
        Keys {
            form,
            code,
            handle: hmac::Key::new(HMAC_SHA256, handle.as_ref()),
            known: hmac::Key::new(HMAC_SHA256, known.as_ref()),
            seal,
        }
    }

    /// What is kept of a code that was sent: without the key, six digits would be tried out in a
    /// moment. `of` says whose it is and what for; neither part can hold a NUL.
    pub fn code_tag(&self, of: &[&str], code: &str) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.code);
        for part in of.iter().chain([&code]) {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        context.sign().as_ref().to_vec()
    }

    /// What authenticators keep a person's passkeys under: always the same, and telling nothing
    /// of the person (WebAuthn 3, section 14.6.1).
    pub fn user_handle(&self, person: &PersonId) -> [u8; 16] {
        let tag = hmac::sign(&self.handle, person.as_str().as_bytes());
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// What makes `note` one of ours, and one about this account: its name can't be read out of it.
    pub fn known_tag(&self, note: &[u8; 16], account: &str) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.known);
        context.update(note);
        context.update(account.as_bytes());
        let tag = context.sign();
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// The hidden field of a form, bound to the cookie whose hash is given.
    pub fn form_token(&self, cookie: &SecretHash, now: Moment) -> String {
        let issued = now.millis();
        let tags = [self.tag(issued, None), self.tag(issued, Some(cookie))].concat();
        format!("{issued:x}.{}", URL_SAFE_NO_PAD.encode(tags))
    }

    pub fn judge_form_token(
        &self,
        token: &str,
        cookie: Option<&SecretHash>,
        now: Moment,
    ) -> FormToken {
        let Some((issued, tags)) = read_token(token) else {
            return FormToken::Worthless;
        };
        let (ours, bound) = tags.split_at(tags.len() / 2);
        if verify_slices_are_equal(ours, &self.tag(issued, None)).is_err() {
            return FormToken::Worthless;
        }
        let is_bound = cookie.is_some_and(|cookie| {
            verify_slices_are_equal(bound, &self.tag(issued, Some(cookie))).is_ok()
        });
        if is_bound {
            FormToken::Bound
        } else if now.since(Moment::from_millis(issued)) <= OURS_FOR {
            FormToken::Ours
        } else {
            FormToken::Worthless
        }
    }

    fn tag(&self, issued: i64, cookie: Option<&SecretHash>) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.form);
        context.update(&issued.to_be_bytes());
        if let Some(cookie) = cookie {
            context.update(cookie.as_bytes());
        }
        context.sign().as_ref().to_vec()
    }

    /// Seals what an attempt must keep; it opens for the same attempt only.
    pub fn seal(&self, secret: &[u8], attempt: &SecretHash, random: &Random) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce);
        let mut sealed = secret.to_vec();
        self.aead()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(attempt.as_bytes()),
                &mut sealed,
            )
            .ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    pub fn open(&self, sealed: &str, attempt: &SecretHash) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = self
            .aead()?
            .open_in_place(nonce, Aad::from(attempt.as_bytes()), &mut opened)
            .ok()?
            .len();
        opened.truncate(length);
        Some(opened)
    }

    fn aead(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.seal)
            .ok()
            .map(LessSafeKey::new)
    }
}

fn read_token(token: &str) -> Option<(i64, Vec<u8>)> {
    let (issued, tags) = token.split_once('.')?;
    let issued = i64::from_str_radix(issued, 16).ok()?;
    let tags = URL_SAFE_NO_PAD.decode(tags).ok()?;
    (tags.len() == 64).then_some((issued, tags))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::gate::session::Secret;

    use super::*;

    const NOON: Moment = Moment::from_secs(1_790_000_000);

    fn hash(byte: u8) -> SecretHash {
        Secret::from_bytes([byte; 32]).hash()
    }

    #[test]
    fn a_token_is_bound_to_its_cookie_and_signed_by_us() {
        let keys = Keys::new([1; 32]);
        let token = keys.form_token(&hash(1), NOON);
        let judge = |token: &str, cookie: Option<u8>, hours: u64| {
            let now = NOON.plus(Duration::from_secs(hours * 3600));
            keys.judge_form_token(token, cookie.map(hash).as_ref(), now)
        };
        assert_eq!(judge(&token, Some(1), 0), FormToken::Bound);
        assert_eq!(judge(&token, Some(1), 48), FormToken::Bound);
        assert_eq!(judge(&token, Some(2), 1), FormToken::Ours);
        assert_eq!(judge(&token, None, 1), FormToken::Ours);
        assert_eq!(judge(&token, Some(2), 13), FormToken::Worthless);
        let foreign = Keys::new([2; 32]).form_token(&hash(1), NOON);
        let moved = token.replacen(token.split('.').next().unwrap_or_default(), "ffff", 1);
        for worthless in ["", "a.b", foreign.as_str(), moved.as_str()] {
            assert_eq!(
                judge(worthless, Some(1), 0),
                FormToken::Worthless,
                "{worthless}"
            );
        }
    }

    #[test]
    fn a_sealed_secret_opens_for_its_own_attempt_only() {
        let keys = Keys::new([1; 32]);
        let random: Random = Arc::new(|bytes: &mut [u8]| bytes.fill(9));
        let sealed = keys
            .seal(b"twenty bytes of key.", &hash(1), &random)
            .unwrap();
        assert_eq!(
            keys.open(&sealed, &hash(1)).unwrap().as_slice(),
            b"twenty bytes of key."
        );
        assert!(keys.open(&sealed, &hash(2)).is_none());
        assert!(Keys::new([2; 32]).open(&sealed, &hash(1)).is_none());
        assert!(keys.open("short", &hash(1)).is_none());
    }
}
