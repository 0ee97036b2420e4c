//! Codes by text message or by mail as one's own factor: set up beside the others, or sent
//! elsewhere from now on. The old number or address works until the new one has proved itself.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::IntoResponse;
use http::StatusCode;

use super::factors::{tell, told};
use super::unreset::{Unreset, Wrote};
use crate::directory::{Factor, Person};
use crate::gate::contact::Destination;
use crate::gate::policy::{CompanyPolicy, FactorMethod};
use crate::gate::sent_code::Delivery;
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::{self, Notice};
use crate::portal::account_keys::{offers, owner, stale, to_profile};
use crate::portal::answer::{page, see_other};
use crate::portal::apps::frame;
use crate::portal::courier::{Courier, Target};
use crate::portal::factor::codes;
use crate::portal::factor::sent::unsent;
use crate::portal::factor::sent_pages::{another_in, goes_to, sent_to, typed_field};
use crate::portal::fields::Fields;
use crate::portal::form::{Form, Sent};
use crate::portal::language::words;
use crate::portal::letters::Letter;
use crate::portal::message_caps::wait_left;
use crate::portal::throttles::in_words;
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::visit::Visit;
use crate::portal::{State, courier, throttles};

/// The page of a method.
pub const fn path(method: FactorMethod) -> &'static str {
    match method {
        FactorMethod::Sms => "/account/sms",
        _ => "/account/email",
    }
}

/// What leads there from My Profile: for who has no such factor, where the company offers it and
/// somebody carries the messages.
pub fn ways(state: &State, session: &Session, factors: &[Factor]) -> Vec<pages::Link> {
    let all = [
        (FactorMethod::Sms, words().get_codes_by_sms()),
        (FactorMethod::Email, words().get_codes_by_mail()),
    ];
    all.into_iter()
        .filter(|(method, _)| {
            is_possible(state, session, *method) && !factors.iter().any(|f| f.kind == *method)
        })
        .map(|(method, text)| pages::Link {
            href: path(method).to_owned(),
            text: text.to_owned(),
        })
        .collect()
}

/// Whether codes of this kind can be set up here and now.
pub fn is_possible(state: &State, session: &Session, method: FactorMethod) -> bool {
    offers(state, session, method) && state.messages.can(courier::channel(method))
}

pub async fn sms_page(state: Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    opened(state.0, visit, fields, FactorMethod::Sms).await
}

pub async fn sms(state: Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    submitted(state.0, visit, form, FactorMethod::Sms).await
}

pub async fn email_page(state: Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    opened(state.0, visit, fields, FactorMethod::Email).await
}

pub async fn email(state: Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    submitted(state.0, visit, form, FactorMethod::Email).await
}

/// One person at one of the two pages.
struct Desk<'a> {
    state: &'a Arc<State>,
    visit: &'a Visit,
    session: &'a Session,
    person: Person,
    policy: Arc<CompanyPolicy>,
    /// Theirs of this method.
    old: Option<Factor>,
    method: FactorMethod,
    now: Moment,
}

#[derive(Default)]
struct Shown {
    notice: Option<Notice>,
    error: Option<String>,
    /// Another number or address, although a code is under way to one.
    anew: bool,
    typed: String,
}

async fn opened(state: Arc<State>, visit: Visit, fields: Fields, method: FactorMethod) -> Answer {
    let now = (state.clock)();
    let session = match owner(&state, &visit, method, path(method), now).await? {
        Ok(session) => session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let desk = Desk::of(&state, &visit, session, method, now).await?;
    let shown = Shown {
        anew: fields.of("to") == Some("new"),
        ..Shown::default()
    };
    desk.show(shown).await
}

async fn submitted(state: Arc<State>, visit: Visit, form: Form, method: FactorMethod) -> Answer {
    let now = (state.clock)();
    let session = match owner(&state, &visit, method, path(method), now).await? {
        Ok(session) => session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let desk = Desk::of(&state, &visit, session, method, now).await?;
    let Some(sent) = form.of_session(&state, session, now) else {
        let shown = Shown {
            notice: Some(stale()),
            ..Shown::default()
        };
        return desk.show(shown).await;
    };
    if sent.of("do") == Some("send") {
        return desk.send(&sent).await;
    }
    desk.prove(&sent).await
}

impl<'a> Desk<'a> {
    async fn of(
        state: &'a Arc<State>,
        visit: &'a Visit,
        session: &'a Session,
        method: FactorMethod,
        now: Moment,
    ) -> Result<Desk<'a>, Trouble> {
        let person = state.directory.person(&session.person.id).await?;
        let person = person.ok_or_else(|| Trouble::internal("person"))?;
        let policy = Arc::clone(state.policies.load().of(&session.company));
        let factors = state.directory.factors(&person.id).await?;
        let old = factors.into_iter().find(|factor| factor.kind == method);
        Ok(Desk {
            state,
            visit,
            session,
            person,
            policy,
            old,
            method,
            now,
        })
    }

    fn courier(&self) -> Courier<'_> {
        Courier {
            state: self.state,
            visit: self.visit,
            person: &self.person,
            company: &self.session.company,
            policy: &self.policy,
            method: self.method,
            cookie: self.session.portal,
            proves_new: true,
            session: Some(self.session.id),
            now: self.now,
        }
    }

    async fn send(&self, sent: &Sent<'_>) -> Answer {
        let courier = self.courier();
        let target = match sent.of("to") {
            Some("typed") => match courier.destination(sent.text("typed")) {
                Ok(to) => Some(Target::new(to)),
                Err(error) => {
                    let shown = Shown {
                        error: Some(error),
                        anew: true,
                        typed: sent.text("typed").to_owned(),
                        ..Shown::default()
                    };
                    let response = self.show(shown).await?;
                    return Ok((StatusCode::BAD_REQUEST, response).into_response());
                }
            },
            Some("file") => courier.on_file().map(Target::new),
            _ => courier.opened(courier.pending().await?.as_ref()),
        };
        let Some(target) = target else {
            return see_other(path(self.method));
        };
        let Some(wait) = courier.send(&target).await? else {
            return see_other(path(self.method));
        };
        let shown = Shown {
            notice: Some(Notice::wrong(words().another_code_in(&in_words(wait)))),
            ..Shown::default()
        };
        let response = self.show(shown).await?;
        Ok((StatusCode::TOO_MANY_REQUESTS, response).into_response())
    }

    async fn prove(&self, sent: &Sent<'_>) -> Answer {
        let Some(code) = codes::read(sent.text("code")) else {
            return self
                .wrong(StatusCode::BAD_REQUEST, words().type_the_digits())
                .await;
        };
        let Some(target) = self.courier().prove(&code, None).await? else {
            let error = words().sent_code_wrong();
            return self.wrong(StatusCode::FORBIDDEN, error).await;
        };
        if !self.keep(&target.to).await? {
            return see_other("/account?done=gone");
        }
        let (event, letter, done) = match self.old {
            Some(_) => (
                TrailEvent::FactorReplaced,
                Letter::DestinationChanged,
                "moved",
            ),
            None => (TrailEvent::FactorAdded, Letter::FactorAdded, "added"),
        };
        let (state, visit) = (self.state, self.visit);
        told(state, visit, self.session, event, self.method.as_str());
        tell(state, visit, self.session, letter).await?;
        // What was guessed at the old one is nothing to the new one.
        throttles::lock_opened(state, &self.person.id, self.method, self.now).await;
        see_other(&format!("/account?done={done}"))
    }

    /// False when somebody changed the factors meanwhile.
    async fn keep(&self, to: &Destination) -> Result<bool, Trouble> {
        let directory = &self.state.directory;
        let (person, secret) = (&self.person.id, to.expose().as_bytes());
        let Some(unreset) = Unreset::of(self.state, self.session).await? else {
            return Ok(false);
        };
        let kept = match &self.old {
            Some(old) => {
                directory
                    .replace_factor(person, &old.id, self.method, secret, 0, self.now)
                    .await?
            }
            None => directory
                .add_factor(person, self.method, secret, 0, self.now)
                .await?
                .map(|factor| factor.id),
        };
        let wrote = kept.as_deref().map_or(Wrote::Nothing, Wrote::Factor);
        unreset.still(wrote).await
    }

    async fn wrong(&self, status: StatusCode, error: &str) -> Answer {
        let shown = Shown {
            error: Some(error.to_owned()),
            ..Shown::default()
        };
        let response = self.show(shown).await?;
        Ok((status, response).into_response())
    }

    async fn show(&self, shown: Shown) -> Answer {
        let courier = self.courier();
        match courier.pending().await? {
            Some(code) if code.delivery != Delivery::Failed && !shown.anew => {
                let to = courier.opened(Some(&code)).map(|target| target.to);
                self.typed_in(shown, to.as_ref()).await
            }
            Some(code) if code.delivery == Delivery::Failed && shown.notice.is_none() => {
                let notice = Some(unsent());
                self.asked_for(Shown { notice, ..shown })
            }
            _ => self.asked_for(shown),
        }
    }

    fn asked_for(&self, shown: Shown) -> Answer {
        let is_sms = self.method == FactorMethod::Sms;
        let title = match (self.old.is_some(), is_sms) {
            (false, true) => words().get_codes_by_sms(),
            (false, false) => words().get_codes_by_mail(),
            (true, true) => words().another_number_for_codes(),
            (true, false) => words().another_address_for_codes(),
        };
        let lead = match self.old {
            None => words().we_send_code_once(),
            Some(_) => words().we_send_code_there(),
        };
        let known = self.courier().on_file();
        page(&pages::SendCode {
            frame: frame(self.state, Some(self.session), "/account"),
            notice: shown.notice,
            error: shown.error,
            title,
            lead,
            action: path(self.method),
            known: known.as_ref().map(goes_to),
            typed: Some(typed_field(is_sms, known.is_some(), &shown.typed)),
            hidden: self.hidden(),
            other: None,
            restart: to_profile(),
        })
    }

    async fn typed_in(&self, shown: Shown, to: Option<&Destination>) -> Answer {
        let (state, method) = (self.state, self.method);
        let wait = wait_left(state, &self.person.id, method, self.now).await?;
        let elsewhere = match method {
            FactorMethod::Sms => words().use_another_number(),
            _ => words().use_another_address(),
        };
        page(&pages::SentCode {
            frame: frame(state, Some(self.session), "/account"),
            notice: shown.notice,
            error: shown.error,
            lead: sent_to(method, to),
            action: path(method),
            again: another_in(wait),
            remember: None,
            elsewhere: Some(pages::Link {
                href: format!("{}?to=new", path(method)),
                text: String::from(elsewhere),
            }),
            hidden: self.hidden(),
            other: None,
            restart: to_profile(),
        })
    }

    fn hidden(&self) -> pages::Hidden {
        let token = self.state.keys.form_token(&self.session.portal, self.now);
        vec![("csrf", token)]
    }
}
