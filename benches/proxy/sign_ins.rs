//! Forwarded requests beside sign-ins: whether hashing passwords slows who is at work already.
//!
//! Two figures of one gateway, round by round: requests at a steady rate alone, and the same while
//! people sign in with password (argon2id at OWASP's parameters) and TOTP, evenly spread.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::browser::sign_in;
use super::child::{self, Candidate};
use super::gateway::Plan;
use super::load::{Lanes, Load, make_certificate};
use super::options::Options;
use super::report::percentile;
use super::{HOST, House, LIMIT, PORTAL, Result, visits};

/// The 99th percentile beside sign-ins, as a multiple of the quiet one.
const BOUND: f64 = 2.0;

/// Everybody signs in once in two minutes at the usual rate: a code works once.
const PEOPLE: usize = 400;

/// What one span of requests came to.
struct Span {
    /// Of forwarded requests, sorted.
    latencies: Vec<Duration>,
    /// Of whole sign-ins, sorted; empty in a quiet span.
    sign_ins: Vec<Duration>,
    failed: usize,
}

pub async fn measure(options: &Options) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificate = make_certificate(folder.path(), &[HOST, PORTAL])?;
    let backend = child::start_backend()?;
    let plan = Plan {
        backend: backend.address,
        ..Plan::default()
    };
    let house = House::build(folder.path(), plan, options.busy).await?;
    visits::enrol(folder.path(), &house.plan, PEOPLE).await?;
    let running = house.plan.start(folder.path(), &[])?;
    let candidate = Candidate::of("gateway", running, Vec::new());
    let load = Load::new(&certificate, options.connections)?;
    println!(
        "{} rounds of 2 × {} s: {} requests a second over {} connections, {} sign-ins a minute, {} processors",
        options.rounds,
        options.span.as_secs(),
        options.rate,
        options.connections,
        options.per_minute,
        std::thread::available_parallelism()?,
    );
    let (mut quiet, mut busy) = (Vec::new(), Vec::new());
    let mut next = 0;
    for number in 1..=options.rounds {
        for beside in [None, Some(&mut next)] {
            let mut lanes = load
                .connect(candidate.address, &house.visits.some(options.busy))
                .await?;
            lanes.run(options.warm_up, LIMIT).await?;
            let is_quiet = beside.is_none();
            let span = measure_span(options, lanes, candidate.address, beside).await?;
            println!("{number:>3}  {}", span.line());
            if is_quiet { &mut quiet } else { &mut busy }.push(span);
        }
    }
    conclude(&quiet, &busy)
}

/// `next` is who signs in next; without it, nobody does.
async fn measure_span(
    options: &Options,
    lanes: Lanes,
    gateway: SocketAddr,
    next: Option<&mut usize>,
) -> Result<Span> {
    let forwarded = lanes.run_paced(options.rate, options.span);
    let signed = async {
        match next {
            Some(next) => sign_people_in(options, gateway, next).await,
            None => (Vec::new(), 0),
        }
    };
    let (latencies, (sign_ins, failed)) = tokio::join!(forwarded, signed);
    Ok(Span {
        latencies: sorted(latencies?),
        sign_ins: sorted(sign_ins),
        failed,
    })
}

async fn sign_people_in(
    options: &Options,
    gateway: SocketAddr,
    next: &mut usize,
) -> (Vec<Duration>, usize) {
    let apart = Duration::from_secs(60) / u32::try_from(options.per_minute).unwrap_or(u32::MAX);
    let begun = Instant::now();
    let mut running = JoinSet::new();
    let mut due = Duration::ZERO;
    while due < options.span {
        tokio::time::sleep_until((begun + due).into()).await;
        running.spawn(sign_in(gateway, *next % PEOPLE));
        *next += 1;
        due += apart;
    }
    let (mut took, mut failed) = (Vec::new(), 0);
    while let Some(done) = running.join_next().await {
        match done {
            Ok(Ok(time)) => took.push(time),
            Ok(Err(error)) => {
                eprintln!("a sign-in failed: {error}");
                failed += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    (took, failed)
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort();
    times
}

impl Span {
    fn line(&self) -> String {
        let of = |thousandth| percentile(&self.latencies, thousandth);
        let mut line = format!(
            "{} requests: p50 {:>8.2?}  p99 {:>8.2?}  p99.9 {:>8.2?}",
            self.latencies.len(),
            of(500),
            of(990),
            of(999)
        );
        if !self.sign_ins.is_empty() {
            let of = |thousandth| percentile(&self.sign_ins, thousandth);
            line += &format!(
                "  beside {} sign-ins: p50 {:.1?}  p99 {:.1?}",
                self.sign_ins.len(),
                of(500),
                of(990)
            );
        }
        line
    }
}

/// # Errors
/// When the bound does not hold, or a sign-in failed.
fn conclude(quiet: &[Span], busy: &[Span]) -> Result<()> {
    let p99 = |span: &Span| percentile(&span.latencies, 990).as_secs_f64();
    let mut ratios: Vec<f64> = quiet
        .iter()
        .zip(busy)
        .map(|(quiet, busy)| p99(busy) / p99(quiet))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let all = |spans: &[Span]| {
        sorted(
            spans
                .iter()
                .flat_map(|span| span.latencies.clone())
                .collect(),
        )
    };
    let (alone, beside) = (percentile(&all(quiet), 990), percentile(&all(busy), 990));
    let overall = beside.as_secs_f64() / alone.as_secs_f64();
    let failed: usize = busy.iter().map(|span| span.failed).sum();
    let signed: usize = busy.iter().map(|span| span.sign_ins.len()).sum();
    println!(
        "\np99 of forwarded requests: {alone:.2?} alone, {beside:.2?} beside {signed} sign-ins: × {overall:.2} \
         (by round, median {:.2}, {:.2}–{:.2}); the bound is {BOUND}",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1],
    );
    if failed > 0 {
        return Err(format!("{failed} sign-ins failed").into());
    }
    // The median round: what else the machine did for a moment is not the gateway's.
    if ratios[ratios.len() / 2] > BOUND {
        return Err("forwarded requests are slowed by more than the bound".into());
    }
    Ok(())
}
