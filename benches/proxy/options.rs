//! Arguments.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::backend::Page;
use super::gateway::Plan;
use super::load::{Protocol, Shape};

const HELP: &str = "\
cargo bench --bench proxy [-- OPTIONS]
  --quick             a smoke run of some ten seconds
  --rounds N          rounds of every candidate (7)
  --requests N        requests of a round (20000)
  --warm-up N         requests before each round (2000)
  --connections N     keep-alive TLS connections (32)
  --busy N            people whose sessions the rounds use (32: each has a connection, as
                      browsers have; more take turns on each, as behind another proxy)
  --http2             over HTTP/2, four requests at once on each connection
  --large             answers of 64 KiB instead of 2 KiB
  --only A,B          of stock, bare, cached, asking
  --sessions N        live sessions when memory is read (10000)
  --under COMMAND     run the candidates under another program, a profiler:
                      --under 'valgrind --tool=callgrind'
  --rate N            requests a second where the rate is steady (1000)
  --span N            seconds of each such measurement (15; with --compare 5)

  --sign-ins          instead: the gateway's p99 beside sign-ins with TOTP, against the quiet one
  --per-minute N      of those sign-ins (200)

  --compare           instead: against nginx, nginx with Lua and Redis, auth_request, HAProxy
  --short             all of it with few requests: to see that everything works
  --only A,B          of stock, bare, embedded, cached, asking, lua, lua-cached, auth-request,
                      nginx, haproxy; of embedded and cached also for the part sessions
  --part A,B          of requests, handshakes, sessions, companies, revocation
  --handshakes N      TLS handshakes of a round (2000)
  --revocations N     sessions that are ended on another node (200)
  --sessions N        the most sessions (100000)
  --million           the same as --sessions 1000000: takes some gigabytes and half an hour
  --write FILE        puts the figures between the two marks in this file, BENCHMARKS.md";

/// What this process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Backend,
    Stock,
    Bare,
    Gateway,
    /// Looks after a program of somebody else's.
    Guard,
}

impl Role {
    const ALL: [Role; 5] = [
        Role::Backend,
        Role::Stock,
        Role::Bare,
        Role::Gateway,
        Role::Guard,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Backend => "backend",
            Role::Stock => "stock",
            Role::Bare => "bare",
            Role::Gateway => "gateway",
            Role::Guard => "guard",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Gateway,
    SignIns,
    Compare,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub role: Option<Role>,
    pub mode: Mode,
    pub rounds: usize,
    pub requests: usize,
    pub warm_up: usize,
    pub connections: usize,
    pub busy: usize,
    /// Not of the comparison, which has all.
    pub shape: Shape,
    pub sessions: usize,
    /// Candidates to measure; empty: all.
    pub only: Vec<String>,
    /// What candidates are run by, in words; empty: nothing.
    pub under: Vec<String>,
    pub per_minute: usize,
    pub rate: usize,
    pub span: Duration,
    /// Parts of the comparison; empty: all.
    pub parts: Vec<String>,
    pub handshakes: usize,
    pub revocations: usize,
    pub write: Option<PathBuf>,
    /// Of a role: where things are.
    pub folder: PathBuf,
    pub plan: Plan,
    /// Of a guard: what is run, and where it will listen.
    pub listen: Option<SocketAddr>,
    pub program: Vec<String>,
    /// What was asked for, as it was asked.
    pub words: Vec<String>,
}

impl Options {
    fn sound() -> Options {
        Options {
            role: None,
            mode: Mode::Gateway,
            rounds: 7,
            requests: 20_000,
            warm_up: 2_000,
            connections: 32,
            busy: 32,
            shape: Shape::PLAIN,
            sessions: 10_000,
            only: Vec::new(),
            under: Vec::new(),
            per_minute: 200,
            rate: 1_000,
            span: Duration::from_secs(15),
            parts: Vec::new(),
            handshakes: 2_000,
            revocations: 200,
            write: None,
            folder: PathBuf::new(),
            plan: Plan::default(),
            listen: None,
            program: Vec::new(),
            words: Vec::new(),
        }
    }

    /// `None` when there is nothing to run: help, or a test runner asking for a list.
    pub fn read(words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
        let all: Vec<String> = words.collect();
        let mut options = Options::sound();
        if all.iter().any(|word| word == "--compare") {
            options.mode = Mode::Compare;
            options.sessions = 100_000;
            options.span = Duration::from_secs(5);
        }
        let bench = |word: &&String| *word != "--bench";
        options.words = all.iter().filter(bench).cloned().collect();
        let mut words = all.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--list" => return Ok(None),
                "--help" => {
                    println!("{HELP}");
                    return Ok(None);
                }
                "--" => options.program = words.by_ref().collect(),
                _ if options.take_flag(&word) => {}
                _ => {
                    let value = words.next().ok_or(format!("{word} wants a value"));
                    options.take(&word, value)?;
                }
            }
        }
        Ok(Some(options))
    }

    /// A word that stands alone.
    fn take_flag(&mut self, word: &str) -> bool {
        match word {
            "--quick" => {
                (self.rounds, self.requests, self.warm_up) = (1, 2_000, 200);
                (self.busy, self.sessions) = (50, 500);
                self.span = Duration::from_secs(5);
            }
            "--sign-ins" => self.mode = Mode::SignIns,
            // Its own figures hold before any other word.
            "--compare" => {}
            "--short" => {
                (self.rounds, self.requests, self.warm_up) = (1, 320, 64);
                (self.busy, self.sessions) = (50, 2_000);
                (self.handshakes, self.revocations) = (32, 10);
                (self.rate, self.span) = (100, Duration::from_secs(1));
            }
            "--http2" => self.shape.protocol = Protocol::Http2,
            "--large" => self.shape.page = Page::Scan,
            "--million" => self.sessions = 1_000_000,
            "--authz" => self.plan.authz = true,
            _ => return false,
        }
        true
    }

    fn take(&mut self, word: &str, value: Result<String, String>) -> Result<(), String> {
        let number = |most| count(value.as_ref().map_err(String::clone)?, most);
        let text = || value.clone();
        match word {
            "--rounds" => self.rounds = number(1_000)?,
            "--requests" => self.requests = number(10_000_000)?,
            "--connections" => self.connections = number(200)?,
            "--busy" => self.busy = number(1_000_000)?,
            "--sessions" => self.sessions = number(1_000_000)?,
            "--only" => self.only = list(&text()?),
            "--part" => self.parts = list(&text()?),
            "--under" => self.under = text()?.split_whitespace().map(str::to_owned).collect(),
            "--warm-up" => self.warm_up = number(1_000_000)?,
            "--per-minute" => self.per_minute = number(6_000)?,
            "--rate" => self.rate = number(100_000)?,
            "--span" => {
                let seconds = u64::try_from(number(600)?).map_err(|_| "no span")?;
                self.span = Duration::from_secs(seconds);
            }
            "--handshakes" => self.handshakes = number(1_000_000)?,
            "--revocations" => self.revocations = number(100_000)?,
            "--write" => self.write = Some(PathBuf::from(text()?)),
            "--role" => {
                let name = text()?;
                let role = Role::ALL.into_iter().find(|role| role.as_str() == name);
                self.role = Some(role.ok_or(format!("no role {name:?}"))?);
            }
            "--backend" => self.plan.backend = text()?.parse().map_err(|_| "no address")?,
            "--listen" => self.listen = Some(text()?.parse().map_err(|_| "no address")?),
            "--folder" => self.folder = PathBuf::from(text()?),
            "--name" => self.plan.name = text()?,
            "--store" => self.plan.store = text()?,
            "--recheck" => self.plan.recheck = text()?,
            "--capacity" => self.plan.capacity = number(10_000_000)?,
            "--companies" => self.plan.companies = number(100_000)?,
            other => return Err(format!("{other:?} is not known\n{HELP}")),
        }
        Ok(())
    }

    pub fn wants(&self, candidate: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == candidate)
    }

    pub fn wants_part(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }

    pub fn backend(&self) -> SocketAddr {
        self.plan.backend
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn count(text: &str, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=most).contains(&count) => Ok(count),
        _ => Err(format!("{text:?} is not a number from 1 to {most}")),
    }
}
