//! What a proved factor leads to beside the session: recovery codes for who has just set up their
//! first one, a remembered device for who wished that. Given once they are signed in, also when a
//! new password was asked for in between.

use std::sync::Arc;

use axum::response::Response;
use http::header::SET_COOKIE;
use serde::{Deserialize, Serialize};

use super::scene::company;
use super::{device, recovery};
use crate::directory::Person;
use crate::gate::cookies::SESSION_COOKIE;
use crate::gate::name::Login;
use crate::gate::policy::CompanyPolicy;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::portal::errand::Errand;
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::visit::Visit;
use crate::portal::{Audit, State};

/// What is to be given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extras {
    /// The factor was added at this sign-in.
    pub enrolled: bool,
    /// The box beside the code was ticked.
    pub remember: bool,
}

/// Who may have just signed in.
pub struct Newcomer<'a> {
    pub state: &'a Arc<State>,
    pub visit: &'a Visit,
    pub person: &'a Person,
    pub login: &'a Login,
    /// Of the company that they will work for.
    pub policy: Arc<CompanyPolicy>,
    pub now: Moment,
}

impl<'a> Newcomer<'a> {
    pub async fn of(
        state: &'a Arc<State>,
        visit: &'a Visit,
        errand: &Errand,
        (person, login): (&'a Person, &'a Login),
        now: Moment,
    ) -> Result<Newcomer<'a>, Trouble> {
        let company = company(state, visit, errand, (person, login), now).await?;
        let policy = Arc::clone(state.policies.load().of(&company));
        Ok(Newcomer {
            state,
            visit,
            person,
            login,
            policy,
            now,
        })
    }

    pub fn audit(&self, event: TrailEvent) {
        let line = Audit::about(self.person, self.visit, event, "");
        self.state.observer.audit(line);
    }
}

impl Extras {
    /// Adds them to the `answer`, if it signs somebody in.
    pub async fn given(self, newcomer: &Newcomer<'_>, answer: Response) -> Answer {
        if !signs_in(&answer) {
            return Ok(answer);
        }
        // A first factor is proved again at least once before anything stands in for it.
        if self.enrolled {
            return recovery::shown_first(newcomer, answer).await;
        }
        if self.remember {
            return device::remembered(newcomer, answer).await;
        }
        Ok(answer)
    }
}

/// Whether the answer carries a session: what came between (the account disabled, the session
/// over) remembers nobody.
fn signs_in(response: &Response) -> bool {
    let mark = format!("{SESSION_COOKIE}=");
    let cookies = response.headers().get_all(SET_COOKIE);
    cookies
        .iter()
        .filter_map(|cookie| cookie.to_str().ok())
        .any(|cookie| cookie.starts_with(&mark))
}
