//! An authority asks whether a name is ours: over plain HTTP (RFC 8555, 8.3), or in a handshake that
//! carries nothing else (RFC 8737). What it is shown is known elsewhere.

use std::sync::Arc;

use async_trait::async_trait;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::gate::host::Host;

/// Where an authority asks over HTTP; the token comes after it.
pub const HTTP_PATH: &str = "/.well-known/acme-challenge/";

/// The protocol of a handshake that is a question.
const PROTOCOL: &[u8] = b"acme-tls/1";

/// Knows what an authority is to be shown.
#[async_trait]
pub trait Witness: Send + Sync {
    /// Whether questions over HTTP are answered; otherwise their path is one like others.
    fn hears_http(&self) -> bool;

    /// The text for this token.
    async fn over_http(&self, token: &str) -> Option<String>;

    /// The digest for this host.
    async fn in_handshake(&self, host: &Host) -> Option<[u8; 32]>;
}

/// Whether a handshake is a question: it offers that protocol and no other (RFC 8737, 3).
pub fn asks(hello: &ClientHello<'_>) -> bool {
    hello
        .alpn()
        .is_some_and(|mut offered| offered.next() == Some(PROTOCOL) && offered.next().is_none())
}

/// TLS with a certificate that signs itself and holds the digest, for this one handshake. `None`:
/// the system has no randomness, or the host is no name.
pub fn answer(host: &Host, digest: [u8; 32]) -> Option<Arc<ServerConfig>> {
    let mut params = CertificateParams::new(vec![host.as_str().to_owned()]).ok()?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let key = KeyPair::generate().ok()?;
    let certificate = params.self_signed(&key).ok()?;
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // Not by `with_single_cert`: it reads the certificate, and refuses the extension, which must be
    // critical (RFC 8737, 3) and which it does not know.
    let shown = CertifiedKey::new(chain, any_supported_type(&key).ok()?);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Nobody comes back to such a handshake.
    config.send_tls13_tickets = 0;
    Some(Arc::new(config))
}
