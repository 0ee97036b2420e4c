//! Audit lines for the pages: of all nodes, by company and by person, newest first. Each node's
//! chained file is the evidence; what stands here is a view of it that can be searched.

use super::pool::{Row, Value};
use super::{Directory, DirectoryError, sql};
use crate::gate::name::{CompanyId, PersonId};
use crate::gate::time::Moment;

/// One line, as written and as read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// Rises with time; see [`Line::id_at`].
    pub id: String,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// `None` when it is written: the company of `who`. Not read.
    pub company: Option<CompanyId>,
    pub event: String,
    pub who: Option<String>,
    pub whom: Option<String>,
    pub session: Option<String>,
    pub address: String,
    pub request_id: String,
    pub reason: Option<String>,
    pub detail: Option<String>,
}

/// Which lines of a company are asked for; empty text asks for all.
#[derive(Debug, Clone, Copy)]
pub struct LinesOf<'a> {
    pub company: &'a CompanyId,
    /// By or to this person.
    pub person: &'a str,
    pub event: &'a str,
    pub from: Moment,
    /// Not included.
    pub to: Moment,
    /// Only lines older than the one with this id.
    pub before: Option<&'a str>,
}

impl Line {
    /// The id of a line: `apart` tells lines of one millisecond and of several nodes apart.
    pub fn id_at(at: Moment, apart: u64) -> String {
        format!("{:012x}{apart:016x}", at.millis().max(0))
    }

    fn read(row: &Row) -> Result<Line, DirectoryError> {
        Ok(Line {
            id: row.value("id")?,
            at: row.value("at")?,
            company: None,
            event: row.value("event")?,
            who: row.value("who")?,
            whom: row.value("whom")?,
            session: row.value("session")?,
            address: row.value("address")?,
            request_id: row.value("request_id")?,
            reason: row.value("reason")?,
            detail: row.value("detail")?,
        })
    }
}

impl Directory {
    /// Writes lines, all or none. A line of nobody's company is passed over, and so is one that is
    /// there already.
    pub async fn record(&self, lines: &[Line]) -> Result<(), DirectoryError> {
        let mut transaction = self.pool().begin().await?;
        for line in lines {
            let values = [
                Value::Text(&line.id),
                Value::Number(line.at),
                Value::TextOrNull(line.company.as_ref().map(CompanyId::as_str)),
                Value::Text(&line.event),
                Value::TextOrNull(line.who.as_deref()),
                Value::TextOrNull(line.whom.as_deref()),
                Value::TextOrNull(line.session.as_deref()),
                Value::Text(&line.address),
                Value::Text(&line.request_id),
                Value::TextOrNull(line.reason.as_deref()),
                Value::TextOrNull(line.detail.as_deref()),
            ];
            transaction.write(sql::TRAIL_ADD, &values).await?;
        }
        transaction.commit().await
    }

    /// Newest first, and no more than `limit`.
    pub async fn lines(&self, of: &LinesOf<'_>, limit: u32) -> Result<Vec<Line>, DirectoryError> {
        let (from, to) = (edge(of.from), edge(of.to));
        let before = of.before.map_or(to.as_str(), |before| before.min(&to));
        let values = [
            Value::Text(of.company.as_str()),
            Value::Text(before),
            Value::Text(&from),
            Value::Text(of.person),
            Value::Text(of.event),
            Value::Number(i64::from(limit)),
        ];
        let rows = self.pool().rows(sql::TRAIL, &values).await?;
        rows.iter().map(Line::read).collect()
    }

    /// The person's last sign-ins and refused attempts, newest first.
    pub async fn sign_ins_of(
        &self,
        person: &PersonId,
        limit: u32,
    ) -> Result<Vec<Line>, DirectoryError> {
        let values = [
            Value::Text(person.as_str()),
            Value::Number(i64::from(limit)),
        ];
        let rows = self.pool().rows(sql::TRAIL_SIGN_INS, &values).await?;
        rows.iter().map(Line::read).collect()
    }

    /// Lets go of lines from before `before`; returns how many.
    pub async fn forget_lines(&self, before: Moment) -> Result<u64, DirectoryError> {
        let before = edge(before);
        self.pool()
            .write(sql::TRAIL_FORGET, &[Value::Text(&before)])
            .await
    }
}

/// Between the ids of what was before the moment and those of what was not.
fn edge(at: Moment) -> String {
    format!("{:012x}", at.millis().max(0))
}
