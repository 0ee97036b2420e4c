//! Figures of all rounds.

use std::fmt;
use std::time::Duration;

/// The candidate that the others are compared with.
pub const MEASURE: &str = "bare pingora, own loop";

pub struct Round {
    pub number: usize,
    pub requests: usize,
    pub took: Duration,
    pub cpu: Duration,
    pub commands: u64,
}

impl Round {
    fn per_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }

    fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }

    fn commands(&self) -> f64 {
        self.commands as f64 / self.requests as f64
    }

    pub fn line(&self, name: &str) -> String {
        let (number, rate, cpu, commands) = (
            self.number,
            self.per_second(),
            self.cpu_micros(),
            self.commands(),
        );
        format!(
            "{number:>3}  {name:<26} {rate:>9.0} req/s {cpu:>8.1} CPU µs {commands:>8.3} Redis commands"
        )
    }
}

pub struct Report {
    candidates: Vec<(&'static str, Vec<Round>)>,
}

impl Report {
    pub fn new(names: impl Iterator<Item = &'static str>) -> Report {
        Report {
            candidates: names.map(|name| (name, Vec::new())).collect(),
        }
    }

    pub fn add(&mut self, candidate: usize, round: Round) {
        self.candidates[candidate].1.push(round);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "medians (least–most); ratios are of CPU per request, round by round, to '{MEASURE}'"
        )?;
        let measure = self.candidates.iter().find(|(name, _)| *name == MEASURE);
        for (name, rounds) in &self.candidates {
            let rate = Spread::of(rounds.iter().map(Round::per_second));
            let cpu = Spread::of(rounds.iter().map(Round::cpu_micros));
            // Not measured: against itself.
            let pairs = rounds
                .iter()
                .zip(measure.map_or(rounds, |(_, measure)| measure));
            let ratio = Spread::of(pairs.map(|(own, bare)| own.cpu_micros() / bare.cpu_micros()));
            let commands = Spread::of(rounds.iter().map(Round::commands));
            writeln!(
                f,
                "{name:<26} {rate:.0} req/s | {cpu:.1} CPU µs/req | × {ratio:.3} | {:.3} Redis commands/req",
                commands.median
            )?;
        }
        Ok(())
    }
}

/// Of sorted times; `thousandth` of 990 is the 99th percentile.
pub fn percentile(sorted: &[Duration], thousandth: usize) -> Duration {
    let place = (sorted.len() * thousandth).div_ceil(1000).max(1) - 1;
    sorted.get(place).copied().unwrap_or_default()
}

pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: impl Iterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Spread {
            median,
            least: values[0],
            most: values[values.len() - 1],
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        write!(
            f,
            "{:.digits$} ({:.digits$}–{:.digits$})",
            self.median, self.least, self.most
        )
    }
}
