//! Applications that are signed in to for people: what [`gateway`](super::gateway)'s hooks do about
//! it. The application's session cookie comes and goes between here and the application; the
//! browser never has it.

use std::sync::Arc;

use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE, LOCATION, SET_COOKIE, USER_AGENT, WWW_AUTHENTICATE};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, Session};
use pingora::{Error, ErrorType, Result};

use super::gateway::{Gateway, Passage, http2};
use super::refuse::{self, Answer, Manner};
use super::way_in;
use crate::gate::decide::Permit;
use crate::gate::facts::Facts;
use crate::gate::product::{Accounts, Product};
use crate::gate::session::Known;
use crate::gate::time::Moment;
use crate::legacy::{Caller, Claim, Failure, Grip, Heard, NotReady, SignOns};

/// The application was signed in to again: the request goes to it once more.
const AGAIN: ErrorType = ErrorType::Custom("signed on again");
/// It can't be signed in to: see [`Signed::lost`].
const LOST: ErrorType = ErrorType::Custom("sign-on lost");

/// One request's part in a sign-on.
pub struct Signed {
    claim: Claim,
    grip: Arc<Grip>,
    path: String,
    /// It was done again for this request: once is enough.
    again: bool,
    lost: Option<Lost>,
}

enum Lost {
    NotReady(NotReady),
    /// A new sign-in did not help.
    InVain,
}

pub fn is_again(error: &Error) -> bool {
    *error.etype() == AGAIN
}

impl Signed {
    /// Adds what the application knows the person by, over whatever the browser sent in its place.
    pub fn put_on(&self, upstream: &mut RequestHeader) -> Result<()> {
        if let Some(header) = self.grip.authorization() {
            upstream.insert_header(AUTHORIZATION, header.clone())?;
        }
        let browsers = upstream.headers.get(COOKIE).map(HeaderValue::as_bytes);
        let line = self.grip.cookies(browsers.unwrap_or_default(), &self.path);
        match line {
            None => {}
            Some(line) if line.is_empty() => {
                upstream.remove_header(&COOKIE);
            }
            Some(line) => {
                if let Ok(mut value) = HeaderValue::from_bytes(&line) {
                    value.set_sensitive(true);
                    upstream.insert_header(COOKIE, value)?;
                }
            }
        }
        Ok(())
    }
}

impl Gateway {
    /// Signs in to the application that the request goes to; false: the request is answered.
    pub(super) async fn sign_on(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        claim: Claim,
        (permit, facts, known): (&Permit, &Facts, &Known),
        now: Moment,
    ) -> Result<bool> {
        let product = permit.product();
        let path = facts.target.path();
        if passage.scene.sign_ons.is_page(product, path) {
            // Nobody types there any more, and its cookies would go to the browser.
            let answer = Answer::redirect(&format!("{}/", product.origin), None);
            return self.answer(session, passage, answer).await.map(|_| false);
        }
        match passage.scene.sign_ons.ready(&claim).await {
            Ok(grip) => {
                passage.signed = Some(Box::new(Signed {
                    claim,
                    grip,
                    path: forwarded_path(permit).to_owned(),
                    again: false,
                    lost: None,
                }));
                Ok(true)
            }
            Err(not_ready) => {
                let wanted = if matches!(not_ready, NotReady::Password) {
                    let kept = self.keep(session, passage, (facts, known), now).await?;
                    way_in::wanted(kept, facts, &session.req_header().headers)
                } else {
                    format!("{}{}", product.origin, facts.target.forwarded())
                };
                let lost = Lost::NotReady(not_ready);
                let answer = self.lost(session, passage, product, (&lost, &wanted));
                self.answer(session, passage, answer).await.map(|_| false)
            }
        }
    }

    /// What has to be signed in to before the request goes on; `None`: nothing.
    pub(super) fn claim_of(
        &self,
        session: &Session,
        passage: &Passage,
        permit: &Permit,
    ) -> Option<Claim> {
        let product = permit.product();
        if !passage.scene.sign_ons.concerns(product) {
            return None;
        }
        let person = permit.session()?;
        let entry = person.entries.get(&product.id)?;
        let products = self.sessions.products();
        let account_of = match product.accounts {
            Accounts::Own => &product.id,
            Accounts::Primary => &products.primary().id,
        };
        let agent = session.req_header().headers.get(USER_AGENT);
        Some(Claim {
            product: Arc::clone(product),
            session: person.id,
            person: person.person.id.clone(),
            company: person.company_in(&product.id).clone(),
            login: entry.login.clone(),
            account_of: account_of.clone(),
            caller: Caller {
                user_agent: agent
                    .and_then(|agent| agent.to_str().ok())
                    .unwrap_or_default()
                    .to_owned(),
                address: Some(passage.facts_address),
            },
            request_id: passage.record.request_id.as_str().to_owned(),
        })
    }

    /// What an answer says about the sign-on, and which of its cookies stay here.
    pub(super) async fn hear(
        &self,
        answer: &mut ResponseHeader,
        passage: &mut Passage,
    ) -> Result<()> {
        let Some(signed) = &mut passage.signed else {
            return Ok(());
        };
        if answer.status.is_informational()
            && answer.status != http::StatusCode::SWITCHING_PROTOCOLS
        {
            return Ok(());
        }
        let location = answer.headers.get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let status = answer.status.as_u16();
        let (claim, grip) = (&signed.claim, &signed.grip);
        let heard = passage
            .scene
            .sign_ons
            .heard(claim, grip, status, location, &signed.path)
            .await;
        match heard {
            Heard::Known => {}
            // What a browser would let the person type never gets there: ours does.
            Heard::Forbidden if grip.authorization().is_some() => {
                answer.remove_header(&WWW_AUTHENTICATE);
            }
            Heard::Forbidden => {}
            Heard::Refused => {
                signed.lost = Some(Lost::NotReady(NotReady::Password));
                return Error::e_explain(LOST, "the application refuses the password");
            }
            // What it means by 401 is not that: whoever asked is told.
            Heard::Forgotten if signed.again && location.is_none() => {}
            Heard::Forgotten if signed.again => {
                signed.lost = Some(Lost::InVain);
                return Error::e_explain(LOST, "signing in again did not help");
            }
            Heard::Forgotten => {
                signed.again = true;
                match passage.scene.sign_ons.again(claim, grip).await {
                    Ok(grip) => {
                        signed.grip = grip;
                        return Error::e_explain(AGAIN, "the application had forgotten");
                    }
                    // Its own 401 says no less than ours would.
                    Err(NotReady::Failure(_)) if location.is_none() => {}
                    Err(not_ready) => {
                        signed.lost = Some(Lost::NotReady(not_ready));
                        return Error::e_explain(LOST, "the application can't be signed in to");
                    }
                }
            }
        }
        Self::keep_cookies(answer, signed, &passage.scene.sign_ons).await
    }

    /// The cookies of the sign-in go no further.
    async fn keep_cookies(
        answer: &mut ResponseHeader,
        signed: &Signed,
        sign_ons: &SignOns,
    ) -> Result<()> {
        let lines: Vec<HeaderValue> = answer.headers.get_all(SET_COOKIE).iter().cloned().collect();
        if lines.is_empty() {
            return Ok(());
        }
        let left = sign_ons
            .take_cookies(
                &signed.claim,
                &signed.grip,
                lines.iter().collect(),
                &signed.path,
            )
            .await;
        if left.len() != lines.len() {
            answer.remove_header(&SET_COOKIE);
            for line in left {
                answer.append_header(SET_COOKIE, line.clone())?;
            }
        }
        Ok(())
    }

    /// Answers for an application that can't be signed in to; `None`: the error is another one.
    pub(super) async fn sign_on_failed(
        &self,
        session: &mut Session,
        error: &Error,
        passage: &mut Passage,
    ) -> Option<FailToProxy> {
        if !matches!(error.etype(), kind if *kind == AGAIN || *kind == LOST) {
            return None;
        }
        let signed = passage.signed.take()?;
        let product = Arc::clone(passage.permit.as_ref()?.product());
        let target = passage.permit.as_ref()?.target().forwarded();
        let mut wanted = format!("{}{target}", product.origin);
        if passage.sending.is_some()
            && self.put_back(passage).await
            && let Some(sending) = &passage.sending
        {
            wanted = sending.page(&product);
        }
        let changes = !session.req_header().method.is_safe();
        let answer = match signed.lost {
            // The body has gone by, and the browser has it still. When it comes again the password is
            // known to be refused, and the form is kept before anything is sent on.
            Some(Lost::NotReady(NotReady::Password)) if changes && passage.sending.is_none() => {
                Answer::repeat(&wanted)
            }
            Some(lost) => self.lost(session, passage, &product, (&lost, &wanted)),
            // Its body is too large to be sent twice from here.
            None => Answer::repeat(&wanted),
        };
        let status = answer.status;
        session.set_keepalive(None);
        if let Err(error) = self.answer(session, passage, answer).await {
            tracing::debug!(%error, "the refusal could not be sent");
        } else {
            passage.close_in_stages = !http2(passage);
        }
        Some(FailToProxy {
            error_code: status,
            can_reuse_downstream: false,
        })
    }

    fn lost(
        &self,
        session: &Session,
        passage: &Passage,
        product: &Product,
        (lost, wanted): (&Lost, &str),
    ) -> Answer {
        let teller = self.teller(session.req_header(), passage, passage.manner);
        let status = match lost {
            Lost::NotReady(NotReady::Password) => {
                let page = password_page(&passage.scene.reader.portal_origin, product, wanted);
                return match passage.manner {
                    Manner::Page => Answer::redirect(&page, None),
                    Manner::Json => refuse::password_wanted(&page),
                };
            }
            Lost::NotReady(NotReady::Failure(Failure::Unusable(_))) | Lost::InVain => 502,
            Lost::NotReady(NotReady::Failure(_)) => 503,
        };
        let problem = teller.sign_on_failed(status, &product.name);
        Answer::problem(&problem, passage.manner)
    }
}

/// The path as the application gets it.
fn forwarded_path(permit: &Permit) -> &str {
    let forwarded = permit.target().forwarded();
    forwarded.split('?').next().unwrap_or(forwarded)
}

/// Where the person types the password that the application wants, and goes on.
fn password_page(portal: &str, product: &Product, wanted: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("rd", wanted)
        .finish();
    format!("{portal}/connect/{}/password?{query}", product.id)
}
