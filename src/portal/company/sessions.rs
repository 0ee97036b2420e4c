//! The company's live sessions: who is at work in it now, where, and ending that.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::IntoResponse;
use http::StatusCode;

use super::concerned::Concerned;
use super::{Official, back_to, once_more, proven_official};
use crate::gate::name::{PersonId, SessionId};
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::{self, Notice};
use crate::portal::answer::{page as answered, see_other};
use crate::portal::apps::{COMPANY_ADMIN, frame};
use crate::portal::fields::Fields;
use crate::portal::form::{Form, Sent};
use crate::portal::language::words;
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::visit::Visit;
use crate::portal::{Act, State, account};
use crate::sessions::EndCause;

pub const PATH: &str = "/company/sessions";

/// Sessions that are shown.
const SHOWN: usize = 100;
/// Sessions that are read to choose those from.
const READ: usize = 2_000;
/// The longest reason, in characters.
const LONGEST_REASON: usize = 200;

#[derive(Default)]
struct Shown {
    notice: Option<Notice>,
    error: Option<&'static str>,
    reason: String,
    chosen: Vec<SessionId>,
    all: bool,
}

pub async fn page(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let official = match proven_official(&state, &visit, (PATH, COMPANY_ADMIN), now).await? {
        Ok(official) => official,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let ended = fields.of("ended").and_then(|count| count.parse().ok());
    let ended = ended.map(|count| Notice::news(words().sessions_ended(count)));
    let shown = Shown {
        notice: ended.or_else(|| once_more(&fields)),
        ..Shown::default()
    };
    show(&state, &official, fields.text("person"), shown, now).await
}

/// What was typed and chosen.
fn typed(fields: &Fields) -> Shown {
    let reason = fields.text("reason").trim().chars();
    let chosen = fields.all("session").map(SessionId::parse);
    Shown {
        reason: reason.take(LONGEST_REASON).collect(),
        chosen: chosen.filter_map(Result::ok).collect(),
        all: fields.of("all") == Some("all"),
        ..Shown::default()
    }
}

pub async fn end(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let here = back_to(PATH);
    let official = match proven_official(&state, &visit, (&here, COMPANY_ADMIN), now).await? {
        Ok(official) => official,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let (shown, person) = (typed(form.unproved()), form.unproved().text("person"));
    let Some(sent) = form.of_session(&state, &official.session, now) else {
        let notice = Some(Notice::wrong(words().page_was_open_ended()));
        return show(&state, &official, person, Shown { notice, ..shown }, now).await;
    };
    if !shown.all && shown.chosen.is_empty() {
        let notice = Some(Notice::wrong(words().choose_sessions()));
        let response = show(&state, &official, person, Shown { notice, ..shown }, now).await?;
        return Ok((StatusCode::BAD_REQUEST, response).into_response());
    }
    if shown.reason.is_empty() || shown.reason.chars().any(char::is_control) {
        let error = Some(words().reason_wanted());
        let response = show(&state, &official, person, Shown { error, ..shown }, now).await?;
        return Ok((StatusCode::BAD_REQUEST, response).into_response());
    }
    let ended = carry_out(&state, &visit, &official, &sent).await?;
    see_other(&format!("{PATH}?ended={ended}"))
}

/// Ends what was chosen and is at work in this company; for each person one audit line in the trail of
/// each company that it concerns. The official's own session stays.
async fn carry_out(
    state: &Arc<State>,
    visit: &Visit,
    official: &Official,
    sent: &Sent<'_>,
) -> Result<usize, Trouble> {
    let shown = typed(sent);
    let most = if shown.all { usize::MAX } else { READ };
    let (mut sessions, _) = state
        .sessions
        .some_of_company(&official.company.id, most, &shown.chosen)
        .await?;
    sessions.retain(|session| {
        let chosen = shown.all || shown.chosen.contains(&session.id);
        chosen && session.id != official.session.id
    });
    let ids: Vec<SessionId> = sessions.iter().map(|session| session.id).collect();
    let (ended, tried) = state.sessions.end_each(&ids, EndCause::Revoked).await;
    let ended: HashSet<SessionId> = ended.into_iter().collect();
    sessions.retain(|session| ended.contains(&session.id));
    // What was ended is written down first, whatever was not.
    let told = tell(state, visit, official, &sessions, &shown.reason).await;
    tried?;
    told?;
    Ok(sessions.len())
}

async fn tell(
    state: &State,
    visit: &Visit,
    official: &Official,
    ended: &[Arc<Session>],
    reason: &str,
) -> Result<(), Trouble> {
    let mut people: BTreeMap<&PersonId, (usize, Concerned)> = BTreeMap::new();
    for session in ended {
        let fresh = || (0, Concerned::by(&official.company.id));
        let (count, concerned) = people.entry(&session.person.id).or_insert_with(fresh);
        *count += 1;
        concerned.session(session);
    }
    let mut known = Ok(());
    for (person, (count, mut concerned)) in people {
        match state.directory.person(person).await {
            Ok(person) => person.into_iter().for_each(|one| concerned.person(one)),
            Err(error) => known = Err(error),
        }
        concerned.hear(
            state,
            Act {
                event: TrailEvent::SessionsEnded,
                who: &official.person.id,
                whom: person,
                company: &official.company.id,
                session: official.session.id,
                address: visit.facts.address,
                request_id: &visit.request_id,
                reason,
                detail: &format!("{count} sessions ended in Sessions"),
            },
        );
    }
    Ok(known?)
}

async fn show(
    state: &Arc<State>,
    official: &Official,
    person: &str,
    shown: Shown,
    now: Moment,
) -> Answer {
    let company = &official.company;
    let timezone = state.policies.load().of(&company.id).timezone.clone();
    let person: String = person.trim().chars().take(64).collect();
    let (mut sessions, total) = sought(state, official, &person).await?;
    let read = sessions.len();
    // The newest first.
    sessions.reverse();
    let here = official.session.id;
    let mut rows = Vec::new();
    for session in sessions.iter().take(SHOWN) {
        rows.push(pages::CompanySessionRow {
            name: session.person.name.clone(),
            person: session.person.id.to_string(),
            chosen: shown.chosen.contains(&session.id),
            session: account::sessions::row(state, session, here, &timezone).await?,
        });
    }
    answered(&pages::CompanySessions {
        frame: frame(state, Some(&official.session), PATH),
        company: company.name.clone(),
        notice: shown.notice,
        error: shown.error.map(str::to_owned),
        more: total.max(read).saturating_sub(rows.len()),
        total: total.max(read),
        others: rows.iter().any(|row| !row.session.here),
        rows,
        person,
        all: shown.all,
        reason: shown.reason,
        longest_reason: LONGEST_REASON,
        hidden: vec![("csrf", state.keys.form_token(&official.session.portal, now))],
    })
}

/// Oldest first, and how many there are in all.
async fn sought(
    state: &State,
    official: &Official,
    person: &str,
) -> Result<(Vec<Arc<Session>>, usize), Trouble> {
    let company = &official.company.id;
    if person.is_empty() {
        return Ok(state.sessions.some_of_company(company, READ, &[]).await?);
    }
    let Ok(person) = PersonId::parse(person) else {
        return Ok((Vec::new(), 0));
    };
    let mut theirs = state.sessions.of_person(&person).await?;
    theirs.retain(|session| session.companies_at_work().any(|at| at == company));
    let count = theirs.len();
    Ok((theirs, count))
}
