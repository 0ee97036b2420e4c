//! The signed assertion that a backend can check on its own: a JWT by ES256 (RFC 7515, RFC 7518).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use zeroize::Zeroizing;

use crate::gate::identity::Claims;
use crate::gate::time::Moment;

/// A new key is published for so long before it signs: backends fetch the key set now and then.
/// A retired key must stay in the set for the life of an assertion at least.
pub const PUBLICATION_DELAY: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
pub enum AssertionError {
    #[error("there is no key to sign assertions with")]
    NoKey,
    #[error("the signing key {0:?} is not a P-256 key in PKCS #8")]
    WrongKey(String),
    #[error("the assertion could not be signed")]
    Unsigned,
}

/// A private key as it is kept. Prints as nothing but its name.
#[derive(Clone)]
pub struct SigningKey {
    /// The `kid`.
    pub id: String,
    pub pkcs8: Zeroizing<Vec<u8>>,
    pub created_at: Moment,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Makes a P-256 key, in PKCS #8.
pub fn generate_key() -> Result<Zeroizing<Vec<u8>>, AssertionError> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map(|document| Zeroizing::new(document.as_ref().to_vec()))
        .map_err(|_| AssertionError::Unsigned)
}

/// Signs assertions and publishes what they are checked with.
pub struct Assertions {
    /// Newest first.
    keys: ArcSwap<Vec<Key>>,
}

struct Key {
    id: String,
    /// The JOSE header, encoded: the same for each assertion.
    head: String,
    pair: EcdsaKeyPair,
    created_at: Moment,
}

impl Assertions {
    /// Refuses an empty list and a key that is not one.
    pub fn new(keys: Vec<SigningKey>) -> Result<Assertions, AssertionError> {
        Ok(Assertions {
            keys: ArcSwap::from_pointee(read_keys(&keys)?),
        })
    }

    /// Takes over another set of keys; the set in force stays when this one is refused.
    pub fn replace_keys(&self, keys: Vec<SigningKey>) -> Result<(), AssertionError> {
        self.keys.store(Arc::new(read_keys(&keys)?));
        Ok(())
    }

    /// Signs with the newest key that has been published for long enough at `claims.iat`.
    pub fn sign(&self, claims: &Claims<'_>) -> Result<String, AssertionError> {
        let keys = self.keys.load();
        let key = signer(&keys, Moment::from_secs(claims.iat)).ok_or(AssertionError::NoKey)?;
        let body = serde_json::to_vec(claims).map_err(|_| AssertionError::Unsigned)?;
        let mut token = String::with_capacity(key.head.len() + body.len() * 4 / 3 + 96);
        token.push_str(&key.head);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&body, &mut token);
        let signature = key
            .pair
            .sign(&SystemRandom::new(), token.as_bytes())
            .map_err(|_| AssertionError::Unsigned)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }

    /// The key set (RFC 7517) at `/.well-known/vestibule/jwks.json`: every key, also those that do
    /// not sign yet or any more.
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<serde_json::Value> = self.keys.load().iter().map(Key::jwk).collect();
        json!({ "keys": keys })
    }
}

fn signer(keys: &[Key], now: Moment) -> Option<&Key> {
    keys.iter()
        .find(|key| key.created_at.plus(PUBLICATION_DELAY) <= now)
        // None has been known for long enough: the oldest has been for longest.
        .or_else(|| keys.last())
}

fn read_keys(keys: &[SigningKey]) -> Result<Vec<Key>, AssertionError> {
    let mut read = keys
        .iter()
        .map(Key::read)
        .collect::<Result<Vec<Key>, AssertionError>>()?;
    if read.is_empty() {
        return Err(AssertionError::NoKey);
    }
    read.sort_by_key(|key| std::cmp::Reverse(key.created_at));
    Ok(read)
}

impl Key {
    fn read(key: &SigningKey) -> Result<Key, AssertionError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.pkcs8)
            .map_err(|_| AssertionError::WrongKey(key.id.clone()))?;
        let head = json!({ "alg": "ES256", "typ": "JWT", "kid": key.id }).to_string();
        Ok(Key {
            id: key.id.clone(),
            head: URL_SAFE_NO_PAD.encode(head),
            pair,
            created_at: key.created_at,
        })
    }

    fn jwk(&self) -> serde_json::Value {
        // An uncompressed point: 4, x, y (SEC 1, 2.3.3).
        let point = self.pair.public_key().as_ref();
        let part =
            |from: usize| URL_SAFE_NO_PAD.encode(point.get(from..from + 32).unwrap_or_default());
        json!({
            "kty": "EC",
            "crv": "P-256",
            "use": "sig",
            "alg": "ES256",
            "kid": self.id,
            "x": part(1),
            "y": part(33),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::name::SessionId;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

    fn key(id: &str, created_at: i64) -> SigningKey {
        SigningKey {
            id: id.to_owned(),
            pkcs8: generate_key().unwrap(),
            created_at: Moment::from_secs(created_at),
        }
    }

    fn claims(iat: i64) -> Claims<'static> {
        Claims {
            iss: "https://login.localhost",
            aud: "https://emr.localhost",
            sub: "kim",
            account: "kim",
            company: "acme",
            amr: vec!["pwd"],
            auth_time: iat - 5,
            iat,
            exp: iat + 300,
            sid: SessionId::from_bytes([7; 16]),
        }
    }

    fn kid(assertions: &Assertions, iat: i64) -> String {
        let token = assertions.sign(&claims(iat)).unwrap();
        decode_header(&token).unwrap().kid.unwrap()
    }

    #[test]
    fn an_assertion_is_checked_with_the_published_key() {
        let assertions = Assertions::new(vec![key("a", 0)]).unwrap();
        let token = assertions.sign(&claims(10_000)).unwrap();
        let head = decode_header(&token).unwrap();
        assert_eq!(
            (head.alg, head.typ.as_deref()),
            (Algorithm::ES256, Some("JWT"))
        );

        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(assertions.jwks()).unwrap();
        let published = DecodingKey::from_jwk(set.find("a").unwrap()).unwrap();
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&["https://emr.localhost"]);
        rules.validate_exp = false;
        let read = decode::<serde_json::Value>(&token, &published, &rules)
            .unwrap()
            .claims;
        assert_eq!(read["sub"], "kim");
        assert_eq!(read["exp"], 10_300);

        let other = Assertions::new(vec![key("a", 0)]).unwrap();
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(other.jwks()).unwrap();
        let wrong = DecodingKey::from_jwk(set.find("a").unwrap()).unwrap();
        assert!(decode::<serde_json::Value>(&token, &wrong, &rules).is_err());
    }

    #[test]
    fn a_new_key_is_published_before_it_signs() {
        let (old, new) = (key("old", 0), key("new", 10_000));
        let assertions = Assertions::new(vec![old.clone()]).unwrap();
        assert_eq!(kid(&assertions, 1), "old", "the only key signs at once");

        assertions.replace_keys(vec![old, new]).unwrap();
        assert_eq!(assertions.jwks()["keys"].as_array().unwrap().len(), 2);
        assert_eq!(kid(&assertions, 10_599), "old");
        assert_eq!(kid(&assertions, 10_600), "new");
    }

    #[test]
    fn a_set_that_is_refused_leaves_the_old_one_in_force() {
        let assertions = Assertions::new(vec![key("a", 0)]).unwrap();
        let wrong = SigningKey {
            pkcs8: Zeroizing::new(vec![1, 2, 3]),
            ..key("b", 0)
        };
        assert!(matches!(
            assertions.replace_keys(vec![wrong]),
            Err(AssertionError::WrongKey(_))
        ));
        assert!(matches!(
            assertions.replace_keys(vec![]),
            Err(AssertionError::NoKey)
        ));
        assert_eq!(kid(&assertions, 10_000), "a");
    }
}
