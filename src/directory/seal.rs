//! Sealing of secrets at rest: AES-256-GCM under a key derived from the master key, bound to the
//! row and column where the sealed value stands.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const HEAD_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;
/// The longest master key file that is read, in bytes.
const LONGEST_FILE: u64 = 1024;

/// The 32 bytes under which all secrets of an installation are sealed. Prints as nothing.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    #[error("the master key {path} can't be read: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("the master key {path} can't be made: {error}")]
    Unwritable { path: PathBuf, error: io::Error },
    #[error("the master key {path} can be read by others (mode {mode:04o}): chmod 600 {path}")]
    Open { path: PathBuf, mode: u32 },
    #[error("the master key {path} is wrong: {rule}")]
    Wrong { path: PathBuf, rule: &'static str },
}

const RULE: &str = "it must be 32 bytes, as they are or in base64 or hexadecimal";

impl MasterKey {
    pub const fn from_bytes(bytes: [u8; 32]) -> MasterKey {
        MasterKey(bytes)
    }

    /// Reads 32 bytes as they are, or their base64 or hexadecimal form with space around it.
    pub fn parse(text: &[u8]) -> Option<MasterKey> {
        if let Ok(bytes) = <[u8; 32]>::try_from(text) {
            return Some(MasterKey(bytes));
        }
        let text = text.trim_ascii();
        let bytes = Zeroizing::new(match text.len() {
            64 => from_hex(text)?,
            _ => STANDARD.decode(text).ok()?,
        });
        bytes.as_slice().try_into().ok().map(MasterKey)
    }

    /// # Errors
    /// A missing file, one that others can read, and one that does not hold 32 bytes.
    pub fn read(path: &Path) -> Result<MasterKey, MasterKeyError> {
        let unreadable = |error| MasterKeyError::Unreadable {
            path: path.to_owned(),
            error,
        };
        let file = File::open(path).map_err(unreadable)?;
        refuse_open_to_others(path, &file.metadata().map_err(unreadable)?)?;
        let mut text = Zeroizing::new(Vec::new());
        file.take(LONGEST_FILE)
            .read_to_end(&mut text)
            .map_err(unreadable)?;
        MasterKey::parse(&text).ok_or_else(|| MasterKeyError::Wrong {
            path: path.to_owned(),
            rule: RULE,
        })
    }

    /// Reads the key, or makes it with mode 0600 when there is no file. Of two processes that
    /// start together one makes it and both read the same.
    pub fn read_or_make(
        path: &Path,
        random: impl FnOnce() -> [u8; 32],
    ) -> Result<MasterKey, MasterKeyError> {
        match MasterKey::read(path) {
            Err(MasterKeyError::Unreadable { error, .. })
                if error.kind() == io::ErrorKind::NotFound =>
            {
                make(path, &MasterKey(random())).map_err(|error| MasterKeyError::Unwritable {
                    path: path.to_owned(),
                    error,
                })?;
                MasterKey::read(path)
            }
            answer => answer,
        }
    }

    /// A key for one purpose: HKDF-SHA256 (RFC 5869) with one block of output. Knowing it tells
    /// nothing of the master key or of any other purpose's.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let extracted = hmac::sign(&hmac::Key::new(HMAC_SHA256, b"vestibule"), &self.0);
        let mut expand = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, extracted.as_ref()));
        expand.update(purpose.as_bytes());
        expand.update(&[1]);
        let mut derived = [0; 32];
        derived.copy_from_slice(expand.sign().as_ref());
        derived
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

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

/// Seals and opens.
pub struct Seal {
    key: LessSafeKey,
    tag: hmac::Key,
    /// Tells a wrong master key from a broken value.
    id: [u8; KEY_ID_LEN],
}

impl Seal {
    pub fn under(master: &MasterKey) -> Result<Seal, SealError> {
        let key = Zeroizing::new(master.derive("seal"));
        let name = master.derive("seal key id");
        let id = name.first_chunk().copied().unwrap_or_default();
        let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| SealError::Form)?;
        let tag = Zeroizing::new(master.derive("tag"));
        Ok(Seal {
            key: LessSafeKey::new(key),
            tag: hmac::Key::new(HMAC_SHA256, tag.as_slice()),
            id,
        })
    }

    /// `version ‖ key id ‖ nonce ‖ ciphertext ‖ tag`.
    pub fn seal(&self, plain: &[u8], row: &RowName<'_>) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError::Randomness)?;
        let mut body = Zeroizing::new(plain.to_vec());
        // Reserved, so that growing leaves no copy of the plain text behind.
        body.reserve_exact(AES_256_GCM.tag_len());
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.bound_to(row)),
                &mut *body,
            )
            .map_err(|_| SealError::Form)?;
        let mut sealed = Vec::with_capacity(HEAD_LEN + body.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.id);
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
        if id != self.id {
            return Err(SealError::OtherKey);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Form)?;
        let mut plain = Zeroizing::new(body.to_vec());
        let length = self
            .key
            .open_in_place(nonce, Aad::from(self.bound_to(row)), &mut plain)
            .map_err(|_| SealError::Broken)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }

    /// A keyed hash, for what is compared and never read again. Without the master key it can't be
    /// tried out, so that short secrets are safe in it.
    pub fn tag(&self, secret: &[u8], row: &RowName<'_>) -> String {
        let mut context = hmac::Context::with_key(&self.tag);
        context.update(&self.bound_to(row));
        context.update(secret);
        URL_SAFE_NO_PAD.encode(context.sign())
    }

    /// Each part with its length before it: no two rows have the same bytes.
    fn bound_to(&self, row: &RowName<'_>) -> Vec<u8> {
        let mut bound = vec![VERSION];
        bound.extend_from_slice(&self.id);
        for part in [row.table, row.column, row.key] {
            bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bound.extend_from_slice(part.as_bytes());
        }
        bound
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

/// Written beside and then linked: nobody ever reads half a key, and of two makers one wins.
fn make(path: &Path, key: &MasterKey) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        let mut folders = fs::DirBuilder::new();
        folders.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folders, 0o700);
        folders.create(folder)?;
    }
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    drop(fs::remove_file(&draft));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    let mut text = Zeroizing::new(STANDARD.encode(key.0));
    text.push('\n');
    let linked = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&draft, path));
    drop(fs::remove_file(&draft));
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

#[cfg(unix)]
fn refuse_open_to_others(path: &Path, metadata: &fs::Metadata) -> Result<(), MasterKeyError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(MasterKeyError::Open {
            path: path.to_owned(),
            mode,
        })
    }
}

#[cfg(not(unix))]
fn refuse_open_to_others(_: &Path, _: &fs::Metadata) -> Result<(), MasterKeyError> {
    Ok(())
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    text.chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    fn seal() -> Seal {
        Seal::under(&MasterKey::from_bytes([7; 32])).unwrap()
    }

    fn row<'a>(table: &'a str, column: &'a str, key: &'a str) -> RowName<'a> {
        RowName { table, column, key }
    }

    #[test]
    fn derivation_is_hkdf() {
        use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
        let prk = Salt::new(HKDF_SHA256, b"vestibule").extract(&[9; 32]);
        let mut expected = [0; 32];
        prk.expand(&[b"a purpose"], HKDF_SHA256)
            .unwrap()
            .fill(&mut expected)
            .unwrap();
        assert_eq!(MasterKey::from_bytes([9; 32]).derive("a purpose"), expected);
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

    #[test]
    fn a_master_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/master.key");
        let made = MasterKey::read_or_make(&path, || [5; 32]).unwrap();
        assert_eq!(made.0, [5; 32]);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let read = MasterKey::read_or_make(&path, || [6; 32]).unwrap();
        assert_eq!(read.0, [5; 32]);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_master_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        fs::write(&path, [5; 32]).unwrap();
        for mode in [0o644, 0o640, 0o604] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = MasterKey::read(&path).unwrap_err().to_string();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(MasterKey::read(&path).is_ok());
    }

    #[test]
    fn a_master_key_is_read_in_three_forms_and_no_other_length() {
        let bytes = [0xab; 32];
        let base64 = format!("{}\n", STANDARD.encode(bytes));
        let hex = format!("{}\n", "aB".repeat(32));
        for form in [bytes.as_slice(), base64.as_bytes(), hex.as_bytes()] {
            assert_eq!(MasterKey::parse(form).unwrap().0, bytes);
        }
        for wrong in [
            &b""[..],
            &[1; 31],
            &[1; 33],
            b"c2hvcnQ=",
            "zz".repeat(32).as_bytes(),
        ] {
            assert!(MasterKey::parse(wrong).is_none());
        }
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
