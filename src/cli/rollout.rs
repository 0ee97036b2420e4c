//! `vestibule rollout show|resume`: how far a release has come, and letting it go on after it
//! stopped by itself.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::directory::{Directory, DirectoryError, Paused};
use crate::gate::rollout::{MFA, Rollout};

#[derive(Debug, Args)]
pub struct RolloutArgs {
    #[command(subcommand)]
    pub verb: RolloutVerb,
}

#[derive(Debug, Subcommand)]
pub enum RolloutVerb {
    /// Whom each feature has reached that is released step by step, and whether it is paused
    Show {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Lets a release go on that stopped by itself; what was answered until now is forgotten
    Resume {
        /// The feature
        #[arg(value_parser = [MFA])]
        feature: String,
    },
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    feature: &'static str,
    percent: u8,
    companies: usize,
    of_companies: usize,
    people: u64,
    of_people: u64,
    paused: Option<Paused>,
}

impl Shown {
    pub fn to_json(&self) -> Value {
        json!({
            "feature": self.feature,
            "percent": self.percent,
            "companies_reached": self.companies,
            "companies": self.of_companies,
            "people_reached": self.people,
            "people": self.of_people,
            "paused": self.paused.map(|paused| json!({
                "since": paused.at.to_rfc3339(),
                "wrong": paused.answers.wrong,
                "of": paused.answers.all(),
            })),
        })
    }

    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{}: {} of {} companies, {} of {} people ({} percent)\n",
            self.feature,
            self.companies,
            self.of_companies,
            self.people,
            self.of_people,
            self.percent
        );
        if let Some(paused) = self.paused {
            text += &format!(
                "  paused since {}: {} of {} answers were wrong; it goes on with \
                 'vestibule rollout resume {}'\n",
                paused.at.to_rfc3339(),
                paused.answers.wrong,
                paused.answers.all(),
                self.feature
            );
        }
        text
    }
}

/// What a gateway with this configuration does.
pub async fn show(
    directory: &Directory,
    mut rollout: Rollout,
) -> Result<Vec<Shown>, DirectoryError> {
    let paused = directory.rollout_paused(MFA).await?;
    if paused.is_some() {
        let held = directory.rollout_reached(MFA).await?;
        rollout.hold(Some(held.into()));
    }
    let companies = directory.companies().await?;
    let people = directory.people_by_company().await?;
    Ok(rollout
        .features()
        .map(|(feature, reach)| {
            let reached: Vec<u64> = companies
                .iter()
                .filter(|company| reach.includes(feature, &company.id))
                .map(|company| people.get(&company.id).copied().unwrap_or(0))
                .collect();
            Shown {
                feature,
                percent: reach.percent,
                companies: reached.len(),
                of_companies: companies.len(),
                people: reached.iter().sum(),
                of_people: people.values().sum(),
                paused: paused.filter(|_| feature == MFA),
            }
        })
        .collect())
}
