//! What is looked at again and again while the gateway runs: policies, certificates, Company
//! Settings, signing keys, gauges.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::directory::Directory;
use crate::observe::metrics::Metrics;
use crate::policies::{PolicyFolder, Reload};
use crate::proxy::certificates::Certificates;
use crate::proxy::upstream::Upstream;
use crate::sessions::Sessions;
use crate::sessions::assertions::Assertions;

use super::rollout::Release;
use super::{World, keys};

/// How soon a change of a file, or of Company Settings on another node, is noticed.
const LOOK: Duration = Duration::from_secs(1);
/// Keys and gauges change slowly.
const SLOW_LOOK: Duration = Duration::from_secs(15);
/// The longest that readiness waits for a store.
const PING: Duration = Duration::from_secs(2);

/// Ends when told to shut down, or when nobody is left who could tell.
async fn over(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|over| *over).await;
}

#[derive(Clone)]
pub struct Upkeep {
    pub sessions: Arc<Sessions>,
    pub directory: Directory,
    pub policies: PolicyFolder,
    pub certificates: Arc<Certificates>,
    pub assertions: Arc<Assertions>,
    pub upstreams: Arc<Vec<Upstream>>,
    pub metrics: Arc<Metrics>,
    pub world: World,
    pub release: Release,
}

impl Upkeep {
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let told = self.clone();
        let watching = self
            .policies
            .clone()
            .watch(LOOK, move |reload| told.look_at_policies(reload));
        let mut looks = interval(LOOK);
        let mut slow_looks = interval(SLOW_LOOK);
        let mut healthy = vec![None; self.upstreams.len()];
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        slow_looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complaint = None;
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    self.look(&mut complaint).await;
                    self.look_at_backends(&mut healthy);
                }
                _ = slow_looks.tick() => self.look_slowly().await,
                () = over(&mut shutdown) => break,
            }
        }
        watching.abort();
    }

    /// `complaint`: what was last said of the certificates; a file that stays broken is not
    /// reported each second.
    async fn look(&self, complaint: &mut Option<String>) {
        match self.certificates.reload() {
            Ok(reloaded) => {
                *complaint = None;
                if reloaded {
                    tracing::info!("certificates reloaded");
                }
            }
            Err(error) => {
                let said = error.to_string();
                if complaint.as_ref() != Some(&said) {
                    tracing::error!(%error, "certificates could not be reloaded; the last good ones stay");
                }
                *complaint = Some(said);
            }
        }
        match self.directory.factor_switched_on().await {
            Ok(companies) => self.policies.set_switched_on(companies),
            // What was switched on stays on: nobody gets in with less because a database is away.
            Err(error) => tracing::debug!(%error, "Company Settings could not be read"),
        }
        self.release.look().await;
    }

    /// Counts who is well, and says aloud when that changes. `before`: as of the last look.
    fn look_at_backends(&self, before: &mut [Option<usize>]) {
        let products = self.sessions.products().iter();
        for ((upstream, product), before) in self.upstreams.iter().zip(products).zip(before) {
            let (healthy, all) = (upstream.healthy(), upstream.len());
            self.metrics.backends_healthy(product.index, healthy);
            if *before == Some(healthy) {
                continue;
            }
            let product = product.id.as_str();
            if healthy < all {
                tracing::warn!(
                    product,
                    healthy,
                    all,
                    "backends don't answer their health check"
                );
            } else if before.is_some() {
                tracing::info!(product, healthy, all, "all backends are well again");
            }
            *before = Some(healthy);
        }
    }

    async fn look_slowly(&self) {
        let now = (self.world.clock)();
        match keys::load_or_rotate(&self.directory, &self.world).await {
            Ok(keys) => {
                if let Err(error) = self.assertions.replace_keys(keys) {
                    tracing::error!(%error, "signing keys could not be taken over");
                }
            }
            Err(error) => tracing::warn!(%error, "signing keys could not be read"),
        }
        self.release.look_slowly().await;
        if let Ok(Ok(count)) = timeout(PING, self.sessions.store().count(now)).await {
            self.metrics.sessions_active(count);
        }
        self.metrics.forget_certificates();
        for (name, expiry) in self.certificates.expiries() {
            self.metrics
                .certificate_expiry(&name, (expiry.millis() - now.millis()) / 1000);
        }
    }

    /// Says aloud what a look at the policy folder found.
    pub fn look_at_policies(&self, reload: &Reload) {
        self.metrics.policies(
            reload.companies,
            reload.rejected.is_empty(),
            reload.rejected.len(),
        );
        if reload.changed > 0 {
            tracing::info!(
                changed = reload.changed,
                companies = reload.companies,
                "policies in force"
            );
        }
        for rejected in &reload.rejected {
            tracing::error!(
                file = %rejected.file.display(),
                problems = %rejected.problems,
                instead = rejected.instead,
                "a policy file is rejected"
            );
        }
    }

    /// What is missing for serving, by its word.
    pub async fn ready(&self, draining: bool) -> Result<(), Vec<String>> {
        let mut missing = Vec::new();
        if draining {
            missing.push(String::from("draining"));
        }
        if !matches!(
            timeout(PING, self.sessions.store().ping()).await,
            Ok(Ok(()))
        ) {
            missing.push(String::from("store"));
        }
        if !matches!(timeout(PING, self.directory.ping()).await, Ok(Ok(()))) {
            missing.push(String::from("directory"));
        }
        let now = (self.world.clock)();
        if self
            .certificates
            .expiries()
            .iter()
            .any(|(_, expiry)| *expiry <= now)
        {
            missing.push(String::from("certificates"));
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing)
        }
    }
}
