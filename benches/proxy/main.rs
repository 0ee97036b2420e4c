//! What the gateway costs beside plain pingora: requests per second, and CPU time per request of
//! the proxy's process alone. Backend and load are processes of their own.
//!
//! `cargo bench --bench proxy` · `-- --quick` for ten seconds' worth · `-- --help`
//!
//! Every candidate is this program again, with a role: its CPU time can then be read from outside.
//! Rounds are interleaved, so that a busy machine is busy for all candidates alike: trust the
//! ratios more than the figures.

// A tool for one run on one machine: what fails ends it, and says where.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod backend;
mod bare;
mod child;
mod gateway;
mod load;
mod options;
mod redis;
mod report;
mod stock;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use child::Candidate;
use gateway::Visits;
use load::Load;
use options::{Options, Role};
use redis::Redis;
use report::{Report, Round};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The same as the gateway's own: an allocator is a fifth of a proxy's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Name in the certificate, in SNI and in `Host`.
const HOST: &str = "emr.localhost";

/// The word of `--only`, the name, the role, and its arguments.
const CANDIDATES: [(&str, &str, Role, &[&str]); 4] = [
    ("stock", "pingora as it comes", Role::Stock, &[]),
    ("bare", report::MEASURE, Role::Bare, &[]),
    (
        "cached",
        "gateway, session cached",
        Role::Gateway,
        &["--recheck", "60s"],
    ),
    (
        "asking",
        "gateway, asking Redis",
        Role::Gateway,
        &["--recheck", "0s"],
    ),
];

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nobody was first");
    let done = match options.role {
        None => runtime(2).block_on(measure(&options)),
        Some(Role::Backend) => backend::run(),
        Some(Role::Stock) => stock::run(&options),
        Some(Role::Bare) => runtime(2).block_on(bare::run(&options)),
        Some(Role::Gateway) => runtime(2).block_on(gateway::run(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", options.role.map_or("bench", Role::as_str));
            ExitCode::FAILURE
        }
    }
}

fn runtime(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn measure(options: &Options) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificate = load::make_certificate(folder.path(), &[HOST, "login.localhost"])?;
    let redis = Redis::start(folder.path()).await?;
    let backend = child::start_backend()?;
    let setup = child::Setup {
        folder: folder.path(),
        backend: backend.address,
        redis: &redis,
    };
    let anybody = !options.wants("cached") && !options.wants("asking");
    let visits = if anybody {
        Visits::anybody()
    } else {
        gateway::prepare(&setup, options.sessions).await?
    };
    let mut candidates = Vec::new();
    for (word, name, role, more) in CANDIDATES {
        if options.wants(word) {
            candidates.push(Candidate::start(name, role, &setup, more)?);
        }
    }
    let load = Load::new(&certificate, options.connections)?;
    println!(
        "{} rounds of {} requests over {} TLS connections, {} people in use",
        options.rounds, options.requests, options.connections, options.busy
    );
    let mut report = Report::new(candidates.iter().map(|candidate| candidate.name));
    let limit = Duration::from_secs(60);
    for round in 0..options.rounds {
        for (index, candidate) in candidates.iter().enumerate() {
            let mut lanes = load
                .connect(candidate.address, visits.some(options.busy))
                .await?;
            lanes.run(options.warm_up, limit).await?;
            let (commands, cpu) = (redis.commands().await?, candidate.cpu()?);
            let took = lanes.run(options.requests, limit).await?;
            let round = Round {
                number: round + 1,
                requests: lanes.rounded(options.requests),
                took,
                cpu: candidate.cpu()?.saturating_sub(cpu),
                commands: redis.commands().await?.saturating_sub(commands),
            };
            println!("{}", round.line(candidate.name));
            report.add(index, round);
        }
    }
    println!("\n{report}");
    for candidate in candidates
        .iter()
        .filter(|candidate| candidate.role == Role::Gateway)
    {
        let before = candidate.resident()?;
        let mut lanes = load.connect(candidate.address, visits.all()).await?;
        lanes.run(visits.all().len(), limit).await?;
        println!(
            "{}: {:.1} MiB resident with {} live sessions (before: {:.1} MiB)",
            candidate.name,
            candidate.resident()?,
            visits.all().len(),
            before
        );
    }
    Ok(())
}
