//! The rehearsal: a copy of a directory that is being used, and the master key, on another machine. The
//! commands are those of docs/operating.md, taken from the page.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, password, vestibule};
use crate::postgres::{self, Postgres};
use crate::visitor::{Visitor, code};

/// Which database, by the heading of the page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

/// The commands of the page under a heading: those that take the copy, and those that bring it back.
fn commands(kind: Kind) -> [String; 2] {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
    let page = std::fs::read_to_string(page).unwrap();
    let heading = match kind {
        Kind::Sqlite => "### SQLite\n",
        Kind::Postgres => "### PostgreSQL\n",
    };
    let (_, section) = page.split_once("\n## Backing up\n").unwrap();
    let (_, section) = section.split_once(heading).unwrap();
    let section = section.split("\n##").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    let blocks = blocks.map(|block| {
        let block = block.split("```").next().unwrap();
        // Where things are is the operator's, and the test's.
        let ours = block.lines().filter(|line| !line.ends_with("# yours"));
        ours.collect::<Vec<_>>().join("\n")
    });
    blocks.collect::<Vec<_>>().try_into().unwrap()
}

/// Two machines with the places that the commands name.
struct Machines {
    /// Where the copy goes, and the key, apart from it.
    backup: TempDir,
    safe: TempDir,
    /// The new machine.
    folder: Arc<TempDir>,
    /// Its database server, for PostgreSQL.
    server: Option<Postgres>,
    programs: PathBuf,
}

impl Machines {
    async fn new(kind: Kind) -> Machines {
        let server = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => tokio::task::spawn_blocking(Postgres::start).await.ok(),
        };
        Machines {
            backup: tempfile::tempdir().unwrap(),
            safe: tempfile::tempdir().unwrap(),
            folder: Arc::new(tempfile::tempdir().unwrap()),
            server,
            programs: postgres::programs(),
        }
    }

    /// `store.directory` of the new machine.
    fn directory(&self) -> String {
        match &self.server {
            None => String::from("sqlite:people.db"),
            Some(server) => server.url("vestibule", "vestibule"),
        }
    }

    /// Runs commands of the page on the machine with this folder and directory.
    async fn run(&self, commands: &str, folder: &Path, directory: &str) {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", commands])
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .env("DB", "people.db")
            .env("DIRECTORY", directory)
            .env("KEY", "master.key")
            .env("BACKUP", self.backup.path())
            .env("SAFE", self.safe.path())
            .stdin(Stdio::null());
        if let Some(server) = &self.server {
            shell.env("SERVER", server.url("postgres", "postgres"));
        }
        let out = tokio::task::spawn_blocking(move || shell.output()).await;
        let out = out.unwrap().unwrap();
        let told = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{commands}\n{told}");
    }

    /// What is not in the directory: gateway.toml and the policies, which say where it is now.
    fn bring_files(&self, lost: &Gateway, from: &str) {
        let text = std::fs::read_to_string(lost.path("gateway.toml")).unwrap();
        let text = text.replace(from, &self.directory());
        std::fs::write(self.folder.path().join("gateway.toml"), text).unwrap();
        let policies = self.folder.path().join("policies");
        std::fs::create_dir(&policies).unwrap();
        for file in std::fs::read_dir(lost.path("policies")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), policies.join(file.file_name())).unwrap();
        }
    }

    /// `vestibule run` on the new machine does not start, and says why.
    async fn is_refused(&self) {
        let (code, _, err) = vestibule(self.folder.path(), &["run"]).await;
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("under another master key"), "{err}");
        assert!(err.contains("store.master_key"), "{err}");
        assert!(!err.contains(&password("lee")), "{err}");
    }
}

fn clinic(backend: &Backend, directory: &str) -> Setup {
    let mut setup = Setup::new(&backend.url).policy(
        "northside.toml",
        "name = \"Northside\"\n[mfa]\nmode = \"required\"\n",
    );
    setup.directory = directory.to_owned();
    setup
}

async fn rehearse(kind: Kind) {
    let machines = Machines::new(kind).await;
    let backend = Backend::start().await;
    let directory = match kind {
        Kind::Sqlite => String::from("sqlite:people.db"),
        Kind::Postgres => postgres::database().await,
    };
    let lost = clinic(&backend, &directory).start().await;
    let mut lee = Visitor::new(&lost);
    let page = lee.sign_in("lee", lee.url("emr", "/")).await;
    let (key, page) = lee.enrol(&page, lost.clock.now()).await;
    assert_eq!(page.status, 200);

    // While it is used: a whole copy, whatever is written meanwhile.
    let [back_up, restore] = commands(kind);
    machines.run(&back_up, lost.folder.path(), &directory).await;
    assert_eq!(lee.worth("emr").await, 200);
    machines.bring_files(&lost, &directory);
    let clock = lost.clock.clone();
    lost.stop().await;
    let folder = machines.folder.path();
    machines.run(&restore, folder, &machines.directory()).await;

    // Lee is there again, or nothing below would show anything.
    let ask = [
        "policy",
        "explain",
        "--person",
        "lee",
        "--company",
        "northside",
        "--product",
        "emr",
    ];
    let (exit, _, err) = vestibule(folder, &ask).await;
    assert_eq!(exit, 0, "{err}");

    // With another key, and with none, it is told; and nothing of it stays in what was restored.
    let path = folder.join("master.key");
    let right = std::fs::read(&path).unwrap();
    std::fs::write(&path, [9; 32]).unwrap();
    machines.is_refused().await;
    std::fs::remove_file(&path).unwrap();
    machines.is_refused().await;
    std::fs::write(&path, right).unwrap();

    clock.pass(Duration::from_secs(60));
    let mut setup = clinic(&backend, &machines.directory());
    setup.folder = Some(Arc::clone(&machines.folder));
    setup.clock = clock.clone();
    setup.people = String::new();
    let found = setup.start().await;
    let mut lee = Visitor::new(&found);
    let page = lee.sign_in("lee", lee.url("emr", "/")).await;
    assert_eq!(page.url.path(), "/login/factor", "the factor is known");
    let page = lee
        .submit(&page, &[("code", &code(&key, clock.now()))])
        .await;
    assert_eq!((page.status.as_u16(), page.url.path()), (200, "/"));
    assert_eq!(lee.worth("emr").await, 200);
    found.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_copy_and_the_key_people_sign_in_with_the_factors_that_they_had() {
    rehearse(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_dump_and_the_key_a_fresh_postgresql_serves_whom_the_lost_one_did() {
    rehearse(Kind::Postgres).await;
}
