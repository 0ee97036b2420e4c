//! `vestibule scim …` and `vestibule identities …`: what lets people from elsewhere in.

use clap::Subcommand;
use serde_json::json;

use super::on_record::{Deed, Record};
use super::world::{now, open_directory, print, real};
use super::{Failure, one_line};
use crate::config::Settings;
use crate::directory::Directory;
use crate::directory::scim::TOKEN_PREFIX;
use crate::gate::name::{CompanyId, PersonId};
use crate::gate::session::Secret;
use crate::gate::trail::TrailEvent;

/// The longest `sub` (OpenID Connect Core 1.0, section 2).
const LONGEST_SUBJECT: usize = 255;
const LONGEST_NAME: usize = 100;

#[derive(Debug, Subcommand)]
pub enum Scim {
    /// Make a token for a company's directory and print it: it is shown once
    Token {
        /// Whose people the directory keeps
        #[arg(long, value_parser = CompanyId::parse)]
        company: CompanyId,
        /// What it is for, for the list of tokens
        #[arg(long, value_parser = name)]
        name: String,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the tokens, never themselves
    Tokens {
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a token back, by its id
    Revoke {
        /// As `scim tokens` lists it
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Identities {
    /// Say who a person is at their company's provider
    Link {
        /// The name of the provider's table
        #[arg(long)]
        provider: String,
        /// By id
        #[arg(long, value_parser = PersonId::parse)]
        person: PersonId,
        /// The `sub` of their id tokens, to the letter
        #[arg(long, value_parser = subject)]
        subject: String,
    },
    /// Forget who a person is elsewhere
    Unlink {
        /// By id
        #[arg(long, value_parser = PersonId::parse)]
        person: PersonId,
    },
}

fn name(text: &str) -> Result<String, String> {
    one_line(text, LONGEST_NAME)
}

fn subject(text: &str) -> Result<String, String> {
    match (1..=LONGEST_SUBJECT).contains(&text.len()) && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "1 to {LONGEST_SUBJECT} bytes of one line are wanted"
        )),
    }
}

pub async fn scim(settings: &Settings, verb: &Scim) -> Result<u8, Failure> {
    let directory = open_directory(settings).await?;
    let done = match verb {
        Scim::Token {
            company,
            name,
            json,
        } => make(settings, &directory, company, name, *json).await,
        Scim::Tokens { json } => tokens(&directory, *json).await,
        Scim::Revoke { id } => revoke(settings, &directory, id).await,
    };
    directory.close().await;
    print(&done?)
}

async fn make(
    settings: &Settings,
    directory: &Directory,
    company: &CompanyId,
    name: &str,
    json: bool,
) -> Result<String, Failure> {
    let known = directory.company(company).await.map_err(Failure::not_so)?;
    known.ok_or_else(|| Failure::not_so(format!("there is no company \"{company}\"")))?;
    let record = Record::open(settings)?;
    let mut bytes = [0; 32];
    (real().random)(&mut bytes);
    let secret = Secret::from_bytes(bytes);
    let id = directory
        .add_scim_token(company, name, &secret.hash(), now())
        .await
        .map_err(Failure::not_so)?;
    let deed = Deed {
        company: Some(company.clone()),
        detail: format!("token {id}"),
        ..Deed::of(TrailEvent::ScimTokenMade)
    };
    record.write(directory, vec![deed]).await?;
    let token = format!("{TOKEN_PREFIX}{}", secret.expose());
    let url = format!("{}/scim/v2", settings.portal.origin);
    Ok(if json {
        format!(
            "{}\n",
            json!({"id": id, "company": company, "token": token, "url": url})
        )
    } else {
        format!("{token}\n")
    })
}

async fn tokens(directory: &Directory, json: bool) -> Result<String, Failure> {
    let tokens = directory.scim_tokens().await.map_err(Failure::not_so)?;
    let mut text = String::new();
    let mut listed = Vec::new();
    for token in tokens {
        let used = token.last_used_at.map(|at| at.to_rfc3339());
        let made = token.made_at.to_rfc3339();
        let name: String = token.name.chars().filter(|c| !c.is_control()).collect();
        let shown = used.as_deref().unwrap_or("-");
        text.push_str(&format!(
            "{}  {}  {made}  {shown}  {name}\n",
            token.id, token.company
        ));
        listed.push(json!({
            "id": token.id, "company": token.company, "name": name,
            "made_at": made, "last_used_at": used,
        }));
    }
    Ok(if json {
        format!("{}\n", serde_json::Value::Array(listed))
    } else {
        text
    })
}

async fn revoke(settings: &Settings, directory: &Directory, id: &str) -> Result<String, Failure> {
    let known = directory.scim_tokens().await.map_err(Failure::not_so)?;
    let token = known.into_iter().find(|token| token.id == id);
    let record = Record::open(settings)?;
    let gone = directory
        .revoke_scim_token(id)
        .await
        .map_err(Failure::not_so)?;
    let (Some(token), true) = (token, gone) else {
        return Err(Failure::not_so(format!("there is no token {id:?}")));
    };
    let deed = Deed {
        company: Some(token.company),
        detail: format!("token {id}"),
        ..Deed::of(TrailEvent::ScimTokenRevoked)
    };
    record.write(directory, vec![deed]).await?;
    Ok(format!("{id}: revoked\n"))
}

pub async fn identities(settings: &Settings, verb: &Identities) -> Result<u8, Failure> {
    let directory = open_directory(settings).await?;
    let done = match verb {
        Identities::Link {
            provider,
            person,
            subject,
        } => link(settings, &directory, (provider, person, subject)).await,
        Identities::Unlink { person } => unlink(settings, &directory, person).await,
    };
    directory.close().await;
    print(&done?)
}

async fn link(
    settings: &Settings,
    directory: &Directory,
    (name, id, subject): (&str, &PersonId, &str),
) -> Result<String, Failure> {
    let provider = settings.providers.iter().find(|one| one.name == name);
    let provider =
        provider.ok_or_else(|| Failure::not_so(format!("there is no provider {name:?}")))?;
    let person = directory.person(id).await.map_err(Failure::not_so)?;
    let person = person.ok_or_else(|| Failure::not_so(format!("there is no person \"{id}\"")))?;
    if person.company != provider.company {
        let company = &provider.company;
        let text = format!("{id} is not of {company}, whose provider {name:?} is");
        return Err(Failure::not_so(text));
    }
    let record = Record::open(settings)?;
    let linked = directory
        .link_identity(&provider.issuer, subject, id, now())
        .await
        .map_err(Failure::not_so)?;
    if !linked {
        let holder = directory.identity(&provider.issuer, subject).await;
        let text = match holder.map_err(Failure::not_so)? {
            Some(holder) if holder == *id => format!("{id} is this subject of {name:?} already"),
            Some(holder) => format!("this subject of {name:?} is {holder} already"),
            None => format!(
                "{id} is another subject of {name:?}: vestibule identities unlink --person {id}"
            ),
        };
        return Err(Failure::not_so(text));
    }
    let deed = Deed {
        whom: Some(id.clone()),
        company: Some(person.company),
        detail: name.to_owned(),
        ..Deed::of(TrailEvent::IdentityLinked)
    };
    record.write(directory, vec![deed]).await?;
    Ok(format!("{id}: linked\n"))
}

async fn unlink(
    settings: &Settings,
    directory: &Directory,
    id: &PersonId,
) -> Result<String, Failure> {
    let person = directory.person(id).await.map_err(Failure::not_so)?;
    let person = person.ok_or_else(|| Failure::not_so(format!("there is no person \"{id}\"")))?;
    let record = Record::open(settings)?;
    let gone = directory
        .unlink_identities(id)
        .await
        .map_err(Failure::not_so)?;
    if gone == 0 {
        let text = format!("{id} is nobody at any provider that is known here");
        return Err(Failure::not_so(text));
    }
    let deed = Deed {
        whom: Some(id.clone()),
        company: Some(person.company),
        detail: format!("{gone} identities"),
        ..Deed::of(TrailEvent::IdentityUnlinked)
    };
    record.write(directory, vec![deed]).await?;
    Ok(format!("{id}: {gone} identities forgotten\n"))
}
