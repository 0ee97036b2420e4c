//! The gateway itself, whole: settings from a file, sessions in Redis or in its own folder, access
//! log to a file, metrics on.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::rand;
use tokio::net::TcpListener;
use vestibule::app::{self, Running, Sockets, World};
use vestibule::config;
use vestibule::gate::time::{Moment, parse_span};
use vestibule::observe::trace;

use super::options::{Options, Role};
use super::{HOST, Result, child};

/// Rules of each company, where there are companies with policies of their own. None is met.
const RULES: usize = 20;

/// What `store` says for sessions in the gateway's own folder.
pub const EMBEDDED: &str = "embedded";

/// How a gateway is set up.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its folder: gateways of one name have the same directory, and sessions if embedded.
    pub name: String,
    pub backend: SocketAddr,
    /// A Redis' URL, or [`EMBEDDED`].
    pub store: String,
    pub recheck: String,
    pub capacity: usize,
    /// With rules of their own; 0: everybody's policy is the default one.
    pub companies: usize,
    /// Whether proxies of this machine may ask.
    pub authz: bool,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            name: String::from("gateway"),
            backend: SocketAddr::from(([127, 0, 0, 1], 0)),
            store: String::from(EMBEDDED),
            recheck: String::from("60s"),
            capacity: 65_536,
            companies: 0,
            authz: false,
        }
    }
}

impl Plan {
    /// Starts it as a process of its own.
    pub fn start(&self, folder: &Path, under: &[String]) -> Result<child::Running> {
        let mut words = vec![
            String::from("--folder"),
            folder.display().to_string(),
            String::from("--name"),
            self.name.clone(),
            String::from("--backend"),
            self.backend.to_string(),
            String::from("--store"),
            self.store.clone(),
            String::from("--recheck"),
            self.recheck.clone(),
            String::from("--capacity"),
            self.capacity.to_string(),
        ];
        if self.companies > 0 {
            words.extend([String::from("--companies"), self.companies.to_string()]);
        }
        if self.authz {
            words.push(String::from("--authz"));
        }
        child::Running::start(Role::Gateway, &words, under)
    }

    /// Starts it in this process.
    pub async fn open(&self, folder: &Path, sockets: Sockets) -> Result<Running> {
        let own = folder.join(&self.name);
        self.write_policies(&own.join("policies"))?;
        let file = own.join("gateway.toml");
        let text = self.text();
        fs::write(&file, &text)?;
        let mut settings = config::read(&text, &file, std::iter::empty(), &[])?;
        // No operator may switch the cache off; here it shows what the cache is worth.
        settings.store.recheck = parse_span(&self.recheck).ok_or("no span of time")?;
        let world = World {
            clock: Arc::new(now),
            random: Arc::new(|bytes: &mut [u8]| {
                rand::fill(bytes).expect("the system has randomness");
            }),
            names: app::system_names(),
        };
        Ok(app::start(settings, world, sockets).await?)
    }

    fn text(&self) -> String {
        let (backend, store, capacity) = (self.backend, &self.store, self.capacity);
        let (trusted, asking) = match self.authz {
            true => (
                "trusted_proxies = [\"127.0.0.1/32\"]",
                "[authz]\npeers = [\"127.0.0.1/32\"]",
            ),
            false => ("", ""),
        };
        format!(
            r#"
[listen]
https = ["127.0.0.1:0"]
{trusted}

{asking}

[tls]
certificates = [{{ certificate = "../site.pem", key = "../site.key" }}]

[portal]
url = "https://login.localhost"

[store]
sessions = "{store}"
directory = "sqlite:vestibule.db"
data_dir = "data"
master_key = {{ file = "../master.key" }}
cache_capacity = {capacity}

[log]
access_file = "access.jsonl"

[products.emr]
name = "EMR"
url = "https://{HOST}"
backends = ["http://{backend}"]
primary = true
"#
        )
    }

    fn write_policies(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("default.toml"), "name = \"Everybody\"\n")?;
        fs::write(
            folder.join("clinic.toml"),
            "name = \"Clinic\"\n[mfa]\nmode = \"required\"\nmethods = [\"totp\"]\n",
        )?;
        for number in 0..self.companies {
            let mut text = format!("name = \"Company {number}\"\n");
            for rule in 0..RULES {
                write!(
                    text,
                    "[[rules]]\nname = \"rule {rule}\"\npaths = [\"/payments/{rule}/**\"]\n\
                     methods = [\"GET\", \"POST\"]\nroles = [\"clerk\"]\naction = \"deny\"\n"
                )?;
            }
            fs::write(folder.join(format!("company-{number}.toml")), text)?;
        }
        Ok(())
    }
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
    let _running = options.plan.open(&options.folder, sockets).await?;
    child::say_ready(address);
    // Until the bench ends this process.
    std::future::pending::<()>().await;
    Ok(())
}

pub fn now() -> Moment {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    Moment::from_millis(i64::try_from(since.as_millis()).expect("before the end of time"))
}
