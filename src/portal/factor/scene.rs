//! One request at a step of the second factor: everything that a method's pages need.

use std::sync::Arc;

use super::extras::Newcomer;
use super::page_of;
use crate::directory::{Factor, Person};
use crate::gate::arrival::{Arrival, Place, arrive};
use crate::gate::ceremony::{Ground, Pending, Step, offered, usable};
use crate::gate::name::{CompanyId, Login};
use crate::gate::policy::{CompanyPolicy, FactorMethod};
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::messages::Channel;
use crate::pages::{Frame, Hidden, Link, Notice};
use crate::portal::apps::frame;
use crate::portal::attempt::Current;
use crate::portal::errand::{Errand, Landing};
use crate::portal::fields::Fields;
use crate::portal::language::words;
use crate::portal::passkeys;
use crate::portal::trouble::Trouble;
use crate::portal::visit::Visit;
use crate::portal::{State, accounts};

pub struct Scene<'a> {
    pub state: &'a Arc<State>,
    pub visit: &'a Visit,
    pub errand: &'a Errand,
    pub current: &'a Current,
    pub person: Person,
    /// The one that the person is about to work for; see [`company`].
    pub company: CompanyId,
    /// Its policy.
    pub policy: Arc<CompanyPolicy>,
    /// Theirs, last used first.
    pub factors: Vec<Factor>,
    /// What can be asked for at this step, the first at once.
    pub choices: Vec<FactorMethod>,
    /// One of `choices`.
    pub method: FactorMethod,
    pub now: Moment,
}

/// What a method's page shows besides itself.
#[derive(Default)]
pub struct Shown {
    pub notice: Option<Notice>,
    /// At the field.
    pub error: Option<String>,
    /// At enrolment, the key to type instead of the QR code.
    pub typed_key: bool,
    /// At enrolment, another number or address although a code is under way to one.
    pub anew: bool,
}

/// Why there is no scene.
pub enum Missing {
    /// The factors were reset, the person is gone or disabled: the password leads on.
    Ended,
    /// The person has factors, and this gateway is ready for none of them.
    Unusable,
}

impl<'a> Scene<'a> {
    pub async fn set(
        state: &'a Arc<State>,
        visit: &'a Visit,
        errand: &'a Errand,
        current: &'a Current,
        fields: &Fields,
        now: Moment,
    ) -> Result<Result<Scene<'a>, Missing>, Trouble> {
        let Some(pending) = current.attempt.step.pending() else {
            return Ok(Err(Missing::Ended));
        };
        let person = state.directory.person(pending.person()).await?;
        let Some(person) = person.filter(|person| !person.disabled) else {
            return Ok(Err(Missing::Ended));
        };
        let company = company(state, visit, errand, (&person, &current.attempt.login), now).await?;
        let policy = Arc::clone(state.policies.load().of(&company));
        let mut factors = state.directory.factors(&person.id).await?;
        factors.sort_by_key(|factor| std::cmp::Reverse(factor.last_used_at));
        let mut enrolled: Vec<FactorMethod> = factors.iter().map(|factor| factor.kind).collect();
        // They stand in for a factor and are none: whoever has nothing else sets one up anew.
        if !enrolled.is_empty()
            && policy.mfa.methods.contains(&FactorMethod::Recovery)
            && state.directory.recovery_codes_left(&person.id).await? > Some(0)
        {
            enrolled.push(FactorMethod::Recovery);
        }
        let choices = match &current.attempt.step {
            Step::Challenge(_) if enrolled.is_empty() => return Ok(Err(Missing::Ended)),
            Step::Challenge(_) => usable(&enrolled, &policy, &ready(state)),
            Step::Enrol(_) | Step::Password => offered(&policy, &ready(state)),
        };
        let Some(first) = choices.first().copied() else {
            return Ok(Err(Missing::Unusable));
        };
        let chosen = fields.of("method").and_then(FactorMethod::parse);
        let method = chosen.filter(|method| choices.contains(method));
        Ok(Ok(Scene {
            state,
            visit,
            errand,
            current,
            person,
            company,
            policy,
            factors,
            method: method.unwrap_or(first),
            choices,
            now,
        }))
    }

    pub fn enrols(&self) -> bool {
        matches!(self.current.attempt.step, Step::Enrol(_))
    }

    /// The person's factors of this scene's method.
    pub fn mine(&self) -> impl Iterator<Item = &Factor> {
        let method = self.method;
        self.factors
            .iter()
            .filter(move |factor| factor.kind == method)
    }

    pub fn path(&self) -> &'static str {
        page_of(&self.current.attempt.step)
    }

    /// This step's page for a method.
    pub fn href(&self, method: FactorMethod) -> String {
        self.errand.on_with(self.path(), "method", method.as_str())
    }

    /// "Try another method", than this one.
    pub fn other(&self) -> String {
        let here = self.method.as_str();
        self.errand
            .on_with_all(self.path(), &[("method", "other"), ("from", here)])
    }

    /// The person, when this step was the last one.
    pub fn newcomer(&self) -> Newcomer<'_> {
        Newcomer {
            state: self.state,
            visit: self.visit,
            person: &self.person,
            login: &self.current.attempt.login,
            policy: Arc::clone(&self.policy),
            now: self.now,
        }
    }

    /// What every form of this step carries.
    pub fn hidden(&self) -> Hidden {
        let token = self.state.keys.form_token(&self.current.cookie, self.now);
        let mut hidden = self.errand.hidden(token);
        hidden.push(("method", self.method.as_str().to_owned()));
        hidden
    }

    pub fn frame(&self) -> Frame {
        frame(self.state, None, "/login")
    }

    /// The way out.
    pub fn restart(&self) -> Link {
        match self.current.attempt.step.pending().map(Pending::ground) {
            // A session waits behind this step: whoever can't take it can leave.
            Some(Ground::Session(_)) => Link {
                href: String::from("/logout"),
                text: words().sign_out().to_owned(),
            },
            Some(Ground::Password | Ground::Provider) | None => Link {
                href: self.errand.on("/login"),
                text: words().start_again().to_owned(),
            },
        }
    }
}

/// For which company somebody proves themselves, whose policy therefore says how: the one that their
/// session works for in what they want to open, as at the product's door; while there is no session, the
/// one that it will begin with. My Profile goes by the same one, that of the session.
pub async fn company(
    state: &State,
    visit: &Visit,
    errand: &Errand,
    (person, login): (&Person, &Login),
    now: Moment,
) -> Result<CompanyId, Trouble> {
    if let Some(session) = alive(state, visit, now).filter(|one| one.person.id == person.id) {
        return Ok(match errand.landing(state, None) {
            Landing::Product { product, .. } => session.company_in(&product.id).clone(),
            Landing::Portal { .. } => session.company.clone(),
        });
    }
    let primary = &state.products.primary().id;
    let account = state.directory.account(primary, login).await?;
    let company = account.map(|account| accounts::tenancy(&account, &person.company).current);
    Ok(company.unwrap_or_else(|| person.company.clone()))
}

/// This browser's session, if it goes on.
fn alive<'a>(state: &State, visit: &'a Visit, now: Moment) -> Option<&'a Session> {
    let policies = state.policies.load();
    match arrive(&visit.known, &policies, Place::Portal, None, now) {
        Arrival::Enter(found) | Arrival::PasswordAgain(found, _) | Arrival::Factor(found) => {
            Some(&found.session)
        }
        Arrival::SignIn(_) | Arrival::Unavailable => None,
    }
}

/// Which methods this gateway can ask for. A method that is built joins the list here.
pub fn ready(state: &State) -> Vec<FactorMethod> {
    let mut ready = vec![FactorMethod::Totp, FactorMethod::Recovery];
    if state.messages.can(Channel::Sms) {
        ready.push(FactorMethod::Sms);
    }
    if state.messages.can(Channel::Email) {
        ready.push(FactorMethod::Email);
    }
    if passkeys::possible(state) {
        ready.push(FactorMethod::Passkey);
    }
    ready
}
