//! A Redis of this run's own, and how much it is asked.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Result;
use super::child::{self, Running};

pub struct Redis {
    running: Running,
    address: SocketAddr,
}

impl Redis {
    /// Open when it returns.
    pub fn start(folder: &Path) -> Result<Redis> {
        let address = child::free_address()?;
        let port = address.port().to_string();
        let folder = folder.display().to_string();
        let words = [
            "redis-server",
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            &folder,
        ];
        let running = Running::start_program(address, &words.map(str::to_owned))?;
        Ok(Redis { running, address })
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn cpu(&self) -> Result<Duration> {
        self.running.cpu()
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
        let mut stream = TcpStream::connect(self.address).await?;
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
