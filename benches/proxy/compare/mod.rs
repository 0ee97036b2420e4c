//! The gateway beside those that people would otherwise put there: nginx that asks Redis in Lua,
//! nginx that asks this gateway, and plain proxies, as Debian has them.
//!
//! Same backend, same sessions, same certificate and TLS; rounds in turns. Every candidate has to
//! answer rightly before it is measured. The figures of BENCHMARKS.md come from here.

mod companies;
mod handshakes;
mod haproxy;
mod lineup;
mod lookups;
mod machine;
mod nginx;
mod paper;
mod programs;
mod requests;
mod revocation;
mod sessions;
mod targets;
mod verify;

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::child::{self, Running};
use crate::gateway::{EMBEDDED, Plan};
use crate::load::{self, Certificate, Load};
use crate::options::Options;
use crate::redis::Redis;
use crate::{HOST, PORTAL, Result};
use lineup::Lineup;
use paper::Paper;
use targets::Targets;

/// The longest that one run of requests takes, where there may be a million.
const LONG: Duration = Duration::from_secs(900);

/// What all candidates stand on.
struct Ground {
    folder: TempDir,
    certificate: Certificate,
    backend: Running,
    /// None where there is no such program.
    redis: Option<Redis>,
}

impl Ground {
    fn lay() -> Result<Ground> {
        let folder = tempfile::tempdir()?;
        let certificate = load::make_certificate(folder.path(), &[HOST, PORTAL])?;
        let redis = match programs::find("redis-server") {
            Some(_) => Some(Redis::start(folder.path())?),
            None => None,
        };
        Ok(Ground {
            backend: child::start_backend()?,
            certificate,
            folder,
            redis,
        })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A gateway of this name that keeps its sessions itself.
    fn embedded(&self, name: &str) -> Plan {
        Plan {
            name: name.to_owned(),
            backend: self.backend.address,
            store: String::from(EMBEDDED),
            ..Plan::default()
        }
    }

    /// A gateway of this name with sessions in the Redis of all.
    fn shared(&self, name: &str, redis: &Redis) -> Plan {
        Plan {
            store: redis.url(),
            ..self.embedded(name)
        }
    }

    /// Access logs of hours would fill a disk. Everybody appends to them.
    fn empty_logs(&self) -> Result<()> {
        for entry in fs::read_dir(self.path())? {
            let log = entry?.path().join("access.jsonl");
            if log.is_file() {
                OpenOptions::new().write(true).open(log)?.set_len(0)?;
            }
        }
        Ok(())
    }

    fn load(&self, options: &Options) -> Result<Load> {
        Load::new(&self.certificate, options.connections)
    }
}

pub async fn run(options: &Options) -> Result<()> {
    let ground = Ground::lay()?;
    let mut paper = Paper::default();
    let mut targets = Targets::default();
    paper.head(&machine::describe(options));
    if options.wants_part("requests") || options.wants_part("handshakes") {
        let lineup = Lineup::build(options, &ground).await?;
        paper.head(&lineup.told());
        let load = ground.load(options)?;
        for stage in lineup.stages() {
            let greeting = verify::verify(stage, &load).await?;
            paper.say(&format!("{}: {greeting}", stage.candidate.name));
        }
        if options.wants_part("requests") {
            let figures = requests::measure(options, &ground, &lineup, &load).await?;
            paper.add(&figures.told(options));
            paper.head(&figures.judged());
        }
        if options.wants_part("handshakes") {
            paper.add(&handshakes::measure(options, &lineup, &load).await?);
        }
    }
    if options.wants_part("sessions") {
        paper.add(&sessions::measure(options, &ground, &mut targets).await?);
    }
    if options.wants_part("companies") {
        paper.add(&companies::measure(options, &ground, &mut targets).await?);
    }
    if options.wants_part("revocation") {
        paper.add(&revocation::measure(options, &ground, &mut targets).await?);
    }
    paper.head(&targets.told());
    paper.add(&machine::load_average("at the end"));
    match &options.write {
        Some(file) => paper.write(file),
        None => Ok(()),
    }
}
