//! What the gateway costs beside plain pingora: requests per second, and CPU time per request of
//! the proxy's process alone. Backend and load are processes of their own.
//!
//! `cargo bench --bench proxy` · `-- --quick` for ten seconds' worth · `-- --help`
//!
//! `-- --sign-ins`: what sign-ins with password and TOTP do to forwarded requests' p99.
//!
//! `-- --compare`: beside nginx and HAProxy, in everything that BENCHMARKS.md tells of.
//!
//! Every candidate is this program again, with a role: its CPU time can then be read from outside.
//! Rounds are interleaved, so that a busy machine is busy for all candidates alike: trust the
//! ratios more than the figures.

// A tool for one run on one machine: what fails ends it, and says where.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod backend;
mod bare;
mod browser;
mod child;
mod compare;
mod gateway;
mod guard;
mod lane;
mod load;
mod options;
mod redis;
mod report;
mod sign_ins;
mod stock;
mod visits;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use child::{Candidate, Running};
use gateway::Plan;
use load::Load;
use options::{Mode, Options, Role};
use redis::Redis;
use report::{Report, Round};
use visits::Visits;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The same as the gateway's own: an allocator is a fifth of a proxy's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The longest that a round takes.
const LIMIT: Duration = Duration::from_secs(60);

/// Name in the certificate, in SNI and in `Host`.
const HOST: &str = "emr.localhost";

/// The portal's.
const PORTAL: &str = "login.localhost";

/// The word of `--only`, the name, the role, and how old a cached session may be.
const CANDIDATES: [(&str, &str, Role, &str); 4] = [
    ("stock", "pingora as it comes", Role::Stock, ""),
    ("bare", report::MEASURE, Role::Bare, ""),
    ("cached", "gateway, session cached", Role::Gateway, "60s"),
    ("asking", "gateway, asking Redis", Role::Gateway, "0s"),
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
        None => runtime(2).block_on(async {
            match options.mode {
                Mode::Gateway => measure(&options).await,
                Mode::SignIns => sign_ins::measure(&options).await,
                Mode::Compare => compare::run(&options).await,
            }
        }),
        Some(Role::Backend) => backend::run(),
        Some(Role::Stock) => stock::run(&options),
        Some(Role::Bare) => runtime(2).block_on(bare::run(&options)),
        Some(Role::Gateway) => {
            // As `vestibule` itself begins.
            vestibule::app::memory::use_small_pages();
            runtime(2).block_on(gateway::run(&options))
        }
        Some(Role::Guard) => guard::run(&options),
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

/// A Redis of its own, so that no gateway's upkeep is counted as another's.
struct House {
    redis: Redis,
    visits: Visits,
    plan: Plan,
}

impl House {
    async fn build(folder: &Path, mut plan: Plan, sessions: usize) -> Result<House> {
        let redis = Redis::start(folder)?;
        plan.store = redis.url();
        let visits = Visits::prepare(folder, &plan, sessions).await?;
        Ok(House {
            redis,
            visits,
            plan,
        })
    }

    /// Commands so far; none where there is no house.
    async fn commands(house: Option<&House>) -> Result<u64> {
        match house {
            Some(house) => house.redis.commands().await,
            None => Ok(0),
        }
    }
}

/// Starts one of this program's own that is no gateway.
fn start_plain(options: &Options, role: Role, folder: &Path, backend: &Running) -> Result<Running> {
    let (folder, backend) = (folder.display().to_string(), backend.address.to_string());
    let words = ["--folder", &folder, "--backend", &backend];
    Running::start(role, &words, &options.under)
}

async fn measure(options: &Options) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificate = load::make_certificate(folder.path(), &[HOST, PORTAL])?;
    let backend = child::start_backend()?;
    let mut stages = Vec::new();
    for (word, name, role, recheck) in CANDIDATES {
        if !options.wants(word) {
            continue;
        }
        let (running, house) = match role {
            Role::Gateway => {
                let plan = Plan {
                    name: format!("gateway-{recheck}"),
                    backend: backend.address,
                    recheck: recheck.to_owned(),
                    ..Plan::default()
                };
                let house = House::build(folder.path(), plan, options.sessions).await?;
                let running = house.plan.start(folder.path(), &options.under)?;
                (running, Some(house))
            }
            _ => (start_plain(options, role, folder.path(), &backend)?, None),
        };
        stages.push((Candidate::of(name, running, Vec::new()), house));
    }
    println!(
        "{} rounds of {} requests over {} TLS connections, {} people in use",
        options.rounds, options.requests, options.connections, options.busy
    );
    let load = Load::new(&certificate, options.connections)?;
    let mut report = Report::new(stages.iter().map(|(candidate, _)| candidate.name));
    for number in 1..=options.rounds {
        for (index, (candidate, house)) in stages.iter().enumerate() {
            let round = measure_round(options, &load, candidate, house.as_ref(), number).await?;
            println!("{}", round.line(candidate.name));
            report.add(index, round);
        }
    }
    println!("\n{report}");
    for (candidate, house) in &stages {
        if let Some(house) = house {
            println!("{}", measure_memory(&load, candidate, house).await?);
        }
    }
    Ok(())
}

async fn measure_round(
    options: &Options,
    load: &Load,
    candidate: &Candidate,
    house: Option<&House>,
    number: usize,
) -> Result<Round> {
    let visits = house.map_or_else(Visits::none, |house| house.visits.some(options.busy));
    let mut lanes = load
        .connect_for(candidate.address, &visits, options.shape)
        .await?;
    lanes.run(options.warm_up, LIMIT).await?;
    let (commands, cpu) = (House::commands(house).await?, candidate.cpu()?);
    let took = lanes.run(options.requests, LIMIT).await?;
    Ok(Round {
        number,
        requests: lanes.rounded(options.requests),
        took,
        cpu: candidate.cpu()?.saturating_sub(cpu),
        commands: House::commands(house).await?.saturating_sub(commands),
    })
}

/// Everybody comes once, and stays signed in.
async fn measure_memory(load: &Load, candidate: &Candidate, house: &House) -> Result<String> {
    let everybody = &house.visits;
    let before = candidate.resident()?;
    let mut lanes = load.connect(candidate.address, everybody).await?;
    lanes.run(everybody.len(), LIMIT).await?;
    let (name, after) = (candidate.name, candidate.resident()?);
    Ok(format!(
        "{name}: {after:.1} MiB resident with {} live sessions (before: {before:.1} MiB)",
        everybody.len()
    ))
}
