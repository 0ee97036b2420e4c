//! What an operator does on the command line, into the audit trail: the chained file first, which
//! is the evidence, then the directory, where the company's admins read it.

use super::Failure;
use super::world::now;
use crate::config::Settings;
use crate::directory::{Directory, Line};
use crate::gate::name::{CompanyId, PersonId, SessionId};
use crate::observe::audit::{Audit, AuditEvent};
use crate::observe::metrics::Metrics;

const UNWRITTEN: &str = "it is done, but the audit trail can't be written";
/// Who did it.
const OPERATOR: &str = "operator";

/// Lines that are handed to the trail at once: its queue has an end, and what finds no room is lost.
const AT_ONCE: u64 = 256;

/// One line.
#[derive(Default)]
pub struct Deed {
    pub event: &'static str,
    pub whom: Option<PersonId>,
    /// `None`: that of `whom`, if there is one.
    pub company: Option<CompanyId>,
    pub session: Option<SessionId>,
    pub detail: String,
}

/// # Errors
/// When it is done and can't be written down.
pub async fn on_record(
    settings: &Settings,
    directory: &Directory,
    deeds: Vec<Deed>,
) -> Result<(), Failure> {
    if deeds.is_empty() {
        return Ok(());
    }
    let (now, mut lines) = (now(), Vec::with_capacity(deeds.len()));
    let metrics = Metrics::new(&settings.products);
    let trail = Audit::open(settings.audit_trail(), &metrics).map_err(Failure::not_so)?;
    for (number, deed) in (0_u64..).zip(deeds) {
        let company = match (deed.company, &deed.whom) {
            (Some(company), _) => Some(company),
            (None, Some(whom)) => company_of(directory, whom).await?,
            (None, None) => None,
        };
        let mut event = AuditEvent::new(deed.event, now).who(OPERATOR);
        if let Some(whom) = &deed.whom {
            event = event.whom(whom);
        }
        if let Some(company) = &company {
            event = event.company(company);
        }
        if let Some(session) = deed.session {
            event = event.session(session);
        }
        if !deed.detail.is_empty() {
            event = event.detail(deed.detail.as_str());
        }
        trail.record(event);
        if number % AT_ONCE == AT_ONCE - 1 && !trail.flush() {
            return Err(Failure::not_so(UNWRITTEN));
        }
        let apart = u64::from(std::process::id()) << 32 | number;
        lines.push(Line {
            id: Line::id_at(now, apart),
            at: now.millis(),
            company,
            event: deed.event.to_owned(),
            who: Some(String::from(OPERATOR)),
            whom: deed.whom.map(|whom| whom.to_string()),
            session: deed.session.map(|session| session.to_string()),
            address: String::from("the command line"),
            detail: Some(deed.detail).filter(|detail| !detail.is_empty()),
            ..Line::default()
        });
    }
    if !trail.flush() {
        return Err(Failure::not_so(UNWRITTEN));
    }
    directory.record(&lines).await.map_err(Failure::not_so)
}

async fn company_of(
    directory: &Directory,
    person: &PersonId,
) -> Result<Option<CompanyId>, Failure> {
    let person = directory.person(person).await.map_err(Failure::not_so)?;
    Ok(person.map(|person| person.company))
}
