//! Sign-ins that are remembered: the facade, and behind it the cache of this node and the store of
//! all nodes.

mod activity;
pub mod assertions;
mod cache;
mod company;
pub mod embedded;
pub mod ending;
mod folded;
mod grants;
pub mod kept;
pub mod leash;
mod look_up;
pub mod redis;
pub mod store;
pub mod tokens;
mod trace;
mod upkeep;
mod watched;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::gate::facts::{Presented, Site};
use crate::gate::name::{CompanyId, Login, PersonId, ProductId, SessionId};
use crate::gate::policy::Policies;
use crate::gate::product::{Product, Products};
use crate::gate::session::{Entries, Entry, Known, Method, Profile, Session, Tenancy, Token};
use crate::gate::time::Moment;

use activity::{Batch, WriteBehind};
use assertions::Assertions;
use cache::Cache;
use ending::{forget_sign_on, forget_wrong_codes};
use leash::Leash;
use store::{Event, Stamp, Store, StoreError};
use tokens::{Random, TokenKey};
use watched::Watched;

/// Reads the time. Only the outermost code holds one; tests hand in their own.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// How long after the maximum a record stays in the store, so that a late request is told why it
/// has to sign in. Also covers clocks of store and gateway that differ.
const SLACK: Duration = Duration::from_secs(600);

/// How often a change is tried again when somebody else was first. Each round somebody gets
/// through, so this many must change one session at once for the last to fail.
const ROUNDS: u32 = 64;

/// So many sessions in a row that can't be ended: the store is away, and not one of its nodes.
const AWAY: u32 = 16;

/// The sign-ins of this gateway: the store behind, the cache before it.
pub struct Sessions {
    parts: Parts,
    products: ArcSwap<Products>,
    store: Arc<dyn Store>,
    cache: Cache,
    behind: WriteBehind,
    /// From before the first look-up, so that no announcement is missed.
    events: Mutex<Option<broadcast::Receiver<Event>>>,
    upkeep: upkeep::State,
}

/// What sessions are made of.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub products: Products,
    pub settings: Settings,
    /// The same on every node: derived from the master key.
    pub token_key: TokenKey,
    pub assertions: Arc<Assertions>,
    pub policies: Arc<ArcSwap<Policies>>,
    pub clock: Clock,
    pub random: Random,
    pub observer: Arc<dyn Observer>,
}

/// Who is told what happened; takes values, is never asked.
pub trait Observer: Send + Sync {
    /// `source` is `cache` or `store`.
    fn looked_up(&self, source: &'static str);
    fn store_call(&self, operation: &'static str, took: Duration);
    /// `product`: when access to that product alone ended.
    fn ended(&self, product: Option<&ProductId>, cause: EndCause);
}

/// Tells nobody.
pub struct Unobserved;

impl Observer for Unobserved {
    fn looked_up(&self, _: &'static str) {}
    fn store_call(&self, _: &'static str, _: Duration) {}
    fn ended(&self, _: Option<&ProductId>, _: EndCause) {}
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// A cached session is asked for again after so long, whatever the store announced.
    pub recheck: Duration,
    /// The most sessions kept in this process.
    pub cache_capacity: usize,
    /// `when_unavailable = "grace:30s"`; `None` is "refuse".
    pub grace: Option<Duration>,
    /// The portal's URL: the issuer of assertions.
    pub issuer: String,
}

/// Why a session ends: the word in `vestibule_sessions_ended_total{cause}` and in the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    SignedOut,
    Maximum,
    Idle,
    ProductIdle,
    Revoked,
    PersonDisabled,
    FactorReset,
    PasswordChanged,
    /// Single Sign-On was reset: the link to the product's account is gone.
    Unlinked,
    /// The product is granted to the person no more.
    GrantTaken,
}

impl EndCause {
    pub const fn as_str(self) -> &'static str {
        match self {
            EndCause::SignedOut => "signed_out",
            EndCause::Maximum => "maximum",
            EndCause::Idle => "idle",
            EndCause::ProductIdle => "product_idle",
            EndCause::Revoked => "revoked",
            EndCause::PersonDisabled => "person_disabled",
            EndCause::FactorReset => "factor_reset",
            EndCause::PasswordChanged => "password_changed",
            EndCause::Unlinked => "unlinked",
            EndCause::GrantTaken => "grant_taken",
        }
    }
}

/// What a cookie led to, and the leash on requests made with it.
pub struct LookedUp {
    pub known: Known,
    /// Of this session in this product: pulled when it ends. `None` for nobody and the portal.
    pub leash: Option<Arc<Leash>>,
}

/// A sign-in that has just been proved.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub person: Profile,
    pub company: CompanyId,
    pub companies: Vec<CompanyId>,
    pub methods: Vec<Method>,
    pub factor_at: Option<Moment>,
    pub address: String,
    pub user_agent: String,
}

/// The account that a session enters a product with.
#[derive(Debug, Clone)]
pub struct Footing {
    pub login: Login,
    /// For an account of the product's own.
    pub tenancy: Option<Tenancy>,
}

impl From<Login> for Footing {
    fn from(login: Login) -> Footing {
        Footing {
            login,
            tenancy: None,
        }
    }
}

/// What an entry made anew works for: the company chosen before, while the account still has it.
fn held(before: Option<&Entry>, login: &Login, now: Option<&Tenancy>) -> Option<Tenancy> {
    let now = now?.clone();
    let chosen = before
        .filter(|before| before.login == *login)
        .and_then(|before| before.tenancy.as_ref())
        .and_then(|tenancy| now.clone().at(&tenancy.current));
    Some(chosen.unwrap_or(now))
}

/// Brings an entry's companies up to date; false when they are.
fn settle(session: &mut Session, product: &ProductId, now: Option<&Tenancy>) -> bool {
    let Some(entry) = session.entries.get(product) else {
        return false;
    };
    let tenancy = held(Some(entry), &entry.login, now);
    if entry.tenancy == tenancy {
        return false;
    }
    let entry = Entry {
        tenancy,
        ..entry.clone()
    };
    session.entries.insert(product.clone(), entry);
    true
}

impl Sessions {
    pub fn new(parts: Parts) -> Arc<Sessions> {
        let store: Arc<dyn Store> = Arc::new(Watched::new(
            Arc::clone(&parts.store),
            Arc::clone(&parts.observer),
        ));
        Arc::new(Sessions {
            events: Mutex::new(Some(store.events())),
            store,
            cache: Cache::new(),
            behind: WriteBehind::default(),
            upkeep: upkeep::State::default(),
            products: ArcSwap::from_pointee(parts.products.clone()),
            parts,
        })
    }

    /// On the fast path: for a session that is cached and awake this never waits.
    pub async fn look_up(
        &self,
        presented: &Presented,
        site: &Site,
        policies: &Policies,
        now: Moment,
    ) -> LookedUp {
        self.find(presented, site, policies, now).await
    }

    /// Notes that the person did something in this product. Waits for the store only when another
    /// node could otherwise take the session for idle (see `sessions::activity`).
    pub async fn stamp(&self, session: &Session, product: &Product, now: Moment) {
        let known = self.cache.known(session.id);
        let known = known.as_ref().map(|cached| &cached.record);
        let Some((record, entry)) =
            known.and_then(|record| Some((record, record.entry(&product.id)?)))
        else {
            let stamp = Stamp {
                session: session.id,
                product: Some(product.id.clone()),
                at: now,
            };
            if let Err(error) = self.store.touch(&[stamp]).await {
                tracing::warn!(%error, "activity could not be written");
            }
            return;
        };
        record.activity.see(&entry.mark, now);
        let company = session.company_in(&product.id);
        let limits = self.parts.policies.load().limits(company, product);
        self.behind.list(&record.activity, limits, now);
        if record
            .activity
            .is_urgent(&entry.mark, limits, record.awake_at, entry.entered_at)
        {
            self.write(Batch::of(&record.activity)).await;
        }
    }

    /// The same for a page of the portal: activity, and in no product.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn stamp_at_portal(&self, session: &Session, now: Moment) -> Result<(), StoreError> {
        let stamp = Stamp {
            session: session.id,
            product: None,
            at: now,
        };
        self.store.touch(&[stamp]).await?;
        if let Some(cached) = self.cache.known(session.id) {
            cached.record.activity.see_at_portal(now);
        }
        Ok(())
    }

    /// Begins a session; the token is the portal's cookie.
    pub async fn begin(
        &self,
        new: NewSession,
        now: Moment,
    ) -> Result<(Arc<Session>, Token), StoreError> {
        let random = &self.parts.random;
        let secret = tokens::fresh_secret(random);
        let session = Session {
            id: tokens::fresh_id(random),
            version: 1,
            person: new.person,
            company: new.company,
            companies: new.companies,
            started_at: now,
            password_at: now,
            factor_at: new.factor_at,
            methods: new.methods,
            portal: secret.hash(),
            seed: tokens::fresh_secret(random).hash(),
            entries: Entries::default(),
            address: new.address,
            user_agent: new.user_agent,
        };
        let life = self.parts.policies.load().session.maximum + SLACK;
        self.store.create(&session, now, life).await?;
        self.leave_trace(&session, now).await;
        let token = Token::Session {
            id: session.id,
            secret,
        };
        Ok((Arc::new(session), token))
    }

    /// The person proved themselves again in this session: `methods` are added, the password's moment
    /// moves to now and the factor's to when it was proved, which may have been elsewhere and earlier,
    /// and the portal's cookie is renewed. `None` when the session has ended.
    pub async fn renew(
        &self,
        id: SessionId,
        (methods, factor_at): (&[Method], Option<Moment>),
        now: Moment,
    ) -> Result<Option<(Arc<Session>, Token)>, StoreError> {
        let secret = tokens::fresh_secret(&self.parts.random);
        let renewed = self
            .change(id, now, |session| {
                for method in methods {
                    match method {
                        Method::Pwd | Method::Provider => {
                            session.password_at = session.password_at.max(now);
                        }
                        // When is the proof's to say; a device that is remembered proves nothing now.
                        Method::Otp | Method::Sms | Method::Hwk | Method::Mfa | Method::Device => {}
                    }
                    if !session.methods.contains(method) {
                        session.methods.push(*method);
                    }
                }
                let proved_at = factor_at.map(|at| at.min(now));
                session.factor_at = session.factor_at.max(proved_at);
                session.portal = secret.hash();
                true
            })
            .await?;
        Ok(renewed.map(|session| (session, Token::Session { id, secret })))
    }

    /// The cookie for a product's host. The same for every tab until `again` renews it, which also
    /// starts the product's idle anew. `None` when the session has ended.
    pub async fn enter(
        &self,
        id: SessionId,
        product: &Product,
        account: impl Into<Footing>,
        again: bool,
        now: Moment,
    ) -> Result<Option<Token>, StoreError> {
        let Footing { login, tenancy } = account.into();
        let mut first_seen = None;
        let entered = self
            .change(id, now, |session| {
                let entry = session.entries.get(&product.id);
                let generation = entry.map(|entry| entry.generation);
                let before = *first_seen.get_or_insert(generation);
                // Of many tabs that enter again at once one renews, and all get its cookie: the
                // browser keeps whichever answer comes last.
                let again = again && generation == before;
                let next = generation.map_or(0, |generation| generation.saturating_add(1));
                if let Some(entry) = entry {
                    let token = self.product_token(session, &product.id, entry.generation);
                    if !again && entry.login == login && entry.token.matches(&token) {
                        return settle(session, &product.id, tenancy.as_ref());
                    }
                }
                let token = self.product_token(session, &product.id, next).hash();
                let entry = Entry {
                    token,
                    login: login.clone(),
                    entered_at: now,
                    generation: next,
                    tenancy: held(entry, &login, tenancy.as_ref()),
                };
                session.entries.insert(product.id.clone(), entry);
                true
            })
            .await?;
        let Some(session) = entered else {
            return Ok(None);
        };
        if *session.company_in(&product.id) != session.company {
            self.leave_trace(&session, now).await;
        }
        Ok(session.entries.get(&product.id).map(|entry| {
            let secret = self.product_token(&session, &product.id, entry.generation);
            Token::Session { id, secret }
        }))
    }

    fn product_token(
        &self,
        session: &Session,
        product: &ProductId,
        generation: u32,
    ) -> crate::gate::session::Secret {
        self.parts
            .token_key
            .product(session.id, product, generation, &session.seed)
    }

    /// Ends a person's presence in these products, in every session, with what is open there; the
    /// sign-ins go on. Returns how many presences ended; one that can't be ended keeps none of the
    /// others.
    pub async fn leave(
        &self,
        person: &PersonId,
        products: &[ProductId],
        cause: EndCause,
    ) -> Result<usize, StoreError> {
        let now = (self.parts.clock)();
        let (mut ended, mut tried) = (0, Ok(()));
        for id in self.store.of_person(person, now).await? {
            let mut left = Vec::new();
            let changed = self.change(id, now, |session| {
                left.clear();
                for product in products {
                    if session.entries.get(product).is_some() {
                        session.entries.remove(product);
                        left.push(product);
                    }
                }
                !left.is_empty()
            });
            if let Err(error) = changed.await {
                tried = tried.and(Err(error));
                continue;
            }
            ended += left.len();
            forget_sign_on(self.store.as_ref(), id, left.iter().copied(), now).await;
            for product in left {
                self.parts.observer.ended(Some(product), cause);
            }
        }
        tried.map(|()| ended)
    }

    /// Ends every session of a person but this one; returns how many ended.
    pub async fn end_others(
        &self,
        person: &PersonId,
        kept: Option<SessionId>,
        cause: EndCause,
    ) -> Result<usize, StoreError> {
        let now = (self.parts.clock)();
        let mut ids = self.store.of_person(person, now).await?;
        ids.retain(|id| Some(*id) != kept);
        self.end_all(&ids, cause).await
    }

    /// Reads, edits and writes until nobody else was in between. `edit` says whether there is
    /// something to write. `None` when the session has ended.
    async fn change(
        &self,
        id: SessionId,
        now: Moment,
        mut edit: impl FnMut(&mut Session) -> bool,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        for _ in 0..ROUNDS {
            let Some((mut session, _)) = self.store.load(id, now).await? else {
                return Ok(None);
            };
            if !edit(&mut session) {
                return Ok(Some(Arc::new(session)));
            }
            session.version += 1;
            let replaced = self.store.replace(&session, now).await;
            // Also when it is not known whether it was written.
            self.hear_change(id);
            if replaced? {
                return Ok(Some(Arc::new(session)));
            }
        }
        Err(StoreError::Unavailable(String::from(
            "too many changes of one session at once",
        )))
    }

    /// Ends a session, everywhere; false when it had ended before.
    pub async fn end(&self, id: SessionId, cause: EndCause) -> Result<bool, StoreError> {
        let ended = ending::end(self.store.as_ref(), id, (self.parts.clock)()).await?;
        self.cache.forget(id);
        if ended {
            self.parts.observer.ended(None, cause);
        }
        Ok(ended)
    }

    /// Returns how many ended.
    pub async fn end_person(
        &self,
        person: &PersonId,
        cause: EndCause,
    ) -> Result<usize, StoreError> {
        let now = (self.parts.clock)();
        let ids = self.store.of_person(person, now).await?;
        self.end_all(&ids, cause).await
    }

    /// Wrong codes of a person's factors count no more: part of resetting the factors.
    pub async fn forget_wrong_codes(&self, person: &PersonId) -> Result<(), StoreError> {
        forget_wrong_codes(self.store.as_ref(), person, (self.parts.clock)()).await
    }

    /// Ends the sessions that work for this company, anywhere; returns how many ended.
    pub async fn end_company(
        &self,
        company: &CompanyId,
        cause: EndCause,
    ) -> Result<usize, StoreError> {
        // By the records: an index may lag behind a change of company.
        let sessions = self.of_company(company).await?;
        let ids: Vec<SessionId> = sessions.iter().map(|session| session.id).collect();
        self.end_all(&ids, cause).await
    }

    async fn end_all(&self, ids: &[SessionId], cause: EndCause) -> Result<usize, StoreError> {
        let (ended, tried) = self.end_each(ids, cause).await;
        tried.map(|()| ended.len())
    }

    /// Ends these, each whatever became of the others: which of them had not ended before, and the
    /// first failure. A store that fails so often in a row is away, and is waited for no longer.
    pub async fn end_each(
        &self,
        ids: &[SessionId],
        cause: EndCause,
    ) -> (Vec<SessionId>, Result<(), StoreError>) {
        let (mut ended, mut tried, mut failures) = (Vec::new(), Ok(()), 0);
        for id in ids {
            match self.end(*id, cause).await {
                Ok(just_now) => {
                    ended.extend(just_now.then_some(*id));
                    failures = 0;
                }
                Err(error) => {
                    tried = tried.and(Err(error));
                    failures += 1;
                }
            }
            if failures == AWAY {
                break;
            }
        }
        (ended, tried)
    }

    /// Oldest first.
    pub async fn of_person(&self, person: &PersonId) -> Result<Vec<Arc<Session>>, StoreError> {
        let now = (self.parts.clock)();
        let ids = self.store.of_person(person, now).await?;
        let mut sessions = self.load_all(&ids, now).await?;
        sessions.retain(|session| session.person.id == *person);
        Ok(sessions)
    }

    /// Oldest first.
    pub async fn of_company(&self, company: &CompanyId) -> Result<Vec<Arc<Session>>, StoreError> {
        let now = (self.parts.clock)();
        let ids = self.store.of_company(company, now).await?;
        let mut sessions = self.load_all(&ids, now).await?;
        sessions.retain(|session| session.companies_at_work().any(|at| at == company));
        Ok(sessions)
    }

    /// The same of at most `most`, and how many there are by the index. `wanted` are among those
    /// that are read, if they are the company's.
    pub async fn some_of_company(
        &self,
        company: &CompanyId,
        most: usize,
        wanted: &[SessionId],
    ) -> Result<(Vec<Arc<Session>>, usize), StoreError> {
        let now = (self.parts.clock)();
        let mut ids = self.store.of_company(company, now).await?;
        let total = ids.len();
        ids.sort_by_key(|id| !wanted.contains(id));
        ids.truncate(most);
        let mut sessions = self.load_all(&ids, now).await?;
        sessions.retain(|session| session.companies_at_work().any(|at| at == company));
        // Who changed to another company is still in the index for a moment.
        let gone = ids.len() - sessions.len();
        Ok((sessions, total - gone))
    }

    async fn load_all(
        &self,
        ids: &[SessionId],
        now: Moment,
    ) -> Result<Vec<Arc<Session>>, StoreError> {
        let mut sessions = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some((session, _)) = self.store.load(*id, now).await? {
                sessions.push(Arc::new(session));
            }
        }
        sessions.sort_by_key(|session| (session.started_at, session.id));
        Ok(sessions)
    }

    /// Small states that must change exactly once: tickets, attempts, throttles.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub fn products(&self) -> Arc<Products> {
        self.products.load_full()
    }

    /// After gateway.toml changed. What was signed for a product as it was is signed anew.
    pub fn set_products(&self, products: Products) {
        self.products.store(Arc::new(products));
    }

    pub fn assertions(&self) -> &Arc<Assertions> {
        &self.parts.assertions
    }

    /// Whether it is written.
    async fn write(&self, batch: Batch) -> bool {
        if batch.stamps.is_empty() {
            return true;
        }
        match self.store.touch(&batch.stamps).await {
            Ok(()) => {
                batch.written();
                true
            }
            Err(error) => {
                tracing::warn!(%error, sessions = batch.stamps.len(), "activity could not be written");
                batch.failed(&self.behind);
                false
            }
        }
    }

    fn take_events(&self) -> broadcast::Receiver<Event> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.take().unwrap_or_else(|| self.store.events())
    }
}
