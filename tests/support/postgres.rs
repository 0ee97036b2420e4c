//! A real PostgreSQL of this test process alone: own folder, own port, gone with the process.

#![allow(dead_code)] // every test program uses another part of this
#![allow(
    clippy::expect_used,
    reason = "a failed expectation is how a test reports"
)]
#![allow(
    clippy::zombie_processes,
    reason = "the keeper outlives this process on purpose"
)]

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Makes a cluster, serves it, and takes it away when its standard input ends: when the test
/// process closes it or dies, however it dies. Until then it takes orders.
const KEEPER: &str = r#"
bin=$1 port=$2 name=$3
dir=$(mktemp -d "${TMPDIR:-/tmp}/vestibule-postgres.XXXXXX") || exit 1
cd "$dir" || exit 1
trap 'kill -QUIT $pid 2>/dev/null; wait; cd /; rm -rf "$dir"' EXIT
"$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync || exit 1
serve() {
    "$bin/postgres" -D "$dir/data" -p "$port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories="$dir" -c cluster_name="$name" -c fsync=off \
        -c max_connections=200 </dev/null &
    pid=$!
}
serve
while read -r word; do
    case $word in
    crash) kill -QUIT $pid; wait $pid ;;
    serve) serve ;;
    esac
done
"#;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub struct Postgres {
    port: u16,
    bin: PathBuf,
    /// Its standard input is what keeps the server alive.
    _keeper: Child,
}

/// The URL of a new, empty database. The first call starts the server for the whole process.
pub async fn database() -> String {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    tokio::task::spawn_blocking(|| SERVER.get_or_init(Postgres::start).new_database())
        .await
        .expect("PostgreSQL for the tests")
}

/// The folder of `pg_dump`, `pg_restore` and `psql`.
///
/// # Panics
/// When there is no PostgreSQL on this machine.
pub fn programs() -> PathBuf {
    installed().expect("PostgreSQL's programs (Debian: apt-get install postgresql)")
}

impl Postgres {
    /// # Panics
    /// When there is no PostgreSQL on this machine, or it does not start.
    pub fn start() -> Postgres {
        let bin = programs();
        // The port is free when it is chosen, and may be taken before the server has it.
        (0..5)
            .find_map(|_| Postgres::start_on(&bin, free_port()))
            .expect("PostgreSQL starts on a free port")
    }

    fn start_on(bin: &Path, port: u16) -> Option<Postgres> {
        let mut keeper = as_ordinary_user()
            .args(["sh", "-c", KEEPER, "keeper"])
            .arg(bin)
            .args([port.to_string(), own_name(port)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the tests; the keeper goes when they are gone.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(Some(_)) = keeper.try_wait() {
                return None;
            }
            let server = Postgres {
                port,
                bin: bin.to_owned(),
                _keeper: keeper,
            };
            match server.name() {
                Some(name) if name == own_name(port) => return Some(server),
                Some(_) => return None,
                None => {}
            }
            keeper = server._keeper;
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }

    /// The URL of a database on this server, there or not, as a role of it.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// The URL of a new, empty database on this server.
    pub fn new_database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let made = self
            .client("createdb")
            .arg(&name)
            .status()
            .expect("createdb");
        assert!(made.success(), "createdb {name}");
        self.url("postgres", &name)
    }

    /// Ends it as a crash does: nobody is asked to finish. It is gone when `serve_again` is called.
    pub fn crash(&self) {
        self.order("crash");
    }

    /// Starts it where it was, without waiting for it.
    pub fn serve_again(&self) {
        self.order("serve");
    }

    fn order(&self, word: &str) {
        let mut input = self._keeper.stdin.as_ref().expect("the keeper listens");
        writeln!(input, "{word}").expect("the keeper listens");
    }

    /// Whose server answers on the port: somebody else's, if it was taken meanwhile.
    fn name(&self) -> Option<String> {
        let mut client = self.client("psql");
        client
            .args(["-d", "postgres", "-tAc", "SHOW cluster_name"])
            .stdout(Stdio::piped());
        let answer = client
            .output()
            .ok()
            .filter(|answer| answer.status.success())?;
        Some(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-p",
            &self.port.to_string(),
        ]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

/// PostgreSQL refuses to run as root: as root, its own user runs it.
fn as_ordinary_user() -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let mut command = Command::new("env");
    if root {
        command.args([
            "-u",
            "TMPDIR",
            "setpriv",
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
        ]);
    }
    command
}

fn installed() -> io::Result<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")?
        .filter_map(|entry| entry.ok().map(|entry| entry.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    folders.sort();
    folders.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn own_name(port: u16) -> String {
    format!("vestibule-{}-{port}", std::process::id())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
