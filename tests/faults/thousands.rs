//! Ten thousand who are idle, slow or mad, before a gateway in a process of its own: whoever works is
//! served as before, it holds no more than half a gigabyte, and all are cut at their deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
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
const TEN_SECONDS: Duration = Duration::from_secs(10);
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

/// One processor for the gateway, which is returned, and another for everybody else: what clients and backend cost
/// themselves is not taken for what the gateway costs.
fn apart() -> CpuSet {
    let all = sched_getaffinity(None).unwrap();
    let mut each = (0..CpuSet::MAX_CPU).filter(|at| all.is_set(*at));
    let (Some(first), Some(second)) = (each.next(), each.next()) else {
        panic!("this takes two processors");
    };
    let only = |at| {
        let mut set = CpuSet::new();
        set.set(at);
        set
    };
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        let number = thread.unwrap().file_name().to_str().unwrap().parse();
        sched_setaffinity(Pid::from_raw(number.unwrap()), &only(second)).unwrap();
    }
    only(first)
}

/// Those who attack have machines of their own: here they get what clients and backend leave over.
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
fn mad(elsewhere: &Runtime, program: &Program, ended: &Arc<AtomicU64>) {
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
    });
}

/// Names that nobody has, one after the other.
fn guesser(
    elsewhere: &Runtime,
    program: &Program,
    number: usize,
    guesses: &Arc<AtomicU64>,
) -> JoinHandle<()> {
    let mut visitor = Visitor::through(program.https);
    let guesses = Arc::clone(guesses);
    elsewhere.spawn(async move {
        let page = visitor.open(visitor.url("emr", "/")).await;
        for round in 0.. {
            let name = format!("nobody-{number}-{round}");
            let fields = [("username", name.as_str()), ("password", "wrong")];
            let answer = visitor.submit_only(&page, &fields).await;
            let status = answer.status.as_u16();
            assert!(matches!(status, 403 | 429 | 503), "{status}");
            guesses.fetch_add(1, Ordering::SeqCst);
        }
    })
}

/// A gateway in a process of its own, with people who work.
struct Clinic {
    program: Program,
    load: Load,
    /// Whoever is signed in has this cookie at EMR.
    cookie: Arc<String>,
    calm: Duration,
    _backend: Backend,
}

impl Clinic {
    async fn open() -> Clinic {
        let backend = Backend::start().await;
        let mut setup = Setup::new(&backend.url);
        setup.more = String::from("[limits]\nconnections_per_address = 0\n");
        let program = Program::open_on(&setup, &apart()).await;
        let mut kim = Visitor::through(program.https);
        kim.sign_in("kim", kim.url("emr", "/")).await;
        let mut sam = Visitor::through(program.https);
        sam.sign_in("sam", sam.url("emr", "/")).await;
        let load = Load::to(program.https, "emr.test", &[("kim", &kim), ("sam", &sam)]);
        load.goes_on(50).await;
        let (calm, _) = p99(&load, Instant::now(), TEN_SECONDS).await;
        println!("calm: p99 {calm:?}, {} KiB", program.resident_kib());
        Clinic {
            program,
            load,
            cookie: Arc::new(kim.cookie("emr.test").unwrap().to_owned()),
            calm,
            _backend: backend,
        }
    }

    /// What those who work felt for so long, and how much the gateway held in the end.
    async fn feels(&self, what: &str, span: Duration) -> (Duration, u64) {
        let (felt, count) = p99(&self.load, Instant::now(), span).await;
        let held = self.program.resident_kib();
        println!("{what}: p99 of {count} good answers {felt:?}, {held} KiB");
        (felt, held)
    }

    async fn judge(self, felt: Duration, held: u64) {
        let tally = self.load.end().await;
        println!("{tally:?}");
        assert_eq!((tally.away, tally.failed), (0, 0), "{tally:?}");
        assert!(held < MOST_KIB, "{held} KiB");
        assert!(
            felt <= 3 * self.calm.max(LEAST),
            "{felt:?} after {:?}",
            self.calm
        );
        self.program.end().await;
    }
}

#[ignore = "two minutes and ten thousand sockets of each side; docs/measuring.md has the command"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_ten_thousand_slow_connections() {
    let clinic = Clinic::open().await;
    let (address, begun) = (clinic.program.https, Instant::now());
    let mut crowd = Vec::new();
    for place in 0..EACH {
        for manner in MANNERS {
            let cookie = Arc::clone(&clinic.cookie);
            crowd.push(tokio::spawn(
                async move { stay(address, &cookie, manner).await },
            ));
        }
        // Ten thousand handshakes take a while: they are not what is measured.
        if place % 50 == 49 {
            clinic.load.goes_on(2).await;
        }
    }
    let arrived = begun.elapsed();
    let (felt, held) = clinic
        .feels("ten thousand slow ones", TEN_SECONDS / 2)
        .await;
    let here = crowd.iter().filter(|member| !member.is_finished()).count();
    println!("{here} of them were there, the last came after {arrived:?}");
    let cut = tokio::time::timeout(ALL_CUT, join_all(crowd)).await;
    for member in cut.expect("somebody is never cut") {
        member.unwrap();
    }
    println!("all are cut {:?} after the first came", begun.elapsed());
    clinic.judge(felt, held).await;
}

#[ignore = "half a minute with both processors; docs/measuring.md has the command"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_rapid_resets() {
    let clinic = Clinic::open().await;
    let elsewhere = elsewhere();
    let ended = Arc::new(AtomicU64::new(0));
    for _ in 0..8 {
        mad(&elsewhere, &clinic.program, &ended);
    }
    let (felt, held) = clinic.feels("rapid resets", TEN_SECONDS).await;
    let ended = ended.load(Ordering::SeqCst);
    println!("{ended} connections were ended for them");
    assert!(ended > 0);
    elsewhere.shutdown_background();
    clinic.judge(felt, held).await;
}

#[ignore = "half a minute with both processors; docs/measuring.md has the command"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_sign_in_flood() {
    let clinic = Clinic::open().await;
    let elsewhere = elsewhere();
    let guesses = Arc::new(AtomicU64::new(0));
    let guessers: Vec<_> = (0..GUESSERS)
        .map(|number| guesser(&elsewhere, &clinic.program, number, &guesses))
        .collect();
    let (felt, held) = clinic.feels("sign-in flood", TEN_SECONDS).await;
    println!("{} guesses were answered", guesses.load(Ordering::SeqCst));
    for guesser in &guessers {
        assert!(!guesser.is_finished(), "a guesser was answered oddly");
    }
    elsewhere.shutdown_background();
    clinic.judge(felt, held).await;
}
