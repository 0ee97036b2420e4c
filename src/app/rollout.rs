//! Watches a release that goes company by company: counts how people fare with it, stops it when
//! the operator's rule says so, and keeps to what any node, or an earlier start, found.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::directory::{Directory, DirectoryError, Paused};
use crate::gate::name::CompanyId;
use crate::gate::policy::{MfaMode, Policies};
use crate::gate::rollout::{Answers, MFA, Rollout};
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::observe::audit::{Audit, AuditEvent};
use crate::observe::metrics::Metrics;
use crate::policies::PolicyFolder;
use crate::sessions::Clock;

/// This node's answers that are not in the directory yet.
pub struct Fared {
    policies: Arc<ArcSwap<Policies>>,
    right: AtomicU64,
    wrong: AtomicU64,
}

impl Fared {
    pub fn new(policies: Arc<ArcSwap<Policies>>) -> Fared {
        Fared {
            policies,
            right: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
        }
    }

    /// Somebody of this company answered the question for a second factor. Companies that the
    /// release has nothing to do with would only water its numbers down.
    pub fn answered(&self, company: &CompanyId, right: bool) {
        let policies = self.policies.load();
        let rollout = &policies.rollout;
        let watched = rollout.pause_when.is_some()
            && rollout.mfa.is_some()
            && policies.of(company).mfa.mode == MfaMode::Company
            && rollout.mfa_reaches(company);
        if watched {
            let count = if right { &self.right } else { &self.wrong };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&self) -> Answers {
        Answers {
            right: self.right.swap(0, Ordering::Relaxed),
            wrong: self.wrong.swap(0, Ordering::Relaxed),
        }
    }

    fn give_back(&self, answers: Answers) {
        self.right.fetch_add(answers.right, Ordering::Relaxed);
        self.wrong.fetch_add(answers.wrong, Ordering::Relaxed);
    }
}

/// What looks after the release.
#[derive(Clone)]
pub struct Release {
    pub fared: Arc<Fared>,
    pub policies: PolicyFolder,
    pub directory: Directory,
    pub metrics: Arc<Metrics>,
    pub audit: Arc<Audit>,
    pub clock: Clock,
}

impl Release {
    /// Before anybody is served: a release that was paused is so still, whatever the percentage
    /// is by now.
    ///
    /// # Errors
    /// The directory does not answer.
    pub async fn begin(&self) -> Result<(), DirectoryError> {
        if self.rollout().mfa.is_none() {
            return Ok(());
        }
        match self.directory.rollout_paused(MFA).await? {
            Some(paused) => self.hold(&paused).await,
            None => self.note().await,
        }
    }

    /// Once a second.
    pub async fn look(&self) {
        if self.rollout().mfa.is_none() {
            // Everybody has it. A pause stays in the directory, for when the release is back.
            self.metrics.forget_rollout(MFA);
            return;
        }
        // What is held stays held while the directory is away: nobody gets it by that.
        if let Err(error) = self.try_look().await {
            tracing::debug!(%error, "the release could not be looked at");
        }
    }

    async fn try_look(&self) -> Result<(), DirectoryError> {
        let now = (self.clock)();
        self.hand_in().await?;
        let held = self.rollout().held().is_some();
        match (self.directory.rollout_paused(MFA).await?, held) {
            (Some(_), true) => Ok(()),
            (Some(paused), false) => self.hold(&paused).await,
            (None, true) => {
                self.policies.set_held(None);
                tracing::warn!(feature = MFA, "the release goes on");
                self.note().await
            }
            (None, false) => self.judge(now).await,
        }
    }

    async fn hand_in(&self) -> Result<(), DirectoryError> {
        let answers = self.fared.take();
        if answers.all() == 0 {
            return Ok(());
        }
        let now = (self.clock)();
        let counted = self.directory.count_answers(MFA, answers, now).await;
        if counted.is_err() {
            self.fared.give_back(answers);
        }
        counted
    }

    async fn judge(&self, now: Moment) -> Result<(), DirectoryError> {
        let Some(rule) = self.rollout().pause_when else {
            return Ok(());
        };
        let answers = self.directory.answers_before(MFA, now).await?;
        if !rule.is_met(answers) {
            return Ok(());
        }
        let has_it = self.has_it().await?;
        let first = self
            .directory
            .pause_rollout(MFA, &has_it, answers, now)
            .await?;
        if first {
            self.audit.record(
                AuditEvent::new(TrailEvent::RolloutPaused, now)
                    .who("vestibule")
                    .detail(format!(
                        "{MFA}: {} of {} answers were wrong within the hour; {} companies keep it",
                        answers.wrong,
                        answers.all(),
                        has_it.len()
                    )),
            );
        }
        self.hold(&Paused { at: now, answers }).await
    }

    /// Keeps to a pause, whoever found it, and says so.
    async fn hold(&self, paused: &Paused) -> Result<(), DirectoryError> {
        let held = self.directory.rollout_reached(MFA).await?;
        tracing::error!(
            feature = MFA,
            since = %paused.at.to_rfc3339(),
            wrong = paused.answers.wrong,
            of = paused.answers.all(),
            companies = held.len(),
            "the release is paused: it reaches nobody else until 'vestibule rollout resume mfa'"
        );
        self.metrics.rollout_paused(MFA, true);
        self.policies.set_held(Some(Arc::new(held)));
        Ok(())
    }

    /// Every few seconds.
    pub async fn look_slowly(&self) {
        if let Err(error) = self.try_look_slowly().await {
            tracing::debug!(%error, "the release could not be counted");
        }
    }

    async fn try_look_slowly(&self) -> Result<(), DirectoryError> {
        let rollout = self.rollout();
        if rollout.features().next().is_none() {
            return Ok(());
        }
        if rollout.mfa.is_some() {
            match rollout.held() {
                None => self.note().await?,
                // Another node may have noted whom it had reached a moment before.
                Some(_) => {
                    let held = self.directory.rollout_reached(MFA).await?;
                    self.policies.set_held(Some(Arc::new(held)));
                }
            }
            self.directory.forget_answers((self.clock)()).await?;
        }
        self.count().await
    }

    /// The gauges of whom each feature has reached.
    async fn count(&self) -> Result<(), DirectoryError> {
        let people = self.directory.people_by_company().await?;
        let companies = self.directory.companies().await?;
        let rollout = self.rollout();
        for (feature, reach) in rollout.features() {
            let mut reached = (0, 0);
            for company in &companies {
                if reach.includes(feature, &company.id) {
                    reached.0 += 1;
                    reached.1 += people.get(&company.id).copied().unwrap_or(0);
                }
            }
            self.metrics.rollout_reached(feature, reached.0, reached.1);
        }
        if rollout.mfa.is_some() {
            self.metrics.rollout_paused(MFA, rollout.held().is_some());
        }
        Ok(())
    }

    async fn note(&self) -> Result<(), DirectoryError> {
        self.metrics.rollout_paused(MFA, false);
        let has_it = self.has_it().await?;
        let noted = self.directory.rollout_reached(MFA).await?;
        let new: Vec<&CompanyId> = has_it.difference(&noted).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.directory.note_reached(MFA, &new, (self.clock)()).await
    }

    async fn has_it(&self) -> Result<BTreeSet<CompanyId>, DirectoryError> {
        let companies = self.directory.companies().await?;
        let rollout = self.rollout();
        Ok(companies
            .into_iter()
            .map(|company| company.id)
            .filter(|company| rollout.mfa_reaches(company))
            .collect())
    }

    fn rollout(&self) -> Rollout {
        self.policies.published().load().rollout.clone()
    }
}
