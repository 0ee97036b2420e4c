//! What an operator reads when a provider answers wrongly: every file of `tests/broken/oidc` beside
//! the message that it gets.

use super::ProviderError;
use super::keys::Keys;
use super::metadata::Metadata;
use crate::gate::time::Moment;
use crate::gate::vouching::{Asked, Claims};

#[path = "../../tests/support/samples.rs"]
mod samples;

const ISSUER: &str = "https://id.acme.test";

/// By what the file's name begins with.
fn judged(name: &str, body: &[u8]) -> Result<(), ProviderError> {
    match name.split('-').next().unwrap() {
        "discovery" => Metadata::read(body, ISSUER).map(drop),
        "keys" => Keys::read(body).map(drop),
        "token" => {
            let token = std::str::from_utf8(body).unwrap().trim();
            super::tokens::unsigned(token).map(drop)
        }
        kind @ ("claims" | "fresh") => {
            // A step-up asks for a proof from just now.
            let since = Moment::from_secs(1_789_999_900);
            let asked = Asked {
                issuer: ISSUER,
                client_id: "vestibule",
                nonce: "n1",
                proved_since: (kind == "fresh").then_some(since),
            };
            let claims = Claims::read(body)?;
            claims.judge(&asked, Moment::from_secs(1_790_000_000))?;
            Ok(())
        }
        other => panic!("what is a {other:?}?"),
    }
}

#[test]
fn every_broken_answer_has_its_message() {
    let mut all = Vec::new();
    for sample in samples::of("oidc") {
        let said = match judged(samples::name(&sample), &std::fs::read(&sample).unwrap()) {
            Ok(()) => String::from("nothing is wrong"),
            Err(error) => error.to_string(),
        };
        all.push((sample, said));
    }
    assert!(all.len() >= 12, "{} samples", all.len());
    samples::compare("oidc", &all);
}
