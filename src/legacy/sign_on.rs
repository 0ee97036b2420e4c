//! Signing in to legacy applications for people, and keeping what they answer.
//!
//! | state | holds |
//! |---|---|
//! | `sign-on:SESSION:PRODUCT` | the application's cookies for this session of ours, sealed |
//! | `sign-on-lease:SESSION:PRODUCT` | somebody is signing in at this moment |
//! | `throttle:sign-on:PRODUCT:LOGIN` | tries that led to nothing yet |
//!
//! The cookies stand in the store that all nodes share: a person whose next request reaches another
//! node is signed in there too, and applications that allow one session for a user are not fought
//! over. Each node keeps what it read; when the application says that it has forgotten, it looks
//! into the store before it signs in again.

mod grip;
mod held;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use url::Url;

use super::site::Caller;
use super::{Failure, Legacy, Verdict, basic, form};
use crate::config::settings::SignOn;
use crate::directory::seal::RowName;
use crate::directory::{Directory, SignOnPlace, SignOnSecret};
use crate::gate::name::{CompanyId, Login, PersonId, SessionId};
use crate::gate::product::Product;
use crate::gate::throttle::{Attempts, Rule, attempt};
use crate::gate::time::Moment;
use crate::sessions::Sessions;
use crate::sessions::store::{Store, StoreError};
use crate::sessions::tokens::Random;

use held::{Held, Shelf};

pub use grip::{Grip, Heard};

/// How long cookies are kept without a new sign-in.
pub const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// A lease outlives the longest deadline.
const LEASE: Duration = Duration::from_secs(90);
/// How often it is looked whether another node is done.
const LOOK: Duration = Duration::from_millis(100);
/// The longest wait for somebody else's sign-in.
const PATIENCE: Duration = Duration::from_secs(65);
/// How often a count is tried to be written when somebody else was first.
const ROUNDS: usize = 16;

/// Sign-ins to one account of an application that have not been seen to help: a broken
/// application, or one that locks accounts, must not be stormed by every request of a page.
const TRIES: Rule = Rule {
    free: 5,
    window: Duration::from_secs(15 * 60),
    first_wait: Duration::from_secs(5),
    longest_wait: Duration::from_secs(5 * 60),
    hard_stop: None,
};

/// Whose request wants to be signed in, and where.
#[derive(Debug, Clone)]
pub struct Claim {
    pub product: Arc<Product>,
    pub session: SessionId,
    pub person: PersonId,
    pub company: CompanyId,
    pub login: Login,
    /// The product that the account belongs to.
    pub account_of: crate::gate::name::ProductId,
    pub caller: Caller,
    pub request_id: String,
}

/// Why a request can't go on.
#[derive(Debug, Clone)]
pub enum NotReady {
    /// The person has to type the password: it is not known here, or was changed there.
    Password,
    Failure(Failure),
}

/// One attempt to sign in to an application, for metrics and the audit trail.
#[derive(Debug, Clone, Copy)]
pub struct SignedOn<'a> {
    pub claim: &'a Claim,
    /// `ok`, `refused`, `unreachable`, `unusable`, `busy`, `waiting`.
    pub result: &'static str,
    pub address: Option<IpAddr>,
}

/// Hears of each attempt; asked nothing.
pub trait Observer: Send + Sync {
    fn signed_on(&self, told: SignedOn<'_>);
}

/// What sign-ons are made of.
pub struct Parts {
    pub legacy: Arc<Legacy>,
    pub sessions: Arc<Sessions>,
    pub directory: Directory,
    pub clock: crate::sessions::Clock,
    pub random: Random,
    pub observer: Arc<dyn Observer>,
}

/// The sign-ins of this gateway to applications behind it.
pub struct SignOns {
    parts: Parts,
    shelf: Shelf,
}

/// What the store keeps, sealed.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// Names this sign-in and no later one.
    id: u64,
    login: Login,
    jar: super::jar::Jar,
}

impl SignOns {
    pub fn new(parts: Parts) -> Arc<SignOns> {
        Arc::new(SignOns {
            parts,
            shelf: Shelf::default(),
        })
    }

    /// Whether the gateway signs in to this product.
    pub fn concerns(&self, product: &Product) -> bool {
        self.parts.legacy.needs_password(product)
    }

    /// Whether a request is for the sign-in page itself, which nobody needs any more.
    pub fn is_page(&self, product: &Product, path: &str) -> bool {
        match self.way(product) {
            Some(SignOn::Form(described)) => form::is_page(described, path),
            _ => false,
        }
    }

    fn way(&self, product: &Product) -> Option<&SignOn> {
        Some(&self.parts.legacy.ways(product)?.sign_on)
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.parts.sessions.store()
    }

    fn now(&self) -> Moment {
        (self.parts.clock)()
    }

    /// What a request has to show to the application, which is signed in to when it has to be.
    pub async fn ready(self: &Arc<SignOns>, claim: &Claim) -> Result<Arc<Grip>, NotReady> {
        let held = self.shelf.of(claim.session, claim.product.index);
        match held.current().filter(|grip| grip.login == claim.login) {
            Some(grip) => Ok(grip),
            None => self.obtain(claim, held, None).await,
        }
    }

    /// The application has forgotten `used`: what is to be shown instead.
    pub async fn again(
        self: &Arc<SignOns>,
        claim: &Claim,
        used: &Arc<Grip>,
    ) -> Result<Arc<Grip>, NotReady> {
        let held = self.shelf.of(claim.session, claim.product.index);
        match held.current() {
            // Another request of this session has seen to it.
            Some(grip) if grip.id != used.id && grip.login == claim.login => Ok(grip),
            _ => self.obtain(claim, held, Some(used.id)).await,
        }
    }

    /// In a task of its own: who goes away in the middle must not leave a refused password
    /// unnoted, to be tried again by the next request.
    async fn obtain(
        self: &Arc<SignOns>,
        claim: &Claim,
        held: Arc<Held>,
        worn: Option<u64>,
    ) -> Result<Arc<Grip>, NotReady> {
        let (me, claim) = (Arc::clone(self), claim.clone());
        let work = tokio::spawn(async move {
            // One of the requests of a session signs in, and the others get what it got.
            let Ok(turn) = tokio::time::timeout(PATIENCE, held.turn()).await else {
                return Err(NotReady::Failure(Failure::Busy));
            };
            let known = held
                .current()
                .filter(|grip| grip.login == claim.login && Some(grip.id) != worn);
            let got = match known {
                Some(grip) => Ok(grip),
                None => me.renew(&claim, worn).await,
            };
            held.put(got.as_ref().ok().cloned());
            drop(turn);
            got
        });
        work.await.unwrap_or(Err(NotReady::Failure(Failure::Busy)))
    }

    async fn renew(&self, claim: &Claim, worn: Option<u64>) -> Result<Arc<Grip>, NotReady> {
        match self.way(&claim.product) {
            Some(SignOn::Form(_)) => self.by_form(claim, worn).await,
            Some(SignOn::Basic(_)) => self.by_basic(claim).await,
            Some(SignOn::Headers) | None => Err(NotReady::Failure(Failure::unusable("no sign-on"))),
        }
    }

    async fn by_form(&self, claim: &Claim, worn: Option<u64>) -> Result<Arc<Grip>, NotReady> {
        let begun = tokio::time::Instant::now();
        loop {
            if let Some(stored) = self.stored(claim).await?.filter(|s| Some(s.id) != worn) {
                return Ok(Arc::new(Grip::of_store(stored)));
            }
            if self.take_lease(claim).await? {
                let got = self.fill(claim).await;
                self.give_lease(claim).await;
                return got;
            }
            // Another node is at it.
            if begun.elapsed() > PATIENCE {
                return Err(NotReady::Failure(Failure::Busy));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn fill(&self, claim: &Claim) -> Result<Arc<Grip>, NotReady> {
        let ways = self.parts.legacy.ways(&claim.product);
        let Some((SignOn::Form(described), Some(site))) =
            ways.map(|ways| (&ways.sign_on, &ways.site))
        else {
            return Err(NotReady::Failure(Failure::unusable("no form")));
        };
        let secret = self.secret(claim).await?;
        self.count(claim).await?;
        let credentials = &secret.credentials;
        let filled = form::sign_in(site, described, credentials, &claim.caller, self.now()).await;
        match filled {
            Ok(form::Filled::In(jar)) => {
                self.tell(claim, "ok");
                let mut id = [0; 8];
                (self.parts.random)(&mut id);
                let stored = Stored {
                    id: u64::from_le_bytes(id),
                    login: claim.login.clone(),
                    jar,
                };
                self.keep(claim, &stored, false).await?;
                Ok(Arc::new(Grip::fresh(stored, secret.version)))
            }
            Ok(form::Filled::Out(verdict)) => self.refused(claim, secret.version, verdict).await,
            Err(failure) => self.failed(claim, failure),
        }
    }

    async fn by_basic(&self, claim: &Claim) -> Result<Arc<Grip>, NotReady> {
        let ways = self.parts.legacy.ways(&claim.product);
        let Some((SignOn::Basic(described), Some(site))) =
            ways.map(|ways| (&ways.sign_on, &ways.site))
        else {
            return Err(NotReady::Failure(Failure::unusable("no basic")));
        };
        let secret = self.secret(claim).await?;
        self.count(claim).await?;
        let credentials = &secret.credentials;
        match basic::try_at(site, described, credentials, &claim.caller, self.now()).await {
            Ok(Verdict::Right) => {
                self.tell(claim, "ok");
                let header = basic::header(credentials)
                    .ok_or_else(|| NotReady::Failure(Failure::unusable("no header")))?;
                let mut id = [0; 8];
                (self.parts.random)(&mut id);
                let id = u64::from_le_bytes(id);
                Ok(Arc::new(Grip::basic(
                    id,
                    claim.login.clone(),
                    header,
                    secret.version,
                )))
            }
            Ok(verdict) => self.refused(claim, secret.version, verdict).await,
            Err(failure) => self.failed(claim, failure),
        }
    }

    /// What is to be typed, unless the application has refused it before.
    async fn secret(&self, claim: &Claim) -> Result<SignOnSecret, NotReady> {
        let secret = self.parts.directory.sign_on_secret(&claim.place()).await;
        match secret {
            Ok(Some(secret)) if !secret.refused => Ok(secret),
            Ok(_) => Err(NotReady::Password),
            Err(error) => {
                tracing::warn!(%error, "a sign-on secret could not be read");
                Err(NotReady::Failure(Failure::Busy))
            }
        }
    }

    /// The password was changed there, or the account is gone: it is not tried a second time.
    async fn refused(
        &self,
        claim: &Claim,
        version: i64,
        _: Verdict,
    ) -> Result<Arc<Grip>, NotReady> {
        self.tell(claim, "refused");
        self.mark_refused(claim, version).await;
        // What was there before is worn, or there would have been no need to sign in.
        if let Err(error) = self.store().take_state(&claim.key(), self.now()).await {
            tracing::debug!(%error, "worn cookies stay until their end");
        }
        Err(NotReady::Password)
    }

    async fn mark_refused(&self, claim: &Claim, version: i64) {
        let place = claim.place();
        // If it can't be noted, the count of tries is what keeps it from being tried for ever.
        if let Err(error) = self
            .parts
            .directory
            .refuse_sign_on_secret(&place, version)
            .await
        {
            tracing::warn!(%error, "a refused password could not be noted");
        }
    }

    fn failed(&self, claim: &Claim, failure: Failure) -> Result<Arc<Grip>, NotReady> {
        tracing::warn!(
            product = claim.product.id.as_str(),
            request_id = claim.request_id,
            %failure,
            "an application could not be signed in to"
        );
        self.tell(claim, failure.word());
        Err(NotReady::Failure(failure))
    }

    fn tell(&self, claim: &Claim, result: &'static str) {
        self.parts.observer.signed_on(SignedOn {
            claim,
            result,
            address: claim.caller.address,
        });
    }

    /// Looks at an application's answer to `path`: whether it knows the session still, and which of
    /// its cookies are ours to keep.
    pub async fn heard(
        &self,
        claim: &Claim,
        grip: &Arc<Grip>,
        status: u16,
        location: Option<&str>,
        path: &str,
    ) -> Heard {
        let Some(way) = self.way(&claim.product) else {
            return Heard::Known;
        };
        match way {
            SignOn::Headers => Heard::Known,
            SignOn::Basic(_) if status == 401 => {
                if let Some(version) = grip.version {
                    self.tell(claim, "refused");
                    self.mark_refused(claim, version).await;
                }
                let held = self.shelf.of(claim.session, claim.product.index);
                held.put(None);
                Heard::Refused
            }
            SignOn::Form(_) if status == 401 => Heard::Forgotten,
            SignOn::Form(described) if matches!(status, 301..=303 | 307 | 308) => {
                let ways = self.parts.legacy.ways(&claim.product);
                let site = ways.and_then(|ways| ways.site.as_ref());
                let to: Option<Url> = site.and_then(|site| {
                    let from = site.at(path)?;
                    site.resolve(&from, location?)
                });
                match to {
                    Some(to) if form::leads_out(described, &to) => Heard::Forgotten,
                    _ => self.works(claim, grip).await,
                }
            }
            SignOn::Basic(_) | SignOn::Form(_) => self.works(claim, grip).await,
        }
    }

    /// The first answer to somebody who is known: what was counted counts no more.
    async fn works(&self, claim: &Claim, grip: &Grip) -> Heard {
        if grip.is_first_use()
            && let Err(error) = self.store().take_state(&claim.tries(), self.now()).await
        {
            tracing::debug!(%error, "a count of sign-ons could not be cleared");
        }
        Heard::Known
    }

    /// Takes the cookies of an answer that are part of the sign-in; what is left goes to the
    /// browser. `lines` are the `Set-Cookie` values.
    pub async fn take_cookies<'a>(
        &self,
        claim: &Claim,
        grip: &Arc<Grip>,
        lines: Vec<&'a HeaderValue>,
        path: &str,
    ) -> Vec<&'a HeaderValue> {
        let ours = |line: &HeaderValue| {
            let name = line.to_str().ok().and_then(super::jar::name_of);
            name.is_some_and(|name| grip.holds(name))
        };
        let (taken, left): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| ours(line));
        if taken.is_empty() {
            return left;
        }
        let held = self.shelf.of(claim.session, claim.product.index);
        let turn = held.turn().await;
        let current = held.current().filter(|current| current.id == grip.id);
        if let Some(current) = current {
            let mut jar = current.jar();
            let mut changed = false;
            for line in taken {
                if let Ok(line) = line.to_str() {
                    changed |= jar.take(line, path, self.now());
                }
            }
            if changed {
                let stored = Stored {
                    id: current.id,
                    login: current.login.clone(),
                    jar,
                };
                if let Err(NotReady::Failure(failure)) = self.keep(claim, &stored, true).await {
                    tracing::warn!(%failure, "an application's cookies could not be kept");
                }
                held.put(Some(Arc::new(current.with(stored))));
            }
        }
        drop(turn);
        left
    }

    async fn stored(&self, claim: &Claim) -> Result<Option<Stored>, NotReady> {
        let key = claim.key();
        let sealed = self.store().state(&key, self.now()).await.map_err(away)?;
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let stored = self.open(&key, &sealed);
        let Some(stored) = stored.filter(|stored| stored.login == claim.login) else {
            return Ok(None);
        };
        if !self.parts.directory.seal().is_current(&sealed) {
            // Another master key has taken over, and the one before will be let go of.
            self.keep(claim, &stored, true).await?;
        }
        Ok(Some(stored))
    }

    fn open(&self, key: &str, sealed: &[u8]) -> Option<Stored> {
        let seal = self.parts.directory.seal();
        let plain = seal.open(sealed, &state_row(key)).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    /// Writes a sign-in for all nodes. `update`: unless another one stands there by now.
    async fn keep(&self, claim: &Claim, stored: &Stored, update: bool) -> Result<(), NotReady> {
        let broken = |_| NotReady::Failure(Failure::unusable("its cookies can't be kept"));
        let key = claim.key();
        let plain = serde_json::to_vec(stored)
            .map(zeroize::Zeroizing::new)
            .map_err(|_| broken(()))?;
        let seal = self.parts.directory.seal();
        let sealed = seal
            .seal(&plain, &state_row(&key))
            .map_err(|_| broken(()))?;
        let now = self.now();
        for _ in 0..ROUNDS {
            let before = self.store().state(&key, now).await.map_err(away)?;
            let there = before.as_deref().and_then(|before| self.open(&key, before));
            if update && there.is_none_or(|there| there.id != stored.id) {
                return Ok(());
            }
            let swapped = self
                .store()
                .swap_state(&key, before.as_deref(), Some(&sealed), LIFE, now)
                .await;
            if swapped.map_err(away)? {
                return Ok(());
            }
        }
        Err(NotReady::Failure(Failure::Busy))
    }

    async fn take_lease(&self, claim: &Claim) -> Result<bool, NotReady> {
        self.store()
            .swap_state(&claim.lease(), None, Some(b"1"), LEASE, self.now())
            .await
            .map_err(away)
    }

    async fn give_lease(&self, claim: &Claim) {
        if let Err(error) = self.store().take_state(&claim.lease(), self.now()).await {
            tracing::warn!(%error, "a lease runs on until its end");
        }
    }

    /// Counts a try, before anything is sent.
    async fn count(&self, claim: &Claim) -> Result<(), NotReady> {
        let (key, now) = (claim.tries(), self.now());
        for _ in 0..ROUNDS {
            let before = self.store().state(&key, now).await.map_err(away)?;
            let known = before.as_deref().and_then(Attempts::from_json);
            let (verdict, after) = attempt(known, &TRIES, now);
            let wait = match verdict {
                crate::gate::throttle::Verdict::Go => None,
                crate::gate::throttle::Verdict::Wait(wait) => Some(wait),
                crate::gate::throttle::Verdict::Stopped => Some(TRIES.longest_wait),
            };
            if let Some(wait) = wait {
                let failure = Failure::Waiting(wait);
                self.tell(claim, failure.word());
                return Err(NotReady::Failure(failure));
            }
            let swapped = self
                .store()
                .swap_state(
                    &key,
                    before.as_deref(),
                    Some(&after.to_json()),
                    TRIES.life(),
                    now,
                )
                .await;
            if swapped.map_err(away)? {
                return Ok(());
            }
        }
        Err(NotReady::Failure(Failure::Busy))
    }
}

impl Claim {
    fn place(&self) -> SignOnPlace {
        SignOnPlace {
            product: self.product.id.clone(),
            login: self.login.clone(),
            account_of: self.account_of.clone(),
            person: self.person.clone(),
        }
    }

    fn key(&self) -> String {
        format!("sign-on:{}:{}", self.session, self.product.id)
    }

    fn lease(&self) -> String {
        format!("sign-on-lease:{}:{}", self.session, self.product.id)
    }

    fn tries(&self) -> String {
        tries_key(&self.product.id, &self.login)
    }
}

/// Where the tries at an account of an application are counted.
fn tries_key(product: &crate::gate::name::ProductId, login: &Login) -> String {
    format!("throttle:sign-on:{product}:{login}")
}

fn state_row(key: &str) -> RowName<'_> {
    RowName {
        table: "state",
        column: "sign-on",
        key,
    }
}

fn away(error: StoreError) -> NotReady {
    tracing::warn!(%error, "the session store failed a sign-on");
    NotReady::Failure(Failure::Busy)
}
