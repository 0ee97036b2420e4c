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

use super::Sessions;
use super::store::StoreError;

/// Longer than a night: the form that was left open in the evening is sent in the morning.
const AFTERWARDS: Duration = Duration::from_secs(24 * 60 * 60);

/// A product's cookie is renewed each time that the product was idle: never so often.
const GENERATIONS: u32 = 256;

#[derive(Serialize, Deserialize)]
struct Trace {
    owner: Owner,
    /// Of products whose account works for another company than the owner's.
    #[serde(default)]
    companies: BTreeMap<ProductId, CompanyId>,
    seed: SecretHash,
}

fn key(id: SessionId) -> String {
    format!("trace:{id}")
}

impl Sessions {
    /// Writes down whose session this is. What goes wrong costs a kept form, never a sign-in.
    pub(super) async fn leave_trace(&self, session: &Session, now: Moment) {
        if let Err(error) = self.try_leave_trace(session, now).await {
            tracing::warn!(%error, "whose session it is could not be written down");
        }
    }

    async fn try_leave_trace(&self, session: &Session, now: Moment) -> Result<(), StoreError> {
        let trace = Trace {
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
        };
        let written =
            serde_json::to_vec(&trace).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let key = key(session.id);
        // A session begins with version 1: nothing was there before.
        let before = match session.version {
            1 => None,
            _ => self.store.state(&key, now).await?,
        };
        let end = session
            .started_at
            .plus(self.parts.policies.load().session.maximum + AFTERWARDS);
        self.store
            .swap_state(&key, before.as_deref(), Some(&written), end.since(now), now)
            .await
            .map(drop)
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
