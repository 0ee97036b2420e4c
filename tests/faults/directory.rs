//! PostgreSQL under load: crashed, and behind a line that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::fault::{Fault, Line};
use crate::gateway::{Setup, password};
use crate::postgres::Postgres;
use crate::store::Clinic;
use crate::visitor::{Answer, Visitor};

async fn try_to_sign_in(clinic: &Clinic) -> Answer {
    let mut visitor = Visitor::new(&clinic.gateway);
    let page = visitor.open(visitor.url("emr", "/")).await;
    assert_eq!(page.status, 200, "the page needs no directory");
    let fields = [("username", "kim"), ("password", &password("kim"))];
    let answer = visitor.submit_only(&page, &fields).await;
    if answer.status.is_redirection() {
        assert!(visitor.cookie("login.test").is_some());
    } else {
        assert_eq!(visitor.cookie("login.test"), None);
    }
    answer
}

async fn until_people_get_in(clinic: &Clinic) {
    let directory = clinic.gateway.running.directory.clone();
    let patient = async {
        while directory.ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        while !try_to_sign_in(clinic).await.status.is_redirection() {
            // Attempts that failed are counted, whoever's fault it was.
            clinic.gateway.clock.pass(Duration::from_secs(60));
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), patient).await;
    assert!(waited.is_ok(), "nobody gets in any more");
}

async fn gone(clinic: &Clinic) {
    let directory = clinic.gateway.running.directory.clone();
    let patient = async {
        while directory.ping().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), patient).await;
    assert!(waited.is_ok(), "the directory is still there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_that_crashes_and_comes_back_fails_nobody_who_is_inside() {
    let server = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.directory = server.new_database();
    let clinic = Clinic::of(backend, setup).await;
    let load = clinic.load();
    load.goes_on(5).await;
    for _ in 0..2 {
        server.crash();
        gone(&clinic).await;
        let refused = try_to_sign_in(&clinic).await;
        assert_eq!(refused.status, 503, "{}", refused.body);
        assert!(refused.headers.contains_key("retry-after"));
        load.goes_on(10).await;
        server.serve_again();
        until_people_get_in(&clinic).await;
        load.goes_on(5).await;
    }
    let tally = load.end().await;
    assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_to_postgresql_that_fails_in_every_way_lets_nobody_in_by_mistake() {
    fail_in_these_ways(&[
        Fault::Garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        Fault::Garbage(b"T\x00\x00\x00\x06\x00\x00D\x00\x00\x00\x06\x00\x00"),
        Fault::HalfClose,
        Fault::CutShort,
        Fault::Refuse,
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_to_postgresql_that_swallows_everything_lets_nobody_in_by_mistake() {
    fail_in_these_ways(&[Fault::Blackhole]).await;
}

/// The address of the database, through a line.
async fn through_a_line(server: &Postgres) -> (Line, String) {
    let mut url = url::Url::parse(&server.new_database()).unwrap();
    let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let line = Line::to(target.parse().unwrap()).await;
    url.set_port(Some(line.address.port())).unwrap();
    (line, url.to_string())
}

/// As when PostgreSQL's address moves to another machine, again and again: nobody says that what was
/// open is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_postgresql_that_lead_nowhere_any_more_keep_no_place() {
    let server = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let (line, url) = through_a_line(&server).await;
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.directory = url;
    let clinic = Clinic::of(backend, setup).await;
    let load = clinic.load();
    // Questions without end: whatever the pool has is in use when it leads nowhere.
    line.set(Fault::Delay(Duration::from_millis(10)));
    let stop = Arc::new(AtomicBool::new(false));
    let askers = (0..20).map(|_| {
        let directory = clinic.gateway.running.directory.clone();
        let stop = Arc::clone(&stop);
        tokio::spawn(async move {
            let mut failed = 0;
            while !stop.load(Ordering::SeqCst) {
                failed += u32::from(directory.ping().await.is_err());
            }
            failed
        })
    });
    let askers: Vec<_> = askers.collect();
    // Several times as long as a question waits: a place that would be kept is lost to one of them.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(15) {
        line.strand();
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    stop.store(true, Ordering::SeqCst);
    line.set(Fault::None);
    let mut failed = 0;
    for asker in askers {
        failed += asker.await.unwrap();
    }
    assert!(failed > 20, "only {failed} questions led nowhere");
    let begun = Instant::now();
    until_people_get_in(&clinic).await;
    println!("people got in again after {:?}", begun.elapsed());
    load.goes_on(3).await;
    let tally = load.end().await;
    assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
    clinic.gateway.stop().await;
}

async fn fail_in_these_ways(faults: &[Fault]) {
    let server = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let (line, url) = through_a_line(&server).await;
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.directory = url;
    let clinic = Clinic::of(backend, setup).await;
    let load = clinic.load();
    load.goes_on(5).await;
    for fault in faults.iter().copied() {
        line.set(fault);
        line.cut();
        let begun = Instant::now();
        let answer = try_to_sign_in(&clinic).await;
        assert_eq!(answer.status, 503, "{fault:?}: {}", answer.body);
        println!("{fault:?}: told after {:?}", begun.elapsed());
        load.goes_on(3).await;
        line.set(Fault::None);
        line.cut();
        until_people_get_in(&clinic).await;
    }
    let tally = load.end().await;
    assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
    clinic.gateway.stop().await;
}
