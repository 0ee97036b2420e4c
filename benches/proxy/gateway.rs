//! The gateway itself, whole: settings from a file, sessions in Redis, access log to a file,
//! metrics on.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::rand;
use serde_json::json;
use tokio::net::TcpListener;
use vestibule::app::{self, Running, Sockets, World};
use vestibule::config;
use vestibule::directory::PasswordHash;
use vestibule::gate::cookies::SESSION_COOKIE;
use vestibule::gate::name::{CompanyId, Login, PersonId};
use vestibule::gate::session::{Method, Profile};
use vestibule::gate::time::{Moment, parse_span};
use vestibule::observe::trace;
use vestibule::sessions::NewSession;
use zeroize::Zeroizing;

use super::options::Options;
use super::{HOST, Result, child};

/// The cookies of people who have signed in.
pub struct Visits {
    cookies: Vec<String>,
}

impl Visits {
    pub fn all(&self) -> &[String] {
        &self.cookies
    }

    pub fn some(&self, most: usize) -> &[String] {
        self.cookies.get(..most).unwrap_or(&self.cookies)
    }
}

/// Signs people in, as the portal would once their password was proved. Every gateway of this run
/// has the same master key and the same Redis, and takes them for its own.
pub async fn prepare(
    folder: &Path,
    backend: SocketAddr,
    redis: &str,
    people: usize,
) -> Result<Visits> {
    let running = start(
        folder,
        "prepare",
        &backend.to_string(),
        redis,
        "60s",
        Sockets::default(),
    )
    .await?;
    let product = running.sessions.products().primary().clone();
    let mut cookies = Vec::with_capacity(people);
    for number in 0..people {
        let (session, _) = running.sessions.begin(person(number)?, now()).await?;
        let login = Login::parse(&format!("person-{number}"))?;
        let token = running
            .sessions
            .enter(session.id, &product, login, false, now())
            .await?;
        cookies.push(format!(
            "{SESSION_COOKIE}={}",
            token.ok_or("a session ended at once")?.expose()
        ));
    }
    running.stop().await;
    Ok(Visits { cookies })
}

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

/// Puts people into the directory of the gateway with this `recheck`, before it starts: of a
/// company that requires a factor, with password and authenticator.
pub async fn enrol(
    folder: &Path,
    backend: SocketAddr,
    redis: &str,
    recheck: &str,
    people: usize,
) -> Result<()> {
    let name = format!("gateway-{recheck}");
    let (backend, sockets) = (backend.to_string(), Sockets::default());
    let running = start(folder, &name, &backend, redis, recheck, sockets).await?;
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
    running.stop().await;
    Ok(())
}

fn person(number: usize) -> Result<NewSession> {
    let company = CompanyId::parse(&format!("company-{}", number % 100))?;
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
        user_agent: String::from("Mozilla/5.0"),
    })
}

pub async fn run(options: &Options) -> Result<()> {
    // As `vestibule run` has it: what is not logged is asked for all the same.
    trace::start(trace::Format::Json, "warn")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let sockets = Sockets {
        https: vec![listener],
        ..Sockets::default()
    };
    let name = format!("gateway-{}", options.recheck);
    let backend = options.backend().to_string();
    let _running = start(
        &options.folder,
        &name,
        &backend,
        &options.redis,
        &options.recheck,
        sockets,
    )
    .await?;
    child::say_ready(address);
    // Until the bench ends this process.
    std::future::pending::<()>().await;
    Ok(())
}

async fn start(
    folder: &Path,
    name: &str,
    backend: &str,
    redis: &str,
    recheck: &str,
    sockets: Sockets,
) -> Result<Running> {
    let own = folder.join(name);
    fs::create_dir_all(own.join("policies"))?;
    let file = own.join("gateway.toml");
    let text = format!(
        r#"
[listen]
https = ["127.0.0.1:0"]

[tls]
certificates = [{{ certificate = "../site.pem", key = "../site.key" }}]

[portal]
url = "https://login.localhost"

[store]
sessions = "{redis}"
directory = "sqlite:vestibule.db"
data_dir = "data"
master_key = {{ file = "../master.key" }}

[log]
access_file = "access.jsonl"

[products.emr]
name = "EMR"
url = "https://{HOST}"
backends = ["http://{backend}"]
primary = true
"#
    );
    fs::write(&file, &text)?;
    fs::write(own.join("policies/default.toml"), "name = \"Everybody\"\n")?;
    fs::write(
        own.join("policies/clinic.toml"),
        "name = \"Clinic\"\n[mfa]\nmode = \"required\"\nmethods = [\"totp\"]\n",
    )?;
    let mut settings = config::read(&text, &file, std::iter::empty(), &[])?;
    // No operator may switch the cache off; here it shows what the cache is worth.
    settings.store.recheck = parse_span(recheck).ok_or("no span of time")?;
    let world = World {
        clock: Arc::new(now),
        random: Arc::new(|bytes: &mut [u8]| rand::fill(bytes).expect("the system has randomness")),
        names: app::system_names(),
    };
    Ok(app::start(settings, world, sockets).await?)
}

fn now() -> Moment {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    Moment::from_millis(i64::try_from(since.as_millis()).expect("before the end of time"))
}
