//! `vestibule sessions list|revoke`: works on the store, so that it needs no running gateway and
//! every running one hears of it.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::gate::name::{CompanyId, PersonId, ProductId, SessionId};
use crate::gate::session::{LastSeen, Session};
use crate::gate::time::Moment;
use crate::sessions::ending;
use crate::sessions::store::{Store, StoreError};

#[derive(Debug, Args)]
pub struct SessionsArgs {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print the sessions of a person or company, or one
    List(Selection),
    /// End them, on every gateway at once
    Revoke(Selection),
}

#[derive(Debug, Args)]
pub struct Selection {
    #[command(flatten)]
    pub which: Which,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Exactly one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// Of this person
    #[arg(long, value_name = "ID", value_parser = PersonId::parse)]
    pub person: Option<PersonId>,
    /// Whose current company is this one
    #[arg(long, value_name = "ID", value_parser = CompanyId::parse)]
    pub company: Option<CompanyId>,
    /// This one
    #[arg(long, value_name = "ID", value_parser = SessionId::parse)]
    pub session: Option<SessionId>,
}

#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the answer can't be written: {0}")]
    Output(#[from] io::Error),
}

/// One line of the list.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    session: SessionId,
    person: &'a PersonId,
    name: &'a str,
    company: &'a CompanyId,
    started_at: String,
    last_seen_at: Option<String>,
    amr: Vec<&'static str>,
    products: Vec<&'a ProductId>,
    address: &'a str,
    user_agent: &'a str,
}

/// What came of a verb.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// False (exit 1): the one session that was named is not there.
    pub found: bool,
    /// For the audit trail.
    pub ended: Vec<Ended>,
}

/// One session that was ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub session: SessionId,
    pub person: PersonId,
    pub company: CompanyId,
}

/// Runs the verb; data go to `out`.
pub async fn run(
    args: &SessionsArgs,
    store: &dyn Store,
    now: Moment,
    out: &mut (dyn Write + Send),
) -> Result<Done, SessionsError> {
    match &args.verb {
        Verb::List(selection) => list(selection, store, now, out).await,
        Verb::Revoke(selection) => revoke(selection, store, now, out).await,
    }
}

async fn list(
    selection: &Selection,
    store: &dyn Store,
    now: Moment,
    out: &mut (dyn Write + Send),
) -> Result<Done, SessionsError> {
    let mut sessions = Vec::new();
    for id in ids(&selection.which, store, now).await? {
        sessions.extend(store.load(id, now).await?);
    }
    sessions.sort_by_key(|(session, _)| (session.started_at, session.id));
    let listed: Vec<Listed<'_>> = sessions
        .iter()
        .map(|(session, seen)| Listed::of(session, seen))
        .collect();
    if selection.json {
        write_json(out, &listed)?;
    } else {
        for one in &listed {
            writeln!(out, "{}", one.line())?;
        }
    }
    Ok(Done {
        found: selection.which.session.is_none() || !listed.is_empty(),
        ended: Vec::new(),
    })
}

async fn revoke(
    selection: &Selection,
    store: &dyn Store,
    now: Moment,
    out: &mut (dyn Write + Send),
) -> Result<Done, SessionsError> {
    let (mut revoked, mut ended) = (Vec::new(), Vec::new());
    for id in ids(&selection.which, store, now).await? {
        let known = store.load(id, now).await?;
        if ending::end(store, id, now).await? {
            revoked.push(id);
            ended.extend(known.map(|(session, _)| Ended {
                session: id,
                person: session.person.id,
                company: session.company,
            }));
        }
    }
    if selection.json {
        write_json(
            out,
            &serde_json::json!({ "revoked": revoked.len(), "sessions": revoked }),
        )?;
    } else {
        let s = if revoked.len() == 1 { "" } else { "s" };
        writeln!(out, "{} session{s} ended", revoked.len())?;
    }
    Ok(Done {
        found: selection.which.session.is_none() || !revoked.is_empty(),
        ended,
    })
}

async fn ids(which: &Which, store: &dyn Store, now: Moment) -> Result<Vec<SessionId>, StoreError> {
    if let Some(person) = &which.person {
        return store.of_person(person, now).await;
    }
    if let Some(company) = &which.company {
        return store.of_company(company, now).await;
    }
    Ok(which.session.into_iter().collect())
}

impl<'a> Listed<'a> {
    fn of(session: &'a Session, seen: &LastSeen) -> Listed<'a> {
        let last_seen = seen.products.values().copied().max().max(seen.anywhere);
        Listed {
            session: session.id,
            person: &session.person.id,
            name: &session.person.name,
            company: &session.company,
            started_at: session.started_at.to_rfc3339(),
            last_seen_at: last_seen.map(Moment::to_rfc3339),
            amr: session.amr(),
            products: session.entries.keys().collect(),
            address: &session.address,
            user_agent: &session.user_agent,
        }
    }

    fn line(&self) -> String {
        let seen = self.last_seen_at.as_deref().unwrap_or("-");
        let products: Vec<&str> = self
            .products
            .iter()
            .map(|product| product.as_str())
            .collect();
        let line = format!(
            "{}  {}  {}  {}  {seen}  {}  {}  {}",
            self.session,
            self.person,
            self.company,
            self.started_at,
            products.join(","),
            self.address,
            self.user_agent,
        );
        // What a browser calls itself must not move the terminal's cursor.
        line.chars().filter(|c| !c.is_control()).collect()
    }
}

fn write_json(out: &mut (dyn Write + Send), value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        sessions: SessionsArgs,
    }

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"sessions").chain(args))
    }

    #[test]
    fn exactly_one_selection_is_asked_for() {
        assert!(parse(&["revoke", "--person", "kim"]).is_ok());
        assert!(parse(&["list", "--company", "acme-rehab", "--json"]).is_ok());
        for wrong in [
            &["revoke"][..],
            &["revoke", "--person", "kim", "--company", "acme-rehab"],
            &["list", "--person", "Kim Doe"],
            &["list", "--session", "short"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
