//! A Redis of this run's own, and how much it is asked.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Result, child};

pub struct Redis {
    child: Child,
    port: u16,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Redis {
    pub async fn start(folder: &Path) -> Result<Redis> {
        let port = child::free_address()?.port();
        let child = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .arg("--dir")
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("redis-server can't be started: {error}"))?;
        let redis = Redis { child, port };
        let begun = Instant::now();
        while redis.commands().await.is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err("redis-server does not answer".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(redis)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Commands so far, those inside scripts too, without these questions.
    pub async fn commands(&self) -> Result<u64> {
        let asked = timeout(Duration::from_secs(5), self.ask("INFO commandstats")).await??;
        let calls = asked.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls: u64 = rest.split(',').next()?.parse().ok()?;
            (name != "info").then_some(calls)
        });
        Ok(calls.sum())
    }

    async fn ask(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await?;
        let mut answer = Vec::new();
        loop {
            stream.read_buf(&mut answer).await?;
            let text = String::from_utf8_lossy(&answer);
            // A bulk string: its length, a line feed, itself.
            if let Some((length, rest)) = text
                .strip_prefix('$')
                .and_then(|text| text.split_once("\r\n"))
                && rest.len() >= length.parse::<usize>()? + 2
            {
                return Ok(rest.to_owned());
            }
            if answer.is_empty() {
                return Err("no answer".into());
            }
        }
    }
}
