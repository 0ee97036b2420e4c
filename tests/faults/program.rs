//! The gateway as a program of its own, where a test needs its process: for what it holds in memory, or
//! for limits that concern it alone.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tempfile::TempDir;

use crate::gateway::{Setup, soon, text, vestibule};

/// Binds the sockets, prints their ports, and becomes the program when told to. Python ignores the
/// signal that would end a process at its limit, and what it becomes inherits that.
const STARTER: &str = r#"
import fcntl, os, socket, sys
fds, ports = [], []
for name in ("https", "admin"):
    one = socket.socket()
    one.bind(("127.0.0.1", 0))
    one.listen(128)
    ports.append(one.getsockname()[1])
    fds.append(fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 100))
print(*ports, flush=True)
sys.stdin.readline()
for at, fd in enumerate(fds):
    os.dup2(fd, 3 + at)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="https:admin")
os.execv(sys.argv[1], sys.argv[1:])
"#;

/// The program, serving.
pub struct Program {
    child: Child,
    pub https: SocketAddr,
    admin: SocketAddr,
    folder: Arc<TempDir>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// With the people of `setup`, on stores of its own.
    pub async fn open(setup: &Setup) -> Program {
        Program::open_on(setup, &sched_getaffinity(None).unwrap()).await
    }

    /// The same, on these processors alone.
    pub async fn open_on(setup: &Setup, processors: &CpuSet) -> Program {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut program = Program::prepare(Arc::new(tempfile::tempdir().unwrap()));
        let folder = program.folder.path().to_owned();
        std::fs::create_dir(folder.join("policies")).unwrap();
        for (name, text) in &setup.policies {
            std::fs::write(folder.join("policies").join(name), text).unwrap();
        }
        let config = text(setup, program.https.port());
        std::fs::write(folder.join("gateway.toml"), config).unwrap();
        let people = folder.join("people.jsonl");
        std::fs::write(&people, &setup.people).unwrap();
        let import = ["people", "import", people.to_str().unwrap()];
        let (code, _, told) = vestibule(&folder, &import).await;
        assert_eq!(code, 0, "{told}");
        sched_setaffinity(Some(Pid::from_child(&program.child)), processors).unwrap();
        let mut input = program.child.stdin.take().unwrap();
        writeln!(input, "go").unwrap();
        soon("it is ready", async || {
            program.get("/readyz").await.is_some()
        })
        .await;
        program
    }

    fn prepare(folder: Arc<TempDir>) -> Program {
        let mut child = Command::new("python3")
            .args(["-c", STARTER, env!("CARGO_BIN_EXE_vestibule"), "--config"])
            .arg(folder.path().join("gateway.toml"))
            .arg("run")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ports: Vec<u16> = line
            .split_whitespace()
            .map(|p| p.parse().unwrap())
            .collect();
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Program {
            child,
            https: at(ports[0]),
            admin: at(ports[1]),
            folder,
        }
    }

    pub async fn get(&self, path: &str) -> Option<String> {
        let answer = reqwest::get(format!("http://{}{path}", self.admin))
            .await
            .ok()?;
        let answer = answer.error_for_status().ok()?;
        answer.text().await.ok()
    }

    /// The sum of a metric's series.
    pub async fn counted(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").await.unwrap();
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Whether its files may grow.
    pub fn disk(&self, has_room: bool) {
        let pid = Pid::from_child(&self.child);
        let limit = Rlimit {
            current: (!has_room).then_some(0),
            maximum: None,
        };
        prlimit(Some(pid), Resource::Fsize, limit).unwrap();
    }

    /// What it holds in memory.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }

    /// Told to end, it ends well. Its folder is left.
    pub async fn end(mut self) -> Arc<TempDir> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let folder = Arc::clone(&self.folder);
        let ended = tokio::task::spawn_blocking(move || self.child.wait().unwrap()).await;
        assert_eq!(ended.unwrap().code(), Some(0));
        folder
    }
}
