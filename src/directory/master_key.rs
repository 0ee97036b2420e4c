//! The master key: the file of 32 bytes under which everything secret is sealed, and those that take
//! its place one day.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::gate::traceparent::to_hex;

pub(super) const KEY_ID_LEN: usize = 4;
/// The longest master key file that is read, in bytes.
const LONGEST_FILE: u64 = 4096;
/// A rotation that is never ended is a mistake.
const MOST_KEYS: usize = 8;
/// Behind a key that is known and not used yet.
const STAGED: &str = "staged";

/// One key of the file.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct One {
    bytes: [u8; 32],
    /// Known, so that what other nodes seal under it can be opened, and not yet sealed under.
    staged: bool,
}

/// The 32 bytes under which all secrets of an installation are sealed, and those that take their
/// place: a file of several lines, the oldest first. All of them open; the newest that is not `staged`
/// seals. Prints as nothing.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey {
    oldest: [u8; 32],
    newer: Vec<One>,
}

/// A key as it is derived from: for one purpose each.
pub(super) struct Derivation<'a>(&'a [u8; 32]);

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

const RULE: &str = "it must be 32 bytes, as they are or in base64 or hexadecimal, or a line of those for \
     each of up to 8 keys";

impl Derivation<'_> {
    /// A key for one purpose: HKDF-SHA256 (RFC 5869) with one block of output. Knowing it tells
    /// nothing of the master key or of any other purpose's.
    pub(super) fn derive(&self, purpose: &str) -> [u8; 32] {
        let extracted = hmac::sign(&hmac::Key::new(HMAC_SHA256, b"vestibule"), self.0);
        let mut expand = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, extracted.as_ref()));
        expand.update(purpose.as_bytes());
        expand.update(&[1]);
        let mut derived = [0; 32];
        derived.copy_from_slice(expand.sign().as_ref());
        derived
    }

    /// Tells keys apart, and tells nothing of them.
    pub(super) fn id(&self) -> [u8; KEY_ID_LEN] {
        let name = self.derive("seal key id");
        name.first_chunk().copied().unwrap_or_default()
    }
}

impl MasterKey {
    pub const fn from_bytes(bytes: [u8; 32]) -> MasterKey {
        MasterKey {
            oldest: bytes,
            newer: Vec::new(),
        }
    }

    /// Reads 32 bytes as they are, or their base64 or hexadecimal form with space around it; further
    /// keys on further lines, the last one with the word `staged` behind it until it is used.
    pub fn parse(text: &[u8]) -> Option<MasterKey> {
        if let Ok(bytes) = <[u8; 32]>::try_from(text) {
            return Some(MasterKey::from_bytes(bytes));
        }
        let mut lines = text
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty());
        let mut key = MasterKey::from_bytes(written(lines.next()?)?);
        for line in lines {
            // What stands behind a staged key would be used before it.
            if key.staged().is_some() {
                return None;
            }
            let staged = line.strip_suffix(STAGED.as_bytes());
            let bytes = written(staged.unwrap_or(line).trim_ascii())?;
            let staged = staged.is_some();
            key.newer.push(One { bytes, staged });
        }
        (key.count() <= MOST_KEYS).then_some(key)
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
                make(path, &random()).map_err(|error| MasterKeyError::Unwritable {
                    path: path.to_owned(),
                    error,
                })?;
                MasterKey::read(path)
            }
            answer => answer,
        }
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        1 + self.newer.len()
    }

    /// With one more, which is known and not yet used. `None` while another is staged, or when there
    /// are too many.
    pub fn with_staged(&self, bytes: [u8; 32]) -> Option<MasterKey> {
        if self.staged().is_some() || self.count() >= MOST_KEYS {
            return None;
        }
        let mut key = self.clone();
        key.newer.push(One {
            bytes,
            staged: true,
        });
        Some(key)
    }

    /// With the staged one in use. `None` when none is.
    pub fn with_staged_in_use(&self) -> Option<MasterKey> {
        let mut key = self.clone();
        key.newer.iter_mut().find(|one| one.staged)?.staged = false;
        Some(key)
    }

    /// Only the one that seals. `None` when there is nothing to let go of, or one is staged.
    pub fn newest_alone(&self) -> Option<MasterKey> {
        match self.newer.last() {
            Some(newest) if !newest.staged => Some(MasterKey::from_bytes(newest.bytes)),
            _ => None,
        }
    }

    /// The name of the key that is known and not used yet.
    pub fn staged(&self) -> Option<String> {
        let staged = self.newer.iter().find(|one| one.staged)?;
        Some(to_hex(&Derivation(&staged.bytes).id()))
    }

    /// The name of the key that seals: eight digits that tell nothing of it.
    pub fn seals_with(&self) -> String {
        to_hex(&self.in_use().id())
    }

    /// The key that seals.
    pub(super) fn in_use(&self) -> Derivation<'_> {
        let in_use = self.newer.iter().rev().find(|one| !one.staged);
        Derivation(in_use.map_or(&self.oldest, |one| &one.bytes))
    }

    /// What everything was derived from before keys took turns.
    pub(super) fn oldest(&self) -> Derivation<'_> {
        Derivation(&self.oldest)
    }

    /// Each key, and whether it is in use; the oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = (Derivation<'_>, bool)> {
        let newer = self
            .newer
            .iter()
            .map(|one| (Derivation(&one.bytes), !one.staged));
        std::iter::once((Derivation(&self.oldest), true)).chain(newer)
    }

    /// Takes the file's place in one step, with mode 0600 and the owner that the file had: the gateway
    /// must be able to read what an operator wrote as root.
    pub fn replace(&self, path: &Path) -> Result<(), MasterKeyError> {
        let mut text = Zeroizing::new(String::with_capacity(64 * MOST_KEYS));
        push_line(&mut text, &self.oldest, false);
        for one in &self.newer {
            push_line(&mut text, &one.bytes, one.staged);
        }
        swap(path, &text).map_err(|error| MasterKeyError::Unwritable {
            path: path.to_owned(),
            error,
        })
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

fn push_line(text: &mut String, bytes: &[u8; 32], staged: bool) {
    text.push_str(&Zeroizing::new(STANDARD.encode(bytes)));
    if staged {
        text.push(' ');
        text.push_str(STAGED);
    }
    text.push('\n');
}

fn written(text: &[u8]) -> Option<[u8; 32]> {
    let bytes = Zeroizing::new(match text.len() {
        64 => from_hex(text)?,
        _ => STANDARD.decode(text).ok()?,
    });
    bytes.as_slice().try_into().ok()
}

/// A file for its owner alone, on the disk.
fn draft_of(draft: &Path, text: &str) -> io::Result<()> {
    drop(fs::remove_file(draft));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn draft_beside(path: &Path) -> PathBuf {
    path.with_extension(format!("new-{}", std::process::id()))
}

fn swap(path: &Path, text: &str) -> io::Result<()> {
    // Where a link leads: the link itself stays.
    let path = fs::canonicalize(path)?;
    let draft = draft_beside(&path);
    let swapped = draft_of(&draft, text)
        .and_then(|()| give_to_owner_of(&path, &draft))
        .and_then(|()| fs::rename(&draft, &path));
    if swapped.is_err() {
        drop(fs::remove_file(&draft));
    }
    swapped?;
    // A key that secrets are sealed under must be there after a loss of power, too.
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(unix)]
fn give_to_owner_of(path: &Path, draft: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let (theirs, ours) = (fs::metadata(path)?, fs::metadata(draft)?);
    match (theirs.uid(), theirs.gid()) == (ours.uid(), ours.gid()) {
        true => Ok(()),
        false => chown(draft, Some(theirs.uid()), Some(theirs.gid())),
    }
}

#[cfg(not(unix))]
fn give_to_owner_of(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Written beside and then linked: nobody ever reads half a key, and of two makers one wins.
fn make(path: &Path, key: &[u8; 32]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        let mut folders = fs::DirBuilder::new();
        folders.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folders, 0o700);
        folders.create(folder)?;
    }
    let draft = draft_beside(path);
    let mut text = Zeroizing::new(String::with_capacity(64));
    push_line(&mut text, key, false);
    let linked = draft_of(&draft, &text).and_then(|()| fs::hard_link(&draft, path));
    drop(fs::remove_file(&draft));
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

#[cfg(unix)]
fn refuse_open_to_others(path: &Path, metadata: &fs::Metadata) -> Result<(), MasterKeyError> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = metadata.mode() & 0o7777;
    let us = rustix::process::geteuid().as_raw();
    if is_kept(mode, metadata.uid(), us) {
        Ok(())
    } else {
        Err(MasterKeyError::Open {
            path: path.to_owned(),
            mode,
        })
    }
}

/// Ours alone; or the system's, which lets our group read it and nobody else: so Kubernetes mounts a
/// Secret for a pod with an fsGroup, and nothing in the pod could change that.
#[cfg(unix)]
fn is_kept(mode: u32, owner: u32, us: u32) -> bool {
    let ours_alone = mode & 0o077 == 0;
    let handed_in = owner == 0 && us != 0 && mode & 0o037 == 0;
    ours_alone || handed_in
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

    use super::*;

    #[test]
    fn a_file_that_the_system_hands_to_our_group_is_kept() {
        for (mode, owner, kept) in [
            (0o600, 10_001, true),
            (0o400, 0, true),
            (0o440, 0, true),
            (0o640, 0, true),
            // A group that could write it, everybody, or a group of our own making.
            (0o660, 0, false),
            (0o444, 0, false),
            (0o440, 10_001, false),
            (0o440, 1_000, false),
        ] {
            assert_eq!(is_kept(mode, owner, 10_001), kept, "{mode:o} of {owner}");
        }
        assert!(!is_kept(0o440, 0, 0), "root's own is root's alone");
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
        assert_eq!(Derivation(&[9; 32]).derive("a purpose"), expected);
    }

    #[test]
    fn a_master_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/master.key");
        let made = MasterKey::read_or_make(&path, || [5; 32]).unwrap();
        assert_eq!(made.oldest, [5; 32]);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let read = MasterKey::read_or_make(&path, || [6; 32]).unwrap();
        assert_eq!(read.oldest, [5; 32]);
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
            assert_eq!(MasterKey::parse(form).unwrap().oldest, bytes);
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

    #[test]
    fn keys_take_turns_and_are_written_a_line_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let first = MasterKey::read_or_make(&path, || [7; 32]).unwrap();
        assert_eq!((first.count(), first.staged()), (1, None));
        assert!(first.newest_alone().is_none() && first.with_staged_in_use().is_none());
        first.with_staged([8; 32]).unwrap().replace(&path).unwrap();

        let staged = MasterKey::read(&path).unwrap();
        assert_eq!(staged.count(), 2);
        assert_eq!(staged.seals_with(), first.seals_with());
        assert!(staged.with_staged([9; 32]).is_none() && staged.newest_alone().is_none());
        staged.with_staged_in_use().unwrap().replace(&path).unwrap();

        let used = MasterKey::read(&path).unwrap();
        assert_eq!(Some(used.seals_with()), staged.staged());
        assert_eq!(used.oldest, [7; 32]);
        assert_eq!(used.newest_alone().unwrap().oldest, [8; 32]);
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft");
    }

    #[test]
    fn a_file_of_several_keys_is_read_whole_or_not_at_all() {
        let key = |byte: u8| STANDARD.encode([byte; 32]);
        let many: String = (1..=9).map(|byte| key(byte) + "\n").collect();
        for wrong in [
            "staged",
            "short\n",
            &format!("{} staged", key(1)),
            &format!("{}\nshort", key(1)),
            &format!("{}\n{} stagged", key(1), key(2)),
            &format!("{}\n{} staged\n{}", key(1), key(2), key(3)),
            &many,
        ] {
            assert!(MasterKey::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
        let fine = format!("\n {}\r\n{}\n{}  staged\n", key(1), key(2), key(3));
        assert_eq!(MasterKey::parse(fine.as_bytes()).unwrap().count(), 3);
    }

    #[test]
    fn a_link_to_the_key_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("master.key"));
        let first = MasterKey::read_or_make(&real, || [7; 32]).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        first.with_staged([8; 32]).unwrap().replace(&link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(MasterKey::read(&real).unwrap().count(), 2);
    }
}
