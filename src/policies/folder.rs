//! The folder as a whole: which file changed, which version of each is in force.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::file::Base;
use super::watched::{Rejected, Watched};
use crate::config::ProductIds;
use crate::config::problem::Problems;
use crate::gate::name::CompanyId;
use crate::gate::policy::{ByCompany, Emergency, Policies, Rollout, SessionLimits, Switched};

const DEFAULT_FILE: &str = "default.toml";

/// The policies in force, and the files that they come from. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct PolicyFolder {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    files: Mutex<Files>,
    published: Arc<ArcSwap<Policies>>,
}

struct Files {
    session: SessionLimits,
    rollout: Rollout,
    products: ProductIds,
    default: Watched,
    companies: HashMap<CompanyId, Watched>,
    /// Files whose name is no company's id, and what is wrong with the folder itself.
    strays: Vec<Rejected>,
}

/// What a look at the folder came to.
#[derive(Debug, Clone)]
pub struct Reload {
    /// Companies whose policy is another than before.
    pub changed: usize,
    /// Companies with a file: `vestibule_policy_companies`.
    pub companies: usize,
    /// `vestibule_policy_rejected_files`; empty: the last reload was successful.
    pub rejected: Vec<Rejected>,
    /// Whether the list of rejected files is another than before.
    pub rejected_changed: bool,
}

impl PolicyFolder {
    /// Reads the folder for the first time.
    ///
    /// # Errors
    /// Without a good `default.toml` nothing can start: there is no last good version yet.
    pub fn open(dir: &Path, base: Base) -> Result<PolicyFolder, Problems> {
        let mut default = Watched::default();
        let file = dir.join(DEFAULT_FILE);
        let metadata =
            std::fs::metadata(&file).map_err(|error| Problems::unreadable(&file, &error))?;
        let products = base.product_ids();
        default.read(&file, &metadata, &products);
        if let Some(rejected) = default.rejected {
            return Err(rejected.problems);
        }
        let policy = Arc::new(default.good.clone().unwrap_or_default().complete());
        default.policy = Some(Arc::clone(&policy));
        let policies = Policies {
            companies: ByCompany::default(),
            default: policy,
            session: base.session,
            rollout: base.rollout.clone(),
            factor_switched_on: Arc::default(),
            emergencies: Vec::new(),
        };
        let files = Files {
            session: base.session,
            rollout: base.rollout,
            products,
            default,
            companies: HashMap::new(),
            strays: Vec::new(),
        };
        let folder = PolicyFolder {
            shared: Arc::new(Shared {
                dir: dir.to_owned(),
                files: Mutex::new(files),
                published: Arc::new(ArcSwap::from_pointee(policies)),
            }),
        };
        folder.reload();
        Ok(folder)
    }

    /// Reads every file once, for `vestibule check`.
    ///
    /// # Errors
    /// What is wrong with any of them.
    pub fn examine(dir: &Path, products: ProductIds) -> Result<(), Problems> {
        // Nothing is ever decided by these limits.
        let session = SessionLimits {
            maximum: Duration::ZERO,
            idle: Duration::ZERO,
        };
        let mut files = Files {
            session,
            rollout: Rollout::default(),
            products,
            default: Watched::default(),
            companies: HashMap::new(),
            strays: Vec::new(),
        };
        files.refresh(dir);
        let problems = files
            .rejected()
            .into_iter()
            .flat_map(|rejected| rejected.problems.0)
            .collect();
        Problems::none_of(problems)
    }

    /// What requests are decided by.
    pub fn published(&self) -> Arc<ArcSwap<Policies>> {
        Arc::clone(&self.shared.published)
    }

    /// Looks at every file, reads those that changed and publishes the outcome in one swap. A file
    /// counts as removed at the second look that misses it. Reads files: not for an async task.
    pub fn reload(&self) -> Reload {
        self.reload_over(locked(&self.shared.files), false)
    }

    fn reload_over(&self, mut files: MutexGuard<'_, Files>, publish: bool) -> Reload {
        let before = files.rejected();
        let changed = files.refresh(&self.shared.dir);
        let rejected = files.rejected();
        if publish || changed > 0 {
            self.publish(|policies| files.fill(policies));
        }
        Reload {
            changed,
            companies: files.companies.len(),
            rejected_changed: before != rejected,
            rejected,
        }
    }

    /// After gateway.toml changed: everything is read again against it.
    pub fn set_base(&self, base: Base) -> Reload {
        let mut files = locked(&self.shared.files);
        files.products = base.product_ids();
        files.session = base.session;
        files.rollout = base.rollout;
        files.default.forget();
        files.companies.values_mut().for_each(Watched::forget);
        self.reload_over(files, true)
    }

    /// Companies whose admin switched multi-factor authentication on. Waits for no file.
    pub fn set_switched_on(&self, companies: ByCompany<Switched>) {
        let before = self.switched_on();
        self.follow_switched_on(&before, companies);
    }

    /// Those in force, to be had before they are read from elsewhere.
    pub fn switched_on(&self) -> Arc<ByCompany<Switched>> {
        Arc::clone(&self.shared.published.load().factor_switched_on)
    }

    /// What was read since `before` was in force. An admin's switch that was published meanwhile may
    /// be newer than what was read, and stays: the next look reads it.
    pub fn follow_switched_on(
        &self,
        before: &Arc<ByCompany<Switched>>,
        companies: ByCompany<Switched>,
    ) {
        if **before == companies {
            return;
        }
        let companies = Arc::new(companies);
        self.publish(|policies| {
            if Arc::ptr_eq(&policies.factor_switched_on, before) {
                policies.factor_switched_on = Arc::clone(&companies);
            }
        });
    }

    /// The emergencies that are going on. Waits for no file.
    pub fn set_emergencies(&self, emergencies: Vec<Emergency>) {
        if self.shared.published.load().emergencies != emergencies {
            self.publish(|policies| policies.emergencies.clone_from(&emergencies));
        }
    }

    /// Who has multi-factor authentication while its release is paused; `None`: it is not. Waits
    /// for no file.
    pub fn set_held(&self, held: Option<Arc<BTreeSet<CompanyId>>>) {
        if self.shared.published.load().rollout.held() != held.as_ref() {
            self.publish(|policies| policies.rollout.hold(held.clone()));
        }
    }

    /// Looks at the folder again and again until the task is aborted; `on_change` hears of every
    /// look that changed something.
    pub fn watch(
        self,
        interval: Duration,
        on_change: impl Fn(&Reload) + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let folder = self.clone();
                let Ok(reload) = tokio::task::spawn_blocking(move || folder.reload()).await else {
                    continue;
                };
                if reload.changed > 0 || reload.rejected_changed {
                    on_change(&reload);
                }
            }
        })
    }

    /// Puts a new set together from the last one, again if somebody published another meanwhile: what
    /// an admin switches in Company Settings is published by the portal itself.
    fn publish(&self, change: impl Fn(&mut Policies)) {
        self.shared.published.rcu(|last| {
            let mut policies = Policies::clone(last);
            change(&mut policies);
            policies
        });
    }
}

impl Files {
    /// Returns how many policies are others than before.
    fn refresh(&mut self, dir: &Path) -> usize {
        let listing = match list(dir) {
            Ok(listing) => listing,
            Err(error) => {
                // The folder is away for a moment, or for good: nothing is taken from anybody.
                self.strays = vec![Rejected {
                    file: dir.to_owned(),
                    problems: Problems::unreadable(dir, &error),
                    instead: "the last good version of every policy stays in force",
                }];
                return 0;
            }
        };
        self.strays.clear();
        let default_changed = self.refresh_default(dir);
        let mut seen = HashSet::new();
        let mut changed = usize::from(default_changed);
        for (stem, file) in listing {
            let company = match CompanyId::parse(&stem) {
                Ok(company) => company,
                Err(error) => {
                    self.strays.push(Rejected::stray(&file, error.to_string()));
                    continue;
                }
            };
            seen.insert(company.clone());
            let watched = self.companies.entry(company.clone()).or_default();
            watched.gone = false;
            watched.look(&file, &self.products);
            changed += usize::from(watched.resolve(company.as_str(), self.default.policy.as_ref()));
        }
        let before = self.companies.len();
        // Editors save by removing and writing anew: only what is away twice is away, or a company
        // would have the default for the moment in between.
        self.companies.retain(|company, watched| {
            seen.contains(company) || !std::mem::replace(&mut watched.gone, true)
        });
        changed + before - self.companies.len()
    }

    fn refresh_default(&mut self, dir: &Path) -> bool {
        self.default.look(&dir.join(DEFAULT_FILE), &self.products);
        let policy = self.default.good.clone().unwrap_or_default().complete();
        self.default.replace(policy)
    }

    fn fill(&self, policies: &mut Policies) {
        policies.session = self.session;
        // Who had it when the release paused is the directory's to say, not the file's.
        let held = policies.rollout.held().cloned();
        policies.rollout = self.rollout.clone();
        policies.rollout.hold(held);
        if let Some(default) = &self.default.policy {
            policies.default = Arc::clone(default);
        }
        policies.companies = self
            .companies
            .iter()
            .filter_map(|(id, watched)| Some((id.clone(), Arc::clone(watched.policy.as_ref()?))))
            .collect();
    }

    fn rejected(&self) -> Vec<Rejected> {
        let watched = std::iter::once(&self.default).chain(self.companies.values());
        let mut all: Vec<Rejected> = watched
            .filter_map(|watched| watched.rejected.clone())
            .chain(self.strays.clone())
            .collect();
        all.sort_by(|a, b| a.file.cmp(&b.file));
        all
    }
}

/// Names without `.toml`, and paths, in order; default.toml and hidden files are left out.
fn list(dir: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".toml")) else {
            continue;
        };
        if !stem.starts_with('.') && name != DEFAULT_FILE {
            files.push((stem.to_owned(), entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

/// A panic elsewhere leaves whole values behind: each is replaced, never half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
