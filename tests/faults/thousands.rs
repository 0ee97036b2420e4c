//! Ten thousand who are idle, slow or mad, before a gateway in a process of its own: whoever works is
//! served as before, it holds no more than half a gigabyte, and all are cut at their deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::backend::Backend;
use crate::crowds::{Manner, stay};
use crate::frames::{END_STREAM, Frames};
use crate::gateway::Setup;
use crate::load::Load;
use crate::program::Program;
use crate::visitor::Visitor;

const EACH: usize = 2_000;
const GUESSERS: usize = 200;
const MANNERS: [Manner; 5] = [
    Manner::Silent,
    Manner::Idle,
    Manner::Half,
    Manner::Trickle,
    Manner::SlowBody,
];
/// The last of them is cut after the longest of the deadlines, a body's, and what the machine needs.
const ALL_CUT: Duration = Duration::from_secs(240);
const MOST_KIB: u64 = 512 * 1024;
/// Below this a quotient says more about the machine than about the gateway.
const LEAST: Duration = Duration::from_millis(10);

/// Of those who work, while others do what they do.
async fn p99(load: &Load, begun: Instant, span: Duration) -> (Duration, usize) {
    let _ = load.take_p99();
    while begun.elapsed() < span {
        load.goes_on(5).await;
    }
    load.take_p99()
}

/// Those who attack have machines of their own: here they get what everybody else leaves over, so that
/// what they cost themselves is not taken for what they cost the gateway.
fn elsewhere() -> Runtime {
    use thread_priority::{
        NormalThreadSchedulePolicy as Policy, ThreadPriority, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(|| {
            let idle = ThreadSchedulePolicy::Normal(Policy::Idle);
            set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle).unwrap();
        })
        .build()
        .unwrap()
}

/// Resets as fast as they are taken, on new connections again and again; how often one was ended.
fn mad(elsewhere: &Runtime, program: &Program, ended: &Arc<AtomicU64>) -> JoinHandle<()> {
    let (address, ended) = (program.https, Arc::clone(ended));
    elsewhere.spawn(async move {
        loop {
            let mut frames = Frames::open(address, "emr.test").await;
            let fields: [(&[u8], &[u8]); 4] = [
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":authority", b"emr.test"),
                (b":path", b"/mad"),
            ];
            loop {
                let stream = frames.begin(&fields, END_STREAM).await;
                if !frames.reset(stream).await {
                    break;
                }
            }
            ended.fetch_add(1, Ordering::SeqCst);
        }
    })
}

/// Names that nobody has, one after the other.
fn guesser(elsewhere: &Runtime, program: &Program, number: usize) -> JoinHandle<()> {
    let mut visitor = Visitor::through(program.https);
    elsewhere.spawn(async move {
        let page = visitor.open(visitor.url("emr", "/")).await;
        for round in 0.. {
            let name = format!("nobody-{number}-{round}");
            let fields = [("username", name.as_str()), ("password", "wrong")];
            let answer = visitor.submit_only(&page, &fields).await;
            let status = answer.status.as_u16();
            assert!(matches!(status, 403 | 429 | 503), "{status}");
        }
    })
}

#[ignore = "three minutes and ten thousand sockets of each side; docs/measuring.md has the command"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_ten_thousand_slow_and_mad_connections() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.more = String::from("[limits]\nconnections_per_address = 0\n");
    let program = Program::open(&setup).await;
    let mut kim = Visitor::through(program.https);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let mut sam = Visitor::through(program.https);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let load = Load::to(program.https, "emr.test", &[("kim", &kim), ("sam", &sam)]);
    load.goes_on(50).await;
    let second = Duration::from_secs(1);
    let (calm, _) = p99(&load, Instant::now(), 10 * second).await;
    let before = program.resident_kib();
    println!("calm: p99 {calm:?}, {before} KiB");

    let cookie = Arc::new(kim.cookie("emr.test").unwrap().to_owned());
    let (address, begun) = (program.https, Instant::now());
    let mut crowd = Vec::new();
    for place in 0..EACH {
        for manner in MANNERS {
            let cookie = Arc::clone(&cookie);
            crowd.push(tokio::spawn(
                async move { stay(address, &cookie, manner).await },
            ));
        }
        // Ten thousand handshakes take a while: they are not what is measured.
        if place % 50 == 49 {
            load.goes_on(2).await;
        }
    }
    let arrived = begun.elapsed();
    let (slow, count) = p99(&load, Instant::now(), 5 * second).await;
    let most = program.resident_kib();
    let here = crowd.iter().filter(|member| !member.is_finished()).count();
    println!(
        "{here} of {} slow ones are there, the last came after {arrived:?}: p99 of {count} good answers {slow:?}, {most} KiB",
        crowd.len()
    );
    let cut = tokio::time::timeout(ALL_CUT, join_all(crowd)).await;
    for member in cut.expect("somebody is never cut") {
        member.unwrap();
    }
    println!("all are cut {:?} after the first came", begun.elapsed());

    let elsewhere = elsewhere();
    let ended = Arc::new(AtomicU64::new(0));
    let mad: Vec<_> = (0..8).map(|_| mad(&elsewhere, &program, &ended)).collect();
    let (reset, count) = p99(&load, Instant::now(), 10 * second).await;
    mad.iter().for_each(JoinHandle::abort);
    let held = program.resident_kib();
    println!(
        "rapid resets, {} connections ended for them: p99 of {count} good answers {reset:?}, {held} KiB",
        ended.load(Ordering::SeqCst)
    );
    let guessers: Vec<_> = (0..GUESSERS)
        .map(|number| guesser(&elsewhere, &program, number))
        .collect();
    let (guessed, count) = p99(&load, Instant::now(), 10 * second).await;
    for guesser in &guessers {
        assert!(!guesser.is_finished(), "a guesser was answered oddly");
        guesser.abort();
    }
    let after = program.resident_kib();
    println!("sign-in flood: p99 of {count} good answers {guessed:?}, {after} KiB");

    elsewhere.shutdown_background();
    let tally = load.end().await;
    println!("{tally:?}");
    assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
    assert!(
        most.max(held).max(after) < MOST_KIB,
        "{most} {held} {after} KiB"
    );
    for (what, felt) in [("slow", slow), ("resets", reset), ("sign-ins", guessed)] {
        assert!(
            felt <= 3 * calm.max(LEAST),
            "{what}: {felt:?} after {calm:?}"
        );
    }
    program.end().await;
}
