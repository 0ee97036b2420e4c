//! What a user manager does to somebody's access: each deed is done, told and written down.

use std::sync::Arc;

use super::Official;
use super::concerned::Concerned;
use crate::directory::Person;
use crate::gate::name::ProductId;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::portal::language::{self, words};
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
    /// Products that are granted, and that are granted no more.
    pub granted: Vec<ProductId>,
    pub taken_back: Vec<ProductId>,
}

impl Changes {
    pub fn are_none(&self) -> bool {
        let deeds = [self.reset, self.end, self.unlink, self.link];
        let nothing_granted = self.granted.is_empty() && self.taken_back.is_empty();
        self.disabled.is_none() && nothing_granted && !deeds.contains(&true)
    }
}

/// Whose access is changed, by whom and why.
struct Deeds<'a> {
    state: &'a Arc<State>,
    visit: &'a Visit,
    official: &'a Official,
    person: &'a Person,
    reason: &'a str,
    /// The companies for which the person was at work in what ends.
    concerned: Concerned,
}

impl Deeds<'_> {
    fn act<'b>(&'b self, event: TrailEvent, detail: &'b str) -> Act<'b> {
        Act {
            event,
            who: &self.official.person.id,
            whom: &self.person.id,
            company: &self.official.company.id,
            session: self.official.session.id,
            address: self.visit.facts.address,
            request_id: &self.visit.request_id,
            reason: self.reason,
            detail,
        }
    }

    fn line(&self, event: TrailEvent, detail: &str) {
        self.state.observer.administered(self.act(event, detail));
    }

    /// The line where something ends at work for others too. Also when sessions could not be ended:
    /// then that is what there is to know.
    fn ended(
        &self,
        event: TrailEvent,
        before: &str,
        ended: Result<usize, StoreError>,
    ) -> Result<(), Trouble> {
        let (detail, done): (_, Result<(), Trouble>) = match ended {
            Ok(count) => (format!("{before}{count} sessions ended"), Ok(())),
            Err(error) => (
                format!("{before}sessions could not be ended"),
                Err(error.into()),
            ),
        };
        self.concerned.hear(self.state, self.act(event, &detail));
        done
    }

    async fn end_sessions(&self) -> Result<(), Trouble> {
        let id = &self.person.id;
        self.state.directory.void_beginnings(id).await?;
        let ended = self.state.sessions.end_person(id, EndCause::Revoked).await;
        self.ended(TrailEvent::SessionsEnded, "", ended)
    }

    async fn set_disabled(&self, disabled: bool) -> Result<(), Trouble> {
        let (id, sessions) = (&self.person.id, &self.state.sessions);
        self.state.directory.set_disabled(id, disabled).await?;
        if !disabled {
            self.line(TrailEvent::PersonEnabled, "");
            return Ok(());
        }
        let ended = sessions.end_person(id, EndCause::PersonDisabled).await;
        self.ended(TrailEvent::PersonDisabled, "", ended)
    }

    /// In the directory first: a session that begins meanwhile reads it there.
    async fn grant(&self, product: &ProductId, granted: bool) -> Result<(), Trouble> {
        let (id, state) = (&self.person.id, self.state);
        state.directory.grant(id, product, granted).await?;
        let told = state.sessions.grant(id, product, granted).await;
        let open = match told {
            Ok(_) => "",
            Err(_) => ", sessions could not be told",
        };
        let detail = format!("{product}{open}");
        if granted {
            self.line(TrailEvent::ProductGranted, &detail);
        } else {
            let act = self.act(TrailEvent::ProductTakenBack, &detail);
            self.concerned.hear(state, act);
        }
        told?;
        Ok(())
    }

    async fn reset(&self) -> Result<(), Trouble> {
        let (state, person) = (self.state, self.person);
        let removed = state.directory.reset_factors(&person.id).await?;
        let ended = state
            .sessions
            .end_person(&person.id, EndCause::FactorReset)
            .await;
        // One that a session added while it was still there.
        let late = state.directory.remove_factors(&person.id).await;
        let before = format!("{removed} factors removed, ");
        let done = self.ended(TrailEvent::MfaReset, &before, ended);
        let theirs = language::words_of(state, &person.id).await;
        letters::tell_in(
            theirs.unwrap_or_default(),
            (state.as_ref(), self.visit),
            person,
            Letter::FactorsReset,
        );
        let forgotten = state.sessions.forget_wrong_codes(&person.id).await;
        done?;
        late?;
        Ok(forgotten?)
    }
}

/// Does all of it, each whatever becomes of the others; the word for the page.
pub async fn carry_out(
    state: &Arc<State>,
    visit: &Visit,
    official: &Official,
    person: &Person,
    changes: &Changes,
    reason: &str,
    now: Moment,
) -> Result<&'static str, Trouble> {
    let deeds = Deeds {
        state,
        visit,
        official,
        person,
        reason,
        concerned: concerned(state, official, person).await,
    };
    let mut done = "sessions";
    let mut tried = Ok(());
    let mut unsent = false;
    if changes.link {
        match forgot::send_for(state, person, now).await {
            Ok(sent) => {
                deeds.line(forgot::EVENT, sent);
                unsent = !forgot::is_sent(sent);
            }
            Err(trouble) => tried = Err(trouble),
        }
        done = "link";
    }
    for (products, granted, word) in [
        (&changes.granted, true, "granted"),
        (&changes.taken_back, false, "taken_back"),
    ] {
        for product in products {
            tried = tried.and(deeds.grant(product, granted).await);
            done = word;
        }
    }
    if changes.unlink {
        let told = |products: &str| {
            let act = deeds.act(single_sign_on::RESET, products);
            deeds.concerned.hear(state, act);
        };
        tried = tried.and(single_sign_on::unlink(state, &person.id, told).await);
        done = "unlinked";
    }
    if changes.end {
        tried = tried.and(deeds.end_sessions().await);
        done = "sessions";
    }
    if let Some(disabled) = changes.disabled {
        tried = tried.and(deeds.set_disabled(disabled).await);
        done = if disabled { "disabled" } else { "enabled" };
    }
    if changes.reset {
        tried = tried.and(deeds.reset().await);
        done = "mfa";
    }
    tried?;
    // What was not done is what there is to know, whatever else was.
    Ok(if unsent { "no_link" } else { done })
}

/// Looked at before anything ends. The official's own company hears in any case.
async fn concerned(state: &State, official: &Official, person: &Person) -> Concerned {
    let mut concerned = Concerned::by(&official.company.id);
    match state.sessions.of_person(&person.id).await {
        Ok(sessions) => {
            for session in &sessions {
                concerned.session(session);
            }
        }
        Err(error) => {
            tracing::warn!(%error, "for whom somebody was at work could not be read");
        }
    }
    concerned
}

/// The trail's word for how a sign-in went, in a person's.
pub fn sign_in_words(result: &str) -> &'static str {
    match result {
        "ok" => words().sign_in_ok(),
        "refused" => words().sign_in_refused(),
        "throttled" => words().sign_in_throttled(),
        "expired" => words().sign_in_expired(),
        "factor_wanted" => words().sign_in_factor_wanted(),
        _ => words().sign_in_not_finished(),
    }
}
