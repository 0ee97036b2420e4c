//! `vestibule break-glass`: for the day when people must get at what they need and can't prove a
//! second factor. Opened by who has the machine, for a reason, for hours; never in silence.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::one_line;
use super::operator::{OPERATOR, operator};
use crate::directory::{Directory, DirectoryError, Line, StoredEmergency};
use crate::gate::name::{CompanyId, PersonId};
use crate::gate::policy::Emergency;
use crate::gate::time::{Moment, parse_span};
use crate::gate::trail::TrailEvent;
use crate::observe::audit::AuditEvent;

/// Who needs longer opens another, and says why again.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// In characters.
const LONGEST_REASON: usize = 200;

#[derive(Debug, Args)]
pub struct BreakGlassArgs {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// From now on no second factor is asked for, of a company's people or of one of them. Passwords,
    /// rules and grants hold as ever
    Open {
        /// Whose people are let in with one factor
        #[arg(long, value_parser = company)]
        company: CompanyId,
        /// This person alone
        #[arg(long, value_parser = person)]
        person: Option<PersonId>,
        /// Why; it stands in the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
        /// How long, at most 24h
        #[arg(long = "for", value_parser = span, default_value = "1h")]
        span: Duration,
    },
    /// Emergencies that are going on
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Ends one now
    Close {
        /// As `list` shows it
        id: String,
    },
}

fn company(text: &str) -> Result<CompanyId, String> {
    CompanyId::parse(text).map_err(|error| error.to_string())
}

fn person(text: &str) -> Result<PersonId, String> {
    PersonId::parse(text).map_err(|error| error.to_string())
}

fn reason(text: &str) -> Result<String, String> {
    one_line(text, LONGEST_REASON)
}

fn span(text: &str) -> Result<Duration, &'static str> {
    parse_span(text)
        .filter(|span| !span.is_zero() && *span <= LONGEST)
        .ok_or("expected a duration such as 30m or 4h, at most 24h")
}

/// What came of it: what is shown, and what goes on record.
pub struct Done {
    pub text: String,
    pub record: Option<(AuditEvent, Line)>,
    /// Whether there was such a thing.
    pub found: bool,
}

/// `fresh`: a name for a new one.
pub async fn run(
    verb: &Verb,
    directory: &Directory,
    fresh: &str,
    now: Moment,
) -> Result<Done, DirectoryError> {
    match verb {
        Verb::Open {
            company,
            person,
            reason,
            span,
        } => {
            let one = StoredEmergency {
                id: fresh.to_owned(),
                of: Emergency {
                    company: company.clone(),
                    person: person.clone(),
                    until: now.plus(*span),
                },
                reason: reason.clone(),
                opened_by: operator(),
                opened_at: now,
            };
            directory.open_emergency(&one).await?;
            let text = format!(
                "{fresh}: open until {}; every sign-in during it is on record, and so is this\n",
                one.of.until.to_rfc3339()
            );
            Ok(Done {
                text,
                record: Some(record(TrailEvent::BreakGlassOpened, &one, now)),
                found: true,
            })
        }
        Verb::List { json } => {
            let all = directory.emergencies(now).await?;
            Ok(Done {
                text: if *json { as_json(&all) } else { as_text(&all) },
                record: None,
                found: true,
            })
        }
        Verb::Close { id } => {
            let all = directory.emergencies(now).await?;
            let one = all.into_iter().find(|one| one.id == *id);
            let closed = directory.close_emergency(id, now).await?;
            Ok(Done {
                text: match closed {
                    true => format!("{id}: closed\n"),
                    false => format!("{id}: no such emergency is going on\n"),
                },
                record: one
                    .filter(|_| closed)
                    .map(|one| record(TrailEvent::BreakGlassClosed, &one, now)),
                found: closed,
            })
        }
    }
}

fn record(event: TrailEvent, one: &StoredEmergency, now: Moment) -> (AuditEvent, Line) {
    let detail = format!("{} until {}", one.id, one.of.until.to_rfc3339());
    let mut line = AuditEvent::new(event, now)
        .who(operator())
        .company(&one.of.company)
        .reason(one.reason.clone())
        .detail(detail.clone());
    if let Some(person) = &one.of.person {
        line = line.whom(person);
    }
    let stored = Line {
        id: Line::id_at(now, u64::from(std::process::id())),
        at: now.millis(),
        company: Some(one.of.company.clone()),
        event: event.to_string(),
        who: Some(OPERATOR.to_owned()),
        whom: one.of.person.as_ref().map(ToString::to_string),
        address: String::from("the command line"),
        reason: Some(one.reason.clone()),
        detail: Some(detail),
        ..Line::default()
    };
    (line, stored)
}

fn as_text(all: &[StoredEmergency]) -> String {
    let mut text = String::new();
    for one in all {
        let whose = one
            .of
            .person
            .as_ref()
            .map_or_else(|| String::from("everybody"), ToString::to_string);
        let _ = writeln!(
            text,
            "{}  {}  {whose}  until {}  by {}: {}",
            one.id,
            one.of.company,
            one.of.until.to_rfc3339(),
            one.opened_by,
            one.reason
        );
    }
    if all.is_empty() {
        text.push_str("no emergency is going on\n");
    }
    text
}

fn as_json(all: &[StoredEmergency]) -> String {
    let all: Vec<serde_json::Value> = all
        .iter()
        .map(|one| {
            serde_json::json!({
                "id": one.id, "company": one.of.company.as_str(),
                "person": one.of.person.as_ref().map(ToString::to_string),
                "reason": one.reason, "opened_by": one.opened_by,
                "opened_at": one.opened_at.to_rfc3339(), "until": one.of.until.to_rfc3339(),
            })
        })
        .collect();
    format!("{}\n", serde_json::Value::Array(all))
}
