//! Whose a session was, for a day after it is over: what a browser sends with the cookie of an
//! ended session can then be kept for its owner, and for nobody else. It opens nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gate::facts::{Presented, Site};
use crate::gate::kept::Owner;
use crate::gate::name::{CompanyId, ProductId, SessionId};
use crate::gate::session::{SecretHash, Session, Token};
use crate::gate::time::Moment;

use super::store::StoreError;
use super::{EndCause, Sessions};

/// Longer than a night: the form that was left open in the evening is sent in the morning.
const AFTERWARDS: Duration = Duration::from_secs(24 * 60 * 60);

/// A product's cookie is renewed each time that the product was idle: never so often.
const GENERATIONS: u32 = 256;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Trace {
    owner: Owner,
    /// Of products whose account works for another company than the owner's.
    #[serde(default)]
    companies: BTreeMap<ProductId, CompanyId>,
    seed: SecretHash,
    /// Why it is over, where time ended it: whoever comes first is told by the record itself, and takes
    /// it away.
    #[serde(default)]
    ended: Option<EndCause>,
}

impl Trace {
    fn of(session: &Session) -> Trace {
        Trace {
            owner: Owner {
                person: session.person.id.clone(),
                company: session.company.clone(),
            },
            companies: session
                .entries
                .iter()
                .map(|(product, entry)| (product.clone(), session.company_of(entry).clone()))
                .filter(|(_, company)| *company != session.company)
                .collect(),
            seed: session.seed,
            ended: None,
        }
    }

    /// What was written last, where it can be read: who notes an end may know an older state of the
    /// session, and a form that comes next would be kept for another company.
    fn ended(written: Option<&[u8]>, known: Trace, cause: EndCause) -> Trace {
        let written = written.and_then(|written| serde_json::from_slice(written).ok());
        Trace {
            ended: Some(cause),
            ..written.unwrap_or(known)
        }
    }
}

fn key(id: SessionId) -> String {
    format!("trace:{id}")
}

impl Sessions {
    /// Writes down whose session this is. What goes wrong costs a kept form, never a sign-in.
    pub(super) async fn leave_trace(&self, session: &Session, now: Moment) {
        if let Err(error) = self.try_leave_trace(session, None, now).await {
            tracing::warn!(%error, "whose session it is could not be written down");
        }
    }

    /// Adds why it is over. What goes wrong costs the reason on the page, never an end.
    pub(super) async fn note_end(&self, session: &Session, cause: EndCause, now: Moment) {
        if let Err(error) = self.try_leave_trace(session, Some(cause), now).await {
            tracing::warn!(%error, "why a session ended could not be written down");
        }
    }

    async fn try_leave_trace(
        &self,
        session: &Session,
        ended: Option<EndCause>,
        now: Moment,
    ) -> Result<(), StoreError> {
        let key = key(session.id);
        // A session begins with version 1: nothing was there before.
        let before = match (session.version, ended) {
            (1, None) => None,
            _ => self.store.state(&key, now).await?,
        };
        let known = Trace::of(session);
        let trace = match ended {
            Some(cause) => Trace::ended(before.as_deref(), known, cause),
            None => known,
        };
        let written =
            serde_json::to_vec(&trace).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let end = session
            .started_at
            .plus(self.parts.policies.load().session.maximum + AFTERWARDS);
        self.store
            .swap_state(&key, before.as_deref(), Some(&written), end.since(now), now)
            .await
            .map(drop)
    }

    /// Why the session of this cookie is over, if time ended it. Ids can't be guessed, and nothing else
    /// is told.
    pub async fn why_ended(
        &self,
        presented: &Presented,
        now: Moment,
    ) -> Result<Option<EndCause>, StoreError> {
        let Presented::Token(Token::Session { id, .. }) = presented else {
            return Ok(None);
        };
        let Some(written) = self.store.state(&key(*id), now).await? else {
            return Ok(None);
        };
        let trace: Trace = serde_json::from_slice(&written)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(trace.ended)
    }

    /// Whose session it was that a product's cookie belonged to, and its id; `None` for a cookie
    /// that was never ours.
    pub async fn whose(
        &self,
        presented: &Presented,
        site: &Site,
        now: Moment,
    ) -> Result<Option<(SessionId, Owner)>, StoreError> {
        let (Presented::Token(Token::Session { id, secret }), Site::Product(product)) =
            (presented, site)
        else {
            return Ok(None);
        };
        let Some(written) = self.store.state(&key(*id), now).await? else {
            return Ok(None);
        };
        let mut trace: Trace = serde_json::from_slice(&written)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let theirs = (0..GENERATIONS).any(|generation| {
            self.parts
                .token_key
                .product(*id, &product.id, generation, &trace.seed)
                .hash()
                .matches(secret)
        });
        if let Some(company) = trace.companies.remove(&product.id) {
            trace.owner.company = company;
        }
        Ok(theirs.then_some((*id, trace.owner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::name::PersonId;
    use crate::gate::session::Secret;

    fn trace(company: &str, there: &[(&str, &str)]) -> Trace {
        Trace {
            owner: Owner {
                person: PersonId::parse("kim").unwrap(),
                company: CompanyId::parse(company).unwrap(),
            },
            companies: there
                .iter()
                .map(|(product, company)| {
                    let product = ProductId::parse(product).unwrap();
                    (product, CompanyId::parse(company).unwrap())
                })
                .collect(),
            seed: Secret::from_bytes([7; 32]).hash(),
            ended: None,
        }
    }

    #[test]
    fn who_notes_an_end_changes_nothing_else() {
        let written = trace("beta", &[("billing", "gamma")]);
        let bytes = serde_json::to_vec(&written).unwrap();
        let older = || trace("acme", &[]);
        let noted = Trace::ended(Some(&bytes), older(), EndCause::Idle);
        let ended = Some(EndCause::Idle);
        assert_eq!(noted, Trace { ended, ..written });
        for lost in [None, Some(&b"?"[..])] {
            let noted = Trace::ended(lost, older(), EndCause::Idle);
            assert_eq!(noted, Trace { ended, ..older() });
        }
    }
}
