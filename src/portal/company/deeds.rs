//! What a user manager does to somebody's access: each deed is done, told and written down.

use std::sync::Arc;

use super::Official;
use crate::directory::Person;
use crate::gate::time::Moment;
use crate::portal::language::words;
use crate::portal::letters::{self, Letter};
use crate::portal::trouble::Trouble;
use crate::portal::visit::Visit;
use crate::portal::{Act, State, forgot, single_sign_on};
use crate::sessions::EndCause;
use crate::sessions::store::StoreError;

pub struct Changes {
    pub reset: bool,
    pub disabled: Option<bool>,
    pub end: bool,
    /// Reset Single Sign-On.
    pub unlink: bool,
    /// A link by which they set a new password.
    pub link: bool,
}

impl Changes {
    pub fn are_none(&self) -> bool {
        let deeds = [self.reset, self.end, self.unlink, self.link];
        self.disabled.is_none() && !deeds.contains(&true)
    }
}

/// One deed's line of the audit trail.
struct Told<'a> {
    state: &'a State,
    visit: &'a Visit,
    official: &'a Official,
    person: &'a Person,
    reason: &'a str,
}

impl Told<'_> {
    fn line(&self, event: &'static str, detail: &str) {
        self.state.observer.administered(Act {
            event,
            who: &self.official.person.id,
            whom: &self.person.id,
            company: &self.official.company.id,
            session: self.official.session.id,
            address: self.visit.facts.address,
            request_id: &self.visit.request_id,
            reason: self.reason,
            detail,
        });
    }

    /// Also when sessions could not be ended: then that is what there is to know.
    fn ended(
        &self,
        event: &'static str,
        before: &str,
        ended: Result<usize, StoreError>,
    ) -> Result<(), Trouble> {
        match ended {
            Ok(count) => {
                self.line(event, &format!("{before}{count} sessions ended"));
                Ok(())
            }
            Err(error) => {
                self.line(event, &format!("{before}sessions could not be ended"));
                Err(error.into())
            }
        }
    }
}

/// Does all of it; the word for the page.
pub async fn carry_out(
    state: &Arc<State>,
    visit: &Visit,
    official: &Official,
    person: &Person,
    changes: &Changes,
    reason: &str,
    now: Moment,
) -> Result<&'static str, Trouble> {
    let told = Told {
        state,
        visit,
        official,
        person,
        reason,
    };
    let mut done = "sessions";
    let mut unsent = false;
    if changes.link {
        let sent = forgot::send_for(state, person, now).await?;
        told.line(forgot::EVENT, sent);
        unsent = !forgot::is_sent(sent);
        done = "link";
    }
    if changes.unlink {
        let unlinked = |products: &str| told.line(single_sign_on::RESET, products);
        single_sign_on::unlink(state, &person.id, unlinked).await?;
        done = "unlinked";
    }
    if changes.end {
        state.directory.void_beginnings(&person.id).await?;
        let ended = state.sessions.end_person(&person.id, EndCause::Revoked);
        told.ended("sessions_ended", "", ended.await)?;
        done = "sessions";
    }
    if let Some(disabled) = changes.disabled {
        state.directory.set_disabled(&person.id, disabled).await?;
        if disabled {
            let ended = state
                .sessions
                .end_person(&person.id, EndCause::PersonDisabled);
            told.ended("person_disabled", "", ended.await)?;
            done = "disabled";
        } else {
            told.line("person_enabled", "");
            done = "enabled";
        }
    }
    if changes.reset {
        let removed = state.directory.reset_factors(&person.id).await?;
        let ended = state
            .sessions
            .end_person(&person.id, EndCause::FactorReset)
            .await;
        // One that a session added while it was still there.
        let late = state.directory.remove_factors(&person.id).await;
        let before = format!("{removed} factors removed, ");
        told.ended("mfa_reset", &before, ended)?;
        late?;
        state.sessions.forget_wrong_codes(&person.id).await?;
        letters::tell(state, visit, person, Letter::FactorsReset);
        done = "mfa";
    }
    // What was not done is what there is to know, whatever else was.
    Ok(if unsent { "no_link" } else { done })
}

/// The trail's word for how a sign-in went, in a person's.
pub fn sign_in_words(result: &str) -> &'static str {
    match result {
        "ok" => words().sign_in_ok(),
        "refused" => words().sign_in_refused(),
        "throttled" => words().sign_in_throttled(),
        "factor_wanted" => words().sign_in_factor_wanted(),
        _ => words().sign_in_not_finished(),
    }
}
