//! The program itself, upgraded and restarted under load: no request is lost.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::backend::Backend;
use crate::gateway::{password, vestibule};
use crate::visitor::Visitor;

/// The longest that a step may take on the slowest machine.
const STEP: Duration = Duration::from_secs(60);

fn site(backend: &Backend) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    std::fs::write(
        folder.path().join("policies/default.toml"),
        "name = \"Everybody\"\n",
    )
    .unwrap();
    let text = format!(
        r#"
[listen]
https = ["127.0.0.1:0"]
http = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
[portal]
url = "https://login.test"
[log]
access_file = "access.jsonl"
[products.emr]
url = "https://emr.test"
backends = ["{}"]
primary = true
access = "public"
"#,
        backend.url
    );
    std::fs::write(folder.path().join("gateway.toml"), text).unwrap();
    folder
}

/// The same, with a page that is Kim's alone.
async fn site_of_kim(backend: &Backend) -> TempDir {
    let folder = site(backend);
    let file = folder.path().join("gateway.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("access = \"public\"", "access = { \"/page\" = \"public\" }");
    std::fs::write(file, text).unwrap();
    let people = format!(
        r#"{{"kind":"company","id":"acme","name":"Acme"}}
{{"kind":"person","id":"kim","company":"acme","name":"Kim Doe","email":"kim@acme.test","roles":[],"grants":[]}}
{{"kind":"account","product":"emr","login":"kim","person":"kim","password":"{}"}}
"#,
        password("kim")
    );
    std::fs::write(folder.path().join("people.jsonl"), people).unwrap();
    let file = folder.path().join("people.jsonl");
    let import = ["people", "import", file.to_str().unwrap()];
    let (status, _, said) = vestibule(folder.path(), &import).await;
    assert_eq!(status, 0, "{said}");
    folder
}

/// A process whose log is read, and that ends with the test.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(mut command: Command) -> Process {
        command.stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (told, lines) = channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        Process { child, lines }
    }

    fn run(folder: &Path, arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command
            .arg("--config")
            .arg(folder.join("gateway.toml"))
            .arg("run")
            .args(arguments);
        Process::start(command)
    }

    /// The line of the log with these words.
    async fn says(self, words: &'static str) -> (Process, Value) {
        tokio::task::spawn_blocking(move || {
            loop {
                let line = self.lines.recv_timeout(STEP).expect(words);
                if line.contains(words) {
                    return (self, serde_json::from_str(&line).unwrap());
                }
            }
        })
        .await
        .unwrap()
    }

    async fn ready(self) -> (Process, SocketAddr) {
        let (process, line) = self.says("\"message\":\"ready\"").await;
        let addresses = line["addresses"].as_str().unwrap().to_owned();
        (
            process,
            addresses.split(' ').next().unwrap().parse().unwrap(),
        )
    }

    fn signal(&self, name: &str) {
        let order = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &order])
                .status()
                .unwrap()
                .success()
        );
    }

    async fn ends(mut self) -> i32 {
        tokio::task::spawn_blocking(move || self.child.wait().unwrap().code().unwrap_or(-1))
            .await
            .unwrap()
    }
}

/// Requests without a pause, each kind of visitor its own way.
struct Load {
    visitors: JoinSet<()>,
    over: Arc<AtomicBool>,
    answered: Vec<Arc<AtomicU64>>,
    failed: Arc<AtomicU64>,
}

fn client(gateway: SocketAddr, http2: bool) -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .resolve("emr.test", gateway);
    let builder = if http2 { builder } else { builder.http1_only() };
    builder.build().unwrap()
}

impl Load {
    /// `kept`: with visitors too who keep their connections.
    fn begin(gateway: SocketAddr, kept: bool) -> Load {
        Load::with(gateway, kept, None)
    }

    /// With somebody too who is signed in, by this cookie.
    fn with(gateway: SocketAddr, kept: bool, cookie: Option<&str>) -> Load {
        let mut load = Load {
            visitors: JoinSet::new(),
            over: Arc::default(),
            answered: Vec::new(),
            failed: Arc::default(),
        };
        let mut kinds = vec![(false, true, None), (true, true, None)];
        if kept {
            kinds.extend([(false, false, None), (true, false, None)]);
        }
        if let Some(cookie) = cookie {
            let cookie = Some(format!("__Host-vestibule={cookie}"));
            kinds.extend([(false, true, cookie.clone()), (true, false, cookie)]);
        }
        for (http2, fresh, cookie) in kinds {
            let answered: Arc<AtomicU64> = Arc::default();
            load.answered.push(Arc::clone(&answered));
            let (over, failed) = (Arc::clone(&load.over), Arc::clone(&load.failed));
            load.visitors.spawn(async move {
                let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
                let mut visitor = client(gateway, http2);
                while !over.load(Ordering::SeqCst) {
                    if fresh {
                        visitor = client(gateway, http2);
                    }
                    let page = if cookie.is_some() { "mine" } else { "page" };
                    let url = format!("https://emr.test:{}/{page}", gateway.port());
                    // A POST: nobody repeats it in silence.
                    let mut post = visitor.post(url).body("form");
                    if let Some(cookie) = &cookie {
                        post = post.header("cookie", cookie);
                    }
                    let answer = post.send().await;
                    let whole = match answer {
                        Ok(answer) if answer.status() == 200 => answer.text().await,
                        Ok(answer) => panic!("{}", answer.status()),
                        Err(error) => Err(error),
                    };
                    match whole {
                        Ok(_) => answered.fetch_add(1, Ordering::SeqCst),
                        Err(error) => {
                            eprintln!("lost ({http2} {fresh}): {error:?}");
                            failed.fetch_add(1, Ordering::SeqCst)
                        }
                    };
                }
            });
        }
        load
    }

    /// Until every kind of visitor had so many more answers.
    async fn goes_on(&self, more: u64) {
        let before: Vec<u64> = self
            .answered
            .iter()
            .map(|n| n.load(Ordering::SeqCst))
            .collect();
        let enough = async {
            for (answered, before) in self.answered.iter().zip(before) {
                while answered.load(Ordering::SeqCst) < before + more {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        tokio::time::timeout(STEP, enough)
            .await
            .expect("the load stands still");
    }

    async fn end(mut self) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        while let Some(done) = self.visitors.join_next().await {
            done.unwrap();
        }
        self.failed.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_under_load_loses_no_request() {
    let backend = Backend::start().await;
    let folder = site_of_kim(&backend).await;
    let (old, address) = Process::run(folder.path(), &[]).ready().await;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut kim = Visitor::through(address);
    kim.sign_in("kim", kim.url("emr", "/mine")).await;
    let load = Load::with(address, true, Some(kim.cookie("emr.test").unwrap()));
    load.goes_on(10).await;

    let new = Process::run(folder.path(), &["--upgrade"]);
    let (new, _) = new.says("waiting for the process that serves now").await;
    old.signal("QUIT");
    let (new, same) = new.ready().await;
    assert_eq!(same, address, "the same socket");
    assert_eq!(tokio::time::timeout(STEP, old.ends()).await.unwrap(), 0);
    load.goes_on(10).await;
    assert_eq!(load.end().await, 0, "requests were lost");

    new.signal("TERM");
    assert_eq!(tokio::time::timeout(STEP, new.ends()).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_can_not_begin_leaves_everything_as_it_is() {
    let backend = Backend::start().await;
    let folder = site(&backend);
    let (old, address) = Process::run(folder.path(), &[]).ready().await;
    let load = Load::begin(address, true);
    load.goes_on(2).await;
    // It takes the sockets and then finds that it can't read the policies.
    let broken = folder.path().join("policies/default.toml");
    std::fs::rename(&broken, folder.path().join("away.toml")).unwrap();
    let new = Process::run(folder.path(), &["--upgrade"]);
    let (new, _) = new.says("waiting for the process that serves now").await;
    old.signal("QUIT");
    let (old, _) = old.says("could not be handed over").await;
    assert_ne!(tokio::time::timeout(STEP, new.ends()).await.unwrap(), 0);
    load.goes_on(5).await;
    assert_eq!(load.end().await, 0);
    old.signal("TERM");
    assert_eq!(tokio::time::timeout(STEP, old.ends()).await.unwrap(), 0);
}

/// A service manager in a few lines: it holds the sockets, and starts the service anew when told.
const MANAGER: &str = r#"
import ctypes, fcntl, os, signal, socket, sys
fds, ports = [], []
for name in ("https", "admin"):
    one = socket.socket()
    one.bind(("127.0.0.1", 0))
    one.listen(128)
    ports.append(one.getsockname()[1])
    fds.append(fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 100))
print(*ports, flush=True)
def start():
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with its manager
        for at, fd in enumerate(fds):
            os.dup2(fd, 3 + at)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="https:admin")
        os.execv(sys.argv[1], sys.argv[1:])
    return child
child = start()
for line in sys.stdin:
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    if line.strip() == "restart":
        child = start()
    else:
        break
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_service_managers_sockets_a_restart_refuses_nobody() {
    let backend = Backend::start().await;
    let folder = site(&backend);
    let mut command = Command::new("python3");
    command
        .args(["-c", MANAGER, env!("CARGO_BIN_EXE_vestibule"), "--config"])
        .arg(folder.path().join("gateway.toml"))
        .arg("run")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut manager = Process::start(command);
    let mut orders = manager.child.stdin.take().unwrap();
    let mut ports = String::new();
    BufReader::new(manager.child.stdout.take().unwrap())
        .read_line(&mut ports)
        .unwrap();
    let (manager, address) = manager.ready().await;
    let https: u16 = ports.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(address.port(), https, "the socket that was handed in");

    let load = Load::begin(address, false);
    load.goes_on(5).await;
    writeln!(orders, "restart").unwrap();
    let (manager, again) = manager.ready().await;
    assert_eq!(again, address);
    load.goes_on(5).await;
    assert_eq!(load.end().await, 0, "somebody was refused");
    writeln!(orders, "stop").unwrap();
    assert_eq!(tokio::time::timeout(STEP, manager.ends()).await.unwrap(), 0);
}
