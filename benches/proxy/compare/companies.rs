//! What companies cost that have rules of their own.

use super::Ground;
use super::paper::{Table, told};
use super::sessions::cost;
use super::targets::{Bound, Targets};
use crate::child::Candidate;
use crate::gateway::Plan;
use crate::options::Options;
use crate::visits::Visits;
use crate::{LIMIT, Result};

const STEPS: [usize; 3] = [1, 100, 1_000];

/// A gateway with so many companies, and what it cost in each round.
struct Step {
    companies: usize,
    candidate: Candidate,
    people: Visits,
    costs: Vec<f64>,
}

pub async fn measure(options: &Options, ground: &Ground, targets: &mut Targets) -> Result<String> {
    let mut steps = Vec::new();
    for companies in STEPS {
        let plan = Plan {
            companies,
            ..ground.embedded(&format!("companies-{companies}"))
        };
        // Somebody of every company.
        let people = Visits::prepare(ground.path(), &plan, STEPS[STEPS.len() - 1]).await?;
        let running = plan.start(ground.path(), &options.under)?;
        steps.push(Step {
            companies,
            candidate: Candidate::of("Vestibule", running, Vec::new()),
            people,
            costs: Vec::new(),
        });
    }
    let load = ground.load(options)?;
    for step in &steps {
        // Into the cache.
        let mut lanes = load.connect(step.candidate.address, &step.people).await?;
        lanes.run(step.people.len(), LIMIT).await?;
    }
    for _ in 0..options.rounds {
        for step in &mut steps {
            let cost = cost(options, &load, &step.candidate, &step.people).await?;
            step.costs.push(cost);
        }
        ground.empty_logs()?;
    }
    let least = steps.first().map_or(Vec::new(), |step| step.costs.clone());
    let mut table = Table::new([
        "companies",
        "CPU µs per request",
        "× one company",
        "resident MiB",
    ]);
    for step in &steps {
        let ratios: Vec<f64> = step
            .costs
            .iter()
            .zip(&least)
            .map(|(own, least)| own / least)
            .collect();
        table.row([
            step.companies.to_string(),
            told(&step.costs, 1),
            told(&ratios, 2),
            format!("{:.1}", step.candidate.resident()?),
        ]);
        if step.companies > 1 {
            targets.hold(
                format!("CPU per request: {} companies ÷ 1", step.companies),
                Bound::ratio(1.1),
                ratios,
            );
        }
    }
    Ok(format!(
        "### Companies\n\n1,000 people busy, spread over companies with 20 rules each, all of which are looked at and none met.\n\n{table}"
    ))
}
