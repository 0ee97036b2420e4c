//! Signing in to legacy applications for people, and keeping what they answer.
//!
//! | state | holds |
//! |---|---|
//! | `sign-on:SESSION:PRODUCT` | the application's cookies for this session of ours, sealed |
//! | `sign-on-lease:PRODUCT:LOGIN` | somebody types this account's password at this moment |
//! | `sign-on-refused:PRODUCT:LOGIN` | the version of its password that the application refused |
//! | `throttle:sign-on:PRODUCT:LOGIN` | tries that led to nothing yet |
//!
//! The cookies stand in the store that all nodes share: a person whose next request reaches another
//! node is signed in there too, and applications that allow one session for a user are not fought
//! over. Each node keeps what it read; when the application says that it has forgotten, it looks
//! into the store before it signs in again.

mod answers;
mod claim;
mod farewell;
mod grip;
mod held;
mod pace;
mod probed;
mod stored;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, Legacy, Verdict, basic, form};
use crate::config::settings::SignOn;
use crate::directory::{Directory, SignOnSecret};
use crate::gate::product::Product;
use crate::gate::time::Moment;
use crate::sessions::Sessions;
use crate::sessions::store::Store;
use crate::sessions::tokens::Random;

use held::{Held, Shelf};
use stored::{Stored, away};

pub use claim::Claim;
pub use grip::{Grip, Heard};
pub use stored::LIFE;

/// How often it is looked whether another node is done.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is looked whether a header's password was refused elsewhere.
const LOOK_EACH: Duration = Duration::from_secs(1);
/// The longest that a request waits for that look.
const GLANCE: Duration = Duration::from_millis(200);
/// The longest wait for somebody else's sign-in.
const PATIENCE: Duration = Duration::from_secs(65);

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

impl SignOns {
    pub fn new(parts: Parts) -> Arc<SignOns> {
        let events = parts.sessions.store().events();
        let sign_ons = Arc::new(SignOns {
            parts,
            shelf: Shelf::default(),
        });
        tokio::spawn(farewell::watch(Arc::downgrade(&sign_ons), events));
        sign_ons
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
            Some(grip) if self.is_spent(claim, &grip).await => {
                self.obtain(claim, held, Some(grip.id)).await
            }
            Some(grip) => Ok(grip),
            None => self.obtain(claim, held, None).await,
        }
    }

    /// Whether it would show a password that another session, or another node, was refused with.
    /// Each request is a try, and so one in a second looks; a store that is away is not waited for.
    async fn is_spent(&self, claim: &Claim, grip: &Grip) -> bool {
        let (Some(version), Some(_)) = (grip.version, grip.authorization()) else {
            return false;
        };
        if !grip.looking.is_due(LOOK_EACH, self.now()) {
            return false;
        }
        match tokio::time::timeout(GLANCE, self.was_refused(claim, version)).await {
            Ok(Ok(refused)) => refused,
            Ok(Err(error)) => {
                tracing::debug!(%error, "whether a password was refused could not be asked");
                false
            }
            Err(_) => false,
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
            held.called_by(&claim.caller);
            held.put(got.as_ref().ok().cloned());
            drop(turn);
            got
        });
        work.await.unwrap_or(Err(NotReady::Failure(Failure::Busy)))
    }

    async fn renew(&self, claim: &Claim, worn: Option<u64>) -> Result<Arc<Grip>, NotReady> {
        let begun = tokio::time::Instant::now();
        loop {
            if let Some(grip) = self.anothers(claim, worn).await? {
                return Ok(grip);
            }
            if let Some(lease) = self.take_lease(claim).await? {
                let got = self.with_lease(claim, worn).await;
                self.give_lease(claim, &lease).await;
                return got;
            }
            // Another session, or another node, is at it.
            if begun.elapsed() > PATIENCE {
                return Err(NotReady::Failure(Failure::Busy));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What another node has got for this session.
    async fn anothers(
        &self,
        claim: &Claim,
        worn: Option<u64>,
    ) -> Result<Option<Arc<Grip>>, NotReady> {
        let Some(SignOn::Form(_)) = self.way(&claim.product) else {
            return Ok(None);
        };
        let stored = self.stored(claim).await?;
        let newer = stored.filter(|stored| Some(stored.id) != worn);
        Ok(newer.map(|stored| Arc::new(Grip::of_store(stored))))
    }

    /// What came of it while this one waited is looked at first: a sign-in that is there by now, or
    /// a password that was refused.
    async fn with_lease(&self, claim: &Claim, worn: Option<u64>) -> Result<Arc<Grip>, NotReady> {
        if let Some(grip) = self.anothers(claim, worn).await? {
            return Ok(grip);
        }
        match self.way(&claim.product) {
            Some(SignOn::Form(_)) => self.fill(claim).await,
            Some(SignOn::Basic(_)) => self.by_basic(claim).await,
            Some(SignOn::Headers) | None => Err(NotReady::Failure(Failure::unusable("no sign-on"))),
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
                if !self.is_wanted_still(claim).await? {
                    form::sign_out(site, described, stored.jar, &claim.caller, self.now()).await;
                    return Err(NotReady::Failure(Failure::Busy));
                }
                Ok(Arc::new(Grip::fresh(stored, secret.version)))
            }
            Ok(form::Filled::Out(_)) => self.refused(claim, secret.version).await,
            Err(failure) => self.failed(claim, failure),
        }
    }

    /// Who signed out while this went on has no use for it: one of the two sees the other.
    async fn is_wanted_still(&self, claim: &Claim) -> Result<bool, NotReady> {
        let (store, now) = (self.store(), self.now());
        let known = store.load(claim.session, now).await.map_err(away)?;
        if known.is_some_and(|(session, _)| session.entries.get(&claim.product.id).is_some()) {
            return Ok(true);
        }
        store.take_state(&claim.key(), now).await.map_err(away)?;
        Ok(false)
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
                    &secret,
                )))
            }
            Ok(Verdict::Wrong | Verdict::Unknown | Verdict::Expired) => {
                self.refused(claim, secret.version).await
            }
            Err(failure) => self.failed(claim, failure),
        }
    }

    /// What is to be typed, unless the application has refused it before.
    async fn secret(&self, claim: &Claim) -> Result<SignOnSecret, NotReady> {
        let secret = self.parts.directory.sign_on_secret(&claim.place()).await;
        match secret {
            Ok(Some(secret)) if secret.refused => Err(NotReady::Password),
            // The directory may have been away when it was refused.
            Ok(Some(secret)) => match self.was_refused(claim, secret.version).await {
                Ok(false) => Ok(secret),
                Ok(true) => Err(NotReady::Password),
                Err(error) => Err(away(error)),
            },
            Ok(None) => Err(NotReady::Password),
            Err(error) => {
                tracing::warn!(%error, "a sign-on secret could not be read");
                Err(NotReady::Failure(Failure::Busy))
            }
        }
    }

    /// The password was changed there, or the account is gone: it is not tried a second time.
    async fn refused(&self, claim: &Claim, version: i64) -> Result<Arc<Grip>, NotReady> {
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
        self.note_refusal(claim, version).await;
        // If it can be noted nowhere, the count of tries is what keeps it from being tried for ever.
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
}
