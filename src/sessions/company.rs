//! Which company a session is at work for, in each product.

use std::sync::Arc;

use crate::gate::name::{CompanyId, ProductId, SessionId};
use crate::gate::session::{Entry, Session, Tenancy, Token};
use crate::gate::time::Moment;

use super::Sessions;
use super::store::StoreError;

impl Sessions {
    /// Makes another company the current one in `product`, or of the primary account (`None`).
    /// `tenancy` is what the account has by the directory, now. `None` when the session has ended,
    /// was never there, or the company is not one of the account's.
    pub async fn work_for(
        &self,
        id: SessionId,
        product: Option<&ProductId>,
        company: &CompanyId,
        tenancy: &Tenancy,
        now: Moment,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        self.work_at((id, None), (product, company, tenancy), now)
            .await
    }

    /// The same, asked for by a page of the product `host`: its cookie there is another one with it,
    /// which no node takes that knows only the company before. So the change holds from this
    /// browser's next request on, also where its announcement has not come yet.
    pub async fn work_for_from(
        &self,
        host: &ProductId,
        id: SessionId,
        product: Option<&ProductId>,
        (company, tenancy): (&CompanyId, &Tenancy),
        now: Moment,
    ) -> Result<Option<(Arc<Session>, Option<Token>)>, StoreError> {
        let session = self
            .work_at((id, Some(host)), (product, company, tenancy), now)
            .await?;
        Ok(session.map(|session| {
            let token = session.entries.get(host).map(|entry| {
                let secret = self.product_token(&session, host, entry.generation);
                Token::Session { id, secret }
            });
            (session, token)
        }))
    }

    async fn work_at(
        &self,
        (id, host): (SessionId, Option<&ProductId>),
        (product, company, tenancy): (Option<&ProductId>, &CompanyId, &Tenancy),
        now: Moment,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let Some(wanted) = tenancy.clone().at(company) else {
            return Ok(None);
        };
        let mut done = false;
        let session = self
            .change(id, now, |session| {
                let changed = match product {
                    None => {
                        done = true;
                        let same =
                            session.company == wanted.current && session.companies == wanted.all;
                        session.company = wanted.current.clone();
                        session.companies = wanted.all.clone();
                        !same
                    }
                    Some(product) => {
                        done = session.entries.get(product).is_some();
                        done && settle_at(session, product, &wanted)
                    }
                };
                if let (true, Some(host)) = (changed, host) {
                    self.renew_token(session, host);
                }
                changed
            })
            .await?
            .filter(|_| done);
        if let Some(session) = &session {
            self.leave_trace(session, now).await;
        }
        Ok(session)
    }

    fn renew_token(&self, session: &mut Session, product: &ProductId) {
        let Some(entry) = session.entries.get(product) else {
            return;
        };
        let generation = entry.generation.saturating_add(1);
        let token = self.product_token(session, product, generation).hash();
        let entry = Entry {
            token,
            generation,
            ..entry.clone()
        };
        session.entries.insert(product.clone(), entry);
    }
}

fn settle_at(session: &mut Session, product: &ProductId, tenancy: &Tenancy) -> bool {
    let Some(entry) = session.entries.get(product) else {
        return false;
    };
    if entry.tenancy.as_ref() == Some(tenancy) {
        return false;
    }
    let entry = Entry {
        tenancy: Some(tenancy.clone()),
        ..entry.clone()
    };
    session.entries.insert(product.clone(), entry);
    true
}
