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
use crate::config::{self, Place, Problem, Problems, ProductIds, Settings};
use crate::gate::time::Moment;
use crate::policies::PolicyFolder;

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
    let variables: Vec<(String, String)> = variables.collect();
    let settings = match config::load(file, variables.iter().cloned(), flags) {
        Ok(settings) => settings,
        Err(problems) => {
            writeln!(out, "{problems}")?;
            let rest = config::survey(file, variables.into_iter(), flags);
            let files = rest.certificates.iter();
            let files = files.filter_map(|files| certificate(files, now).err());
            let authorities = rest.authorities.iter().filter_map(|file| chain(file).err());
            let policies = policies(&rest.policies_dir, rest.products);
            for problem in files.chain(authorities).chain(policies) {
                writeln!(out, "{problem}")?;
            }
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
    let acme_ca = settings.tls.acme.as_ref().and_then(|acme| acme.ca.as_ref());
    problems.extend(acme_ca.and_then(|file| chain(file).err()));
    for backend in &settings.backends {
        problems.extend(backend_files(backend, now));
    }
    let ids = settings.products.iter().map(|product| product.id.clone());
    problems.extend(policies(&settings.policies_dir, ProductIds::of(ids)));
    problems
}

fn policies(dir: &Path, products: ProductIds) -> Vec<Problem> {
    match PolicyFolder::examine(dir, products) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_secs(1_795_000_000);

    fn checked(file: &Path) -> (u8, String) {
        let mut out = Vec::new();
        let code = check(file, std::iter::empty(), &[], NOW, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    /// A copy of the repository's configuration, with one thing changed.
    fn copy(change: impl FnOnce(&Path)) -> (u8, String) {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::create_dir(folder.path().join("policies")).unwrap();
        for name in [
            "gateway.toml",
            "policies/default.toml",
            "policies/acme-rehab.toml",
        ] {
            std::fs::copy(from.join(name), folder.path().join(name)).unwrap();
        }
        change(folder.path());
        let (code, out) = checked(&folder.path().join("gateway.toml"));
        (
            code,
            out.replace(&format!("{}/", folder.path().display()), ""),
        )
    }

    fn edit(file: &Path, from: &str, to: &str) {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(file, text.replacen(from, to, 1)).unwrap();
    }

    #[test]
    fn the_repositorys_configuration_is_clean() {
        assert_eq!(copy(|_| ()), (CLEAN, String::new()));
    }

    #[test]
    fn problems_of_every_file_are_told_together() {
        let (code, out) = copy(|folder| {
            edit(&folder.join("gateway.toml"), "needs_grant", "needs_grants");
            edit(&folder.join("policies/acme-rehab.toml"), "within", "withn");
            edit(
                &folder.join("policies/default.toml"),
                "\"company\"",
                "\"on\"",
            );
        });
        assert_eq!(code, PROBLEMS);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 4, "{out}");
        assert!(lines[0].starts_with("gateway.toml:"), "{out}");
        assert!(
            lines[0].ends_with("unknown key, did you mean 'needs_grant'?"),
            "{out}"
        );
        assert!(
            out.contains("rules.withn: unknown key, did you mean 'within'?"),
            "{out}"
        );
        assert!(
            out.contains("policies/default.toml:7:8: mfa.mode: unknown value"),
            "{out}"
        );
    }

    #[test]
    fn certificates_and_hosts_are_told_with_all_the_rest() {
        let (code, out) = copy(|folder| {
            let file = folder.join("gateway.toml");
            let certificates =
                "certificates = [{ certificate = \"site.pem\", key = \"site.key\" }]\n[portal]\n";
            edit(&file, "[portal]\n", certificates);
            edit(&file, "needs_grant", "needs_grants");
            edit(&file, "https://billing.localhost", "https://emr.localhost");
            edit(&folder.join("policies/acme-rehab.toml"), "within", "withn");
        });
        assert_eq!(code, PROBLEMS);
        for wanted in [
            "unknown key, did you mean 'needs_grant'?",
            "products.billing.url: the host emr.localhost is already that of the product emr",
            "site.pem: no certificate can be read",
            "rules.withn: unknown key, did you mean 'within'?",
        ] {
            assert!(out.contains(wanted), "{wanted}\n{out}");
        }
    }

    #[test]
    fn what_is_no_toml_is_told_at_once_too() {
        let (code, out) = copy(|folder| {
            let file = folder.join("gateway.toml");
            edit(&file, "title = \"Clinic", "title = Clinic");
            edit(&file, "idle = \"8h\"", "idle \"8h\"");
            edit(&file, "needs_grant = true", "needs_grant =");
            edit(&folder.join("policies/acme-rehab.toml"), "within", "withn");
        });
        assert_eq!(code, PROBLEMS);
        let lines: Vec<&str> = out.lines().collect();
        // And the policy's two: the key that is misspelt, and the one that is missing by that.
        assert_eq!(lines.len(), 5, "{out}");
        assert!(
            lines[..3]
                .iter()
                .all(|line| line.starts_with("gateway.toml:")),
            "{out}"
        );
        assert!(lines[3].starts_with("policies/acme-rehab.toml:"), "{out}");
    }

    #[test]
    fn certificates_are_read_too() {
        let certificates =
            "certificates = [{ certificate = \"site.pem\", key = \"site.key\" }]\n[portal]\n";
        let (code, out) =
            copy(|folder| edit(&folder.join("gateway.toml"), "[portal]\n", certificates));
        assert_eq!(code, PROBLEMS);
        assert!(
            out.starts_with("site.pem: no certificate can be read: "),
            "{out}"
        );

        let generate = || {
            let made = rcgen::generate_simple_self_signed(vec![String::from("localhost")]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        };
        let (certificate, key) = generate();
        let with = |certificate: &str, key: &str| {
            copy(|folder| {
                edit(&folder.join("gateway.toml"), "[portal]\n", certificates);
                std::fs::write(folder.join("site.pem"), certificate).unwrap();
                std::fs::write(folder.join("site.key"), key).unwrap();
            })
        };
        assert_eq!(with(&certificate, &key), (CLEAN, String::new()));
        let (code, out) = with(&certificate, &generate().1);
        assert_eq!(
            (code, out.as_str()),
            (PROBLEMS, "site.key: is not the key of site.pem\n")
        );
    }
}
