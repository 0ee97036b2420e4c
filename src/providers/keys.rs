//! The keys that a provider signs with. They change without a word: a token under an unknown one
//! makes us look again, but not more often than is good for the provider.
//!
//! Anybody can post a token under a name that no key has (OpenID Connect Back-Channel Logout 1.0). What
//! that costs is theirs alone: sign-ins and sign-outs under a known key don't wait for it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::fetch;
use super::{Provider, ProviderError};
use crate::gate::time::Moment;

const WHAT: &str = "the provider's keys";
/// Read again after so long: a key that was taken back is not believed for ever.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// Between two fetches, whatever tokens come.
const PAUSE: Duration = Duration::from_secs(10);
/// More are not read.
const MOST: usize = 100;

/// What can be believed. Nothing with a shared secret: whoever has the public key would have it.
const BELIEVED: [(&str, Algorithm); 8] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// Public keys for signatures, as they were published.
#[derive(Debug, Default)]
pub struct Keys(Vec<Jwk>);

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// The algorithm of a token's header, if it is one that can be believed.
pub fn believed(alg: &str) -> Result<Algorithm, ProviderError> {
    let found = BELIEVED.iter().find(|(word, _)| *word == alg);
    found.map(|(_, algorithm)| *algorithm).ok_or_else(|| {
        let words: Vec<&str> = BELIEVED.iter().map(|(word, _)| *word).collect();
        let alg: String = alg.chars().filter(|c| !c.is_control()).take(20).collect();
        ProviderError::Signature(format!(
            "its alg is {alg:?}; believed are {}",
            words.join(", ")
        ))
    })
}

impl Keys {
    /// A key that can't be read is passed over: providers publish more than we know.
    pub fn read(body: &[u8]) -> Result<Keys, ProviderError> {
        let set: Set = fetch::read(WHAT, body)?;
        let published = set.keys.len();
        let readable = set
            .keys
            .into_iter()
            .take(MOST)
            .filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys: Vec<Jwk> = readable.filter(is_for_signatures).collect();
        if keys.is_empty() {
            return Err(ProviderError::Answer {
                what: WHAT,
                problem: format!(
                    "none of its {published} is a public key for signatures: kty RSA, EC or OKP, use \"sig\" or none"
                ),
            });
        }
        Ok(Keys(keys))
    }

    /// The key of this name that fits this algorithm; without a name, the only one that fits.
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let mut fitting = self.0.iter().filter(|key| {
            let named = kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid));
            named && fits(key, algorithm)
        });
        match (fitting.next(), fitting.next(), kid) {
            (Some(key), None, _) | (Some(key), Some(_), Some(_)) => DecodingKey::from_jwk(key).ok(),
            // Which of several is meant can't be known.
            (Some(_), Some(_), None) | (None, _, _) => None,
        }
    }
}

fn is_for_signatures(key: &Jwk) -> bool {
    let shared = matches!(
        key.algorithm,
        AlgorithmParameters::OctetKey(_) | AlgorithmParameters::Other(_)
    );
    let other_use = key
        .common
        .public_key_use
        .as_ref()
        .is_some_and(|used| *used != PublicKeyUse::Signature);
    !shared && !other_use
}

/// The kind of key decides which algorithms it is for, never the token alone; a key that names its
/// algorithm is for that one.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    if let Some(named) = key.common.key_algorithm
        && named.to_string() != word(algorithm)
    {
        return false;
    }
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => matches!(
            algorithm,
            Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
        ),
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => algorithm == Algorithm::ES256,
            EllipticCurve::P384 => algorithm == Algorithm::ES384,
            _ => false,
        },
        AlgorithmParameters::OctetKeyPair(_) => algorithm == Algorithm::EdDSA,
        _ => false,
    }
}

fn word(algorithm: Algorithm) -> &'static str {
    let found = BELIEVED.iter().find(|(_, known)| *known == algorithm);
    found.map_or("", |(word, _)| *word)
}

/// Who brings a token: whether it is known to come from the provider, before its signature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// Fetched from the provider itself, for a code.
    ByProvider,
    /// Posted to us by anybody.
    ByAnybody,
}

/// What is kept of a provider's keys. Nobody who brings a token under a known key waits for anything:
/// what a stranger can make us fetch must not stand before sign-ins and sign-outs.
#[derive(Default)]
pub struct Shelf {
    known: ArcSwapOption<(Keys, Moment)>,
    /// Held over a fetch: of a hundred who want one, one fetches and all hear the answer.
    tries: Mutex<Tries>,
}

#[derive(Default)]
struct Tries {
    failed: Option<(Moment, ProviderError)>,
    /// The last fetch for an unknown key, of tokens that came from the provider and of others: a
    /// stranger's don't use up those of the sign-ins.
    by_provider: Option<Moment>,
    by_anybody: Option<Moment>,
}

impl Tries {
    fn last(&mut self, brought: Brought) -> &mut Option<Moment> {
        match brought {
            Brought::ByProvider => &mut self.by_provider,
            Brought::ByAnybody => &mut self.by_anybody,
        }
    }
}

impl Shelf {
    /// The key, and whether the keys are as fresh as they need to be.
    fn look(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: Moment,
    ) -> (Option<DecodingKey>, bool) {
        let known = self.known.load();
        match known.as_deref() {
            Some((keys, at)) if now.since(*at) < FRESH => (keys.find(kid, algorithm), true),
            Some(_) | None => (None, false),
        }
    }
}

impl Provider {
    /// The key for a token, fetched again when it is unknown.
    pub(super) async fn key(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        brought: Brought,
        now: Moment,
    ) -> Result<DecodingKey, ProviderError> {
        if let (Some(key), _) = self.keys.look(kid, algorithm, now) {
            return Ok(key);
        }
        let mut tries = self.keys.tries.lock().await;
        // Somebody else fetched while this one waited.
        let (key, fresh) = self.keys.look(kid, algorithm, now);
        if let Some(key) = key {
            return Ok(key);
        }
        if let Some((at, error)) = &tries.failed
            && now.since(*at) < PAUSE
        {
            return Err(error.clone());
        }
        if fresh {
            let last = tries.last(brought);
            if last.is_some_and(|at| now.since(at) < PAUSE) {
                return Err(unknown(kid));
            }
            *last = Some(now);
        }
        match self.fetch_keys(now).await {
            Ok(keys) => {
                let key = keys.find(kid, algorithm).ok_or_else(|| unknown(kid));
                self.keys.known.store(Some(Arc::new((keys, now))));
                tries.failed = None;
                key
            }
            Err(error) => {
                // What is known of keys serves on, when it was a key unknown to us that was looked for.
                if !fresh {
                    tries.failed = Some((now, error.clone()));
                }
                Err(error)
            }
        }
    }

    async fn fetch_keys(&self, now: Moment) -> Result<Keys, ProviderError> {
        let metadata = self.metadata(now).await?;
        let body = fetch::bytes(WHAT, self.client.get(metadata.jwks_uri.clone())).await?;
        Keys::read(&body)
    }
}

fn unknown(kid: Option<&str>) -> ProviderError {
    ProviderError::Signature(match kid {
        Some(kid) => {
            let kid: String = kid.chars().filter(|c| !c.is_control()).take(60).collect();
            format!("the provider publishes no key {kid:?} for its algorithm")
        }
        None => {
            String::from("it names no key (kid), and not exactly one of the published ones fits")
        }
    })
}
