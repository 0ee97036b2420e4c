//! What an operator reads when a provider answers wrongly: every file of `tests/broken/oidc` beside
//! the message that it gets.

use std::path::Path;

use super::ProviderError;
use super::keys::Keys;
use super::metadata::Metadata;
use crate::gate::time::Moment;
use crate::gate::vouching::{Asked, Claims};

const ISSUER: &str = "https://id.acme.test";

/// By what the file's name begins with.
fn judged(name: &str, body: &[u8]) -> Result<(), ProviderError> {
    match name.split('-').next().unwrap() {
        "discovery" => Metadata::read(body, ISSUER).map(drop),
        "keys" => Keys::read(body).map(drop),
        "claims" => {
            let asked = Asked {
                issuer: ISSUER,
                client_id: "vestibule",
                nonce: "n1",
                proved_since: None,
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken/oidc");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        let said = match judged(&name, &std::fs::read(&path).unwrap()) {
            Ok(()) => String::from("nothing is wrong"),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected.trim_end(), "{name}");
        seen += 1;
    }
    assert!(seen >= 12, "{seen} samples");
}
