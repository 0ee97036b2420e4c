//! Company Settings: what a company's admin decides.

use std::sync::Arc;

use axum::extract::State as Shared;

use super::{Official, back_to, official, once_more, proved_lately};
use crate::directory::Company;
use crate::gate::arrival::{Arrival, Place, arrive};
use crate::gate::ceremony::offered;
use crate::gate::name::CompanyId;
use crate::gate::policy::{ByCompany, MfaMode, Policies, Switched};
use crate::gate::rollout::{MFA, Reached};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::{Link, Message, Notice, Settings};
use crate::portal::answer::{page, see_other};
use crate::portal::apps::{COMPANY_ADMIN, company_name, frame};
use crate::portal::factor::{name, ready};
use crate::portal::fields::Fields;
use crate::portal::form::{Form, Sent};
use crate::portal::language::words;
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::visit::Visit;
use crate::portal::{Audit, State};

const PATH: &str = "/company/settings";
const ROLE: (&str, &str) = (PATH, COMPANY_ADMIN);

/// How multi-factor authentication stands for a company.
enum Standing {
    /// It has not been released to this company: not a word of it but that.
    Hidden,
    /// The operator decided; why the admin can't, and whether it is on.
    Decided(&'static str, bool),
    Switched(Option<Switched>),
}

pub async fn settings_page(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    fields: Fields,
) -> Answer {
    let now = (state.clock)();
    let saved = fields.of("saved") == Some("1");
    if saved && let Some(answer) = saved_and_asked(&state, &visit, now).await? {
        return Ok(answer);
    }
    let notice = saved.then(|| Notice::news(words().settings_saved()));
    let notice = notice.or_else(|| once_more(&fields));
    match official(&state, &visit, ROLE, now).await? {
        Ok(official) => show(&state, &official, notice, now).await,
        Err(elsewhere) => Ok(elsewhere),
    }
}

/// Who has just switched it on is the first to be asked: they are told that it is saved before
/// that, or it would look as if their settings had thrown them out.
async fn saved_and_asked(
    state: &Arc<State>,
    visit: &Visit,
    now: Moment,
) -> Result<Option<axum::response::Response>, Trouble> {
    let policies = state.policies.load_full();
    let Arrival::Factor(found) = arrive(&visit.known, &policies, Place::Portal, None, now) else {
        return Ok(None);
    };
    let session = &found.session;
    if !session.has_role(COMPANY_ADMIN) {
        return Ok(None);
    }
    let company = company_name(state, session).await?;
    page(&Message {
        frame: frame(state, Some(session), PATH),
        title: words().settings_saved_title().to_owned(),
        paragraphs: vec![
            words().mfa_is_on_for(&company),
            words().asked_next_yourself().to_owned(),
        ],
        link: Some(Link {
            href: String::from(PATH),
            text: words().go_on().to_owned(),
        }),
    })
    .map(Some)
}

async fn show(
    state: &Arc<State>,
    official: &Official,
    notice: Option<Notice>,
    now: Moment,
) -> Answer {
    let standing = standing(state, &official.company.id).await?;
    let (decided, on) = match standing {
        Standing::Hidden => (None, false),
        Standing::Decided(why, on) => (Some(why), on),
        Standing::Switched(switched) => (None, switched.is_some()),
    };
    let spares =
        matches!(standing, Standing::Switched(Some(switched)) if switched.spares_before.is_some());
    page(&Settings {
        frame: frame(state, Some(&official.session), PATH),
        notice,
        company: official.company.name.clone(),
        hides_mfa: matches!(standing, Standing::Hidden),
        release: release(state, &official.company.id),
        sso_release: sso_release(state, &official.company.id),
        decided,
        ways: ways(state, &official.company.id),
        on,
        spares,
        hidden: vec![("csrf", state.keys.form_token(&official.session.portal, now))],
    })
}

async fn standing(state: &State, company: &CompanyId) -> Result<Standing, Trouble> {
    let policies = state.policies.load_full();
    Ok(match policies.of(company).mfa.mode {
        MfaMode::Required => Standing::Decided(words().operator_requires(), true),
        MfaMode::Off => Standing::Decided(words().operator_switched_off(), false),
        MfaMode::Company if !policies.rollout.mfa_reaches(company) => Standing::Hidden,
        MfaMode::Company => {
            let switched = state.directory.factor_switched_on().await?;
            Standing::Switched(switched.get(company).copied())
        }
    })
}

/// With what people of this company can prove themselves.
fn ways(state: &State, company: &CompanyId) -> String {
    let policies = state.policies.load();
    let names: Vec<&str> = offered(policies.of(company), &ready(state))
        .into_iter()
        .map(|method| name(method).0)
        .collect();
    names.join(", ")
}

/// How far the release has come, in words for those who wait for it.
fn release(state: &State, company: &CompanyId) -> Option<&'static str> {
    let policies = state.policies.load();
    if policies.of(company).mfa.mode != MfaMode::Company {
        return None;
    }
    Some(match policies.rollout.mfa.as_ref()?.reached(MFA, company) {
        Reached::Listed | Reached::ByPercentage { .. } => words().release_reached(),
        Reached::NotYet { .. } if policies.rollout.held().is_none() => words().release_not_yet(),
        Reached::NotYet { .. } | Reached::Paused => words().release_paused(),
    })
}

fn sso_release(state: &State, company: &CompanyId) -> Option<String> {
    let policies = state.policies.load();
    let mut products = state.products.iter();
    let stepwise = products.find(|product| policies.releases_single_sign_on(product))?;
    let reached = policies.single_sign_on_reaches(company, stepwise);
    Some(match reached {
        true => words().sso_release_reached(&stepwise.name),
        false => words().sso_release_not_yet(&stepwise.name),
    })
}

pub async fn settings(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let official = match official(&state, &visit, ROLE, now).await? {
        Ok(official) => official,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let Some(sent) = form.of_session(&state, &official.session, now) else {
        let notice = Notice::wrong(words().page_was_open_choose());
        return show(&state, &official, Some(notice), now).await;
    };
    let Some(chosen) = chosen(&sent, now) else {
        let notice = Notice::wrong(words().choose_on_or_off());
        return show(&state, &official, Some(notice), now).await;
    };
    let Standing::Switched(before) = standing(&state, &official.company.id).await? else {
        return Err(Trouble::new(403, "decided"));
    };
    if chosen.is_none() {
        // Nothing is written where it is off: another admin may be switching it on at this moment.
        if before.is_none() {
            return see_other("/company/settings?saved=1");
        }
        // Who takes the second factor from everybody shows their own.
        if let Some(elsewhere) = proved_lately(&state, &visit, &back_to(PATH), now)? {
            return Ok(elsewhere);
        }
    }
    switch(&state, &visit, &official, chosen, now).await?;
    see_other("/company/settings?saved=1")
}

/// On, and how; or off. `None` when neither was chosen.
fn chosen(sent: &Sent<'_>, now: Moment) -> Option<Option<Switched>> {
    match (sent.of("mfa")?, sent.of("asked")) {
        ("on", Some("next_sign_in")) => Some(Some(Switched {
            spares_before: Some(now),
        })),
        ("on", _) => Some(Some(Switched::default())),
        ("off", _) => Some(None),
        _ => None,
    }
}

async fn switch(
    state: &State,
    visit: &Visit,
    official: &Official,
    on: Option<Switched>,
    now: Moment,
) -> Result<(), Trouble> {
    let Official {
        session,
        person,
        company: Company { id: company, .. },
    } = official;
    state
        .directory
        .switch_factor(company, on, &person.id, now)
        .await?;
    state
        .policies
        .rcu(|policies| switched(policies, company, on));
    state.observer.audit(Audit {
        event: TrailEvent::MfaSwitched,
        person: Some(&person.id),
        company: Some(company),
        session: Some(session.id),
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail: match on.map(|switched| switched.spares_before) {
            None => "off",
            Some(None) => "on, at once",
            Some(Some(_)) => "on, at the next sign-in",
        },
    });
    Ok(())
}

/// In force on this node at once; the others hear of it when they read the directory again.
fn switched(policies: &Policies, company: &CompanyId, on: Option<Switched>) -> Policies {
    let mut policies = policies.clone();
    let mut switched_on = ByCompany::clone(&policies.factor_switched_on);
    match on {
        Some(switched) => switched_on.insert(company.clone(), switched),
        None => switched_on.remove(company),
    };
    policies.factor_switched_on = Arc::new(switched_on);
    policies
}
