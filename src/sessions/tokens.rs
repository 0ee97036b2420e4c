//! The values of cookies.
//!
//! The portal's is random. A product's is derived, so that ten tabs that enter at once are given
//! the same cookie although stores hold hashes only: each node that knows the key can make it
//! again, and nobody can who has read the store (HMAC-SHA256, RFC 2104).

use std::sync::Arc;

use aws_lc_rs::hmac::{self, HMAC_SHA256};

use crate::gate::name::{ProductId, SessionId};
use crate::gate::session::{Secret, SecretHash};

/// Fills the slice with random bytes, fit for secrets.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What product tokens are derived with: from the master key, the same on every node, never in a
/// store.
#[derive(Clone)]
pub struct TokenKey(hmac::Key);

impl TokenKey {
    pub fn new(bytes: &[u8; 32]) -> TokenKey {
        TokenKey(hmac::Key::new(HMAC_SHA256, bytes))
    }

    /// The secret of a session's cookie on a product's host.
    pub fn product(
        &self,
        session: SessionId,
        product: &ProductId,
        generation: u32,
        seed: &SecretHash,
    ) -> Secret {
        let mut mac = hmac::Context::with_key(&self.0);
        // Every part but the product has a fixed length, and the product is behind its own: no two
        // different inputs are the same bytes.
        let length = u8::try_from(product.as_str().len()).unwrap_or(u8::MAX);
        mac.update(b"vestibule product token");
        mac.update(&[length]);
        mac.update(product.as_str().as_bytes());
        mac.update(session.as_bytes());
        mac.update(&generation.to_be_bytes());
        mac.update(seed.as_bytes());
        let mut secret = [0; 32];
        secret.copy_from_slice(mac.sign().as_ref());
        Secret::from_bytes(secret)
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

pub fn fresh_id(random: &Random) -> SessionId {
    let mut bytes = [0; 16];
    random(&mut bytes);
    SessionId::from_bytes(bytes)
}

pub fn fresh_secret(random: &Random) -> Secret {
    let mut bytes = [0; 32];
    random(&mut bytes);
    Secret::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: u8, session: u8, product: &str, generation: u32, seed: u8) -> String {
        let seed = Secret::from_bytes([seed; 32]).hash();
        TokenKey::new(&[key; 32])
            .product(
                SessionId::from_bytes([session; 16]),
                &ProductId::parse(product).unwrap(),
                generation,
                &seed,
            )
            .expose()
    }

    #[test]
    fn a_product_token_depends_on_everything_it_is_made_of() {
        let token_of = token(1, 2, "emr", 0, 3);
        assert_eq!(token_of, token(1, 2, "emr", 0, 3));
        for other in [
            token(9, 2, "emr", 0, 3),
            token(1, 9, "emr", 0, 3),
            token(1, 2, "billing", 0, 3),
            token(1, 2, "emr", 1, 3),
            token(1, 2, "emr", 0, 9),
        ] {
            assert_ne!(token_of, other);
        }
    }
}
