//! Releasing a feature company by company: whom it has reached, and when reaching further stops by
//! itself. What was counted and who had it when it stopped are handed in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::name::CompanyId;

/// Which companies a feature has reached.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rollout {
    /// `None`: everybody has it.
    pub mfa: Option<Reach>,
    pub analytics_sso: Option<Reach>,
    /// When `mfa` reaches no further.
    pub pause_when: Option<PauseWhen>,
}

/// The names of features in gateway.toml, logs and metrics.
pub const MFA: &str = "mfa";
pub const ANALYTICS_SSO: &str = "analytics_sso";

/// What the operator wrote, and what a pause made of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    pub companies: Vec<CompanyId>,
    /// 0 to 100.
    pub percent: u8,
    /// While the release is paused: who had it. Nobody else gets it, whatever the percentage.
    pub held: Option<Arc<BTreeSet<CompanyId>>>,
}

/// Why a company has a feature, or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Named in the list.
    Listed,
    /// By its place, which is under the percentage.
    ByPercentage {
        place: u8,
        percent: u8,
    },
    NotYet {
        place: u8,
        percent: u8,
    },
    /// It would have it if the release were not paused.
    Paused,
}

impl Reached {
    pub const fn has_it(self) -> bool {
        match self {
            Reached::Listed | Reached::ByPercentage { .. } => true,
            Reached::NotYet { .. } | Reached::Paused => false,
        }
    }
}

impl Rollout {
    pub fn mfa_reaches(&self, company: &CompanyId) -> bool {
        self.mfa
            .as_ref()
            .is_none_or(|reach| reach.includes(MFA, company))
    }

    pub fn analytics_sso_reaches(&self, company: &CompanyId) -> bool {
        self.analytics_sso
            .as_ref()
            .is_none_or(|reach| reach.includes(ANALYTICS_SSO, company))
    }

    /// Each feature that is released step by step.
    pub fn features(&self) -> impl Iterator<Item = (&'static str, &Reach)> {
        let mfa = self.mfa.as_ref().map(|reach| (MFA, reach));
        let sso = self.analytics_sso.as_ref().map(|r| (ANALYTICS_SSO, r));
        mfa.into_iter().chain(sso)
    }

    /// Who has multi-factor authentication, while its release is paused.
    pub fn held(&self) -> Option<&Arc<BTreeSet<CompanyId>>> {
        self.mfa.as_ref()?.held.as_ref()
    }

    pub fn hold(&mut self, held: Option<Arc<BTreeSet<CompanyId>>>) {
        if let Some(mfa) = &mut self.mfa {
            mfa.held = held;
        }
    }
}

impl Reach {
    pub fn includes(&self, feature: &str, company: &CompanyId) -> bool {
        self.reached(feature, company).has_it()
    }

    pub fn reached(&self, feature: &str, company: &CompanyId) -> Reached {
        let place = place(feature, company);
        let percent = self.percent;
        let reached = if self.companies.contains(company) {
            Reached::Listed
        } else if place < percent {
            Reached::ByPercentage { place, percent }
        } else {
            Reached::NotYet { place, percent }
        };
        match &self.held {
            // Only taking back is left to the operator, by the list and the percentage.
            Some(held) if reached.has_it() && !held.contains(company) => Reached::Paused,
            Some(_) | None => reached,
        }
    }
}

/// A stable place between 0 and 99 for each company and feature: a higher percentage takes in more
/// and never lets go of one.
fn place(feature: &str, company: &CompanyId) -> u8 {
    use aws_lc_rs::digest::{SHA256, digest};
    let hash = digest(&SHA256, format!("{feature}:{company}").as_bytes());
    let place = hash
        .as_ref()
        .first_chunk::<4>()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes) % 100);
    u8::try_from(place).unwrap_or(99)
}

/// `pause_when = { factor_failures_above = 0.2, of_at_least = 50 }`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PauseWhen {
    /// The share of wrong answers, 0 to 1, that is still borne.
    pub factor_failures_above: f64,
    /// Fewer answers than this say nothing.
    pub of_at_least: u64,
}

/// How far back answers are counted.
pub const COUNTED: Duration = Duration::from_secs(60 * 60);

/// Answers to the question for a second factor, of companies that the release has reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    pub right: u64,
    pub wrong: u64,
}

impl Answers {
    pub const fn all(self) -> u64 {
        self.right.saturating_add(self.wrong)
    }
}

impl PauseWhen {
    /// Whether these answers stop the release.
    pub fn is_met(&self, answers: Answers) -> bool {
        let all = answers.all();
        // Counts are far below 2^52, where a float stops being exact.
        let (wrong, borne) = (
            answers.wrong as f64,
            all as f64 * self.factor_failures_above,
        );
        all >= self.of_at_least.max(1) && wrong > borne
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn company(id: &str) -> CompanyId {
        CompanyId::parse(id).unwrap()
    }

    fn answers(right: u64, wrong: u64) -> Answers {
        Answers { right, wrong }
    }

    const FIFTH: PauseWhen = PauseWhen {
        factor_failures_above: 0.2,
        of_at_least: 50,
    };

    #[test]
    fn a_release_pauses_above_its_share_and_not_before_its_number() {
        assert!(!FIFTH.is_met(answers(0, 0)));
        assert!(!FIFTH.is_met(answers(0, 49)), "too few to say anything");
        assert!(FIFTH.is_met(answers(0, 50)));
        assert!(!FIFTH.is_met(answers(40, 10)), "a fifth is borne");
        assert!(FIFTH.is_met(answers(39, 11)));
        let none = PauseWhen {
            factor_failures_above: 0.0,
            of_at_least: 0,
        };
        assert!(!none.is_met(answers(0, 0)), "nothing was answered");
        assert!(none.is_met(answers(1_000, 1)));
    }

    #[test]
    fn a_pause_takes_nothing_and_gives_nothing() {
        let all: Vec<CompanyId> = (0..300).map(|n| company(&format!("c{n}"))).collect();
        let at = |percent, held| Reach {
            companies: vec![company("c7")],
            percent,
            held,
        };
        let before = at(10, None);
        let had: BTreeSet<CompanyId> = all
            .iter()
            .filter(|c| before.includes(MFA, c))
            .cloned()
            .collect();
        assert!(had.len() > 1 && had.len() < 100, "{}", had.len());
        let raised = at(60, Some(Arc::new(had.clone())));
        for company in &all {
            assert_eq!(
                raised.includes(MFA, company),
                had.contains(company),
                "{company}"
            );
        }
        let waiting = all
            .iter()
            .filter(|c| raised.reached(MFA, c) == Reached::Paused)
            .count();
        assert!(waiting > 50, "{waiting} would have it by now");
        // The operator takes back what a pause doesn't.
        let lowered = at(0, Some(Arc::new(had)));
        assert_eq!(all.iter().filter(|c| lowered.includes(MFA, c)).count(), 1);
    }

    #[test]
    fn a_rise_takes_it_from_nobody() {
        let at = |percent| Reach {
            companies: Vec::new(),
            percent,
            held: None,
        };
        for n in 0..200 {
            let company = company(&format!("c{n}"));
            let first = (0..=100).find(|percent| at(*percent).includes(MFA, &company));
            let first = first.expect("a hundred percent is everybody");
            assert!((first..=100).all(|percent| at(percent).includes(MFA, &company)));
        }
    }
}
