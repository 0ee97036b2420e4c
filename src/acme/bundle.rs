//! A key and the chain of certificates for it, as one text: written in one step, they never part.

use std::fmt;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

use super::AcmeError;
use crate::gate::host::Host;
use crate::gate::renewal::Term;
use crate::gate::time::Moment;

/// How far the authority's clock may be before ours.
const SKEW: Duration = Duration::from_secs(3600);

/// Prints as nothing: there is a private key in it.
pub struct Bundle {
    pem: Zeroizing<String>,
    term: Term,
}

impl Bundle {
    /// Reads what was written, or put together, for this host.
    ///
    /// # Errors
    /// When it can't be read, the key is another's, or the host is not among its names.
    pub fn read(pem: Zeroizing<String>, host: &Host) -> Result<Bundle, AcmeError> {
        let unusable = |problem: String| AcmeError::Unusable(problem);
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| unusable(format!("the chain: {error}")))?;
        let leaf = chain
            .first()
            .cloned()
            .ok_or_else(|| unusable(String::from("it holds no certificate")))?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| unusable(format!("the key: {error}")))?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(|error| unusable(format!("key and certificate don't fit: {error}")))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf)
            .map_err(|error| unusable(error.to_string()))?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let named = names.is_some_and(|names| {
            let mut names = names.value.general_names.iter();
            names.any(|name| matches!(name, GeneralName::DNSName(name) if name.eq_ignore_ascii_case(host.as_str())))
        });
        if !named {
            return Err(unusable(format!("it does not name {host}")));
        }
        let validity = parsed.validity();
        Ok(Bundle {
            term: Term {
                begins: Moment::from_secs(validity.not_before.timestamp()),
                ends: Moment::from_secs(validity.not_after.timestamp()),
            },
            pem,
        })
    }

    /// What an authority gave for a key of ours.
    ///
    /// # Errors
    /// As [`read`](Bundle::read), and when it does not hold now.
    pub fn made(key: &str, chain: &str, host: &Host, now: Moment) -> Result<Bundle, AcmeError> {
        let mut pem = Zeroizing::new(String::with_capacity(key.len() + chain.len() + 1));
        pem.push_str(key);
        if !key.ends_with('\n') {
            pem.push('\n');
        }
        pem.push_str(chain);
        let bundle = Bundle::read(pem, host)?;
        if bundle.holds(now) {
            Ok(bundle)
        } else {
            Err(AcmeError::Unusable(format!(
                "it holds from {} to {}, and now it is {}",
                bundle.term.begins.to_rfc3339(),
                bundle.term.ends.to_rfc3339(),
                now.to_rfc3339()
            )))
        }
    }

    pub fn term(&self) -> Term {
        self.term
    }

    /// Whether it can be shown to visitors; an authority's clock may be ahead of ours.
    pub fn holds(&self, now: Moment) -> bool {
        self.term.begins <= now.plus(SKEW) && now < self.term.ends
    }

    /// The key first, then the chain from the leaf on.
    pub fn expose(&self) -> &str {
        &self.pem
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("term", &self.term)
            .finish_non_exhaustive()
    }
}
