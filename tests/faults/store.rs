//! Redis under load: killed, paused, and behind a line that fails.

use std::time::Duration;

use http::Method;

use crate::backend::Backend;
use crate::fault::{Fault, Line};
use crate::gateway::{Gateway, Setup, soon};
use crate::load::Load;
use crate::redis::Redis;
use crate::visitor::Visitor;

/// Longer than any time that the gateway gives Redis.
const LONG: u64 = 60;

pub struct Clinic {
    pub backend: Backend,
    pub gateway: Gateway,
    pub kim: Visitor,
    pub sam: Visitor,
}

impl Clinic {
    /// Kim and Sam are inside, sessions in Redis at `url`.
    pub async fn over(url: String, store: &str) -> Clinic {
        let backend = Backend::start().await;
        let mut setup = Setup::new(&backend.url);
        setup.sessions = url;
        setup.store = store.to_owned();
        Clinic::of(backend, setup).await
    }

    pub async fn of(backend: Backend, setup: Setup) -> Clinic {
        let gateway = setup.start().await;
        let mut kim = Visitor::new(&gateway);
        kim.sign_in("kim", kim.url("emr", "/")).await;
        let mut sam = Visitor::new(&gateway);
        sam.sign_in("sam", sam.url("emr", "/")).await;
        Clinic {
            backend,
            gateway,
            kim,
            sam,
        }
    }

    pub fn load(&self) -> Load {
        let people = [("kim", &self.kim), ("sam", &self.sam)];
        Load::at(&self.gateway, "emr.test", &people)
    }

    /// What is never answered from memory alone: whether the store is there.
    pub async fn writes(&mut self) -> bool {
        self.write().await == 200
    }

    /// What a POST is answered.
    pub async fn write(&mut self) -> u16 {
        let url = self.kim.url("emr", "/notes");
        self.kim.fetch(Method::POST, url).await.status.as_u16()
    }

    /// What the gateway says is missing, when it is not ready.
    async fn missing(&self) -> Option<String> {
        let answer = reqwest::get(format!("http://{}/readyz", self.gateway.admin)).await;
        let answer = answer.unwrap();
        match answer.status().as_u16() {
            200 => None,
            _ => Some(answer.text().await.unwrap_or_default()),
        }
    }

    /// `soon` gives five seconds; a store that hangs may take a few of its deadlines.
    pub async fn until_ready(&self, ready: bool) {
        let mut missing = self.missing().await;
        let patient = async {
            while missing.is_none() != ready {
                tokio::time::sleep(Duration::from_millis(20)).await;
                missing = self.missing().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(LONG), patient).await;
        assert!(waited.is_ok(), "never ready = {ready}: {missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_started_again_costs_nobody_the_session() {
    let mut redis = Redis::start_durable();
    let mut clinic = Clinic::over(redis.url(), "").await;
    let load = clinic.load();
    load.goes_on(10).await;
    for _ in 0..2 {
        redis.kill();
        clinic.until_ready(false).await;
        load.goes_on(10).await;
        redis.restart();
        clinic.until_ready(true).await;
        soon("requests are served again", async || clinic.writes().await).await;
        load.goes_on(10).await;
    }
    let tally = load.end().await;
    assert!(tally.away > 0, "the outage was felt: {tally:?}");
    assert_eq!(tally.failed, 0, "{tally:?}");
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_grace_an_outage_of_redis_fails_no_reader() {
    let mut redis = Redis::start_durable();
    let mut clinic = Clinic::over(redis.url(), "when_unavailable = \"grace:30s\"").await;
    let load = clinic.load();
    load.goes_on(10).await;
    redis.kill();
    clinic.until_ready(false).await;
    load.goes_on(30).await;
    assert!(!clinic.writes().await, "grace is for reading");
    redis.restart();
    clinic.until_ready(true).await;
    soon("writing goes on", async || clinic.writes().await).await;
    load.goes_on(10).await;
    let tally = load.end().await;
    assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
    clinic.gateway.stop().await;
}

/// A server that is there and says nothing. What was revoked before it fell silent stays revoked.
async fn paused(answers_each: u64) {
    let redis = Redis::start();
    let mut clinic = Clinic::over(redis.url(), "").await;
    let mut ended = Visitor::new(&clinic.gateway);
    ended.sign_in("kim", ended.url("emr", "/")).await;
    let old = ended.clone();
    let out = ended.url("emr", "/.vestibule/sign_out");
    assert_eq!(ended.fetch(Method::POST, out).await.status, 204);
    let mut old = old;

    let load = clinic.load();
    load.goes_on(10).await;
    redis.pause();
    clinic.until_ready(false).await;
    load.goes_on(answers_each).await;
    assert_ne!(old.worth("emr").await, 200);
    redis.resume();
    clinic.until_ready(true).await;
    soon("requests are served again", async || clinic.writes().await).await;
    load.goes_on(10).await;
    assert_eq!(old.worth("emr").await, 401);
    let longest = load.longest();
    let tally = load.end().await;
    assert_eq!(tally.failed, 0, "{tally:?}");
    println!("longest answer {longest:?}; {tally:?}");
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_redis_lets_nobody_in_and_loses_nobody() {
    paused(5).await;
}

#[ignore = "half a minute"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_redis_that_pauses_again_and_again() {
    for _ in 0..5 {
        paused(200).await;
    }
}

/// Every session is asked for at each request, over a line that fails in every way there is.
async fn failing_line(rounds: usize) {
    let redis = Redis::start();
    let line = Line::to_url(&redis.url().replace("redis:", "http:")).await;
    let url = format!("redis://{}/", line.address);
    let mut clinic = Clinic::over(url, "recheck = \"1s\"").await;
    let load = clinic.load();
    let clock = clinic.gateway.clock.clone();
    let ageing = tokio::spawn(async move {
        // Ten hours at most: nobody's session is to end of itself, however long this takes.
        for _ in 0..32_000 {
            clock.pass(Duration::from_millis(1100));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    load.goes_on(5).await;
    for _ in 0..rounds {
        for fault in [
            Fault::Delay(Duration::from_millis(20)),
            Fault::Garbage(b"-ERR what?\r\n+OK\r\n$5\r\nhello\r\n*1\r\n"),
            Fault::Garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            Fault::HalfClose,
            Fault::CutShort,
            Fault::Refuse,
            Fault::Blackhole,
        ] {
            // On the connection that is there, and then on new ones.
            line.set(fault);
            load.goes_on(2).await;
            line.cut();
            load.goes_on(3).await;
            line.set(Fault::None);
            line.cut();
            clinic.until_ready(true).await;
            soon("requests are served again", async || clinic.writes().await).await;
        }
        for _ in 0..10 {
            line.cut();
            load.goes_on(1).await;
        }
        clinic.until_ready(true).await;
        load.goes_on(5).await;
    }
    ageing.abort();
    // Time flies here, and a request under way ends when nobody can confirm its session any more:
    // such an end is no failure.
    let tally = load.end().await;
    println!("{tally:?}");
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_to_redis_that_fails_in_every_way_mixes_nobody_up() {
    failing_line(1).await;
}

#[ignore = "minutes"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_line_to_redis_that_fails_again_and_again() {
    failing_line(10).await;
}

/// How long it may take is told by the tests of the link itself, whose time is their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_answers_late_is_no_outage() {
    let redis = Redis::start();
    let line = Line::to_url(&redis.url().replace("redis:", "http:")).await;
    let url = format!("redis://{}/", line.address);
    let mut clinic = Clinic::over(url, "recheck = \"1s\"").await;
    let load = clinic.load();
    load.goes_on(5).await;
    // There and back: seven tenths of a second.
    line.set(Fault::Delay(Duration::from_millis(350)));
    // On the connection that is there, and on one that is made of several such replies.
    for _ in 0..2 {
        soon("requests are served", async || {
            clinic.gateway.clock.pass(Duration::from_millis(1100));
            clinic.writes().await
        })
        .await;
        load.goes_on(2).await;
        line.cut();
    }
    line.set(Fault::None);
    clinic.until_ready(true).await;
    soon("requests are served again", async || clinic.writes().await).await;
    let tally = load.end().await;
    println!("{tally:?}");
    clinic.gateway.stop().await;
}

/// Whoever goes away in the middle leaves no reply behind for the next (redis-rs issues 325, 1017).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_go_away_while_redis_is_asked_leave_nobody_their_reply() {
    let redis = Redis::start();
    let line = Line::to_url(&redis.url().replace("redis:", "http:")).await;
    let url = format!("redis://{}/", line.address);
    let clinic = Clinic::over(url, "recheck = \"1s\"").await;
    let load = clinic.load();
    line.set(Fault::Delay(Duration::from_millis(5)));
    for round in 0..100 {
        clinic.gateway.clock.pass(Duration::from_millis(1100));
        let visitor = if round % 2 == 0 {
            &clinic.kim
        } else {
            &clinic.sam
        };
        let cookie = visitor.cookie("emr.test").unwrap();
        let mut wire = crate::wire::Wire::open(clinic.gateway.address, "emr.test").await;
        wire.send(format!(
            "GET /gone HTTP/1.1\r\nHost: emr.test\r\nCookie: __Host-vestibule={cookie}\r\n\r\n"
        ))
        .await;
        drop(wire);
    }
    load.goes_on(20).await;
    let tally = load.end().await;
    assert_eq!(tally.failed, 0, "{tally:?}");
    for seen in clinic.backend.seen() {
        // Kim's and Sam's are the only sessions: whoever is named holds one of the two.
        assert!(
            matches!(seen.header("x-forwarded-user"), Some("kim" | "sam")),
            "{seen:?}"
        );
    }
    clinic.gateway.stop().await;
}
