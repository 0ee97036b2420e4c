//! What a request costs: processor time, requests a second, and how long the slowest take.

use std::time::Duration;

use super::Ground;
use super::lineup::{BARE, CACHED, KEEPING, LUA, LUA_CACHED, Lineup, STOCK, Stage, name};
use super::paper::{Table, told};
use super::targets::Bound;
use crate::backend::Page;
use crate::load::{Load, Protocol, Shape};
use crate::options::Options;
use crate::report::percentile;
use crate::{LIMIT, Result};

const SHAPES: [Shape; 4] = [
    Shape::PLAIN,
    shape(Protocol::Http1, Page::Scan),
    shape(Protocol::Http2, Page::Notes),
    shape(Protocol::Http2, Page::Scan),
];

const fn shape(protocol: Protocol, page: Page) -> Shape {
    Shape { protocol, page }
}

/// The most that the gateway may cost, as a multiple of another; without one the distance is stated.
const BOUNDS: [(&str, Option<f64>); 4] = [
    (STOCK, Some(1.0)),
    (BARE, Some(1.1)),
    (LUA, Some(0.75)),
    (LUA_CACHED, None),
];

/// One candidate's round in one shape.
struct Figure {
    /// µs of its processes for each request, and of Redis'.
    cpu: f64,
    redis: f64,
    per_second: f64,
    /// ms, at the steady rate.
    p99: f64,
}

/// A candidate's rounds; `None` for one that failed.
type Rounds = Vec<Option<Figure>>;

pub struct Figures {
    /// Word and name, in the order of the tables.
    names: Vec<(&'static str, &'static str)>,
    /// By shape, then by candidate.
    rounds: Vec<Vec<Rounds>>,
    /// MiB of each candidate after all rounds.
    resident: Vec<f64>,
    failures: Vec<String>,
}

pub async fn measure(
    options: &Options,
    ground: &Ground,
    lineup: &Lineup,
    load: &Load,
) -> Result<Figures> {
    let stages = lineup.stages();
    let mut figures = Figures {
        names: stages
            .iter()
            .map(|stage| (stage.word, stage.candidate.name))
            .collect(),
        rounds: SHAPES
            .iter()
            .map(|_| stages.iter().map(|_| Rounds::new()).collect())
            .collect(),
        resident: Vec::new(),
        failures: Vec::new(),
    };
    for round in 0..options.rounds {
        for (place, shape) in SHAPES.into_iter().enumerate() {
            for turn in 0..stages.len() {
                // Each begins once: whoever is first finds the machine as nobody else does.
                let index = (turn + round) % stages.len();
                let stage = &stages[index];
                let name = stage.candidate.name;
                let figure = match measure_one(options, ground, stage, load, shape).await {
                    Ok(figure) => {
                        println!(
                            "{:>3}  {name:<36} {:<8} {:>2} KiB {:>8.1} CPU µs {:>8.0} req/s  p99 {:.2} ms",
                            round + 1,
                            shape.protocol.as_str(),
                            shape.page.size() >> 10,
                            figure.cpu,
                            figure.per_second,
                            figure.p99,
                        );
                        Some(figure)
                    }
                    Err(error) => {
                        let failure = format!("{name}, round {}, {shape:?}: {error}", round + 1);
                        eprintln!("{failure}");
                        figures.failures.push(failure);
                        None
                    }
                };
                figures.rounds[place][index].push(figure);
                ground.empty_logs()?;
            }
        }
    }
    for stage in stages {
        figures.resident.push(stage.candidate.resident()?);
    }
    Ok(figures)
}

async fn measure_one(
    options: &Options,
    ground: &Ground,
    stage: &Stage,
    load: &Load,
    shape: Shape,
) -> Result<Figure> {
    let candidate = &stage.candidate;
    let redis = || match &ground.redis {
        Some(redis) => redis.cpu(),
        None => Ok(Duration::ZERO),
    };
    let visits = stage.visits.some(options.busy);
    let mut lanes = load.connect_for(candidate.address, &visits, shape).await?;
    lanes.run(options.warm_up, LIMIT).await?;
    let (cpu, redis_before) = (candidate.cpu()?, redis()?);
    let took = lanes.run(options.requests, LIMIT).await?;
    let cpu = candidate.cpu()?.saturating_sub(cpu);
    let redis = redis()?.saturating_sub(redis_before);
    let requests = lanes.rounded(options.requests) as f64;
    let mut latencies = lanes.run_paced(options.rate, options.span).await?;
    latencies.sort();
    Ok(Figure {
        cpu: cpu.as_secs_f64() * 1e6 / requests,
        redis: redis.as_secs_f64() * 1e6 / requests,
        per_second: requests / took.as_secs_f64(),
        p99: percentile(&latencies, 990).as_secs_f64() * 1e3,
    })
}

fn values(rounds: &Rounds, of: impl Fn(&Figure) -> f64) -> Vec<f64> {
    rounds.iter().flatten().map(of).collect()
}

impl Figures {
    fn rounds(&self, shape: usize, word: &str) -> Option<&Rounds> {
        let index = self.names.iter().position(|(of, _)| *of == word)?;
        self.rounds.get(shape)?.get(index)
    }

    /// CPU time as a multiple of another's in the same round.
    fn ratios(&self, shape: usize, word: &str, other: &str) -> Vec<f64> {
        let (Some(own), Some(other)) = (self.rounds(shape, word), self.rounds(shape, other)) else {
            return Vec::new();
        };
        let pairs = own.iter().zip(other);
        pairs
            .filter_map(|(own, other)| Some(own.as_ref()?.cpu / other.as_ref()?.cpu))
            .filter(|ratio| ratio.is_finite())
            .collect()
    }

    pub fn told(&self, options: &Options) -> String {
        let mut text = String::from("### Requests\n");
        for (place, shape) in SHAPES.iter().enumerate() {
            text += &format!(
                "\n{}; p99 at {} requests a second.\n\n",
                shape.told(),
                options.rate
            );
            text += &self.table(place).to_string();
        }
        let resident = self.names.iter().zip(&self.resident);
        let resident = resident.map(|((_, name), mib)| format!("{name} {mib:.0}"));
        text += &format!(
            "\nResident MiB after all rounds: {}.\n",
            resident.collect::<Vec<_>>().join("; ")
        );
        for failure in &self.failures {
            text += &format!("\nFailed: {failure}\n");
        }
        text
    }

    fn table(&self, shape: usize) -> Table {
        let mut table = Table::new([
            "",
            "CPU µs per request",
            "× pingora as it comes",
            "× bare pingora",
            "× Lua asking Redis",
            "Redis' CPU µs",
            "requests/s",
            "p99 ms",
        ]);
        for (index, (word, name)) in self.names.iter().enumerate() {
            let rounds = &self.rounds[shape][index];
            let ratio = |other| told(&self.ratios(shape, word, other), 2);
            table.row([
                (*name).to_owned(),
                told(&values(rounds, |figure| figure.cpu), 1),
                ratio(STOCK),
                ratio(BARE),
                ratio(LUA),
                told(&values(rounds, |figure| figure.redis), 1),
                told(&values(rounds, |figure| figure.per_second), 0),
                told(&values(rounds, |figure| figure.p99), 2),
            ]);
        }
        table
    }

    /// The targets, by shape.
    pub fn judged(&self) -> String {
        let mut head = vec![String::from("CPU per request"), String::from("at most")];
        head.extend(SHAPES.iter().map(|shape| shape.told()));
        let mut table = Table::new(head);
        for own in [CACHED, KEEPING] {
            for (other, bound) in BOUNDS {
                let bound = bound.map(Bound::ratio);
                let mut row = vec![
                    format!("{} ÷ {}", name(own), name(other)),
                    bound.map_or_else(|| String::from("stated"), Bound::told),
                ];
                row.extend((0..SHAPES.len()).map(|shape| {
                    let ratios = self.ratios(shape, own, other);
                    bound.map_or_else(|| told(&ratios, 2), |bound| bound.verdict(&ratios))
                }));
                table.row(row);
            }
        }
        format!("### Targets of a request\n\n{table}")
    }
}
