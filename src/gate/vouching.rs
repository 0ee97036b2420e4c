//! What a company's OpenID Connect provider says of somebody, judged (OpenID Connect Core 1.0,
//! section 3.1.3.7). That the signature is the provider's was established outside; what the words
//! under it are worth is decided here.
//!
//! The failures this prevents: a token made for another client (mod_auth_openidc
//! GHSA-wcvh-g65p-v576), one without an end or past it (Zitadel GHSA-wxg7-w2v3-w38g, jsonwebtoken
//! CVE-2026-25537), one asked for by another browser or another sign-in (the nonce), one whose
//! proof is older than the proof that was asked for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::session::Method;
use super::time::Moment;

/// How far the provider's clock may be from ours.
pub const SKEW: Duration = Duration::from_secs(60);

/// The longest subject: OpenID Connect Core 1.0, section 2.
const LONGEST_SUBJECT: usize = 255;

/// An id token's claims as they stand: typed, so that a moment written as text is refused and not
/// passed over.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub sub: String,
    pub aud: Audience,
    #[serde(default)]
    pub azp: Option<String>,
    pub exp: Seconds,
    pub iat: Seconds,
    #[serde(default)]
    pub nbf: Option<Seconds>,
    #[serde(default)]
    pub auth_time: Option<Seconds>,
    #[serde(default)]
    pub nonce: Option<String>,
    #[serde(default)]
    pub amr: Vec<String>,
    #[serde(default)]
    pub sid: Option<String>,
    #[serde(flatten)]
    pub contact: Contact,
}

/// What may be read from the id token or from the provider's UserInfo.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Contact {
    #[serde(default)]
    pub email: Option<String>,
    /// Some providers write it as text. Anything but a plain yes is no.
    #[serde(default)]
    pub email_verified: serde_json::Value,
}

/// One name, or a list of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Seconds since the Unix epoch; RFC 7519 allows fractions.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Seconds {
    Whole(i64),
    Parts(f64),
}

impl Seconds {
    fn moment(self) -> Moment {
        // A number from outside: far beyond any date it saturates, in the order it had.
        const LIMIT: i64 = 1 << 40;
        let secs = match self {
            Seconds::Whole(secs) => secs,
            #[allow(clippy::cast_possible_truncation)]
            Seconds::Parts(secs) => secs as i64,
        };
        Moment::from_secs(secs.clamp(-LIMIT, LIMIT))
    }
}

/// What the sign-in that is answered had asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    /// The person must have proved themselves there since; `None`: whenever.
    pub proved_since: Option<Moment>,
}

/// What a provider vouched for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vouched {
    /// How, as backends are told; [`Method::Provider`] first.
    pub methods: Vec<Method>,
    /// When a second factor was proved there, if one was.
    pub factor_at: Option<Moment>,
}

/// Why a token is not believed. The messages are for the operator, who can mend most of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the id token's claims can't be read: {0}")]
    Unreadable(String),
    #[error(
        "the id token's iss is {came:?}, and {wanted:?} is configured: both must be the same to the letter"
    )]
    Issuer { came: String, wanted: String },
    #[error(
        "the id token's aud does not hold our client_id {wanted:?}: it was made for another client"
    )]
    Audience { wanted: String },
    #[error("the id token's azp is {came:?} and not our client_id {wanted:?}")]
    AuthorizedParty { came: String, wanted: String },
    #[error("the id token's aud names several clients and azp is missing")]
    NoAuthorizedParty,
    #[error(
        "the id token ended {0} seconds ago: compare the clocks of the provider and of this machine"
    )]
    Expired(u64),
    #[error(
        "the id token is from {0} seconds in the future: compare the clocks of the provider and of this machine"
    )]
    Future(u64),
    #[error("the id token's nonce is not the one that was sent: it belongs to another sign-in")]
    Nonce,
    #[error("the id token's sub is empty or longer than 255 bytes")]
    Subject,
    #[error("a new proof was asked for (max_age), and the id token has no auth_time")]
    NoAuthTime,
    #[error("a new proof was asked for, and the provider's is {0} seconds too old")]
    Stale(u64),
}

impl Claims {
    /// # Errors
    /// `Unreadable`, which names the claim and not its value: it may be personal.
    pub fn read(json: &[u8]) -> Result<Claims, Refusal> {
        let value: serde_json::Value = serde_json::from_slice(json)
            .map_err(|_| Refusal::Unreadable(String::from("they are not JSON")))?;
        let text = |key: &str| value.get(key).is_some_and(serde_json::Value::is_string);
        let number = |key: &str| value.get(key).is_none_or(serde_json::Value::is_number);
        for key in ["iss", "sub"] {
            if !text(key) {
                let what = match value.get(key) {
                    None => "missing",
                    Some(_) => "not text",
                };
                return Err(Refusal::Unreadable(format!("{key} is {what}")));
            }
        }
        for key in ["exp", "iat"] {
            if value.get(key).is_none() {
                return Err(Refusal::Unreadable(format!("{key} is missing")));
            }
        }
        for key in ["exp", "iat", "nbf", "auth_time"] {
            if !number(key) {
                return Err(Refusal::Unreadable(format!("{key} is not a number")));
            }
        }
        serde_json::from_value(value).map_err(|_| {
            Refusal::Unreadable(String::from("aud, amr, nonce or sid has a wrong form"))
        })
    }

    /// Every check of section 3.1.3.7 that is not about the signature.
    ///
    /// # Errors
    /// The first one that fails.
    pub fn judge(&self, asked: &Asked<'_>, now: Moment) -> Result<(), Refusal> {
        if self.iss != asked.issuer {
            return Err(Refusal::Issuer {
                came: shortened(&self.iss),
                wanted: asked.issuer.to_owned(),
            });
        }
        self.judge_audience(asked.client_id)?;
        let late = now.since(self.exp.moment());
        if late > SKEW {
            return Err(Refusal::Expired(late.as_secs()));
        }
        for begin in [Some(self.iat), self.nbf, self.auth_time]
            .into_iter()
            .flatten()
        {
            let early = begin.moment().since(now);
            if early > SKEW {
                return Err(Refusal::Future(early.as_secs()));
            }
        }
        // Not of constant time: who compares has the nonce in their own token already.
        if self.nonce.as_deref() != Some(asked.nonce) {
            return Err(Refusal::Nonce);
        }
        if self.sub.is_empty() || self.sub.len() > LONGEST_SUBJECT {
            return Err(Refusal::Subject);
        }
        let Some(since) = asked.proved_since else {
            return Ok(());
        };
        let proved = self.auth_time.ok_or(Refusal::NoAuthTime)?.moment();
        let old = since.since(proved);
        if old > SKEW {
            return Err(Refusal::Stale(old.as_secs()));
        }
        Ok(())
    }

    fn judge_audience(&self, client_id: &str) -> Result<(), Refusal> {
        let wanted = || client_id.to_owned();
        let several = match &self.aud {
            Audience::One(one) if one == client_id => false,
            Audience::Several(all) if all.iter().any(|one| one == client_id) => all.len() > 1,
            Audience::One(_) | Audience::Several(_) => {
                return Err(Refusal::Audience { wanted: wanted() });
            }
        };
        match &self.azp {
            Some(azp) if azp != client_id => Err(Refusal::AuthorizedParty {
                came: shortened(azp),
                wanted: wanted(),
            }),
            None if several => Err(Refusal::NoAuthorizedParty),
            Some(_) | None => Ok(()),
        }
    }

    /// What stands behind the sign-in. `believe_factor`: whether the provider's word for a second
    /// factor is taken.
    pub fn vouched(&self, believe_factor: bool, now: Moment) -> Vouched {
        let factor = believe_factor && shows_factor(&self.amr);
        let proved_at = self.auth_time.unwrap_or(self.iat).moment().min(now);
        let mut methods = vec![Method::Provider];
        if self.amr.iter().any(|word| word == "pwd") {
            methods.push(Method::Pwd);
        }
        if factor {
            let told: Vec<Method> = self.amr.iter().filter_map(|word| factor_of(word)).collect();
            if told.is_empty() {
                methods.push(Method::Mfa);
            }
            for method in told {
                if !methods.contains(&method) {
                    methods.push(method);
                }
            }
        }
        Vouched {
            methods,
            factor_at: factor.then_some(proved_at),
        }
    }
}

impl Contact {
    /// The address, if the provider says that it was verified.
    pub fn verified_email(&self) -> Option<&str> {
        let verified = match &self.email_verified {
            serde_json::Value::Bool(yes) => *yes,
            serde_json::Value::String(text) => text == "true",
            _ => false,
        };
        let email = self.email.as_deref()?.trim();
        (verified && email.contains('@')).then_some(email)
    }
}

/// A provider's word that somebody signed out there (OpenID Connect Back-Channel Logout 1.0,
/// section 2.4).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LogoutClaims {
    iss: String,
    aud: Audience,
    iat: Seconds,
    exp: Option<Seconds>,
    sub: Option<String>,
    events: serde_json::Map<String, serde_json::Value>,
    nonce: Option<serde_json::Value>,
}

/// What a logout token must be about, or an id token would do as well.
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Section 2.6: without an end of its own, it is worth something for so long.
const LOGOUT_LIFE: Duration = Duration::from_secs(120);

impl LogoutClaims {
    /// # Errors
    /// `Unreadable`.
    pub fn read(json: &[u8]) -> Result<LogoutClaims, Refusal> {
        let unreadable = |_| Refusal::Unreadable(String::from("it is no logout token"));
        serde_json::from_slice(json).map_err(unreadable)
    }

    /// Who signed out.
    ///
    /// # Errors
    /// The first check that fails. A token that names a session only is not understood.
    pub fn judge(&self, issuer: &str, client_id: &str, now: Moment) -> Result<&str, Refusal> {
        if self.iss != issuer {
            return Err(Refusal::Issuer {
                came: shortened(&self.iss),
                wanted: issuer.to_owned(),
            });
        }
        let ours = match &self.aud {
            Audience::One(one) => one == client_id,
            Audience::Several(all) => all.iter().any(|one| one == client_id),
        };
        if !ours {
            return Err(Refusal::Audience {
                wanted: client_id.to_owned(),
            });
        }
        let begun = self.iat.moment();
        let early = begun.since(now);
        if early > SKEW {
            return Err(Refusal::Future(early.as_secs()));
        }
        let end = self
            .exp
            .map_or_else(|| begun.plus(LOGOUT_LIFE), Seconds::moment);
        let late = now.since(end);
        if late > SKEW {
            return Err(Refusal::Expired(late.as_secs()));
        }
        if self.nonce.is_some() || !self.events.contains_key(LOGOUT) {
            return Err(Refusal::Unreadable(String::from("it is no logout token")));
        }
        let sub = self.sub.as_deref().filter(|sub| !sub.is_empty());
        sub.ok_or(Refusal::Subject)
    }
}

/// Kinds of proof (NIST SP 800-63B-4): what one knows, has, is. RFC 8176 has the words.
const KNOWN: [&str; 3] = ["pwd", "pin", "kba"];
const HAD: [&str; 8] = ["otp", "sms", "tel", "hwk", "swk", "pop", "sc", "fido"];
const BORN_WITH: [&str; 6] = ["face", "fpt", "iris", "retina", "vbm", "bio"];

/// Whether these are the words of two proofs of different kinds. One word alone is one proof,
/// however good; `mfa` is the provider's own word for it.
pub fn shows_factor(amr: &[String]) -> bool {
    let any = |kind: &[&str]| amr.iter().any(|word| kind.contains(&word.as_str()));
    let kinds = [any(&KNOWN), any(&HAD), any(&BORN_WITH)];
    amr.iter().any(|word| word == "mfa") || kinds.iter().filter(|held| **held).count() > 1
}

fn factor_of(word: &str) -> Option<Method> {
    match word {
        "otp" => Some(Method::Otp),
        "sms" | "tel" => Some(Method::Sms),
        "hwk" | "swk" | "pop" | "sc" | "fido" => Some(Method::Hwk),
        _ => None,
    }
}

/// For a message: what a stranger wrote is cut.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests;
