//! Crowds that are idle, slow or mad: all are cut, and whoever works is served meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::frames::{END_STREAM, Frames};
use crate::gateway::{Setup, password};
use crate::store::Clinic;
use crate::visitor::Visitor;
use crate::wire::Wire;

async fn clinic(more: &str) -> Clinic {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.more = format!("[limits]\nconnections_per_address = 0\n{more}");
    Clinic::of(backend, setup).await
}

/// What a client of the crowd does until it is cut.
#[derive(Clone, Copy)]
pub enum Manner {
    /// Connects and never begins its handshake.
    Silent,
    /// Handshake, and then nothing.
    Idle,
    /// Half a head.
    Half,
    /// A header line a second, for ever.
    Trickle,
    /// A body that never comes to its end, from somebody who is signed in.
    SlowBody,
}

/// Whoever is signed in has this cookie at EMR.
pub async fn stay(address: SocketAddr, cookie: &str, manner: Manner) {
    if let Manner::Silent = manner {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut wire_end = [0; 1];
        let _ = tokio::io::AsyncReadExt::read(&mut { stream }, &mut wire_end).await;
        return;
    }
    // On a machine that is slow enough the handshake itself is cut.
    let name = ServerName::try_from("emr.test").unwrap();
    let Ok(mut wire) = Wire::connect(address, name, b"http/1.1").await else {
        return;
    };
    match manner {
        Manner::Silent | Manner::Idle => {}
        Manner::Half => {
            wire.send("GET /half HTTP/1.1\r\nHost: emr.test\r\n").await;
        }
        Manner::Trickle => {
            wire.send("GET /half HTTP/1.1\r\nHost: emr.test\r\n").await;
            let mut pace = tokio::time::interval(Duration::from_millis(300));
            loop {
                pace.tick().await;
                if !wire.send("X-Drip: a\r\n").await {
                    return;
                }
            }
        }
        Manner::SlowBody => {
            wire.send(format!(
                "POST /half HTTP/1.1\r\nHost: emr.test\r\nCookie: __Host-vestibule={cookie}\r\n\
                 Content-Length: 100000\r\n\r\nbegun"
            ))
            .await;
        }
    }
    while !wire.patient_rest().await {}
}

/// So many of each manner at once, while people work. Says how long the slowest waited.
async fn crowd(clinic: &Arc<Clinic>, manners: &[Manner], many: usize) -> (Duration, Duration) {
    let load = clinic.load();
    load.goes_on(20).await;
    let calm = load.longest();
    let mut members = Vec::new();
    for _ in 0..many {
        for manner in manners {
            let (clinic, manner) = (Arc::clone(clinic), *manner);
            members.push(tokio::spawn(async move {
                let cookie = clinic.kim.cookie("emr.test").unwrap();
                stay(clinic.gateway.address, cookie, manner).await;
            }));
        }
    }
    load.goes_on(20).await;
    for member in join_all(members).await {
        member.unwrap();
    }
    load.goes_on(5).await;
    let longest = load.longest();
    let tally = load.end().await;
    assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
    println!("{tally:?}, longest answer {calm:?} before the crowd, {longest:?} with it");
    (calm, longest)
}

const IMPATIENT: &str = "head = \"2s\"\nidle = \"2s\"\nhandshake = \"2s\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slow_are_cut_and_those_who_work_are_served() {
    // Those who work make no new connections and pause for less than this.
    let clinic = Arc::new(clinic("head = \"2s\"\nidle = \"60s\"").await);
    crowd(&clinic, &[Manner::Half, Manner::Trickle], 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_idle_are_cut() {
    let clinic = Arc::new(clinic(IMPATIENT).await);
    let members: Vec<_> = (0..100)
        .map(|place| {
            let manner = [Manner::Silent, Manner::Idle][place % 2];
            let clinic = Arc::clone(&clinic);
            tokio::spawn(async move { stay(clinic.gateway.address, "", manner).await })
        })
        .collect();
    for member in join_all(members).await {
        member.unwrap();
    }
    // By a new connection: the one that Kim had was as idle as the others.
    let mut kim = clinic.kim.at(&clinic.gateway);
    assert_eq!(kim.worth("emr").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_disturb_nobody_else() {
    let clinic = clinic("").await;
    let address = clinic.gateway.address;
    let load = clinic.load();
    load.goes_on(5).await;
    let mad = (0..4).map(|_| {
        tokio::spawn(async move {
            let mut frames = Frames::open(address, "emr.test").await;
            let fields: [(&[u8], &[u8]); 4] = [
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":authority", b"emr.test"),
                (b":path", b"/mad"),
            ];
            for _ in 0..100_000 {
                let stream = frames.begin(&fields, END_STREAM).await;
                if !frames.reset(stream).await {
                    return true;
                }
            }
            false
        })
    });
    for ended in join_all(mad).await {
        assert!(ended.unwrap(), "a flood of resets is never ended");
    }
    load.goes_on(5).await;
    let tally = load.end().await;
    assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
    let metrics = clinic.gateway.metrics().await;
    assert!(
        !metrics.contains("code=\"500\""),
        "who took a request back is told to have met an error of ours: {metrics}"
    );
    clinic.gateway.stop().await;
}

/// So many try names at once.
async fn flood(many: usize) {
    let clinic = clinic("password_workers = 1\npassword_queue = 4").await;
    let visitor = Visitor::new(&clinic.gateway);
    let mut first = visitor.clone();
    let page = Arc::new(first.open(first.url("emr", "/")).await);
    let load = clinic.load();
    load.goes_on(20).await;
    let tries = (0..many).map(|number| {
        let (mut visitor, page) = (first.clone(), Arc::clone(&page));
        tokio::spawn(async move {
            let name = format!("nobody-{number}");
            let fields = [("username", name.as_str()), ("password", "wrong")];
            let answer = visitor.submit_only(&page, &fields).await;
            assert_eq!(visitor.cookie("login.test"), None);
            answer.status.as_u16()
        })
    });
    let tries: Vec<_> = tries.collect();
    load.goes_on(20).await;
    let mut busy = 0;
    for status in join_all(tries).await {
        let status = status.unwrap();
        assert!(
            matches!(status, 200 | 400 | 401 | 403 | 422 | 429 | 503),
            "{status}"
        );
        busy += usize::from(matches!(status, 429 | 503));
    }
    let tally = load.end().await;
    assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
    println!("{busy} of {many} were told to wait; {tally:?}");
    // From elsewhere the door is open.
    let mut sam = Visitor::from(&clinic.gateway, "127.0.0.2");
    let page = sam.open(sam.url("emr", "/")).await;
    let fields = [("username", "sam"), ("password", &password("sam"))];
    let begun = Instant::now();
    let inside = sam.submit(&page, &fields).await;
    assert_eq!(inside.url, sam.url("emr", "/"), "{}", inside.body);
    println!("a right password took {:?}", begun.elapsed());
    clinic.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_sign_ins_slows_no_request_that_is_forwarded() {
    flood(60).await;
}

#[ignore = "a minute"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_flood_of_two_thousand_sign_ins() {
    flood(2000).await;
}
