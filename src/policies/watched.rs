//! One watched file: whether it changed, its last good version, and what is wrong with it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::file::{Draft, read_policy};
use crate::config::problem::{Place, Problem, Problems};
use crate::config::{ProductIds, read_file};
use crate::gate::policy::{Action, CompanyPolicy, Conditions, Rule};

/// One file, as it was read last.
#[derive(Default)]
pub(super) struct Watched {
    stamp: Option<Stamp>,
    pub(super) good: Option<Draft>,
    pub(super) policy: Option<Arc<CompanyPolicy>>,
    pub(super) rejected: Option<Rejected>,
    /// Not there at the last look.
    pub(super) gone: bool,
}

/// When all of it is the same, the file was not touched.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
    /// False when the file was so new that it could change again within its time stamp's tick.
    settled: bool,
}

/// A file that is not in force as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub file: PathBuf,
    pub problems: Problems,
    /// What is in force instead.
    pub instead: &'static str,
}

impl Watched {
    /// Has the file read again at the next look.
    pub(super) fn forget(&mut self) {
        self.stamp = None;
    }

    /// Reads the file if it is another than before.
    pub(super) fn look(&mut self, file: &Path, products: &ProductIds) {
        match std::fs::metadata(file) {
            Ok(metadata) => {
                let same = self
                    .stamp
                    .as_ref()
                    .is_some_and(|stamp| stamp.still(&metadata));
                if !same {
                    self.read(file, &metadata, products);
                }
            }
            Err(error) => {
                self.stamp = None;
                self.reject(file, Problems::unreadable(file, &error));
            }
        }
    }

    pub(super) fn read(&mut self, file: &Path, metadata: &Metadata, products: &ProductIds) {
        // Taken before reading: a change in between is seen at the next look.
        self.stamp = Some(Stamp::of(metadata));
        match read_file(file).and_then(|text| read_policy(&text, file, products)) {
            Ok(draft) => {
                self.good = Some(draft);
                self.rejected = None;
            }
            Err(problems) => self.reject(file, problems),
        }
    }

    fn reject(&mut self, file: &Path, problems: Problems) {
        let instead = match self.good {
            Some(_) => "the last good version stays in force",
            None => "there is no good version yet: everything is denied to this company",
        };
        self.rejected = Some(Rejected {
            file: file.to_owned(),
            problems,
            instead,
        });
    }

    /// True when the policy is another than before.
    pub(super) fn resolve(&mut self, id: &str, default: Option<&Arc<CompanyPolicy>>) -> bool {
        let Some(default) = default else { return false };
        let policy = match &self.good {
            Some(draft) => draft.over(default, id),
            None => denied(default, id),
        };
        self.replace(policy)
    }

    pub(super) fn replace(&mut self, policy: CompanyPolicy) -> bool {
        if self.policy.as_deref() == Some(&policy) {
            return false;
        }
        self.policy = Some(Arc::new(policy));
        true
    }
}

/// A company whose file never was good. The default could open what the file was to close.
fn denied(default: &CompanyPolicy, id: &str) -> CompanyPolicy {
    CompanyPolicy {
        name: id.to_owned(),
        rules: vec![Rule {
            name: String::from("the company's policy file can't be used"),
            when: Conditions::default(),
            except: None,
            action: Action::Deny,
        }]
        .into(),
        ..default.clone()
    }
}

impl Rejected {
    pub(super) fn stray(file: &Path, message: String) -> Rejected {
        let place = Place::Whole { file: file.into() };
        Rejected {
            file: file.to_owned(),
            problems: Problems(vec![Problem {
                place,
                key: String::new(),
                message,
            }]),
            instead: "the file is nobody's",
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        let modified = metadata.modified().ok();
        let settled = modified
            .and_then(|modified| modified.elapsed().ok())
            .is_some_and(|age| age > Duration::from_secs(2));
        Stamp {
            modified,
            length: metadata.len(),
            inode: metadata.ino(),
            settled,
        }
    }

    fn still(&self, metadata: &Metadata) -> bool {
        self.settled
            && self.modified == metadata.modified().ok()
            && self.length == metadata.len()
            && self.inode == metadata.ino()
    }
}
