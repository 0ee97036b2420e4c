//! What is shown to an authority that asks whether a name is ours. It stands in the store that all nodes
//! share: the authority asks whichever node the balancer picks.
//!
//! | state | holds |
//! |---|---|
//! | `acme-http:TOKEN` | the text for `http-01` (RFC 8555, 8.3); no secret |
//! | `acme-alpn:HOST` | the digest for `tls-alpn-01` (RFC 8737, 3); no secret |

use std::sync::Arc;
use std::time::Duration;

use crate::gate::host::Host;
use crate::gate::time::Moment;
use crate::sessions::store::{Store, StoreError};

/// An order does not take longer.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// The longest token that is looked for. Authorities' have 43 (RFC 8555, 8.3: at least 22).
const LONGEST_TOKEN: usize = 128;

#[derive(Clone)]
pub struct Proofs {
    store: Arc<dyn Store>,
}

/// A proof that hangs out, to be taken in again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    key: String,
    value: Vec<u8>,
}

impl Proof {
    /// `None` for a token that is none.
    pub fn over_http(token: &str, text: &str) -> Option<Proof> {
        Some(Proof {
            key: http_key(token)?,
            value: text.as_bytes().to_vec(),
        })
    }

    pub fn in_handshake(host: &Host, digest: &[u8]) -> Proof {
        Proof {
            key: alpn_key(host),
            value: digest.to_vec(),
        }
    }
}

impl Proofs {
    pub fn new(store: Arc<dyn Store>) -> Proofs {
        Proofs { store }
    }

    pub async fn hang_out(&self, proof: &Proof, now: Moment) -> Result<(), StoreError> {
        self.store.take_state(&proof.key, now).await?;
        let fresh = self
            .store
            .swap_state(&proof.key, None, Some(&proof.value), LIFE, now);
        fresh.await.map(drop)
    }

    pub async fn take_in(&self, proof: &Proof, now: Moment) -> Result<(), StoreError> {
        self.store.take_state(&proof.key, now).await.map(drop)
    }

    /// What is answered on `/.well-known/acme-challenge/TOKEN`.
    pub async fn over_http(&self, token: &str, now: Moment) -> Result<Option<String>, StoreError> {
        let Some(key) = http_key(token) else {
            return Ok(None);
        };
        let found = self.store.state(&key, now).await?;
        Ok(found.and_then(|text| String::from_utf8(text).ok()))
    }

    /// What stands in the certificate of a handshake for `acme-tls/1`.
    pub async fn in_handshake(
        &self,
        host: &Host,
        now: Moment,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        let found = self.store.state(&alpn_key(host), now).await?;
        Ok(found.and_then(|digest| digest.try_into().ok()))
    }
}

/// Strangers ask too: what is no token reaches no store.
fn http_key(token: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let sound = (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(plain);
    sound.then(|| format!("acme-http:{token}"))
}

fn alpn_key(host: &Host) -> String {
    format!("acme-alpn:{host}")
}
