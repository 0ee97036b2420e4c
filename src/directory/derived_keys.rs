//! Keys for one purpose each, which stay when another master key takes over: cookies, recovery codes
//! and passkeys were made with them. Derived once from the first master key, and kept sealed since.

use std::fmt;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::master_key::{Derivation, KEY_ID_LEN};
use super::pool::{Pool, Value};
use super::seal::{MasterKey, RowName, Seal, SealError, bound_to};
use super::{Directory, DirectoryError, sql};

/// What a derived key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Cookies on products' hosts.
    SessionTokens,
    /// Forms that wait for a sign-in.
    KeptForms,
    /// The portal's forms, codes and attempts, and what passkeys know people by.
    Portal,
}

const TOKENS: &str = "session tokens";
const FORMS: &str = "kept forms";
const PORTAL: &str = "portal";
const TAG: &str = "tag";
const PURPOSES: [&str; 4] = [TOKENS, FORMS, PORTAL, TAG];

/// All of them, opened. Prints as nothing.
pub(super) struct DerivedKeys {
    tokens: Zeroizing<[u8; 32]>,
    forms: Zeroizing<[u8; 32]>,
    portal: Zeroizing<[u8; 32]>,
    tag: hmac::Key,
    /// The name of the master key that `tag` comes from: it is part of every hash.
    tag_id: [u8; KEY_ID_LEN],
}

type Sealed = Vec<(String, Vec<u8>)>;

impl DerivedKeys {
    /// Opens what is kept; a directory that has none yet, from before or new, is given them.
    ///
    /// # Errors
    /// `OtherMasterKey` when they, or what else was sealed here, were sealed under another one.
    pub(super) async fn open(
        pool: &Pool,
        master: &MasterKey,
        seal: &Seal,
    ) -> Result<DerivedKeys, DirectoryError> {
        let mut found = read(pool).await?;
        if PURPOSES.iter().any(|purpose| of(&found, purpose).is_none()) {
            judge_signing_keys(pool, seal).await?;
            for purpose in PURPOSES {
                let secret = first(master, purpose);
                let sealed = seal.seal(&secret, &derived_row(purpose))?;
                let values = [Value::Text(purpose), Value::Bytes(&sealed)];
                // Of nodes that start together one is first; all read what it wrote.
                pool.write(sql::DERIVED_KEY_ADD, &values).await?;
            }
            found = read(pool).await?;
        }
        DerivedKeys::opened(&found, seal)
    }

    fn opened(found: &[(String, Vec<u8>)], seal: &Seal) -> Result<DerivedKeys, DirectoryError> {
        let open = |purpose: &str| {
            let sealed = of(found, purpose)
                .ok_or_else(|| DirectoryError::Corrupt(format!("no key for {purpose}")))?;
            seal.open(sealed, &derived_row(purpose)).map_err(blame)
        };
        let tag = open(TAG)?;
        let (tag, tag_id) = tag
            .split_last_chunk::<KEY_ID_LEN>()
            .ok_or(SealError::Form)?;
        Ok(DerivedKeys {
            tokens: whole(&open(TOKENS)?)?,
            forms: whole(&open(FORMS)?)?,
            portal: whole(&open(PORTAL)?)?,
            tag: hmac::Key::new(HMAC_SHA256, tag),
            tag_id: *tag_id,
        })
    }

    /// A keyed hash, for what is compared and never read again. Without the key it can't be tried
    /// out, so that short secrets are safe in it.
    pub(super) fn tag(&self, secret: &[u8], row: &RowName<'_>) -> String {
        let mut context = hmac::Context::with_key(&self.tag);
        context.update(&bound_to(&self.tag_id, row));
        context.update(secret);
        URL_SAFE_NO_PAD.encode(context.sign())
    }

    fn for_purpose(&self, purpose: Purpose) -> &Zeroizing<[u8; 32]> {
        match purpose {
            Purpose::SessionTokens => &self.tokens,
            Purpose::KeptForms => &self.forms,
            Purpose::Portal => &self.portal,
        }
    }
}

impl fmt::Debug for DerivedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedKeys(…)")
    }
}

impl Directory {
    /// The key for a purpose: the same on every node, whichever master key is in use.
    pub fn derived_key(&self, purpose: Purpose) -> Zeroizing<[u8; 32]> {
        self.inner.derived.for_purpose(purpose).clone()
    }

    /// Makes them anew, from the newest key of `master` that is in use, all at once; said again, it comes
    /// to the same. Who has the directory open goes on with the ones before.
    pub async fn renew_derived_keys(&self, master: &MasterKey) -> Result<(), DirectoryError> {
        let mut transaction = self.pool().begin().await?;
        transaction.write(sql::DERIVED_KEYS_FORGET, &[]).await?;
        for purpose in PURPOSES {
            let secret = from(&master.in_use(), purpose);
            let sealed = self.seal().seal(&secret, &derived_row(purpose))?;
            let values = [Value::Text(purpose), Value::Bytes(&sealed)];
            transaction.write(sql::DERIVED_KEY_ADD, &values).await?;
        }
        transaction.commit().await
    }

    /// # Errors
    /// `OtherMasterKey` when these keys don't open what this directory holds.
    pub(super) async fn judge_master_key(&self, seal: &Seal) -> Result<(), DirectoryError> {
        DerivedKeys::opened(&read(self.pool()).await?, seal).map(drop)
    }
}

/// What everything was derived from before this was kept; the tag with the name of its master key.
fn first(master: &MasterKey, purpose: &str) -> Zeroizing<Vec<u8>> {
    from(&master.oldest(), purpose)
}

fn from(key: &Derivation<'_>, purpose: &str) -> Zeroizing<Vec<u8>> {
    let mut secret = Zeroizing::new(Vec::with_capacity(32 + KEY_ID_LEN));
    secret.extend_from_slice(Zeroizing::new(key.derive(purpose)).as_slice());
    if purpose == TAG {
        secret.extend_from_slice(&key.id());
    }
    secret
}

/// A wrong master key must not leave anything of its own in a directory that is older than these
/// keys. Every directory that a gateway has run on has signing keys.
async fn judge_signing_keys(pool: &Pool, seal: &Seal) -> Result<(), DirectoryError> {
    for row in pool.rows(sql::SIGNING_KEYS, &[]).await? {
        let (id, sealed): (String, Vec<u8>) = (row.value("id")?, row.value("pkcs8")?);
        seal.open(&sealed, &super::keys::key_row(&id))
            .map_err(blame)?;
    }
    Ok(())
}

async fn read(pool: &Pool) -> Result<Sealed, DirectoryError> {
    let rows = pool.rows(sql::DERIVED_KEYS, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.value("purpose")?, row.value("secret")?)))
        .collect()
}

fn of<'a>(found: &'a [(String, Vec<u8>)], purpose: &str) -> Option<&'a [u8]> {
    let found = found.iter().find(|(of, _)| of == purpose);
    found.map(|(_, sealed)| sealed.as_slice())
}

fn whole(opened: &[u8]) -> Result<Zeroizing<[u8; 32]>, SealError> {
    <[u8; 32]>::try_from(opened)
        .map(Zeroizing::new)
        .map_err(|_| SealError::Form)
}

fn blame(error: SealError) -> DirectoryError {
    match error {
        SealError::OtherKey => DirectoryError::OtherMasterKey,
        error => error.into(),
    }
}

pub(super) fn derived_row(purpose: &str) -> RowName<'_> {
    RowName {
        table: "derived_keys",
        column: "secret",
        key: purpose,
    }
}
