//! A whole gateway in the test's process: real sockets, real TLS, real stores, a clock that is set,
//! and backends of the test's own.

#![allow(dead_code)] // every test program uses another part of this

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use vestibule::app::{self, Running, Sockets, World};
use vestibule::config;
use vestibule::gate::name::ProductId;
use vestibule::gate::time::Moment;

/// A Saturday afternoon.
pub const START: Moment = Moment::from_secs(1_795_269_900);

/// A clock that goes on only when told to. Shared by gateways of one story.
#[derive(Clone)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub fn new() -> TestClock {
        TestClock(Arc::new(AtomicI64::new(START.millis())))
    }

    /// The wall's time of this moment, for stories that other processes take part in.
    pub fn wall() -> TestClock {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        TestClock(Arc::new(AtomicI64::new(
            i64::try_from(since.as_millis()).unwrap(),
        )))
    }

    pub fn now(&self) -> Moment {
        Moment::from_millis(self.0.load(Ordering::SeqCst))
    }

    /// As an operator, or a time server, sets it: forwards or back.
    pub fn step(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    pub fn pass(&self, span: Duration) {
        self.0
            .fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

/// How a gateway is set up; what is not said is the sample: EMR, Billing with two hours, Analytics
/// by grant.
pub struct Setup {
    pub clock: TestClock,
    /// `[store] sessions`.
    pub sessions: String,
    /// `[store] directory`.
    pub directory: String,
    /// Put under `[products.emr]`, `[products.billing]`, `[products.analytics]`.
    pub emr: String,
    pub billing: String,
    pub analytics: String,
    /// Each product's `backends`.
    pub backends: [Vec<String>; 3],
    /// Whole tables more, such as `[limits]`.
    pub more: String,
    /// Keys more under `[store]`.
    pub store: String,
    /// Keys more under `[listen]`.
    pub listen: String,
    /// Keys more under `[log]`.
    pub log: String,
    /// File name and text.
    pub policies: Vec<(String, String)>,
    /// JSON lines.
    pub people: String,
    /// Where data is kept; a second gateway may share it.
    pub folder: Option<Arc<TempDir>>,
    /// A socket that is bound already: the second gateway of a story stands behind the same name.
    pub port: Option<u16>,
    /// Where names of backends lead; the system's resolver unless said.
    pub names: Option<app::Names>,
}

impl Setup {
    pub fn new(backend: &str) -> Setup {
        let backend = || vec![backend.to_owned()];
        Setup {
            clock: TestClock::new(),
            sessions: String::from("embedded"),
            directory: String::from("sqlite:people.db"),
            emr: String::new(),
            billing: String::from("idle = \"2h\""),
            analytics: String::from("needs_grant = true\naccounts = \"primary\""),
            backends: [backend(), backend(), backend()],
            more: String::new(),
            store: String::new(),
            listen: String::new(),
            log: String::new(),
            policies: vec![(
                String::from("default.toml"),
                String::from(
                    "name = \"Default\"\n[mfa]\nmode = \"company\"\nmethods = [\"totp\"]\n",
                ),
            )],
            people: people(),
            folder: None,
            port: None,
            names: None,
        }
    }

    pub fn policy(mut self, file: &str, text: &str) -> Setup {
        self.policies.push((file.to_owned(), text.to_owned()));
        self
    }

    /// A second node: the same stores, clock and master key, its own folder and sockets.
    pub fn beside(mut self, first: &Gateway) -> Setup {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(first.path("master.key"), folder.path().join("master.key")).unwrap();
        self.folder = Some(Arc::new(folder));
        self.clock = first.clock.clone();
        self.people = String::new();
        self
    }

    pub async fn start(self) -> Gateway {
        Gateway::start(self).await
    }
}

/// Kim has everything, Sam no Billing link and no grant; Lee works where a factor is required.
pub fn people() -> String {
    let mut lines = String::new();
    for (id, name) in [("acme-rehab", "Acme Rehab"), ("northside", "Northside")] {
        lines += &format!(
            "{}\n",
            serde_json::json!({"kind": "company", "id": id, "name": name})
        );
    }
    for (id, company, roles, grants) in [
        (
            "kim",
            "acme-rehab",
            vec!["company_admin", "user_manager"],
            vec!["analytics"],
        ),
        ("sam", "acme-rehab", vec!["therapist"], vec![]),
        ("lee", "northside", vec!["therapist"], vec![]),
    ] {
        lines += &format!(
            "{}\n",
            serde_json::json!({"kind": "person", "id": id, "company": company, "name": format!("{id} Doe"),
                "email": format!("{id}@clinic.example"), "roles": roles, "grants": grants})
        );
        let accounts: &[&str] = if id == "sam" {
            &["emr"]
        } else {
            &["emr", "billing"]
        };
        for product in accounts {
            let login = if *product == "emr" {
                id.to_owned()
            } else {
                format!("{id}-{product}")
            };
            lines += &format!(
                "{}\n",
                serde_json::json!({"kind": "account", "product": product, "login": login, "person": id,
                    "password": password(id), "companies": [company], "default_company": company})
            );
        }
    }
    lines
}

pub fn password(login: &str) -> String {
    format!("{login}-likes-long-walks")
}

pub struct Gateway {
    pub clock: TestClock,
    pub address: SocketAddr,
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub folder: Arc<TempDir>,
    pub running: Running,
}

impl Gateway {
    pub async fn start(setup: Setup) -> Gateway {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = setup
            .folder
            .clone()
            .unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        let https = TcpListener::bind(("127.0.0.1", setup.port.unwrap_or(0)))
            .await
            .unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = https.local_addr().unwrap();
        let (http_address, admin_address) =
            (http.local_addr().unwrap(), admin.local_addr().unwrap());

        let policies = folder.path().join("policies");
        std::fs::create_dir_all(&policies).unwrap();
        for (name, text) in &setup.policies {
            std::fs::write(policies.join(name), text).unwrap();
        }
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, text(&setup, address.port())).unwrap();
        let settings = config::load(&file, std::iter::empty(), &[])
            .unwrap_or_else(|problems| panic!("{problems}"));
        let products: Vec<ProductId> = settings.products.iter().map(|p| p.id.clone()).collect();
        let clock = setup.clock.clone();
        let told = clock.clone();
        let world = World {
            clock: Arc::new(move || told.now()),
            random: Arc::new(|bytes| aws_lc_rs::rand::fill(bytes).unwrap()),
            names: setup.names.clone().unwrap_or_else(app::system_names),
        };
        let sockets = Sockets {
            https: vec![https],
            http: vec![http],
            admin: Some(admin),
        };
        let running = app::start(settings, world, sockets).await.unwrap();
        if !setup.people.is_empty() {
            running
                .directory
                .import(
                    &running.hasher,
                    setup.people.as_bytes(),
                    &products,
                    clock.now(),
                )
                .await
                .unwrap();
        }
        Gateway {
            clock,
            address,
            http: http_address,
            admin: admin_address,
            folder,
            running,
        }
    }

    pub fn url(&self, product: &str) -> String {
        format!("https://{product}.test:{}", self.address.port())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The access log so far; the gateway writes it in batches.
    pub async fn metrics(&self) -> String {
        reqwest::get(format!("http://{}/metrics", self.admin))
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    /// The value of a metric, by its name and labels as they are printed.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.metrics().await;
        let line = metrics.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' '))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    }

    pub async fn stop(self) {
        self.running.stop().await;
    }
}

pub fn text(setup: &Setup, port: u16) -> String {
    let list = |backends: &[String]| {
        backends
            .iter()
            .map(|b| format!("\"{b}\""))
            .collect::<Vec<_>>()
            .join(", ")
    };
    format!(
        r#"
[listen]
https = ["127.0.0.1:{port}"]
http = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
{listen}
[portal]
url = "https://login.test:{port}"
title = "Test sign-in"
[store]
sessions = "{sessions}"
directory = "{directory}"
data_dir = "data"
master_key = {{ file = "master.key" }}
{store}
[session]
maximum = "12h"
idle = "8h"
[log]
access_file = "access.jsonl"
{log}
[products.emr]
name = "EMR"
url = "https://emr.test:{port}"
backends = [{emr_backends}]
primary = true
{emr}
[products.billing]
name = "Billing"
url = "https://billing.test:{port}"
backends = [{billing_backends}]
{billing}
[products.analytics]
name = "Analytics"
url = "https://analytics.test:{port}"
backends = [{analytics_backends}]
{analytics}
{more}
"#,
        listen = setup.listen,
        log = setup.log,
        sessions = setup.sessions,
        directory = setup.directory,
        store = setup.store,
        emr = setup.emr,
        billing = setup.billing,
        analytics = setup.analytics,
        emr_backends = list(&setup.backends[0]),
        billing_backends = list(&setup.backends[1]),
        analytics_backends = list(&setup.backends[2]),
        more = setup.more,
    )
}

/// Waits for what must become so within a second of the wall's clock (the machine may be busy: it
/// gets a few).
pub async fn soon(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !so().await {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "still not so: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One command of the command line, on a gateway's folder.
pub async fn vestibule(folder: &std::path::Path, arguments: &[&str]) -> (i32, String, String) {
    vestibule_reading(folder, arguments, "").await
}

/// The same with something on its standard input.
pub async fn vestibule_reading(
    folder: &std::path::Path,
    arguments: &[&str],
    input: &str,
) -> (i32, String, String) {
    // A file: a pipe would have to be fed while the answer is read.
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, input.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command
        .arg("--config")
        .arg(folder.join("gateway.toml"))
        .args(arguments)
        .stdin(file);
    let out = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        out.status.code().unwrap_or(-1),
        text(&out.stdout),
        text(&out.stderr),
    )
}
