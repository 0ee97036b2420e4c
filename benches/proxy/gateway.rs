//! The gateway itself, whole: settings from a file, sessions in Redis, access log to a file,
//! metrics on.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::rand;
use tokio::net::TcpListener;
use vestibule::app::{self, Running, Sockets, World};
use vestibule::config;
use vestibule::gate::cookies::SESSION_COOKIE;
use vestibule::gate::name::{CompanyId, Login, PersonId};
use vestibule::gate::session::{Method, Profile};
use vestibule::gate::time::{Moment, parse_span};
use vestibule::observe::trace;
use vestibule::sessions::NewSession;

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
