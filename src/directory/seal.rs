//! Sealing of secrets at rest: AES-256-GCM under a key derived from the master key, bound to the
//! row and column where the sealed value stands.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::master_key::{Derivation, KEY_ID_LEN};
use crate::gate::traceparent::to_hex;

pub use super::master_key::{MasterKey, MasterKeyError};

const VERSION: u8 = 1;
const HEAD_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// Where a sealed value stands. It opens there and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowName<'a> {
    pub table: &'a str,
    pub column: &'a str,
    pub key: &'a str,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    #[error("a secret was sealed under another master key")]
    OtherKey,
    #[error("a sealed secret was changed, or moved from another row")]
    Broken,
    #[error("a sealed secret has a form that this version does not know")]
    Form,
    #[error("the system has no random numbers")]
    Randomness,
}

/// Seals under the newest master key in use, and opens what any of those that are known sealed.
pub struct Seal {
    current: One,
    others: Vec<One>,
}

struct One {
    key: LessSafeKey,
    /// Tells a wrong master key from a broken value.
    id: [u8; KEY_ID_LEN],
}

impl One {
    fn under(key: &Derivation<'_>) -> Result<One, SealError> {
        let bytes = Zeroizing::new(key.derive("seal"));
        let bytes = UnboundKey::new(&AES_256_GCM, bytes.as_slice()).map_err(|_| SealError::Form)?;
        Ok(One {
            key: LessSafeKey::new(bytes),
            id: key.id(),
        })
    }
}

impl Seal {
    pub fn under(master: &MasterKey) -> Result<Seal, SealError> {
        let mut current = One::under(&master.oldest())?;
        let mut others = Vec::new();
        for (key, in_use) in master.all().skip(1) {
            let mut one = One::under(&key)?;
            if in_use {
                std::mem::swap(&mut current, &mut one);
            }
            others.push(one);
        }
        Ok(Seal { current, others })
    }

    /// Every key that opens, the one that seals first.
    fn keys(&self) -> impl Iterator<Item = &One> {
        std::iter::once(&self.current).chain(&self.others)
    }

    /// The name of the key that seals ([`MasterKey::seals_with`]).
    pub fn seals_with(&self) -> String {
        to_hex(&self.current.id)
    }

    /// The names of all keys that open.
    pub fn known(&self) -> Vec<String> {
        self.keys().map(|one| to_hex(&one.id)).collect()
    }

    /// Whether this was sealed under the key that seals now.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        sealed.get(1..=KEY_ID_LEN) == Some(&self.current.id[..])
    }

    /// `version ‖ key id ‖ nonce ‖ ciphertext ‖ tag`.
    pub fn seal(&self, plain: &[u8], row: &RowName<'_>) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError::Randomness)?;
        let mut body = Zeroizing::new(plain.to_vec());
        // Reserved, so that growing leaves no copy of the plain text behind.
        body.reserve_exact(AES_256_GCM.tag_len());
        let one = &self.current;
        one.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound_to(&one.id, row)),
                &mut *body,
            )
            .map_err(|_| SealError::Form)?;
        let mut sealed = Vec::with_capacity(HEAD_LEN + body.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&one.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    pub fn open(&self, sealed: &[u8], row: &RowName<'_>) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (head, body) = sealed.split_at_checked(HEAD_LEN).ok_or(SealError::Form)?;
        let (version, head) = head.split_first().ok_or(SealError::Form)?;
        let (id, nonce) = head.split_at_checked(KEY_ID_LEN).ok_or(SealError::Form)?;
        if *version != VERSION {
            return Err(SealError::Form);
        }
        let one = self.keys().find(|one| id == one.id);
        let one = one.ok_or(SealError::OtherKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Form)?;
        let mut plain = Zeroizing::new(body.to_vec());
        let length = one
            .key
            .open_in_place(nonce, Aad::from(bound_to(&one.id, row)), &mut plain)
            .map_err(|_| SealError::Broken)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}

/// Each part with its length before it: no two rows have the same bytes.
pub(super) fn bound_to(id: &[u8; KEY_ID_LEN], row: &RowName<'_>) -> Vec<u8> {
    let mut bound = vec![VERSION];
    bound.extend_from_slice(id);
    for part in [row.table, row.column, row.key] {
        bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound.extend_from_slice(part.as_bytes());
    }
    bound
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seal() -> Seal {
        Seal::under(&MasterKey::from_bytes([7; 32])).unwrap()
    }

    fn row<'a>(table: &'a str, column: &'a str, key: &'a str) -> RowName<'a> {
        RowName { table, column, key }
    }

    #[test]
    fn a_new_key_is_known_before_it_is_used_and_the_old_one_goes_last() {
        let old = MasterKey::from_bytes([7; 32]);
        let place = row("factors", "secret", "kim");
        let sealed = Seal::under(&old).unwrap().seal(b"secret", &place).unwrap();

        let staged = old.with_staged([8; 32]).unwrap();
        assert!(Seal::under(&staged).unwrap().is_current(&sealed));
        let used = staged.with_staged_in_use().unwrap();
        let seal = Seal::under(&used).unwrap();
        assert_eq!(
            (seal.seals_with(), seal.known().len()),
            (used.seals_with(), 2)
        );
        assert!(!seal.is_current(&sealed));
        assert_eq!(&*seal.open(&sealed, &place).unwrap(), b"secret");
        let again = seal.seal(b"secret", &place).unwrap();
        assert!(seal.is_current(&again));
        // A node that has not heard of its use yet opens it all the same.
        let behind = Seal::under(&staged).unwrap();
        assert_eq!(&*behind.open(&again, &place).unwrap(), b"secret");

        let alone = Seal::under(&used.newest_alone().unwrap()).unwrap();
        assert_eq!(alone.open(&sealed, &place), Err(SealError::OtherKey));
        assert_eq!(&*alone.open(&again, &place).unwrap(), b"secret");
    }

    #[test]
    fn another_master_key_is_told_from_a_broken_value() {
        let place = row("factors", "secret", "kim");
        let sealed = seal().seal(b"secret", &place).unwrap();
        let other = Seal::under(&MasterKey::from_bytes([8; 32])).unwrap();
        assert_eq!(other.open(&sealed, &place), Err(SealError::OtherKey));
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(seal().open(&changed, &place), Err(SealError::Broken));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let master = MasterKey::from_bytes([7; 32]);
        assert_eq!(format!("{master:?} {:?}", seal()), "MasterKey(…) Seal(…)");
    }

    proptest! {
        #[test]
        fn a_sealed_value_opens_in_its_own_row_and_in_no_other(
            plain in proptest::collection::vec(any::<u8>(), 0..80),
            here in ("[a-c]{0,3}", "[a-c]{0,3}", "[a-c:]{0,3}"),
            there in ("[a-c]{0,3}", "[a-c]{0,3}", "[a-c:]{0,3}"),
        ) {
            let (ours, theirs) = (row(&here.0, &here.1, &here.2), row(&there.0, &there.1, &there.2));
            let sealed = seal().seal(&plain, &ours).unwrap();
            prop_assert_eq!(&*seal().open(&sealed, &ours).unwrap(), &plain);
            prop_assert_eq!(seal().open(&sealed, &theirs).is_ok(), ours == theirs);
        }

        #[test]
        fn opening_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(seal().open(&bytes, &row("t", "c", "k")).is_err());
        }
    }
}
