//! Memory and cost as people sign in: up to a million of them.

use std::time::{Duration, Instant};

use super::lineup::{CACHED, KEEPING, name};
use super::paper::{Table, median, told};
use super::targets::{Bound, Targets};
use super::{Ground, LONG, lookups};
use crate::child::{Candidate, Running};
use crate::gateway::{EMBEDDED, Plan};
use crate::load::Load;
use crate::options::{Options, Role};
use crate::visits::Visits;
use crate::{LIMIT, Result, start_plain};

const STEPS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// People who are busy whatever the number of sessions.
const BUSY: usize = 1_000;

/// From so many on memory is judged: with fewer, buffers and tables that grow anyway outweigh them.
const MANY: usize = 100_000;

/// The gateway folds a session after two minutes of rest, so many a second, and its memory is given back a
/// little later.
const RESTING: Duration = Duration::from_secs(150);
const FOLDED_A_SECOND: usize = 8_000;

/// What was seen with so many sessions in use.
struct Step {
    sessions: usize,
    /// MiB.
    resident: f64,
    /// MiB, when all but the busy have rested for a while; not waited for with few.
    rested: Option<f64>,
    /// µs for each request of the same number of people, and as a multiple of bare pingora's, while
    /// the gateway still writes down when the others were there, and folds who went.
    busy: Vec<f64>,
    busy_ratios: Vec<f64>,
    /// The same multiple beside the others at rest; with few not measured apart.
    calm_ratios: Vec<f64>,
    /// µs for each request where every one is another person's.
    everybody: Vec<f64>,
}

struct Growth {
    name: &'static str,
    /// MiB, before anybody came.
    before: f64,
    steps: Vec<Step>,
}

pub async fn measure(options: &Options, ground: &Ground, targets: &mut Targets) -> Result<String> {
    let bare = start_plain(options, Role::Bare, ground.path(), &ground.backend)?;
    let bare = Candidate::of("bare pingora, own loop", bare, Vec::new());
    let mut plans = Vec::new();
    if options.wants(KEEPING) {
        plans.push((name(KEEPING), ground.embedded("growing")));
    }
    if let (true, Some(redis)) = (options.wants(CACHED), &ground.redis) {
        plans.push((name(CACHED), ground.shared("growing-shared", redis)));
    }
    let mut text = String::from("### Sessions\n");
    for (name, plan) in plans {
        let plan = Plan {
            // Nobody is forgotten, and nobody asked for again, for age or for want of room.
            recheck: String::from("24h"),
            capacity: options.sessions * 2,
            ..plan
        };
        let begun = Instant::now();
        let people = Visits::prepare(ground.path(), &plan, options.sessions).await?;
        println!(
            "     {name}: {} sign-ins in {:.0?}",
            people.len(),
            begun.elapsed()
        );
        let running = plan.start(ground.path(), &options.under)?;
        let growth = grow(options, ground, (name, running), &bare, &people).await?;
        text += &growth.told();
        growth.judge(targets);
        if plan.store == EMBEDDED {
            text += &lookups::measure(options, ground, (&plan, &people), targets).await?;
        }
    }
    Ok(text)
}

async fn grow(
    options: &Options,
    ground: &Ground,
    (name, running): (&'static str, Running),
    bare: &Candidate,
    people: &Visits,
) -> Result<Growth> {
    let candidate = Candidate::of(name, running, Vec::new());
    let load = ground.load(options)?;
    // What connections take is not what sessions take.
    let first = people.some(load.connections());
    load.connect(candidate.address, &first)
        .await?
        .run(options.warm_up, LIMIT)
        .await?;
    let mut growth = Growth {
        name,
        before: candidate.resident()?,
        steps: Vec::new(),
    };
    let mut come = 0;
    for sessions in STEPS {
        if sessions > people.len() {
            break;
        }
        let new = people.among(come, sessions);
        let mut lanes = load.connect(candidate.address, &new).await?;
        lanes.run(new.len(), LONG).await?;
        drop(lanes);
        come = sessions;
        ground.empty_logs()?;
        let step = measure_step(options, &load, &candidate, bare, people, sessions).await?;
        println!(
            "     {name}: {sessions} sessions, {:.1} MiB, {} CPU µs",
            step.resident,
            told(&step.busy, 1)
        );
        growth.steps.push(step);
    }
    Ok(growth)
}

async fn measure_step(
    options: &Options,
    load: &Load,
    candidate: &Candidate,
    bare: &Candidate,
    people: &Visits,
    sessions: usize,
) -> Result<Step> {
    let mut step = Step {
        sessions,
        resident: candidate.resident()?,
        rested: None,
        busy: Vec::new(),
        busy_ratios: Vec::new(),
        calm_ratios: Vec::new(),
        everybody: Vec::new(),
    };
    let (few, all) = (people.spread(BUSY, sessions), people.some(sessions));
    for _ in 0..options.rounds {
        let plain = cost(options, load, bare, &Visits::none()).await?;
        let busy = cost(options, load, candidate, &few).await?;
        step.busy.push(busy);
        step.busy_ratios.push(busy / plain);
        step.everybody
            .push(cost(options, load, candidate, &all).await?);
    }
    if sessions >= MANY {
        let folding = Duration::from_secs((sessions / FOLDED_A_SECOND) as u64);
        tokio::time::sleep(RESTING + folding).await;
        for _ in 0..options.rounds {
            let plain = cost(options, load, bare, &Visits::none()).await?;
            let busy = cost(options, load, candidate, &few).await?;
            step.calm_ratios.push(busy / plain);
        }
        // Not before: what others freed of a thread's memory goes back to the system when the thread works.
        step.rested = Some(candidate.resident()?);
    }
    Ok(step)
}

/// µs of processor time for each request.
pub async fn cost(
    options: &Options,
    load: &Load,
    candidate: &Candidate,
    visits: &Visits,
) -> Result<f64> {
    let mut lanes = load.connect(candidate.address, visits).await?;
    lanes.run(options.warm_up, LIMIT).await?;
    let before = candidate.cpu()?;
    lanes.run(options.requests, LIMIT).await?;
    let cpu = candidate.cpu()?.saturating_sub(before);
    Ok(cpu.as_secs_f64() * 1e6 / lanes.rounded(options.requests) as f64)
}

impl Growth {
    fn bytes_each(&self, resident: f64, sessions: usize) -> f64 {
        (resident - self.before).max(0.0) * f64::from(1 << 20) / sessions as f64
    }

    fn told(&self) -> String {
        let mut table = Table::new([
            "sessions in use",
            "resident MiB",
            "bytes each",
            "at rest",
            "CPU µs, 1,000 people busy",
            "× bare pingora",
            "× bare, others at rest",
            "CPU µs, every request another's",
        ]);
        let none = [String::from("0"), format!("{:.1}", self.before)];
        let dashes = std::iter::repeat_n(String::from("–"), 6);
        table.row(none.into_iter().chain(dashes));
        for step in &self.steps {
            table.row([
                step.sessions.to_string(),
                format!("{:.1}", step.resident),
                format!("{:.0}", self.bytes_each(step.resident, step.sessions)),
                step.rested.map_or(String::from("–"), |rested| {
                    format!("{:.0}", self.bytes_each(rested, step.sessions))
                }),
                told(&step.busy, 1),
                told(&step.busy_ratios, 2),
                told(&step.calm_ratios, 2),
                told(&step.everybody, 1),
            ]);
        }
        format!("\n{}:\n\n{table}", self.name)
    }

    fn judge(&self, targets: &mut Targets) {
        let name = self.name;
        for sessions in [MANY, 1_000_000] {
            let step = self.steps.iter().find(|step| step.sessions == sessions);
            targets.hold(
                format!("memory, {name}: {sessions} sessions at rest, each"),
                Bound {
                    most: 600.0,
                    unit: " B",
                },
                step.iter()
                    .filter_map(|step| Some(self.bytes_each(step.rested?, step.sessions)))
                    .collect(),
            );
        }
        // Against bare pingora's of the same rounds: the machine is not the same all the time.
        let least = self
            .steps
            .first()
            .and_then(|step| median(&step.busy_ratios));
        for step in self.steps.iter().skip(1) {
            for (when, ratios) in [("", &step.busy_ratios), (" at rest", &step.calm_ratios)] {
                let grown = least.map(|least| ratios.iter().map(move |ratio| ratio / least));
                let grown: Vec<f64> = grown.into_iter().flatten().collect();
                if !grown.is_empty() {
                    targets.hold(
                        format!(
                            "CPU per request, {name}: {} sessions{when} ÷ 1,000",
                            step.sessions
                        ),
                        Bound::ratio(1.1),
                        grown,
                    );
                }
            }
        }
    }
}
