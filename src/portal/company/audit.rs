//! The company's audit trail: newest first, a page at a time, and as a file for a spreadsheet.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::IntoResponse;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use jiff::tz::TimeZone;
use url::form_urlencoded::Serializer;

use super::{Official, proven_official};
use crate::directory::{Line, LinesOf};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::{self, AuditRow};
use crate::portal::answer::page as answered;
use crate::portal::apps::{COMPANY_ADMIN, frame};
use crate::portal::fields::Fields;
use crate::portal::language::words;
use crate::portal::trouble::{Answer, Trouble};
use crate::portal::visit::Visit;
use crate::portal::{Audit, State, when};

const PATH: &str = "/company/audit";
const EXPORT: &str = "/company/audit/export";

/// Lines on a page.
const PAGE: u32 = 50;
/// Lines asked for at once, and in one file.
const CHUNK: u32 = 1_000;
const LONGEST_FILE: usize = 20_000;
/// How far back one looks without saying so.
const LOOK_BACK: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What is looked for, as it was typed.
struct Filter {
    person: String,
    event: String,
    from: String,
    to: String,
    before: String,
}

impl Filter {
    fn of(fields: &Fields) -> Filter {
        let short = |name| fields.text(name).trim().chars().take(64).collect();
        Filter {
            person: short("person"),
            event: short("event"),
            from: short("from"),
            to: short("to"),
            before: short("before"),
        }
    }

    /// In an address, without the place in the list.
    fn on(&self, path: &str, before: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        let all = [
            ("person", self.person.as_str()),
            ("event", &self.event),
            ("from", &self.from),
            ("to", &self.to),
            ("before", before.unwrap_or_default()),
        ];
        query.extend_pairs(all.iter().filter(|(_, value)| !value.is_empty()));
        let query = query.finish();
        if query.is_empty() {
            return path.to_owned();
        }
        format!("{path}?{query}")
    }

    fn lines_of<'a>(
        &'a self,
        official: &'a Official,
        timezone: &TimeZone,
        now: Moment,
    ) -> (LinesOf<'a>, Option<&'static str>) {
        let from = when::day_begins(&self.from, timezone);
        let to = when::day_ends(&self.to, timezone);
        let wrong =
            (!self.from.is_empty() && from.is_none()) || (!self.to.is_empty() && to.is_none());
        let to = to.unwrap_or_else(|| now.plus(Duration::from_secs(3600)));
        let of = LinesOf {
            company: &official.company.id,
            person: &self.person,
            event: &self.event,
            from: from.unwrap_or_else(|| to.minus(LOOK_BACK)),
            to,
            before: (!self.before.is_empty()).then_some(self.before.as_str()),
        };
        (of, wrong.then_some(words().write_days_as()))
    }
}

pub async fn page(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let filter = Filter::of(&fields);
    let here = filter.on(PATH, Some(&filter.before));
    let official = match proven_official(&state, &visit, (&here, COMPANY_ADMIN), now).await? {
        Ok(official) => official,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let timezone = timezone(&state, &official);
    let (of, problem) = filter.lines_of(&official, &timezone, now);
    let mut lines = state.directory.lines(&of, PAGE.saturating_add(1)).await?;
    let shown = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let more = lines.len() > shown;
    lines.truncate(shown);
    let next = lines.last().filter(|_| more);
    answered(&pages::AuditTrail {
        frame: frame(&state, Some(&official.session), PATH),
        company: official.company.name.clone(),
        next: next.map(|last| filter.on(PATH, Some(&last.id))),
        export: filter.on(EXPORT, None),
        rows: lines.into_iter().map(|line| row(line, &timezone)).collect(),
        person: filter.person.clone(),
        event: filter.event.clone(),
        from: filter.from.clone(),
        to: filter.to.clone(),
        events: TrailEvent::of_companies().map(TrailEvent::as_str).collect(),
        problem,
        zone: timezone
            .iana_name()
            .map_or_else(|| String::from("UTC"), str::to_owned),
    })
}

fn timezone(state: &State, official: &Official) -> TimeZone {
    state
        .policies
        .load()
        .of(&official.company.id)
        .timezone
        .clone()
}

fn row(line: Line, timezone: &TimeZone) -> AuditRow {
    AuditRow {
        at: when::words(Moment::from_millis(line.at), timezone),
        event: line.event,
        who: line.who.unwrap_or_default(),
        whom: line.whom.unwrap_or_default(),
        address: line.address,
        reason: line.reason.unwrap_or_default(),
        detail: line.detail.unwrap_or_default(),
    }
}

pub async fn export(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let filter = Filter::of(&fields);
    let here = filter.on(PATH, None);
    let official = match proven_official(&state, &visit, (&here, COMPANY_ADMIN), now).await? {
        Ok(official) => official,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let timezone = timezone(&state, &official);
    let (of, _) = filter.lines_of(&official, &timezone, now);
    let (file, count) = file(&state, of).await?;
    state.observer.audit(Audit {
        event: TrailEvent::AuditExported,
        person: Some(&official.person.id),
        company: Some(&official.company.id),
        session: Some(official.session.id),
        address: visit.facts.address,
        request_id: &visit.request_id,
        detail: &format!("{count} lines"),
    });
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (CONTENT_DISPOSITION, "attachment; filename=\"audit.csv\""),
    ];
    Ok((headers, file).into_response())
}

/// RFC 4180. When there are more lines than go into one file, its last line says so.
async fn file(state: &State, of: LinesOf<'_>) -> Result<(String, usize), Trouble> {
    let mut text = String::from("time,event,who,whom,address,reason,detail,session,request_id\r\n");
    let mut count = 0;
    let mut last = None::<String>;
    loop {
        let before = last.as_deref().or(of.before);
        let part = LinesOf { before, ..of };
        let lines = state.directory.lines(&part, CHUNK).await?;
        for line in &lines {
            put(&mut text, line);
        }
        count += lines.len();
        if count >= LONGEST_FILE {
            text.push_str("there may be more: export a shorter time,,,,,,,,\r\n");
            return Ok((text, count));
        }
        match lines.last() {
            Some(line) if lines.len() >= usize::try_from(CHUNK).unwrap_or(usize::MAX) => {
                last = Some(line.id.clone());
            }
            Some(_) | None => return Ok((text, count)),
        }
    }
}

fn put(text: &mut String, line: &Line) {
    let cells = [
        Some(Moment::from_millis(line.at).to_rfc3339()),
        Some(line.event.clone()),
        line.who.clone(),
        line.whom.clone(),
        Some(line.address.clone()),
        line.reason.clone(),
        line.detail.clone(),
        line.session.clone(),
        Some(line.request_id.clone()),
    ];
    let cells = cells.map(|cell| cell_of(&cell.unwrap_or_default()));
    let _ = write!(text, "{}\r\n", cells.join(","));
}

/// A spreadsheet takes what begins so for a formula, and runs it for whoever opens the file: an
/// apostrophe makes it text (OWASP, CSV Injection).
fn cell_of(value: &str) -> String {
    let guard = if value.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        "'"
    } else {
        ""
    };
    if guard.is_empty() && !value.contains(['"', ',', '\n', '\r', '\t', ';', '\'']) {
        return value.to_owned();
    }
    format!("\"{guard}{}\"", value.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (value, cell) in [
            ("kim", "kim"),
            ("", ""),
            ("lost phone, again", "\"lost phone, again\""),
            ("said \"no\"", "\"said \"\"no\"\"\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
        ] {
            assert_eq!(cell_of(value), cell, "{value}");
        }
    }
}
