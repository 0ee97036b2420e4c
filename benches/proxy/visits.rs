//! People who are signed in, and people who can sign in.

use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use vestibule::app::{Running, Sockets};
use vestibule::directory::PasswordHash;
use vestibule::gate::cookies::SESSION_COOKIE;
use vestibule::gate::name::{CompanyId, Login, PersonId};
use vestibule::gate::session::{Method, Profile};
use vestibule::sessions::{NewSession, Sessions};
use zeroize::Zeroizing;

use super::Result;
use super::gateway::{Plan, now};

/// Sign-ins that are written at once.
const AT_ONCE: usize = 64;

/// The cookies of people who have signed in, by their number.
#[derive(Clone)]
pub struct Visits {
    cookies: Arc<[String]>,
}

impl Visits {
    /// Signs people in, as the portal would once their password was proved. Every gateway of this
    /// run has the same master key: those with this plan's store take them for their own.
    pub async fn prepare(folder: &Path, plan: &Plan, people: usize) -> Result<Visits> {
        let running = plan.open(folder, Sockets::default()).await?;
        let companies = if plan.companies == 0 {
            100
        } else {
            plan.companies
        };
        let cookies = stream::iter(0..people)
            .map(|number| cookie(&running.sessions, number, companies))
            .buffered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let cookies: std::result::Result<Arc<[String]>, String> = cookies.into_iter().collect();
        running.stop().await;
        Ok(Visits { cookies: cookies? })
    }

    /// Nobody.
    pub fn none() -> Visits {
        Visits {
            cookies: Arc::from([]),
        }
    }

    pub fn len(&self) -> usize {
        self.cookies.len()
    }

    pub fn get(&self, number: usize) -> Option<&str> {
        self.cookies.get(number).map(String::as_str)
    }

    /// The first of them.
    pub fn some(&self, most: usize) -> Visits {
        self.among(0, most.min(self.len()))
    }

    /// From the one to before the other.
    pub fn among(&self, from: usize, to: usize) -> Visits {
        Visits {
            cookies: self.cookies[from..to].into(),
        }
    }

    /// So many of the first `of`, evenly spread.
    pub fn spread(&self, most: usize, of: usize) -> Visits {
        let most = most.min(of).max(1);
        let numbers = (0..most).map(|place| place * of / most);
        Visits {
            cookies: numbers.map(|number| self.cookies[number].clone()).collect(),
        }
    }
}

async fn cookie(
    sessions: &Arc<Sessions>,
    number: usize,
    companies: usize,
) -> std::result::Result<String, String> {
    let product = Arc::clone(sessions.products().primary());
    let new = person(number, companies).map_err(|error| error.to_string())?;
    let begun = sessions.begin(new, now()).await;
    let (session, _) = begun.map_err(|error| error.to_string())?;
    let login = Login::parse(&format!("person-{number}")).map_err(|error| error.to_string())?;
    let token = sessions
        .enter(session.id, &product, login, false, now())
        .await
        .map_err(|error| error.to_string())?
        .ok_or("a session ended at once")?;
    Ok(format!("{SESSION_COOKIE}={}", token.expose()))
}

fn person(number: usize, companies: usize) -> Result<NewSession> {
    let company = CompanyId::parse(&format!("company-{}", number % companies))?;
    Ok(NewSession {
        person: Profile {
            id: PersonId::parse(&format!("person-{number}"))?,
            name: format!("Person {number}"),
            email: format!("person-{number}@example.com"),
            roles: vec![String::from("clinician"), String::from("user_manager")],
            grants: Vec::new(),
        },
        companies: vec![company.clone()],
        company,
        methods: vec![Method::Pwd],
        factor_at: None,
        address: String::from("203.0.113.77"),
        user_agent: String::from(BROWSER),
    })
}

/// What people's browser says of itself.
const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                       Chrome/142.0.0.0 Safari/537.36";

/// Everybody's password at [`enrol`]'s clinic.
pub const PASSWORD: &str = "five blue herons at noon";

/// Everybody's key there, 160 bits (RFC 4226, section 4): each has a factor of their own, which
/// spends a code once.
const KEY: [u8; 20] = [0x5a; 20];

pub fn login(number: usize) -> String {
    format!("clinician-{number}")
}

/// The code of this moment.
pub fn code_now() -> std::result::Result<String, String> {
    let totp = totp_rs::Builder::new()
        .with_algorithm(totp_rs::Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(30)
        .with_secret(KEY.as_slice())
        .build()
        .map_err(|error| error.to_string())?;
    let secs = u64::try_from(now().secs()).map_err(|error| error.to_string())?;
    Ok(totp.generate(secs).to_string())
}

/// Puts people into the directory of the gateway of this plan, before it starts: of a company that
/// requires a factor, with password and authenticator.
pub async fn enrol(folder: &Path, plan: &Plan, people: usize) -> Result<()> {
    let running = plan.open(folder, Sockets::default()).await?;
    fill(&running, people).await?;
    running.stop().await;
    Ok(())
}

async fn fill(running: &Running, people: usize) -> Result<()> {
    let products = [running.sessions.products().primary().id.clone()];
    // One hash for all: each sign-in computes it all the same.
    let hash = running.hasher.hash(Zeroizing::new(String::from(PASSWORD)));
    let PasswordHash(hash) = hash.await?;
    let mut lines = String::from("{\"kind\":\"company\",\"id\":\"clinic\",\"name\":\"Clinic\"}\n");
    for number in 0..people {
        let login = login(number);
        for line in [
            json!({"kind": "person", "id": login, "company": "clinic", "name": login, "email": format!("{login}@example.com")}),
            json!({"kind": "account", "product": "emr", "login": login, "person": login, "password_hash": hash}),
        ] {
            lines += &format!("{line}\n");
        }
    }
    let (directory, hasher) = (&running.directory, &running.hasher);
    directory
        .import(hasher, lines.as_bytes(), &products, now())
        .await
        .map_err(|error| format!("{error}"))?;
    for number in 0..people {
        let person = PersonId::parse(&login(number))?;
        directory.add_totp(&person, &KEY, 0, now()).await?;
    }
    Ok(())
}
