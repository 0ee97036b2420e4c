//! Applications that take `Authorization: Basic` (RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::site::{Caller, Site};
use super::{Failure, Verdict};
use crate::config::settings::BasicForm;
use crate::directory::TypedCredentials;
use crate::gate::time::Moment;

/// The header's value. A name with a colon can't be sent: it would be read as another name.
pub fn header(credentials: &TypedCredentials) -> Option<HeaderValue> {
    if credentials.username.contains(':') {
        return None;
    }
    let pair = Zeroizing::new(format!(
        "{}:{}",
        credentials.username,
        credentials.password.as_str()
    ));
    let written = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&written).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Tries the credentials at a page that asks for some.
///
/// # Errors
/// When it can't be said whether they are right.
pub async fn try_at(
    site: &Site,
    basic: &BasicForm,
    credentials: &TypedCredentials,
    caller: &Caller,
    now: Moment,
) -> Result<Verdict, Failure> {
    let Some(header) = header(credentials) else {
        return Ok(Verdict::Wrong);
    };
    let conversation = async {
        let (mut talk, place) = site.talk(caller, now).await?;
        let inside = talk
            .site()
            .at(&basic.inside)
            .ok_or_else(|| Failure::unusable("its path is no address"))?;
        // A page that opens for everybody would make every password right.
        match talk.get(&inside).await?.status {
            401 => {}
            status @ 500.. => return Err(Failure::status(status)),
            _ => {
                return Err(Failure::unusable(
                    "`inside` opens without a password: name a page that does not",
                ));
            }
        }
        talk.basic = Some(header);
        let status = talk.get(&inside).await?.status;
        drop(place);
        match status {
            // Locked out, or forbidden: a page that did not open proves nobody.
            401 | 403 => Ok(Verdict::Wrong),
            200..=399 => Ok(Verdict::Right),
            _ => Err(Failure::status(status)),
        }
    };
    match timeout(basic.deadline, conversation).await {
        Ok(verdict) => verdict,
        Err(_) => Err(Failure::late(basic.deadline)),
    }
}

/// Whether a page that asks for credentials opens with a header that was right before.
///
/// # Errors
/// When nobody can say, or too many ask at once.
pub async fn takes(
    site: &Site,
    basic: &BasicForm,
    header: &HeaderValue,
    caller: &Caller,
    now: Moment,
) -> Result<bool, Failure> {
    let conversation = async {
        let (mut talk, place) = site.talk_at_once(caller, now)?;
        let inside = talk
            .site()
            .at(&basic.inside)
            .ok_or_else(|| Failure::unusable("its path is no address"))?;
        talk.basic = Some(header.clone());
        let status = talk.get(&inside).await?.status;
        drop(place);
        match status {
            401 | 403 => Ok(false),
            200..=399 => Ok(true),
            _ => Err(Failure::status(status)),
        }
    };
    match timeout(basic.deadline, conversation).await {
        Ok(taken) => taken,
        Err(_) => Err(Failure::late(basic.deadline)),
    }
}
