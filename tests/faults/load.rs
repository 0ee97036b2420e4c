//! Steady load whose every answer is counted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::task::JoinHandle;

use crate::gateway::Gateway;
use crate::visitor::Visitor;
use crate::wire::{PATIENCE, Reply, Wire};

/// What a worker sends between two answers: so that the machine has time for others.
const PACE: Duration = Duration::from_millis(3);

/// Answers by what they mean.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// 200, and the backend named the one who asked.
    pub good: u64,
    /// 502, 503 or 504, well formed.
    pub away: u64,
    /// 401, 302 or 403 to somebody who is signed in.
    pub lost: u64,
    /// 200 to an impostor, or an answer about somebody else.
    pub wrong: u64,
    /// An impostor who got nothing.
    pub refused: u64,
    /// Neither: another status, or a connection that ended without an answer.
    pub failed: u64,
}

#[derive(Default)]
struct Counts {
    good: AtomicU64,
    away: AtomicU64,
    lost: AtomicU64,
    wrong: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    longest_micros: AtomicU64,
    /// How long answers took that were good, in microseconds.
    took: Mutex<Vec<u32>>,
}

pub struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    /// How many answers each worker had.
    answers: Vec<Arc<AtomicU64>>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Clone)]
struct Worker {
    address: SocketAddr,
    host: String,
    cookie: String,
    /// Whom the backend must name; an impostor is nobody.
    who: Option<String>,
    counts: Arc<Counts>,
    answers: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// People of `visitors` at `host`, each with three connections, and two impostors.
    pub fn at(gateway: &Gateway, host: &str, visitors: &[(&str, &Visitor)]) -> Load {
        Load::to(gateway.address, host, visitors)
    }

    /// The same, wherever the gateway is.
    pub fn to(address: SocketAddr, host: &str, visitors: &[(&str, &Visitor)]) -> Load {
        let mut load = Load {
            stop: Arc::default(),
            counts: Arc::default(),
            answers: Vec::new(),
            tasks: Vec::new(),
        };
        for (who, visitor) in visitors {
            let cookie = visitor.cookie(host).unwrap();
            for _ in 0..3 {
                load.begin(address, host, cookie.to_owned(), Some((*who).to_owned()));
            }
            // The right id with a secret that is not its own.
            let id = cookie.split_once('.').unwrap().0;
            load.begin(address, host, format!("{id}.{}", "A".repeat(43)), None);
        }
        load.begin(address, host, String::from("x"), None);
        load
    }

    fn begin(&mut self, address: SocketAddr, host: &str, cookie: String, who: Option<String>) {
        let answers = Arc::new(AtomicU64::new(0));
        self.answers.push(Arc::clone(&answers));
        let worker = Worker {
            address,
            host: host.to_owned(),
            cookie,
            who,
            counts: Arc::clone(&self.counts),
            answers,
            stop: Arc::clone(&self.stop),
        };
        self.tasks.push(tokio::spawn(worker.work()));
    }

    pub fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Tally {
            good: read(&self.counts.good),
            away: read(&self.counts.away),
            lost: read(&self.counts.lost),
            wrong: read(&self.counts.wrong),
            refused: read(&self.counts.refused),
            failed: read(&self.counts.failed),
        }
    }

    /// Until every worker had so many answers more.
    pub async fn goes_on(&self, more: u64) {
        let wanted: Vec<u64> = self
            .answers
            .iter()
            .map(|count| count.load(Ordering::SeqCst) + more)
            .collect();
        let begun = Instant::now();
        while !self
            .answers
            .iter()
            .zip(&wanted)
            .all(|(count, wanted)| count.load(Ordering::SeqCst) >= *wanted)
        {
            assert!(begun.elapsed() < 4 * PATIENCE, "stuck: {:?}", self.tally());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The longest that anybody waited for an answer so far.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.counts.longest_micros.load(Ordering::SeqCst))
    }

    /// Of a hundred good answers since the last question one took longer. And how many there were.
    pub fn take_p99(&self) -> (Duration, usize) {
        let mut took = std::mem::take(&mut *self.counts.took.lock().unwrap());
        took.sort_unstable();
        let at = (took.len() * 99 / 100).min(took.len().saturating_sub(1));
        let micros = took.get(at).copied().unwrap_or_default();
        (Duration::from_micros(micros.into()), took.len())
    }

    /// Ends it. What must hold whatever failed is checked here.
    pub async fn end(mut self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks.drain(..) {
            task.await.unwrap();
        }
        let tally = self.tally();
        assert_eq!(tally.wrong, 0, "wrongly let in: {tally:?}");
        assert_eq!(tally.lost, 0, "good sessions lost: {tally:?}");
        assert!(tally.refused > 0 && tally.good > 0, "{tally:?}");
        tally
    }
}

impl Worker {
    async fn work(self) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut wire = None;
        while !self.stop.load(Ordering::SeqCst) {
            pace.tick().await;
            let begun = Instant::now();
            let name = ServerName::try_from(self.host.clone()).unwrap();
            let mut line = match wire.take() {
                Some(line) => line,
                None => Wire::connect(self.address, name, b"http/1.1")
                    .await
                    .unwrap(),
            };
            let reply = line
                .ask(format!(
                    "GET /steady HTTP/1.1\r\nHost: {}\r\nCookie: __Host-vestibule={}\r\n\r\n",
                    self.host, self.cookie
                ))
                .await;
            self.count(&reply);
            let micros = u64::try_from(begun.elapsed().as_micros()).unwrap();
            self.counts
                .longest_micros
                .fetch_max(micros, Ordering::SeqCst);
            if reply.status == 200 {
                let micros = u32::try_from(micros).unwrap_or(u32::MAX);
                self.counts.took.lock().unwrap().push(micros);
            }
            self.answers.fetch_add(1, Ordering::SeqCst);
            let closes = reply
                .values("connection")
                .iter()
                .any(|value| value.eq_ignore_ascii_case("close"));
            if reply.status != 0 && !closes {
                wire = Some(line);
            }
        }
    }

    fn count(&self, reply: &Reply) {
        let counts = &self.counts;
        let counter = match (reply.status, &self.who) {
            (200, Some(who)) if reply.text().contains(&format!("<p>{who} at /steady,")) => {
                &counts.good
            }
            // A backend that broke off in the middle of its answer.
            (200, Some(_)) if is_cut(reply) => &counts.failed,
            (200, _) => &counts.wrong,
            (401 | 302 | 403, Some(_)) => &counts.lost,
            (401 | 503, None) => &counts.refused,
            (502..=504, Some(_)) => &counts.away,
            _ => &counts.failed,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

fn is_cut(reply: &Reply) -> bool {
    let length = reply
        .values("content-length")
        .first()
        .map(|length| length.parse());
    length.is_some_and(|length| length != Ok(reply.body.len()))
}
