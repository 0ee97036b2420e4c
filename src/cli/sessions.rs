//! `vestibule sessions list|revoke`: works on the store, so that it needs no running gateway and
//! every running one hears of it.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::gate::name::{CompanyId, PersonId, ProductId, SessionId};
use crate::gate::session::{LastSeen, Session};
use crate::gate::time::Moment;
use crate::sessions::ending;
use crate::sessions::store::{Store, StoreError};

/// So many in a row that can't be ended: the store is away.
const AWAY: u32 = 16;

#[derive(Debug, Args)]
pub struct SessionsArgs {
    #[command(subcommand)]
    pub verb: Verb,
    /// Why they are ended; it stands in the audit trail
    #[arg(long, global = true, value_name = "TEXT", value_parser = super::reason)]
    pub reason: Option<String>,
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
    // One of 64 begins with a hyphen.
    #[arg(long, value_name = "ID", value_parser = SessionId::parse, allow_hyphen_values = true)]
    pub session: Option<SessionId>,
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

/// What is printed.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub text: String,
    /// False (exit 1): the one session that was named is not there.
    pub found: bool,
}

/// What was ended, also when not all could be.
#[derive(Debug, Default)]
pub struct Revoked {
    sessions: Vec<SessionId>,
    /// For the audit trail.
    pub ended: Vec<Ended>,
    one_was_named: bool,
    failure: Option<StoreError>,
}

/// One session that was ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub session: SessionId,
    pub person: PersonId,
    pub company: CompanyId,
    /// All for which it was at work.
    pub at_work: BTreeSet<CompanyId>,
}

pub async fn list(
    selection: &Selection,
    store: &dyn Store,
    now: Moment,
) -> Result<Told, StoreError> {
    let mut sessions = Vec::new();
    for id in ids(&selection.which, store, now).await? {
        sessions.extend(store.load(id, now).await?);
    }
    sessions.sort_by_key(|(session, _)| (session.started_at, session.id));
    let listed: Vec<Listed<'_>> = sessions
        .iter()
        .map(|(session, seen)| Listed::of(session, seen))
        .collect();
    let text = match selection.json {
        true => as_json(&listed),
        false => listed.iter().map(|one| one.line() + "\n").collect(),
    };
    Ok(Told {
        text,
        found: selection.which.session.is_none() || !listed.is_empty(),
    })
}

/// Ends them, one after another, each whatever becomes of the others; the first failure is told.
pub async fn revoke(selection: &Selection, store: &dyn Store, now: Moment) -> Revoked {
    let mut revoked = Revoked {
        one_was_named: selection.which.session.is_some(),
        ..Revoked::default()
    };
    let chosen = match ids(&selection.which, store, now).await {
        Ok(chosen) => chosen,
        Err(failure) => {
            revoked.failure = Some(failure);
            return revoked;
        }
    };
    let mut failures = 0;
    for id in chosen {
        match revoke_one(&mut revoked, id, store, now).await {
            Ok(()) => failures = 0,
            Err(failure) => {
                failures += 1;
                revoked.failure.get_or_insert(failure);
            }
        }
        if failures == AWAY {
            break;
        }
    }
    revoked
}

async fn revoke_one(
    revoked: &mut Revoked,
    id: SessionId,
    store: &dyn Store,
    now: Moment,
) -> Result<(), StoreError> {
    let known = match store.load(id, now).await {
        Ok(known) => known,
        // Ended like any other.
        Err(StoreError::Corrupt(_)) => None,
        Err(failure) => return Err(failure),
    };
    if ending::end(store, id, now).await? {
        revoked.sessions.push(id);
        revoked.ended.extend(known.map(|(session, _)| Ended {
            session: id,
            at_work: session.companies_at_work().cloned().collect(),
            person: session.person.id,
            company: session.company,
        }));
    }
    Ok(())
}

impl Revoked {
    /// # Errors
    /// When the store failed before all were ended.
    pub fn told(self, json: bool) -> Result<Told, StoreError> {
        let count = self.sessions.len();
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let s = if count == 1 { "" } else { "s" };
        Ok(Told {
            text: match json {
                true => {
                    as_json(&serde_json::json!({ "revoked": count, "sessions": self.sessions }))
                }
                false => format!("{count} session{s} ended\n"),
            },
            found: !self.one_was_named || count > 0,
        })
    }
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

fn as_json(value: &impl Serialize) -> String {
    // Names and numbers: nothing in it that JSON could not say.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
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
