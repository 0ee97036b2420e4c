//! Whose signature a token has.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::keys::{Brought, believed};
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

/// The three parts of a token, as they stand.
struct Parts<'a> {
    head: &'a str,
    payload: &'a str,
    /// What is signed.
    message: &'a str,
    signature: &'a str,
}

fn wrong(text: &str) -> ProviderError {
    ProviderError::Signature(text.to_owned())
}

impl Parts<'_> {
    fn of(token: &str) -> Result<Parts<'_>, ProviderError> {
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
        Ok(Parts {
            head,
            payload,
            message,
            signature,
        })
    }

    fn payload(&self) -> Result<Vec<u8>, ProviderError> {
        URL_SAFE_NO_PAD
            .decode(self.payload)
            .map_err(|_| wrong("its payload can't be read"))
    }
}

/// What a token says that nobody has been found to have signed: good for refusing it, and for nothing
/// else.
pub(super) fn unsigned(token: &str) -> Result<Vec<u8>, ProviderError> {
    Parts::of(token)?.payload()
}

impl Provider {
    /// The payload of a token that this provider signed. Nothing in it is judged yet.
    pub(super) async fn signed(
        &self,
        token: &str,
        brought: Brought,
        now: Moment,
    ) -> Result<Vec<u8>, ProviderError> {
        let parts = Parts::of(token)?;
        let head = URL_SAFE_NO_PAD
            .decode(parts.head)
            .ok()
            .and_then(|head| serde_json::from_slice::<Head>(&head).ok())
            .ok_or_else(|| wrong("its header can't be read"))?;
        if head.crit.is_some() {
            return Err(wrong(
                "its header has extensions that must be understood (crit)",
            ));
        }
        let algorithm = believed(&head.alg)?;
        let key = self
            .key(head.kid.as_deref(), algorithm, brought, now)
            .await?;
        let message = parts.message.as_bytes();
        let good = jsonwebtoken::crypto::verify(parts.signature, message, &key, algorithm);
        if !matches!(good, Ok(true)) {
            return Err(wrong("the signature does not fit the published key"));
        }
        parts.payload()
    }
}
