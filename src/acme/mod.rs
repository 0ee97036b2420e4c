//! Certificates from an authority that speaks ACME (RFC 8555): the account, an order, the proof that a
//! name is ours, and where what comes of it is kept. When something is ordered is the gate's
//! ([`renewal`](crate::gate::renewal)); who orders it and shows it to visitors, the app's.
//!
//! The protocol is `instant-acme`'s: kept by the people who keep rustls, with the cryptography of the
//! rest of the house and a client of ours below it ([`wire`]). Its own client has no deadline and no
//! bound.
//!
//! Every name gets a certificate of its own. A name that can't be proven holds up no other, and browsers
//! don't send one product's requests over a connection made for another (RFC 9113, 9.1.1), which
//! would be answered with 421.

mod account;
mod bundle;
mod notes;
mod order;
mod proofs;
mod shelf;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

pub use account::Desk;
pub use bundle::Bundle;
pub use notes::{Noted, Notes};
pub use proofs::Proofs;
pub use shelf::Shelf;

/// How much of what an authority says is repeated, in characters.
const LONGEST_WORDS: usize = 400;

/// Why no certificate came. The messages are for the operator and hold no secret.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The authority says no.
    #[error("the authority refuses: {0}")]
    Refused(String),
    /// It says that we ask too often.
    #[error("the authority wants fewer orders: {0}")]
    Limited(String),
    /// It does not know our account any more.
    #[error("the authority does not know the account: {0}")]
    Unknown(String),
    #[error("the authority can't be asked: {0}")]
    Unavailable(String),
    #[error("the authority was not done within {} s", .0.as_secs())]
    Late(Duration),
    #[error("what the authority gave can't be used: {0}")]
    Unusable(String),
    #[error("{path}: {problem}", path = path.display())]
    File { path: PathBuf, problem: String },
    #[error(transparent)]
    Store(#[from] crate::sessions::store::StoreError),
}

impl From<instant_acme::Error> for AcmeError {
    fn from(error: instant_acme::Error) -> AcmeError {
        match error {
            instant_acme::Error::Api(problem) => {
                let said = plain(&problem.to_string());
                match problem.r#type.as_deref() {
                    Some("urn:ietf:params:acme:error:rateLimited") => AcmeError::Limited(said),
                    Some("urn:ietf:params:acme:error:accountDoesNotExist") => {
                        AcmeError::Unknown(said)
                    }
                    _ => AcmeError::Refused(said),
                }
            }
            other => AcmeError::Unavailable(plain(&other.to_string())),
        }
    }
}

/// What somebody else wrote, fit for a line of a log.
fn plain(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(LONGEST_WORDS).map(printable).collect()
}

#[cfg(test)]
mod tests;
