//! What is looked at again and again while the gateway runs: policies, certificates, Company
//! Settings, the master key, signing keys, gauges.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::house::{House, stamp};
use super::keys;
use super::master_key::KeyFile;
use super::rollout::Release;
use crate::gate::policy::Emergency;
use crate::gate::trail::TrailEvent;
use crate::observe::admin::Asked;
use crate::policies::{PolicyFolder, Reload};

/// How soon a change of a file, or of Company Settings on another node, is noticed.
const LOOK: Duration = Duration::from_secs(1);
/// Keys and gauges change slowly.
const SLOW_LOOK: Duration = Duration::from_secs(15);
/// The longest that readiness waits for a store: less than it has for its answer.
const PING: Duration = Duration::from_millis(1_500);

/// Ends when told to shut down, or when nobody is left who could tell.
pub(super) async fn over(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|over| *over).await;
}

/// Somebody's wish that everything be read again, which the upkeep fulfils in its turn.
pub struct Wish {
    number: AtomicU64,
    bell: Notify,
    /// The number of the last wish that is fulfilled.
    fulfilled: watch::Sender<u64>,
}

impl Default for Wish {
    fn default() -> Wish {
        Wish {
            number: AtomicU64::new(0),
            bell: Notify::new(),
            fulfilled: watch::Sender::new(0),
        }
    }
}

impl Wish {
    /// Wishes, and ends when what was there at this moment has been read.
    pub fn make(&self) -> impl Future<Output = ()> + use<> {
        let number = self.number.fetch_add(1, Ordering::AcqRel) + 1;
        let mut fulfilled = self.fulfilled.subscribe();
        self.bell.notify_one();
        async move {
            // Gone: the upkeep has ended, and so has the gateway.
            let _ = fulfilled.wait_for(|last| *last >= number).await;
        }
    }

    async fn made(&self) -> u64 {
        self.bell.notified().await;
        self.number.load(Ordering::Acquire)
    }

    fn fulfil(&self, number: u64) {
        self.fulfilled.send_replace(number);
    }
}

#[derive(Clone)]
pub struct Upkeep {
    pub house: Arc<House>,
    pub wish: Arc<Wish>,
    pub release: Release,
}

/// What was seen at the last look, so that it is not said each second.
#[derive(Default)]
struct Seen {
    /// Of the certificates.
    complaint: Option<String>,
    /// By product.
    healthy: HashMap<String, usize>,
    emergencies: Vec<Emergency>,
    emergencies_told: usize,
    /// Of the master key; at first of nothing, since it may have changed since the start.
    key_file: KeyFile,
}

impl Upkeep {
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let told = self.clone();
        let watching = self
            .policies()
            .clone()
            .watch(LOOK, move |reload| told.look_at_policies(reload));
        let mut looks = interval(LOOK);
        let mut slow_looks = interval(SLOW_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        slow_looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Seen::default();
        let file = self.house.settings().source.file().to_owned();
        // Of nothing: the file may have changed since it was read at the start.
        let mut written = None;
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    let now = stamp(&file);
                    if now != written {
                        written = now;
                        self.follow().await;
                    }
                    self.house.follow_master_key(&mut seen.key_file).await;
                    self.look(&mut seen).await;
                    self.look_at_backends(&mut seen);
                }
                _ = slow_looks.tick() => {
                    self.look_slowly().await;
                    self.anchor().await;
                    self.house.say_that_it_runs().await;
                }
                number = self.wish.made() => {
                    written = stamp(&file);
                    self.house.follow_master_key(&mut seen.key_file).await;
                    self.reload(&mut seen).await;
                    self.wish.fulfil(number);
                }
                () = over(&mut shutdown) => break,
            }
        }
        watching.abort();
    }

    fn policies(&self) -> &PolicyFolder {
        &self.house.ground.policies
    }

    async fn follow(&self) {
        if let Some(reload) = self.house.follow().await {
            self.look_at_policies(&reload);
        }
    }

    /// Everything that is read from files, and whatever it was that the operator changed.
    async fn reload(&self, seen: &mut Seen) {
        self.follow().await;
        // Whoever asks is told again what is wrong.
        seen.complaint = None;
        self.look_at_certificates(seen);
        let folder = self.policies().clone();
        if let Ok(reload) = tokio::task::spawn_blocking(move || folder.reload()).await {
            tracing::info!(
                changed = reload.changed,
                rejected = reload.rejected.len(),
                "policies reloaded"
            );
            self.look_at_policies(&reload);
        }
        if let Some(access) = &self.house.ground.access {
            access.reopen();
        }
        self.house.follow_backends().await;
    }

    async fn look(&self, seen: &mut Seen) {
        self.look_at_certificates(seen);
        let before = self.policies().switched_on();
        match self.house.ground.directory.factor_switched_on().await {
            Ok(companies) => self.policies().follow_switched_on(&before, companies),
            // What was switched on stays on: nobody gets in with less because a database is away.
            Err(error) => tracing::debug!(%error, "Company Settings could not be read"),
        }
        self.look_for_emergencies(seen).await;
        self.release.look().await;
    }

    fn look_at_certificates(&self, seen: &mut Seen) {
        match self.house.certificates.reload() {
            Ok(reloaded) => {
                seen.complaint = None;
                if reloaded {
                    tracing::info!("certificates reloaded");
                    self.house.note(TrailEvent::CertificatesChanged, "");
                }
            }
            Err(error) => {
                let said = error.to_string();
                if seen.complaint.as_ref() != Some(&said) {
                    tracing::error!(%error, "certificates could not be reloaded; the last good ones stay");
                }
                seen.complaint = Some(said);
            }
        }
    }

    /// An emergency ends at its time, also when the directory can't be asked any more.
    async fn look_for_emergencies(&self, seen: &mut Seen) {
        let ground = &self.house.ground;
        let now = (ground.world.clock)();
        match ground.directory.emergencies(now).await {
            Ok(all) => seen.emergencies = all.into_iter().map(|one| one.of).collect(),
            Err(error) => tracing::debug!(%error, "emergencies could not be read"),
        }
        seen.emergencies.retain(|emergency| emergency.until > now);
        self.policies().set_emergencies(seen.emergencies.clone());
        let open = seen.emergencies.len();
        ground.metrics.break_glass_open(open);
        if open != seen.emergencies_told {
            tracing::error!(
                open,
                "BREAK GLASS: emergencies in which no second factor is asked for"
            );
            seen.emergencies_told = open;
        }
    }

    /// Notes in the directory where this node's audit trail stands.
    async fn anchor(&self) {
        self.house.anchor().await;
    }

    /// Counts who is well, and says aloud when that changes. `before`: as of the last look.
    fn look_at_backends(&self, seen: &mut Seen) {
        let scene = self.house.scene.load();
        let settings = self.house.settings();
        let before = std::mem::take(&mut seen.healthy);
        for (upstream, product) in scene.upstreams.iter().zip(settings.products.iter()) {
            let (healthy, all) = (upstream.healthy(), upstream.len());
            let product = product.id.as_str();
            self.house.ground.metrics.backends_healthy(product, healthy);
            seen.healthy.insert(product.to_owned(), healthy);
            let before = before.get(product);
            if before == Some(&healthy) {
                continue;
            }
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
        }
    }

    async fn look_slowly(&self) {
        let ground = &self.house.ground;
        let now = (ground.world.clock)();
        match keys::load_or_rotate(&ground.directory, &ground.world).await {
            Ok(keys) => {
                if let Err(error) = ground.assertions.replace_keys(keys) {
                    tracing::error!(%error, "signing keys could not be taken over");
                }
            }
            Err(error) => tracing::warn!(%error, "signing keys could not be read"),
        }
        self.release.look_slowly().await;
        if let Ok(Ok(count)) = timeout(PING, ground.sessions.store().count(now)).await {
            ground.metrics.sessions_active(count);
        }
        self.house.follow_backends().await;
        self.house.tell_certificates();
    }

    /// Says aloud what a look at the policy folder found.
    pub fn look_at_policies(&self, reload: &Reload) {
        self.house.ground.metrics.policies(
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
            let detail = format!("{} of {} companies", reload.changed, reload.companies);
            self.house.note(TrailEvent::PoliciesChanged, &detail);
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
    pub async fn ready(&self, asked: Asked, draining: bool) -> Result<(), Vec<String>> {
        let mut missing = Vec::new();
        if draining {
            missing.push(String::from("draining"));
        }
        if asked == Asked::Everything {
            missing.extend(self.missing_elsewhere().await);
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing)
        }
    }

    /// What the other nodes miss as well.
    async fn missing_elsewhere(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let ground = &self.house.ground;
        let (store, directory) = tokio::join!(
            timeout(PING, ground.sessions.store().ping()),
            timeout(PING, ground.directory.ping()),
        );
        if !matches!(store, Ok(Ok(()))) {
            missing.push(String::from("store"));
        }
        if !matches!(directory, Ok(Ok(()))) {
            missing.push(String::from("directory"));
        }
        let now = (ground.world.clock)();
        if self
            .house
            .certificates
            .expiries()
            .iter()
            .any(|(_, expiry)| *expiry <= now)
        {
            missing.push(String::from("certificates"));
        }
        missing
    }
}
