//! What came from one authority, on this node's disk: for each host a file with key and chain, and the
//! account. Nobody else's to read, and never half written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use url::Url;
use zeroize::Zeroizing;

use super::{AcmeError, Bundle};
use crate::gate::host::Host;
use crate::gate::traceparent::to_hex;

/// A file larger than this is none of ours, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// The folder of one authority: who changes `directory` keeps the old one's files and begins anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    folder: PathBuf,
    name: String,
}

impl Shelf {
    pub fn of(data_dir: &Path, directory: &str) -> Shelf {
        let url = Url::parse(directory).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let host: String = host.chars().filter(plain).collect();
        let hash = digest(&SHA256, directory.as_bytes());
        let hash = to_hex(hash.as_ref().get(..4).unwrap_or_default());
        let name = format!("{host}-{hash}");
        Shelf {
            folder: data_dir.join("acme").join(&name),
            name,
        }
    }

    /// The authority, in one word.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where a host's key and chain are, or would be.
    pub fn path(&self, host: &Host) -> PathBuf {
        self.folder.join(format!("{host}.pem"))
    }

    /// What is there for a host. A broken file is told, and is as good as none.
    pub fn read(&self, host: &Host) -> Option<Bundle> {
        let path = self.path(host);
        let found = match read_text(&path) {
            Ok(None) => return None,
            Ok(Some(text)) => Bundle::read(text, host).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(bundle) => Some(bundle),
            Err(error) => {
                tracing::error!(file = %path.display(), error, "a kept certificate can't be used");
                None
            }
        }
    }

    /// # Errors
    /// When the disk does not take it; what was there stays.
    pub fn write(&self, host: &Host, bundle: &Bundle) -> Result<(), AcmeError> {
        self.put(&self.path(host), bundle.expose())
    }

    fn account_path(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    /// # Errors
    /// When there is one that can't be read: another must not be made in its place.
    pub fn read_account(&self) -> Result<Option<Zeroizing<String>>, AcmeError> {
        let path = self.account_path();
        read_text(&path).map_err(|error| told(&path, &error))
    }

    pub fn write_account(&self, text: &str) -> Result<(), AcmeError> {
        self.put(&self.account_path(), text)
    }

    /// The authority knows it no more.
    pub fn forget_account(&self) -> Result<(), AcmeError> {
        let path = self.account_path();
        fs::remove_file(&path).map_err(|error| told(&path, &error))
    }

    fn put(&self, path: &Path, text: &str) -> Result<(), AcmeError> {
        write_privately(&self.folder, path, text.as_bytes()).map_err(|error| told(path, &error))
    }
}

fn told(path: &Path, error: &io::Error) -> AcmeError {
    AcmeError::File {
        path: path.to_owned(),
        problem: error.to_string(),
    }
}

fn read_text(path: &Path) -> io::Result<Option<Zeroizing<String>>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > LARGEST_FILE => {
            Err(io::Error::other("it is larger than 1 MiB"))
        }
        Ok(_) => fs::read_to_string(path).map(|text| Some(Zeroizing::new(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Written beside, on the disk, and then put in its place: who reads meets the old one or the new one, also
/// after the power failed.
fn write_privately(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    // Two processes work here while one takes over from the other.
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}
