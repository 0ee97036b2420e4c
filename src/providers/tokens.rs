//! Whose signature a token has.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::keys::believed;
use super::{Provider, ProviderError};
use crate::gate::time::Moment;

/// The longest token, in bytes.
const LONGEST: usize = 32 * 1024;

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515, section 4.1.11): we know none.
    crit: Option<serde_json::Value>,
}

impl Provider {
    /// The payload of a token that this provider signed. Nothing in it is judged yet.
    pub(super) async fn signed(&self, token: &str, now: Moment) -> Result<Vec<u8>, ProviderError> {
        let wrong = |text: &str| ProviderError::Signature(text.to_owned());
        if token.len() > LONGEST {
            return Err(ProviderError::Signature(format!(
                "it is longer than {LONGEST} bytes"
            )));
        }
        let (message, signature) = token
            .rsplit_once('.')
            .ok_or_else(|| wrong("it has not three parts"))?;
        let (head, payload) = message
            .split_once('.')
            .filter(|(_, payload)| !payload.contains('.'))
            .ok_or_else(|| {
                wrong("it has not three parts (an encrypted token has five: have it signed only)")
            })?;
        let head = URL_SAFE_NO_PAD
            .decode(head)
            .ok()
            .and_then(|head| serde_json::from_slice::<Head>(&head).ok())
            .ok_or_else(|| wrong("its header can't be read"))?;
        if head.crit.is_some() {
            return Err(wrong(
                "its header has extensions that must be understood (crit)",
            ));
        }
        let algorithm = believed(&head.alg)?;
        let key = self.key(head.kid.as_deref(), algorithm, now).await?;
        let good = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, algorithm);
        if !matches!(good, Ok(true)) {
            return Err(wrong("the signature does not fit the published key"));
        }
        URL_SAFE_NO_PAD
            .decode(payload)
            .map_err(|_| wrong("its payload can't be read"))
    }
}
