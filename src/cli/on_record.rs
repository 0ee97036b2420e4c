//! What an operator does on the command line, into the audit trail: the chained file first, which
//! is the evidence, then the directory, where the company's admins read it.

use super::Failure;
use super::operator::{OPERATOR, operator};
use super::world::now;
use crate::config::Settings;
use crate::directory::{Directory, Line};
use crate::gate::name::{CompanyId, PersonId, SessionId};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::observe::audit::{Audit, AuditEvent};
use crate::observe::metrics::Metrics;

const UNWRITTEN: &str = "it is done, but the audit trail can't be written";
/// Lines that are handed to the trail at once: its queue has an end, and what finds no room is lost.
const AT_ONCE: u64 = 256;

/// One line.
#[derive(Clone)]
pub struct Deed {
    pub event: TrailEvent,
    pub whom: Option<PersonId>,
    /// `None`: that of `whom`, if there is one.
    pub company: Option<CompanyId>,
    pub session: Option<SessionId>,
    pub reason: Option<String>,
    pub detail: String,
}

/// The audit trail, opened before anything is done: what can't be written down is not done.
pub struct Record {
    trail: Audit,
}

impl Record {
    /// # Errors
    /// When the trail can't be written.
    pub fn open(settings: &Settings) -> Result<Record, Failure> {
        let metrics = Metrics::new(&settings.products);
        let trail = Audit::open(settings.audit_trail(), &metrics);
        trail.map(|trail| Record { trail }).map_err(|error| {
            Failure::not_so(format!(
                "nothing was done, for it can't be recorded: {error}"
            ))
        })
    }

    /// # Errors
    /// When it is done and can't be written down.
    pub async fn write(&self, directory: &Directory, deeds: Vec<Deed>) -> Result<(), Failure> {
        let (events, lines) = written(Some(directory), deeds).await;
        self.write_lines(directory, events, &lines).await
    }

    /// In the file alone, while the directory is away.
    ///
    /// # Errors
    /// When it is done and can't be written down.
    pub async fn write_on_file(&self, deeds: Vec<Deed>) -> Result<(), Failure> {
        let (events, _) = written(None, deeds).await;
        match self.write_events(events) {
            true => Ok(()),
            false => Err(Failure::not_so(UNWRITTEN)),
        }
    }

    /// The same, of lines that are made already.
    pub async fn write_lines(
        &self,
        directory: &Directory,
        events: Vec<AuditEvent>,
        lines: &[Line],
    ) -> Result<(), Failure> {
        let written = self.write_events(events);
        // The second copy, whatever became of the first.
        let copied = directory.record(lines).await.map_err(Failure::not_so);
        if !written {
            return Err(Failure::not_so(UNWRITTEN));
        }
        copied
    }

    fn write_events(&self, events: Vec<AuditEvent>) -> bool {
        let mut written = true;
        for (number, event) in (1_u64..).zip(events) {
            self.trail.record(event);
            if number % AT_ONCE == 0 {
                written &= self.trail.flush();
            }
        }
        written & self.trail.flush()
    }
}

async fn written(directory: Option<&Directory>, deeds: Vec<Deed>) -> (Vec<AuditEvent>, Vec<Line>) {
    let (now, mut events, mut lines) = (now(), Vec::new(), Vec::new());
    for (number, deed) in (0_u64..).zip(deeds) {
        let (event, line) = deed.written(directory, now, number).await;
        events.push(event);
        lines.push(line);
    }
    (events, lines)
}

impl Deed {
    pub fn of(event: TrailEvent) -> Deed {
        Deed {
            event,
            whom: None,
            company: None,
            session: None,
            reason: None,
            detail: String::new(),
        }
    }

    async fn written(
        self,
        directory: Option<&Directory>,
        now: Moment,
        number: u64,
    ) -> (AuditEvent, Line) {
        let deed = self;
        let company = match (deed.company, &deed.whom, directory) {
            (Some(company), ..) => Some(company),
            (None, Some(whom), Some(directory)) => company_of(directory, whom).await,
            (None, ..) => None,
        };
        let mut event = AuditEvent::new(deed.event, now).who(operator());
        if let Some(whom) = &deed.whom {
            event = event.whom(whom);
        }
        if let Some(company) = &company {
            event = event.company(company);
        }
        if let Some(session) = deed.session {
            event = event.session(session);
        }
        if let Some(reason) = &deed.reason {
            event = event.reason(reason.clone());
        }
        if !deed.detail.is_empty() {
            event = event.detail(deed.detail.as_str());
        }
        let apart = u64::from(std::process::id()) << 32 | number;
        let line = Line {
            id: Line::id_at(now, apart),
            at: now.millis(),
            company,
            event: deed.event.to_string(),
            who: Some(OPERATOR.to_owned()),
            whom: deed.whom.map(|whom| whom.to_string()),
            session: deed.session.map(|session| session.to_string()),
            address: String::from("the command line"),
            reason: deed.reason,
            detail: Some(deed.detail).filter(|detail| !detail.is_empty()),
            ..Line::default()
        };
        (event, line)
    }
}

/// The line is written without it when the directory can't say.
async fn company_of(directory: &Directory, person: &PersonId) -> Option<CompanyId> {
    let person = directory.person(person).await.ok().flatten();
    person.map(|person| person.company)
}
