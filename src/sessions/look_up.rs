//! From a cookie to what is known.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::gate::facts::{Presented, Site};
use crate::gate::identity;
use crate::gate::name::SessionId;
use crate::gate::policy::{Limits, Policies};
use crate::gate::product::Product;
use crate::gate::session::{Found, Known, Presence, Secret, Standing, Stranger, Token, standing};
use crate::gate::time::Moment;

use super::cache::{Cached, CachedEntry, Flight, Outcome, Record, Signed};
use super::store::StoreError;
use super::{EndCause, LookedUp, Sessions};

/// An assertion with less than this left is not sent: it must still be good when the backend
/// reads it, and clocks differ. The upkeep signs anew long before.
const SHORTEST: Duration = Duration::from_secs(30);

/// The life of a new one, and what clocks of two requests may be apart.
const LONGEST: Duration = Duration::from_secs(identity::ASSERTION_LIFE_SECS.unsigned_abs() + 30);

/// How often a look-up asks again when the record changes while it is being asked for.
const ATTEMPTS: u32 = 5;

/// One request's question.
struct Question<'a> {
    id: SessionId,
    secret: &'a Secret,
    site: &'a Site,
    policies: &'a Policies,
    now: Moment,
}

impl Question<'_> {
    fn limits(&self, record: &Record) -> Limits {
        match self.site {
            Site::Portal => self.policies.session_limits(&record.session.company),
            Site::Product(product) => self
                .policies
                .limits(record.session.company_in(&product.id), product),
        }
    }

    /// Whether the secret opens this session on this host. `Some(None)`: on the portal.
    fn admits<'r>(&self, record: &'r Record) -> Option<Option<&'r CachedEntry>> {
        match self.site {
            Site::Portal => record.session.portal.matches(self.secret).then_some(None),
            Site::Product(product) => {
                let entry = record.entry(&product.id)?;
                entry.token.matches(self.secret).then_some(Some(entry))
            }
        }
    }

    fn standing(&self, record: &Record, entry: Option<&CachedEntry>) -> Standing {
        standing(
            &record.session,
            record.seen(entry),
            self.limits(record),
            self.now,
        )
    }
}

impl Sessions {
    pub(super) async fn find(
        &self,
        presented: &Presented,
        site: &Site,
        policies: &Policies,
        now: Moment,
    ) -> LookedUp {
        let (id, secret) = match presented {
            Presented::Nothing | Presented::Token(Token::Visitor(_)) => {
                return nobody(Stranger::New);
            }
            Presented::Malformed => return nobody(Stranger::Malformed),
            Presented::Token(Token::Session { id, secret }) => (*id, secret),
        };
        let question = Question {
            id,
            secret,
            site,
            policies,
            now,
        };
        let cached = self.cache.fresh(id, now, self.parts.settings.recheck);
        if let Some(cached) = &cached
            && let Some(found) = self.awake(&question, cached)
        {
            self.parts.observer.looked_up("cache");
            return found;
        }
        // Boxed: the way that is taken seldom must not make the other one's future large.
        Box::pin(self.ask_about(&question, cached)).await
    }

    /// The answer for a session that needs nothing but what is here.
    fn awake(&self, question: &Question<'_>, cached: &Cached) -> Option<LookedUp> {
        let entry = question.admits(&cached.record)?;
        if question.standing(&cached.record, entry) != Standing::Live {
            return None;
        }
        let leash = match entry {
            Some(entry) => Some(cached.leash(entry)?),
            None => None,
        };
        let mut found = self.found(question, &cached.record, entry)?;
        found.leash = leash;
        Some(found)
    }

    async fn ask_about(
        &self,
        question: &Question<'_>,
        mut cached: Option<Arc<Cached>>,
    ) -> LookedUp {
        self.parts.observer.looked_up("store");
        let mut asked = false;
        for _ in 0..ATTEMPTS {
            // A secret that does not fit what is cached may be newer than it: the browser can be
            // here with a cookie that another node made before its announcement is.
            cached = cached.filter(|cached| question.admits(&cached.record).is_some());
            let current = match cached.take() {
                Some(cached) => cached,
                None => match self.load_for(question.id, question.now, &mut asked).await {
                    Outcome::Found(cached) => cached,
                    Outcome::Gone => return nobody(Stranger::Ended),
                    Outcome::Away => return self.in_grace(question),
                },
            };
            let Some(entry) = question.admits(&current.record) else {
                // An answer to somebody else's question may be older than this cookie; whatever was
                // asked after that is not.
                if std::mem::replace(&mut asked, true) {
                    return nobody(Stranger::Ended);
                }
                continue;
            };
            if let Some(found) = self.awake(question, &current) {
                return found;
            }
            match self.asleep(question, &current.record, entry).await {
                Some(answer) => return answer,
                // Awake after all, or changed meanwhile.
                None if current.is_changed() => {}
                None => cached = Some(current),
            }
        }
        unavailable()
    }

    /// Asks the store before anybody is told that they were idle: another node may have seen them.
    /// `None` when the session turns out to be awake.
    async fn asleep(
        &self,
        question: &Question<'_>,
        record: &Record,
        entry: Option<&CachedEntry>,
    ) -> Option<LookedUp> {
        let mut worth = question.standing(record, entry);
        if matches!(worth, Standing::OverIdle | Standing::OverProductIdle) {
            match self.store.last_seen(question.id).await {
                Ok(Some(last_seen)) => record.activity.adopt(&last_seen),
                Ok(None) => {
                    self.cache.forget(question.id);
                    return Some(nobody(Stranger::Ended));
                }
                Err(_) => return Some(unavailable()),
            }
            worth = question.standing(record, entry);
        }
        let over = match worth {
            Standing::Live => return None,
            Standing::OverMaximum => Some(EndCause::Maximum),
            Standing::OverIdle => Some(EndCause::Idle),
            Standing::OverProductIdle => None,
        };
        let answer = self
            .found(question, record, entry)
            .unwrap_or_else(unavailable);
        match (over, entry) {
            (Some(cause), _) => {
                // First: whoever finds it ended finds out why.
                self.note_end(&record.session, cause, question.now).await;
                if let Err(error) = self.end(question.id, cause).await {
                    tracing::warn!(%error, "a session that is over could not be removed");
                }
            }
            (None, Some(entry)) => self.product_fell_idle(entry),
            (None, None) => {}
        }
        Some(answer)
    }

    pub(super) fn product_fell_idle(&self, entry: &CachedEntry) {
        entry.place.cut();
        if entry.place.tell_idle() {
            self.parts
                .observer
                .ended(Some(&entry.product), EndCause::ProductIdle);
        }
    }

    /// Without the leash.
    fn found(
        &self,
        question: &Question<'_>,
        record: &Record,
        entry: Option<&CachedEntry>,
    ) -> Option<LookedUp> {
        let presence = match (question.site, entry) {
            (Site::Product(product), Some(entry)) => {
                Some(self.presence(record, entry, product, question.now)?)
            }
            (Site::Portal | Site::Product(_), _) => None,
        };
        let session = Arc::clone(&record.session);
        let found = Found {
            session,
            seen: record.seen(entry),
            presence,
            grace: false,
        };
        Some(LookedUp {
            known: Known::Found(found),
            leash: None,
        })
    }

    /// What the backend is told; signed here only when nobody did so before.
    fn presence(
        &self,
        record: &Record,
        entry: &CachedEntry,
        product: &Arc<Product>,
        now: Moment,
    ) -> Option<Arc<Presence>> {
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        if let Some(signed) = &*entry.signed.load()
            && signed.presence.assertion_expires_at > now.plus(SHORTEST)
            // Signed by a clock that was set back since: no backend believes what is from tomorrow.
            && signed.presence.assertion_expires_at <= now.plus(LONGEST)
            // Another one after a reload: its headers may be others.
            && Arc::ptr_eq(&signed.product, product)
        {
            return Some(Arc::clone(&signed.presence));
        }
        self.sign(record, entry, product, now)
    }

    pub(super) fn sign(
        &self,
        record: &Record,
        cached: &CachedEntry,
        product: &Arc<Product>,
        now: Moment,
    ) -> Option<Arc<Presence>> {
        let session = &record.session;
        let entry = session.entries.get(&cached.product)?;
        let issuer = &self.parts.settings.issuer;
        let claims = identity::claims(session, entry, product, issuer, now);
        let assertion = match self.parts.assertions.sign(&claims) {
            Ok(assertion) => assertion,
            Err(error) => {
                tracing::error!(%error, "no assertion, so nobody is let through");
                return None;
            }
        };
        let expires_at = Moment::from_secs(claims.exp);
        let presence = Arc::new(identity::presence(
            session, entry, product, &assertion, expires_at,
        ));
        cached.signed.store(Some(Arc::new(Signed {
            product: Arc::clone(product),
            presence: Arc::clone(&presence),
        })));
        Some(presence)
    }

    /// The store is away: what this node confirmed a moment ago goes on where the operator allows
    /// it. What was announced as changed, or would need the store to be judged, does not.
    fn in_grace(&self, question: &Question<'_>) -> LookedUp {
        let Some(grace) = self.parts.settings.grace else {
            return unavailable();
        };
        let found = self.cache.known(question.id).and_then(|cached| {
            let confirmed_at = self.upkeep.confirmed_at(&cached);
            if cached.is_changed() || !question.now.is_within(grace, confirmed_at) {
                return None;
            }
            self.awake(question, &cached)
        });
        match found {
            Some(LookedUp {
                known: Known::Found(found),
                leash,
            }) => LookedUp {
                known: Known::Found(Found {
                    grace: true,
                    ..found
                }),
                leash,
            },
            Some(_) | None => unavailable(),
        }
    }

    /// Asks the store, once for all who ask at the same time.
    pub(super) async fn load(&self, id: SessionId, now: Moment) -> Outcome {
        self.load_for(id, now, &mut false).await
    }

    /// The same; `asked` becomes true when the store was asked after this was called, and not only
    /// by somebody before.
    async fn load_for(&self, id: SessionId, now: Moment, asked: &mut bool) -> Outcome {
        for _ in 0..ATTEMPTS {
            let flight = self.cache.flight(id);
            // Who is cancelled while asking leaves the question to the next who waits.
            let outcome = flight
                .outcome
                .get_or_init(|| {
                    *asked = true;
                    self.ask(id, &flight, now)
                })
                .await
                .clone();
            match &outcome {
                Outcome::Found(cached) => {
                    if let Some(current) = self.cache.publish(id, &flight, cached) {
                        return Outcome::Found(current);
                    }
                }
                // An id never comes back.
                Outcome::Gone => {
                    self.cache.forget(id);
                    return outcome;
                }
                Outcome::Away => {
                    self.cache.abandon(id, &flight);
                    return outcome;
                }
            }
        }
        Outcome::Away
    }

    async fn ask(&self, id: SessionId, flight: &Flight, now: Moment) -> Outcome {
        match self.store.load(id, now).await {
            Ok(Some((session, last_seen))) => flight.landed(session, &last_seen, now),
            Ok(None) => Outcome::Gone,
            Err(StoreError::Unavailable(_)) => Outcome::Away,
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(%error, session = %id, "a session is taken for ended");
                Outcome::Gone
            }
        }
    }
}

fn nobody(stranger: Stranger) -> LookedUp {
    LookedUp {
        known: Known::Nobody(stranger),
        leash: None,
    }
}

fn unavailable() -> LookedUp {
    LookedUp {
        known: Known::Unavailable,
        leash: None,
    }
}
