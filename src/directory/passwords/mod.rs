//! Passwords: compared and hashed within bounds.
//!
//! Hashing is slow on purpose, so it has its own bounded pool: a flood of sign-ins waits or is
//! turned away, and never slows a request that is being forwarded.

mod behind;
mod stored;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep_until, timeout};
use zeroize::Zeroizing;

use behind::Behind;
use stored::{Stored, hash};

pub use stored::{InvalidHash, LONGEST_PASSWORD, PasswordHash};

/// How many wait for a hashing slot, for each slot.
const WAITING_PER_SLOT: usize = 64;
/// The longest wait for a hashing slot.
const PATIENCE: Duration = Duration::from_secs(10);
/// A wrong password is answered after so much at the latest, on a machine with nothing else to do:
/// longer than the costliest hash that is taken over.
const HIGHEST_FLOOR: Duration = Duration::from_secs(4);

/// Everybody who could hash is busy and the queue is full: 503 with Retry-After.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many sign-ins at once")]
pub struct Busy;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    #[error("too many sign-ins at once")]
    Busy,
    #[error("a password has at most 1024 bytes")]
    TooLong,
    #[error("the password can't be hashed")]
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub correct: bool,
    /// Of a correct password whose hash is not of the kept form: what to store instead.
    pub upgrade: Option<PasswordHash>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Kept,
    /// Checked in its own time, beside ours.
    Imported,
}

const WRONG: Verdict = Verdict {
    correct: false,
    upgrade: None,
};

/// The bounded pool. Cheap to clone; clones share the slots.
#[derive(Clone)]
pub struct Hasher {
    inner: Arc<Bounds>,
}

struct Bounds {
    /// Who works.
    slots: Arc<Semaphore>,
    /// Who works or waits.
    places: Arc<Semaphore>,
    behind: Behind,
    /// The most processor time that a wrong password for an imported hash has taken, in microseconds: no wrong one is
    /// answered sooner, or the time would tell which names were imported.
    longest: AtomicU64,
    /// What an unknown user's password is compared with. Made once, in the first slot that needs
    /// it, with the parameters in force.
    dummy: OnceLock<Option<PasswordHash>>,
}

impl Hasher {
    /// As many slots as half the processors: forwarding keeps the other half.
    pub fn new() -> Hasher {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let slots = (processors / 2).max(1);
        Hasher::with_bounds(slots, slots * WAITING_PER_SLOT)
    }

    /// `slots` hash at once, `waiting` more may wait.
    pub fn with_bounds(slots: usize, waiting: usize) -> Hasher {
        let slots = slots.max(1);
        Hasher {
            inner: Arc::new(Bounds {
                slots: Arc::new(Semaphore::new(slots)),
                places: Arc::new(Semaphore::new(slots + waiting)),
                behind: Behind::new(slots),
                longest: AtomicU64::new(0),
                dummy: OnceLock::new(),
            }),
        }
    }

    /// Compares a password with what is stored; `None` (an unknown user) takes as long as a wrong
    /// password does.
    pub async fn verify(
        &self,
        stored: Option<PasswordHash>,
        password: Zeroizing<String>,
    ) -> Result<Verdict, Busy> {
        if password.len() > LONGEST_PASSWORD {
            return Ok(WRONG);
        }
        let (verdict, begun) = self
            .work(move |bounds| {
                let begun = Instant::now();
                let (verdict, form) = bounds.judge(stored.as_ref(), password.as_bytes());
                if form == Form::Imported && !verdict.correct {
                    bounds.took(worked());
                }
                (verdict, begun)
            })
            .await?;
        if !verdict.correct {
            // Without a slot: it costs nobody anything.
            sleep_until((begun + self.inner.floor()).into()).await;
        }
        Ok(verdict)
    }

    /// Hashes a new password in the kept form.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<PasswordHash, HashError> {
        if password.len() > LONGEST_PASSWORD {
            return Err(HashError::TooLong);
        }
        self.work(move |_| hash(password.as_bytes()))
            .await
            .map_err(|Busy| HashError::Busy)?
            .ok_or(HashError::Failed)
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl Fn(&Bounds) -> T + Send + Sync + 'static,
    ) -> Result<T, Busy> {
        let place = self
            .inner
            .places
            .clone()
            .try_acquire_owned()
            .map_err(|_| Busy)?;
        let slot = timeout(PATIENCE, self.inner.slots.clone().acquire_owned())
            .await
            .map_err(|_| Busy)?
            .map_err(|_| Busy)?;
        let bounds = self.inner.clone();
        let (done, answer) = oneshot::channel();
        // Held in a task of its own: a client that hangs up must not free a slot that still works.
        tokio::spawn(async move {
            let of_job = bounds.clone();
            let result = bounds.behind.run(move || job(&of_job)).await;
            drop((place, slot));
            // Nobody waits any more: whoever asked has hung up.
            let _ = done.send(result);
        });
        answer.await.ok().flatten().ok_or(Busy)
    }
}

/// What this thread has computed so far: on a busy machine it is not the time that went by.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
}

impl Default for Hasher {
    fn default() -> Hasher {
        Hasher::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl Bounds {
    fn took(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.longest.fetch_max(micros, Ordering::Relaxed);
    }

    fn floor(&self) -> Duration {
        Duration::from_micros(self.longest.load(Ordering::Relaxed)).min(HIGHEST_FLOOR)
    }

    /// Every way through here computes argon2id in the kept form exactly once, so that the time
    /// does not tell an unknown user from a wrong password.
    fn judge(&self, stored: Option<&PasswordHash>, password: &[u8]) -> (Verdict, Form) {
        let Some(stored) = stored.and_then(|hash| Stored::read(&hash.0).ok()) else {
            self.compute_dummy(password);
            return (WRONG, Form::Kept);
        };
        let correct = stored.matches(password);
        if stored.is_kept_form() {
            let verdict = Verdict {
                correct,
                upgrade: None,
            };
            return (verdict, Form::Kept);
        }
        if correct {
            let verdict = Verdict {
                correct,
                upgrade: hash(password),
            };
            return (verdict, Form::Imported);
        }
        self.compute_dummy(password);
        (WRONG, Form::Imported)
    }

    fn compute_dummy(&self, password: &[u8]) {
        let dummy = self.dummy.get_or_init(|| hash(b"nobody's password"));
        if let Some(stored) = dummy.as_ref().and_then(|hash| Stored::read(&hash.0).ok()) {
            std::hint::black_box(stored.matches(password));
        }
    }
}

#[cfg(test)]
mod tests;
