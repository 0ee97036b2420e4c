//! A real Redis of the test's own.

#![allow(dead_code)] // every test program uses another part of this

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

/// A server on a free port, gone with the value. What it holds survives `stop` and `restart`.
pub struct Redis {
    port: u16,
    folder: TempDir,
    child: Option<Child>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Alone,
    /// A cluster of one, which is enough for its protocol and its slots.
    Cluster,
    /// Watches the server on this port under the name `main`.
    Sentinel {
        of: u16,
    },
}

impl Redis {
    pub fn start() -> Redis {
        Redis::start_as(Kind::Alone)
    }

    pub fn start_cluster() -> Redis {
        let redis = Redis::start_as(Kind::Cluster);
        redis.tell("CLUSTER ADDSLOTSRANGE 0 16383", "+OK");
        let begun = Instant::now();
        while !redis.ask("CLUSTER INFO").contains("cluster_state:ok") {
            assert!(begun.elapsed() < PATIENCE, "the cluster does not come up");
            std::thread::sleep(Duration::from_millis(5));
        }
        redis
    }

    /// A Sentinel that watches this server.
    pub fn start_sentinel(&self) -> Redis {
        Redis::start_as(Kind::Sentinel { of: self.port })
    }

    fn start_as(kind: Kind) -> Redis {
        // A port that was free a moment ago may be taken by now: then another one.
        for _ in 0..5 {
            let port = free_port();
            let folder = tempfile::tempdir().unwrap();
            let mut redis = Redis {
                port,
                folder,
                child: None,
                kind: kind.clone(),
            };
            if redis.try_start() {
                return redis;
            }
        }
        panic!("redis-server does not start; is it installed?");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn tell(&self, command: &str, expected: &str) {
        let reply = self.ask(command);
        assert!(reply.starts_with(expected), "{command}: {reply}");
    }

    fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        let mut reply = [0; 4096];
        let length = stream.read(&mut reply).unwrap();
        String::from_utf8_lossy(&reply[..length]).into_owned()
    }

    /// Ends the server; it writes down what it holds.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                let _ = stream.write_all(b"SHUTDOWN SAVE\r\n");
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let _ = stream.read(&mut [0; 64]);
            } else {
                let _ = child.kill();
            }
            let _ = child.wait();
        }
    }

    /// Starts it again where it was.
    pub fn restart(&mut self) {
        self.stop();
        assert!(self.try_start(), "redis-server does not start again");
    }

    fn command(&self) -> Command {
        let mut command = Command::new("redis-server");
        let port = self.port.to_string();
        let plain = [
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--port",
            &port,
        ];
        match &self.kind {
            Kind::Alone => command.args(plain),
            Kind::Cluster => command
                .args(plain)
                .args(["--cluster-enabled", "yes"])
                .args(["--cluster-port", &free_port().to_string()]),
            Kind::Sentinel { of } => {
                // A Sentinel writes to its configuration, so it must have a file.
                let file = self.folder.path().join("sentinel.conf");
                let watched = format!("sentinel monitor main 127.0.0.1 {of} 1\n");
                let lines = format!("bind 127.0.0.1\nport {port}\n{watched}");
                std::fs::write(&file, lines).unwrap();
                command.arg(file).arg("--sentinel")
            }
        };
        command
    }

    fn try_start(&mut self) -> bool {
        let child = self
            .command()
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else { return false };
        let child = self.child.insert(child);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                return false;
            }
            if answers(self.port) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut reply = [0; 7];
    stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut reply).is_ok()
        && reply == *b"+PONG\r\n"
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
