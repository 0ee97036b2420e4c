//! `vestibule scim …` and `vestibule providers …`: what lets people from elsewhere in.

use clap::Subcommand;
use serde_json::json;

use super::Failure;
use super::world::{now, open_directory, print, real};
use crate::config::Settings;
use crate::directory::Directory;
use crate::directory::scim::TOKEN_PREFIX;
use crate::gate::name::{CompanyId, PersonId};
use crate::gate::session::Secret;
use crate::observe::audit::{Audit, AuditEvent};
use crate::observe::metrics::Metrics;

#[derive(Debug, Subcommand)]
pub enum Scim {
    /// Make a token for a company's directory and print it: it is shown once
    Token {
        #[arg(long, value_parser = CompanyId::parse)]
        company: CompanyId,
        /// What it is for, for the list of tokens
        #[arg(long)]
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// List the tokens, never themselves
    Tokens {
        #[arg(long)]
        json: bool,
    },
    /// Take a token back, by its id
    Revoke { id: String },
}

#[derive(Debug, Subcommand)]
pub enum Identities {
    /// Say who a person is at their company's provider
    Link {
        /// The name of the provider's table
        #[arg(long)]
        provider: String,
        #[arg(long, value_parser = PersonId::parse)]
        person: PersonId,
        /// The `sub` of their id tokens
        #[arg(long)]
        subject: String,
    },
    /// Forget who a person is elsewhere
    Unlink {
        #[arg(long, value_parser = PersonId::parse)]
        person: PersonId,
    },
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
    let mut bytes = [0; 32];
    (real().random)(&mut bytes);
    let secret = Secret::from_bytes(bytes);
    let id = directory
        .add_scim_token(company, name, &secret.hash(), now())
        .await
        .map_err(Failure::not_so)?;
    let line = AuditEvent::new("scim_token_made", now())
        .who("operator")
        .company(company)
        .detail(format!("token {id}"));
    on_record(settings, line)?;
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
    let gone = directory
        .revoke_scim_token(id)
        .await
        .map_err(Failure::not_so)?;
    let (Some(token), true) = (token, gone) else {
        return Err(Failure::not_so(format!("there is no token {id:?}")));
    };
    let line = AuditEvent::new("scim_token_revoked", now())
        .who("operator")
        .company(&token.company)
        .detail(format!("token {id}"));
    on_record(settings, line)?;
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
    let linked = directory
        .link_identity(&provider.issuer, subject, id, now())
        .await
        .map_err(Failure::not_so)?;
    if !linked {
        let text = "the subject is somebody's already, or the person is another subject there";
        return Err(Failure::not_so(text));
    }
    let line = AuditEvent::new("identity_linked", now())
        .who("operator")
        .whom(id)
        .company(&person.company)
        .detail(name);
    on_record(settings, line)?;
    Ok(format!("{id}: linked\n"))
}

async fn unlink(
    settings: &Settings,
    directory: &Directory,
    id: &PersonId,
) -> Result<String, Failure> {
    let gone = directory
        .unlink_identities(id)
        .await
        .map_err(Failure::not_so)?;
    let line = AuditEvent::new("identity_unlinked", now())
        .who("operator")
        .whom(id);
    on_record(settings, line)?;
    Ok(format!("{id}: {gone} identities forgotten\n"))
}

fn on_record(settings: &Settings, line: AuditEvent) -> Result<(), Failure> {
    let metrics = Metrics::new(&settings.products);
    let trail = Audit::open(settings.audit_trail(), &metrics).map_err(Failure::not_so)?;
    trail.record(line);
    if trail.flush() {
        Ok(())
    } else {
        Err(Failure::not_so(
            "it is done, but the audit trail can't be written",
        ))
    }
}
