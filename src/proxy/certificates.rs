//! Certificates by name, reloaded when their files change.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

use crate::config::settings::{CertificateFiles, TlsMinimum};
use crate::gate::time::Moment;

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{path}: {reason}", path = path.display())]
    File { path: PathBuf, reason: String },
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The certificates in force. The last good ones stay when a file becomes unreadable.
#[derive(Debug)]
pub struct Certificates {
    files: ArcSwap<Vec<CertificateFiles>>,
    current: Arc<ArcSwap<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what comes after the `*`, dot included.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    expiries: Vec<(String, Moment)>,
    stamps: Vec<Option<SystemTime>>,
}

/// Chooses by SNI. A name that no certificate has gets none: the handshake ends.
#[derive(Debug)]
struct BySni(Arc<ArcSwap<Table>>);

impl Certificates {
    pub fn read(files: Vec<CertificateFiles>) -> Result<Certificates, CertificateError> {
        let table = Table::read(&files)?;
        Ok(Certificates {
            files: ArcSwap::from_pointee(files),
            current: Arc::new(ArcSwap::from_pointee(table)),
        })
    }

    /// Reads the files again if one of them changed; says whether it did.
    pub fn reload(&self) -> Result<bool, CertificateError> {
        let files = self.files.load();
        if stamps(&files) == self.current.load().stamps {
            return Ok(false);
        }
        self.current.store(Arc::new(Table::read(&files)?));
        Ok(true)
    }

    /// Takes over others, which were read already.
    pub fn replace(&self, others: Certificates) {
        self.files.store(others.files.load_full());
        self.current.store(others.current.load_full());
    }

    /// Whether these are the files in use.
    pub fn are(&self, files: &[CertificateFiles]) -> bool {
        self.files.load().as_slice() == files
    }

    /// The first name that each certificate is shown for, and when it ends.
    pub fn expiries(&self) -> Vec<(String, Moment)> {
        self.current.load().expiries.clone()
    }

    pub fn covers(&self, host: &str) -> bool {
        self.current.load().find(host).is_some()
    }

    /// TLS 1.2 and 1.3 as configured, HTTP/2 and HTTP/1.1, tickets for resumption.
    pub fn server_config(
        &self,
        minimum: TlsMinimum,
    ) -> Result<Arc<ServerConfig>, CertificateError> {
        let versions: &[&rustls::SupportedProtocolVersion] = match minimum {
            TlsMinimum::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsMinimum::V1_3 => &[&rustls::version::TLS13],
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(BySni(Arc::clone(&self.current))));
        // The provider's order, AES-256 first, whatever a client would like best.
        config.ignore_client_order = true;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        // Early data can be replayed (RFC 8470): none.
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().find(hello.server_name()?)
    }
}

impl Table {
    fn read(files: &[CertificateFiles]) -> Result<Table, CertificateError> {
        let mut table = Table {
            stamps: stamps(files),
            ..Table::default()
        };
        for pair in files {
            let (key, names, expiry) = read_pair(pair)?;
            let mut label = None;
            for name in names {
                // The first certificate for a name wins: the file's order is the operator's.
                let (shelf, place) = match name.strip_prefix('*') {
                    Some(rest) => (&mut table.wildcard, rest.to_owned()),
                    None => (&mut table.exact, name.clone()),
                };
                if let Entry::Vacant(free) = shelf.entry(place) {
                    free.insert(Arc::clone(&key));
                    label.get_or_insert(name);
                }
            }
            // One that is never shown has no end that matters.
            table.expiries.extend(label.map(|name| (name, expiry)));
        }
        Ok(table)
    }

    fn find(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if let Some(key) = self.exact.get(&host) {
            return Some(Arc::clone(key));
        }
        // A wildcard stands for one label (RFC 9525, 6.3).
        let dot = host.find('.')?;
        self.wildcard.get(host.get(dot..)?).map(Arc::clone)
    }
}

fn stamps(files: &[CertificateFiles]) -> Vec<Option<SystemTime>> {
    files
        .iter()
        .flat_map(|pair| [&pair.certificate, &pair.key])
        .map(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
        .collect()
}

type Pair = (Arc<CertifiedKey>, Vec<String>, Moment);

fn read_pair(files: &CertificateFiles) -> Result<Pair, CertificateError> {
    let fail = |path: &Path, reason: String| CertificateError::File {
        path: path.to_owned(),
        reason,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| fail(&files.certificate, error.to_string()))?;
    let first = chain
        .first()
        .ok_or_else(|| fail(&files.certificate, String::from("holds no certificate")))?
        .clone();
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| fail(&files.key, error.to_string()))?;
    let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|error| fail(&files.key, format!("does not fit its certificate: {error}")))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&first)
        .map_err(|error| fail(&files.certificate, error.to_string()))?;
    let names: Vec<String> = parsed
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| {
            extension
                .value
                .general_names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                    _ => None,
                })
                .collect()
        })
        .unwrap_or_default();
    if names.is_empty() {
        return Err(fail(
            &files.certificate,
            String::from("names no host (subjectAltName)"),
        ));
    }
    let expiry = Moment::from_secs(parsed.validity().not_after.timestamp());
    Ok((Arc::new(key), names, expiry))
}

/// A certificate for development, signed by itself, for these hosts: made under `folder` when it
/// is not there, or is for other hosts. `now` and the key come from outside.
pub fn development(folder: &Path, hosts: &[String]) -> Result<CertificateFiles, CertificateError> {
    let files = CertificateFiles {
        certificate: folder.join("development.pem"),
        key: folder.join("development.key"),
    };
    let kept = Certificates::read(vec![files.clone()])
        .is_ok_and(|kept| hosts.iter().all(|host| kept.covers(host)));
    if kept {
        return Ok(files);
    }
    let fail = |reason: String| CertificateError::File {
        path: files.certificate.clone(),
        reason,
    };
    let made = rcgen::generate_simple_self_signed(hosts.to_vec())
        .map_err(|error| fail(error.to_string()))?;
    fs::create_dir_all(folder).map_err(|error| fail(error.to_string()))?;
    fs::write(&files.certificate, made.cert.pem()).map_err(|error| fail(error.to_string()))?;
    let _ = fs::remove_file(&files.key);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&files.key)
        .and_then(|mut file| file.write_all(made.signing_key.serialize_pem().as_bytes()))
        .map_err(|error| fail(error.to_string()))?;
    Ok(files)
}
