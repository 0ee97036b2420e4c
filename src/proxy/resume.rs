//! Kept forms, at the moments when a request meets them: where [`gateway`](super::gateway)'s hooks
//! and the [`Keeper`](super::keep::Keeper) touch.

use pingora::Result;
use pingora::proxy::Session;

use super::facts::product;
use super::gateway::{Gateway, Passage};
use super::keep::{Button, Claimed, Keeping};
use super::refuse::Answer;
use crate::gate::decide::{Absence, Permit};
use crate::gate::facts::Facts;
use crate::gate::session::Known;
use crate::gate::time::Moment;

impl Gateway {
    /// The facts of the form that the button asks for, or of the request itself when it was none;
    /// `None`: it is answered.
    pub(super) async fn look_for_form(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        facts: Facts,
        now: Moment,
    ) -> Result<Option<Facts>> {
        let managed = &passage.scene.reader.managed;
        let problem = match self.keeper.look(session, &facts, managed, now).await? {
            Button::Ordinary => return Ok(Some(facts)),
            Button::Form(sending, resumed) => {
                passage.sending = Some(sending);
                return Ok(Some(resumed));
            }
            Button::Gone => self
                .teller(session.req_header(), passage, passage.manner)
                .form_gone(),
            Button::Unavailable => self
                .teller(session.req_header(), passage, passage.manner)
                .unavailable(Absence::Store),
        };
        let answer = Answer::problem(&problem, passage.manner);
        self.answer(session, passage, answer).await?;
        Ok(None)
    }

    /// Takes the form that is to be sent; false: it is answered.
    pub(super) async fn claim(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        permit: &Permit,
        now: Moment,
    ) -> Result<bool> {
        let Some(sending) = &mut passage.sending else {
            return Ok(true);
        };
        let claimed = self.keeper.claim(sending, permit, now).await;
        let page = sending.page(permit.product());
        let teller = self.teller(session.req_header(), passage, passage.manner);
        let answer = match claimed {
            Claimed::Sent => return Ok(true),
            Claimed::OtherCompany => Answer::redirect(&page, None),
            Claimed::Gone => Answer::problem(&teller.form_gone(), passage.manner),
            Claimed::Busy | Claimed::Unavailable => {
                Answer::problem(&teller.unavailable(Absence::Store), passage.manner)
            }
        };
        self.answer(session, passage, answer).await?;
        Ok(false)
    }

    /// What becomes of the form that has to wait for a sign-in.
    pub(super) async fn keep(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        (facts, known): (&Facts, &Known),
        now: Moment,
    ) -> Result<Keeping> {
        let Some(product) = product(&facts.site) else {
            return Ok(Keeping::Nothing);
        };
        if let Some(sending) = &passage.sending {
            return Ok(Keeping::Kept(sending.page(product)));
        }
        if facts.method.is_safe() {
            return Ok(Keeping::Nothing);
        }
        let scene = &passage.scene;
        let limit = scene.ways.get(product.index).and_then(|way| way.body_limit);
        let largest = limit.map_or(scene.keep_form, |limit| limit.min(scene.keep_form));
        let record = &mut passage.record;
        self.keeper
            .keep(session, (facts, known), largest, record, now)
            .await
    }

    pub(super) async fn put_back(&self, passage: &mut Passage) -> bool {
        match &mut passage.sending {
            Some(sending) => self.keeper.put_back(sending, (self.clock)()).await,
            None => false,
        }
    }
}
