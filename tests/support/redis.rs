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
    /// Where the nodes of a cluster talk to each other: the same after a restart.
    bus: u16,
    folder: TempDir,
    child: Option<Child>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Alone,
    /// Writes everything down at once, so that nothing is lost when it is killed.
    Durable,
    /// Copies the server on this port.
    Replica {
        of: u16,
    },
    /// One of several masters, each with its slots, durable.
    Shard,
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

    /// Of a Sentinel that is alone: from now on it puts a replica in the place of a server that is
    /// silent for two seconds. Before, a machine that is busy could make it do so to one that lives.
    pub fn lose_patience(&self) {
        self.tell("SENTINEL SET main down-after-milliseconds 2000", "+OK");
    }

    /// Of a Sentinel: until it has found whom it could put in the place of the server it watches.
    pub fn until_it_knows_a_replica(&self) {
        let begun = Instant::now();
        while !self
            .ask("SENTINEL MASTER main")
            .contains("num-slaves\r\n$1\r\n1")
        {
            assert!(begun.elapsed() < 3 * PATIENCE, "no replica is found");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Nothing that was written is lost when it is killed.
    pub fn start_durable() -> Redis {
        Redis::start_as(Kind::Durable)
    }

    /// A copy of this server; it is complete when this returns.
    pub fn start_replica(&self) -> Redis {
        let replica = Redis::start_as(Kind::Replica { of: self.port });
        let begun = Instant::now();
        while !replica
            .ask("INFO replication")
            .contains("master_link_status:up")
        {
            assert!(begun.elapsed() < PATIENCE, "the replica does not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
        replica
    }

    /// Until one replica has everything that was written so far.
    pub fn wait_for_replica(&self) {
        // What WAIT waits for is the last write of its own connection: so there is one.
        let reply = self.ask_all("SET last-write 1\r\nWAIT 1 0\r\n", |reply| {
            reply.matches("\r\n").count() == 2
        });
        assert_eq!(reply, "+OK\r\n:1\r\n");
    }

    /// Three masters that share the slots, durable.
    pub fn start_shards() -> [Redis; 3] {
        let shards = [(); 3].map(|()| Redis::start_as(Kind::Shard));
        for (shard, slots) in shards.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
            shard.tell(&format!("CLUSTER ADDSLOTSRANGE {slots}"), "+OK");
        }
        let (first, others) = shards.split_first().unwrap();
        for (number, other) in others.iter().enumerate() {
            other.tell(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 2), "+OK");
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", other.port, other.bus);
            first.tell(&meet, "+OK");
        }
        let begun = Instant::now();
        let whole = |shard: &Redis| {
            let told = shard.ask("CLUSTER INFO");
            told.contains("cluster_state:ok") && told.contains("cluster_known_nodes:3")
        };
        while !shards.iter().all(whole) {
            assert!(begun.elapsed() < 3 * PATIENCE, "the cluster does not form");
            std::thread::sleep(Duration::from_millis(20));
        }
        shards
    }

    /// Whether the cluster is whole as this node sees it.
    pub fn sees_whole_cluster(&self) -> bool {
        self.ask("CLUSTER INFO").contains("cluster_state:ok")
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// It stays there and says nothing, until `resume`.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it is running");
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.unwrap().success(), "kill {signal}");
    }

    fn start_as(kind: Kind) -> Redis {
        // A port that was free a moment ago may be taken by now: then another one.
        for _ in 0..5 {
            let port = free_port();
            let folder = tempfile::tempdir().unwrap();
            let mut redis = Redis {
                port,
                bus: free_port(),
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

    pub fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        let mut reply = [0; 4096];
        let length = stream.read(&mut reply).unwrap();
        String::from_utf8_lossy(&reply[..length]).into_owned()
    }

    fn ask_all(&self, commands: &str, is_whole: impl Fn(&str) -> bool) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(6 * PATIENCE)).unwrap();
        stream.write_all(commands.as_bytes()).unwrap();
        let mut reply = String::new();
        while !is_whole(&reply) {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).unwrap();
            assert_ne!(length, 0, "cut after {reply}");
            reply.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        reply
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
            "--repl-diskless-sync-delay",
            "0",
            "--port",
            &port,
        ];
        let durable = ["--appendonly", "yes", "--appendfsync", "always"];
        match &self.kind {
            Kind::Alone => command.args(plain),
            Kind::Durable => command.args(plain).args(durable),
            Kind::Replica { of } => {
                command
                    .args(plain)
                    .args(["--replicaof", "127.0.0.1", &of.to_string()])
            }
            Kind::Cluster => command
                .args(plain)
                .args(["--cluster-enabled", "yes"])
                .args(["--cluster-port", &self.bus.to_string()]),
            Kind::Shard => command
                .args(plain)
                .args(durable)
                .args(["--cluster-enabled", "yes"])
                .args(["--cluster-node-timeout", "2000"])
                .args(["--cluster-require-full-coverage", "no"])
                .args(["--cluster-port", &self.bus.to_string()]),
            Kind::Sentinel { of } => {
                // A Sentinel writes to its configuration, so it must have a file.
                let file = self.folder.path().join("sentinel.conf");
                let watched = format!("sentinel monitor main 127.0.0.1 {of} 1\n");
                let quick = "sentinel down-after-milliseconds main 30000\n\
                             sentinel failover-timeout main 5000\n";
                let lines = format!("bind 127.0.0.1\nport {port}\n{watched}{quick}");
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

/// Which of [`Redis::start_shards`] holds this key (Redis Cluster specification: CRC16 of the part
/// in braces, modulo 16384).
pub fn shard_of(key: &str) -> usize {
    let inner = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let hashed = match inner {
        Some((inner, _)) if !inner.is_empty() => inner,
        _ => key,
    };
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    });
    match crc % 16_384 {
        0..=5_460 => 0,
        5_461..=10_922 => 1,
        _ => 2,
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
