//! Arguments.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const HELP: &str = "\
cargo bench --bench proxy [-- OPTIONS]
  --quick             a smoke run of some ten seconds
  --rounds N          rounds of every candidate (7)
  --requests N        requests of a round (20000)
  --warm-up N         requests before each round (2000)
  --connections N     keep-alive TLS connections (32)
  --busy N            people whose sessions the rounds use (200)
  --only A,B          of stock, bare, cached, asking
  --sessions N        live sessions when memory is read (10000)
  --under COMMAND     run the candidates under another program, a profiler:
                      --under 'valgrind --tool=callgrind'
  --sign-ins          instead: the gateway's p99 beside sign-ins with TOTP, against the quiet one
  --per-minute N      of those sign-ins (200)
  --rate N            forwarded requests a second beside them (1000)
  --span N            seconds of each measurement of them (15)";

/// What this process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Backend,
    Stock,
    Bare,
    Gateway,
}

impl Role {
    const ALL: [Role; 4] = [Role::Backend, Role::Stock, Role::Bare, Role::Gateway];

    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Backend => "backend",
            Role::Stock => "stock",
            Role::Bare => "bare",
            Role::Gateway => "gateway",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Options {
    pub role: Option<Role>,
    pub rounds: usize,
    pub requests: usize,
    pub warm_up: usize,
    pub connections: usize,
    pub busy: usize,
    pub sessions: usize,
    /// Candidates to measure; empty: all.
    pub only: Vec<String>,
    /// What candidates are run by, in words; empty: nothing.
    pub under: Vec<String>,
    pub sign_ins: bool,
    pub per_minute: usize,
    pub rate: usize,
    pub span: Duration,
    /// Of a role: where things are.
    pub backend: Option<SocketAddr>,
    pub folder: PathBuf,
    pub redis: String,
    pub recheck: String,
}

impl Options {
    /// `None` when there is nothing to run: help, or a test runner asking for a list.
    pub fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
        let mut options = Options {
            role: None,
            rounds: 7,
            requests: 20_000,
            warm_up: 2_000,
            connections: 32,
            busy: 200,
            sessions: 10_000,
            only: Vec::new(),
            under: Vec::new(),
            sign_ins: false,
            per_minute: 200,
            rate: 1_000,
            span: Duration::from_secs(15),
            backend: None,
            folder: PathBuf::new(),
            redis: String::new(),
            recheck: String::new(),
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--list" => return Ok(None),
                "--help" => {
                    println!("{HELP}");
                    return Ok(None);
                }
                "--quick" => {
                    (options.rounds, options.requests, options.warm_up) = (1, 2_000, 200);
                    (options.busy, options.sessions) = (50, 500);
                    options.span = Duration::from_secs(5);
                }
                "--rounds" => options.rounds = count(&value()?, 1_000)?,
                "--requests" => options.requests = count(&value()?, 10_000_000)?,
                "--connections" => options.connections = count(&value()?, 200)?,
                "--busy" => options.busy = count(&value()?, 1_000_000)?,
                "--sessions" => options.sessions = count(&value()?, 1_000_000)?,
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--under" => {
                    options.under = value()?.split_whitespace().map(str::to_owned).collect();
                }
                "--warm-up" => options.warm_up = count(&value()?, 1_000_000)?,
                "--sign-ins" => options.sign_ins = true,
                "--per-minute" => options.per_minute = count(&value()?, 6_000)?,
                "--rate" => options.rate = count(&value()?, 100_000)?,
                "--span" => {
                    let seconds = u64::try_from(count(&value()?, 600)?);
                    options.span = Duration::from_secs(seconds.map_err(|_| "no span")?);
                }
                "--role" => {
                    let name = value()?;
                    let role = Role::ALL.into_iter().find(|role| role.as_str() == name);
                    options.role = Some(role.ok_or(format!("no role {name:?}"))?);
                }
                "--backend" => options.backend = Some(value()?.parse().map_err(|_| "no address")?),
                "--folder" => options.folder = PathBuf::from(value()?),
                "--redis" => options.redis = value()?,
                "--recheck" => options.recheck = value()?,
                other => return Err(format!("{other:?} is not known\n{HELP}")),
            }
        }
        Ok(Some(options))
    }

    pub fn wants(&self, candidate: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == candidate)
    }

    pub fn backend(&self) -> SocketAddr {
        self.backend.expect("a candidate is told of its backend")
    }
}

fn count(text: &str, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=most).contains(&count) => Ok(count),
        _ => Err(format!("{text:?} is not a number from 1 to {most}")),
    }
}
