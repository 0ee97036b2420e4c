//! `vestibule check`: gateway.toml, certificates and every policy; everything that is wrong, at
//! once.

use std::io::Write;
use std::path::Path;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::settings::{Backend, CertificateFiles};
use crate::config::{self, Place, Problem, Problems, Settings};
use crate::gate::time::Moment;
use crate::policies::{Base, PolicyFolder};

/// Nothing is wrong.
pub const CLEAN: u8 = 0;
/// Something is, and was said.
pub const PROBLEMS: u8 = 1;

/// Writes all problems and notices to `out`, one a line, and returns the exit code. `now` is for
/// certificates that have expired.
pub fn check(
    file: &Path,
    variables: impl Iterator<Item = (String, String)>,
    flags: &[(String, String)],
    now: Moment,
    out: &mut impl Write,
) -> std::io::Result<u8> {
    let settings = match config::load(file, variables, flags) {
        Ok(settings) => settings,
        Err(problems) => {
            writeln!(out, "{problems}")?;
            // Products are not known, so that policies can't be judged but for their absence.
            return Ok(PROBLEMS);
        }
    };
    let problems = examine(&settings, now);
    for notice in &settings.notices {
        writeln!(out, "{notice} (notice)")?;
    }
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    Ok(if problems.is_empty() { CLEAN } else { PROBLEMS })
}

/// What is wrong around settings that are right in themselves.
pub fn examine(settings: &Settings, now: Moment) -> Vec<Problem> {
    let mut problems = Vec::new();
    for files in &settings.tls.certificates {
        problems.extend(certificate(files, now).err());
    }
    for backend in &settings.backends {
        problems.extend(backend_files(backend, now));
    }
    problems.extend(policies(settings));
    problems
}

fn policies(settings: &Settings) -> Vec<Problem> {
    let base = Base {
        session: settings.session,
        rollout: settings.rollout.clone(),
        products: settings.products.clone(),
    };
    match PolicyFolder::examine(&settings.policies_dir, base) {
        Ok(()) => Vec::new(),
        Err(Problems(problems)) => problems,
    }
}

fn backend_files(backend: &Backend, now: Moment) -> Vec<Problem> {
    let client = backend
        .tls
        .client
        .as_ref()
        .and_then(|files| certificate(files, now).err());
    let ca = backend.tls.ca.as_ref().and_then(|file| chain(file).err());
    client.into_iter().chain(ca).collect()
}

/// The certificate can be read, is valid now, and the key is its own.
fn certificate(files: &CertificateFiles, now: Moment) -> Result<(), Problem> {
    let chain = chain(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| about(&files.key, format!("no private key can be read: {error}")))?;
    let key = any_supported_type(&key).map_err(|error| {
        about(
            &files.key,
            format!("the private key can't be used: {error}"),
        )
    })?;
    if let Some(leaf) = chain.first() {
        validity(&files.certificate, leaf, now)?;
    }
    match CertifiedKey::new(chain, key).keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(()),
        Err(_) => Err(about(
            &files.key,
            format!("is not the key of {}", files.certificate.display()),
        )),
    }
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let wrong = |error| about(file, format!("no certificate can be read: {error}"));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .map_err(wrong)?
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    if chain.is_empty() {
        Err(about(file, String::from("holds no certificate")))
    } else {
        Ok(chain)
    }
}

fn validity(file: &Path, leaf: &CertificateDer<'_>, now: Moment) -> Result<(), Problem> {
    let (_, parsed) = X509Certificate::from_der(leaf)
        .map_err(|error| about(file, format!("the certificate can't be read: {error}")))?;
    let validity = parsed.validity();
    if now.secs() > validity.not_after.timestamp() {
        let at = Moment::from_secs(validity.not_after.timestamp()).to_rfc3339();
        return Err(about(file, format!("the certificate expired at {at}")));
    }
    if now.secs() < validity.not_before.timestamp() {
        let at = Moment::from_secs(validity.not_before.timestamp()).to_rfc3339();
        return Err(about(
            file,
            format!("the certificate is not valid before {at}"),
        ));
    }
    Ok(())
}

fn about(file: &Path, message: String) -> Problem {
    Problem {
        place: Place::Whole { file: file.into() },
        key: String::new(),
        message,
    }
}
