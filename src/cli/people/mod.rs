//! `vestibule people …`: what a user manager can do, for scripts.

mod answers;

use std::net::IpAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use clap::{Args, Subcommand};
use serde_json::json;
use tokio::io::{AsyncBufRead, AsyncReadExt, BufReader};
use zeroize::Zeroizing;

use crate::app::Letter;
use crate::directory::import::{Change, ImportError, Problem};
use crate::directory::passwords::{HashError, Hasher, LONGEST_PASSWORD};
use crate::directory::{Account, Directory, DirectoryError, Person};
use crate::gate::name::{CompanyId, PersonId, ProductId};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::portal::locks::Lock;
use crate::sessions::EndCause;
use crate::sessions::store::StoreError;
use answers::{import_told, line, people_told, person_told, problems_told};

/// People, companies and accounts
#[derive(Debug, Args)]
pub struct People {
    #[command(subcommand)]
    pub command: PeopleCommand,
    /// Why; it stands in the audit trail with what is done
    #[arg(long, global = true, value_name = "TEXT", value_parser = crate::cli::reason)]
    pub reason: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum PeopleCommand {
    /// Import companies, people, accounts and links from JSON lines: all or nothing
    Import {
        /// The file; "-" reads standard input
        file: PathBuf,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// List people, by id
    List {
        /// Only of this company
        #[arg(long, value_parser = CompanyId::parse)]
        company: Option<CompanyId>,
        /// Only those with this in their id, name or address
        #[arg(long)]
        search: Option<String>,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one person with accounts, second factors, and the throttles that hold them at the moment
    Show {
        /// By id
        #[arg(value_parser = PersonId::parse)]
        person: PersonId,
        /// Also what holds them at this address: those throttles are kept under a hash of it
        #[arg(long)]
        address: Option<IpAddr>,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a person's second factors and end their sessions
    ResetMfa {
        /// By id
        #[arg(value_parser = PersonId::parse)]
        person: PersonId,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Keep a person from signing in and end their sessions
    Disable {
        /// By id
        #[arg(value_parser = PersonId::parse)]
        person: PersonId,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a disabled person sign in again
    Enable {
        /// By id
        #[arg(value_parser = PersonId::parse)]
        person: PersonId,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Set the password of a person's account, read from standard input, and end their sessions
    SetPassword {
        /// By id
        #[arg(value_parser = PersonId::parse)]
        person: PersonId,
        /// The product that the account belongs to
        #[arg(long, value_parser = ProductId::parse)]
        product: ProductId,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Ends sessions wherever they are kept.
#[async_trait]
pub trait EndSessions: Send + Sync {
    /// Returns how many ended.
    async fn end_person(&self, person: &PersonId, cause: EndCause) -> Result<usize, StoreError>;

    /// Wrong codes of the person's factors count no more.
    async fn forget_wrong_codes(&self, person: &PersonId) -> Result<(), StoreError>;

    /// Which throttles hold them at the moment, at this address too.
    async fn locks(
        &self,
        person: &PersonId,
        accounts: &[Account],
        address: Option<IpAddr>,
    ) -> Result<Vec<Lock>, StoreError>;
}

/// What the commands work with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    pub directory: &'a Directory,
    pub hasher: &'a Hasher,
    /// The configured products.
    pub products: &'a [ProductId],
    pub sessions: &'a dyn EndSessions,
    /// Why a person's password for an account is not to be set here, if it lives elsewhere.
    pub kept_elsewhere: &'a (dyn Fn(&Person, &Account) -> Option<String> + Sync),
    /// Told of each person whom an import gave an authenticator.
    pub authenticator_added: &'a (dyn Fn(&PersonId) + Sync),
    pub now: Moment,
}

/// Why it was not done: a message for stderr, and exit code 1.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    #[error("{0}")]
    NotSo(String),
    #[error("{} and nothing was imported", problems_told(file, .problems))]
    Problems {
        file: String,
        problems: Vec<Problem>,
    },
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The change is made, and sessions go on that should have ended.
    #[error("{done}, but the sessions could not be ended: {error}")]
    Sessions { done: String, error: StoreError },
    /// The factors were removed, and one that was added in that moment may be there.
    #[error("{done}, but one that was added meanwhile may be left: {error}")]
    Late { done: String, error: DirectoryError },
}

/// NIST SP 800-63B-4 and ASVS 6.2.1.
const SHORTEST_PASSWORD: usize = 8;
/// How many people are asked for at once.
const PAGE: u32 = 500;

impl PeopleCommand {
    /// What the command does, in the audit trail's word, and to whose access if it is one person's;
    /// `None` when it only looks.
    pub fn act(&self) -> Option<(TrailEvent, Option<&PersonId>)> {
        match self {
            PeopleCommand::ResetMfa { person, .. } => Some((TrailEvent::MfaReset, Some(person))),
            PeopleCommand::Disable { person, .. } => {
                Some((TrailEvent::PersonDisabled, Some(person)))
            }
            PeopleCommand::Enable { person, .. } => Some((TrailEvent::PersonEnabled, Some(person))),
            PeopleCommand::SetPassword { person, .. } => {
                Some((TrailEvent::PasswordSet, Some(person)))
            }
            PeopleCommand::Import { .. } => Some((TrailEvent::PeopleImported, None)),
            PeopleCommand::List { .. } | PeopleCommand::Show { .. } => None,
        }
    }

    /// What the audit line says of it beside the person.
    pub fn about(&self) -> String {
        match self {
            PeopleCommand::SetPassword { product, .. } => product.to_string(),
            _ => String::new(),
        }
    }

    /// What its owner is told by mail when it is done, as when the same is done in the portal.
    pub fn letter(&self) -> Option<(Letter, &PersonId)> {
        match self {
            PeopleCommand::ResetMfa { person, .. } => Some((Letter::FactorsReset, person)),
            PeopleCommand::SetPassword { person, .. } => Some((Letter::PasswordChanged, person)),
            _ => None,
        }
    }

    /// Does it; the answer is what belongs on stdout. `input` is standard input.
    pub async fn run(
        &self,
        means: Means<'_>,
        input: impl AsyncBufRead + Unpin,
    ) -> Result<String, PeopleError> {
        match self {
            PeopleCommand::Import { file, json } => import(means, file, input, *json).await,
            PeopleCommand::List {
                company,
                search,
                json,
            } => list(means.directory, company.as_ref(), search.as_deref(), *json).await,
            PeopleCommand::Show {
                person,
                address,
                json,
            } => show(means, person, *address, *json).await,
            PeopleCommand::ResetMfa { person, json } => reset_mfa(means, person, *json).await,
            PeopleCommand::Disable { person, json } => disable(means, person, true, *json).await,
            PeopleCommand::Enable { person, json } => disable(means, person, false, *json).await,
            PeopleCommand::SetPassword {
                person,
                product,
                json,
            } => set_password(means, person, product, input, *json).await,
        }
    }
}

async fn import(
    means: Means<'_>,
    file: &PathBuf,
    input: impl AsyncBufRead + Unpin,
    json: bool,
) -> Result<String, PeopleError> {
    let Means {
        directory,
        hasher,
        products,
        sessions,
        now,
        ..
    } = means;
    let name = file.display().to_string();
    let imported = if name == "-" {
        directory.import(hasher, input, products, now).await
    } else {
        let opened = tokio::fs::File::open(file).await;
        let opened = opened.map_err(|error| PeopleError::NotSo(format!("{name}: {error}")))?;
        directory
            .import(hasher, BufReader::new(opened), products, now)
            .await
    };
    let imported = imported.map_err(|error| match error {
        ImportError::Problems(problems) => PeopleError::Problems {
            file: name.clone(),
            problems,
        },
        ImportError::Directory(error) => PeopleError::Directory(error),
        error => PeopleError::NotSo(format!("{name}: {error}")),
    })?;
    for person in &imported.taken_over {
        (means.authenticator_added)(person);
    }
    let mut ended = 0;
    // Everybody's turn, even when one fails: the answer tells of the last failure.
    let mut failure = None;
    for (person, change) in &imported.changed {
        let cause = match change {
            Change::Password => EndCause::PasswordChanged,
            Change::Profile | Change::Link => EndCause::Revoked,
        };
        match sessions.end_person(person, cause).await {
            Ok(count) => ended += count,
            Err(error) => failure = Some((person, error)),
        }
    }
    match failure {
        None => Ok(import_told(&imported, ended, json)),
        Some((person, error)) => {
            let done = format!("the import is made (changed: {person} and perhaps others)");
            Err(PeopleError::Sessions { done, error })
        }
    }
}

async fn list(
    directory: &Directory,
    company: Option<&CompanyId>,
    search: Option<&str>,
    json: bool,
) -> Result<String, PeopleError> {
    let mut people = Vec::new();
    loop {
        let offset = u64::try_from(people.len()).unwrap_or(u64::MAX);
        let page = directory.people(company, search, PAGE, offset).await?;
        if page.is_empty() {
            return Ok(people_told(&people, json));
        }
        people.extend(page);
    }
}

async fn show(
    means: Means<'_>,
    id: &PersonId,
    address: Option<IpAddr>,
    json: bool,
) -> Result<String, PeopleError> {
    let directory = means.directory;
    let person = directory.person(id).await?.ok_or_else(|| nobody(id))?;
    let accounts = directory.accounts_of(id).await?;
    let factors = directory.factors(id).await?;
    // A store that is away locks nobody out and tells nothing: the rest is worth telling.
    let locks = means.sessions.locks(id, &accounts, address).await;
    Ok(person_told(&person, &accounts, &factors, &locks, json))
}

async fn reset_mfa(means: Means<'_>, id: &PersonId, json: bool) -> Result<String, PeopleError> {
    means
        .directory
        .person(id)
        .await?
        .ok_or_else(|| nobody(id))?;
    let removed = means.directory.reset_factors(id).await?;
    let done = format!("{id}: {removed} factors removed");
    // Each, whatever becomes of the others; the answer tells of the first failure.
    let ended = end(means, id, EndCause::FactorReset, &done).await;
    // One that a session added while it was still there.
    let late = means.directory.remove_factors(id).await;
    // A factor that was locked would be locked again as soon as it is set up.
    let forgotten = means.sessions.forget_wrong_codes(id).await;
    let ended = ended?;
    if let Err(error) = late {
        return Err(PeopleError::Late { done, error });
    }
    if let Err(error) = forgotten {
        return Err(PeopleError::Sessions { done, error });
    }
    Ok(if json {
        line(&json!({"person": id, "factors_removed": removed, "sessions_ended": ended}))
    } else {
        format!("{done}, {ended} sessions ended\n")
    })
}

async fn disable(
    means: Means<'_>,
    id: &PersonId,
    disabled: bool,
    json: bool,
) -> Result<String, PeopleError> {
    if !means.directory.set_disabled(id, disabled).await? {
        return Err(nobody(id));
    }
    let done = format!("{id}: {}", if disabled { "disabled" } else { "enabled" });
    let ended = if disabled {
        end(means, id, EndCause::PersonDisabled, &done).await?
    } else {
        0
    };
    Ok(if json {
        line(&json!({"person": id, "disabled": disabled, "sessions_ended": ended}))
    } else {
        format!("{done}, {ended} sessions ended\n")
    })
}

async fn set_password(
    means: Means<'_>,
    id: &PersonId,
    product: &ProductId,
    input: impl AsyncBufRead + Unpin,
    json: bool,
) -> Result<String, PeopleError> {
    let Means {
        directory,
        hasher,
        kept_elsewhere,
        now,
        ..
    } = means;
    let person = directory.person(id).await?.ok_or_else(|| nobody(id))?;
    let accounts = directory.accounts_of(id).await?;
    let account = accounts
        .into_iter()
        .find(|account| account.product == *product)
        .ok_or_else(|| PeopleError::NotSo(format!("{id} has no account of {product}")))?;
    if let Some(reason) = kept_elsewhere(&person, &account) {
        return Err(PeopleError::NotSo(reason));
    }
    let password = read_password(input).await?;
    let failed = |error: HashError| PeopleError::NotSo(error.to_string());
    let hash = hasher.hash(password).await.map_err(failed)?;
    if !directory
        .set_password(product, &account.login, &hash, now)
        .await?
    {
        return Err(PeopleError::NotSo(format!(
            "{id} has no account of {product}"
        )));
    }
    let done = format!("{id}: password of {product} set");
    let ended = end(means, id, EndCause::PasswordChanged, &done).await?;
    Ok(if json {
        line(&json!({"person": id, "product": product, "sessions_ended": ended}))
    } else {
        format!("{done}, {ended} sessions ended\n")
    })
}

/// One line of standard input: a password on the command line would stand in process lists.
async fn read_password(input: impl AsyncBufRead + Unpin) -> Result<Zeroizing<String>, PeopleError> {
    let not_so = |text: String| PeopleError::NotSo(text);
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_PASSWORD + 3));
    // Two more for the end of the line, and one to see that there is too much.
    let most = u64::try_from(LONGEST_PASSWORD)
        .unwrap_or(u64::MAX)
        .saturating_add(3);
    input
        .take(most)
        .read_to_end(&mut bytes)
        .await
        .map_err(|error| not_so(format!("the password can't be read: {error}")))?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let password =
        std::str::from_utf8(line).map_err(|_| not_so(String::from("the password is not UTF-8")))?;
    if password.len() > LONGEST_PASSWORD || password.chars().count() < SHORTEST_PASSWORD {
        return Err(not_so(format!(
            "a password has at least {SHORTEST_PASSWORD} characters and at most {LONGEST_PASSWORD} bytes"
        )));
    }
    if password.chars().any(char::is_control) {
        return Err(not_so(String::from("the password is not one line of text")));
    }
    Ok(Zeroizing::new(password.to_owned()))
}

async fn end(
    means: Means<'_>,
    person: &PersonId,
    cause: EndCause,
    done: &str,
) -> Result<usize, PeopleError> {
    let ended = means.sessions.end_person(person, cause).await;
    ended.map_err(|error| PeopleError::Sessions {
        done: done.to_owned(),
        error,
    })
}

fn nobody(id: &PersonId) -> PeopleError {
    PeopleError::NotSo(format!("there is no person \"{id}\""))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        people: People,
    }

    fn parse(line: &str) -> Result<PeopleCommand, clap::error::ErrorKind> {
        Alone::try_parse_from(line.split(' '))
            .map(|alone| alone.people.command)
            .map_err(|error| error.kind())
    }

    #[test]
    fn the_words_are_those_of_the_contract() {
        Alone::command().debug_assert();
        for line in [
            "people import people.jsonl",
            "people list --json",
            "people show kim --json",
            "people reset-mfa kim",
            "people disable kim",
            "people enable kim",
            "people set-password kim --product emr",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_is_no_id_is_wrong_usage() {
        use clap::error::ErrorKind;
        assert_eq!(
            parse("people disable Kim").unwrap_err(),
            ErrorKind::ValueValidation
        );
        assert_eq!(
            parse("people set-password kim").unwrap_err(),
            ErrorKind::MissingRequiredArgument
        );
        let typed = parse("people set-password kim --product emr secret").unwrap_err();
        assert_eq!(typed, ErrorKind::UnknownArgument);
    }
}
