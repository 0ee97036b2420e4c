//! Sign-ins that are remembered.

pub mod store;
pub mod leash;

use std::sync::Arc;
use std::time::Duration;

use crate::gate::facts::{Presented, Site};
use crate::gate::name::{CompanyId, Login, PersonId, SessionId};
use crate::gate::policy::Policies;
use crate::gate::product::{Product, Products};
use crate::gate::session::{Known, Method, Profile, Session, Token};
use crate::gate::time::Moment;
use leash::Leash;
use store::{Store, StoreError};

/// Reads the time. Only the outermost code holds one; tests hand in their own.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// The sign-ins of this gateway: the store behind, the cache before it.
pub struct Sessions {
    _private: (),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndCause {
    SignedOut,
    Maximum,
    Idle,
    ProductIdle,
    Revoked,
    PersonDisabled,
    FactorReset,
    PasswordChanged,
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

impl Sessions {
    /// On the fast path: for a session that is cached and awake this never waits.
    pub async fn look_up(
        &self,
        _presented: &Presented,
        _site: &Site,
        _policies: &Policies,
        _now: Moment,
    ) -> LookedUp {
        todo!()
    }

    /// Notes that the person did something in this product.
    pub async fn stamp(&self, _session: &Session, _product: &Product, _now: Moment) {
        todo!()
    }

    /// Begins a session; the token is the portal's cookie.
    pub async fn begin(&self, _new: NewSession, _now: Moment) -> Result<(Arc<Session>, Token), StoreError> {
        todo!()
    }

    /// The person proved themselves again in this session: `methods` are added, the password's and
    /// factor's moments move, the portal's cookie is renewed. `None` when the session has ended.
    pub async fn renew(
        &self,
        _id: SessionId,
        _methods: &[Method],
        _now: Moment,
    ) -> Result<Option<(Arc<Session>, Token)>, StoreError> {
        todo!()
    }

    /// The cookie for a product's host. The same for every tab until `again` renews it, which also
    /// starts the product's idle anew. `None` when the session has ended.
    pub async fn enter(
        &self,
        _id: SessionId,
        _product: &Product,
        _login: Login,
        _again: bool,
        _now: Moment,
    ) -> Result<Option<Token>, StoreError> {
        todo!()
    }

    pub async fn end(&self, _id: SessionId, _cause: EndCause) -> Result<bool, StoreError> {
        todo!()
    }

    /// Returns how many ended.
    pub async fn end_person(&self, _person: &PersonId, _cause: EndCause) -> Result<usize, StoreError> {
        todo!()
    }

    pub async fn end_company(&self, _company: &CompanyId, _cause: EndCause) -> Result<usize, StoreError> {
        todo!()
    }

    pub async fn of_person(&self, _person: &PersonId) -> Result<Vec<Arc<Session>>, StoreError> {
        todo!()
    }

    pub async fn of_company(&self, _company: &CompanyId) -> Result<Vec<Arc<Session>>, StoreError> {
        todo!()
    }

    /// Small states that must change exactly once: tickets, attempts, throttles.
    pub fn store(&self) -> &Arc<dyn Store> {
        todo!()
    }

    pub fn products(&self) -> &Products {
        todo!()
    }
}
